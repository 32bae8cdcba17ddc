//! Approval requests: what people are asked to approve, fully resolved (governance D3). The file `requests/ID.json`
//! holds exactly the canonical bytes (RFC 8785), and those are what is signed.
//!
//! [`ApprovalRequest::parse`] takes nothing that two people could read differently: one spelling, no unknown or
//! repeated names, no floats, no text that a screen would hide or reorder.

mod form;
#[cfg(test)]
pub(crate) mod tests;

use crate::clock::Time;
use crate::config::policy::Operation;
use crate::model::{Email, Environment, Hash256, HsmName, Tool};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub use crate::keys::TokenSummary;

/// The version of the form.
pub const SCHEMA: &str = "keyctl.request/v1";

/// The most bytes a request may have.
pub const MAX_REQUEST: usize = 64 * 1024;

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// [`SCHEMA`].
    pub schema: String,
    /// 128 random bits, lower-case hex. Consumed once.
    pub request_id: String,
    /// The workspace it is for.
    pub workspace_id: String,
    /// The workspace's origin; part of the signature namespaces.
    pub origin: String,
    /// The workspace's environment.
    pub environment: Environment,
    /// Leaf hash of entry 0; absent while a workspace is being founded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub genesis_sha256: Option<Hash256>,
    /// Which rule of the policy applies.
    pub operation: Operation,
    /// What it is done to: a key, a generation, `settings`, `roster`.
    pub object: String,
    /// The command line without the program and the global options, as `run` repeats it.
    pub command: Vec<String>,
    /// Each act that the command will do, in order.
    pub steps: Vec<Step>,
    /// What must not have moved since: a key's name, `settings` or `roster`, with the last entry that touched it.
    pub subjects: BTreeMap<String, u64>,
    /// The tokens that will be used, as they were adopted.
    pub tokens: BTreeMap<HsmName, TokenSummary>,
    /// The ledger when the request was made.
    pub log_head: LogHead,
    /// The roster in force; while a workspace is being founded, the one it will begin with.
    pub roster: RosterReference,
    /// SHA-256 of the settings in force, as for the roster.
    pub settings_sha256: Hash256,
    /// Who asks; their signature stands beside the request.
    pub requester: Requester,
    /// Why, in words.
    pub reason: String,
    /// A ticket in another system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<String>,
    /// Present for break-glass (B16).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub break_glass: Option<BreakGlass>,
    /// The program that made the request.
    pub tool: Tool,
    /// When it was made.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub created_at: Time,
    /// From when on it may be run.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_before: Time,
    /// Until when, exclusively.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_after: Time,
}

impl ApprovalRequest {
    /// The rule that applies: in a declared incident that of break-glass, whatever is done (B16).
    pub fn rule(&self) -> Operation {
        if self.break_glass.is_some() { Operation::BreakGlass } else { self.operation }
    }
}

impl Step {
    /// Whether this step is the act of `operation` on `object` with `params`: equal in everything, except that `open`
    /// parameters, which could not be known when the step was planned, may have come since.
    pub fn allows(&self, operation: &str, object: &str, params: &Value, open: &[&str]) -> bool {
        let (Value::Object(planned), Value::Object(actual)) = (&self.params, params) else { return false };
        let added = |name: &String| !planned.contains_key(name);
        self.operation == operation
            && self.object == object
            && planned.iter().all(|(name, value)| actual.get(name) == Some(value))
            && actual.keys().filter(|name| added(name)).all(|name| open.contains(&name.as_str()))
    }
}

/// One act: an operation of [`crate::request`], with every parameter that can be known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// [`crate::request::Operation::NAME`].
    pub operation: String,
    /// What it is done to.
    pub object: String,
    /// Its parameters, an object; without those of [`crate::request::Operation::OPEN`].
    pub params: Value,
}

/// A tree head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them; of no entries, the hash of nothing.
    pub root: Hash256,
}

/// Which roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterReference {
    /// Its version.
    pub version: u32,
    /// SHA-256 of its canonical JSON.
    pub sha256: Hash256,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// E-mail address, as the roster has it.
    pub email: Email,
    /// SHA-256 of the public key's SSH wire form (`SHA256:` fingerprint, in hex).
    pub key_sha256: Hash256,
}

/// Why the glass is broken (domain §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The declared incident.
    pub incident: String,
    /// Why it cannot wait for the ordinary way.
    pub justification: String,
}
