//! What things are known by: hashes, names, generations, people.

use super::{hex, unhex};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

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

serde_by_text!(Hash256, CkaId, GenerationId);
