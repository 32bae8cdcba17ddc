//! Finding repositories in folders, and looking at their files.

use super::index::read_bounded;
use super::release::MAX_RELEASE;
use crate::error::{Error, Result};
use crate::model::Hash256;
use crate::pki::openpgp::document::MAX_SIGNATURES_LENGTH;
use std::path::{Path, PathBuf};

/// The most repositories that are looked for under one folder.
const MAX_FOUND: usize = 1_000;
/// How deep they are looked for: `dists/SUITE/UPDATES/x`.
const MAX_DEPTH: usize = 4;

/// The folders with a `Release` file in or under `dir`: itself, or those of an archive (`dists/…`). Folders below
/// one with a `Release` are its own, and symlinks only name others again.
///
/// # Errors
/// A folder cannot be read; there are more than a thousand; there is none (`no_release`).
pub fn find(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let archive = dir.join("dists");
    let is_archive = !dir.join("Release").is_file() && archive.is_dir();
    look(if is_archive { &archive } else { dir }, 0, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(Error::failed("no_release", "there is no Release file in the folder"));
    }
    Ok(found)
}

fn look(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if dir.join("Release").is_file() {
        if found.len() >= MAX_FOUND {
            return Err(Error::failed("too_many_repositories", format!("more than {MAX_FOUND} Release files")));
        }
        found.push(dir.to_owned());
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            look(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}

/// SHA-256 of a file of a repository, if it is there.
///
/// # Errors
/// It cannot be read, or is longer than such files are.
pub fn hash_of(path: &Path) -> Result<Option<Hash256>> {
    Ok(read_bounded(path, MAX_RELEASE + MAX_SIGNATURES_LENGTH)?.as_deref().map(Hash256::of))
}
