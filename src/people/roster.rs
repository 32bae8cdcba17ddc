//! The roster: people by e-mail address, their roles, and the keys they sign with (governance D1).
//!
//! `roster.toml` is what people edit; the canonical JSON is what is adopted, hashed and signed. Either way the same
//! [objections](Roster::objections) are looked for, so that a roster from the ledger is held to what a file is.

mod difference;
mod encryption;
mod objections;
mod read;
mod render;
mod satisfy;
mod signers;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use difference::RosterChange;
pub use objections::{Objection, Place};
pub use satisfy::{Unsatisfied, assign};

use crate::clock::Time;
use crate::config::policy::Role;
use crate::crypto::jcs;
use crate::crypto::ssh::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::{Email, Environment, Hash256};
use crate::people::request::RosterReference;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the form.
pub const SCHEMA: &str = "keyctl.roster/v1";

/// The workspace's file.
pub const FILE: &str = "roster.toml";

/// The most bytes of a `roster.toml`.
pub const MAX_FILE: u64 = 64 << 10;

/// The most bytes of the canonical form: a request has to hold two of them and more.
pub const MAX_ROSTER: usize = 20 * 1024;

/// Everyone who may ask, approve or review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// [`SCHEMA`].
    pub schema: String,
    /// Counts up by one with each roster that is adopted, from 1.
    pub version: u32,
    /// By e-mail address.
    pub people: BTreeMap<Email, Person>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// For people to read.
    pub name: String,
    /// What they are to the organisation. Roles come from here, never from a claim.
    pub roles: BTreeSet<Role>,
    /// Keys they sign with; each counts for this person alone.
    pub keys: Vec<SigningKey>,
    /// A separate key that secrets for them are encrypted to: an age or OpenSSH public key, one line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encryption_key: Option<String>,
}

/// A key that a person signs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// OpenSSH public key, `TYPE BASE64`, without a comment.
    pub public_key: String,
    /// From when on it counts; from ever if absent.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub valid_from: Option<Time>,
    /// Until when, exclusively; for ever if absent.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub valid_to: Option<Time>,
}

impl Roster {
    /// Reads the canonical JSON, and nothing else. Whether it is a good roster, [`Roster::check`] says: one that was
    /// adopted long ago may have keys that no longer would be.
    ///
    /// # Errors
    /// `bad_roster`.
    pub fn from_json(bytes: &[u8]) -> Result<Roster> {
        let value = jcs::parse_canonical(bytes, MAX_ROSTER)
            .or_failed("bad_roster", || "a roster is not in its canonical form".into())?;
        let roster = Roster::deserialize(&value).or_failed("bad_roster", || "a roster cannot be read".into())?;
        match roster.to_json()? == bytes {
            true => Ok(roster),
            false => Err(Error::failed("bad_roster", "a roster is not in its canonical form")),
        }
    }

    /// Reads a roster that stands in a document, as [`Roster::from_json`].
    ///
    /// # Errors
    /// `bad_roster`.
    pub fn from_value(value: &Value) -> Result<Roster> {
        Roster::from_json(&jcs::to_vec(value)?)
    }

    /// Refuses a roster that must not be adopted.
    ///
    /// # Errors
    /// `bad_roster` with the first of [`Roster::objections`].
    pub fn check(&self, environment: Environment) -> Result<()> {
        match self.objections(environment).first() {
            Some(objection) => Err(Error::failed("bad_roster", objection.to_string())),
            None => Ok(()),
        }
    }

    /// The canonical JSON.
    ///
    /// # Errors
    /// Only a bug.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        jcs::to_vec(self)
    }

    /// SHA-256 of the canonical JSON.
    ///
    /// # Errors
    /// Only a bug.
    pub fn sha256(&self) -> Result<Hash256> {
        Ok(Hash256::of(&self.to_json()?))
    }

    /// Version and hash, as requests name a roster.
    ///
    /// # Errors
    /// Only a bug.
    pub fn reference(&self) -> Result<RosterReference> {
        Ok(RosterReference { version: self.version, sha256: self.sha256()? })
    }

    /// A person, whatever the case in which their address is written.
    pub fn person(&self, email: &Email) -> Option<(&Email, &Person)> {
        self.people.get_key_value(&email.folded())
    }

    /// Whose key this is. Nobody's if two people claim it: it could not be said for whom it counts.
    pub fn holder(&self, key: &PublicKey) -> Option<(&Email, &Person, &SigningKey)> {
        let all = || self.people.iter().flat_map(|(email, person)| person.keys.iter().map(move |k| (email, person, k)));
        let same = |mine: &SigningKey| mine.key().is_ok_and(|mine| mine.material() == key.material());
        let mut claims = all().filter(|(_, _, mine)| same(mine));
        let claim = claims.next().filter(|_| claims.next().is_none());
        claim.filter(|(_, _, mine)| mine.public_key == key.to_string())
    }
}

impl Person {
    /// Whether any of the roles is theirs.
    pub fn has_any(&self, roles: &BTreeSet<Role>) -> bool {
        !self.roles.is_disjoint(roles)
    }

    /// Whether they could sign at `now`.
    pub fn can_sign(&self, now: Time) -> bool {
        self.keys.iter().any(|key| key.is_valid(now))
    }
}

impl SigningKey {
    /// The key itself.
    ///
    /// # Errors
    /// It cannot be read, or is too weak.
    pub fn key(&self) -> Result<PublicKey> {
        self.public_key.parse()
    }

    /// Whether it counts at `now`.
    pub fn is_valid(&self, now: Time) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_to.is_none_or(|to| now < to)
    }
}
