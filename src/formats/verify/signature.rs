//! Judging one signature.

use super::{Found, Trust, Verdict, worst};
use crate::clock::{Time, rfc3339};
use crate::error::shown;
use crate::formats::authenticode::{self, AuthenticodeSignature, Fault, TimestampKind};
use crate::formats::cms::{AlgorithmId, Certificate, Digest};
use crate::formats::timestamp::{self, Token};
use crate::model::{Hash256, SpkiHash, hex};
use crate::pki::chain::{self, Chain, ChainError, Eku, Revocation};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;

/// Microsoft's mark on certificates whose signatures end with them.
const LIFETIME_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.3.13");
/// What is said of a countersignature that is older than RFC 3161.
const NOT_COUNTED: &str = "its countersignature, of the time before RFC 3161, was not counted";
/// How far a timestamp may lie after the time asked about.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a signature's timestamp is worth.
#[derive(Clone, Debug)]
pub enum Timestamp {
    /// There is none.
    None,
    /// A good token by a trusted authority.
    Valid(Box<Token>),
    /// A sound token by an authority that nobody here trusts, for this reason. It counts for nothing.
    Untrusted(String),
    /// A token that is broken, over something else, or by a certificate that was not good, with a code and the reason.
    Bad(&'static str, String),
    /// A countersignature of the time before RFC 3161. It counts for nothing.
    Legacy,
}

/// Where the signer's certificate leads.
#[derive(Clone, Debug)]
pub enum ChainState {
    /// To a trusted root: the subjects, leaf first. Says whether each certificate below it was looked up in a list.
    Trusted {
        /// RFC 4514.
        subjects: Vec<String>,
        /// All of them.
        revocation_checked: bool,
    },
    /// Not to a root, or not at that time, for that purpose: a code and the reason.
    Broken(&'static str, String),
}

/// One signature with all that was found about it.
#[derive(Clone, Debug)]
pub struct Signature {
    /// 1 for an outer signature, 2 for one that is nested in it, and so on.
    pub level: usize,
    /// File digest, content, signature and page hashes.
    pub parts: authenticode::Report,
    /// The digest algorithm, as far as it is known.
    pub digest: Option<String>,
    /// The signer's certificate, if it is there.
    pub certificate: Option<Certificate>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The time at which the certificate was judged.
    pub judged_at: Time,
    /// Its chain; `None` without a certificate.
    pub chain: Option<ChainState>,
    /// Program name and URL, not escaped.
    pub opus: authenticode::OpusInfo,
    /// The signer's own word on the time.
    pub signing_time: Option<Time>,
    found: Vec<Found>,
}

impl Signature {
    pub(super) fn judge(parsed: &AuthenticodeSignature, parts: authenticode::Report, trust: &Trust<'_>) -> Self {
        let timestamp = judge_timestamp(parsed, trust);
        let judged_at = match (&timestamp, &parsed.certificate) {
            (Timestamp::Valid(token), Some(certificate)) if !ends_with_certificate(certificate) => token.gen_time,
            _ => trust.at,
        };
        let mut found: Vec<Found> = part_found(&parts).into_iter().collect();
        let chain = parsed.certificate.as_ref().map(|leaf| {
            let (state, trouble) = judge_chain(leaf, &parsed.signed.certificates, judged_at, trust);
            found.extend(trouble.map(|(verdict, why)| match (verdict, &timestamp) {
                (Verdict::Expired, Timestamp::Untrusted(distrust)) => {
                    (verdict, format!("{why}; its timestamp is not trusted: {distrust}"))
                }
                (Verdict::Expired, Timestamp::Legacy) => (verdict, format!("{why}; {NOT_COUNTED}")),
                _ => (verdict, why),
            }));
            state
        });
        found.extend(timestamp_found(&timestamp, trust.require_timestamp));
        Signature {
            level: parsed.level,
            digest: parsed.data.as_ref().map(|data| digest_name(&data.algorithm)),
            certificate: parsed.certificate.clone(),
            opus: parsed.opus.clone().unwrap_or_default(),
            signing_time: parsed.signing_time,
            parts,
            timestamp,
            judged_at,
            chain,
            found,
        }
    }

    /// The worst that was found about it; if nothing was, who signed it and when.
    pub fn verdict(&self) -> Found {
        worst(self.found.iter().cloned()).unwrap_or_else(|| (Verdict::Valid, self.good_words()))
    }

    /// Adds what is known about it elsewhere.
    pub fn add(&mut self, found: Found) {
        self.found.push(found);
    }

    /// SHA-256 of the signer's public key.
    pub fn spki_sha256(&self) -> Option<SpkiHash> {
        self.certificate.as_ref().map(|certificate| SpkiHash::of(&certificate.spki))
    }

    /// SHA-256 of the signer's certificate.
    pub fn fingerprint(&self) -> Option<Hash256> {
        self.certificate.as_ref().map(|certificate| Hash256::of(&certificate.der))
    }

    /// The signer's serial number, hex.
    pub fn serial(&self) -> Option<String> {
        self.certificate.as_ref().map(|certificate| hex(&certificate.serial))
    }

    /// The signer's subject, escaped.
    pub fn subject(&self) -> String {
        self.certificate.as_ref().map(|certificate| shown(&certificate.subject_text())).unwrap_or_default()
    }

    fn good_words(&self) -> String {
        let when = match &self.timestamp {
            Timestamp::Valid(token) => format!(", timestamped {}", rfc3339(token.gen_time)),
            Timestamp::Legacy => format!("; {NOT_COUNTED}"),
            Timestamp::Untrusted(why) => format!("; its timestamp was not counted: {why}"),
            Timestamp::None | Timestamp::Bad(..) => String::new(),
        };
        format!("signed by {}{when}", self.subject())
    }
}

fn digest_name(algorithm: &AlgorithmId) -> String {
    match algorithm.digest() {
        Digest::Strong(hash) => hash.to_string(),
        Digest::Weak(name) => name.to_string(),
        Digest::Unknown(oid) => oid.to_string(),
    }
}

fn part_found(parts: &authenticode::Report) -> Option<Found> {
    let verdict = match parts.fault() {
        Some((Fault::Tampered | Fault::BadSignature | Fault::ContentMismatch, _)) => Verdict::Tampered,
        Some((Fault::Weak, _)) => Verdict::Weak,
        Some((Fault::NoCertificate | Fault::Unsupported | Fault::Malformed, _)) => Verdict::Malformed,
        None if parts.is_good() => return None,
        None => Verdict::Malformed,
    };
    let words = parts.fault().map_or("a part of the signature could not be checked", |(_, words)| words);
    Some((verdict, words.to_owned()))
}

fn judge_timestamp(parsed: &AuthenticodeSignature, trust: &Trust<'_>) -> Timestamp {
    let token = match &parsed.timestamp {
        TimestampKind::None => return Timestamp::None,
        TimestampKind::Legacy => return Timestamp::Legacy,
        TimestampKind::Rfc3161(token) => token,
    };
    let chain = timestamp::chain::with_crls(trust.timestamp_roots, trust.crls);
    let verified = parsed.signer().and_then(|signer| timestamp::verify_token(token, &signer.signature, &*chain));
    match verified {
        Ok(token) if token.gen_time - trust.at > MAX_SKEW => {
            let (stated, at) = (rfc3339(token.gen_time), rfc3339(trust.at));
            Timestamp::Bad("timestamp_skew", format!("the timestamp says {stated}, which is after {at}"))
        }
        Ok(token) => Timestamp::Valid(Box::new(token)),
        // The chain is judged last, so all else about the token is right.
        Err(error) if error.code() == "unknown_issuer" => Timestamp::Untrusted(error.full()),
        Err(error) => Timestamp::Bad(error.code(), error.full()),
    }
}

fn timestamp_found(timestamp: &Timestamp, required: bool) -> Option<Found> {
    let why = match timestamp {
        Timestamp::Valid(_) => return None,
        Timestamp::Bad(_, why) => return Some((Verdict::BadTimestamp, why.clone())),
        Timestamp::None => "the signature has no timestamp".to_owned(),
        Timestamp::Legacy => "the signature has a timestamp of the time before RFC 3161 only".to_owned(),
        Timestamp::Untrusted(why) => format!("the signature has no trusted timestamp: {why}"),
    };
    required.then_some((Verdict::Untimestamped, why))
}

fn ends_with_certificate(leaf: &Certificate) -> bool {
    leaf.extended_key_usage().ok().flatten().is_some_and(|(_, purposes)| purposes.contains(&LIFETIME_SIGNING))
}

fn judge_chain(leaf: &Certificate, pool: &[Vec<u8>], at: Time, trust: &Trust<'_>) -> (ChainState, Option<Found>) {
    let revocation = Revocation::IfKnown(trust.crls);
    match chain::build(&leaf.der, pool, trust.roots, at, Eku::CodeSigning, revocation) {
        Ok(chain) => {
            (ChainState::Trusted { subjects: subjects(&chain), revocation_checked: chain.revocation_checked() }, None)
        }
        Err(error) => {
            let words = error.to_string();
            (ChainState::Broken(error.code(), words.clone()), Some((verdict_of(&error), words)))
        }
    }
}

fn subjects(chain: &Chain) -> Vec<String> {
    chain.certificates().iter().map(|certificate| certificate.subject().to_string()).collect()
}

fn verdict_of(error: &ChainError) -> Verdict {
    match error {
        ChainError::Unreadable(_) => Verdict::Malformed,
        ChainError::UnknownIssuer { .. } | ChainError::BadSignature { .. } | ChainError::TooComplex => {
            Verdict::UnknownIssuer
        }
        ChainError::Expired { .. } => Verdict::Expired,
        ChainError::NotYetValid { .. } => Verdict::NotYetValid,
        ChainError::WrongPurpose { .. } | ChainError::NotAnIssuer { .. } | ChainError::Unsupported { .. } => {
            Verdict::WrongPurpose
        }
        ChainError::Revoked(_) => Verdict::Revoked,
        ChainError::CrlExpired { .. } | ChainError::CrlMissing { .. } | ChainError::CrlInvalid { .. } => {
            Verdict::RevocationUnknown
        }
    }
}
