//! Which files, and where their signed forms go.

use super::options::Options;
use crate::error::{Error, Result};
use crate::files::copy::read_while;
use crate::files::source::{Source, SourcePolicy};
use crate::files::{safe, shown_path, sweep};
use crate::model::Hash256;
use sha2::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The largest list of files, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// One file that is to be signed.
#[derive(Clone, Debug)]
pub struct Job {
    /// As it was named.
    pub file: PathBuf,
    /// Other names of the same file that were given too.
    pub also: Vec<PathBuf>,
    /// Where the signed form goes; `None` for in place.
    pub destination: Option<PathBuf>,
}

/// All files of a run, each once, in the order given.
///
/// # Errors
/// The list cannot be read; there is no file at all; two files would get the same destination.
pub fn jobs(options: &Options) -> Result<Vec<Job>> {
    let mut files = options.files.clone();
    if let Some(list) = &options.files_from {
        files.extend(listed(list)?);
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    let files = once(files, options.follow);
    if files.is_empty() {
        return Err(Error::usage("no_files", "there is no file to sign"));
    }
    let several = files.len() > 1;
    let jobs: Vec<_> = files
        .into_iter()
        .map(|(file, also)| Job { destination: destination(&file, options, several), file, also })
        .collect();
    let mut targets = BTreeSet::new();
    for target in jobs.iter().filter_map(|job| job.destination.as_ref()) {
        if !targets.insert(target) {
            return Err(Error::usage(
                "same_destination",
                format!("{}: two files would be written there", shown_path(target)),
            ));
        }
    }
    Ok(jobs)
}

/// Each file with the further names it was given: another spelling, what a symlink leads to if those are followed,
/// another hard link.
fn once(files: Vec<PathBuf>, follow: bool) -> Vec<(PathBuf, Vec<PathBuf>)> {
    let (mut known, mut all) = (BTreeMap::new(), Vec::<(PathBuf, Vec<PathBuf>)>::new());
    for file in files {
        let found = if follow { file.metadata() } else { file.symlink_metadata() };
        let identity = found.ok().map(|found| (found.dev(), found.ino()));
        let first = identity.and_then(|identity| known.get(&identity)).and_then(|at: &usize| all.get_mut(*at));
        match first {
            Some((_, also)) => also.push(file),
            None => {
                known.extend(identity.map(|identity| (identity, all.len())));
                all.push((file, Vec::new()));
            }
        }
    }
    all
}

/// Removes what an interrupted `sign` left where this one will write. Only a courtesy, so what cannot be removed stays.
pub(super) fn sweep_folders(jobs: &[Job]) {
    let targets = jobs.iter().map(|job| job.destination.as_ref().unwrap_or(&job.file));
    let folders: BTreeSet<_> = targets.filter_map(|path| path.parent()).collect();
    for folder in folders {
        let _ = sweep(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    }
}

/// How many bytes the files have, as far as that can be seen.
pub(super) fn sizes(jobs: &[Job]) -> u64 {
    let sizes = jobs.iter().filter_map(|job| job.file.metadata().ok()).map(|found| found.len());
    sizes.fold(0, u64::saturating_add)
}

/// SHA-256 of a file as it is.
///
/// # Errors
/// It cannot be read.
pub fn hash_of(path: &Path) -> Result<Hash256> {
    hash_with(path, false)
}

/// As [`hash_of`]; of what a symlink leads to, if it is to be followed.
///
/// # Errors
/// It cannot be read.
pub(super) fn hash_with(path: &Path, follow: bool) -> Result<Hash256> {
    let source = Source::open(path, SourcePolicy { follow, ..SourcePolicy::READ })?;
    let mut hasher = sha2::Sha256::new();
    read_while(&source, &mut [&mut |bytes: &[u8]| hasher.update(bytes)], &AtomicBool::new(false))?;
    Ok(Hash256(hasher.finalize().into()))
}

/// One name a line, or NUL-separated as `find -print0` writes it; `-` is standard input.
pub fn listed(list: &Path) -> Result<Vec<PathBuf>> {
    let bytes = if list == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(std::io::stdin().lock(), MAX_LIST), &mut bytes)?;
        bytes
    } else {
        safe::read_bounded(list, MAX_LIST)?
    };
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let names = bytes.split(|byte| *byte == separator).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
}

fn destination(file: &Path, options: &Options, several: bool) -> Option<PathBuf> {
    if file.is_dir() {
        // A repository is signed in place, whole.
        return None;
    }
    match (&options.to, options.is_sandboxed) {
        (Some(to), _) if several || to.is_dir() => Some(to.join(file.file_name().unwrap_or_default())),
        (Some(to), _) => Some(to.clone()),
        (None, true) => Some(sandbox_name(file)),
        (None, false) => None,
    }
}

/// `app.exe` becomes `app.sandbox-signed.exe`.
fn sandbox_name(file: &Path) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(".sandbox-signed");
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}
