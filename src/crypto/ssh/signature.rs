//! SSH signatures: OpenSSH PROTOCOL.sshsig, version 1, and for security keys PROTOCOL.u2f.
//!
//! What is signed is not the message but a short block around its hash, which names the namespace; so a signature
//! of one meaning cannot be shown as one of another, nor as the proof of an SSH login. A security key signs that
//! block's hash together with its application, a byte of flags and a counter.

use super::key::{Curve, KeyKind, MAX_BLOB, PublicKey};
use super::wire::{Reader, Writer, armour, dearmour};
use crate::error::{Error, Result};
use crate::model::{self, HashAlgorithm, Mechanism, Tbs};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::EcGroup;
use openssl::ecdsa::EcdsaSig;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a signature, armoured or not.
pub const MAX_SIGNATURE: usize = 16 * 1024;

/// The longest namespace, in bytes.
pub const MAX_NAMESPACE: usize = 512;

const LABEL: &str = "SSH SIGNATURE";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// Flags of a FIDO authenticator (PROTOCOL.u2f): a person touched it; a person gave a PIN or a finger.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;

/// A signature, well formed but not yet verified; prints as the armour that `ssh-keygen -Y sign` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    namespace: String,
    hash: HashAlgorithm,
    made: Made,
    blob: Vec<u8>,
}

/// The signature proper.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    mechanism: Mechanism,
    /// As OpenSSL takes it: RSA as long as the modulus, ECDSA as DER, Ed25519 as 64 bytes.
    signature: Vec<u8>,
    authenticator: Option<Authenticator>,
}

/// What a security key adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Authenticator {
    flags: u8,
    counter: u32,
}

/// A signature that is good, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The key that made it. Whether it counts is another question.
    pub key: PublicKey,
    /// A security key says that a person touched it. Never true of other keys.
    pub user_present: bool,
    /// A security key says that it asked for a PIN or a finger. Never true of other keys.
    pub user_verified: bool,
    /// A security key's count of signatures; some always say 0.
    pub counter: Option<u32>,
}

impl Verified {
    /// Whether a person took part as far as the key can say: always for keys in agents and files, and for security
    /// keys if they were touched.
    pub fn is_by_a_person(&self) -> bool {
        self.user_present || !self.key.is_security_key()
    }
}

impl Signature {
    /// Reads the binary form.
    ///
    /// # Errors
    /// `bad_ssh_signature`, saying what is wrong; `bad_ssh_key` if its key does not count.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        if blob.len() > MAX_SIGNATURE {
            return Err(bad("is too long"));
        }
        let mut reader = Reader(blob);
        if reader.take(MAGIC.len()) != Some(MAGIC) || reader.u32() != Some(VERSION) {
            return Err(bad("is not an SSH signature of version 1"));
        }
        let fields = (reader.string(), reader.text(), reader.string(), reader.text(), reader.string());
        let (Some(key), Some(namespace), Some(reserved), Some(hash), Some(made)) = fields else {
            return Err(bad("is cut off or has bad text"));
        };
        reader.end().ok_or_else(|| bad("has bytes after its end"))?;
        check_namespace(namespace)?;
        if !reserved.is_empty() {
            return Err(bad("uses a reserved field"));
        }
        let hash = hash.parse().ok().filter(|hash| *hash != HashAlgorithm::Sha384);
        let hash = hash.ok_or_else(|| bad("uses a hash other than sha256 and sha512"))?;
        let key = PublicKey::from_blob(key)?;
        let made = Made::parse(&key, made)?;
        Ok(Signature { key, namespace: namespace.to_owned(), hash, made, blob: blob.to_vec() })
    }

    /// Reads either form: armour, or the bytes in it.
    ///
    /// # Errors
    /// As [`Self::from_blob`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_SIGNATURE {
            return Err(bad("is too long"));
        }
        if bytes.starts_with(MAGIC) {
            return Signature::from_blob(bytes);
        }
        let text = std::str::from_utf8(bytes).ok().and_then(|text| dearmour(LABEL, text));
        Signature::from_blob(&text.ok_or_else(|| bad("is not between the lines of an SSH SIGNATURE"))?)
    }

    /// Puts one together from what a key or an agent made over [`Self::signed_data`].
    pub(super) fn assemble(key: &PublicKey, namespace: &str, made: &[u8]) -> Result<Self> {
        let blob = Writer::new()
            .raw(MAGIC)
            .u32(VERSION)
            .string(key.blob())
            .string(namespace.as_bytes())
            .string(b"")
            .string(HashAlgorithm::Sha512.as_str().as_bytes())
            .string(made);
        Signature::from_blob(blob.bytes())
    }

    /// What a key signs for a new signature, which hashes with SHA-512 as `ssh-keygen` does.
    ///
    /// # Errors
    /// `bad_ssh_signature` if the namespace cannot be one.
    pub(super) fn signed_data(namespace: &str, message: &[u8]) -> Result<Vec<u8>> {
        check_namespace(namespace)?;
        Ok(block(namespace, HashAlgorithm::Sha512, message))
    }

    /// The key that is said to have made it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The namespace it is said to be for.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The binary form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Checks that this is a signature by its key over exactly `message`, for exactly this namespace.
    ///
    /// # Errors
    /// `wrong_namespace`; `bad_signature` if it does not verify.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<Verified> {
        if self.namespace != namespace {
            let message = format!("the signature is for {:?}, not for {namespace:?}", self.namespace);
            return Err(Error::finding("wrong_namespace", message));
        }
        let block = block(namespace, self.hash, message);
        let signed = match (self.made.authenticator, self.key.application()) {
            (Some(made), Some(application)) => made.signed_data(application, &block),
            _ => block,
        };
        let tbs = Tbs::message(self.made.mechanism, &signed);
        self.key.key().verify(&tbs, &model::Signature(self.made.signature.clone()))?;
        let says = |flag| self.made.authenticator.is_some_and(|made| made.flags & flag != 0);
        Ok(Verified {
            key: self.key.clone(),
            user_present: says(PRESENT),
            user_verified: says(VERIFIED),
            counter: self.made.authenticator.map(|made| made.counter),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&armour(LABEL, &self.blob))
    }
}

impl FromStr for Signature {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Signature::parse(text.as_bytes())
    }
}

impl Authenticator {
    /// PROTOCOL.u2f: the authenticator hashes the message and the application on its own.
    fn signed_data(self, application: &str, block: &[u8]) -> Vec<u8> {
        let hash = |bytes: &[u8]| HashAlgorithm::Sha256.digest(bytes);
        [hash(application.as_bytes()), vec![self.flags], self.counter.to_be_bytes().to_vec(), hash(block)].concat()
    }
}

impl Made {
    fn parse(key: &PublicKey, bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        let (Some(word), Some(body)) = (reader.text(), reader.string()) else {
            return Err(bad("has no signature proper"));
        };
        let (mechanism, signature) = match (key.kind(), word) {
            (KeyKind::Rsa, "rsa-sha2-256") => (Mechanism::RsaPkcs1(HashAlgorithm::Sha256), rsa(key, body)?),
            (KeyKind::Rsa, "rsa-sha2-512") => (Mechanism::RsaPkcs1(HashAlgorithm::Sha512), rsa(key, body)?),
            (KeyKind::Rsa, _) => return Err(bad("is RSA with a hash other than SHA-256 and SHA-512")),
            (kind, word) if word != kind.as_str() => return Err(bad("is of another kind than its key")),
            (kind, _) => match kind.curve() {
                Some(curve) => (Mechanism::Ecdsa(curve.hash), ecdsa(curve, body)?),
                None if body.len() == 64 => (Mechanism::Ed25519, body.to_vec()),
                None => return Err(bad("is Ed25519 without 64 bytes")),
            },
        };
        let authenticator = match key.is_security_key() {
            true => Some(authenticator(&mut reader)?),
            false => None,
        };
        reader.end().ok_or_else(|| bad("has bytes after the signature proper"))?;
        Ok(Made { mechanism, signature, authenticator })
    }
}

fn bad(what: &str) -> Error {
    Error::finding("bad_ssh_signature", format!("the SSH signature {what}"))
}

fn check_namespace(namespace: &str) -> Result<()> {
    if (1..=MAX_NAMESPACE).contains(&namespace.len()) && !namespace.chars().any(char::is_control) {
        return Ok(());
    }
    Err(bad("has no proper namespace"))
}

/// The block that is signed (PROTOCOL.sshsig, "Signed Data").
fn block(namespace: &str, hash: HashAlgorithm, message: &[u8]) -> Vec<u8> {
    let writer = Writer::new().raw(MAGIC).string(namespace.as_bytes()).string(b"");
    writer.string(hash.as_str().as_bytes()).string(&hash.digest(message)).into_public()
}

fn authenticator(reader: &mut Reader<'_>) -> Result<Authenticator> {
    match (reader.byte(), reader.u32()) {
        (Some(flags), Some(counter)) => Ok(Authenticator { flags, counter }),
        _ => Err(bad("has no flags and counter of a security key")),
    }
}

/// Some signers leave leading zeros out, which RFC 8332 §3 lets verifiers forgive.
fn rsa(key: &PublicKey, body: &[u8]) -> Result<Vec<u8>> {
    let size = key.key().key().size();
    let missing = size.checked_sub(body.len()).filter(|_| !body.is_empty() && size <= MAX_BLOB);
    let missing = missing.ok_or_else(|| bad("is RSA and longer than its key, or empty"))?;
    Ok([vec![0; missing], body.to_vec()].concat())
}

/// Two numbers (RFC 5656 §3.1.2), each at least 1 and below the order of the curve.
fn ecdsa(curve: Curve, body: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader(body);
    let (Some(r), Some(s), Some(())) = (reader.positive(), reader.positive(), reader.end()) else {
        return Err(bad("is ECDSA without two positive numbers"));
    };
    let der = || -> std::result::Result<Option<Vec<u8>>, openssl::error::ErrorStack> {
        let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
        let mut order = BigNum::new()?;
        EcGroup::from_curve_name(curve.nid)?.order(&mut order, &mut *BigNumContext::new()?)?;
        if r >= order || s >= order {
            return Ok(None);
        }
        EcdsaSig::from_private_components(r, s)?.to_der().map(Some)
    };
    match der() {
        Ok(Some(der)) => Ok(der),
        Ok(None) => Err(bad("is ECDSA with numbers beyond the order of its curve")),
        Err(stack) => Err(bad("is ECDSA that cannot be read").because(stack)),
    }
}
