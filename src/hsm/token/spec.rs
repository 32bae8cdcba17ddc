//! Which token is meant, and what it says of itself.

use crate::clock::Time;
use crate::config::Token;
use crate::hsm::module::{ModuleInfo, ModuleSpec};
use crate::hsm::pin::PinSource;
use crate::keys::{Library, Statement, TokenFacts, TokenRecord, Validation};
use crate::model::HsmName;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
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
    /// What production asks of it; `None` elsewhere.
    pub production: Option<Production>,
}

/// What a token has to be in production, beyond being the recorded one.
#[derive(Clone, Debug)]
pub struct Production {
    /// Its adopted entry.
    pub wanted: Token,
    /// The folder that files in it are relative to.
    pub dir: PathBuf,
    /// Libraries that were adopted, of all tokens: which module brought one cannot be told apart later. `None` while
    /// nothing is adopted yet.
    pub libraries: Option<BTreeSet<Library>>,
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
    /// What the module says of its validation; looked for in production.
    pub validations: Vec<Validation>,
    /// The vendor's statement about it, if one is adopted and holds.
    pub statement: Option<Statement>,
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

/// What the register keeps of a token's words about itself.
pub fn facts(info: &TokenInfo) -> TokenFacts {
    TokenFacts {
        label: info.label.clone(),
        manufacturer: info.manufacturer.clone(),
        model: info.model.clone(),
        serial: info.serial.clone(),
        firmware: info.firmware.clone(),
        software: info.software,
    }
}

/// What the ledger keeps of a token and its module when they are adopted.
pub fn record(info: &TokenInfo) -> TokenRecord {
    let (validations, statement) = (info.validations.clone(), info.statement.clone());
    TokenRecord { token: facts(info), module: info.module.facts(), validations, statement }
}
