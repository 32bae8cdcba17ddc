//! The to-be-signed part of a certificate, and extensions as certificates, CRLs and requests have them.

use crate::error::Result;
use crate::pki::asn1::{self, Element, Elements, Instant, tag};
use const_oid::ObjectIdentifier;

/// The most extensions a certificate, a CRL or a CRL entry may have.
pub const MAX_EXTENSIONS: usize = 64;

/// One extension (RFC 5280 §4.1.2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// extnID.
    pub oid: ObjectIdentifier,
    /// critical.
    pub critical: bool,
    /// Contents of extnValue, the DER of the extension's own type.
    pub value: Vec<u8>,
    /// `critical` was written out although FALSE, which DER forbids.
    pub spelled_default: bool,
}

impl Extension {
    /// One in DER form.
    pub fn new(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Self {
        Extension { oid, critical, value, spelled_default: false }
    }

    fn encode(&self) -> Vec<u8> {
        let critical = match (self.critical, self.spelled_default) {
            (true, _) => asn1::tlv(tag::BOOLEAN, &[&[0xff]]),
            (false, true) => asn1::tlv(tag::BOOLEAN, &[&[0]]),
            (false, false) => Vec::new(),
        };
        asn1::sequence(&[&asn1::oid(&self.oid), &critical, &asn1::tlv(tag::OCTET_STRING, &[&self.value])])
    }

    fn parse(elements: &mut Elements<'_>) -> Result<Self> {
        let mut inner = elements.enter(tag::SEQUENCE, "extension")?;
        let oid = inner.oid("extension.extnID")?;
        let written = inner.peek() == Some(tag::BOOLEAN);
        let critical = written && inner.boolean("extension.critical")?;
        let value = inner.take(tag::OCTET_STRING, "extension.extnValue")?.value.to_vec();
        inner.end("extension")?;
        Ok(Extension { oid, critical, value, spelled_default: written && !critical })
    }

    /// Reads the SEQUENCE OF Extension that comes next, at most [`MAX_EXTENSIONS`] of them and at least one.
    pub(in crate::pki) fn parse_list(elements: &mut Elements<'_>) -> Result<Vec<Self>> {
        let mut inner = elements.enter(tag::SEQUENCE, "extensions")?;
        let mut list = Vec::new();
        while inner.peek().is_some() {
            if list.len() == MAX_EXTENSIONS {
                return Err(asn1::malformed("extensions", &format!("more than {MAX_EXTENSIONS}")));
            }
            list.push(Extension::parse(&mut inner)?);
        }
        if list.is_empty() { Err(asn1::malformed("extensions", "an empty list")) } else { Ok(list) }
    }

    /// SEQUENCE OF Extension.
    pub(in crate::pki) fn encode_list(list: &[Self]) -> Vec<u8> {
        let encoded: Vec<_> = list.iter().map(Extension::encode).collect();
        asn1::sequence(&encoded.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

/// TBSCertificate as plain data; DER pieces are complete elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// 1, 2 or 3.
    pub version: u8,
    /// Contents of the serialNumber INTEGER.
    pub serial: Vec<u8>,
    /// signature: DER AlgorithmIdentifier.
    pub algorithm: Vec<u8>,
    /// issuer: DER Name.
    pub issuer: Vec<u8>,
    /// validity.notBefore.
    pub not_before: Instant,
    /// validity.notAfter, inclusive.
    pub not_after: Instant,
    /// subject: DER Name.
    pub subject: Vec<u8>,
    /// subjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// issuerUniqueID and subjectUniqueID as they are, empty when absent.
    pub unique_ids: Vec<u8>,
    /// extensions.
    pub extensions: Vec<Extension>,
}

impl Fields {
    /// DER TBSCertificate.
    pub fn encode(&self) -> Vec<u8> {
        let version = match self.version {
            1 => Vec::new(),
            v => asn1::tlv(tag::context(0), &[&asn1::unsigned(&[v.saturating_sub(1)])]),
        };
        let extensions = match self.extensions.as_slice() {
            [] => Vec::new(),
            list => asn1::tlv(tag::context(3), &[&Extension::encode_list(list)]),
        };
        asn1::sequence(&[
            &version,
            &asn1::tlv(tag::INTEGER, &[&self.serial]),
            &self.algorithm,
            &self.issuer,
            &asn1::sequence(&[&self.not_before.encode(), &self.not_after.encode()]),
            &self.subject,
            &self.spki,
            &self.unique_ids,
            &extensions,
        ])
    }

    pub(super) fn parse(tbs: &[u8]) -> Result<Self> {
        let mut outer = Elements::new(tbs)?;
        let mut inner = outer.enter(tag::SEQUENCE, "tbsCertificate")?;
        let version = parse_version(&mut inner)?;
        let serial = inner.integer("serialNumber")?.to_vec();
        let algorithm = inner.take(tag::SEQUENCE, "signature")?.raw.to_vec();
        let issuer = inner.take(tag::SEQUENCE, "issuer")?.raw.to_vec();
        let mut validity = inner.enter(tag::SEQUENCE, "validity")?;
        let (not_before, not_after) = (validity.time("notBefore")?, validity.time("notAfter")?);
        validity.end("validity")?;
        let subject = inner.take(tag::SEQUENCE, "subject")?.raw.to_vec();
        let spki = inner.take(tag::SEQUENCE, "subjectPublicKeyInfo")?.raw.to_vec();
        let mut unique_ids = Vec::new();
        for (bits, field) in [(0x81, "issuerUniqueID"), (0x82, "subjectUniqueID")] {
            if let Some(id) = inner.optional(bits, field)? {
                unique_ids.extend_from_slice(id.raw);
            }
        }
        let extensions = match inner.optional(tag::context(3), "extensions")? {
            None => Vec::new(),
            Some(Element { value, .. }) => {
                let mut wrapped = Elements::new(value)?;
                let list = Extension::parse_list(&mut wrapped)?;
                wrapped.end("extensions")?;
                list
            }
        };
        inner.end("tbsCertificate")?;
        Ok(Fields { version, serial, algorithm, issuer, not_before, not_after, subject, spki, unique_ids, extensions })
    }
}

fn parse_version(elements: &mut Elements<'_>) -> Result<u8> {
    let Some(explicit) = elements.optional(tag::context(0), "version")? else { return Ok(1) };
    let mut inner = Elements::new(explicit.value)?;
    let version = match inner.integer("version")? {
        [number @ 0..=2] => number + 1,
        _ => return Err(asn1::malformed("version", "not v1, v2 or v3")),
    };
    inner.end("version")?;
    Ok(version)
}
