//! Approvals of artifacts by a change advisory board (domain §3): which files, from when until when, how often, and
//! under which conditions.
//!
//! There are two forms. A [`CabApproval`] is canonical JSON (RFC 8785) with a detached SSH signature by the approver
//! over exactly those bytes, under [`super::Namespace::Cab`]; stock `ssh-keygen -Y` makes one and checks one. An
//! [`UnsignedApproval`] is an entry of the file that is used today, which anyone could have written: it is good for
//! trying things outside production, and everything that rests on it says `unauthenticated`.
//!
//! Whether an approval holds is judged at each use ([`judge()`]), since it runs out and can be withdrawn.

mod file;
mod judge;

pub use file::{MAX_FILE, Paper, Presented, read};
pub use judge::{Here, Holds, Question, judge, withdraws};

use crate::clock::{Time, rfc3339};
use crate::config::text::bad_origin;
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::model::{Email, Environment, Hash256};
use crate::people::text::bad_document;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The version of the form.
pub const SCHEMA: &str = "keyctl.cab/v1";

/// The most bytes an approval may have, without its signature.
pub const MAX_CAB: usize = 256 * 1024;

/// The most artifacts in one approval.
pub const MAX_ARTIFACTS: usize = 2048;

/// The most signatures one approval can be good for.
pub const MAX_COUNT: u32 = 10_000;

/// The longest time an approval can hold: no longer than a signing key may be used.
pub const MAX_DAYS: i64 = 90;

const MAX_CONDITIONS: usize = 32;
const MAX_TEXT: usize = 512;

/// The board's own name for an approval, in lower case; case makes no other approval of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalId(String);

impl ApprovalId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ApprovalId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let good = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let bad =
            || Error::usage("bad_approval_id", format!("{text:?} is not an approval id (1 to 128 of 0-9, a-z, '-')"));
        good.then(|| ApprovalId(text.to_ascii_lowercase())).ok_or_else(bad)
    }
}

crate::model::serde_by_text!(ApprovalId);

crate::model::words! {
    /// What the board says.
    Status: "approval status" {
        Approved = "approved",
        Pending = "pending",
        Rejected = "rejected",
        Withdrawn = "withdrawn",
    }
}

/// What an approver signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CabApproval {
    /// [`SCHEMA`].
    pub schema: String,
    /// The board's name for it.
    pub approval_id: ApprovalId,
    /// The workspace it is for.
    pub workspace_id: String,
    /// The workspace's origin; part of the signature's namespace.
    pub origin: String,
    /// The workspace's environment.
    pub environment: Environment,
    /// Only `approved` lets anything be signed.
    pub status: Status,
    /// Who signs this.
    pub approver: Email,
    /// Who asked for it, if somebody did; never the approver.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requester: Option<Email>,
    /// SHA-256 of each file as it is before signing, with its name, which is for people to read. For an APT
    /// repository, of its `Release`.
    pub artifacts: BTreeMap<Hash256, String>,
    /// From when on it holds.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_before: Time,
    /// Until when, exclusively.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub expiry: Time,
    /// How many signatures it is good for.
    pub count: u32,
    /// Each has to be acknowledged, word for word, by whoever signs files on the strength of this.
    pub conditions: Vec<String>,
    /// A ticket in another system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticket: Option<String>,
}

/// An entry of the file `{"cab":[…]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsignedApproval {
    /// The board's name for it.
    pub approval_id: ApprovalId,
    /// Only `approved` lets anything be signed; any other word is a no.
    pub status: String,
    /// Until when, exclusively.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub expiry: Time,
    /// As in [`CabApproval::conditions`].
    #[serde(default)]
    pub conditions: Vec<String>,
}

impl CabApproval {
    /// Reads the exact bytes that are signed.
    ///
    /// # Errors
    /// `bad_cab` for anything else than the canonical form of a good approval.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value = jcs::parse_canonical(bytes, MAX_CAB).map_err(|error| bad(error.full()))?;
        if let Some(why) = bad_document(&value) {
            return Err(bad(why));
        }
        let approval: CabApproval = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        approval.check()?;
        // Times and identifiers have more than one spelling that reads.
        if approval.to_bytes()? != bytes {
            return Err(bad("it is not in its canonical form".into()));
        }
        Ok(approval)
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// `bad_cab` if it is too large.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = jcs::to_vec(self)?;
        if bytes.len() > MAX_CAB {
            return Err(bad(format!("it has {} bytes, at most {MAX_CAB} are read", bytes.len())));
        }
        Ok(bytes)
    }

    /// What a good approval has to keep to, whatever it says.
    ///
    /// # Errors
    /// `bad_cab`, naming the field.
    pub fn check(&self) -> Result<()> {
        let wrong = [
            (self.schema != SCHEMA, "schema is another"),
            (self.artifacts.is_empty() || self.artifacts.len() > MAX_ARTIFACTS, "artifacts are none or too many"),
            (self.artifacts.values().any(|name| !is_text(name)), "artifacts: a name is empty or too long"),
            (self.count == 0 || self.count > MAX_COUNT, "count is none or too large"),
            (self.expiry <= self.not_before, "expiry is not after not_before"),
            (self.expiry - self.not_before > TimeDelta::days(MAX_DAYS), "it would hold for more than 90 days"),
            (self.requester.as_ref() == Some(&self.approver), "approver and requester are one person"),
            (self.ticket.as_ref().is_some_and(|ticket| !is_text(ticket)), "ticket is empty or too long"),
            (bad_origin(&self.origin).is_some(), "origin is not a host and a path"),
            (self.people().any(|email| email.folded() != *email), "an address is not in lower case"),
            (!is_text(&self.workspace_id), "workspace_id is empty or too long"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, why)) => Err(bad(why.into())),
            None => check_conditions(&self.conditions),
        }
    }

    fn people(&self) -> impl Iterator<Item = &Email> {
        std::iter::once(&self.approver).chain(&self.requester)
    }

    /// What it says, a labelled line each, for the approver to read before signing. Every word comes from the signed
    /// bytes.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("approval", self.approval_id.to_string()),
            ("says", self.status.to_string()),
            ("by", self.approver.to_string()),
        ];
        lines.extend(self.requester.as_ref().map(|requester| ("asked by", requester.to_string())));
        lines.extend(self.ticket.as_ref().map(|ticket| ("ticket", ticket.clone())));
        lines.push(("where", format!("the {} workspace {}", self.environment, self.workspace_id)));
        lines.push(("", format!("of {}", self.origin)));
        lines.push(("from", rfc3339(self.not_before)));
        lines.push(("until", rfc3339(self.expiry)));
        lines.push(("good for", format!("{}, of these files and no others", counted(self.count, "signature"))));
        lines.extend(self.artifacts.iter().map(|(hash, name)| ("", format!("  {hash} {name}"))));
        lines.extend(self.conditions.is_empty().then(|| ("conditions", "none".to_owned())));
        lines.extend(self.conditions.iter().map(|condition| ("condition", condition.clone())));
        lines
    }
}

impl UnsignedApproval {
    fn check(&self) -> Result<()> {
        if !is_text(&self.status) {
            return Err(bad("status is empty or too long".into()));
        }
        check_conditions(&self.conditions)
    }
}

fn check_conditions(conditions: &[String]) -> Result<()> {
    let distinct = conditions.iter().collect::<BTreeSet<_>>().len() == conditions.len();
    if conditions.len() > MAX_CONDITIONS || !distinct {
        return Err(bad("conditions are too many, or one stands there twice".into()));
    }
    match conditions.iter().all(|condition| is_text(condition)) {
        true => Ok(()),
        false => Err(bad("conditions: one is empty or too long".into())),
    }
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_TEXT && text.trim() == text
}

fn bad(why: String) -> Error {
    Error::usage("bad_cab", format!("the CAB approval does not read: {why}"))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
