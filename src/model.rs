//! Small types that every stage shares: names, algorithms, what is to be signed, who asks.
//!
//! Each parses strictly and prints one canonical form, so that a value read from JSON, TOML, the command
//! line or the ledger is checked once, at the door.

use crate::error::{Error, Result};
use base64ct::{Base64, Encoding};
use const_oid::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::str::FromStr;

/// Implements serde through `Display` and `FromStr`.
macro_rules! serde_by_text {
    ($($name:ty),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(|e: $crate::error::Error| serde::de::Error::custom(e.message()))
            }
        }
    )*};
}

/// An enum whose variants have one spelling each, in JSON, TOML, the command line and prose.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident: $what:literal { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[allow(missing_docs, reason = "where nothing is said, the word says it")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),* }

        #[allow(dead_code, reason = "not every list of words is walked")]
        impl $name {
            /// All values, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The one spelling.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;
            fn from_str(text: &str) -> $crate::error::Result<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    $crate::error::Error::usage("unknown_word", format!(concat!("unknown ", $what, " {:?}; known: {}"), text, known.join(", ")))
                })
            }
        }

        $crate::model::serde_by_text!($name);
    };
}
pub(crate) use {serde_by_text, words};

words! {
    /// What kind of work a workspace is for; fixed at genesis, bound to each key (design §4).
    Environment: "environment" { Production = "production", Staging = "staging", Sandbox = "sandbox" }
}

words! {
    /// What a key is for (design §4).
    Purpose: "purpose" {
        /// Self-signed CA; issues intermediates only.
        RootCa = "root-ca",
        /// Issues leaf certificates of one kind.
        IntermediateCa = "intermediate-ca",
        /// Signs Windows artifacts.
        Authenticode = "authenticode",
        /// Signs macOS flat packages.
        Installer = "installer",
        /// OpenPGP signing subkey for APT repositories.
        Apt = "apt",
        /// OpenPGP primary key that certifies `apt` subkeys.
        OpenpgpPrimary = "openpgp-primary",
        /// Client certificate of a connector.
        Connector = "connector",
        /// Signs checkpoints of the ledger.
        Ledger = "ledger",
    }
}

impl Purpose {
    /// Whether such a key issues X.509 certificates, and so revocation lists.
    pub fn is_ca(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::IntermediateCa => true,
            Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Apt
            | Purpose::OpenpgpPrimary
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether such a key is certified the OpenPGP way.
    pub fn is_openpgp(self) -> bool {
        match self {
            Purpose::Apt | Purpose::OpenpgpPrimary => true,
            Purpose::RootCa
            | Purpose::IntermediateCa
            | Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether artifacts are signed with such a key.
    pub fn signs_artifacts(self) -> bool {
        match self {
            Purpose::Authenticode | Purpose::Installer | Purpose::Apt => true,
            Purpose::RootCa
            | Purpose::IntermediateCa
            | Purpose::OpenpgpPrimary
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether trust begins with such a key: nothing of ours certifies it.
    pub fn is_trust_anchor(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::OpenpgpPrimary | Purpose::Ledger => true,
            Purpose::IntermediateCa
            | Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Apt
            | Purpose::Connector => false,
        }
    }

    /// Whether people agree to its making and its rotation under the rules for CAs: what others are certified by, and
    /// the key that the ledger's word rests on.
    pub fn falls_under_ca_rules(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::IntermediateCa | Purpose::OpenpgpPrimary | Purpose::Ledger => true,
            Purpose::Authenticode | Purpose::Installer | Purpose::Apt | Purpose::Connector => false,
        }
    }
}

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

/// A 32-byte SHA-256 value; prints as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash256(pub [u8; 32]);

impl Hash256 {
    /// SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Hash256(Sha256::digest(data).into())
    }
}

impl fmt::Display for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash256 {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bytes = unhex(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Hash256).ok_or_else(|| Error::usage("bad_hash", format!("not 64 lower-case hex digits: {text:?}")))
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Reads lower-case hex; anything else gives `None`.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    base16ct::lower::decode_vec(text).ok()
}

/// `#[serde(with = "model::serde_base64")]`: bytes as standard, padded base64.
pub mod serde_base64 {
    use base64ct::{Base64, Encoding};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&Base64::encode_string(bytes))
    }

    /// Reads base64, strictly.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        Base64::decode_vec(&String::deserialize(d)?).map_err(|_| D::Error::custom("not base64"))
    }
}

/// `#[serde(with = "model::serde_base64_list")]`: a list of byte strings, each as base64.
pub mod serde_base64_list {
    use super::base64;
    use base64ct::Encoding;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a list of base64 strings.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(|bytes| base64(bytes)))
    }

    /// Reads it, strictly.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<String>::deserialize(d)?;
        let decode = |text: &String| base64ct::Base64::decode_vec(text).map_err(|_| D::Error::custom("not base64"));
        list.iter().map(decode).collect()
    }
}

/// Standard, padded base64.
pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// The SHA-256 of a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): a key's identity everywhere.
pub type SpkiHash = Hash256;

/// A PKCS#11 `CKA_ID`, 1 to 64 bytes; prints as hex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CkaId(Vec<u8>);

impl CkaId {
    /// # Errors
    /// Empty or longer than 64 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > 64 {
            return Err(Error::usage("bad_cka_id", format!("a CKA_ID has 1 to 64 bytes, not {}", bytes.len())));
        }
        Ok(CkaId(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CkaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for CkaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CkaId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        CkaId::new(unhex(text).ok_or_else(|| Error::usage("bad_cka_id", format!("not lower-case hex: {text:?}")))?)
    }
}

/// A string with a checked form.
macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $code:literal, $what:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(Error::usage($code, format!(concat!("{:?} is not ", $what), text)))
                }
            }
        }

        serde_by_text!($name);
    };
}

fn is_slug(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 32
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

name! {
    /// A key's name, a line over time (`windows`). It becomes part of file names in `published/`.
    KeyName, "bad_key_name", "a key name (a lower-case letter, then up to 31 letters, digits, '-')", is_slug
}

name! {
    /// The name of an `[hsm.NAME]` entry.
    HsmName, "bad_hsm_name", "an hsm name (a lower-case letter, then up to 31 letters, digits, '-')", is_slug
}

name! {
    /// The name of a `[pipelines.NAME]` entry.
    PipelineName, "bad_pipeline_name", "a pipeline name (a lower-case letter, then up to 31 letters, digits, '-')", is_slug
}

name! {
    /// Ties together what belongs to one deployment (domain §2).
    CorrelationId, "bad_correlation_id", "a correlation id (1 to 128 of 0-9, a-z, '-', in either case)",
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl CorrelationId {
    /// A fresh UUIDv4.
    pub fn generate() -> Self {
        CorrelationId(uuid::Uuid::new_v4().to_string())
    }
}

name! {
    /// A person, identified by e-mail address (domain §3).
    Email, "bad_email", "an e-mail address",
    |text| text.len() <= 254
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\,;:()[]".contains(&b))
        && text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
}

impl Email {
    /// In lower case: the one spelling under which a person is known.
    pub fn folded(&self) -> Email {
        Email(self.0.to_ascii_lowercase())
    }
}

/// One generation of a key: `windows/3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationId {
    /// The key.
    pub key: KeyName,
    /// 1, 2, 3, …
    pub number: u32,
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.key, self.number)
    }
}

impl FromStr for GenerationId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::usage("bad_generation", format!("{text:?} is not a generation like windows/3"));
        let (key, number) = text.split_once('/').ok_or_else(bad)?;
        let number = number.parse().ok().filter(|n: &u32| *n > 0 && n.to_string() == number).ok_or_else(bad)?;
        Ok(GenerationId { key: key.parse()?, number })
    }
}

serde_by_text!(Mechanism, Hash256, CkaId, GenerationId);

words! {
    /// Whether the actor was merely named, or proved it with their own key.
    Assurance: "assurance" { Asserted = "asserted", Proven = "proven" }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// E-mail address; for an asserted actor without one, `USER@HOST` of the process.
    pub email: Email,
    /// Their role in the roster, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// Named or proven.
    pub assurance: Assurance,
}

/// Which program did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Version of the release, as in `keyctl --version`.
    pub version: String,
    /// SHA-256 of the running executable; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Hash256>,
}

words! {
    /// Where a key's private part may be (governance §10).
    Custody: "custody" {
        /// Never left its token and never can.
        Bound = "bound",
        /// Cloned by the vendor's own means only.
        Cloned = "cloned",
        /// Wrapped once, in an approved window.
        SealedExport = "sealed-export",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip_and_reject_the_rest() {
        for mechanism in ["rsa-pkcs1-sha256", "rsa-pss-sha384", "ecdsa-sha512", "ed25519"] {
            assert_eq!(mechanism.parse::<Mechanism>().unwrap().to_string(), mechanism);
        }
        for bad in ["windows/0", "windows/03", "windows/+3", "Windows/3", "windows", "../x/1", "a/4294967296"] {
            assert!(bad.parse::<GenerationId>().is_err(), "{bad}");
        }
        assert_eq!("windows/3".parse::<GenerationId>().unwrap().to_string(), "windows/3");
        for bad in ["", "a@", "@b", "a@b@c", "a b@c", "a\n@b"] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
        assert!("DP-20260101-abcd".parse::<CorrelationId>().is_ok());
        assert!("a_b".parse::<CorrelationId>().is_err());
        assert!("ABCD".parse::<CkaId>().is_err(), "upper-case hex is another spelling");
    }

    #[test]
    fn a_digest_must_fit_its_mechanism() {
        assert!(Tbs::digest(Mechanism::Ecdsa(HashAlgorithm::Sha256), vec![0; 48]).is_err());
        assert!(Tbs::digest(Mechanism::Ed25519, vec![0; 32]).is_err());
        let tbs = Tbs::message(Mechanism::Ed25519, b"abc");
        assert_eq!(tbs.bytes(), b"abc");
        assert_eq!(tbs.content(), Hash256::of(b"abc").0);
    }
}
