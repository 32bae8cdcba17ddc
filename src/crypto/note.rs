//! Signed notes and tree heads: C2SP `signed-note` and `tlog-checkpoint`.
//!
//! A [`SignedNote`] is a text, a blank line, and one line per signature. A [`Checkpoint`] is the text of a
//! signed tree head: origin, size and root, a line each. A [`VerifierKey`] is what a verifier holds.
//!
//! Two signature types are supported, so that any token can sign: Ed25519 (type byte 1, over the text) and
//! ECDSA on P-256 with SHA-256 (type byte 2, DER signature, key encoded as DER SubjectPublicKeyInfo). As the
//! specification says of type 2, its key ID is the start of SHA-256 over the SPKI alone; for type 1 it covers
//! name and type as well.
//!
//! Nothing here signs: the text's bytes go to a token, and the signature comes back to [`SignedNote::new`].
//! Until a note is verified with a key known beforehand, its text is only a claim.

mod checkpoint;
mod name;
#[cfg(test)]
mod tests;
mod verifier;

pub use checkpoint::Checkpoint;
pub use name::MAX_NAME;
pub use verifier::VerifierKey;

use crate::error::{Error, Result};
use crate::model::Signature;
use base64ct::{Base64, Encoding};
use name::is_name;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a signed note that are read.
pub const MAX_NOTE: usize = 64 * 1024;

/// The most signature lines of a note; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The key's name.
    pub name: String,
    /// The key's ID.
    pub id: u32,
    /// The bare signature: 64 bytes for Ed25519, DER for ECDSA.
    pub signature: Vec<u8>,
}

/// A note with its signatures, well formed but not yet verified; prints as the note's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// A note of this text with signatures that were made elsewhere.
    ///
    /// # Errors
    /// `bad_note`: the text does not end with a newline or has control characters, there is no signature or more
    /// than [`MAX_SIGNATURES`], a name is bad, or the note exceeds [`MAX_NOTE`].
    pub fn new(text: String, signatures: Vec<(String, u32, Vec<u8>)>) -> Result<Self> {
        let line = |(name, id, signature)| SignatureLine { name, id, signature };
        let note = SignedNote { text, signatures: signatures.into_iter().map(line).collect() };
        // Reading it back applies every rule, and shows that the text ends where it should.
        match SignedNote::parse(note.to_string().as_bytes())? == note {
            true => Ok(note),
            false => Err(bad_note("is not read back as it was made")),
        }
    }

    /// Reads a note of at most [`MAX_NOTE`] bytes.
    ///
    /// # Errors
    /// `bad_note`, saying what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_NOTE {
            return Err(bad_note("is larger than 64 KiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| bad_note("is not UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(bad_note("contains control characters"));
        }
        let end = note.rfind("\n\n").ok_or_else(|| bad_note("has no blank line before its signatures"))?;
        let (text, lines) = note.split_at(end + 1);
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or_else(|| bad_note("does not end with a signature line"))?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(bad_note("has too many signatures"));
        }
        let signatures = lines.split('\n').map(parse_line).collect::<Result<_>>()?;
        Ok(SignedNote { text: text.to_owned(), signatures })
    }

    /// The text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Verifies the note with known keys and says which of them signed it. Lines of other keys do not count.
    ///
    /// # Errors
    /// `bad_signature` if any known key's signature does not verify; `untrusted_note` if none of the keys signed.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            for key in keys.iter().filter(|key| key.name() == line.name && key.id() == line.id) {
                key.key().verify(&key.tbs(&self.text), &Signature(line.signature.clone())).map_err(|error| {
                    error.about(format_args!("the note's signature by {}+{:08x}", key.name(), key.id()))
                })?;
                if !signers.contains(&key) {
                    signers.push(key);
                }
            }
        }
        if signers.is_empty() {
            return Err(Error::finding("untrusted_note", "no known key signed the note"));
        }
        Ok(signers)
    }

    /// Verifies the note and reads it as a checkpoint of the log `origin`.
    ///
    /// # Errors
    /// As [`Self::verify`]; `bad_checkpoint` if the text is not a checkpoint, or one of another log.
    pub fn verify_checkpoint(&self, keys: &[VerifierKey], origin: &str) -> Result<Checkpoint> {
        self.verify(keys)?;
        let checkpoint: Checkpoint = self.text.parse()?;
        if checkpoint.origin != origin {
            let message = format!("the checkpoint is of the log {:?}, not {origin:?}", checkpoint.origin);
            return Err(Error::finding("bad_checkpoint", message));
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let blob = [&line.id.to_be_bytes(), line.signature.as_slice()].concat();
            writeln!(f, "\u{2014} {} {}", line.name, Base64::encode_string(&blob))?;
        }
        Ok(())
    }
}

impl FromStr for SignedNote {
    type Err = Error;
    fn from_str(note: &str) -> Result<Self> {
        SignedNote::parse(note.as_bytes())
    }
}

fn parse_line(line: &str) -> Result<SignatureLine> {
    let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
    let (name, blob) = parts.filter(|(name, _)| is_name(name)).ok_or_else(|| bad_note("has a bad signature line"))?;
    let blob = Base64::decode_vec(blob).map_err(|_| bad_note("has a signature that is not base64"))?;
    match blob.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => {
            Ok(SignatureLine { name: name.to_owned(), id: u32::from_be_bytes(*id), signature: signature.to_vec() })
        }
        _ => Err(bad_note("has an empty signature")),
    }
}

fn bad_note(what: &str) -> Error {
    Error::finding("bad_note", format!("the signed note {what}"))
}
