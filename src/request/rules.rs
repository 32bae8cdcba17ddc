//! What people decide about the workspace and about each other: settings, standing approvals, duties, rosters, and who
//! or what is stopped.

use crate::clock::Time;
use crate::config::{Amendment, Settings};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::keys::TokenRecord;
use crate::model::{Email, GenerationId, Hash256, HsmName, Purpose};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Takes over a changed configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptSettings {
    /// The key it is about; settings are about the workspace's `ledger` key as far as the register goes.
    pub generation: GenerationId,
    /// SHA-256 of the settings in force.
    pub from_sha256: Hash256,
    /// SHA-256 of the settings to adopt.
    pub to_sha256: Hash256,
    /// The settings to adopt, whole.
    pub settings: serde_json::Value,
    /// What changes, exactly. The first records have none.
    #[serde(skip_serializing_if = "Amendment::is_empty", default)]
    pub changes: Amendment,
    /// The tokens that are new or not as they were recorded; the other records stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub tokens: BTreeMap<HsmName, TokenRecord>,
}

impl AdoptSettings {
    /// The settings in force and those to come, read from nothing but this: everything in it fits together.
    ///
    /// # Errors
    /// `bad_settings`: the hashes, the changes and the settings are not of each other.
    pub fn read(&self) -> Result<(Settings, Settings)> {
        let bad = |why: &str| Error::failed("bad_settings", format!("the settings to adopt are refused: {why}"));
        let bytes = jcs::to_vec(&self.settings)?;
        if Hash256::of(&bytes) != self.to_sha256 {
            return Err(bad("they have another hash"));
        }
        let text = String::from_utf8(bytes).map_err(|_| bad("they are no text"))?;
        let to = Settings::from_json(&text)?;
        let from = self.changes.undo(&to, self.from_sha256)?;
        from.map(|from| (from, to)).ok_or_else(|| bad("the changes do not lead to them from those in force"))
    }
}

/// Gives a standing approval: a bounded plan for one key, which automation consumes use by use (design §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveGrant {
    /// The first generation that may be made under it.
    pub generation: GenerationId,
    /// 128 random bits, lower-case hex.
    pub grant_id: String,
    /// The settings under which it holds; it ends with them.
    pub settings_sha256: Hash256,
    /// What the key is for, which fixes the profile of its certificates.
    pub purpose: Purpose,
    /// The subject of its certificates.
    pub subject: String,
    /// Serial numbers of the tokens that keys may be made on.
    pub tokens: BTreeMap<HsmName, String>,
    /// How many generations may be made.
    pub generations: u32,
    /// The least number of days between two of them.
    pub interval_days: u32,
    /// Until when, exclusively.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_after: Time,
}

/// Ends a standing approval before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndGrant {
    /// The first generation that it allowed.
    pub generation: GenerationId,
    /// Which.
    pub grant_id: String,
}

/// Closes a duty that had a deadline, with evidence that it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseFollowUp {
    /// The key it is about; duties of the workspace are about its `ledger` key.
    pub generation: GenerationId,
    /// `SEQ/KIND`.
    pub follow_up: String,
    /// Name of the file that shows it, without its folder, escaped.
    pub evidence_name: String,
    /// SHA-256 of that file.
    pub evidence_sha256: Hash256,
}

/// Sets the ledger's time right, after an entry was written under a clock that was ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetTime {
    /// The workspace's `ledger` key.
    pub generation: GenerationId,
    /// The time that the newest entry has.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub from: Time,
    /// From when on entries may be after this.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub to: Time,
    /// Why.
    pub reason: String,
}

impl SetTime {
    /// What it is about, as requests name it.
    pub const OBJECT: &str = "time";
}

/// Stops a person's signatures from counting, for the time being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspendPerson {
    /// The workspace's `ledger` key.
    pub generation: GenerationId,
    /// Whose.
    pub email: Email,
    /// Why, in words.
    pub reason: String,
}

/// Lets a suspended person's signatures count again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePerson {
    /// The workspace's `ledger` key.
    pub generation: GenerationId,
    /// Whose.
    pub email: Email,
    /// Why, in words.
    pub reason: String,
}

/// Stops a key, all its generations, from signing and issuing for the time being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspendKey {
    /// Its generation in use, or else its newest.
    pub generation: GenerationId,
    /// Why, in words.
    pub reason: String,
}

/// Ends the suspension of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReinstateKey {
    /// Its generation in use, or else its newest.
    pub generation: GenerationId,
    /// Why, in words.
    pub reason: String,
}
