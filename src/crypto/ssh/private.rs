//! Private keys in files: `openssh-key-v1` (OpenSSH PROTOCOL.key), plain or encrypted with aes256-ctr or aes256-cbc
//! under bcrypt-pbkdf, as `ssh-keygen` writes them.

use super::key::{KeyKind, PublicKey};
use super::signature::Signature;
use super::wire::{Reader, Writer, armour, dearmour};
use crate::crypto::verify::message_digest;
use crate::error::{Error, Result};
use crate::model::HashAlgorithm;
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::RsaPrivateKeyBuilder;
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode};
use std::fmt;
use zeroize::Zeroizing;

/// The most bytes of a key file.
pub(super) const MAX_FILE: usize = 64 * 1024;

/// More rounds would take minutes; `ssh-keygen` writes 16 or 24 unless told otherwise.
const MAX_ROUNDS: u32 = 4096;

const LABEL: &str = "OPENSSH PRIVATE KEY";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const AES_BLOCK: usize = 16;

/// A key file, read but perhaps locked.
pub struct PrivateFile {
    public: PublicKey,
    lock: Option<Lock>,
    section: Zeroizing<Vec<u8>>,
}

/// How a file is encrypted.
struct Lock {
    cipher: Cipher,
    salt: Vec<u8>,
    rounds: u32,
}

/// A private key in memory, wiped by OpenSSL when dropped.
pub struct PrivateKey {
    public: PublicKey,
    key: PKey<Private>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.public)
    }
}

impl PrivateFile {
    /// Whether these bytes look like the private key file of some SSH program.
    pub(super) fn is_private(bytes: &[u8]) -> bool {
        let start = bytes.get(..256.min(bytes.len())).unwrap_or_default();
        let start = String::from_utf8_lossy(start);
        start.contains("PRIVATE KEY-----") || start.starts_with("PuTTY-User-Key-File")
    }

    /// Reads a key file without its secrets.
    ///
    /// # Errors
    /// `bad_identity`: not such a file, or with another cipher; `bad_ssh_key` if the key does not count.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_FILE {
            return Err(bad("is too long"));
        }
        let text = std::str::from_utf8(bytes).ok().and_then(|text| dearmour(LABEL, text));
        let text = text.ok_or_else(|| {
            bad("is not in OpenSSH's own format").hint("ssh-keygen -p -f FILE   writes a key of another form in it")
        })?;
        let mut reader = Reader(&text);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(bad("is not of version openssh-key-v1"));
        }
        let head = (reader.text(), reader.text(), reader.string(), reader.u32());
        let (Some(cipher), Some(derivation), Some(options), Some(1)) = head else {
            return Err(bad("is cut off or does not hold exactly one key"));
        };
        let (Some(public), Some(section), Some(())) = (reader.string(), reader.string(), reader.end()) else {
            return Err(bad("is cut off or uses a cipher with a tag")
                .hint("ssh-keygen -p -Z aes256-ctr -f FILE   encrypts it so that it can be read"));
        };
        let public = PublicKey::from_blob(public)?;
        let lock = Lock::parse(cipher, derivation, options)?;
        Ok(PrivateFile { public, lock, section: Zeroizing::new(section.to_vec()) })
    }

    /// The public key, which is never encrypted.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether a passphrase is needed.
    pub fn is_encrypted(&self) -> bool {
        self.lock.is_some()
    }

    /// Opens it.
    ///
    /// # Errors
    /// `wrong_passphrase`; `bad_identity` if the file is damaged, or only points to a security key.
    pub fn open(&self, passphrase: Option<&str>) -> Result<PrivateKey> {
        if self.public.is_security_key() {
            return Err(bad("only points to a security key"));
        }
        let section = match (&self.lock, passphrase) {
            (None, _) => self.section.clone(),
            (Some(lock), Some(passphrase)) => lock.open(&self.section, passphrase)?,
            (Some(_), None) => return Err(wrong_passphrase("is needed")),
        };
        let mut reader = Reader(&section);
        let checks = (reader.u32(), reader.u32());
        if !matches!(checks, (Some(one), Some(other)) if one == other) {
            return Err(if self.is_encrypted() { wrong_passphrase("is wrong") } else { bad("is damaged") });
        }
        let key = self.read_key(&mut reader).ok_or_else(|| bad("is damaged"))?;
        let key = key.map_err(|stack| bad("holds no working key").because(stack))?;
        let (Some(_comment), true) = (reader.string(), is_padding(reader.0)) else { return Err(bad("is damaged")) };
        let same = key.public_key_to_der().is_ok_and(|spki| spki == self.public.key().spki());
        match same {
            true => Ok(PrivateKey { public: self.public.clone(), key }),
            false => Err(bad("holds another private key than its public key says")),
        }
    }

    /// `None`: not in the right form. The numbers are checked against each other by OpenSSL.
    fn read_key(&self, reader: &mut Reader<'_>) -> Option<Result<PKey<Private>, ErrorStack>> {
        let kind = self.public.kind();
        if reader.text()? != kind.as_str() {
            return None;
        }
        if let Some(curve) = kind.curve() {
            let (_, point, secret) = (reader.string()?, reader.string()?, reader.positive()?);
            return Some(ecdsa_key(curve.nid, point, secret));
        }
        if kind == KeyKind::Rsa {
            let mut number = || reader.positive();
            return Some(rsa_key(number()?, number()?, number()?, number()?, number()?, number()?));
        }
        let (_, secret) = (reader.string()?, reader.string()?);
        // The seed, then the public key once more.
        Some(PKey::private_key_from_raw_bytes(secret.get(..32).filter(|_| secret.len() == 64)?, Id::ED25519))
    }
}

impl Lock {
    fn parse(cipher: &str, derivation: &str, options: &[u8]) -> Result<Option<Self>> {
        let cipher = match (cipher, derivation) {
            ("none", "none") if options.is_empty() => return Ok(None),
            ("aes256-ctr", "bcrypt") => Cipher::aes_256_ctr(),
            ("aes256-cbc", "bcrypt") => Cipher::aes_256_cbc(),
            _ => {
                return Err(bad("is encrypted with a cipher other than aes256-ctr and aes256-cbc")
                    .hint("ssh-keygen -p -Z aes256-ctr -f FILE   encrypts it so that it can be read"));
            }
        };
        let mut reader = Reader(options);
        match (reader.string(), reader.u32(), reader.end()) {
            (Some(salt), Some(rounds), Some(())) if (1..=MAX_ROUNDS).contains(&rounds) && !salt.is_empty() => {
                Ok(Some(Lock { cipher, salt: salt.to_vec(), rounds }))
            }
            _ => Err(bad("is encrypted with unusual options")),
        }
    }

    fn open(&self, section: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>> {
        if passphrase.is_empty() {
            return Err(wrong_passphrase("is wrong"));
        }
        if !section.len().is_multiple_of(AES_BLOCK) {
            return Err(bad("is damaged"));
        }
        let mut derived = Zeroizing::new([0u8; 32 + AES_BLOCK]);
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase, &self.salt, self.rounds, derived.as_mut())
            .map_err(|error| bad("has a passphrase that cannot be derived").because(anyhow::anyhow!("{error}")))?;
        let (key, iv) = derived.split_at(32);
        let open = || -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
            let mut crypter = Crypter::new(self.cipher, Mode::Decrypt, key, Some(iv))?;
            // The padding is the format's own.
            crypter.pad(false);
            let mut plain = Zeroizing::new(vec![0; section.len() + AES_BLOCK]);
            let len = crypter.update(section, &mut plain)?;
            plain.truncate(len);
            Ok(plain)
        };
        open().map_err(|stack| bad("cannot be decrypted").because(stack))
    }
}

impl PrivateKey {
    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` for `namespace`, as `ssh-keygen -Y sign` does.
    ///
    /// # Errors
    /// `bad_ssh_signature` if the namespace cannot be one; OpenSSL refused.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<Signature> {
        let data = Signature::signed_data(namespace, message)?;
        let made = self.make(&data);
        let (word, body) =
            made.map_err(|stack| Error::failed("ssh_signing_failed", "the SSH key does not sign").because(stack))?;
        let made = Writer::new().string(word.as_bytes()).string(&body);
        Signature::assemble(&self.public, namespace, made.bytes())
    }

    fn make(&self, data: &[u8]) -> Result<(&'static str, Vec<u8>), ErrorStack> {
        let kind = self.public.kind();
        if let Some(curve) = kind.curve() {
            let der = Signer::new(message_digest(curve.hash), &self.key)?.sign_oneshot_to_vec(data)?;
            let numbers = EcdsaSig::from_der(&der)?;
            let body = Writer::new().positive(&numbers.r().to_vec()).positive(&numbers.s().to_vec());
            return Ok((kind.as_str(), body.into_public()));
        }
        if kind == KeyKind::Rsa {
            let mut signer = Signer::new(message_digest(HashAlgorithm::Sha512), &self.key)?;
            return Ok(("rsa-sha2-512", signer.sign_oneshot_to_vec(data)?));
        }
        Ok((kind.as_str(), Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(data)?))
    }
}

/// A new Ed25519 key pair: the text of an unencrypted private key file, and the public key line. The comment is for
/// people to read.
///
/// # Errors
/// OpenSSL or the system has no randomness.
pub fn generate_ed25519(comment: &str) -> Result<(Zeroizing<String>, String)> {
    let failed = |stack: ErrorStack| Error::failed("no_randomness", "an SSH key cannot be made").because(stack);
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    let key = PKey::generate_ed25519().map_err(failed)?;
    let seed = Zeroizing::new(key.raw_private_key().map_err(failed)?);
    let point = key.raw_public_key().map_err(failed)?;
    let word = KeyKind::Ed25519.as_str().as_bytes();
    let public = PublicKey::from_blob(Writer::new().string(word).string(&point).bytes())?;
    let mut check = [0; 4];
    openssl::rand::rand_bytes(&mut check).map_err(failed)?;
    let section = Writer::new().raw(&check).raw(&check).string(word).string(&point);
    let both = Zeroizing::new([seed.as_slice(), &point].concat());
    let mut section = section.string(&both).string(comment.as_bytes());
    for byte in 1u8.. {
        if section.bytes().len().is_multiple_of(8) {
            break;
        }
        section = section.raw(&[byte]);
    }
    let file = Writer::new().raw(MAGIC).string(b"none").string(b"none").string(b"").u32(1);
    let file = file.string(public.blob()).string(section.bytes());
    Ok((armour(LABEL, file.bytes()), format!("{public} {comment}").trim_end().to_owned()))
}

fn bad(what: &str) -> Error {
    Error::usage("bad_identity", format!("the SSH key file {what}"))
}

fn wrong_passphrase(what: &str) -> Error {
    Error::failed("wrong_passphrase", format!("the passphrase of the SSH key file {what}"))
}

/// 1, 2, 3, …, less than a block of any cipher.
fn is_padding(bytes: &[u8]) -> bool {
    bytes.len() < 256 && bytes.iter().zip(1u8..).all(|(byte, expected)| *byte == expected)
}

fn ecdsa_key(nid: openssl::nid::Nid, point: &[u8], secret: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(nid)?;
    let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
    let secret = Secret(BigNum::from_slice(secret)?);
    let key = EcKey::from_private_components(&group, &secret.0, &point)?;
    key.check_key()?;
    PKey::from_ec_key(key)
}

/// In the order of the file: n, e, d, 1/q mod p, p, q.
fn rsa_key(n: &[u8], e: &[u8], d: &[u8], inverse: &[u8], p: &[u8], q: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    let number = BigNum::from_slice;
    let (d, p, q) = (Secret(number(d)?), Secret(number(p)?), Secret(number(q)?));
    let (dp, dq) = (below(&d.0, &p.0)?, below(&d.0, &q.0)?);
    let key = RsaPrivateKeyBuilder::new(number(n)?, number(e)?, d.0.to_owned()?)?
        .set_factors(p.0.to_owned()?, q.0.to_owned()?)?
        .set_crt_params(dp, dq, number(inverse)?)?
        .build();
    match key.check_key()? {
        true => PKey::from_rsa(key),
        false => Err(ErrorStack::get()),
    }
}

/// d mod (prime − 1).
fn below(d: &BigNumRef, prime: &BigNumRef) -> Result<BigNum, ErrorStack> {
    let mut less = Secret(prime.to_owned()?);
    less.0.sub_word(1)?;
    let mut context = BigNumContext::new_secure().or_else(|_| BigNumContext::new())?;
    let mut rest = BigNum::new()?;
    rest.nnmod(d, &less.0, &mut context)?;
    Ok(rest)
}

/// A number that is wiped.
struct Secret(BigNum);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.clear();
    }
}
