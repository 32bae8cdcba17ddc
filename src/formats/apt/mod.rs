//! APT repositories: `InRelease` and `Release.gpg` beside a `Release` file (Debian's
//! DebianRepository/Format, apt-secure(8)).
//!
//! A repository signs one file, `Release`, which lists the hashes of all indexes. So before it is signed
//! every listed index is compared with the disk, and after it was signed both signature files are parsed
//! afresh: [`Repository::open`] reads, [`sign::prepare`] checks and fixes the digests,
//! [`sign::Prepared::finish`] takes the signatures. Folders are read here and never written: both files, and keyrings,
//! are put in place elsewhere.
//!
//! * [`release`], [`date`]: reading `Release`
//! * [`folder`]: finding repositories
//! * [`cleartext`]: the frame of `InRelease`
//! * [`index`]: comparing the lists with the disk
//! * [`verify`]: what a client with a given keyring would say on a given day
//! * [`published`]: keyring files, sources and packages for clients, as bytes

pub mod cleartext;
pub mod date;
pub mod folder;
pub mod index;
pub mod package;
pub mod published;
pub mod release;
pub mod sign;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;

use crate::error::{Error, Result};
use release::Release;
use std::path::{Path, PathBuf};

/// A folder with a `Release` file: `dists/SUITE`, or a flat repository.
#[derive(Clone, Debug)]
pub struct Repository {
    dir: PathBuf,
    bytes: Vec<u8>,
    release: Release,
}

impl Repository {
    /// Reads and parses the `Release` file, once: what is checked is what is signed.
    ///
    /// # Errors
    /// `no_release`; as [`Release::parse`].
    pub fn open(dir: &Path) -> Result<Self> {
        let bytes = index::read_bounded(&dir.join("Release"), release::MAX_RELEASE).map_err(|e| e.about("Release"))?;
        let bytes = bytes.ok_or_else(|| Error::failed("no_release", "there is no Release file in the folder"))?;
        let release = Release::parse(&bytes).map_err(|e| e.about("Release"))?;
        Ok(Repository { dir: dir.to_owned(), bytes, release })
    }

    /// The exact bytes of the `Release` file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Compares its lists with the disk.
    ///
    /// # Errors
    /// As [`index::check`].
    pub fn check_indexes(&self) -> Result<index::Checked> {
        index::check(&self.dir, &self.release)
    }
}
