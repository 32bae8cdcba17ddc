//! The adopted settings: everything in `keyctl.toml` that bears on security, in one canonical form.
//!
//! The form is JSON with sorted names, no spaces, and only strings and whole numbers in it, so it is also the form of
//! RFC 8785. Its hash stands in the genesis entry and in requests; gates read the copy in the ledger.

use super::hardware::Releases;
use super::policy::Policy;
use super::publication::{Pipeline, Publication};
use super::types::{Issuer, Key, Organization, Rotation, Timestamp, Token};
use crate::error::{Context, Error, Result, shown};
use crate::model::{Environment, Hash256, HsmName, KeyName, PipelineName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The version of the form.
pub const SCHEMA: &str = "keyctl.settings/v1";

/// What is adopted; see the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`SCHEMA`].
    pub schema: String,
    /// Never changes after genesis.
    pub environment: Environment,
    /// Name and checkpoint origin.
    pub organization: Organization,
    /// Tokens.
    pub hsm: BTreeMap<HsmName, Token>,
    /// Keys.
    pub keys: BTreeMap<KeyName, Key>,
    /// Authorities and trusted roots.
    pub timestamp: Timestamp,
    /// The rules of all operations.
    pub policy: Policy,
    /// What follows from rotation.
    pub rotation: Rotation,
    /// Whether `published/` is committed and pushed.
    #[serde(default, skip_serializing_if = "Publication::is_default")]
    pub publication: Publication,
    /// Values in other people's files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<PipelineName, Pipeline>,
    /// The releases of this program that may be used.
    #[serde(default, skip_serializing_if = "Releases::is_empty")]
    pub tool: Releases,
}

/// One difference between two settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, as in `keys.windows.rotation_days`.
    pub path: String,
    /// What it was; `None` if it was not there.
    pub old: Option<String>,
    /// What it is; `None` if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |value: &Option<String>| value.as_deref().map_or_else(|| "(none)".to_owned(), shown);
        write!(f, "{}: {} → {}", shown(&self.path), words(&self.old), words(&self.new))
    }
}

impl Settings {
    /// The names of all keys, issuers before those they issue.
    pub fn by_issuer(&self) -> Vec<KeyName> {
        let depth = |name: &KeyName| {
            let mut at = Some(name.clone());
            let mut depth = 0;
            while let Some(name) = at {
                at = match self.keys.get(&name).map(|key| &key.issuer) {
                    Some(Issuer::Key(issuer)) if depth < self.keys.len() => Some(issuer.clone()),
                    _ => None,
                };
                depth += 1;
            }
            depth
        };
        let mut names: Vec<_> = self.keys.keys().cloned().collect();
        names.sort_by_key(depth);
        names
    }

    /// The canonical JSON.
    ///
    /// # Errors
    /// Only a bug.
    pub fn to_json(&self) -> Result<String> {
        let mut out = String::new();
        write_sorted(&self.value()?, &mut out);
        Ok(out)
    }

    /// SHA-256 of the canonical JSON.
    ///
    /// # Errors
    /// Only a bug.
    pub fn sha256(&self) -> Result<Hash256> {
        Ok(Hash256::of(self.to_json()?.as_bytes()))
    }

    /// Reads canonical JSON, and nothing else: unknown or repeated names, another order or spaces are refused.
    ///
    /// # Errors
    /// `bad_settings`.
    pub fn from_json(text: &str) -> Result<Settings> {
        let settings: Settings =
            serde_json::from_str(text).or_failed("bad_settings", || "adopted settings do not read".to_owned())?;
        if settings.schema != SCHEMA {
            return Err(Error::failed(
                "bad_settings",
                format!("adopted settings are {:?}, not {SCHEMA}", settings.schema),
            ));
        }
        match settings.to_json()? == text {
            true => Ok(settings),
            false => Err(Error::failed("bad_settings", "adopted settings are not in their canonical form")),
        }
    }

    /// What changes from `old` to `new`, sorted by place.
    ///
    /// # Errors
    /// Only a bug.
    pub fn diff(old: &Settings, new: &Settings) -> Result<Vec<Change>> {
        let (mut was, mut is) = (BTreeMap::new(), BTreeMap::new());
        flatten(&old.value()?, String::new(), &mut was);
        flatten(&new.value()?, String::new(), &mut is);
        let places: BTreeSet<_> = was.keys().chain(is.keys()).cloned().collect();
        let changes = places.into_iter().filter_map(|path| {
            let (old, new) = (was.remove(&path), is.remove(&path));
            (old != new).then_some(Change { path, old, new })
        });
        Ok(changes.collect())
    }

    /// The settings of a key.
    ///
    /// # Errors
    /// `unknown_key`, naming those that there are.
    pub fn key(&self, name: &KeyName) -> Result<&Key> {
        self.keys.get(name).ok_or_else(|| {
            let known: Vec<_> = self.keys.keys().map(ToString::to_string).collect();
            Error::usage("unknown_key", format!("there is no [keys.{name}]; there is {}", known.join(", ")))
        })
    }

    fn value(&self) -> Result<Value> {
        crate::crypto::jcs::to_value(self)
    }
}

/// Writes a value with sorted names. Names are ASCII here, so byte order is the order of RFC 8785.
fn write_sorted(value: &Value, out: &mut String) {
    let separate = |out: &mut String, open: char| {
        if !out.ends_with(open) {
            out.push(',');
        }
    };
    match value {
        Value::Object(members) => {
            out.push('{');
            for (name, member) in members.iter().collect::<BTreeMap<_, _>>() {
                separate(out, '{');
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_sorted(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                separate(out, '[');
                write_sorted(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Every value that is not an object, under its dotted path.
fn flatten(value: &Value, path: String, out: &mut BTreeMap<String, String>) {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                flatten(member, if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                flatten(item, format!("{path}[{i}]"), out);
            }
        }
        Value::Array(items) => {
            let list = items.iter().map(words).collect::<Vec<_>>().join(", ");
            out.insert(path, if list.is_empty() { "(empty)".to_owned() } else { list });
        }
        scalar => {
            out.insert(path, words(scalar));
        }
    }
}
