//! Which token is meant, and what it says of itself.

use crate::clock::Time;
use crate::hsm::module::{ModuleInfo, ModuleSpec};
use crate::hsm::pin::PinSource;
use crate::keys::TokenRecord;
use crate::model::HsmName;
use serde::Serialize;
use std::time::Duration;

/// Which token, and how to use it.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Its `[hsm.NAME]` entry.
    pub name: HsmName,
    /// Where its module is.
    pub module: ModuleSpec,
    /// `CKA` token label; exact.
    pub label: Option<String>,
    /// Serial number; exact.
    pub serial: Option<String>,
    /// Where the user PIN comes from.
    pub pin: PinSource,
    /// Deadline of each call.
    pub timeout: Duration,
    /// Sessions to sign with at once, 1 to 64.
    pub sessions: usize,
    /// What was adopted; nothing else is logged in to.
    pub recorded: Option<TokenRecord>,
}

/// What the token and its module say of themselves. Text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Token label.
    pub label: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
    /// Hardware version.
    pub hardware: String,
    /// `CK_TOKEN_INFO.flags` when the token was opened.
    pub flags: u64,
    /// Shortest and longest PIN, in bytes, as the token says.
    pub pin_length: (u64, u64),
    /// What its own clock said when it was opened, if it has one and that is a time.
    #[serde(skip)]
    pub clock: Option<Time>,
    /// The builtin token, or one known to be software. A token not known here may still be one.
    pub software: bool,
    /// The module.
    pub module: ModuleInfo,
    /// Words of caution for the operator.
    pub warnings: Vec<String>,
}

impl TokenInfo {
    /// Whether a `CKF_…` flag is set.
    pub fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

/// A mechanism of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MechanismInfo {
    /// Its number; vendors have their own.
    pub number: u64,
    /// Smallest key size, in the mechanism's own unit.
    pub min: u64,
    /// Largest key size; some tokens say 0 for "no limit".
    pub max: u64,
    /// `CKF_…` flags: what it can be used for.
    pub flags: u64,
}
