//! OpenSSH public keys: `TYPE BASE64 [COMMENT]`, where the base64 is of the key's wire form (RFC 4253 §6.6,
//! RFC 5656 §3.1, RFC 8709 §4, OpenSSH PROTOCOL.u2f).

use super::wire::{Reader, Writer};
use crate::crypto::verify;
use crate::error::{Error, Result};
use crate::model::{Hash256, HashAlgorithm, SpkiHash, base64};
use base64ct::{Base64, Encoding};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Rsa;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a public key line; a key of 16384 bits with a long comment fits.
pub const MAX_KEY_LINE: usize = 8 * 1024;

/// The most bytes of a public key's wire form.
pub(super) const MAX_BLOB: usize = 4 * 1024;

/// The longest application of a security key, in bytes.
const MAX_APPLICATION: usize = 255;

/// OpenSSH takes no larger ones.
const MAX_RSA_BITS: i32 = 16384;

const MIN_RSA_BITS: i32 = 3072;

crate::model::words! {
    /// The kinds of SSH keys that count; certificates, DSA and others do not.
    KeyKind: "kind of SSH key" {
        Ed25519 = "ssh-ed25519",
        EcdsaP256 = "ecdsa-sha2-nistp256",
        EcdsaP384 = "ecdsa-sha2-nistp384",
        EcdsaP521 = "ecdsa-sha2-nistp521",
        /// 3072 bits or more, exponent 65537.
        Rsa = "ssh-rsa",
        /// Ed25519 in a FIDO authenticator.
        SkEd25519 = "sk-ssh-ed25519@openssh.com",
        /// P-256 in a FIDO authenticator.
        SkEcdsaP256 = "sk-ecdsa-sha2-nistp256@openssh.com",
    }
}

/// An elliptic curve as SSH names it.
#[derive(Clone, Copy)]
pub(super) struct Curve {
    pub name: &'static str,
    pub nid: Nid,
    /// The hash of ECDSA signatures on it (RFC 5656 §6.2.1).
    pub hash: HashAlgorithm,
    /// Bytes of a coordinate.
    pub size: usize,
}

impl KeyKind {
    /// A key in a FIDO authenticator.
    pub fn is_security_key(self) -> bool {
        matches!(self, KeyKind::SkEd25519 | KeyKind::SkEcdsaP256)
    }

    /// The curve of an ECDSA key.
    pub(super) fn curve(self) -> Option<Curve> {
        let (name, nid, hash, size) = match self {
            KeyKind::EcdsaP256 | KeyKind::SkEcdsaP256 => ("nistp256", Nid::X9_62_PRIME256V1, HashAlgorithm::Sha256, 32),
            KeyKind::EcdsaP384 => ("nistp384", Nid::SECP384R1, HashAlgorithm::Sha384, 48),
            KeyKind::EcdsaP521 => ("nistp521", Nid::SECP521R1, HashAlgorithm::Sha512, 66),
            KeyKind::Ed25519 | KeyKind::SkEd25519 | KeyKind::Rsa => return None,
        };
        Some(Curve { name, nid, hash, size })
    }
}

/// An OpenSSH public key in its one wire form; prints as `TYPE BASE64`.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    blob: Vec<u8>,
    key: verify::PublicKey,
    application: Option<String>,
}

impl PublicKey {
    /// Reads the wire form.
    ///
    /// # Errors
    /// `bad_ssh_key`: not a kind that counts, an RSA key that is small or unusual, a point that is not on its curve,
    /// another spelling of a key, or bytes after it.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        if blob.len() > MAX_BLOB {
            return Err(bad("is too long"));
        }
        let mut reader = Reader(blob);
        let word = reader.text().ok_or_else(|| bad("has no type"))?;
        let kind: KeyKind = word.parse().map_err(|error: Error| bad("is of no kind that counts").because(error))?;
        let key = match kind.curve() {
            Some(curve) => from_numbers(&ecdsa(curve, &mut reader)?)?,
            None if kind == KeyKind::Rsa => from_numbers(&rsa(&mut reader)?)?,
            None => ed25519(&mut reader)?,
        };
        let application = if kind.is_security_key() { Some(application(&mut reader)?) } else { None };
        reader.end().ok_or_else(|| bad("has bytes after its end"))?;
        let key = PublicKey { kind, blob: blob.to_vec(), key, application };
        match key.encoded() {
            Some(encoded) if encoded == blob => Ok(key),
            _ => Err(bad("is not in its one form")),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// A key in a FIDO authenticator, whose signatures say whether a person touched it.
    pub fn is_security_key(&self) -> bool {
        self.kind.is_security_key()
    }

    /// The FIDO application of a security key, usually `ssh:`.
    pub fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }

    /// The wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// SHA-256 of the wire form: the key's identity; `ssh-keygen -l` shows it in base64.
    pub fn fingerprint(&self) -> Hash256 {
        Hash256::of(&self.blob)
    }

    /// The fingerprint as OpenSSH prints it: `SHA256:` and base64 without padding.
    pub fn openssh_fingerprint(&self) -> String {
        format!("SHA256:{}", base64(&self.fingerprint().0).trim_end_matches('='))
    }

    /// SHA-256 of the bare public key as a SubjectPublicKeyInfo. Two lines with one such hash are one key, even if
    /// their kinds or applications differ.
    pub fn material(&self) -> SpkiHash {
        self.key.spki_hash()
    }

    /// The key for the mathematics.
    pub(super) fn key(&self) -> &verify::PublicKey {
        &self.key
    }

    /// Writes the wire form again, from the numbers.
    fn encoded(&self) -> Option<Vec<u8>> {
        let writer = Writer::new().string(self.kind.as_str().as_bytes());
        let writer = match self.kind.curve() {
            Some(curve) => writer.string(curve.name.as_bytes()).string(&self.key.point()?),
            None if self.kind == KeyKind::Rsa => {
                let rsa = self.key.key().rsa().ok()?;
                writer.positive(&rsa.e().to_vec()).positive(&rsa.n().to_vec())
            }
            None => writer.string(&self.key.point()?),
        };
        let writer = self.application.iter().fold(writer, |writer, name| writer.string(name.as_bytes()));
        Some(writer.into_public())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, base64(&self.blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.openssh_fingerprint())
    }
}

/// Reads a line `TYPE BASE64 [COMMENT]`; a final newline is forgiven and the comment forgotten.
impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        if line.len() > MAX_KEY_LINE {
            return Err(bad("is too long"));
        }
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(bad("is not one line"));
        }
        let mut words = line.splitn(3, [' ', '\t']);
        let (Some(word), Some(encoded)) = (words.next(), words.next()) else {
            return Err(bad("does not have the form TYPE BASE64"));
        };
        let blob = Base64::decode_vec(encoded).map_err(|_| bad("is not base64"))?;
        let key = PublicKey::from_blob(&blob)?;
        match key.kind.as_str() == word {
            true => Ok(key),
            false => Err(bad("is of another type than its line says")),
        }
    }
}

crate::model::serde_by_text!(PublicKey);

fn bad(what: &str) -> Error {
    Error::usage("bad_ssh_key", format!("the SSH public key {what}"))
}

fn from_numbers(key: &PKey<Public>) -> Result<verify::PublicKey> {
    let spki = key.public_key_to_der().map_err(|stack| bad("has no public form").because(stack))?;
    verify::PublicKey::from_spki(&spki)
}

fn ed25519(reader: &mut Reader<'_>) -> Result<verify::PublicKey> {
    let point = reader.string().filter(|point| point.len() == 32).ok_or_else(|| bad("has no 32-byte point"))?;
    if is_weak(point) {
        return Err(bad("is a point of small order, with which anyone can sign"));
    }
    verify::PublicKey::from_spki(&[&verify::ED25519_SPKI, point].concat())
        .map_err(|error| bad("is not an Ed25519 key").because(error))
}

/// Whether an Ed25519 point has small order or is not in its shortest form. OpenSSL asks neither.
fn is_weak(point: &[u8]) -> bool {
    /// The y of the points of order 1, 2, 4 and 8, least byte first.
    const SMALL: [[u8; 32]; 5] = [
        little(0),
        little(1),
        unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ];
    let Ok(mut y) = <[u8; 32]>::try_from(point) else { return true };
    let [low, middle @ .., high] = &mut y;
    // The top bit is the sign of x.
    *high &= 0x7f;
    // p = 2^255 - 19, whose bytes but the lowest are all ones.
    let reduced = *high != 0x7f || *low < 0xed || middle.iter().any(|byte| *byte != 0xff);
    !reduced || SMALL.contains(&y)
}

const fn little(low: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = low;
    bytes
}

const fn unhex(text: &str) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let (text, mut bytes, mut i) = (text.as_bytes(), [0; 32], 0);
    while i < 32 {
        bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    bytes
}

fn ecdsa(curve: Curve, reader: &mut Reader<'_>) -> Result<PKey<Public>> {
    let named = reader.text().is_some_and(|name| name == curve.name);
    let point = reader.string().filter(|point| named && point.len() == 1 + 2 * curve.size && point.first() == Some(&4));
    let point = point.ok_or_else(|| bad("has no uncompressed point on the curve of its type"))?;
    let key = || -> std::result::Result<PKey<Public>, ErrorStack> {
        let group = EcGroup::from_curve_name(curve.nid)?;
        let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
        let key = EcKey::from_public_key(&group, &point)?;
        key.check_key()?;
        PKey::from_ec_key(key)
    };
    key().map_err(|stack| bad("is not a point on its curve").because(stack))
}

fn rsa(reader: &mut Reader<'_>) -> Result<PKey<Public>> {
    let numbers = (reader.positive(), reader.positive());
    let (Some(exponent), Some(modulus)) = numbers else { return Err(bad("has no exponent and modulus")) };
    if exponent != [1, 0, 1] {
        return Err(bad("is RSA with another exponent than 65537"));
    }
    let numbers = (BigNum::from_slice(modulus), BigNum::from_slice(exponent));
    let (Ok(modulus), Ok(exponent)) = numbers else { return Err(bad("has numbers that cannot be read")) };
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&modulus.num_bits()) || !modulus.is_bit_set(0) {
        return Err(bad(&format!("is RSA with {} bits; {MIN_RSA_BITS} or more count", modulus.num_bits())));
    }
    let key = Rsa::from_public_components(modulus, exponent).and_then(PKey::from_rsa);
    key.map_err(|stack| bad("is not an RSA key").because(stack))
}

fn application(reader: &mut Reader<'_>) -> Result<String> {
    let name = reader.text().filter(|name| (1..=MAX_APPLICATION).contains(&name.len()));
    let name = name.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    name.map(str::to_owned).ok_or_else(|| bad("has no proper application"))
}
