//! An X.509 certificate (RFC 5280 §4.1) as verification needs it: its parts as received, and the signed bytes.

use super::AlgorithmId;
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::formats::tlv::{Reader, Tlv, malformed, tag};
use const_oid::ObjectIdentifier;

const MAX_EXTENSIONS: usize = 64;
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// One certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// `tbsCertificate`: what the issuer signed.
    pub tbs: Vec<u8>,
    /// Serial number's contents octets, as received.
    pub serial: Vec<u8>,
    /// Issuer, a Name in DER.
    pub issuer: Vec<u8>,
    /// Subject, a Name in DER.
    pub subject: Vec<u8>,
    /// `notBefore`.
    pub not_before: Time,
    /// `notAfter`.
    pub not_after: Time,
    /// SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    /// `extensions`.
    pub extensions: Vec<Extension>,
    /// `signatureAlgorithm`.
    pub signature_algorithm: AlgorithmId,
    /// `signatureValue`.
    pub signature: Vec<u8>,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// `extnID`.
    pub oid: ObjectIdentifier,
    /// `critical`.
    pub critical: bool,
    /// What is inside `extnValue`.
    pub value: Vec<u8>,
}

impl Extension {
    pub(in crate::formats) fn parse(element: &Tlv<'_>) -> Result<Self> {
        let mut reader = element.as_sequence("Extension")?;
        let oid = reader.any()?.oid("extnID")?;
        let critical = reader.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.value != [0]);
        let value = reader.expect(tag::OCTET_STRING, "extnValue")?.value.to_vec();
        reader.finish()?;
        Ok(Extension { oid, critical, value })
    }
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn parse(der: &[u8]) -> Result<Self> {
        let mut parts = Tlv::sequence(der, "Certificate")?;
        let tbs = parts.expect(tag::SEQUENCE, "tbsCertificate")?;
        let signature_algorithm = AlgorithmId::parse(&parts.any()?)?;
        let signature = parts.any()?.bits("signatureValue")?.to_vec();
        parts.finish()?;

        let mut fields = tbs.inside("tbsCertificate");
        fields.optional(tag::constructed(0))?;
        let serial = fields.expect(tag::INTEGER, "serialNumber")?.value.to_vec();
        if AlgorithmId::parse(&fields.any()?)? != signature_algorithm {
            return Err(malformed("Certificate", "its two signature algorithms differ"));
        }
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?.raw.to_vec();
        let mut validity = fields.expect(tag::SEQUENCE, "validity")?.inside("validity");
        let not_before = validity.any()?.time("notBefore")?;
        let not_after = validity.any()?.time("notAfter")?;
        let subject = fields.expect(tag::SEQUENCE, "subject")?.raw.to_vec();
        let spki = fields.expect(tag::SEQUENCE, "subjectPublicKeyInfo")?.raw.to_vec();
        let extensions = parse_extensions(fields)?;
        Ok(Certificate {
            der: der.to_vec(),
            tbs: tbs.raw.to_vec(),
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
            signature_algorithm,
            signature,
        })
    }

    /// The public key.
    ///
    /// # Errors
    /// `bad_public_key`.
    pub fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_spki(&self.spki)
    }

    /// An extension; `None` if it is not there.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// `subjectKeyIdentifier` (RFC 5280 §4.2.1.2).
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        let element = Tlv::parse(&self.extension(SUBJECT_KEY_ID)?.value, "subjectKeyIdentifier").ok()?;
        (element.tag == tag::OCTET_STRING).then_some(element.value)
    }

    /// `extKeyUsage` (RFC 5280 §4.2.1.12): whether it is critical, and the purposes; `None` without the extension.
    ///
    /// # Errors
    /// `malformed_der`.
    pub fn extended_key_usage(&self) -> Result<Option<(bool, Vec<ObjectIdentifier>)>> {
        let Some(extension) = self.extension(EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let purposes = Tlv::sequence(&extension.value, "extKeyUsage")?.all(MAX_EXTENSIONS)?;
        let purposes = purposes.iter().map(|purpose| purpose.oid("KeyPurposeId")).collect::<Result<_>>()?;
        Ok(Some((extension.critical, purposes)))
    }

    /// The subject as people read it: the values of its attributes, most general first, cut off at 256 characters.
    /// Not escaped; see [`crate::error::shown`].
    pub fn subject_text(&self) -> String {
        name_text(&self.subject).unwrap_or_default()
    }
}

fn parse_extensions(fields: Reader<'_>) -> Result<Vec<Extension>> {
    // issuerUniqueID [1] and subjectUniqueID [2] may stand before extensions [3]; nothing uses them.
    let rest = fields.all(3)?;
    let Some(list) = rest.iter().find(|field| field.tag == tag::constructed(3)) else {
        return Ok(Vec::new());
    };
    let elements = Tlv::sequence(list.value, "extensions")?.all(MAX_EXTENSIONS)?;
    let extensions: Vec<_> = elements.iter().map(Extension::parse).collect::<Result<_>>()?;
    for (index, extension) in extensions.iter().enumerate() {
        if extensions.iter().skip(index + 1).any(|other| other.oid == extension.oid) {
            return Err(Error::failed("malformed_der", format!("extension {} is there twice", extension.oid)));
        }
    }
    Ok(extensions)
}

/// `CN=…, O=…`-like text of a Name, for reports only; names are compared by their bytes.
fn name_text(name: &[u8]) -> Option<String> {
    const MAX_PARTS: usize = 32;
    let mut parts = Vec::new();
    for set in Tlv::parse(name, "Name").ok()?.inside("Name").all(MAX_PARTS).ok()? {
        for pair in set.inside("RelativeDistinguishedName").all(MAX_PARTS).ok()? {
            let mut pair = pair.as_sequence("AttributeTypeAndValue").ok()?;
            let label = match pair.any().ok()?.oid("type").ok()?.to_string().as_str() {
                "2.5.4.3" => "CN".to_owned(),
                "2.5.4.6" => "C".to_owned(),
                "2.5.4.7" => "L".to_owned(),
                "2.5.4.8" => "ST".to_owned(),
                "2.5.4.10" => "O".to_owned(),
                "2.5.4.11" => "OU".to_owned(),
                other => other.to_owned(),
            };
            let value = pair.any().ok()?;
            let text = match value.tag {
                // BMPString
                0x1e => {
                    let units: Vec<u16> =
                        value.value.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect();
                    String::from_utf16_lossy(&units)
                }
                _ => String::from_utf8_lossy(value.value).into_owned(),
            };
            parts.push(format!("{label}={text}"));
        }
    }
    Some(parts.join(", ").chars().take(256).collect())
}
