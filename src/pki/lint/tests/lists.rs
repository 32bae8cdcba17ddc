//! Lists that break one rule each.

use super::*;
use crate::pki::crl::Reason;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;

/// A CRL that is right until a test changes something.
struct List {
    version: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Instant,
    next_update: Option<Instant>,
    entries: Option<Vec<Vec<u8>>>,
    extensions: Vec<Extension>,
    ca: Fields,
    point: IssuingDistributionPoint,
}

fn entry(serial: u8, date: Instant, extensions: &[Extension]) -> Vec<u8> {
    let list = if extensions.is_empty() { Vec::new() } else { Extension::encode_list(extensions) };
    asn1::sequence(&[&asn1::unsigned(&[serial; 8]), &date.encode(), &list])
}

fn reason(code: u8) -> Extension {
    Extension::new(oid::REASON_CODE, false, asn1::tlv(tag::ENUMERATED, &[&[code]]))
}

impl List {
    fn new(hierarchy: &Hierarchy) -> Self {
        let ca = hierarchy.intermediate.fields().clone();
        let identifier = hierarchy.intermediate.subject_key_identifier().unwrap();
        let point = IssuingDistributionPoint {
            distribution_point: Some(extension::point_names(["http://pki.example.com/x.crl"]).unwrap()),
            only_contains_user_certs: true,
            only_contains_ca_certs: false,
            only_some_reasons: None,
            indirect_crl: false,
            only_contains_attribute_certs: false,
        };
        List {
            version: asn1::unsigned(&[1]),
            algorithm: ca.algorithm.clone(),
            issuer: ca.subject.clone(),
            this_update: Instant::new(now()),
            next_update: Some(Instant::new(now() + TimeDelta::days(10))),
            entries: Some(vec![entry(5, Instant::new(now()), &[reason(4)])]),
            extensions: vec![
                extension::authority_key_identifier(&identifier).unwrap(),
                Extension::new(oid::CRL_NUMBER, false, vec![2, 1, 9]),
            ],
            ca,
            point,
        }
    }

    fn rules(&self, environment: Environment) -> Vec<&'static str> {
        let mut extensions = self.extensions.clone();
        if !extensions.iter().any(|e| e.oid == oid::ISSUING_DISTRIBUTION_POINT) {
            extensions.push(extension::encode(oid::ISSUING_DISTRIBUTION_POINT, true, &self.point).unwrap());
        }
        let tbs = asn1::sequence(&[
            &self.version,
            &self.algorithm,
            &self.issuer,
            &self.this_update.encode(),
            &self.next_update.map(|next| next.encode()).unwrap_or_default(),
            &self.entries.as_ref().map(|list| asn1::sequence(&[&list.concat()])).unwrap_or_default(),
            &asn1::tlv(tag::context(0), &[&Extension::encode_list(&extensions)]),
        ]);
        let der = asn1::sequence(&[&tbs, &self.algorithm, &asn1::bit_string(&[1; 64])]);
        let issuer = wrap(&self.ca, &self.ca.algorithm);
        let findings = crl(&Crl::parse(&der).unwrap(), &issuer, SandboxRelaxation::of(environment));
        findings.iter().map(|f| f.rule).collect()
    }
}

type ListChange = fn(&mut List);

const CRL_CHANGES: &[(&str, ListChange)] = &[
    ("crl_version_2", |l| l.version.clear()),
    ("crl_signature_algorithm", |l| {
        l.algorithm = asn1::sequence(&[&asn1::oid(&ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"))]);
    }),
    ("crl_issuer_name_bytes", |l| l.ca.subject = crate::pki::testing::subject("other").der().to_vec()),
    ("crl_issuer_crl_sign", |l| {
        let bits = extension::key_usage(&[Usage::KeyCertSign]).unwrap();
        l.ca.extensions.iter_mut().filter(|e| e.oid == oid::KEY_USAGE).for_each(|e| *e = bits.clone());
    }),
    ("crl_time_encoding", |l| l.this_update.utc_time = false),
    ("crl_time_encoding", |l| {
        l.entries = Some(vec![entry(5, Instant { time: now(), utc_time: false }, &[])]);
    }),
    ("crl_next_update", |l| l.next_update = None),
    ("crl_next_update", |l| l.next_update = Some(l.this_update)),
    ("crl_validity_days", |l| l.next_update = Some(Instant::new(now() + TimeDelta::seconds(864_001)))),
    ("crl_within_issuer", |l| l.ca.not_after = Instant::new(now() + TimeDelta::days(5))),
    ("crl_within_issuer", |l| l.ca.not_before = Instant::new(now() + TimeDelta::days(5))),
    ("crl_empty_list", |l| l.entries = Some(Vec::new())),
    ("crl_entry_serial", |l| {
        let one = entry(5, Instant::new(now()), &[]);
        l.entries = Some(vec![one.clone(), entry(4, Instant::new(now()), &[]), one]);
    }),
    ("crl_entry_reason", |l| l.entries = Some(vec![entry(5, Instant::new(now()), &[reason(0)])])),
    ("crl_entry_reason", |l| l.entries = Some(vec![entry(5, Instant::new(now()), &[reason(6)])])),
    ("crl_entry_reason", |l| l.entries = Some(vec![entry(5, Instant::new(now()), &[reason(8)])])),
    ("crl_entry_invalidity_date", |l| {
        let earlier = Instant { time: now() - TimeDelta::days(1), utc_time: false };
        let invalid = Extension::new(oid::INVALIDITY_DATE, false, earlier.encode());
        l.entries = Some(vec![entry(5, Instant::new(now()), &[reason(1), invalid])]);
    }),
    ("crl_entry_future", |l| {
        l.entries = Some(vec![entry(5, Instant::new(now() + TimeDelta::seconds(1)), &[])]);
    }),
    ("crl_extension_duplicate", |l| {
        let again = l.extensions[0].clone();
        l.extensions.push(again);
    }),
    ("crl_extension_unexpected", |l| l.extensions.push(Extension::new(oid::FRESHEST_CRL, false, vec![0x30, 0]))),
    ("crl_aki", |l| l.extensions.retain(|e| e.oid != oid::AUTHORITY_KEY_IDENTIFIER)),
    ("crl_aki", |l| l.extensions[0] = extension::authority_key_identifier(&[9; 20]).unwrap()),
    ("crl_number", |l| l.extensions.retain(|e| e.oid != oid::CRL_NUMBER)),
    ("crl_number", |l| l.extensions[1].critical = true),
    ("crl_number", |l| l.extensions[1].value = vec![2, 1, 0x80]),
    ("crl_idp", |l| l.point.only_contains_user_certs = false),
    ("crl_idp", |l| l.point.only_contains_ca_certs = true),
    ("crl_idp", |l| l.point.indirect_crl = true),
    ("crl_idp", |l| {
        l.extensions.push(extension::encode(oid::ISSUING_DISTRIBUTION_POINT, false, &l.point).unwrap());
    }),
    ("crl_idp_url", |l| l.point.distribution_point = None),
    ("crl_idp_url", |l| {
        l.point.distribution_point = Some(extension::point_names(["https://pki.example.com/x.crl"]).unwrap());
    }),
];

#[test]
fn each_crl_rule_is_broken_by_a_list_that_breaks_just_it() {
    let hierarchy = Hierarchy::new();
    assert!(List::new(&hierarchy).rules(Environment::Production).is_empty());
    let mut broken = BTreeSet::new();
    for (rule, change) in CRL_CHANGES {
        let mut list = List::new(&hierarchy);
        change(&mut list);
        assert_eq!(list.rules(Environment::Production), [*rule]);
        broken.insert(*rule);
    }
    let all: BTreeSet<_> = super::crl::rule_ids().collect();
    assert_eq!(all, broken, "every rule has its list");
    let mut list = List::new(&hierarchy);
    list.point.distribution_point = None;
    assert!(list.rules(Environment::Sandbox).is_empty());
    // A root's list may live for a year.
    list.point.only_contains_user_certs = false;
    list.point.only_contains_ca_certs = true;
    list.next_update = Some(Instant::new(now() + TimeDelta::days(366)));
    assert!(list.rules(Environment::Sandbox).is_empty());
    assert_eq!("superseded".parse::<Reason>().unwrap().code(), 4);
    assert_eq!(time("2026-11-20T12:00:00Z"), now());
}
