//! Cryptographic Message Syntax (RFC 5652), and PKCS #7 (RFC 2315) where Authenticode still is that: just SignedData.
//!
//! The types keep what was received. Certificates and CRLs are lists of raw DER, attribute values raw elements, and
//! the signed attributes the very bytes the signature is over (with the SET tag that RFC 5652 §5.4 puts in the place of
//! `[0]`). Changing unsigned attributes ([`SignerInfo::set_unsigned`]) leaves every signed byte alone.
//!
//! BER is accepted from others (timestamp authorities write it), DER is what comes out. What the content means, and whom
//! to trust, is not known here.

use super::tlv::{self, Reader, Tlv, definite, malformed, tag};
use crate::error::{Error, Result};
use const_oid::ObjectIdentifier;

mod algorithm;
mod certificate;
mod verify;

pub use algorithm::{AlgorithmId, Digest, Scheme, encode_digest, encode_signature};
pub use certificate::{Certificate, Extension};

/// Most SignerInfos of one SignedData.
pub const MAX_SIGNERS: usize = 16;
/// Most certificates, or CRLs, of one SignedData.
pub const MAX_CERTIFICATES: usize = 256;
/// Most attributes of one SignerInfo, and most values of one attribute.
pub const MAX_ATTRIBUTES: usize = 64;

/// Largest ContentInfo that is read, in bytes. Page hashes take 9 bytes for every KiB of an image.
pub const MAX_SIZE: usize = 16 << 20;

/// Identifiers of RFC 5652 §§3, 5 and 11.
pub mod oid {
    #![allow(missing_docs, reason = "the names are those of RFC 5652")]
    use const_oid::ObjectIdentifier;
    pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
    pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
    pub const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
    pub const COUNTERSIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.6");
}

/// SignedData in its ContentInfo.
#[derive(Clone, Debug)]
pub struct SignedData {
    /// `version`.
    pub version: u32,
    /// `digestAlgorithms`.
    pub digest_algorithms: Vec<AlgorithmId>,
    /// `eContentType`.
    pub content_type: ObjectIdentifier,
    /// The element inside `eContent`; `None` for a detached signature.
    pub content: Option<Vec<u8>>,
    /// X.509 certificates, in DER, as received. Other kinds (attribute certificates) are counted only.
    pub certificates: Vec<Vec<u8>>,
    /// How many entries of `certificates` are no X.509 certificates.
    pub other_certificates: usize,
    /// CRLs and other revocation information, in DER.
    pub crls: Vec<Vec<u8>>,
    /// `signerInfos`.
    pub signers: Vec<SignerInfo>,
    /// Everything before `signerInfos`, as received.
    head: Vec<u8>,
}

/// Whose key made a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerId {
    /// `issuerAndSerialNumber`: the Name in DER, and the serial number's contents octets.
    Issuer {
        /// Issuer's distinguished name, DER.
        name: Vec<u8>,
        /// Serial number, as a signed big-endian number.
        serial: Vec<u8>,
    },
    /// `subjectKeyIdentifier`.
    KeyId(Vec<u8>),
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `attrType`.
    pub oid: ObjectIdentifier,
    /// `attrValues`, each an element in DER.
    pub values: Vec<Vec<u8>>,
}

/// One signature.
#[derive(Clone, Debug)]
pub struct SignerInfo {
    /// `version`.
    pub version: u32,
    /// `sid`.
    pub sid: SignerId,
    /// `digestAlgorithm`.
    pub digest_algorithm: AlgorithmId,
    /// `signedAttrs`, if there are any.
    pub signed: Vec<Attribute>,
    /// `signedAttrs` as they are hashed: as received, with the tag of a SET. `None` if there are none.
    pub signed_raw: Option<Vec<u8>>,
    /// `signatureAlgorithm`.
    pub signature_algorithm: AlgorithmId,
    /// `signature`.
    pub signature: Vec<u8>,
    /// `unsignedAttrs`.
    pub unsigned: Vec<Attribute>,
    /// Everything before `unsignedAttrs`, as received.
    head: Vec<u8>,
}

impl Attribute {
    /// An attribute with one value.
    pub fn one(oid: ObjectIdentifier, value: Vec<u8>) -> Self {
        Attribute { oid, values: vec![value] }
    }

    /// DER.
    pub fn to_der(&self) -> Vec<u8> {
        tlv::seq(&[&tlv::oid(self.oid), &tlv::set_of(tag::SET, self.values.clone())])
    }

    fn parse(element: &Tlv<'_>) -> Result<Self> {
        let mut reader = element.as_sequence("Attribute")?;
        let oid = reader.any()?.oid("attrType")?;
        let values = reader.expect(tag::SET, "attrValues")?.inside("attrValues").all(MAX_ATTRIBUTES)?;
        reader.finish()?;
        Ok(Attribute { oid, values: values.iter().map(|value| value.raw.to_vec()).collect() })
    }

    fn parse_all(set: &Tlv<'_>) -> Result<Vec<Self>> {
        set.inside("Attributes").all(MAX_ATTRIBUTES)?.iter().map(Attribute::parse).collect()
    }
}

/// The one value of the one attribute with this type; `None` if there is no such attribute.
///
/// # Errors
/// `malformed_cms`: the attribute is there twice, or does not have exactly one value.
pub fn single(attributes: &[Attribute], oid: ObjectIdentifier) -> Result<Option<&[u8]>> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(Attribute { values, .. }), None) if values.len() == 1 => Ok(values.first().map(Vec::as_slice)),
        _ => Err(Error::failed("malformed_cms", format!("attribute {oid} does not have exactly one value"))),
    }
}

impl SignedData {
    /// Reads a ContentInfo with SignedData. Bytes behind it are left alone; [`Self::encoded_len`] tells its length.
    ///
    /// # Errors
    /// `malformed_der`; `malformed_cms` for another content type or version, or more than [`MAX_SIZE`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if Self::encoded_len(bytes)? > MAX_SIZE {
            return Err(Error::failed("malformed_cms", format!("the ContentInfo has more than {MAX_SIZE} bytes")));
        }
        let der = definite(bytes, "CMS")?;
        let mut outer = Tlv::sequence(&der, "ContentInfo")?;
        let content_type = outer.any()?.oid("contentType")?;
        if content_type != oid::SIGNED_DATA {
            return Err(Error::failed("malformed_cms", format!("the content type is {content_type}, not SignedData")));
        }
        let content = outer.expect(tag::constructed(0), "content")?;
        outer.finish()?;
        Self::parse_inside(Tlv::sequence(content.value, "SignedData")?)
    }

    /// How many bytes at the beginning of `bytes` are the ContentInfo.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn encoded_len(bytes: &[u8]) -> Result<usize> {
        tlv::encoded_len(bytes, "CMS")
    }

    fn parse_inside(mut reader: Reader<'_>) -> Result<Self> {
        let start = reader.rest();
        let version = reader.any()?.small("SignedData.version")?;
        if !(1..=5).contains(&version) {
            return Err(Error::failed("malformed_cms", format!("SignedData.version is {version}")));
        }
        let digests = reader.expect(tag::SET, "digestAlgorithms")?.inside("digestAlgorithms").all(MAX_SIGNERS)?;
        let mut encap = reader.expect(tag::SEQUENCE, "encapContentInfo")?.inside("encapContentInfo");
        let content_type = encap.any()?.oid("eContentType")?;
        let content = encap.optional(tag::constructed(0))?;
        encap.finish()?;
        let content = content.map(|content| Tlv::parse(content.value, "eContent")).transpose()?;
        let mut list = |tag, what| -> Result<Vec<Tlv<'_>>> {
            reader.optional(tag)?.map_or(Ok(Vec::new()), |set| set.inside(what).all(MAX_CERTIFICATES))
        };
        let certificates = list(tag::constructed(0), "certificates")?;
        let crls = list(tag::constructed(1), "crls")?;
        let head = start.get(..start.len() - reader.rest().len()).unwrap_or_default().to_vec();
        let signers = reader.expect(tag::SET, "signerInfos")?.inside("signerInfos").all(MAX_SIGNERS)?;
        reader.finish()?;
        let x509 = certificates.iter().filter(|certificate| certificate.tag == tag::SEQUENCE);
        Ok(SignedData {
            version,
            digest_algorithms: digests.iter().map(AlgorithmId::parse).collect::<Result<_>>()?,
            content_type,
            content: content.map(|content| content.raw.to_vec()),
            other_certificates: certificates.len() - x509.clone().count(),
            certificates: x509.map(|certificate| certificate.raw.to_vec()).collect(),
            crls: crls.iter().map(|crl| crl.raw.to_vec()).collect(),
            signers: signers.iter().map(SignerInfo::parse).collect::<Result<_>>()?,
            head,
        })
    }

    /// A new SignedData, version 1 as Authenticode and PKCS #7 have it: one digest algorithm, the content, X.509
    /// certificates, and one signature.
    pub fn new(
        content_type: ObjectIdentifier,
        content: Option<Vec<u8>>,
        certificates: &[Vec<u8>],
        signer: SignerInfo,
    ) -> Self {
        let digest = signer.digest_algorithm.clone();
        let explicit = content.as_ref().map(|content| tlv::wrap(tag::constructed(0), content)).unwrap_or_default();
        let mut certificates = certificates.to_vec();
        certificates.sort();
        certificates.dedup();
        let head = [
            tlv::unsigned(&[1]),
            tlv::set_of(tag::SET, vec![digest.to_der()]),
            tlv::seq(&[&tlv::oid(content_type), &explicit]),
            tlv::set_of(tag::constructed(0), certificates.clone()),
        ]
        .concat();
        SignedData {
            version: 1,
            digest_algorithms: vec![digest],
            content_type,
            content,
            certificates,
            other_certificates: 0,
            crls: Vec::new(),
            signers: vec![signer],
            head,
        }
    }

    /// The ContentInfo, DER as far as its parts are.
    pub fn to_der(&self) -> Vec<u8> {
        let signers: Vec<u8> = self.signers.iter().flat_map(SignerInfo::to_der).collect();
        let signed = tlv::seq(&[&self.head, &tlv::wrap(tag::SET, &signers)]);
        tlv::seq(&[&tlv::oid(oid::SIGNED_DATA), &tlv::wrap(tag::constructed(0), &signed)])
    }

    /// What is hashed of the content: the contents octets of the element in `eContent` (RFC 5652 §5.4; PKCS #7 §9.3 for
    /// content that is no OCTET STRING).
    ///
    /// # Errors
    /// `malformed_cms`: there is no content.
    pub fn content_octets(&self) -> Result<&[u8]> {
        let content = self.content.as_deref().ok_or_else(|| Error::failed("malformed_cms", "there is no content"))?;
        Ok(Tlv::parse(content, "eContent")?.value)
    }

    /// The certificate that a signature names; `None` if it is not among [`Self::certificates`].
    pub fn certificate_of(&self, signer: &SignerInfo) -> Option<Certificate> {
        let certificates = self.certificates.iter().filter_map(|der| Certificate::parse(der).ok());
        certificates.into_iter().find(|certificate| signer.sid.is(certificate))
    }
}

impl SignerId {
    /// Names this certificate.
    pub fn is(&self, certificate: &Certificate) -> bool {
        match self {
            SignerId::Issuer { name, serial } => {
                *serial == certificate.serial && crate::pki::name::same(name, &certificate.issuer)
            }
            SignerId::KeyId(id) => certificate.subject_key_id().is_some_and(|found| found == id.as_slice()),
        }
    }

    fn parse(element: &Tlv<'_>) -> Result<Self> {
        match element.tag {
            tag::SEQUENCE => {
                let mut reader = element.inside("issuerAndSerialNumber");
                let name = reader.expect(tag::SEQUENCE, "issuer")?.raw.to_vec();
                let serial = reader.expect(tag::INTEGER, "serialNumber")?.value.to_vec();
                reader.finish()?;
                Ok(SignerId::Issuer { name, serial })
            }
            // [0] IMPLICIT OCTET STRING
            0x80 => Ok(SignerId::KeyId(element.value.to_vec())),
            _ => Err(malformed("SignerInfo.sid", "neither issuerAndSerialNumber nor subjectKeyIdentifier")),
        }
    }
}

impl SignerInfo {
    fn parse(element: &Tlv<'_>) -> Result<Self> {
        let mut reader = element.as_sequence("SignerInfo")?;
        let version = reader.any()?.small("SignerInfo.version")?;
        let sid = SignerId::parse(&reader.any()?)?;
        let digest_algorithm = AlgorithmId::parse(&reader.any()?)?;
        let signed = reader.optional(tag::constructed(0))?;
        let signature_algorithm = AlgorithmId::parse(&reader.any()?)?;
        let signature = reader.expect(tag::OCTET_STRING, "signature")?.value.to_vec();
        let head = element.value.get(..element.value.len() - reader.rest().len()).unwrap_or_default().to_vec();
        let unsigned = reader.optional(tag::constructed(1))?;
        reader.finish()?;
        Ok(SignerInfo {
            version,
            sid,
            digest_algorithm,
            signed: signed.as_ref().map_or(Ok(Vec::new()), Attribute::parse_all)?,
            signed_raw: signed.map(|set| as_set(set.raw)),
            signature_algorithm,
            signature,
            unsigned: unsigned.as_ref().map_or(Ok(Vec::new()), Attribute::parse_all)?,
            head,
        })
    }

    /// A new signature, version 1, naming its certificate by issuer and serial number.
    pub(super) fn new(
        certificate: &Certificate,
        digest_algorithm: AlgorithmId,
        signed: Vec<Attribute>,
        signature_algorithm: AlgorithmId,
        signature: Vec<u8>,
    ) -> Self {
        let sid = SignerId::Issuer { name: certificate.issuer.clone(), serial: certificate.serial.clone() };
        let signed_raw = signed_attributes(&signed);
        let mut implicit = signed_raw.clone();
        if let Some(first) = implicit.first_mut() {
            *first = tag::constructed(0);
        }
        let head = [
            tlv::unsigned(&[1]),
            tlv::seq(&[&certificate.issuer, &tlv::wrap(tag::INTEGER, &certificate.serial)]),
            digest_algorithm.to_der(),
            implicit,
            signature_algorithm.to_der(),
            tlv::wrap(tag::OCTET_STRING, &signature),
        ]
        .concat();
        SignerInfo {
            version: 1,
            sid,
            digest_algorithm,
            signed,
            signed_raw: Some(signed_raw),
            signature_algorithm,
            signature,
            unsigned: Vec::new(),
            head,
        }
    }

    /// Puts an unsigned attribute in, in the place of one with the same type.
    pub fn set_unsigned(&mut self, attribute: Attribute) {
        self.unsigned.retain(|other| other.oid != attribute.oid);
        self.unsigned.push(attribute);
    }

    fn to_der(&self) -> Vec<u8> {
        let unsigned = self.unsigned.iter().map(Attribute::to_der).collect::<Vec<_>>();
        let unsigned = if unsigned.is_empty() { Vec::new() } else { tlv::set_of(tag::constructed(1), unsigned) };
        tlv::seq(&[&self.head, &unsigned])
    }
}

/// Signed attributes in the form they are hashed: a DER SET OF.
pub(super) fn signed_attributes(attributes: &[Attribute]) -> Vec<u8> {
    tlv::set_of(tag::SET, attributes.iter().map(Attribute::to_der).collect())
}

fn as_set(raw: &[u8]) -> Vec<u8> {
    let mut set = raw.to_vec();
    if let Some(first) = set.first_mut() {
        *first = tag::SET;
    }
    set
}

#[cfg(test)]
mod tests;
