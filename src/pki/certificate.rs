//! X.509 v3 certificates (RFC 5280 §4.1): the fields as the bytes they arrived in.
//!
//! [`Fields`] is the to-be-signed part as plain data. It parses hostile certificates leniently enough to say what is
//! wrong with them (odd serial numbers, wrong time types, duplicate extensions are lint's to judge) and strictly enough
//! that one certificate has one reading. Names, keys and algorithms stay raw, so that they can be copied and compared
//! byte for byte.

mod fields;

pub use fields::{Extension, Fields, MAX_EXTENSIONS};

use super::algorithm;
use super::asn1::{self, Elements, tag};
use super::name::{self, Name};
use super::oid;
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::{Hash256, Signature, Tbs, hex};
use const_oid::ObjectIdentifier;
use der::Decode;
use std::fmt;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, BasicConstraints, CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage,
    KeyUsage, SubjectKeyIdentifier,
    name::{DistributionPointName, GeneralName},
};

/// The most bytes a certificate may have.
pub const MAX_CERTIFICATE: usize = 64 * 1024;

/// The three parts that certificates, CRLs and requests share: what is signed, how, and the signature.
pub(super) struct Signed<'a> {
    pub tbs: &'a [u8],
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// # Errors
    /// `malformed_der`, trailing bytes included.
    pub fn parse(der: &'a [u8], what: &str) -> Result<Self> {
        let mut outer = Elements::new(der)?;
        let mut inner = outer.enter(tag::SEQUENCE, what)?;
        let tbs = inner.take(tag::SEQUENCE, "to-be-signed part")?.raw;
        let algorithm = inner.take(tag::SEQUENCE, "signatureAlgorithm")?.raw;
        let signature = inner.bits("signature")?;
        inner.end(what)?;
        outer.end(what)?;
        Ok(Signed { tbs, algorithm, signature })
    }
}

/// A certificate with its exact bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    fields: Fields,
    outer_algorithm: Vec<u8>,
    signature: Signature,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject(), self.sha256())
    }
}

impl Certificate {
    /// Reads one DER certificate and nothing after it.
    ///
    /// # Errors
    /// `certificate_too_large` above [`MAX_CERTIFICATE`]; `malformed_der` naming the field.
    pub fn parse(der: &[u8]) -> Result<Self> {
        if der.len() > MAX_CERTIFICATE {
            let message = format!("a certificate of {} bytes; the limit is {MAX_CERTIFICATE}", der.len());
            return Err(Error::failed("certificate_too_large", message));
        }
        let read = || {
            let signed = Signed::parse(der, "certificate")?;
            Ok(Certificate {
                der: der.to_vec(),
                tbs: signed.tbs.to_vec(),
                fields: Fields::parse(signed.tbs)?,
                outer_algorithm: signed.algorithm.to_vec(),
                signature: Signature(signed.signature.to_vec()),
            })
        };
        read().map_err(|e: Error| e.about("certificate"))
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The exact bytes of the TBSCertificate.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The to-be-signed part as data.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The outer signatureAlgorithm, DER.
    pub fn outer_algorithm(&self) -> &[u8] {
        &self.outer_algorithm
    }

    /// The signature value.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The subject.
    pub fn subject(&self) -> Name {
        Name::from_raw(self.fields.subject.clone())
    }

    /// The issuer.
    pub fn issuer(&self) -> Name {
        Name::from_raw(self.fields.issuer.clone())
    }

    /// The serial number's INTEGER contents in lower-case hex.
    pub fn serial_hex(&self) -> String {
        hex(&self.fields.serial)
    }

    /// The first second of validity.
    pub fn not_before(&self) -> Time {
        self.fields.not_before.time
    }

    /// The last second of validity.
    pub fn not_after(&self) -> Time {
        self.fields.not_after.time
    }

    /// SHA-256 of the DER: the fingerprint evidence shows.
    pub fn sha256(&self) -> Hash256 {
        Hash256::of(&self.der)
    }

    /// The subject's public key.
    ///
    /// # Errors
    /// `bad_public_key` when OpenSSL cannot read it.
    pub fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_spki(&self.fields.spki)
    }

    /// Issuer and subject are the same name.
    pub fn is_self_issued(&self) -> bool {
        name::same(&self.fields.issuer, &self.fields.subject)
    }

    /// The first extension with this identifier.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<&Extension> {
        self.fields.extensions.iter().find(|e| e.oid == *oid)
    }

    /// Decodes an extension; `Ok(None)` when it is absent.
    ///
    /// # Errors
    /// `malformed_der` naming the extension.
    pub fn decode<'a, T: Decode<'a, Error = der::Error>>(&'a self, oid: &ObjectIdentifier) -> Result<Option<T>> {
        let Some(extension) = self.extension(oid) else { return Ok(None) };
        let decoded = T::from_der(&extension.value);
        decoded.map(Some).map_err(|e| asn1::malformed(&format!("extension {oid}"), &e.to_string()))
    }

    /// basicConstraints.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>> {
        self.decode(&oid::BASIC_CONSTRAINTS)
    }

    /// A CA by its basicConstraints; unreadable ones do not count.
    pub fn is_ca(&self) -> bool {
        matches!(self.basic_constraints(), Ok(Some(BasicConstraints { ca: true, .. })))
    }

    /// keyUsage.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>> {
        self.decode(&oid::KEY_USAGE)
    }

    /// The purposes of extKeyUsage; `None` when the extension is absent.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn extended_key_usage(&self) -> Result<Option<Vec<ObjectIdentifier>>> {
        Ok(self.decode::<ExtendedKeyUsage>(&oid::EXTENDED_KEY_USAGE)?.map(|usage| usage.0))
    }

    /// certificatePolicies, identifiers only; `None` when absent.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn policies(&self) -> Result<Option<Vec<ObjectIdentifier>>> {
        let policies = self.decode::<CertificatePolicies>(&oid::CERTIFICATE_POLICIES)?;
        Ok(policies.map(|list| list.0.into_iter().map(|p| p.policy_identifier).collect()))
    }

    /// subjectKeyIdentifier, if there is a readable one.
    pub fn subject_key_identifier(&self) -> Option<Vec<u8>> {
        let ski = self.decode::<SubjectKeyIdentifier>(&oid::SUBJECT_KEY_IDENTIFIER).ok()??;
        Some(ski.0.as_bytes().to_vec())
    }

    /// The keyIdentifier of authorityKeyIdentifier, if there is a readable one.
    pub fn authority_key_identifier(&self) -> Option<Vec<u8>> {
        key_identifier(&self.extension(&oid::AUTHORITY_KEY_IDENTIFIER)?.value)
    }

    /// The names of the distribution points in cRLDistributionPoints that its own issuer serves, for all reasons; none
    /// if the extension is unreadable.
    pub fn distribution_points(&self) -> Vec<DistributionPointName> {
        let points = self.decode::<CrlDistributionPoints>(&oid::CRL_DISTRIBUTION_POINTS).ok().flatten();
        let points = points.map(|list| list.0).unwrap_or_default();
        let direct = points.into_iter().filter(|p| p.crl_issuer.is_none() && p.reasons.is_none());
        direct.filter_map(|p| p.distribution_point).collect()
    }

    /// The full-name URLs of [`Self::distribution_points`].
    pub fn crl_urls(&self) -> Vec<String> {
        self.distribution_points().iter().flat_map(urls).collect()
    }

    /// The URLs of authorityInfoAccess with this method; unreadable ones give none.
    pub fn access_urls(&self, method: &ObjectIdentifier) -> Vec<String> {
        let access = self.decode::<AuthorityInfoAccessSyntax>(&oid::AUTHORITY_INFO_ACCESS).ok().flatten();
        let access = access.map(|list| list.0).unwrap_or_default();
        access.iter().filter(|a| a.access_method == *method).filter_map(|a| url(&a.access_location)).collect()
    }

    /// Checks the certificate's signature with the issuer's key.
    ///
    /// # Errors
    /// `signature_algorithm` when the algorithm is not accepted or differs inside and outside; `bad_signature`.
    pub fn verify_signature(&self, issuer: &PublicKey) -> Result<()> {
        if self.fields.algorithm != self.outer_algorithm {
            return Err(Error::finding("signature_algorithm", "the signature algorithms inside and outside differ"));
        }
        verify(&self.tbs, &self.outer_algorithm, &self.signature, issuer)
    }
}

/// Checks a signature over `tbs` made as a DER AlgorithmIdentifier says.
pub(super) fn verify(tbs: &[u8], algorithm: &[u8], signature: &Signature, key: &PublicKey) -> Result<()> {
    let mechanism = algorithm::mechanism(algorithm).ok_or_else(|| {
        let message = format!("the signature algorithm {} is not accepted", algorithm::describe(algorithm));
        Error::finding("signature_algorithm", message)
    })?;
    key.verify(&Tbs::message(mechanism, tbs), signature)
}

/// keyIdentifier of a DER AuthorityKeyIdentifier; its other fields may be unreadable.
pub(super) fn key_identifier(value: &[u8]) -> Option<Vec<u8>> {
    let mut inner = Elements::new(value).ok()?.enter(tag::SEQUENCE, "authorityKeyIdentifier").ok()?;
    Some(inner.optional(0x80, "keyIdentifier").ok()??.value.to_vec())
}

/// The URLs of a distribution point's full name.
pub(super) fn urls(name: &DistributionPointName) -> Vec<String> {
    match name {
        DistributionPointName::FullName(names) => names.iter().filter_map(url).collect(),
        DistributionPointName::NameRelativeToCRLIssuer(_) => Vec::new(),
    }
}

fn url(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::Hierarchy;

    #[test]
    fn fields_encode_to_the_bytes_they_were_read_from() {
        let hierarchy = Hierarchy::new();
        for certificate in [&hierarchy.root, &hierarchy.intermediate, &hierarchy.leaf] {
            assert_eq!(certificate.fields().encode(), certificate.tbs());
            assert_eq!(Certificate::parse(certificate.der()).unwrap(), *certificate);
        }
    }

    #[test]
    fn cuts_and_flips_never_panic_and_trailing_bytes_are_refused() {
        let der = Hierarchy::new().leaf.der().to_vec();
        for cut in 0..der.len() {
            assert!(Certificate::parse(&der[..cut]).is_err());
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x41;
            if let Ok(read) = Certificate::parse(&changed) {
                let _ = (read.subject().to_string(), read.crl_urls(), read.policies(), read.key_usage());
                let _ = (read.public_key(), read.subject_key_identifier(), read.authority_key_identifier());
            }
        }
        let mut longer = der;
        longer.push(0);
        assert!(Certificate::parse(&longer).unwrap_err().message().contains("trailing bytes"));
        assert_eq!(Certificate::parse(&vec![0x30; MAX_CERTIFICATE + 1]).unwrap_err().code(), "certificate_too_large");
    }
}
