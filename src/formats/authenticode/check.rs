//! Judging a signature, part by part.

use super::{AuthenticodeSignature, IndirectData};
use crate::error::{Error, Result};
use crate::formats::cms::{AlgorithmId, Digest, SignerId};
use crate::formats::pe::{PageHashVersion, PageHashes};
use crate::model::HashAlgorithm;

/// What was computed from the file itself.
#[derive(Clone, Copy, Debug)]
pub struct Computed<'a> {
    /// Authenticode digests, one for each algorithm the file's signatures use.
    pub digests: &'a [(HashAlgorithm, Vec<u8>)],
    /// Page hashes, if they were computed.
    pub pages: Option<&'a PageHashes>,
}

/// What is wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is not what was signed.
    Tampered,
    /// The signed attributes do not speak of the content.
    ContentMismatch,
    /// The signature does not verify with the certificate's key.
    BadSignature,
    /// The signature does not name a certificate it brings along.
    NoCertificate,
    /// It rests on SHA-1 or MD5, so it proves nothing.
    Weak,
    /// An algorithm, or a kind of content, that is not known here.
    Unsupported,
    /// A structure is broken.
    Malformed,
}

impl Fault {
    /// Stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Tampered => "tampered",
            Fault::ContentMismatch => "content_mismatch",
            Fault::BadSignature => "bad_signature",
            Fault::NoCertificate => "no_certificate",
            Fault::Weak => "weak",
            Fault::Unsupported => "unsupported",
            Fault::Malformed => "malformed",
        }
    }

    fn of(error: &Error) -> Self {
        match error.code() {
            "message_digest_mismatch" | "content_type_mismatch" => Fault::ContentMismatch,
            "bad_signature" => Fault::BadSignature,
            "weak_algorithm" => Fault::Weak,
            "unknown_algorithm" => Fault::Unsupported,
            _ => Fault::Malformed,
        }
    }
}

/// The verdict on one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Checked, and right.
    Good,
    /// Not there, so there was nothing to check.
    Absent,
    /// There, but not checked, for this reason.
    NotEvaluated(String),
    /// Wrong.
    Bad(Fault, String),
}

impl Verdict {
    fn bad(fault: Fault, detail: impl Into<String>) -> Self {
        Verdict::Bad(fault, detail.into())
    }

    fn from_error(error: &Error) -> Self {
        Verdict::Bad(Fault::of(error), error.full())
    }
}

/// A verdict for each part of one signature. Says nothing about trust in its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The digest in the content is the file's.
    pub file_digest: Verdict,
    /// The signed attributes speak of the content.
    pub content: Verdict,
    /// The signature is by the key of the certificate it names.
    pub signature: Verdict,
    /// The page hashes are the file's.
    pub page_hashes: Verdict,
}

impl Report {
    /// Digest, content and signature were checked and are right, and nothing is wrong with the page hashes.
    pub fn is_good(&self) -> bool {
        let all_good =
            [&self.file_digest, &self.content, &self.signature].into_iter().all(|part| *part == Verdict::Good);
        all_good && !matches!(self.page_hashes, Verdict::Bad(..))
    }

    /// The first fault and its detail, in the order of the fields.
    pub fn fault(&self) -> Option<(Fault, &str)> {
        [&self.file_digest, &self.content, &self.signature, &self.page_hashes].into_iter().find_map(|part| match part {
            Verdict::Bad(fault, detail) => Some((*fault, detail.as_str())),
            _ => None,
        })
    }
}

/// Judges one signature, not those nested in it, against what was computed from the file.
pub fn check(signature: &AuthenticodeSignature, computed: &Computed<'_>) -> Report {
    let (file_digest, page_hashes) = match &signature.data {
        Some(data) => (check_digest(data, computed), check_pages(data, computed)),
        None => (Verdict::bad(Fault::Unsupported, "the content is not SpcIndirectDataContent"), Verdict::Absent),
    };
    Report { file_digest, content: check_content(signature), signature: check_signature(signature), page_hashes }
}

fn check_digest(data: &IndirectData, computed: &Computed<'_>) -> Verdict {
    let hash = match data.algorithm.digest() {
        Digest::Strong(hash) => hash,
        Digest::Weak(name) => return Verdict::bad(Fault::Weak, format!("the file's digest is {name}")),
        Digest::Unknown(oid) => {
            return Verdict::bad(Fault::Unsupported, format!("the file's digest is made with {oid}"));
        }
    };
    match computed.digests.iter().find(|(algorithm, _)| *algorithm == hash) {
        None => Verdict::NotEvaluated(format!("the file's {hash} digest was not computed")),
        Some((_, digest)) if *digest == data.digest => Verdict::Good,
        Some(_) => Verdict::bad(Fault::Tampered, format!("the file's {hash} digest is not the signed one")),
    }
}

fn check_pages(data: &IndirectData, computed: &Computed<'_>) -> Verdict {
    match (&data.pages, computed.pages) {
        (None, _) => Verdict::Absent,
        (Some(pages), _) if pages.version == PageHashVersion::V1 => {
            Verdict::NotEvaluated("page hashes with sha1".into())
        }
        (Some(_), None) => Verdict::NotEvaluated("the file's page hashes were not computed".into()),
        (Some(pages), Some(found)) if pages == found => Verdict::Good,
        (Some(_), Some(_)) => Verdict::bad(Fault::Tampered, "the file's page hashes are not the signed ones"),
    }
}

fn check_content(signature: &AuthenticodeSignature) -> Verdict {
    let signed = &signature.signed;
    let checked = signed.content_octets().and_then(|octets| {
        let signer = signature.signer()?;
        check_unsigned_fields(signature)?;
        signer.check_content(signed.content_type, octets)
    });
    checked.map_or_else(|error| Verdict::from_error(&error), |()| Verdict::Good)
}

/// Fields that no signature covers may say only what every Authenticode signer writes, so that a signed file has no
/// second form that verifies too.
fn check_unsigned_fields(signature: &AuthenticodeSignature) -> Result<()> {
    let malformed = |what: &str| Error::failed("malformed_cms", what);
    let (signed, signer) = (&signature.signed, signature.signer()?);
    // RFC 5652 §5.1 has another version for content that is wrapped.
    if (signed.version, signer.version) != (if signature.wrapped { 3 } else { 1 }, 1) {
        return Err(malformed("the SignedData or its SignerInfo is of another version than such content has"));
    }
    if let (SignerId::Issuer { name, .. }, Some(certificate)) = (&signer.sid, &signature.certificate)
        && *name != certificate.issuer
    {
        return Err(malformed("the signature spells its signer's issuer in other bytes than the certificate does"));
    }
    let digests = &signed.digest_algorithms;
    if !digests.iter().any(|digest| digest.oid == signer.digest_algorithm.oid) {
        return Err(malformed("the signer's digestAlgorithm is not among the digestAlgorithms of the SignedData"));
    }
    if !digests.iter().chain([&signer.digest_algorithm]).all(AlgorithmId::has_no_parameters) {
        return Err(malformed("a digestAlgorithm has parameters"));
    }
    Ok(())
}

fn check_signature(signature: &AuthenticodeSignature) -> Verdict {
    let Some(certificate) = &signature.certificate else {
        return Verdict::bad(Fault::NoCertificate, "the signer's certificate is not in the signature");
    };
    let checked = certificate.public_key().and_then(|key| signature.signer()?.check_signature(&key));
    checked.map_or_else(|error| Verdict::from_error(&error), |()| Verdict::Good)
}
