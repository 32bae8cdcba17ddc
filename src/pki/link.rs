//! The certificates between an old root and a new one (RFC 9810 §4.4), for those who trust only one of them.
//!
//! `newWithOld` lasts until the old root ends: by then everyone has to know the new one. `oldWithNew` lasts as long as
//! the old root did, so that what was signed in its time is still followed up by those who know only the new one. Both
//! follow from the two roots, but for the serial number.

use super::certificate::Certificate;
use super::issue::{CertificatePlan, Issuer, Validity};
use super::profile::ProfileName;
use super::serial::Serial;
use crate::error::{Error, Result};
use crate::model::{Environment, HashAlgorithm};

/// What the certificate for `subject`'s public key by `issuer` will say; both are roots.
///
/// # Errors
/// `roots_not_linkable`: the two do not overlap in time; a root that cannot be read.
pub fn plan(
    subject: &Certificate,
    issuer: &Certificate,
    serial: Serial,
    environment: Environment,
) -> Result<CertificatePlan> {
    let validity =
        Validity { not_before: subject.not_before(), not_after: subject.not_after().min(issuer.not_after()) };
    if validity.not_before >= validity.not_after {
        let message = format!("{} and {} do not overlap in time", subject.sha256(), issuer.sha256());
        return Err(Error::blocked("roots_not_linkable", message));
    }
    let algorithm = issuer.public_key()?.algorithm();
    let algorithm = algorithm.ok_or_else(|| Error::failed("bad_public_key", "a root has a key of no known kind"))?;
    Ok(CertificatePlan {
        profile: ProfileName::RootLink,
        environment,
        subject: subject.subject(),
        public_key: subject.public_key()?,
        issuer: Issuer::ca(issuer, ProfileName::RootCa),
        serial,
        validity,
        crl_url: None,
        aia_url: None,
        policies: Vec::new(),
        mechanism: algorithm.mechanism(HashAlgorithm::Sha256),
    })
}

#[cfg(test)]
mod tests;
