//! Rules about CRLs (RFC 5280 §5, CSBR 4.9.7 and 7.2, governance C3 and C4).

use super::{Finding, Severity};
use crate::pki::algorithm;
use crate::pki::asn1::Instant;
use crate::pki::certificate::{self, Certificate};
use crate::pki::crl::{Crl, Reason};
use crate::pki::oid;
use crate::pki::profile::SandboxRelaxation;
use chrono::TimeDelta;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;

/// The longest time to nextUpdate of a list about end-entity certificates, days (CSBR 4.9.7).
const MAX_USER_DAYS: i64 = 10;

/// The same for a list about CA certificates: twelve months.
const MAX_CA_DAYS: i64 = 366;

type Broken = fn(&Crl, &Certificate, SandboxRelaxation) -> Option<String>;

const RULES: &[(&str, &str, Broken)] = &[
    ("crl_version_2", "version", |crl, _, _| (crl.version() != 2).then(|| "not v2".into())),
    ("crl_signature_algorithm", "signature", |crl, issuer, _| {
        let (inner, outer) = crl.algorithms();
        let good = algorithm::mechanism(inner).is_some_and(|mechanism| {
            let fits = issuer.public_key().is_ok_and(|key| algorithm::fits(&key, mechanism));
            fits && inner == outer && algorithm::identifier(mechanism) == inner
        });
        (!good).then(|| "not accepted, unusual, or different outside".into())
    }),
    ("crl_issuer_name_bytes", "issuer", |crl, issuer, _| {
        (crl.issuer() != issuer.subject()).then(|| "not the bytes of the CA's subject".into())
    }),
    ("crl_issuer_crl_sign", "issuer", |_, issuer, _| {
        let usage = issuer.key_usage().ok().flatten();
        (!usage.is_some_and(|u| u.crl_sign())).then(|| "the CA's keyUsage lacks cRLSign".into())
    }),
    ("crl_time_encoding", "thisUpdate", |crl, _, _| {
        let dates = crl.entries().iter().map(|e| e.revocation_date);
        let mut all = dates.chain([crl.this_update()]).chain(crl.next_update());
        all.any(|instant| Instant::new(instant.time) != instant)
            .then(|| "dates through 2049 are UTCTime, later ones GeneralizedTime".into())
    }),
    ("crl_next_update", "nextUpdate", |crl, _, _| match crl.next_update() {
        None => Some("missing".into()),
        Some(next) if next.time <= crl.this_update().time => Some("not after thisUpdate".into()),
        Some(_) => None,
    }),
    ("crl_validity_days", "nextUpdate", |crl, _, _| {
        let about_users = point(crl)?.only_contains_user_certs;
        let limit = if about_users { MAX_USER_DAYS } else { MAX_CA_DAYS };
        let length = crl.next_update()?.time.signed_duration_since(crl.this_update().time);
        (length > TimeDelta::days(limit)).then(|| format!("{} days; at most {limit}", length.num_days()))
    }),
    ("crl_within_issuer", "thisUpdate", |crl, issuer, _| {
        let end = crl.next_update().map_or(crl.this_update().time, |next| next.time);
        (crl.this_update().time < issuer.not_before() || end > issuer.not_after())
            .then(|| "outside the CA's own validity".into())
    }),
    ("crl_empty_list", "revokedCertificates", |crl, _, _| crl.has_empty_list().then(|| "present but empty".into())),
    ("crl_entry_serial", "revokedCertificates.userCertificate", |crl, _, _| {
        let mut serials: Vec<_> = crl.entries().iter().map(|e| &e.serial).collect();
        serials.sort();
        let twice = serials.windows(2).find(|pair| pair.first() == pair.last())?;
        Some(format!("serial {} occurs more than once", crate::model::hex(twice.first()?)))
    }),
    ("crl_entry_reason", "revokedCertificates.reasonCode", |crl, _, _| {
        let never = [Reason::Unspecified, Reason::CertificateHold, Reason::RemoveFromCrl];
        let reason = crl.entries().iter().filter_map(|e| e.reason).find(|reason| never.contains(reason))?;
        Some(format!("{reason} is never written"))
    }),
    ("crl_entry_invalidity_date", "revokedCertificates.invalidityDate", |crl, _, _| {
        let differs = |e: &&crate::pki::crl::Entry| e.invalidity_date.is_some_and(|d| d != e.revocation_date.time);
        let entry = crl.entries().iter().find(differs)?;
        Some(format!("not the revocationDate of serial {}", crate::model::hex(&entry.serial)))
    }),
    ("crl_entry_future", "revokedCertificates.revocationDate", |crl, _, _| {
        let entry = crl.entries().iter().find(|e| e.revocation_date.time > crl.this_update().time)?;
        Some(format!("serial {} is revoked after thisUpdate", crate::model::hex(&entry.serial)))
    }),
    ("crl_extension_duplicate", "crlExtensions", |crl, _, _| {
        let list = crl.extensions();
        let twice = list.iter().find(|e| list.iter().filter(|other| other.oid == e.oid).count() > 1)?;
        Some(format!("extension {} occurs more than once", twice.oid))
    }),
    ("crl_extension_unexpected", "crlExtensions", |crl, _, _| {
        let known = [oid::AUTHORITY_KEY_IDENTIFIER, oid::CRL_NUMBER, oid::ISSUING_DISTRIBUTION_POINT];
        let odd = crl.extensions().iter().find(|e| !known.contains(&e.oid))?;
        Some(format!("extension {} is not written here", odd.oid))
    }),
    ("crl_aki", "authorityKeyIdentifier", |crl, issuer, _| {
        let same = crl.authority_key_identifier().is_some_and(|id| Some(id) == issuer.subject_key_identifier());
        let critical = crl.extension(&oid::AUTHORITY_KEY_IDENTIFIER).is_some_and(|e| e.critical);
        (!same || critical).then(|| "missing, critical, or not the CA's subjectKeyIdentifier".into())
    }),
    ("crl_number", "cRLNumber", |crl, _, _| {
        let number = crl.number().is_some_and(|n| n.len() <= 20 && n.first().is_some_and(|b| *b < 0x80));
        let critical = crl.extension(&oid::CRL_NUMBER).is_some_and(|e| e.critical);
        (!number || critical).then(|| "missing, critical, negative, or longer than 20 octets".into())
    }),
    ("crl_idp", "issuingDistributionPoint", |crl, _, _| {
        let critical = crl.extension(&oid::ISSUING_DISTRIBUTION_POINT).is_some_and(|e| e.critical);
        let whole = point(crl).is_some_and(|p| {
            let part = p.indirect_crl || p.only_some_reasons.is_some() || p.only_contains_attribute_certs;
            p.only_contains_user_certs != p.only_contains_ca_certs && !part
        });
        (!critical || !whole).then(|| "not critical, or not about either CA or end-entity certificates, wholly".into())
    }),
    ("crl_idp_url", "issuingDistributionPoint", |crl, _, relaxation| {
        let urls = point(crl)?.distribution_point.as_ref().map(certificate::urls).unwrap_or_default();
        let good = urls.iter().all(|url| url.starts_with("http://"));
        (!good || (urls.is_empty() && !relaxation.urls_optional())).then(|| "no http URL".into())
    }),
];

fn point(crl: &Crl) -> Option<IssuingDistributionPoint> {
    crl.distribution_point().ok().flatten()
}

#[cfg(test)]
pub(super) fn rule_ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|row| row.0)
}

pub(super) fn judge(crl: &Crl, issuer: &Certificate, relaxation: SandboxRelaxation) -> Vec<Finding> {
    let judge = |(rule, field, broken): &(&'static str, &'static str, Broken)| {
        let message = broken(crl, issuer, relaxation)?;
        Some(Finding { rule, field, severity: Severity::Error, message })
    };
    RULES.iter().filter_map(judge).collect()
}
