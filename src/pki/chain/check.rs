//! Judging one path from leaf to root (RFC 5280 §6.1), once its signatures are known to be right.

use super::{ChainError, Eku, Revocation, Revoked};
use crate::clock::Time;
use crate::error::Error;
use crate::pki::certificate::Certificate;
use crate::pki::crl::Crl;
use crate::pki::oid;
use const_oid::ObjectIdentifier;

/// What the chain is asked to show.
pub(super) struct Demand<'a> {
    pub at: Time,
    pub of: Asked,
    pub revocation: Revocation<'a>,
}

/// What its first certificate is for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// It signs, for this purpose.
    Signs(Eku),
    /// It issues certificates, for whatever purpose its own allows.
    Issues,
}

/// Critical extensions that are processed, or that only concern names and policies nobody asks about here. Apple's
/// markers have no contents to process.
const UNDERSTOOD: &[ObjectIdentifier] = &[
    oid::BASIC_CONSTRAINTS,
    oid::KEY_USAGE,
    oid::EXTENDED_KEY_USAGE,
    oid::SUBJECT_KEY_IDENTIFIER,
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::SUBJECT_ALT_NAME,
    oid::CERTIFICATE_POLICIES,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::AUTHORITY_INFO_ACCESS,
    oid::APPLE_INSTALLER_MARKER,
    oid::APPLE_APPLICATION_MARKER,
    oid::APPLE_DEVELOPER_ID_CA_MARKER,
];

/// Says whether every certificate below the root was looked up in a list.
pub(super) fn path(path: &[Certificate], demand: &Demand<'_>, budget: &mut u32) -> Result<bool, ChainError> {
    let mut below = 0usize;
    for (depth, certificate) in path.iter().enumerate() {
        dates(certificate, demand.at)?;
        understood(certificate)?;
        if depth > 0 || matches!(demand.of, Asked::Issues) {
            let is_root = depth.saturating_add(1) == path.len();
            issuer(certificate, is_root, below)?;
            // Self-issued certificates do not count towards pathLenConstraint (RFC 5280 §6.1.4 (l)).
            below = below.saturating_add(usize::from(!certificate.is_self_issued()));
        }
        if let Asked::Signs(wanted) = demand.of {
            purpose(certificate, depth == 0, wanted)?;
        }
    }
    let mut all = true;
    for pair in path.windows(2) {
        let [certificate, issuer] = pair else { continue };
        all &= revocation(certificate, issuer, demand, budget)?;
    }
    Ok(all)
}

fn dates(certificate: &Certificate, at: Time) -> Result<(), ChainError> {
    let subject = || certificate.subject().to_string();
    if at > certificate.not_after() {
        return Err(ChainError::Expired { subject: subject(), not_after: certificate.not_after() });
    }
    if at < certificate.not_before() {
        return Err(ChainError::NotYetValid { subject: subject(), not_before: certificate.not_before() });
    }
    Ok(())
}

/// Nothing critical that is unknown, nothing twice, and nothing unreadable among what is read.
fn understood(certificate: &Certificate) -> Result<(), ChainError> {
    let unsupported =
        |detail: String| Err(ChainError::Unsupported { subject: certificate.subject().to_string(), detail });
    let list = &certificate.fields().extensions;
    if let Some(odd) = list.iter().find(|e| e.critical && !UNDERSTOOD.contains(&e.oid)) {
        return unsupported(format!("extension {} is critical and not supported", odd.oid));
    }
    if let Some(twice) = list.iter().find(|e| list.iter().filter(|other| other.oid == e.oid).count() > 1) {
        return unsupported(format!("extension {} occurs more than once", twice.oid));
    }
    let read = certificate.basic_constraints().map(drop);
    let read = read.and_then(|()| certificate.key_usage().map(drop));
    match read.and_then(|()| certificate.extended_key_usage().map(drop)) {
        Ok(()) => Ok(()),
        Err(error) => unsupported(error.message().to_owned()),
    }
}

/// May this certificate have `below` CAs and a leaf below it?
fn issuer(certificate: &Certificate, is_root: bool, below: usize) -> Result<(), ChainError> {
    let refuse = |detail: &str| {
        Err(ChainError::NotAnIssuer { subject: certificate.subject().to_string(), detail: detail.into() })
    };
    match certificate.basic_constraints().ok().flatten() {
        Some(constraints) if !constraints.ca => return refuse("basicConstraints says it is no CA"),
        Some(constraints) => {
            if constraints.path_len_constraint.is_some_and(|limit| usize::from(limit) < below) {
                return refuse("more CAs below it than its pathLenConstraint allows");
            }
        }
        // A root is trusted because the caller says so, and old ones are v1.
        None if is_root && certificate.fields().version < 3 => {}
        None => return refuse("no basicConstraints, so it is no CA"),
    }
    match certificate.key_usage().ok().flatten() {
        Some(usage) if !usage.key_cert_sign() => refuse("its keyUsage lacks keyCertSign"),
        _ => Ok(()),
    }
}

/// A leaf must name the purpose; an issuer must not exclude it.
fn purpose(certificate: &Certificate, is_leaf: bool, purpose: Eku) -> Result<(), ChainError> {
    let refuse = |detail: String| Err(ChainError::WrongPurpose { subject: certificate.subject().to_string(), detail });
    let usages = certificate.extended_key_usage().ok().flatten();
    if !is_leaf {
        let excluded =
            usages.is_some_and(|list| !list.contains(&purpose.oid()) && !list.contains(&oid::ANY_EXTENDED_KEY_USAGE));
        return if excluded { refuse(format!("its extKeyUsage excludes {purpose:?}")) } else { Ok(()) };
    }
    let usages = usages.unwrap_or_default();
    if !usages.contains(&purpose.oid()) {
        return refuse(format!("its extKeyUsage does not name {purpose:?}"));
    }
    // RFC 3161 §2.3 wants it critical, too. Tokens in real files lack that, so it is for the timestamp's reader to judge.
    if purpose == Eku::TimeStamping && usages.len() != 1 {
        return refuse("its extKeyUsage is not timeStamping alone (RFC 3161 §2.3)".into());
    }
    match certificate.key_usage().ok().flatten() {
        Some(usage) if !usage.digital_signature() && !usage.non_repudiation() => {
            refuse("its keyUsage lacks digitalSignature".into())
        }
        _ => Ok(()),
    }
}

/// Looks the certificate up; says whether there was a list.
fn revocation(
    certificate: &Certificate,
    issuer: &Certificate,
    demand: &Demand<'_>,
    budget: &mut u32,
) -> Result<bool, ChainError> {
    let (crls, required) = match demand.revocation {
        Revocation::Unchecked => return Ok(false),
        Revocation::IfKnown(crls) => (crls, false),
        Revocation::Required(crls) => (crls, true),
    };
    let (mut fresh, mut trouble) = (false, None);
    for crl in crls.iter().filter(|crl| crl.covers(certificate)) {
        *budget = budget.checked_sub(1).ok_or(ChainError::TooComplex)?;
        let invalid = |error: Error| {
            let detail = error.message().to_owned();
            ChainError::CrlInvalid { issuer: crl.issuer().to_string(), detail }
        };
        if let Err(error) = crl.verify(issuer) {
            trouble = Some(invalid(error));
            continue;
        }
        // An authentic list that is not understood, a delta for one, may say what the others do not: no way around it.
        crl.check_usable().map_err(invalid)?;
        revoked(crl, certificate, demand.at)?;
        let next_update = crl.next_update().map(|next| next.time);
        if next_update.is_some_and(|next| demand.at <= next) {
            fresh = true;
        } else {
            trouble = Some(ChainError::CrlExpired { issuer: crl.issuer().to_string(), next_update });
        }
    }
    match trouble {
        _ if fresh => Ok(true),
        Some(trouble) => Err(trouble),
        None if required => Err(ChainError::CrlMissing { subject: certificate.subject().to_string() }),
        None => Ok(false),
    }
}

/// An entry counts from its effective date on; an expired list still tells what was revoked.
fn revoked(crl: &Crl, certificate: &Certificate, at: Time) -> Result<(), ChainError> {
    match crl.find(&certificate.fields().serial) {
        Some(entry) if entry.effective() <= at => Err(ChainError::Revoked(Box::new(Revoked {
            subject: certificate.subject().to_string(),
            serial: certificate.serial_hex(),
            date: entry.revocation_date.time,
            reason: entry.reason,
            invalidity_date: entry.invalidity_date,
        }))),
        _ => Ok(()),
    }
}
