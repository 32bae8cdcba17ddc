//! Files that have no final name yet: how they are made, told and swept.
//!
//! Where the file system can (`O_TMPFILE`), such a file has no name at all, so that not even a crash leaves something
//! behind. Elsewhere it is called `.NAME.keyctl-` and 16 hex digits, mode 0600.
//!
//! Its maker holds an `flock` on the file itself. That makes a leftover recognisable without knowing anything about
//! the process that left it: it has such a name, and nobody holds its lock. [`sweep`] removes those.

use super::read_error;
use crate::error::Result;
use crate::model::hex;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What stands between a file's name and the random part of its temporary name.
const MARK: &[u8] = b".keyctl-";
/// Random bytes in a temporary name.
const RANDOM: usize = 8;
/// The longest file name Linux takes, in bytes.
pub(super) const NAME_MAX: usize = 255;

/// Removes temporary files in `dir` that belong to us and whose maker is gone, and names them.
///
/// # Errors
/// Read errors of the folder; a file that cannot be opened or removed is left alone.
pub fn sweep(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| read_error(dir, e))?;
    let mut swept = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| read_error(dir, e))? {
        let name = entry.map_err(|e| read_error(dir, e))?.file_name();
        if is_temporary(&name) && remove_orphan(&folder, &name).unwrap_or(false) {
            swept.push(dir.join(name));
        }
    }
    swept.sort();
    Ok(swept)
}

fn remove_orphan(dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<bool> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_uid != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let (opened, now) = (rustix::fs::fstat(&file)?, rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
    if (opened.st_dev, opened.st_ino) != (now.st_dev, now.st_ino) {
        return Ok(false);
    }
    rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
    Ok(true)
}

/// A locked file without a name, if the file system has such files and `/proc` lets us name them later.
pub(super) fn anonymous(dir: &OwnedFd) -> Option<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, ".", flags, Mode::from_raw_mode(0o600)).ok()?);
    let (own, seen) = (rustix::fs::fstat(&file).ok()?, rustix::fs::stat(proc_path(&file)).ok()?);
    if (own.st_dev, own.st_ino) != (seen.st_dev, seen.st_ino) {
        return None;
    }
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// A locked file with a temporary name. A sweep may take the file between its creation and its lock; then again.
pub(super) fn named(dir: &OwnedFd, name: &OsStr) -> std::io::Result<(File, OsString)> {
    for _ in 0..8 {
        let temp = temporary(name).map_err(|e| std::io::Error::other(e.full()))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(dir, &temp, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::EXIST) => continue,
            opened => File::from(opened?),
        };
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        let own = rustix::fs::fstat(&file)?;
        match rustix::fs::statat(dir, &temp, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) if (own.st_dev, own.st_ino) == (seen.st_dev, seen.st_ino) => return Ok((file, temp)),
            _ => {}
        }
    }
    Err(std::io::Error::other("temporary files disappear as soon as they are made"))
}

pub(super) fn link_anonymous(file: &File, dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::linkat(CWD, proc_path(file), dir, name, AtFlags::SYMLINK_FOLLOW)
}

fn proc_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// `.NAME.keyctl-0123456789abcdef`, NAME cut if the whole would be too long.
pub(super) fn temporary(name: &OsStr) -> Result<OsString> {
    let random: [u8; RANDOM] = crate::crypto::random()?;
    let room = NAME_MAX - 1 - MARK.len() - 2 * RANDOM;
    let mut temp = vec![b'.'];
    temp.extend(name.as_bytes().iter().take(room));
    temp.extend(MARK);
    temp.extend(hex(&random).bytes());
    Ok(OsString::from_vec(temp))
}

fn is_temporary(name: &OsStr) -> bool {
    let tail = name.as_bytes().strip_prefix(b".").and_then(|rest| rest.split_last_chunk::<{ 2 * RANDOM }>());
    tail.is_some_and(|(head, random)| {
        head.len() > MARK.len() && head.ends_with(MARK) && random.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
