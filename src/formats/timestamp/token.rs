//! TimeStampToken and TSTInfo (RFC 3161 §2.4.2), and the certificate identifiers that bind them (RFC 5035, RFC 2634).

use super::{ChainCheck, imprint};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::formats::cms::{AlgorithmId, Certificate, Digest, Extension, SignedData, SignerInfo, single};
use crate::formats::tlv::{Tlv, malformed, tag};
use crate::model::{HashAlgorithm, hex};
use const_oid::ObjectIdentifier;
use sha1::{Digest as _, Sha1};

const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
pub(super) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// A token that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token (a ContentInfo), DER as far as its signer wrote DER.
    pub der: Vec<u8>,
    /// When the message existed, by the authority's word.
    pub gen_time: Time,
    /// The token's serial number, lower-case hex.
    pub serial: String,
    /// Subject of the authority's certificate, not escaped.
    pub tsa_subject: String,
    /// The authority's certificate, DER.
    pub tsa_certificate: Vec<u8>,
    /// Policy under which the token was issued.
    pub policy: ObjectIdentifier,
    /// The certificate marks its extended key usage critical, as RFC 3161 §2.3 wants. Microsoft's own authority did
    /// not in tokens that real files carry, so those are accepted in files, and told apart.
    pub critical_purpose: bool,
}

/// TSTInfo, read.
#[derive(Clone, Debug)]
pub(super) struct TstInfo {
    policy: ObjectIdentifier,
    pub(super) imprint_algorithm: AlgorithmId,
    pub(super) imprint: Vec<u8>,
    serial: Vec<u8>,
    pub(super) gen_time: Time,
    /// Contents octets of the nonce.
    pub(super) nonce: Option<Vec<u8>>,
}

impl TstInfo {
    pub(super) fn of_token(der: &[u8]) -> Result<Self> {
        Self::of(&SignedData::parse(der)?)
    }

    fn of(signed: &SignedData) -> Result<Self> {
        if signed.content_type != TST_INFO {
            let message = format!("the token's content is {}, not TSTInfo", signed.content_type);
            return Err(Error::finding("timestamp_bad_content", message));
        }
        Self::parse(signed.content_octets()?)
    }

    fn parse(der: &[u8]) -> Result<Self> {
        let mut reader = Tlv::sequence(der, "TSTInfo")?;
        let version = reader.any()?.small("TSTInfo.version")?;
        if version != 1 {
            return Err(Error::finding("timestamp_bad_content", format!("TSTInfo.version is {version}")));
        }
        let policy = reader.any()?.oid("TSTInfo.policy")?;
        let (imprint_algorithm, digest) = imprint(&reader.expect(tag::SEQUENCE, "messageImprint")?)?;
        let serial = reader.expect(tag::INTEGER, "serialNumber")?.value.to_vec();
        let gen_time = reader.expect(tag::GENERALIZED_TIME, "genTime")?.time("genTime")?;
        // accuracy and ordering bear on comparing tokens, which nobody does here.
        reader.optional(tag::SEQUENCE)?;
        reader.optional(tag::BOOLEAN)?;
        let nonce = reader.optional(tag::INTEGER)?.map(|nonce| nonce.value.to_vec());
        reader.optional(tag::constructed(0))?;
        if let Some(list) = reader.optional(tag::constructed(1))? {
            for extension in list.inside("TSTInfo.extensions").all(16)? {
                let extension = Extension::parse(&extension)?;
                if extension.critical {
                    let message = format!("the token has the unknown critical extension {}", extension.oid);
                    return Err(Error::finding("timestamp_bad_content", message));
                }
            }
        }
        reader.finish()?;
        Ok(TstInfo { policy, imprint_algorithm, imprint: digest, serial, gen_time, nonce })
    }
}

/// Judges a token found in a signed file, over `message`; its certificate at the time it states.
///
/// # Errors
/// `malformed_der`, `malformed_cms`; `weak_algorithm`, `unknown_algorithm`; `timestamp_imprint_mismatch`;
/// `timestamp_bad_content` if it holds no TSTInfo we understand; `timestamp_no_certificate`;
/// `timestamp_bad_key_usage` unless the authority's only purpose is timestamping;
/// `timestamp_wrong_certificate` if the signed identifier names another certificate, or is missing;
/// `content_type_mismatch`, `message_digest_mismatch`, `bad_signature`; those of `chain`.
pub fn verify_token(token: &[u8], message: &[u8], chain: &ChainCheck<'_>) -> Result<Token> {
    let info = TstInfo::of_token(token)?;
    let hash = strong(&info.imprint_algorithm)?;
    if info.imprint != hash.digest(message) {
        return Err(Error::finding("timestamp_imprint_mismatch", "the timestamp is over something else"));
    }
    verify(token, chain)
}

/// Everything about a token but what it is over.
pub(super) fn verify(token: &[u8], chain: &ChainCheck<'_>) -> Result<Token> {
    let signed = SignedData::parse(token)?;
    let info = TstInfo::of(&signed)?;
    strong(&info.imprint_algorithm)?;
    let [signer] = signed.signers.as_slice() else {
        let message = format!("a timestamp token has one signer, not {}", signed.signers.len());
        return Err(Error::failed("malformed_cms", message));
    };
    let certificate = signed.certificate_of(signer).ok_or_else(|| {
        Error::finding("timestamp_no_certificate", "the token does not bring the authority's certificate along")
    })?;
    signer.check_content(signed.content_type, signed.content_octets()?)?;
    signer.check_signature(&certificate.public_key()?)?;
    check_certificate_ids(signer, &certificate)?;
    let critical_purpose = check_purpose(&certificate)?;
    chain(&certificate, &signed.certificates, info.gen_time)?;
    Ok(Token {
        der: signed.to_der(),
        gen_time: info.gen_time,
        serial: hex(&info.serial),
        tsa_subject: certificate.subject_text(),
        tsa_certificate: certificate.der,
        policy: info.policy,
        critical_purpose,
    })
}

fn strong(algorithm: &AlgorithmId) -> Result<HashAlgorithm> {
    match algorithm.digest() {
        Digest::Strong(hash) => Ok(hash),
        Digest::Weak(name) => Err(Error::finding("weak_algorithm", format!("the timestamp's imprint is {name}"))),
        Digest::Unknown(oid) => {
            Err(Error::finding("unknown_algorithm", format!("the timestamp's imprint is made with {oid}")))
        }
    }
}

/// One extended key usage, timestamping; gives whether it is critical.
fn check_purpose(certificate: &Certificate) -> Result<bool> {
    let bad = |why: &str| Error::finding("timestamp_bad_key_usage", format!("the authority's certificate {why}"));
    match certificate.extended_key_usage()? {
        None => Err(bad("has no extended key usage")),
        Some((_, purposes)) if purposes != [TIME_STAMPING] => Err(bad("is not for timestamping alone")),
        Some((critical, _)) => Ok(critical),
    }
}

/// The signed attributes must name the certificate whose key verified the signature (RFC 5035 §4, RFC 5816 §2.2.1),
/// so that nobody can put another certificate for the same key in its place.
fn check_certificate_ids(signer: &SignerInfo, certificate: &Certificate) -> Result<()> {
    let v1 = single(&signer.signed, SIGNING_CERTIFICATE)?;
    let v2 = single(&signer.signed, SIGNING_CERTIFICATE_V2)?;
    if v1.is_none() && v2.is_none() {
        let message = "the token does not say which certificate its signer used";
        return Err(Error::finding("timestamp_wrong_certificate", message));
    }
    for (attribute, version_2) in v1.map(|value| (value, false)).into_iter().chain(v2.map(|value| (value, true))) {
        if !names(attribute, version_2, certificate)? {
            let message = "the token names another certificate than the one that verifies it";
            return Err(Error::finding("timestamp_wrong_certificate", message));
        }
    }
    Ok(())
}

/// Whether the first ESSCertID of SigningCertificate, or ESSCertIDv2 of SigningCertificateV2, is this certificate's.
fn names(attribute: &[u8], version_2: bool, certificate: &Certificate) -> Result<bool> {
    let mut list = Tlv::sequence(attribute, "SigningCertificate")?;
    let mut ids = list.expect(tag::SEQUENCE, "certs")?.inside("SigningCertificate.certs");
    let mut id = ids.expect(tag::SEQUENCE, "ESSCertID")?.inside("ESSCertID");
    let digest = if version_2 {
        // hashAlgorithm DEFAULT id-sha256
        let hash = match id.optional(tag::SEQUENCE)? {
            Some(algorithm) => strong(&AlgorithmId::parse(&algorithm)?)?,
            None => HashAlgorithm::Sha256,
        };
        hash.digest(&certificate.der)
    } else {
        // SHA-1 by definition. It picks one of the certificates at hand; the signature does not rest on it.
        Sha1::digest(&certificate.der).to_vec()
    };
    let hash = id.expect(tag::OCTET_STRING, "certHash")?.value;
    let issuer_serial = id.optional(tag::SEQUENCE)?;
    id.finish()?;
    Ok(hash == digest && issuer_serial.map_or(Ok(true), |named| is_issuer_serial(&named, certificate))?)
}

/// IssuerSerial { issuer GeneralNames, serialNumber }, the names one directoryName.
fn is_issuer_serial(element: &Tlv<'_>, certificate: &Certificate) -> Result<bool> {
    let mut reader = element.inside("IssuerSerial");
    let names = reader.expect(tag::SEQUENCE, "issuer")?.inside("GeneralNames").all(8)?;
    let serial = reader.expect(tag::INTEGER, "serialNumber")?.value;
    reader.finish()?;
    let Some(name) = names.iter().find(|name| name.tag == tag::constructed(4)) else {
        return Err(malformed("IssuerSerial", "has no directoryName"));
    };
    Ok(name.value == certificate.issuer && serial == certificate.serial)
}
