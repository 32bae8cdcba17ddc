//! From a checked repository to `InRelease` and `Release.gpg`.

use super::Repository;
use super::cleartext::{self, signable};
use super::index::Checked;
use super::release::MAX_CLIENT;
use crate::clock::{Time, rfc3339};
use crate::error::{Context, Error, Result};
use crate::model::{Hash256, HashAlgorithm, Signature};
use crate::pki::openpgp::DigestSigner;
use crate::pki::openpgp::certificate::{SigningKeyInfo, armored};
use crate::pki::openpgp::document::{self, Document};
use crate::pki::openpgp::plan::{Operation, Plan};
use crate::pki::openpgp::unsigned::{Unsigned, finish_all, sign_all};
use sequoia_openpgp::armor::Kind;
use sequoia_openpgp::packet::{Packet, Signature as SignaturePacket};
use sequoia_openpgp::serialize::MarshalInto;

/// What a signature in armour may need, in bytes.
const SIGNATURE_ROOM: usize = 4 << 10;
/// How far a `Date` may lie ahead of our clock, in seconds; apt allows less on the client's side.
const MAX_AHEAD: i64 = 60;

/// A repository that was checked, with the digests that will be signed.
#[derive(Clone, Debug)]
pub struct Prepared {
    release: Vec<u8>,
    signers: Vec<SigningKeyInfo>,
    /// The text signatures for `InRelease`, one a signer, then the binary ones for `Release.gpg`.
    unsigned: Vec<Unsigned>,
    /// What the comparison with the disk found.
    pub checked: Checked,
    /// What the operator should know, though it does not stop the signing.
    pub notes: Vec<String>,
}

/// Both signature files, made and read back.
#[derive(Clone, Debug)]
pub struct Signed {
    /// SHA-256 of the `Release` file they belong to.
    pub release: Hash256,
    /// `InRelease`: the text and its cleartext signatures.
    pub in_release: Vec<u8>,
    /// `Release.gpg`: armoured detached signatures over the exact bytes of `Release`.
    pub release_gpg: Vec<u8>,
}

/// Checks a repository and fixes what each of `signers` will sign at `now`: two signatures each.
///
/// During an overlap both the old and the new key sign, so that clients with either keyring accept.
///
/// # Errors
/// `no_signer`, `duplicate_key`; `release_not_signable`; `release_in_future`, `release_expired`;
/// `valid_until_after_key_expiry` (blocked) when no signer's key outlives `Valid-Until`; `signed_by_excludes`;
/// `index_mismatch`, `index_missing`, `no_index`.
pub fn prepare(repository: &Repository, signers: &[SigningKeyInfo], now: Time) -> Result<Prepared> {
    if signers.is_empty() {
        return Err(Error::usage("no_signer", "no key is given to sign the repository with"));
    }
    for (i, signer) in signers.iter().enumerate() {
        if signers.iter().take(i).any(|other| other.fingerprint == signer.fingerprint) {
            return Err(Error::usage("duplicate_key", format!("{} is given twice", signer.fingerprint)));
        }
    }
    let text = signable(repository.bytes())?;
    let frame = cleartext::write(text, &[], "").len().saturating_add(signers.len().saturating_mul(SIGNATURE_ROOM));
    if frame > MAX_CLIENT {
        let what = format!("InRelease would have about {frame} bytes, and apt takes no more than {MAX_CLIENT}");
        return Err(Error::failed("release_too_large", what).hint("list fewer files, or fewer hashes for each"));
    }
    let notes = check_dates(repository, signers, now)?;
    check_signed_by(repository, signers)?;
    let checked = repository.check_indexes()?;
    checked.require()?;
    let mut unsigned = Vec::new();
    for signer in signers {
        unsigned.push(document::text(signer, text, "InRelease", now)?);
    }
    for signer in signers {
        unsigned.push(document::binary(signer, repository.bytes(), "Release.gpg", now)?);
    }
    Ok(Prepared { release: repository.bytes().to_vec(), signers: signers.to_vec(), unsigned, checked, notes })
}

fn check_dates(repository: &Repository, signers: &[SigningKeyInfo], now: Time) -> Result<Vec<String>> {
    let release = repository.release();
    let Some(date) = release.date else {
        let what = "the Release file has no Date; apt would warn at every update, and here it is not signed";
        return Err(Error::failed("no_date", what).hint("make the Release file with a Date"));
    };
    if (date - now).num_seconds() > MAX_AHEAD {
        let what = format!("the Release file is dated {}, but it is {}", rfc3339(date), rfc3339(now));
        return Err(Error::failed("release_in_future", what).hint("compare the clocks of both machines"));
    }
    let Some(until) = release.valid_until else { return Ok(Vec::new()) };
    let shown = rfc3339(until);
    if until <= date || until <= now {
        return Err(Error::failed("release_expired", format!("the Release file is valid until {shown} only"))
            .hint("make the Release file again"));
    }
    let ends_before = |signer: &&SigningKeyInfo| signer.expires.is_some_and(|expires| until > expires);
    let short: Vec<_> = signers.iter().filter(ends_before).collect();
    let in_words = |signer: &SigningKeyInfo| {
        let expires = signer.expires.map(rfc3339).unwrap_or_default();
        format!("Valid-Until {shown} lies after the expiry {expires} of {}", signer.fingerprint)
    };
    // An old key that signs along to the end of its life is what an overlap is for; one key must last.
    match short.first() {
        Some(first) if short.len() == signers.len() => {
            Err(Error::blocked("valid_until_after_key_expiry", in_words(first))
                .hint("rotate or extend the key, or make the Release file with an earlier Valid-Until"))
        }
        _ => Ok(short.into_iter().map(in_words).collect()),
    }
}

/// A `Signed-By` field pins the keys that later `Release` files must be signed with. One that leaves out
/// all of ours would lock clients out at the next update.
fn check_signed_by(repository: &Repository, signers: &[SigningKeyInfo]) -> Result<()> {
    let Some(field) = repository.release().field("signed-by") else { return Ok(()) };
    let mut pinned = field.split([',', ' ', '\n', '\t']).map(|word| word.trim_end_matches('!').to_ascii_uppercase());
    let is_ours = |pin: &String| signers.iter().any(|key| *pin == key.fingerprint || *pin == key.certificate);
    if pinned.any(|pin| is_ours(&pin)) {
        return Ok(());
    }
    Err(Error::blocked("signed_by_excludes", "the Signed-By field of the Release file names none of the signing keys")
        .hint("correct Signed-By, for clients that saw it accept no other key any more"))
}

impl Prepared {
    /// What will be signed.
    pub fn plan(&self) -> Plan {
        let mut certificates: Vec<_> = self.signers.iter().map(|signer| signer.certificate.as_str()).collect();
        certificates.dedup();
        let certificate = if let [one] = certificates.as_slice() { one } else { "" };
        Plan::new(Operation::SignRelease, certificate, &self.unsigned)
    }

    /// The signatures to be made, in order.
    pub fn unsigned(&self) -> &[Unsigned] {
        &self.unsigned
    }

    /// Asks the keys for them and finishes.
    ///
    /// # Errors
    /// As [`sign_all`] and [`Self::finish`].
    pub fn sign(&self, signers: &[&dyn DigestSigner]) -> Result<Signed> {
        self.finish(&sign_all(&self.unsigned, signers)?)
    }

    /// Makes both files and reads them back: the text must be the `Release` file, and every signature must
    /// verify over digests computed from the new bytes.
    ///
    /// # Errors
    /// `bad_signature`; `apt_result` when what was made does not read back.
    pub fn finish(&self, signatures: &[Signature]) -> Result<Signed> {
        let made = finish_all(&self.unsigned, signatures)?;
        let (text, binary) =
            made.split_at_checked(self.signers.len()).ok_or_else(|| Error::bug("a signature is missing"))?;
        let mut hashes: Vec<HashAlgorithm> = self.signers.iter().map(SigningKeyInfo::hash).collect();
        hashes.sort();
        hashes.dedup();
        let signed = Signed {
            release: Hash256::of(&self.release),
            in_release: cleartext::write(signable(&self.release)?, &hashes, &armor(text)?),
            release_gpg: armor(binary)?.into_bytes(),
        };
        self.read_back(&signed)?;
        Ok(signed)
    }

    fn read_back(&self, signed: &Signed) -> Result<()> {
        let wrong = |what: &str| Error::failed("apt_result", format!("{what} does not read back as it was made"));
        let split = cleartext::split(&signed.in_release).map_err(|e| wrong("InRelease").because(e))?;
        if !cleartext::same_text(&split.text, &self.release) {
            return Err(wrong("InRelease"));
        }
        document::require_all(Document::Cleartext(&split.text), &split.signature, &self.signers)
            .map_err(|e| wrong("InRelease").because(e))?;
        document::require_all(Document::File(&self.release), &signed.release_gpg, &self.signers)
            .map_err(|e| wrong("Release.gpg").because(e))
    }
}

fn armor(signatures: &[SignaturePacket]) -> Result<String> {
    let mut bytes = Vec::new();
    for signature in signatures {
        let packet = Packet::from(signature.clone()).to_vec();
        bytes.extend(packet.or_failed("openpgp_packet", || "a signature cannot be serialised".into())?);
    }
    armored(Kind::Signature, &[], &bytes)
}
