//! Judging a file that somebody signed: each signature, outer and nested, part by part, and all that speaks for it
//! brought together in one [`Verdict`].
//!
//! | part | question |
//! |---|---|
//! | digest, content, signature, page hashes | is this the file that was signed, with the key of that certificate ([`super::authenticode::check`]) |
//! | timestamp | when, by whose word, and is that word trusted ([`super::timestamp::verify_token`]) |
//! | chain | does the certificate lead to a trusted root, for code signing, **at that time** ([`crate::pki::chain`]) |
//! | revocation | was it revoked by that time, as far as lists are given |
//!
//! That time is the timestamp's if its token is good, else the time asked about. So a timestamped signature outlives
//! its certificate, and a revocation with a date leaves the signatures from before it good. A certificate that is marked
//! for lifetime signing (1.3.6.1.4.1.311.10.3.13) asks for the opposite and is judged at the time asked about.
//!
//! What is wrong with a file is in its [`Report`] and no error. What a register or a ledger knows of it besides is not
//! looked up here; who looks it up adds it ([`Signature::add`]).

mod report;
mod signature;

use super::authenticode::{AuthenticodeSignature, TimestampKind};
use super::cms::SignedData;
use super::detect::detect;
use super::feed;
use super::file::{Examined, Finding};
use crate::clock::Time;
use crate::crypto::sha256::Sha256;
use crate::error::Result;
use crate::files::source::Source;
use crate::model::Hash256;
use crate::pki::crl::Crl;
pub use signature::{ChainState, Signature, Timestamp};

crate::model::words! {
    /// What verification of a file found, from good to worst: the worst of its signatures decides.
    Verdict: "verdict" {
        /// Everything holds.
        Valid = "valid",
        /// It has no good timestamp although one was required.
        Untimestamped = "untimestamped",
        /// The certificate was not valid yet at that time.
        NotYetValid = "not_yet_valid",
        /// The certificate was no longer valid at that time.
        Expired = "expired",
        /// A revocation list covers the certificate but is too old, or cannot be used.
        RevocationUnknown = "revocation_unknown",
        /// The timestamp is broken, or over something else.
        BadTimestamp = "bad_timestamp",
        /// The certificate or its chain does not allow code signing.
        WrongPurpose = "wrong_purpose",
        /// No chain to a trusted root.
        UnknownIssuer = "unknown_issuer",
        /// The certificate was revoked by that time.
        Revoked = "revoked",
        /// The signature rests on an algorithm that proves nothing.
        Weak = "weak",
        /// There is no signature.
        Unsigned = "unsigned",
        /// The file's format is not known here.
        Unsupported = "unsupported",
        /// A structure is broken.
        Malformed = "malformed",
        /// The file is not what was signed, or the signature is not the key's.
        Tampered = "tampered",
    }
}

impl Verdict {
    /// Stable word for programs.
    pub fn code(self) -> &'static str {
        self.as_str()
    }
}

/// What files are held against.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Roots of signers, DER.
    pub roots: &'a [Vec<u8>],
    /// Roots of timestamp authorities, DER.
    pub timestamp_roots: &'a [Vec<u8>],
    /// Revocation lists, used where they cover a certificate.
    pub crls: &'a [Crl],
    /// The time asked about.
    pub at: Time,
    /// Whether each signature must have a good timestamp.
    pub require_timestamp: bool,
}

/// A verdict with the words for it.
pub type Found = (Verdict, String);

/// What verification of a file found.
#[derive(Clone, Debug)]
pub struct Report {
    /// SHA-256 of the file.
    pub sha256: Hash256,
    /// Each signature, outer before nested.
    pub signatures: Vec<Signature>,
    /// What is odd about the file but bears on no signature, such as a wrong CheckSum.
    pub notes: Vec<Finding>,
    /// The certificates (DER) that the signatures and their timestamps bring along.
    pub certificates: Vec<Vec<u8>>,
    /// What is wrong with the file as a whole.
    found: Vec<Found>,
}

impl Report {
    /// The worst that was found, with its words. An outer signature that is too weak to count is no worse than none where
    /// one that is nested in it holds, since that is over the same file; its words say so.
    pub fn verdict(&self) -> Found {
        let mut found = self.found.clone();
        let mut words = Vec::new();
        for (at, signature) in self.signatures.iter().enumerate() {
            let (verdict, detail) = signature.verdict();
            let excused = verdict == Verdict::Weak && self.is_replaced(at);
            words.push(if excused { format!("an outer signature does not count: {detail}") } else { detail.clone() });
            found.extend((!excused).then_some((verdict, detail)));
        }
        words.extend(self.notes.iter().map(|note| note.message.clone()));
        let valid = || (Verdict::Valid, words.join("; "));
        worst(found.into_iter().filter(|(verdict, _)| *verdict != Verdict::Valid)).unwrap_or_else(valid)
    }

    /// Whether a signature that is nested in this outer one holds.
    fn is_replaced(&self, at: usize) -> bool {
        let (outer, after) = (self.signatures.get(at), self.signatures.get(at.saturating_add(1)..).unwrap_or_default());
        let nested = after.iter().take_while(|signature| signature.level > 1);
        outer.is_some_and(|outer| outer.level == 1)
            && nested.into_iter().any(|signature| signature.verdict().0 == Verdict::Valid)
    }
}

/// The worst; of equally bad ones the first.
fn worst(found: impl Iterator<Item = Found>) -> Option<Found> {
    found.reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
}

/// Whether a file looks like JSON, as fragments do.
///
/// # Errors
/// It cannot be read.
pub fn looks_like_json(source: &Source) -> Result<bool> {
    let mut first = [0];
    if source.is_empty() {
        return Ok(false);
    }
    source.read_at(&mut first, 0)?;
    Ok(first == *b"{")
}

/// Verifies a file.
///
/// # Errors
/// The file cannot be read, or changes meanwhile.
pub fn verify(source: &Source, trust: &Trust<'_>) -> Result<Report> {
    let mut whole = Sha256::new();
    let examined = detect(source).and_then(|format| format.examine(source.file(), &mut [&mut whole]));
    let Examined { signatures, uncovered, notes } = match examined {
        Ok(examined) => examined,
        Err(error) => {
            let verdict = match error.code() {
                "unsupported_format" => Verdict::Unsupported,
                "file_unreadable" | "source_changed" | "read_failed" => return Err(error),
                _ => Verdict::Malformed,
            };
            return unreadable(source, (verdict, error.full()));
        }
    };
    source.still()?;
    let certificates = signatures.iter().flat_map(|(parsed, _)| certificates(parsed)).collect();
    let signatures: Vec<_> =
        signatures.into_iter().map(|(parsed, parts)| Signature::judge(&parsed, parts, trust)).collect();
    let mut found: Vec<Found> = Vec::new();
    if signatures.is_empty() {
        found.push((Verdict::Unsigned, "the file has no signature".into()));
    } else {
        found.extend(uncovered.iter().map(|finding| (Verdict::Tampered, finding.message.clone())));
    }
    Ok(Report { sha256: whole.finish(), signatures, notes, certificates, found })
}

/// A file that is not taken apart still has its hash.
fn unreadable(source: &Source, found: Found) -> Result<Report> {
    let mut whole = Sha256::new();
    feed(source.file(), &mut [&mut whole])?;
    source.still()?;
    let (signatures, notes, certificates) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Report { sha256: whole.finish(), signatures, notes, certificates, found: vec![found] })
}

fn certificates(parsed: &AuthenticodeSignature) -> Vec<Vec<u8>> {
    let mut all = parsed.signed.certificates.clone();
    if let TimestampKind::Rfc3161(token) = &parsed.timestamp {
        all.extend(SignedData::parse(token).map(|token| token.certificates).unwrap_or_default());
    }
    all
}
