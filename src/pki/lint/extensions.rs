//! Rules about the extensions.

use super::{Context, Origin, Rule};
use crate::error::Result;
use crate::pki::certificate::Certificate;
use crate::pki::oid;
use crate::pki::profile::Need;
use const_oid::ObjectIdentifier;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, CrlDistributionPoints, KeyUsages, SubjectKeyIdentifier,
};

/// The extensions that are read here.
const KNOWN: &[ObjectIdentifier] = &[
    oid::BASIC_CONSTRAINTS,
    oid::KEY_USAGE,
    oid::EXTENDED_KEY_USAGE,
    oid::SUBJECT_KEY_IDENTIFIER,
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::CERTIFICATE_POLICIES,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::AUTHORITY_INFO_ACCESS,
];

/// Purposes that no certificate for signing code or packages may have beside its own (CSBR 7.1.2.3).
const FORBIDDEN: &[ObjectIdentifier] = &[oid::ANY_EXTENDED_KEY_USAGE, oid::SERVER_AUTH, oid::EMAIL_PROTECTION];

pub(super) const RULES: &[Rule] = &[
    Rule::both("extension_duplicate", "extensions", |c, _| {
        let list = &c.fields().extensions;
        let twice = list.iter().find(|e| list.iter().filter(|other| other.oid == e.oid).count() > 1)?;
        Some(format!("extension {} occurs more than once", twice.oid))
    }),
    Rule::both("extension_default", "extensions", |c, _| {
        let spelled = c.fields().extensions.iter().find(|e| e.spelled_default)?;
        Some(format!("extension {} spells out that it is not critical", spelled.oid))
    }),
    Rule::both("extension_encoding", "extensions", extension_encoding),
    Rule::both("extension_unknown_critical", "extensions", |c, context| {
        let known = |oid: &ObjectIdentifier| KNOWN.contains(oid) || context.profile.marker == Some(*oid);
        let odd = c.fields().extensions.iter().find(|e| e.critical && !known(&e.oid))?;
        Some(format!("extension {} is critical and not known", odd.oid))
    }),
    Rule::ours("extension_unexpected", "extensions", |c, context| {
        // Unknown critical ones have a rule of their own.
        let odd = |e: &ObjectIdentifier| !expected(e, context);
        let mut list = c.fields().extensions.iter();
        let odd = list.find(|e| odd(&e.oid) && (!e.critical || KNOWN.contains(&e.oid)))?;
        Some(format!("extension {} is not in the profile", odd.oid))
    }),
    Rule::ours("extension_critical", "extensions", |c, _| {
        let plain = [
            oid::SUBJECT_KEY_IDENTIFIER,
            oid::AUTHORITY_KEY_IDENTIFIER,
            oid::CERTIFICATE_POLICIES,
            oid::CRL_DISTRIBUTION_POINTS,
            oid::AUTHORITY_INFO_ACCESS,
        ];
        let wrong = c.fields().extensions.iter().find(|e| e.critical && plain.contains(&e.oid))?;
        Some(format!("extension {} must not be critical", wrong.oid))
    }),
    Rule::both("basic_constraints", "basicConstraints", |c, context| match c.basic_constraints().ok()? {
        None if context.profile.is_ca() => Some("missing".into()),
        Some(constraints) if constraints.ca != context.profile.is_ca() => Some(format!("cA is {}", constraints.ca)),
        _ => None,
    }),
    Rule::both("basic_constraints_critical", "basicConstraints", |c, context| {
        let plain = c.extension(&oid::BASIC_CONSTRAINTS).is_some_and(|e| !e.critical);
        (context.profile.is_ca() && plain).then(|| "not critical in a CA".into())
    }),
    Rule::ours("path_len", "basicConstraints.pathLenConstraint", |c, context| {
        let constraints = c.basic_constraints().ok()??;
        let (found, wanted) = (constraints.path_len_constraint, context.profile.path_len);
        // The wrong cA is for basic_constraints to say.
        (constraints.ca == context.profile.is_ca() && found != wanted)
            .then(|| format!("{found:?} where the profile says {wanted:?}"))
    }),
    Rule::both("issuer_is_ca", "issuer", |_, context| {
        let issuer = context.issuer?;
        let usage = issuer.key_usage().ok()?;
        (!issuer.is_ca() || !usage.is_none_or(|u| u.key_cert_sign()))
            .then(|| "the issuer's certificate is not that of a CA".into())
    }),
    Rule::both("issuer_path_len", "issuer", |c, context| {
        let limit = context.issuer?.basic_constraints().ok()??.path_len_constraint;
        (limit == Some(0) && c.is_ca()).then(|| "the issuer's pathLenConstraint 0 allows no CA below it".into())
    }),
    Rule::both("key_usage_required", "keyUsage", |c, _| {
        c.extension(&oid::KEY_USAGE).is_none().then(|| "missing".into())
    }),
    Rule::both("key_usage_critical", "keyUsage", |c, _| {
        c.extension(&oid::KEY_USAGE).is_some_and(|e| !e.critical).then(|| "not critical".into())
    }),
    Rule::both("key_usage_exact", "keyUsage", key_usage_exact),
    Rule::both("eku_required", "extKeyUsage", |c, context| {
        let present = c.extended_key_usage().ok()?.unwrap_or_default();
        let missing = context.profile.extended_key_usage.iter().find(|e| !present.contains(&e.oid()))?;
        Some(format!("{missing:?} is missing"))
    }),
    Rule::both("eku_critical", "extKeyUsage", |c, context| {
        let critical = c.extension(&oid::EXTENDED_KEY_USAGE)?.critical;
        let wanted = context.profile.extended_key_usage_critical;
        (critical != wanted && (wanted || context.origin == Origin::Issued)).then(|| format!("critical is {critical}"))
    }),
    Rule::both("eku_forbidden", "extKeyUsage", |c, _| {
        let present = c.extended_key_usage().ok()??;
        let bad = FORBIDDEN.iter().find(|oid| present.contains(oid))?;
        Some(format!("{bad} is forbidden"))
    }),
    Rule::both("eku_code_signing_time_stamping", "extKeyUsage", |c, _| {
        let present = c.extended_key_usage().ok()??;
        let both = present.contains(&oid::CODE_SIGNING) && present.contains(&oid::TIME_STAMPING);
        both.then(|| "code signing and timestamping in one certificate".into())
    }),
    Rule::ours("eku_unexpected", "extKeyUsage", |c, context| {
        let present = c.extended_key_usage().ok()??;
        let wanted: Vec<_> = context.profile.extended_key_usage.iter().map(|e| e.oid()).collect();
        // The pair and the forbidden ones have rules of their own; a profile without purposes has the extension refused.
        let named = |oid: &ObjectIdentifier| {
            FORBIDDEN.contains(oid) || [oid::CODE_SIGNING, oid::TIME_STAMPING].contains(oid) || wanted.contains(oid)
        };
        let odd = present.iter().find(|oid| !wanted.is_empty() && !named(oid))?;
        Some(format!("{odd} is not in the profile"))
    }),
    Rule::both("eku_within_issuer", "extKeyUsage", |c, context| {
        let allowed = context.issuer?.extended_key_usage().ok()??;
        let present = c.extended_key_usage().ok()?.unwrap_or_default();
        let beyond =
            present.iter().find(|oid| !allowed.contains(oid) && !allowed.contains(&oid::ANY_EXTENDED_KEY_USAGE));
        Some(format!("{} is not among the issuer's purposes", beyond?))
    }),
    Rule::ours("policies_required", "certificatePolicies", |c, context| {
        let none = c.policies().ok()?.unwrap_or_default().is_empty();
        (context.profile.policies == Need::Required && none).then(|| "missing".into())
    }),
    Rule::ours("crl_url_required", "cRLDistributionPoints", |c, context| {
        (urls_required(context) && c.extension(&oid::CRL_DISTRIBUTION_POINTS).is_none()).then(|| "missing".into())
    }),
    Rule::ours("crl_url_http", "cRLDistributionPoints", |c, _| {
        c.extension(&oid::CRL_DISTRIBUTION_POINTS)?;
        not_http(&c.crl_urls())
    }),
    Rule::ours("aia_url_required", "authorityInfoAccess", |c, context| {
        (urls_required(context) && c.extension(&oid::AUTHORITY_INFO_ACCESS).is_none()).then(|| "missing".into())
    }),
    Rule::ours("aia_url_http", "authorityInfoAccess", |c, _| {
        c.extension(&oid::AUTHORITY_INFO_ACCESS)?;
        not_http(&c.access_urls(&oid::AD_CA_ISSUERS))
    }),
    Rule::ours("ski_required", "subjectKeyIdentifier", |c, _| {
        c.extension(&oid::SUBJECT_KEY_IDENTIFIER).is_none().then(|| "missing".into())
    }),
    Rule::both("aki_required", "authorityKeyIdentifier", |c, context| {
        (context.issuer.is_some() && c.authority_key_identifier().is_none()).then(|| "no keyIdentifier".into())
    }),
    Rule::both("aki_matches_issuer", "authorityKeyIdentifier", |c, context| {
        let (ours, issuers) = (c.authority_key_identifier()?, context.issuer?.subject_key_identifier()?);
        (ours != issuers).then(|| "not the issuer's subjectKeyIdentifier".into())
    }),
    Rule::both("marker_required", "extensions", |c, context| {
        let marker = context.profile.marker?;
        c.extension(&marker).is_none().then(|| format!("the marker {marker} is missing"))
    }),
];

/// Whether the profile has a use for this extension.
fn expected(oid: &ObjectIdentifier, context: &Context<'_>) -> bool {
    let profile = context.profile;
    match *oid {
        oid::BASIC_CONSTRAINTS | oid::KEY_USAGE | oid::SUBJECT_KEY_IDENTIFIER => true,
        oid::AUTHORITY_KEY_IDENTIFIER => context.issuer.is_some(),
        oid::EXTENDED_KEY_USAGE => !profile.extended_key_usage.is_empty(),
        oid::CERTIFICATE_POLICIES => profile.policies != Need::Forbidden,
        oid::CRL_DISTRIBUTION_POINTS | oid::AUTHORITY_INFO_ACCESS => profile.urls != Need::Forbidden,
        other => profile.marker == Some(other),
    }
}

/// Whether every extension read here can be read, as a whole.
fn extension_encoding(c: &Certificate, _: &Context<'_>) -> Option<String> {
    let results: [Result<()>; 8] = [
        c.basic_constraints().map(drop),
        c.key_usage().map(drop),
        c.extended_key_usage().map(drop),
        c.policies().map(drop),
        c.decode::<SubjectKeyIdentifier>(&oid::SUBJECT_KEY_IDENTIFIER).map(drop),
        c.decode::<AuthorityKeyIdentifier>(&oid::AUTHORITY_KEY_IDENTIFIER).map(drop),
        c.decode::<CrlDistributionPoints>(&oid::CRL_DISTRIBUTION_POINTS).map(drop),
        c.decode::<AuthorityInfoAccessSyntax>(&oid::AUTHORITY_INFO_ACCESS).map(drop),
    ];
    results.into_iter().find_map(|result| result.err().map(|e| e.message().to_owned()))
}

/// Ours have exactly the profile's bits; others' have those at least, and a leaf is no CA.
fn key_usage_exact(c: &Certificate, context: &Context<'_>) -> Option<String> {
    let bits = c.key_usage().ok()??.0;
    let wanted = context.profile.key_usage.iter().fold(FlagSet::default(), |all, usage| all | usage.bit());
    let ca_bits = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    let good = match context.origin {
        Origin::Issued => bits == wanted,
        Origin::Imported => bits.contains(wanted) && (context.profile.is_ca() || bits.is_disjoint(ca_bits)),
    };
    (!good).then(|| format!("{bits:?} where the profile says {wanted:?}"))
}

fn urls_required(context: &Context<'_>) -> bool {
    context.profile.urls == Need::Required && !context.relaxation.urls_optional()
}

/// Plain http, so that nobody needs to check a certificate in order to check a certificate.
fn not_http(urls: &[String]) -> Option<String> {
    let good =
        |url: &String| url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    (urls.is_empty() || !urls.iter().all(good)).then(|| "no http URL, or one that is not http".into())
}
