//! What this user began to found in a folder, remembered outside of it.
//!
//! An interrupted founding is continued from what lies in its folder: settings, tokens with their PINs, the intent. In a
//! downloaded folder all of that is somebody else's. So the state folder says what was begun here, and once everyone
//! agreed, to what; that is also how a founding that was interrupted before its pin is known.

use super::genesis::{Genesis, GenesisIntent};
use crate::crypto::jcs;
use crate::error::Result;
use crate::files::safe;
use crate::model::Hash256;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A founding in a folder, as this user's state folder knows it.
#[derive(Debug)]
pub struct Begun(PathBuf);

impl Begun {
    /// That in `dir`, a folder without symlinks.
    pub fn of(state: &Path, dir: &Path) -> Self {
        Begun(state.join("foundings").join(Hash256::of(dir.as_os_str().as_bytes()).to_string()))
    }

    /// Whether it was begun and has not come to its end.
    pub fn is_open(&self) -> bool {
        self.0.exists()
    }

    /// Remembers that it begins.
    ///
    /// # Errors
    /// File errors.
    pub fn begin(&self) -> Result<()> {
        self.remember("begun")
    }

    /// Remembers what everyone agreed to, before anything is made by it.
    ///
    /// # Errors
    /// File errors.
    pub fn fix(&self, intent: &GenesisIntent) -> Result<()> {
        self.remember(&mark(intent)?)
    }

    /// Whether it led to this genesis.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn led_to(&self, genesis: &Genesis) -> Result<bool> {
        Ok(self.is_open() && safe::read_text(&self.0, 128)? == mark(&genesis.intent)?)
    }

    /// Forgets it: the workspace is pinned.
    ///
    /// # Errors
    /// File errors.
    pub fn end(&self) -> Result<()> {
        if self.is_open() { safe::remove(&self.0) } else { Ok(()) }
    }

    fn remember(&self, what: &str) -> Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        safe::create_private_dir(folder)?;
        safe::write_atomic(&self.0, what.as_bytes(), 0o600).map(drop)
    }
}

/// Ledger keys may be planned anew; what everyone signed stays.
fn mark(intent: &GenesisIntent) -> Result<String> {
    Ok(Hash256::of(&jcs::to_vec(&(&intent.workspace_id, &intent.founding))?).to_string())
}
