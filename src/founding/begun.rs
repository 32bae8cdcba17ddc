//! Whether a founding may begin or go on in a folder.

use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::begun::Begun;
use crate::ledger::{self, place};
use crate::people::roster;
use crate::{config, gate};
use std::path::Path;

/// What founding makes in a folder, and then goes by.
const MADE: [&str; 10] = [
    "tokens",
    "evidence",
    "requests",
    "locks",
    "revocations",
    "published",
    "people",
    place::FILE,
    gate::GENESIS_INTENT,
    ledger::FILE,
];

/// Whether this user began to found a workspace in this folder, and has not come to its end.
pub(crate) fn is_begun(dir: &Path) -> Result<bool> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    Ok(Begun::of(&state_dir()?, &dir).is_open())
}

/// Remembers that a founding begins here, where nothing is that somebody else could have put there; goes on with one that
/// this user began, or in a folder that they know. Whether they know a workspace that is founded is asked when it is opened.
///
/// # Errors
/// `unknown_founding`.
pub(crate) fn begin(dir: &Path, brings_settings: bool) -> Result<()> {
    let (state, name) = (state_dir()?, shown_path(dir));
    let begun = Begun::of(&state, dir);
    if begun.is_open() || gate::is_founded(dir)? {
        return Ok(());
    }
    if Pin::bound_to(&state, dir)?.is_some() {
        return begun.begin();
    }
    let own = [config::workspace::CONFIG, roster::FILE];
    let mut parts = MADE.iter().chain(own.iter().filter(|_| !brings_settings));
    if let Some(found) = parts.find(|part| dir.join(part).symlink_metadata().is_ok()) {
        let message = format!("{name}: there is a founding ({found}) that you did not begin");
        return Err(Error::usage("unknown_founding", message).hint(format!(
            "an empty folder begins a new one; with settings that lie there: keyctl --workspace {name} init --from \
             keyctl.toml"
        )));
    }
    begun.begin()
}
