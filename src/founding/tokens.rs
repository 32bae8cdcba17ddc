//! The tokens of a workspace that is being founded: software tokens are made, and others are looked at.

use crate::config::{Config, Module};
use crate::crypto;
use crate::error::{Error, Result, shown};
use crate::files::safe;
use crate::hsm::store::{Store, record};
use crate::hsm::{ObjectInfo, Pin as TokenPin, builtin};
use crate::keys::TokenRecord;
use crate::model::{CkaId, Environment, HsmName, Purpose, SpkiHash, hex};
use crate::policy::hardware;
use crate::world::tool;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Software tokens live in the workspace, with long random PINs in files beside them. A half-made one cannot be told
/// from a whole one, nor completed, so a mark stands beside it while it is made; a token without the mark is never
/// touched. The mark is gone, durably, before the first key is made.
pub(crate) fn make_builtin_tokens(dir: &Path, config: &Config) -> Result<()> {
    for (name, hsm) in &config.hsm {
        let folder = dir.join("tokens").join(name.as_str());
        let mark = folder.join("unfinished");
        let is_there = folder.join(builtin::DATABASE).exists() && !mark.exists();
        if hsm.token.module != Module::Builtin || is_there {
            continue;
        }
        safe::create_private_dir(&folder)?;
        if mark.exists() {
            clear(&folder, &mark)?;
        }
        safe::write_atomic(&mark, b"", 0o600)?;
        let secret = |file: &str| -> Result<TokenPin> {
            let path = folder.join(file);
            if !path.exists() {
                safe::write_new(&path, hex(&crypto::random::<16>()?).as_bytes(), 0o600)?;
            }
            Ok(TokenPin::new(String::from_utf8_lossy(&safe::read_bounded(&path, 256)?).into_owned())?)
        };
        let (so_pin, pin) = (secret("so-pin")?, secret("pin")?);
        let label = hsm.token.label.clone().unwrap_or_else(|| name.to_string());
        builtin::create(&folder, &label, &so_pin, &pin)?;
        safe::remove(&mark)?;
    }
    Ok(())
}

/// Removes what an interrupted creation left, all but the mark.
fn clear(folder: &Path, mark: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path != mark {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Logs in to all of them, before anything is made: a wrong PIN or a missing token is found out now.
pub(crate) fn open_all(store: &Store, config: &Config) -> Result<BTreeMap<HsmName, TokenRecord>> {
    config.hsm.keys().map(|name| Ok((name.clone(), record(store.token(name)?.info())))).collect()
}

/// Production is founded on hardware that its people adopt by signing, and by a release that they name.
pub(crate) fn check_hardware(records: &BTreeMap<HsmName, TokenRecord>, config: &Config) -> Result<()> {
    if config.environment != Environment::Production {
        return Ok(());
    }
    let judged = config.hsm.iter().map(|(name, hsm)| {
        let gate = hardware::judge(name, Some(&hsm.token), records.get(name), hardware::FOUNDERS);
        ("hardware_not_adopted", gate)
    });
    let tool = ("tool_not_pinned", hardware::judge_tool(&config.tool, tool()));
    match judged.chain([tool]).find(|(_, gate)| !gate.lets_pass()) {
        None => Ok(()),
        Some((code, gate)) => {
            let message = format!("{} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit);
            Err(Error::blocked(code, message).hint("see Production in the README for what keyctl.toml has to say"))
        }
    }
}

crate::model::words! {
    /// What the keys on a token can do.
    Power: "power" { Root = "root", Issuing = "issuing", Signing = "signing" }
}

fn power(purpose: Purpose) -> Option<Power> {
    match purpose {
        Purpose::RootCa | Purpose::OpenpgpPrimary => Some(Power::Root),
        Purpose::IntermediateCa => Some(Power::Issuing),
        Purpose::Authenticode | Purpose::Installer | Purpose::Apt => Some(Power::Signing),
        Purpose::Connector | Purpose::Ledger => None,
    }
}

/// Keys of different power live on tokens with different PINs: whoever may use the one cannot use the other (design
/// §1). That the sources of the PINs differ says nothing, so the PINs themselves are compared, in memory.
pub(crate) fn check_pins(store: &Store, config: &Config) -> Result<()> {
    if config.environment == Environment::Sandbox {
        return Ok(());
    }
    let uses: BTreeSet<(Power, &HsmName)> = config
        .keys
        .values()
        .filter_map(|key| Some((power(key.purpose)?, key)))
        .flat_map(|(power, key)| key.hsm.iter().map(move |hsm| (power, hsm)))
        .collect();
    for (power, hsm) in &uses {
        for (other_power, other) in uses.iter().filter(|(other, _)| other > power) {
            if hsm == other {
                let message = format!("[hsm.{hsm}] has {power} keys and {other_power} keys");
                return Err(Error::usage("shared_token", message)
                    .hint("keys of different power live on tokens with different PINs; give each a token of its own"));
            }
            if store.token(hsm)?.shares_pin_with(store.token(other)?.as_ref()) == Some(true) {
                let message = format!("[hsm.{hsm}] ({power}) and [hsm.{other}] ({other_power}) have the same PIN");
                return Err(Error::usage("same_pin", message)
                    .hint("change one of them; whoever may use one token must not thereby be able to use the other"));
            }
        }
    }
    Ok(())
}

/// A key on a token that this workspace did not make.
#[derive(Debug)]
pub(crate) struct Foreign {
    hsm: HsmName,
    label: String,
    pub spki: Option<SpkiHash>,
}

impl Foreign {
    /// What to do about it.
    pub fn refusal(&self, why: &str) -> Error {
        let message = format!("token {} carries the key {}, {why}", self.hsm, shown(&self.label));
        Error::blocked("token_in_use", message)
            .hint("a freshly initialised token, or --earlier DIR with that workspace's people's approval")
    }
}

/// The private keys that some keyctl made on the tokens: those that are labelled as it labels them. `ours` are those
/// that this very founding has planned and perhaps made. A public half alone is no key; an interrupted founding may
/// have left one.
pub(crate) fn foreign_keys(store: &Store, config: &Config, ours: &[CkaId]) -> Result<Vec<Foreign>> {
    let ours: BTreeSet<_> = ours.iter().map(ToString::to_string).collect();
    let mut found = Vec::new();
    for hsm in config.hsm.keys() {
        let objects = store.token(hsm)?.inventory()?;
        let is_foreign = |object: &&ObjectInfo| is_keyctl_label(&object.label) && !ours.contains(&object.cka_id);
        for object in objects.iter().filter(|object| object.class == "private-key").filter(is_foreign) {
            // Some tokens tell the public part only of the public half.
            let halves = objects.iter().filter(|other| other.cka_id == object.cka_id);
            let spki = halves.filter_map(|half| half.spki_sha256).next();
            found.push(Foreign { hsm: hsm.clone(), label: object.label.clone(), spki });
        }
    }
    Ok(found)
}

/// `windows/20260131/2`, or with the beginning of a CKA_ID (see [`generate::label`]).
fn is_keyctl_label(label: &str) -> bool {
    let mut parts = label.split('/');
    let (Some(key), Some(date), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (number, id) = number.split_once('.').unwrap_or((number, "00000000"));
    let digits = |text: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    key.parse::<crate::model::KeyName>().is_ok()
        && digits(date, 8..=8)
        && digits(number, 1..=10)
        && id.len() == 8
        && id.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ours_are_known() {
        for label in ["windows/20260131/2", "root/20260131/10.0a1b2c3d"] {
            assert!(is_keyctl_label(label), "{label}");
        }
        for label in
            ["windows", "windows/2026/2", "windows/20260131/2/x", "Windows/20260131/2", "windows/20260131/x", ""]
        {
            assert!(!is_keyctl_label(label), "{label}");
        }
    }
}
