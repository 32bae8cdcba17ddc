//! Why certificates are revoked.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Why a certificate was revoked (RFC 5280 §5.3.1); printed and read by the names that section gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// unspecified (0).
    Unspecified,
    /// keyCompromise (1).
    KeyCompromise,
    /// cACompromise (2).
    CaCompromise,
    /// affiliationChanged (3).
    AffiliationChanged,
    /// superseded (4).
    Superseded,
    /// cessationOfOperation (5).
    CessationOfOperation,
    /// certificateHold (6), never written here.
    CertificateHold,
    /// removeFromCRL (8), never written here.
    RemoveFromCrl,
    /// privilegeWithdrawn (9).
    PrivilegeWithdrawn,
    /// aACompromise (10).
    AaCompromise,
}

impl Reason {
    pub(super) const TABLE: [(Reason, u8, &'static str); 10] = [
        (Reason::Unspecified, 0, "unspecified"),
        (Reason::KeyCompromise, 1, "keyCompromise"),
        (Reason::CaCompromise, 2, "cACompromise"),
        (Reason::AffiliationChanged, 3, "affiliationChanged"),
        (Reason::Superseded, 4, "superseded"),
        (Reason::CessationOfOperation, 5, "cessationOfOperation"),
        (Reason::CertificateHold, 6, "certificateHold"),
        (Reason::RemoveFromCrl, 8, "removeFromCRL"),
        (Reason::PrivilegeWithdrawn, 9, "privilegeWithdrawn"),
        (Reason::AaCompromise, 10, "aACompromise"),
    ];

    /// The CRLReason number.
    pub fn code(self) -> u8 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.1)
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }
}

impl From<crate::keys::RevocationReason> for Reason {
    fn from(reason: crate::keys::RevocationReason) -> Self {
        use crate::keys::RevocationReason as Why;
        match reason {
            Why::Unspecified => Reason::Unspecified,
            Why::KeyCompromise => Reason::KeyCompromise,
            Why::CaCompromise => Reason::CaCompromise,
            Why::AffiliationChanged => Reason::AffiliationChanged,
            Why::Superseded => Reason::Superseded,
            Why::CessationOfOperation => Reason::CessationOfOperation,
            Why::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
            Why::AaCompromise => Reason::AaCompromise,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::TABLE.iter().find(|row| row.0 == *self).map_or("unspecified", |row| row.2))
    }
}

impl FromStr for Reason {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::TABLE.iter().find(|row| row.2 == text).map(|row| row.0).ok_or_else(|| {
            let known: Vec<_> = Self::TABLE.iter().map(|row| row.2).collect();
            Error::usage("unknown_word", format!("unknown reason {text:?}; known: {}", known.join(", ")))
        })
    }
}
