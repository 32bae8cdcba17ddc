//! Algorithms, and what is to be signed with them.

use crate::error::{Error, Result};
use const_oid::ObjectIdentifier;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::str::FromStr;

words! {
    /// Key algorithms that keys can be made with.
    KeyAlgorithm: "algorithm" {
        Rsa3072 = "rsa-3072", Rsa4096 = "rsa-4096",
        EcdsaP256 = "ecdsa-p256", EcdsaP384 = "ecdsa-p384",
        Ed25519 = "ed25519",
    }
}

impl KeyAlgorithm {
    /// RSA of either size.
    pub fn is_rsa(self) -> bool {
        matches!(self, KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
    }

    /// The mechanism that signs a digest of `hash` with such a key (PKCS#1 v1.5 for RSA).
    pub fn mechanism(self, hash: HashAlgorithm) -> Mechanism {
        match self {
            KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Mechanism::RsaPkcs1(hash),
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => Mechanism::Ecdsa(hash),
            KeyAlgorithm::Ed25519 => Mechanism::Ed25519,
        }
    }
}

words! {
    /// Hash algorithms that are accepted in anything we sign.
    HashAlgorithm: "hash algorithm" { Sha256 = "sha256", Sha384 = "sha384", Sha512 = "sha512" }
}

impl HashAlgorithm {
    /// Digest of `data`.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            HashAlgorithm::Sha256 => Sha256::digest(data).to_vec(),
            HashAlgorithm::Sha384 => Sha384::digest(data).to_vec(),
            HashAlgorithm::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// Length of a digest, in bytes.
    pub fn size(self) -> usize {
        match self {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        }
    }

    /// NIST algorithm identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            HashAlgorithm::Sha256 => const_oid::db::rfc5912::ID_SHA_256,
            HashAlgorithm::Sha384 => const_oid::db::rfc5912::ID_SHA_384,
            HashAlgorithm::Sha512 => const_oid::db::rfc5912::ID_SHA_512,
        }
    }

    /// The algorithm with this identifier, if we accept it.
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.iter().copied().find(|hash| hash.oid() == *oid)
    }
}

/// How a signature is made. The text form (`rsa-pkcs1-sha256`) is what permits, the ledger and evidence show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2) over a digest.
    RsaPkcs1(HashAlgorithm),
    /// RSASSA-PSS (RFC 8017 §8.1) over a digest, MGF1 with the same hash, salt as long as the hash.
    RsaPss(HashAlgorithm),
    /// ECDSA over a digest.
    Ecdsa(HashAlgorithm),
    /// Pure Ed25519 (RFC 8032) over the message itself.
    Ed25519,
}

impl Mechanism {
    /// The hash whose digest is signed; `None` for Ed25519, which takes the message.
    pub fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Mechanism::RsaPkcs1(hash) | Mechanism::RsaPss(hash) | Mechanism::Ecdsa(hash) => Some(hash),
            Mechanism::Ed25519 => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mechanism::RsaPkcs1(hash) => write!(f, "rsa-pkcs1-{hash}"),
            Mechanism::RsaPss(hash) => write!(f, "rsa-pss-{hash}"),
            Mechanism::Ecdsa(hash) => write!(f, "ecdsa-{hash}"),
            Mechanism::Ed25519 => f.write_str("ed25519"),
        }
    }
}

impl FromStr for Mechanism {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text == "ed25519" {
            return Ok(Mechanism::Ed25519);
        }
        let parsed = text.rsplit_once('-').and_then(|(scheme, hash)| {
            let hash = hash.parse().ok()?;
            match scheme {
                "rsa-pkcs1" => Some(Mechanism::RsaPkcs1(hash)),
                "rsa-pss" => Some(Mechanism::RsaPss(hash)),
                "ecdsa" => Some(Mechanism::Ecdsa(hash)),
                _ => None,
            }
        });
        parsed.ok_or_else(|| Error::usage("unknown_mechanism", format!("unknown mechanism {text:?}")))
    }
}

/// Exactly what one signature is made over: a digest with its hash, or for Ed25519 the message.
///
/// The digest's length is checked when it is made, so a `Tbs` always fits its mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tbs {
    mechanism: Mechanism,
    bytes: Vec<u8>,
}

impl Tbs {
    /// Over `message`, hashed here if the mechanism signs digests.
    pub fn message(mechanism: Mechanism, message: &[u8]) -> Self {
        let bytes = match mechanism.hash() {
            Some(hash) => hash.digest(message),
            None => message.to_vec(),
        };
        Tbs { mechanism, bytes }
    }

    /// Over a digest that was computed elsewhere.
    ///
    /// # Errors
    /// The digest's length is not that of the mechanism's hash, or the mechanism takes no digest.
    pub fn digest(mechanism: Mechanism, digest: Vec<u8>) -> Result<Self> {
        match mechanism.hash() {
            Some(hash) if hash.size() == digest.len() => Ok(Tbs { mechanism, bytes: digest }),
            _ => Err(Error::bug(format!("{} bytes are no digest for {mechanism}", digest.len()))),
        }
    }

    /// How it is signed.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The digest, or for Ed25519 the message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What permits and the ledger list: the digest itself, or for Ed25519 the SHA-256 of the message.
    pub fn content(&self) -> Vec<u8> {
        match self.mechanism.hash() {
            Some(_) => self.bytes.clone(),
            None => Sha256::digest(&self.bytes).to_vec(),
        }
    }
}

/// A signature in the form certificates and CMS carry: RSA as the modulus-long integer, ECDSA as DER
/// `ECDSA-Sig-Value` (RFC 3279 §2.2.3), Ed25519 as 64 bytes. It was verified in software before it came out of the key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

serde_by_text!(Mechanism);
