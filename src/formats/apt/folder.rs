//! Finding repositories in folders, and looking at their files.

use super::index::read_bounded;
use super::release::MAX_RELEASE;
use crate::error::{Error, Result};
use crate::model::Hash256;
use crate::pki::openpgp::document::MAX_SIGNATURES_LENGTH;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The most repositories that are looked for under one folder.
const MAX_FOUND: usize = 1_000;
/// How deep they are looked for: `dists/SUITE/UPDATES/x`.
const MAX_DEPTH: usize = 4;

/// What there is in a folder.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The repositories, by name: each has a `Release` file, an `InRelease`, or both.
    pub suites: Vec<PathBuf>,
    /// Symlinks to repositories outside of the folder: a client follows them.
    pub elsewhere: Vec<PathBuf>,
}

/// The folders with a `Release` file in or under `dir`.
///
/// # Errors
/// As [`survey`]; `no_release`.
pub fn find(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = survey(dir)?.suites;
    found.retain(|suite| suite.join("Release").is_file());
    if found.is_empty() { Err(no_release()) } else { Ok(found) }
}

/// The repositories in or under `dir`: itself, those of an archive (`dists/…`), or both. Folders below one with a
/// `Release` are its own; a symlink to one that was found only names it again.
///
/// # Errors
/// A folder cannot be read; there are more than a thousand; there is none (`no_release`).
pub fn survey(dir: &Path) -> Result<Survey> {
    let (mut found, mut links) = (Survey::default(), Vec::new());
    let archive = dir.join("dists");
    if is_suite(dir) {
        found.suites.push(dir.to_owned());
    }
    if archive.is_dir() {
        look(&archive, 0, &mut found.suites, &mut links)?;
    } else if found.suites.is_empty() {
        look(dir, 0, &mut found.suites, &mut links)?;
    }
    let root = dir.canonicalize()?;
    let mut known: BTreeSet<_> = found.suites.iter().filter_map(|suite| suite.canonicalize().ok()).collect();
    links.sort();
    for link in links {
        let Ok(target) = link.canonicalize() else { continue };
        let is_inside = target.starts_with(&root);
        if is_suite(&target) && known.insert(target) {
            if is_inside { found.suites.push(link) } else { found.elsewhere.push(link) }
        }
    }
    found.suites.sort();
    if found.suites.is_empty() && found.elsewhere.is_empty() { Err(no_release()) } else { Ok(found) }
}

fn no_release() -> Error {
    Error::failed("no_release", "there is no Release file in the folder")
}

fn is_suite(dir: &Path) -> bool {
    ["Release", "InRelease"].iter().any(|name| dir.join(name).is_file())
}

fn look(dir: &Path, depth: usize, found: &mut Vec<PathBuf>, links: &mut Vec<PathBuf>) -> Result<()> {
    if is_suite(dir) {
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
        let kind = entry.file_type()?;
        if kind.is_dir() {
            look(&entry.path(), depth + 1, found, links)?;
        } else if kind.is_symlink() && entry.path().is_dir() && links.len() < MAX_FOUND {
            links.push(entry.path());
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
