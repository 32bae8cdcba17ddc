//! A small path check for timestamp authorities: from the authority's certificate over those it brought along to one
//! of the roots given, all of them valid at the stated time (the part of RFC 5280 §6 that they need).
//!
//! Looked at: names and signatures, validity, basicConstraints with its path length, keyUsage, extended key usage of the
//! certificates between, unknown critical extensions. Not looked at: revocation. Names are compared byte by byte.
//! Hostile sets of certificates are kept cheap by a bound on the signatures that are verified.

use super::ChainCheck;
use super::token::TIME_STAMPING;
use crate::clock::{Time, rfc3339};
use crate::error::{Error, Result, shown};
use crate::formats::cms::{Certificate, Digest, Scheme};
use crate::formats::tlv::{Tlv, tag};
use crate::model::{Signature, Tbs};
use const_oid::ObjectIdentifier;

const MAX_PATH: usize = 8;
const MAX_VERIFICATIONS: usize = 64;
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// Critical extensions that are understood, or that ask for nothing where every policy will do.
const UNDERSTOOD: [ObjectIdentifier; 4] = [KEY_USAGE, BASIC_CONSTRAINTS, CERTIFICATE_POLICIES, EXTENDED_KEY_USAGE];

/// A [`ChainCheck`] that trusts these certificates (DER).
///
/// The check gives `chain_untrusted` if no path leads to a root; `chain_not_valid` if a certificate on it was
/// not valid at the time; `chain_bad_certificate` if one may not be where it is, or its signature is wrong.
///
/// # Errors
/// `malformed_der` for a root that cannot be read.
pub fn to_roots(roots: &[Vec<u8>]) -> Result<Box<ChainCheck<'static>>> {
    let roots: Vec<Certificate> = roots.iter().map(|der| Certificate::parse(der)).collect::<Result<_>>()?;
    Ok(Box::new(move |leaf: &Certificate, pool: &[Vec<u8>], at: Time| {
        let pool: Vec<Certificate> = pool.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
        let mut search = Search { roots: &roots, pool: &pool, at, left: MAX_VERIFICATIONS };
        check_extensions(leaf)?;
        if key_usage(leaf).is_some_and(|bits| bits & (DIGITAL_SIGNATURE | NON_REPUDIATION) == 0) {
            return Err(bad(leaf, "may not sign"));
        }
        search.from(leaf, 0)
    }))
}

const DIGITAL_SIGNATURE: u8 = 0x80;
const NON_REPUDIATION: u8 = 0x40;
const KEY_CERT_SIGN: u8 = 0x04;

struct Search<'a> {
    roots: &'a [Certificate],
    pool: &'a [Certificate],
    at: Time,
    left: usize,
}

impl Search<'_> {
    /// Finds a path from a certificate that has `below` CA certificates under it.
    fn from(&mut self, certificate: &Certificate, below: usize) -> Result<()> {
        check_validity(certificate, self.at)?;
        if self.roots.iter().any(|root| root.der == certificate.der) {
            return Ok(());
        }
        let mut error = Error::finding(
            "chain_untrusted",
            format!("no path leads from \"{}\" to a trusted root", shown(&certificate.subject_text())),
        );
        if below >= MAX_PATH {
            return Err(error);
        }
        let (roots, pool) = (self.roots, self.pool);
        let candidates = roots.iter().map(|root| (root, true)).chain(pool.iter().map(|other| (other, false)));
        for (issuer, is_root) in candidates.filter(|(issuer, _)| issuer.subject == certificate.issuer) {
            match self.step(certificate, issuer, is_root, below) {
                Ok(()) => return Ok(()),
                Err(found) => error = found,
            }
        }
        Err(error)
    }

    fn step(&mut self, certificate: &Certificate, issuer: &Certificate, is_root: bool, below: usize) -> Result<()> {
        check_issuer(issuer, is_root, below)?;
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::finding("chain_untrusted", "the certificates form too many paths to look at all of them")
        })?;
        check_signed_by(certificate, issuer)?;
        if is_root { check_validity(issuer, self.at) } else { self.from(issuer, below + 1) }
    }
}

fn bad(certificate: &Certificate, why: &str) -> Error {
    let subject = shown(&certificate.subject_text());
    Error::finding("chain_bad_certificate", format!("the certificate of \"{subject}\" {why}"))
}

fn check_validity(certificate: &Certificate, at: Time) -> Result<()> {
    if (certificate.not_before..=certificate.not_after).contains(&at) {
        return Ok(());
    }
    let subject = shown(&certificate.subject_text());
    let (from, to) = (rfc3339(certificate.not_before), rfc3339(certificate.not_after));
    let message = format!("the certificate of \"{subject}\" is valid from {from} to {to}, not at {}", rfc3339(at));
    Err(Error::finding("chain_not_valid", message))
}

fn check_extensions(certificate: &Certificate) -> Result<()> {
    match certificate.extensions.iter().find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.oid)) {
        Some(extension) => Err(bad(certificate, &format!("has the unknown critical extension {}", extension.oid))),
        None => Ok(()),
    }
}

/// The first byte of the keyUsage bits; `None` without the extension.
fn key_usage(certificate: &Certificate) -> Option<u8> {
    let extension = certificate.extension(KEY_USAGE)?;
    let bits = Tlv::parse(&extension.value, "keyUsage").ok().filter(|bits| bits.tag == tag::BIT_STRING);
    // What cannot be read allows nothing.
    Some(bits.and_then(|bits| bits.value.get(1).copied()).unwrap_or(0))
}

fn check_issuer(issuer: &Certificate, is_root: bool, below: usize) -> Result<()> {
    check_extensions(issuer)?;
    // A root of X.509 version 1 has no extensions; that somebody trusts it is what makes it a CA.
    let version_1_root = is_root && issuer.extensions.is_empty();
    let (ca, path_len) = basic_constraints(issuer)?;
    if !ca && !version_1_root {
        return Err(bad(issuer, "is no CA certificate"));
    }
    if path_len.is_some_and(|limit| below > limit as usize) {
        return Err(bad(issuer, "does not allow so many CA certificates below it"));
    }
    if key_usage(issuer).is_some_and(|bits| bits & KEY_CERT_SIGN == 0) {
        return Err(bad(issuer, "may not sign certificates"));
    }
    let purposes = issuer.extended_key_usage()?;
    let allows = |(_, purposes): (bool, Vec<_>)| purposes.contains(&TIME_STAMPING) || purposes.contains(&ANY_PURPOSE);
    if !is_root && !purposes.is_none_or(allows) {
        return Err(bad(issuer, "is not for timestamping"));
    }
    Ok(())
}

fn basic_constraints(certificate: &Certificate) -> Result<(bool, Option<u32>)> {
    let Some(extension) = certificate.extension(BASIC_CONSTRAINTS) else {
        return Ok((false, None));
    };
    let mut reader = Tlv::sequence(&extension.value, "basicConstraints")?;
    let ca = reader.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.value != [0]);
    let path_len = reader.optional(tag::INTEGER)?.map(|limit| limit.small("pathLenConstraint")).transpose()?;
    reader.finish()?;
    Ok((ca, path_len))
}

fn check_signed_by(certificate: &Certificate, issuer: &Certificate) -> Result<()> {
    let algorithm = &certificate.signature_algorithm;
    let mechanism = match algorithm.scheme(&Digest::Unknown(algorithm.oid)) {
        Scheme::Known(mechanism) => mechanism,
        Scheme::Weak(name) => return Err(bad(certificate, &format!("is signed with {name}"))),
        Scheme::Unknown(oid) => return Err(bad(certificate, &format!("is signed with the unknown algorithm {oid}"))),
    };
    let signature = Signature(certificate.signature.clone());
    let checked = issuer.public_key()?.verify(&Tbs::message(mechanism, &certificate.tbs), &signature);
    checked.map_err(|error| bad(certificate, "is not signed by its issuer's key").because(error))
}
