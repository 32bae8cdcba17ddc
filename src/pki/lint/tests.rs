mod lists;

use super::*;
use crate::model::{Environment, HashAlgorithm, Mechanism};
use crate::pki::algorithm;
use crate::pki::asn1::{self, Instant, tag};
use crate::pki::certificate::{Extension, Fields};
use crate::pki::extension;
use crate::pki::oid;
use crate::pki::profile::{Eku, ProfileName, Usage};
use crate::pki::testing::{Hierarchy, Key, now, time};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;
use std::collections::BTreeSet;

/// A certificate that is right until a test changes something.
struct Case {
    fields: Fields,
    outer: Option<Vec<u8>>,
    issuer: Fields,
    profile: ProfileName,
    environment: Environment,
    origin: Origin,
}

impl Case {
    fn leaf(hierarchy: &Hierarchy, profile: ProfileName) -> Self {
        Case {
            fields: hierarchy.leaf.fields().clone(),
            outer: None,
            issuer: hierarchy.intermediate.fields().clone(),
            profile,
            environment: Environment::Production,
            origin: Origin::Issued,
        }
    }

    fn ca(hierarchy: &Hierarchy) -> Self {
        Case {
            fields: hierarchy.intermediate.fields().clone(),
            issuer: hierarchy.root.fields().clone(),
            ..Self::leaf(hierarchy, ProfileName::IntermediateCa)
        }
    }

    fn rules(&self) -> Vec<&'static str> {
        let issuer = wrap(&self.issuer, &self.issuer.algorithm);
        let outer = self.outer.as_ref().unwrap_or(&self.fields.algorithm);
        let context = Context {
            profile: Profile::get(self.profile).unwrap(),
            issuer: Some(&issuer),
            relaxation: SandboxRelaxation::of(self.environment),
            origin: self.origin,
        };
        certificate(&wrap(&self.fields, outer), &context).iter().map(|f| f.rule).collect()
    }

    fn extension(&mut self, oid: ObjectIdentifier) -> &mut Extension {
        self.fields.extensions.iter_mut().find(|e| e.oid == oid).unwrap()
    }

    fn drop(&mut self, oid: ObjectIdentifier) {
        self.fields.extensions.retain(|e| e.oid != oid);
    }

    fn replace(&mut self, extension: Extension) {
        let oid = extension.oid;
        *self.extension(oid) = extension;
    }

    /// Purposes, under an issuer that restricts none.
    fn purposes(&mut self, list: &[ObjectIdentifier]) {
        let value: Vec<_> = list.iter().map(asn1::oid).collect();
        self.extension(oid::EXTENDED_KEY_USAGE).value = asn1::sequence(&[&value.concat()]);
        self.issuer.extensions.retain(|e| e.oid != oid::EXTENDED_KEY_USAGE);
    }

    /// A subject from (attribute, string type, text).
    fn subject(&mut self, attributes: &[(ObjectIdentifier, u8, &str)]) {
        let names = attributes.iter().map(|a| asn1::tlv(tag::SET, &[&attribute(a)])).collect::<Vec<_>>();
        self.fields.subject = asn1::sequence(&[&names.concat()]);
    }
}

fn attribute((oid, tag, text): &(ObjectIdentifier, u8, &str)) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(oid), &asn1::tlv(*tag, &[text.as_bytes()])])
}

fn wrap(fields: &Fields, outer: &[u8]) -> Certificate {
    let der = asn1::sequence(&[&fields.encode(), outer, &asn1::bit_string(&[1; 64])]);
    Certificate::parse(&der).unwrap()
}

/// An RSA key that exists as a number only.
fn rsa_spki(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let key = asn1::sequence(&[&asn1::unsigned(&vec![0xc5; bits / 8]), &asn1::unsigned(exponent)]);
    let algorithm = asn1::sequence(&[&asn1::oid(&oid::RSA_ENCRYPTION), &asn1::tlv(tag::NULL, &[])]);
    asn1::sequence(&[&algorithm, &asn1::bit_string(&key)])
}

fn compressed_spki(key: &Key) -> Vec<u8> {
    let ec = key.0.ec_key().unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = openssl::ec::PointConversionForm::COMPRESSED;
    let point = ec.public_key().to_bytes(ec.group(), form, &mut context).unwrap();
    let curve = asn1::oid(&ObjectIdentifier::new_unwrap("1.3.132.0.34"));
    let algorithm = asn1::sequence(&[&asn1::oid(&oid::EC_PUBLIC_KEY), &curve]);
    asn1::sequence(&[&algorithm, &asn1::bit_string(&point)])
}

const GOOD: [(ObjectIdentifier, u8, &str); 4] = [
    (oid::COUNTRY, tag::PRINTABLE_STRING, "US"),
    (oid::LOCALITY, tag::UTF8_STRING, "Springfield"),
    (oid::ORGANIZATION, tag::UTF8_STRING, "Example Corp"),
    (oid::COMMON_NAME, tag::UTF8_STRING, "Example Corp"),
];

fn good_and(more: &[(ObjectIdentifier, u8, &'static str)]) -> Vec<(ObjectIdentifier, u8, &'static str)> {
    GOOD.iter().chain(more).copied().collect()
}

type Change = fn(&mut Case);

const LEAF_CHANGES: &[(&str, Change)] = &[
    ("version_3", |c| c.fields.version = 2),
    ("serial_positive", |c| c.fields.serial = vec![0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("serial_size", |c| c.fields.serial.truncate(7)),
    ("serial_size", |c| c.fields.serial = [&[1], c.fields.serial.as_slice()].concat()),
    ("signature_algorithm_match", |c| {
        c.outer = Some(algorithm::identifier(Mechanism::Ecdsa(HashAlgorithm::Sha512)));
    }),
    ("signature_algorithm_allowed", |c| {
        c.fields.algorithm = asn1::sequence(&[&asn1::oid(&ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"))]);
    }),
    ("signature_algorithm_encoding", |c| {
        c.issuer.spki = rsa_spki(4096, &[1, 0, 1]);
        c.fields.algorithm = asn1::sequence(&[&asn1::oid(&oid::SHA256_WITH_RSA)]);
    }),
    ("signature_algorithm_key", |c| {
        c.fields.algorithm = algorithm::identifier(Mechanism::RsaPkcs1(HashAlgorithm::Sha256));
    }),
    ("issuer_name_bytes", |c| {
        // The same text as another string type is another name.
        for byte in c.fields.issuer.iter_mut().filter(|b| **b == tag::UTF8_STRING) {
            *byte = tag::PRINTABLE_STRING;
        }
    }),
    ("validity_encoding", |c| c.fields.not_after.utc_time = false),
    ("validity_order", |c| std::mem::swap(&mut c.fields.not_before, &mut c.fields.not_after)),
    ("leaf_validity_460_days", |c| {
        c.fields.not_after = Instant::new(c.fields.not_before.time + TimeDelta::days(460));
    }),
    ("validity_within_issuer", |c| {
        c.fields.not_before = Instant::new(c.issuer.not_before.time - TimeDelta::seconds(1));
    }),
    ("validity_within_issuer", |c| c.issuer.not_after = Instant::new(c.fields.not_after.time - TimeDelta::seconds(1))),
    ("subject_required", |c| c.subject(&GOOD[1..])),
    ("subject_domain_component", |c| {
        c.subject(&good_and(&[(oid::DOMAIN_COMPONENT, tag::IA5_STRING, "example")]));
    }),
    ("subject_unexpected", |c| c.subject(&good_and(&[(oid::STREET, tag::UTF8_STRING, "1 Road")]))),
    ("subject_duplicate", |c| c.subject(&good_and(&[(oid::LOCALITY, tag::UTF8_STRING, "Elsewhere")]))),
    ("subject_multivalued", |c| {
        let both = [attribute(&GOOD[0]), attribute(&GOOD[1])].concat();
        let rest =
            [asn1::tlv(tag::SET, &[&attribute(&GOOD[2])]), asn1::tlv(tag::SET, &[&attribute(&GOOD[3])])].concat();
        c.fields.subject = asn1::sequence(&[&asn1::tlv(tag::SET, &[&both]), &rest]);
    }),
    ("subject_country", |c| {
        c.subject(&[&[(oid::COUNTRY, tag::PRINTABLE_STRING, "us")], &GOOD[1..]].concat());
    }),
    ("subject_filler", |c| c.subject(&good_and(&[(oid::STATE, tag::UTF8_STRING, "-")]))),
    ("subject_encoding", |c| c.subject(&good_and(&[(oid::STATE, tag::TELETEX_STRING, "Oregon")]))),
    ("subject_encoding", |c| c.subject(&good_and(&[(oid::STATE, tag::PRINTABLE_STRING, "a*b")]))),
    ("subject_locality_or_state", |c| c.subject(&[GOOD[0], GOOD[2], GOOD[3]])),
    ("subject_common_name", |c| {
        c.subject(&[&GOOD[..3], &[(oid::COMMON_NAME, tag::UTF8_STRING, "Another")]].concat());
    }),
    ("rsa_key_size", |c| c.fields.spki = rsa_spki(2048, &[1, 0, 1])),
    ("key_algorithm", |c| c.fields.spki = Key::p256().public().spki().to_vec()),
    ("rsa_exponent", |c| c.fields.spki = rsa_spki(3072, &[3])),
    ("spki_encoding", |c| c.fields.spki = compressed_spki(&Key::p384())),
    ("unique_identifiers", |c| c.fields.unique_ids = asn1::tlv(0x82, &[&[0, 7]])),
    ("extension_duplicate", |c| {
        let again = c.extension(oid::SUBJECT_KEY_IDENTIFIER).clone();
        c.fields.extensions.push(again);
    }),
    ("extension_default", |c| c.extension(oid::SUBJECT_KEY_IDENTIFIER).spelled_default = true),
    ("extension_encoding", |c| c.extension(oid::SUBJECT_KEY_IDENTIFIER).value = vec![4, 5, 0]),
    ("extension_encoding", |c| c.extension(oid::KEY_USAGE).value.push(0)),
    ("extension_unknown_critical", |c| {
        let odd = Extension::new(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1"), true, vec![5, 0]);
        c.fields.extensions.push(odd);
    }),
    ("extension_unexpected", |c| {
        c.fields.extensions.push(Extension::new(oid::SUBJECT_ALT_NAME, false, vec![0x30, 0]));
    }),
    ("extension_critical", |c| c.extension(oid::CERTIFICATE_POLICIES).critical = true),
    ("issuer_is_ca", |c| {
        let bits = extension::key_usage(&[Usage::CrlSign]).unwrap();
        c.issuer.extensions.iter_mut().filter(|e| e.oid == oid::KEY_USAGE).for_each(|e| *e = bits.clone());
    }),
    ("issuer_is_ca", |c| c.issuer.extensions.retain(|e| e.oid != oid::BASIC_CONSTRAINTS)),
    ("key_usage_required", |c| c.drop(oid::KEY_USAGE)),
    ("key_usage_critical", |c| c.extension(oid::KEY_USAGE).critical = false),
    ("key_usage_exact", |c| {
        c.replace(extension::key_usage(&[Usage::DigitalSignature, Usage::CrlSign]).unwrap());
    }),
    ("eku_required", |c| c.drop(oid::EXTENDED_KEY_USAGE)),
    ("eku_critical", |c| c.extension(oid::EXTENDED_KEY_USAGE).critical = true),
    ("eku_forbidden", |c| c.purposes(&[oid::CODE_SIGNING, oid::SERVER_AUTH])),
    ("eku_forbidden", |c| c.purposes(&[oid::CODE_SIGNING, oid::ANY_EXTENDED_KEY_USAGE])),
    ("eku_forbidden", |c| c.purposes(&[oid::CODE_SIGNING, oid::EMAIL_PROTECTION])),
    ("eku_code_signing_time_stamping", |c| c.purposes(&[oid::CODE_SIGNING, oid::TIME_STAMPING])),
    ("eku_unexpected", |c| c.purposes(&[oid::CODE_SIGNING, oid::CLIENT_AUTH])),
    ("eku_within_issuer", |c| {
        let other = extension::extended_key_usage(&[Eku::ClientAuth], false).unwrap();
        c.issuer.extensions.iter_mut().filter(|e| e.oid == oid::EXTENDED_KEY_USAGE).for_each(|e| *e = other.clone());
    }),
    ("policies_required", |c| c.drop(oid::CERTIFICATE_POLICIES)),
    ("crl_url_required", |c| c.drop(oid::CRL_DISTRIBUTION_POINTS)),
    ("crl_url_http", |c| c.replace(extension::crl_distribution_points("https://pki.example.com/x.crl").unwrap())),
    ("aia_url_required", |c| c.drop(oid::AUTHORITY_INFO_ACCESS)),
    ("aia_url_http", |c| c.replace(extension::ca_issuers("ldap://pki.example.com/x").unwrap())),
    ("ski_required", |c| c.drop(oid::SUBJECT_KEY_IDENTIFIER)),
    ("aki_required", |c| c.drop(oid::AUTHORITY_KEY_IDENTIFIER)),
    ("aki_matches_issuer", |c| c.replace(extension::authority_key_identifier(&[9; 20]).unwrap())),
];

const CA_CHANGES: &[(&str, Change)] = &[
    ("validity_days", |c| c.fields.not_after = Instant::new(c.fields.not_before.time + TimeDelta::days(2922))),
    ("basic_constraints", |c| c.drop(oid::BASIC_CONSTRAINTS)),
    ("basic_constraints", |c| c.extension(oid::BASIC_CONSTRAINTS).value = vec![0x30, 0]),
    ("basic_constraints_critical", |c| c.extension(oid::BASIC_CONSTRAINTS).critical = false),
    ("path_len", |c| c.replace(extension::basic_constraints(None).unwrap())),
    ("path_len", |c| c.replace(extension::basic_constraints(Some(1)).unwrap())),
    ("issuer_path_len", |c| {
        let limited = extension::basic_constraints(Some(0)).unwrap();
        c.issuer.extensions.iter_mut().filter(|e| e.oid == oid::BASIC_CONSTRAINTS).for_each(|e| *e = limited.clone());
    }),
    ("rsa_key_size", |c| c.fields.spki = rsa_spki(3072, &[1, 0, 1])),
];

#[test]
fn each_rule_is_broken_by_a_certificate_that_breaks_just_it() {
    let hierarchy = Hierarchy::new();
    let mut broken = BTreeSet::new();
    assert!(Case::leaf(&hierarchy, ProfileName::Authenticode).rules().is_empty());
    for (rule, change) in LEAF_CHANGES {
        let mut case = Case::leaf(&hierarchy, ProfileName::Authenticode);
        change(&mut case);
        assert_eq!(case.rules(), [*rule]);
        broken.insert(*rule);
    }
    assert!(Case::ca(&hierarchy).rules().is_empty());
    for (rule, change) in CA_CHANGES {
        let mut case = Case::ca(&hierarchy);
        change(&mut case);
        assert_eq!(case.rules(), [*rule]);
        broken.insert(*rule);
    }
    let installer = Hierarchy::with(ProfileName::InstallerCa, ProfileName::Installer);
    let mut case = Case::leaf(&installer, ProfileName::Installer);
    assert!(case.rules().is_empty());
    case.drop(oid::APPLE_INSTALLER_MARKER);
    assert_eq!(case.rules(), ["marker_required"]);
    broken.insert("marker_required");
    let all: BTreeSet<_> = fields::RULES.iter().chain(extensions::RULES).map(|rule| rule.id).collect();
    assert_eq!(all, broken, "every rule has its certificate");
}

#[test]
fn limits_are_exact_and_the_sandbox_gives_way_in_two_points_only() {
    let hierarchy = Hierarchy::new();
    let mut case = Case::leaf(&hierarchy, ProfileName::Authenticode);
    let last_second = TimeDelta::days(460) - TimeDelta::seconds(1);
    case.fields.not_after = Instant::new(case.fields.not_before.time + last_second);
    assert!(case.rules().is_empty());
    for (rule, change) in LEAF_CHANGES {
        let mut case = Case::leaf(&hierarchy, ProfileName::Authenticode);
        case.environment = Environment::Sandbox;
        change(&mut case);
        let relaxed = matches!(*rule, "key_algorithm" | "crl_url_required" | "aia_url_required");
        assert_eq!(case.rules().is_empty(), relaxed, "{rule}");
    }
}

#[test]
fn others_may_write_their_certificates_their_way_but_not_these_parts() {
    let hierarchy = Hierarchy::new();
    let lenient = [
        "validity_within_issuer",
        "subject_unexpected",
        "subject_duplicate",
        "subject_multivalued",
        "subject_filler",
        "subject_encoding",
        "subject_locality_or_state",
        "subject_common_name",
        "extension_unexpected",
        "extension_critical",
        "eku_unexpected",
        "eku_critical",
        "policies_required",
        "crl_url_required",
        "crl_url_http",
        "aia_url_required",
        "aia_url_http",
        "ski_required",
        "leaf_validity_460_days",
    ];
    for (rule, change) in LEAF_CHANGES {
        let mut case = Case::leaf(&hierarchy, ProfileName::Authenticode);
        case.origin = Origin::Imported;
        change(&mut case);
        assert_eq!(case.rules().is_empty(), lenient.contains(rule), "{rule}");
    }
}
