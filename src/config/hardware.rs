//! What a token has to be in production, and what surrounds its module: the adopted entry that tokens are held against.
//!
//! What a token says of itself (manufacturer, model, firmware) is a claim. So the entry names the module by its hash too,
//! and what attests the hardware, where something does; variables that steer the module are part of it.

use crate::error::{Error, Result};
use crate::model::{Hash256, serde_by_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The hardware that a token has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// `CK_TOKEN_INFO.manufacturerID`, without padding.
    pub manufacturer: String,
    /// `CK_TOKEN_INFO.model`, without padding.
    pub model: String,
    /// The first and the last firmware that is accepted.
    pub firmware: [Version; 2],
    /// What attests it; nothing does where this is absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attestation: Option<Attestation>,
}

impl Hardware {
    /// Whether a firmware version, as a token tells it, lies in the range.
    pub fn accepts(&self, firmware: &str) -> bool {
        let [first, last] = &self.firmware;
        firmware.parse::<Version>().is_ok_and(|version| *first <= version && version <= *last)
    }
}

/// What attests that a token is the hardware it says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Attestation {
    /// The module's own validation objects (PKCS#11 3.2, `CKO_VALIDATION`), which have to say what the FIPS entry says.
    ValidationObject,
    /// A statement that names the token's serial number, signed (CMS) under the vendor's roots.
    Statement {
        /// The statement, DER or PEM.
        file: TrustFile,
        /// The vendor's roots, PEM.
        roots: TrustFile,
    },
}

/// A file whose content is part of the adopted settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// As written in the file; relative to the workspace.
    pub path: PathBuf,
    /// Of its content when the configuration was read.
    pub sha256: Hash256,
}

/// A version as PKCS#11 has it (`CK_VERSION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u8,
    minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::usage("bad_version", format!("{text:?} is no version like \"7.3\""));
        let part = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            digits.then(|| text.parse::<u8>().ok()).flatten().ok_or_else(bad)
        };
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        Ok(Version { major: part(major)?, minor: part(minor)? })
    }
}

serde_by_text!(Version);

/// A variable that a module needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What it is set to.
    pub value: String,
    /// If it names a file, the SHA-256 of what the file held when the configuration was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Hash256>,
}

/// The releases of this program that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// SHA-256 of each executable.
    pub sha256: Vec<Hash256>,
}

impl Releases {
    /// None is named.
    pub fn is_empty(&self) -> bool {
        self.sha256.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_ranges_have_both_ends() {
        let hardware = |first: &str, last: &str| Hardware {
            manufacturer: "M".into(),
            model: "m".into(),
            firmware: [first.parse().unwrap(), last.parse().unwrap()],
            attestation: None,
        };
        let range = hardware("7.3", "7.10");
        for (version, inside) in [("7.2", false), ("7.3", true), ("7.9", true), ("7.10", true), ("7.11", false)] {
            assert_eq!(range.accepts(version), inside, "{version}");
        }
        for bad in ["", "7", "7.", "7.3.1", "7.03", "7.+3", "256.0", "8 .1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
            assert!(!range.accepts(bad), "{bad:?}");
        }
    }
}
