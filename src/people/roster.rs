//! The roster: people by e-mail address, their roles, and the keys they sign with (governance D1).

use crate::clock::Time;
use crate::config::policy::Role;
use crate::model::Email;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the form.
pub const SCHEMA: &str = "keyctl.roster/v1";

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
