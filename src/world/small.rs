//! Small things on their way to rooms of their own.

use crate::config::{Issuer, Key};
use crate::error::{Error, Result};
use crate::model::{HsmName, KeyName};

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    Ok(bytes)
}

/// Plain data as JSON.
pub(crate) fn to_value<T: serde::Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::bug("plain data has no JSON form").because(error))
}

/// The settings of a key.
pub(crate) fn setting(settings: &crate::config::Settings, name: &KeyName) -> Result<Key> {
    let unknown = || {
        let known: Vec<_> = settings.keys.keys().map(ToString::to_string).collect();
        Error::usage("unknown_key", format!("there is no [keys.{name}]; there is {}", known.join(", ")))
    };
    settings.keys.get(name).cloned().ok_or_else(unknown)
}

pub(crate) fn first_hsm(key: &Key) -> Result<&HsmName> {
    key.hsm.first().ok_or_else(|| Error::bug("a key without a token passed the configuration"))
}

/// Issuers before those they issue.
pub(crate) fn by_issuer(settings: &crate::config::Settings) -> Vec<KeyName> {
    let depth = |name: &KeyName| {
        let mut at = Some(name.clone());
        let mut depth = 0;
        while let Some(name) = at {
            at = match settings.keys.get(&name).map(|key| &key.issuer) {
                Some(Issuer::Key(issuer)) if depth < settings.keys.len() => Some(issuer.clone()),
                _ => None,
            };
            depth += 1;
        }
        depth
    };
    let mut names: Vec<_> = settings.keys.keys().cloned().collect();
    names.sort_by_key(depth);
    names
}
