//! Small files that this user keeps outside of every workspace, because what is in them is trusted against it: only
//! we may have written them, one process changes one at a time, and after a crash there is the old one or the new one.

use crate::crypto::jcs;
use crate::error::{Context, Error, Result};
use crate::files::{safe, sweep};
use rustix::fs::{FlockOperation, OFlags, flock};
use serde_json::Value;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One such file, and the words for errors about it.
pub(super) struct Outside {
    pub path: PathBuf,
    /// `the pin`.
    pub noun: &'static str,
    /// Code of an error about what is in it.
    pub bad: &'static str,
    /// Code of an error while writing it.
    pub unwritable: &'static str,
}

impl Outside {
    /// What it holds, as strict JSON of at most `max` bytes; `None` if there is no such file.
    ///
    /// # Errors
    /// It is not a regular file of ours that only we can write, or not strict JSON.
    pub fn read(&self, max: usize) -> Result<Option<Value>> {
        let bad = || format!("{} {} cannot be used", self.noun, self.path.display());
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.or_failed(self.bad, bad)?,
        };
        let found = file.metadata().or_failed(self.bad, bad)?;
        if !found.is_file() {
            return Err(self.is(&self.path, "is not a regular file"));
        }
        self.check_owner(&found, &self.path)?;
        let mut bytes = Vec::new();
        file.take((max as u64).saturating_add(1)).read_to_end(&mut bytes).or_failed(self.bad, bad)?;
        jcs::parse_strict(&bytes, max).or_failed(self.bad, bad).map(Some)
    }

    /// One process at a time changes it; the lock goes with the returned file.
    ///
    /// # Errors
    /// The folder cannot be made or is another's.
    pub fn lock(&self) -> Result<File> {
        let path = self.path.with_extension("lock");
        let unwritable = || format!("{} cannot be locked", path.display());
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).or_failed(self.unwritable, unwritable)?;
        self.check_owner(&folder.metadata().or_failed(self.unwritable, unwritable)?, folder)?;
        let flags = OFlags::NOFOLLOW.bits() as i32;
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = open.open(&path).or_failed(self.unwritable, unwritable)?;
        flock(&file, FlockOperation::LockExclusive).or_failed(self.unwritable, unwritable)?;
        Ok(file)
    }

    /// Replaces it in one step. The lock is held.
    ///
    /// # Errors
    /// Write errors.
    pub fn write<T: serde::Serialize>(&self, value: &T) -> Result<()> {
        let unwritable = || format!("{} {} cannot be written", self.noun, self.path.display());
        let json = serde_json::to_vec_pretty(value).or_failed(self.unwritable, unwritable)?;
        // What a killed process left; the lock is held, so nobody else is writing here.
        let _ = sweep(self.path.parent().unwrap_or(Path::new("/")));
        safe::write_atomic(&self.path, &json, 0o600).or_failed(self.unwritable, unwritable).map(drop)
    }

    fn check_owner(&self, found: &Metadata, path: &Path) -> Result<()> {
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(self.is(path, "belongs to another user or can be written by others"));
        }
        Ok(())
    }

    fn is(&self, path: &Path, what: &str) -> Error {
        Error::failed(self.bad, format!("{} {what}", path.display()))
    }
}

/// Whether a workspace's id is fit for a file name: 1 to 64 letters, digits and '-', not first.
///
/// # Errors
/// `bad_workspace_id`.
pub(super) fn check_id(workspace_id: &str) -> Result<()> {
    let fit = (1..=64).contains(&workspace_id.len())
        && !workspace_id.starts_with('-')
        && workspace_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match fit {
        true => Ok(()),
        false => Err(Error::failed("bad_workspace_id", format!("{workspace_id:?} is not a workspace id"))),
    }
}
