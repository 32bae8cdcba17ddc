//! What a verifier holds: a named public key in one line.

use super::name::{MAX_NAME, is_name};
use crate::crypto::verify::{ED25519_SPKI, PublicKey};
use crate::error::{Context, Error, Kind, Result};
use crate::model::{Hash256, HashAlgorithm, KeyAlgorithm, Mechanism, Tbs};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const TYPE_ED25519: u8 = 1;
const TYPE_ECDSA: u8 = 2;

/// The length of a P-256 SubjectPublicKeyInfo with an uncompressed point, the only form accepted.
const P256_SPKI_LEN: usize = 91;

/// A named public key; prints as the one-line `NAME+KEYID+BASE64` that verifiers are configured with.
#[derive(Clone, Debug)]
pub struct VerifierKey {
    name: String,
    id: u32,
    mechanism: Mechanism,
    key: PublicKey,
}

impl VerifierKey {
    /// The verifier key of this name for an Ed25519 or P-256 key.
    ///
    /// # Errors
    /// `bad_verifier_key`: the name is not one for notes, the key is of another kind, or its SPKI is not plain DER.
    pub fn new(name: &str, key: PublicKey) -> Result<Self> {
        if !is_name(name) {
            return Err(bad_key(format!("{name:?} is not a key name (no spaces, no '+', 1 to {MAX_NAME} bytes)")));
        }
        let (mechanism, id) = match key.algorithm() {
            Some(KeyAlgorithm::Ed25519) => {
                let raw = key.point().ok_or_else(|| bad_key("the Ed25519 key has no bytes".into()))?;
                let hashed = [name.as_bytes(), b"\n", &[TYPE_ED25519], &raw].concat();
                (Mechanism::Ed25519, key_id(&hashed))
            }
            Some(KeyAlgorithm::EcdsaP256) => {
                check_p256(&key)?;
                (Mechanism::Ecdsa(HashAlgorithm::Sha256), key_id(key.spki()))
            }
            _ => return Err(bad_key("the key is neither Ed25519 nor ECDSA P-256".into())),
        };
        Ok(VerifierKey { name: name.to_owned(), id, mechanism, key })
    }

    /// The key's name; for a log's own key, the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key ID, which tells keys of one name apart; it is no fingerprint.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How this key signs notes.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Exactly what this key signs for a note with this text.
    pub fn tbs(&self, text: &str) -> Tbs {
        Tbs::message(self.mechanism, text.as_bytes())
    }

    fn encoded(&self) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Ed25519 => [&[TYPE_ED25519], self.key.point().unwrap_or_default().as_slice()].concat(),
            _ => [&[TYPE_ECDSA], self.key.spki()].concat(),
        }
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.key.spki() == other.key.spki()
    }
}

impl Eq for VerifierKey {}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, Base64::encode_string(&self.encoded()))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let bad = || bad_key("not a verifier key NAME+KEYID+BASE64".into());
        // Base64 may contain '+', names may not.
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        if encoded.len() > 4096 {
            return Err(bad());
        }
        let encoded = Base64::decode_vec(encoded).map_err(|_| bad())?;
        let key = match encoded.split_first() {
            Some((&TYPE_ED25519, raw)) if raw.len() == 32 => PublicKey::from_spki(&[&ED25519_SPKI, raw].concat()),
            Some((&TYPE_ECDSA, spki)) => PublicKey::from_spki(spki),
            _ => return Err(bad_key("the verifier key is neither Ed25519 nor ECDSA".into())),
        };
        let key = VerifierKey::new(name, key.or_kind(Kind::Usage, "bad_verifier_key", || "the key is bad".into())?)?;
        // One spelling only: this compares the key ID, and refuses a type byte that does not fit the key.
        if key.to_string() != line {
            return Err(bad_key("the key id or the form of the verifier key is wrong".into()));
        }
        Ok(key)
    }
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

fn key_id(hashed: &[u8]) -> u32 {
    let [a, b, c, d, ..] = Hash256::of(hashed).0;
    u32::from_be_bytes([a, b, c, d])
}

/// The key ID is over the SPKI's bytes, so a second encoding of one key would be a second key.
fn check_p256(key: &PublicKey) -> Result<()> {
    let plain = key.key().public_key_to_der().is_ok_and(|der| der == key.spki());
    if plain && key.spki().len() == P256_SPKI_LEN {
        return Ok(());
    }
    Err(bad_key("the P-256 key is not a plain DER SubjectPublicKeyInfo with an uncompressed point".into()))
}

fn bad_key(message: String) -> Error {
    Error::usage("bad_verifier_key", message)
}
