//! Small types that every stage shares: names, algorithms, what is to be signed, who asks.
//!
//! Each parses strictly and prints one canonical form, so that a value read from JSON, TOML, the command
//! line or the ledger is checked once, at the door.

use serde::{Deserialize, Serialize};

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

mod algorithms;
mod encoding;
mod ids;
mod purpose;

pub use algorithms::{HashAlgorithm, KeyAlgorithm, Mechanism, Signature, Tbs};
pub use encoding::{base64, hex, serde_base64, serde_base64_list, unhex};
pub use ids::{CkaId, CorrelationId, Email, GenerationId, Hash256, HsmName, KeyName, PipelineName, SpkiHash};
pub use purpose::Purpose;

words! {
    /// What kind of work a workspace is for; fixed at genesis, bound to each key (design §4).
    Environment: "environment" { Production = "production", Staging = "staging", Sandbox = "sandbox" }
}

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
