//! Rules about the fields outside the extensions.

use super::{Context, Origin, Rule};
use crate::pki::algorithm;
use crate::pki::asn1::{self, Elements, Instant, magnitude, tag};
use crate::pki::certificate::Certificate;
use crate::pki::name::Attribute;
use crate::pki::oid;
use crate::pki::profile::Eku;
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;

pub(super) const RULES: &[Rule] =
    &[
        Rule::both("version_3", "version", |c, _| {
            let version = c.fields().version;
            (version != 3).then(|| format!("version {version}, not 3"))
        }),
        Rule::both("serial_positive", "serialNumber", |c, _| {
            let serial = magnitude(&c.fields().serial);
            serial.is_none_or(|bytes| bytes == [0]).then(|| "zero or negative".into())
        }),
        Rule::both("serial_size", "serialNumber", |c, _| {
            let octets = c.fields().serial.len();
            (!(8..=20).contains(&octets)).then(|| format!("{octets} octets; 8 to 20 are allowed"))
        }),
        Rule::both("signature_algorithm_match", "signatureAlgorithm", |c, _| {
            (c.fields().algorithm != c.outer_algorithm()).then(|| "differs from the one inside".into())
        }),
        Rule::both("signature_algorithm_allowed", "signature", |c, _| {
            let inner = &c.fields().algorithm;
            algorithm::mechanism(inner).is_none().then(|| format!("{} is not accepted", algorithm::describe(inner)))
        }),
        Rule::both("signature_algorithm_encoding", "signature", |c, _| {
            let inner = &c.fields().algorithm;
            let mechanism = algorithm::mechanism(inner)?;
            (algorithm::identifier(mechanism) != *inner).then(|| format!("unusual parameters for {mechanism}"))
        }),
        Rule::both("signature_algorithm_key", "signature", signature_algorithm_key),
        Rule::both("issuer_name_bytes", "issuer", |c, context| {
            let subject = context.issuer.map_or(&c.fields().subject, |issuer| &issuer.fields().subject);
            (c.fields().issuer != *subject).then(|| "not the bytes of the issuer's subject".into())
        }),
        Rule::both("validity_encoding", "validity", |c, _| {
            let wrong = |instant: Instant| Instant::new(instant.time) != instant;
            (wrong(c.fields().not_before) || wrong(c.fields().not_after))
                .then(|| "dates through 2049 are UTCTime, later ones GeneralizedTime".into())
        }),
        Rule::both("validity_order", "validity", |c, _| {
            (c.not_before() >= c.not_after()).then(|| "notAfter is not after notBefore".into())
        }),
        Rule::both("leaf_validity_460_days", "validity", |c, context| {
            if is_code_signing_leaf(context) { too_long(c, context) } else { None }
        }),
        Rule::both("validity_days", "validity", |c, context| {
            if is_code_signing_leaf(context) { None } else { too_long(c, context) }
        }),
        Rule::ours("validity_within_issuer", "validity", |c, context| {
            let issuer = context.issuer?;
            let begins = context.profile.link || c.not_before() >= issuer.not_before();
            let inside = c.not_after() <= issuer.not_after() && begins;
            (!inside).then(|| "outside the issuer's own validity".into())
        }),
        Rule::both("subject_required", "subject", |c, context| {
            let attributes = c.subject().attributes();
            let there = |oid: ObjectIdentifier| attributes.iter().any(|a| a.oid == oid && !a.value.is_empty());
            let missing: Vec<_> = context.profile.subject_required.iter().filter(|a| !there(a.oid())).collect();
            (!missing.is_empty()).then(|| format!("missing: {missing:?}"))
        }),
        Rule::both("subject_domain_component", "subject", |c, _| {
            has(c, &oid::DOMAIN_COMPONENT).then(|| "domainComponent is not allowed in code-signing certificates".into())
        }),
        Rule::ours("subject_unexpected", "subject", |c, context| {
            let profile = context.profile;
            let known = |oid: &ObjectIdentifier| {
                let mut listed = profile.subject_required.iter().chain(&profile.subject_allowed);
                *oid == oid::DOMAIN_COMPONENT || listed.any(|a| a.oid() == *oid)
            };
            let odd = c.subject().attributes().into_iter().map(|a| a.oid).find(|oid| !known(oid));
            odd.map(|oid| format!("attribute {oid} is not in the profile"))
        }),
        Rule::ours("subject_duplicate", "subject", |c, _| {
            let attributes = c.subject().attributes();
            let twice = attributes.iter().find(|a| attributes.iter().filter(|b| b.oid == a.oid).count() > 1)?;
            Some(format!("attribute {} occurs more than once", twice.oid))
        }),
        Rule::ours("subject_multivalued", "subject", |c, _| {
            let names = c.subject().relative_names().ok()?;
            names.iter().any(|set| set.len() > 1).then(|| "a relative name with several attributes".into())
        }),
        Rule::both("subject_country", "subject.countryName", |c, _| {
            let country = c.subject().get(&oid::COUNTRY)?;
            let good = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
            (!good).then(|| "not two upper-case letters".into())
        }),
        Rule::ours("subject_filler", "subject", |c, _| {
            let attributes = c.subject().attributes();
            let filler =
                |a: &&Attribute| a.text().is_some_and(|t| !t.is_empty() && !t.chars().any(char::is_alphanumeric));
            attributes.iter().find(filler).map(|a| format!("attribute {} says nothing, like '-' or '.'", a.oid))
        }),
        Rule::ours("subject_encoding", "subject", |c, _| {
            let Ok(names) = c.subject().relative_names() else { return Some("unreadable".into()) };
            let wrong = |a: &Attribute| !well_encoded(a);
            names.iter().flatten().find(|a| wrong(a)).map(|a| format!("attribute {} has the wrong string type", a.oid))
        }),
        Rule::warning("subject_locality_or_state", "subject", |c, context| {
            let neither = !has(c, &oid::LOCALITY) && !has(c, &oid::STATE);
            (is_code_signing_leaf(context) && neither)
                .then(|| "neither locality nor state, which public code-signing certificates must have".into())
        }),
        Rule::warning("subject_common_name", "subject.commonName", |c, context| {
            let (name, organization) = (c.subject().get(&oid::COMMON_NAME)?, c.subject().get(&oid::ORGANIZATION)?);
            (is_code_signing_leaf(context) && name != organization).then(|| "not the organization's legal name".into())
        }),
        Rule::both("rsa_key_size", "subjectPublicKeyInfo", |c, context| {
            let key = c.public_key().ok().filter(|key| key.is_rsa())?;
            let (bits, least) = (key.key().bits(), context.profile.min_rsa_bits()?);
            (bits < least).then(|| format!("{bits} bits; at least {least} are needed"))
        }),
        Rule::both("key_algorithm", "subjectPublicKeyInfo", |c, context| {
            let key = c.public_key().ok()?;
            // Too small is for rsa_key_size to say.
            let small = key.is_rsa() && context.profile.min_rsa_bits().is_some_and(|least| key.key().bits() < least);
            if small { None } else { context.profile.check_key(&key, context.relaxation).err() }
        }),
        Rule::both("rsa_exponent", "subjectPublicKeyInfo", |c, _| {
            let rsa = c.public_key().ok()?.key().rsa().ok()?;
            (rsa.e().to_vec() != [1, 0, 1]).then(|| "the public exponent is not 65537".into())
        }),
        Rule::both("spki_encoding", "subjectPublicKeyInfo", spki_encoding),
        Rule::both("unique_identifiers", "issuerUniqueID", |c, _| {
            (!c.fields().unique_ids.is_empty()).then(|| "unique identifiers must not be used".into())
        }),
    ];

fn signature_algorithm_key(c: &Certificate, context: &Context<'_>) -> Option<String> {
    let mechanism = algorithm::mechanism(&c.fields().algorithm)?;
    let signer = context.issuer.unwrap_or(c).public_key().ok()?;
    (!algorithm::fits(&signer, mechanism)).then(|| format!("the issuer's key cannot make {mechanism} signatures"))
}

/// The rule of CSBR 6.3.2 has a name of its own; the number behind it is the profile's.
fn is_code_signing_leaf(context: &Context<'_>) -> bool {
    !context.profile.is_ca() && context.profile.extended_key_usage.contains(&Eku::CodeSigning)
}

/// Both ends count (RFC 5280 §4.1.2.5), so the length is a second more than the difference.
fn too_long(c: &Certificate, context: &Context<'_>) -> Option<String> {
    let limit = match context.origin {
        Origin::Issued => context.profile.max_validity_days,
        Origin::Imported => context.profile.import_max_validity_days.unwrap_or(context.profile.max_validity_days),
    };
    let length = c.not_after().signed_duration_since(c.not_before()).checked_add(&TimeDelta::seconds(1))?;
    (length > TimeDelta::days(i64::from(limit)))
        .then(|| format!("{} days and {} s; at most {limit} days", length.num_days(), length.num_seconds() % 86_400))
}

fn has(c: &Certificate, oid: &ObjectIdentifier) -> bool {
    c.subject().attributes().iter().any(|a| a.oid == *oid)
}

/// PrintableString or UTF8String (RFC 5280 §4.1.2.4), countryName always the first; domainComponent is IA5String.
fn well_encoded(attribute: &Attribute) -> bool {
    let printable = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
    match attribute.tag {
        tag::PRINTABLE_STRING => attribute.value.iter().all(printable),
        tag::UTF8_STRING => attribute.oid != oid::COUNTRY && attribute.text().is_some(),
        tag::IA5_STRING => attribute.oid == oid::DOMAIN_COMPONENT,
        _ => false,
    }
}

/// The one way to write a key: NULL parameters for RSA, a named curve and an uncompressed point for EC.
fn spki_encoding(c: &Certificate, _: &Context<'_>) -> Option<String> {
    let spki = &c.fields().spki;
    let Ok(key) = c.public_key() else { return Some("unreadable".into()) };
    let canonical = key.key().public_key_to_der().is_ok_and(|der| der == *spki);
    let named = algorithm_of(spki).is_some_and(|algorithm| known_algorithms().contains(&algorithm.to_vec()));
    let compressed = !key.is_rsa() && key.point().is_some_and(|point| !spki.ends_with(&point));
    (!canonical || !named || compressed).then(|| "not in the usual form".into())
}

fn algorithm_of(spki: &[u8]) -> Option<&[u8]> {
    let mut inner = Elements::new(spki).ok()?.enter(tag::SEQUENCE, "subjectPublicKeyInfo").ok()?;
    Some(inner.take(tag::SEQUENCE, "algorithm").ok()?.raw)
}

fn known_algorithms() -> [Vec<u8>; 5] {
    let ec = |curve: &str| {
        let curve = ObjectIdentifier::new(curve).map(|oid| asn1::oid(&oid)).unwrap_or_default();
        asn1::sequence(&[&asn1::oid(&oid::EC_PUBLIC_KEY), &curve])
    };
    [
        asn1::sequence(&[&asn1::oid(&oid::RSA_ENCRYPTION), &asn1::tlv(tag::NULL, &[])]),
        ec("1.2.840.10045.3.1.7"),
        ec("1.3.132.0.34"),
        ec("1.3.132.0.35"),
        asn1::sequence(&[&asn1::oid(&oid::ED25519)]),
    ]
}
