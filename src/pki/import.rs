//! Taking in a certificate that another CA issued for a key of ours (design §6, `import`).
//!
//! The certificate is judged, never copied from: its key must be ours, it must chain to a root the workspace trusts,
//! and it must look as its profile says, by the rules that count for other CAs.

use super::certificate::Certificate;
use super::chain::{self, Chain, Revocation};
use super::lint::{self, Context, Finding, Origin};
use super::profile::{Eku, Profile, ProfileName, SandboxRelaxation};
use crate::clock::{Time, rfc3339};
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::Environment;

/// What is to be taken in, and what it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// DER.
    pub certificate: &'a [u8],
    /// DER; those that came with it, untrusted.
    pub intermediates: &'a [Vec<u8>],
    /// DER; trusted.
    pub roots: &'a [Vec<u8>],
    /// The key of ours it should be for, as the token has it.
    pub key: &'a PublicKey,
    /// [`ProfileName::Authenticode`] or another end-entity profile.
    pub profile: ProfileName,
    /// Where.
    pub environment: Environment,
    /// Now.
    pub at: Time,
    /// What is known about revocation.
    pub revocation: Revocation<'a>,
}

/// A certificate that may be used with its key. Made by [`check`] only.
#[derive(Debug)]
pub struct Imported {
    certificate: Certificate,
    chain: Chain,
    warnings: Vec<Finding>,
}

impl Imported {
    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Findings that do not stop it.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

/// Judges the certificate.
///
/// # Errors
/// Naming the field: `certificate_key_mismatch` (subjectPublicKeyInfo), `certificate_expired` and
/// `certificate_not_yet_valid` (validity), the codes of [`chain::ChainError`], `Blocked` `lint` with the profile's broken
/// rules; `Usage` `no_import` for CA profiles.
pub fn check(import: &Import<'_>) -> Result<Imported> {
    let profile = Profile::get(import.profile)?;
    let purpose = match profile.extended_key_usage.as_slice() {
        [purpose] if !profile.is_ca() => *purpose,
        _ => return Err(Error::usage("no_import", format!("{} certificates are not imported", import.profile))),
    };
    let certificate = Certificate::parse(import.certificate)?;
    check_key(&certificate, import.key)?;
    check_dates(&certificate, import.at)?;
    let chain = build_chain(import, purpose)?;
    let context = Context {
        profile,
        issuer: chain.issuer(),
        relaxation: SandboxRelaxation::of(import.environment),
        origin: Origin::Imported,
    };
    let warnings = lint::passed(lint::certificate(&certificate, &context))?;
    Ok(Imported { certificate, chain, warnings })
}

/// Equal bytes, or the same key written differently (which lint then tells about).
fn check_key(certificate: &Certificate, key: &PublicKey) -> Result<()> {
    let theirs = certificate.public_key().map_err(|e| e.about("subjectPublicKeyInfo"))?;
    if theirs.spki() == key.spki() || theirs.key().public_eq(key.key()) {
        return Ok(());
    }
    let message = format!(
        "subjectPublicKeyInfo: the certificate is for the key {}, not for {}",
        theirs.spki_hash(),
        key.spki_hash()
    );
    Err(Error::failed("certificate_key_mismatch", message))
}

fn check_dates(certificate: &Certificate, at: Time) -> Result<()> {
    if at > certificate.not_after() {
        let message = format!("validity.notAfter: expired at {}", rfc3339(certificate.not_after()));
        return Err(Error::finding("certificate_expired", message));
    }
    if at < certificate.not_before() {
        let message = format!("validity.notBefore: not valid before {}", rfc3339(certificate.not_before()));
        return Err(Error::finding("certificate_not_yet_valid", message));
    }
    Ok(())
}

fn build_chain(import: &Import<'_>, purpose: Eku) -> Result<Chain> {
    let Import { certificate, intermediates, roots, at, revocation, .. } = *import;
    chain::build(certificate, intermediates, roots, at, purpose, revocation)
        .map_err(|e| Error::from(e).hint("give the CA's intermediates and a trusted root with the certificate"))
}

#[cfg(test)]
mod tests;
