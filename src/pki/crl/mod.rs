//! Certificate revocation lists (RFC 5280 §5): reading and checking them here, making them in [`build`], putting them
//! where others read them in [`delivery`]. Which certificates are on a list, and when it is due, is decided elsewhere.
//! No key is touched here: a list takes a signature that was made for its bytes.
//!
//! A list may be long (a hundred thousand entries are ordinary), so entries are read one by one into small records and
//! found by binary search. Lists that need what is not done here (deltas, indirect lists, lists for some reasons only)
//! are read but never [usable](Crl::check_usable): half a list must not pass for a whole one.

pub mod build;
pub mod delivery;
mod entry;
mod reason;

pub use build::{CrlDraft, CrlPlan, LintedCrl, Revocation, Scope, check_successor, rehearse};
pub use entry::{Entry, MAX_ENTRIES};
pub use reason::Reason;

use super::asn1::{self, Elements, Instant, tag};
use super::certificate::{self, Certificate, Extension, Signed};
use super::name::{self, Name};
use super::oid;
use crate::error::{Error, Result};
use crate::model::{Hash256, Signature};
use const_oid::ObjectIdentifier;
use der::Decode;
use entry::parse_entries;
use std::fmt;
use x509_cert::ext::pkix::{crl::dp::IssuingDistributionPoint, name::DistributionPointName};

/// The most bytes a CRL may have.
pub const MAX_CRL: usize = 64 * 1024 * 1024;

/// A CRL with its exact bytes.
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    tbs: Vec<u8>,
    version: u8,
    algorithm: Vec<u8>,
    outer_algorithm: Vec<u8>,
    signature: Signature,
    issuer: Vec<u8>,
    this_update: Instant,
    next_update: Option<Instant>,
    entries: Vec<Entry>,
    /// Indexes into `entries`, by serial.
    order: Vec<usize>,
    extensions: Vec<Extension>,
    /// What makes it unusable, seen while reading.
    unsupported: Option<String>,
    empty_list: bool,
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl({}, {} entries)", self.issuer(), self.entries.len())
    }
}

impl Crl {
    /// Reads one DER CRL and nothing after it.
    ///
    /// # Errors
    /// `crl_too_large` above [`MAX_CRL`] or [`MAX_ENTRIES`]; `malformed_der` naming the field.
    pub fn parse(der: &[u8]) -> Result<Self> {
        if der.len() > MAX_CRL {
            return Err(Error::failed(
                "crl_too_large",
                format!("a CRL of {} bytes; the limit is {MAX_CRL}", der.len()),
            ));
        }
        parse(der).map_err(|e| e.about("CRL"))
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The exact bytes of the TBSCertList.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// signature inside and signatureAlgorithm outside, DER.
    pub fn algorithms(&self) -> (&[u8], &[u8]) {
        (&self.algorithm, &self.outer_algorithm)
    }

    /// The issuer.
    pub fn issuer(&self) -> Name {
        Name::from_raw(self.issuer.clone())
    }

    /// thisUpdate.
    pub fn this_update(&self) -> Instant {
        self.this_update
    }

    /// nextUpdate.
    pub fn next_update(&self) -> Option<Instant> {
        self.next_update
    }

    /// The revoked certificates in the order of the list.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `revokedCertificates` is there but empty, which RFC 5280 §5.1.2.6 forbids.
    pub fn has_empty_list(&self) -> bool {
        self.empty_list
    }

    /// crlExtensions.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The first extension with this identifier.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|e| e.oid == *oid)
    }

    /// SHA-256 of the DER.
    pub fn sha256(&self) -> Hash256 {
        Hash256::of(&self.der)
    }

    /// Contents of the cRLNumber INTEGER.
    pub fn number(&self) -> Option<Vec<u8>> {
        let mut value = Elements::new(&self.extension(&oid::CRL_NUMBER)?.value).ok()?;
        let number = value.integer("cRLNumber").ok()?.to_vec();
        value.end("cRLNumber").ok().map(|()| number)
    }

    /// The keyIdentifier of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Option<Vec<u8>> {
        certificate::key_identifier(&self.extension(&oid::AUTHORITY_KEY_IDENTIFIER)?.value)
    }

    /// issuingDistributionPoint.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn distribution_point(&self) -> Result<Option<IssuingDistributionPoint>> {
        let Some(extension) = self.extension(&oid::ISSUING_DISTRIBUTION_POINT) else { return Ok(None) };
        let decoded = IssuingDistributionPoint::from_der(&extension.value);
        decoded.map(Some).map_err(|e| asn1::malformed("issuingDistributionPoint", &e.to_string()))
    }

    /// The URLs that issuingDistributionPoint names.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn urls(&self) -> Result<Vec<String>> {
        let point = self.distribution_point()?.and_then(|point| point.distribution_point);
        Ok(point.as_ref().map(certificate::urls).unwrap_or_default())
    }

    /// The entry of this serial number (INTEGER contents). If several say so, the one that takes effect first.
    pub fn find(&self, serial: &[u8]) -> Option<&Entry> {
        let start = self.order.partition_point(|at| self.entries.get(*at).is_some_and(|e| *e.serial < *serial));
        let rest = self.order.get(start..)?.iter().filter_map(|at| self.entries.get(*at));
        rest.take_while(|e| *e.serial == *serial).min_by_key(|e| e.effective())
    }

    /// Checks that the list was signed by this CA: issuer name, key identifiers if both are there,
    /// cRLSign, and the signature with the key of its certificate.
    ///
    /// # Errors
    /// `crl_issuer`, `signature_algorithm`, `bad_signature`.
    pub fn verify(&self, issuer: &Certificate) -> Result<()> {
        let refuse = |why: &str| Err(Error::finding("crl_issuer", format!("CRL: {why}")));
        if !name::same(&self.issuer, &issuer.fields().subject) {
            return refuse("issued under another name");
        }
        if let (Some(ours), Some(theirs)) = (self.authority_key_identifier(), issuer.subject_key_identifier())
            && ours != theirs
        {
            return refuse("signed by another key of this issuer");
        }
        match issuer.key_usage() {
            Ok(usage) if usage.is_none_or(|u| u.crl_sign()) => {}
            _ => return refuse("the issuer's key usage lacks cRLSign"),
        }
        if self.algorithm != self.outer_algorithm {
            return Err(Error::finding("signature_algorithm", "CRL: the algorithms inside and outside differ"));
        }
        let key = issuer.public_key()?;
        certificate::verify(&self.tbs, &self.outer_algorithm, &self.signature, &key).map_err(|e| e.about("CRL"))
    }

    /// Checks that the list is complete for what it covers, and that nothing critical in it is unknown.
    ///
    /// # Errors
    /// `crl_unsupported` naming the extension.
    pub fn check_usable(&self) -> Result<()> {
        let unsupported = |what: &str| Err(Error::finding("crl_unsupported", format!("CRL: {what}")));
        if let Some(what) = &self.unsupported {
            return unsupported(what);
        }
        let known = [oid::ISSUING_DISTRIBUTION_POINT, oid::AUTHORITY_KEY_IDENTIFIER, oid::CRL_NUMBER];
        if let Some(odd) = self.extensions.iter().find(|e| e.critical && !known.contains(&e.oid)) {
            return unsupported(&format!("extension {} is critical and not supported", odd.oid));
        }
        let twice = |e: &&Extension| self.extensions.iter().filter(|other| other.oid == e.oid).count() > 1;
        if let Some(twice) = self.extensions.iter().find(twice) {
            return unsupported(&format!("extension {} occurs more than once", twice.oid));
        }
        if self.extension(&oid::DELTA_CRL_INDICATOR).is_some() {
            return unsupported("a delta CRL");
        }
        match self.distribution_point()? {
            Some(point) if point.indirect_crl => unsupported("an indirect CRL"),
            Some(point) if point.only_some_reasons.is_some() => unsupported("a CRL for some reasons only"),
            Some(point) if point.only_contains_attribute_certs => unsupported("a CRL for attribute certificates"),
            _ => Ok(()),
        }
    }

    /// Whether the list speaks about this certificate: its issuer's name, key identifiers if both are there, CA or end
    /// entity as issuingDistributionPoint says, and, if that names a distribution point, one name in common with those
    /// of the certificate (RFC 5280 §6.3.3 (b)). A certificate that names none has none in common. An unreadable
    /// issuingDistributionPoint excludes nothing; [`Self::check_usable`] refuses it.
    pub fn covers(&self, certificate: &Certificate) -> bool {
        if !name::same(&self.issuer, &certificate.fields().issuer) {
            return false;
        }
        if let (Some(ours), Some(theirs)) = (self.authority_key_identifier(), certificate.authority_key_identifier())
            && ours != theirs
        {
            return false;
        }
        let Ok(Some(point)) = self.distribution_point() else { return true };
        let kind_fits = match certificate.is_ca() {
            true => !point.only_contains_user_certs,
            false => !point.only_contains_ca_certs,
        };
        let names = certificate.distribution_points();
        kind_fits && point.distribution_point.is_none_or(|ours| names.iter().any(|theirs| in_common(&ours, theirs)))
    }
}

fn in_common(ours: &DistributionPointName, theirs: &DistributionPointName) -> bool {
    match (ours, theirs) {
        (DistributionPointName::FullName(ours), DistributionPointName::FullName(theirs)) => {
            ours.iter().any(|name| theirs.contains(name))
        }
        // Relative to the same issuer, since the issuers' names were compared.
        _ => ours == theirs,
    }
}

fn parse(der: &[u8]) -> Result<Crl> {
    let signed = Signed::parse(der, "certificateList")?;
    let mut outer = Elements::new(signed.tbs)?;
    let mut inner = outer.enter(tag::SEQUENCE, "tbsCertList")?;
    let version = match inner.peek() {
        Some(tag::INTEGER) => match inner.integer("version")? {
            [1] => 2,
            _ => return Err(asn1::malformed("version", "not v2")),
        },
        _ => 1,
    };
    let algorithm = inner.take(tag::SEQUENCE, "signature")?.raw.to_vec();
    let issuer = inner.take(tag::SEQUENCE, "issuer")?.raw.to_vec();
    let this_update = inner.time("thisUpdate")?;
    let next_update = if inner.at_time() { Some(inner.time("nextUpdate")?) } else { None };
    let (mut entries, mut unsupported, mut empty_list) = (Vec::new(), None, false);
    if let Some(list) = inner.optional(tag::SEQUENCE, "revokedCertificates")? {
        entries = parse_entries(list.value, &mut unsupported)?;
        empty_list = entries.is_empty();
    }
    let mut extensions = Vec::new();
    if let Some(wrapped) = inner.optional(tag::context(0), "crlExtensions")? {
        let mut wrapped = Elements::new(wrapped.value)?;
        extensions = Extension::parse_list(&mut wrapped)?;
        wrapped.end("crlExtensions")?;
    }
    inner.end("tbsCertList")?;
    let serial = |at: &usize| entries.get(*at).map(|e: &Entry| e.serial.clone());
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_cached_key(serial);
    Ok(Crl {
        der: der.to_vec(),
        tbs: signed.tbs.to_vec(),
        version,
        algorithm,
        outer_algorithm: signed.algorithm.to_vec(),
        signature: Signature(signed.signature.to_vec()),
        issuer,
        this_update,
        next_update,
        entries,
        order,
        extensions,
        unsupported,
        empty_list,
    })
}

#[cfg(test)]
mod tests;
