//! What comes along besides the bytes: mode, owner, extended attributes, times.
//!
//! The order matters: a change of owner clears set-id bits and file capabilities, an ACL changes the mode's group
//! bits, and any write clears `security.capability`. So everything here happens after the last write, and in the
//! order owner, attributes, mode, times. ACLs are attributes (`system.posix_acl_*`).

use super::source::Source;
use super::{read_error, write_error};
use crate::error::{Error, Result, shown};
use rustix::fs::{Gid, Mode, Stat, Timespec, Timestamps, Uid};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use xattr::FileExt;

/// What becomes of the modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtime {
    /// The time of writing, so that build tools see a new file.
    New,
    /// The source's.
    Keep,
}

/// Permissions beyond the mode's.
const ACL: &str = "system.posix_acl_access";
/// Attributes that hold hashes or signatures of the *old* bytes (IMA and EVM); carried over, they would only make
/// the new file unreadable.
const STALE: [&str; 2] = ["security.ima", "security.evm"];

/// Gives `file` the owner, attributes and full mode of `source`, which it is about to replace. Returns the names
/// of `security.*` and `trusted.*` attributes that the system did not let us carry over.
///
/// # Errors
/// `target_unwritable` if the owner cannot be kept; `disk_full` and others from attributes.
pub(super) fn keep_all(file: &File, path: &Path, source: &Source, mtime: Mtime) -> Result<Vec<String>> {
    let stat = source.stat();
    keep_owner(file, path, stat)?;
    let unkept = copy_attributes(file, path, source, true)?;
    set_mode(file, path, stat.st_mode & 0o7777)?;
    keep_times(file, path, stat, mtime)?;
    Ok(unkept)
}

/// Gives `file`, a new file of ours, the permission bits, the ACL and the `user.*` attributes of `source`; no owner, no
/// set-id bits. Attributes that the file system does not take are named in the result.
///
/// # Errors
/// `disk_full` and other write errors.
pub(super) fn keep_plain(file: &File, path: &Path, source: &Source, mtime: Mtime) -> Result<Vec<String>> {
    let unkept = copy_attributes(file, path, source, false)?;
    set_mode(file, path, source.stat().st_mode & 0o777)?;
    keep_times(file, path, source.stat(), mtime)?;
    Ok(unkept)
}

/// Sets permission bits.
///
/// # Errors
/// Write errors.
pub(super) fn set_mode(file: &File, path: &Path, mode: u32) -> Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(|e| write_error(path, e))
}

/// Makes the owner and group of `stat` those of `file`.
///
/// # Errors
/// `target_unwritable` if that is not allowed: a replacement with another owner is a change nobody asked for.
pub(super) fn keep_owner(file: &File, path: &Path, stat: &Stat) -> Result<()> {
    let now = rustix::fs::fstat(file).map_err(|e| write_error(path, e))?;
    if (now.st_uid, now.st_gid) == (stat.st_uid, stat.st_gid) {
        return Ok(());
    }
    let owner = (now.st_uid != stat.st_uid).then(|| Uid::from_raw(stat.st_uid));
    let group = (now.st_gid != stat.st_gid).then(|| Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(file, owner, group).map_err(|e| {
        let message = format!(
            "{}: belongs to user {} and group {}, which its replacement cannot keep",
            super::shown_path(path),
            stat.st_uid,
            stat.st_gid
        );
        Error::failed("target_unwritable", message)
            .hint("write to a new file with --to PATH")
            .because(std::io::Error::from(e))
    })
}

fn keep_times(file: &File, path: &Path, stat: &Stat, mtime: Mtime) -> Result<()> {
    if mtime == Mtime::New {
        return Ok(());
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    };
    rustix::fs::futimens(file, &times).map_err(|e| write_error(path, e))
}

/// Copies attributes, and when `all` also takes away what the target inherited from its folder (a default ACL).
fn copy_attributes(file: &File, path: &Path, source: &Source, all: bool) -> Result<Vec<String>> {
    let mut unkept = Vec::new();
    let wanted = names(source.file()).map_err(|e| read_error(source.path(), e))?;
    for name in wanted.iter().filter(|name| belongs(name, all)) {
        let Some(value) = source.file().get_xattr(name).map_err(|e| read_error(source.path(), e))? else { continue };
        if let Err(error) = file.set_xattr(name, &value) {
            match all && !optional(name) {
                true => return Err(write_error(path, error).about(shown(&name.to_string_lossy()))),
                false => unkept.push(shown(&name.to_string_lossy())),
            }
        }
    }
    if all {
        let inherited = names(file).map_err(|e| write_error(path, e))?;
        for name in inherited.difference(&wanted).filter(|name| !optional(name)) {
            file.remove_xattr(name).map_err(|e| write_error(path, e))?;
        }
    }
    Ok(unkept)
}

/// The names of attributes; none where the file system has no attributes.
fn names(file: &File) -> std::io::Result<BTreeSet<OsString>> {
    match file.list_xattr() {
        Ok(names) => Ok(names.collect()),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn belongs(name: &OsStr, all: bool) -> bool {
    let stale = STALE.iter().any(|stale| name == *stale);
    !stale && (all || starts(name, "user.") || name == ACL)
}

fn optional(name: &OsStr) -> bool {
    starts(name, "security.") || starts(name, "trusted.")
}

fn starts(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}
