//! A file that is being made, and the one step that gives it its name.
//!
//! A [`Target`] lives in the folder of the file it will become, without a name or with a temporary one (see
//! [`super::temporary`]), and is gone when dropped.
//!
//! Replacing swaps the two names atomically (`RENAME_EXCHANGE`) and then looks at what came out: if it is not the
//! file that was read, the names are swapped back. So a file that somebody else puts there between the last look
//! and the rename is not lost. Where the file system cannot swap, it is a look and then a rename.

use super::edit::Edit;
use super::metadata::{self, Mtime};
use super::source::{Source, changed, identity_of};
use super::temporary::{NAME_MAX, anonymous, link_anonymous, named, temporary};
use super::{read_error, shown_path, write_error};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How a target gets its name.
#[derive(Clone, Copy, Debug)]
pub enum Placement<'a> {
    /// In the place of the file that was read, with its mode, owner and attributes.
    Replace {
        /// The file that was read; if it is not what it was, nothing is placed.
        expect: &'a Source,
    },
    /// Under a name that is free; never overwrites.
    New,
    /// Under this name, whatever was there.
    ReplaceAny,
}

/// A file in its final place, durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub path: PathBuf,
    /// Its size in bytes.
    pub len: u64,
    /// Names of `security.*` and `trusted.*` attributes (for a new file, of any) that could not be carried over.
    pub unkept: Vec<String>,
}

/// How the file can be found now.
#[derive(Debug)]
enum Temp {
    /// No name yet.
    Anonymous,
    /// A temporary name in the folder.
    Named(OsString),
    /// Its final name, or a name that must not be touched any more.
    Done,
}

/// A file that is being made; see the module's text.
#[derive(Debug)]
pub struct Target {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
    file: File,
    temp: Temp,
    len: u64,
    mtime: Mtime,
    unkept: Vec<String>,
}

impl Target {
    /// An empty file, mode 0600, in the folder of `path`, which it will become.
    ///
    /// # Errors
    /// `target_unwritable`, `disk_full`; usage if `path` has no file name or its folder does not exist.
    pub fn beside(path: &Path) -> Result<Target> {
        Self::open(path, anonymous)
    }

    fn open(path: &Path, nameless: impl FnOnce(&OwnedFd) -> Option<File>) -> Result<Target> {
        let (dir, name) = open_parent(path)?;
        let (file, temp) = match nameless(&dir) {
            Some(file) => (file, Temp::Anonymous),
            None => {
                named(&dir, &name).map(|(file, temp)| (file, Temp::Named(temp))).map_err(|e| write_error(path, e))?
            }
        };
        let path = path.to_path_buf();
        Ok(Target { dir, name, path, file, temp, len: 0, mtime: Mtime::New, unkept: Vec::new() })
    }

    /// A target that will replace `source`. Whether its owner can be kept is found out now, before anything is signed.
    ///
    /// # Errors
    /// As [`Target::beside`]; `target_unwritable` if the owner cannot be kept.
    pub fn replacing(source: &Source) -> Result<Target> {
        let target = Target::beside(source.path())?;
        metadata::keep_owner(&target.file, &target.path, source.stat())?;
        Ok(target)
    }

    /// The name it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for reading back. It is written through this type only.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Nothing written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What becomes of the modification time when it replaces or is made like a source; [`Mtime::New`] if never called.
    pub fn set_mtime(&mut self, mtime: Mtime) {
        self.mtime = mtime;
    }

    /// Makes sure that `more` bytes will fit, where the file system can tell.
    ///
    /// # Errors
    /// `disk_full`.
    pub fn reserve(&mut self, more: u64) -> Result<()> {
        if more == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.len, more) {
            Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(write_error(&self.path, e)),
            // Anything else says that this file system cannot reserve, and the writes themselves will tell.
            _ => Ok(()),
        }
    }

    /// Writes `bytes` at the end.
    ///
    /// # Errors
    /// `disk_full`, `write_failed`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.len).map_err(|e| write_error(&self.path, e))?;
        let more = u64::try_from(bytes.len()).ok().and_then(|n| self.len.checked_add(n));
        self.len = more.ok_or_else(|| Error::bug("file length overflow"))?;
        Ok(())
    }

    /// Fills `buffer` from `offset` of what was written.
    ///
    /// # Errors
    /// `read_failed`, also beyond the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|e| read_error(&self.path, e))
    }

    /// Writes the edits over what was copied and cuts or extends the file to `final_len`.
    ///
    /// # Errors
    /// Write errors. A bug if edits overlap, reach beyond `final_len`, or leave a byte past the copy unwritten.
    pub fn apply(&mut self, edits: &[Edit], final_len: u64) -> Result<()> {
        check_edits(edits, self.len, final_len)?;
        for edit in edits {
            self.file.write_all_at(&edit.bytes, edit.offset).map_err(|e| write_error(&self.path, e))?;
        }
        self.file.set_len(final_len).map_err(|e| write_error(&self.path, e))?;
        self.len = final_len;
        Ok(())
    }

    /// Sets the permission bits of a new file; call it after the last write.
    ///
    /// # Errors
    /// Write errors.
    pub fn set_mode(&mut self, mode: u32) -> Result<()> {
        metadata::set_mode(&self.file, &self.path, mode & 0o777)
    }

    /// Gives a new file the permission bits and `user.*` attributes of the file it is made from; call it after the
    /// last write. [`Placement::Replace`] does its own, more thorough, carrying over.
    ///
    /// # Errors
    /// Write errors.
    pub fn like(&mut self, source: &Source) -> Result<()> {
        self.unkept = metadata::keep_plain(&self.file, &self.path, source, self.mtime)?;
        Ok(())
    }

    /// Makes content and size durable.
    ///
    /// # Errors
    /// `disk_full`, `write_failed`.
    pub fn fsync(&self) -> Result<()> {
        rustix::fs::fsync(&self.file).map_err(|e| write_error(&self.path, e))
    }

    /// Gives the file its name, durably, or leaves everything as it was.
    ///
    /// # Errors
    /// `source_changed` if the file to replace is not what was read; `target_exists` for [`Placement::New`];
    /// `disk_full`, `target_unwritable`, `write_failed`.
    pub fn place(mut self, placement: Placement<'_>) -> Result<Placed> {
        // Frees what was reserved and not used.
        self.file.set_len(self.len).map_err(|e| write_error(&self.path, e))?;
        if let Placement::Replace { expect } = placement {
            if expect.path() != self.path {
                return Err(Error::bug("a target replaces another file than it stands beside"));
            }
            expect.unchanged()?;
            self.unkept = metadata::keep_all(&self.file, &self.path, expect, self.mtime)?;
        }
        self.fsync()?;
        match placement {
            Placement::Replace { expect } => self.swap_with(expect)?,
            Placement::New => self.take_free_name()?,
            Placement::ReplaceAny => self.take_name()?,
        }
        sync_dir(&self.dir).map_err(|e| write_error(&self.path, e))?;
        Ok(Placed { path: self.path.clone(), len: self.len, unkept: std::mem::take(&mut self.unkept) })
    }

    /// As [`Placement::New`], without waiting for the disk.
    ///
    /// # Errors
    /// `target_exists`, and write errors.
    pub(super) fn place_unsynced(mut self) -> Result<()> {
        self.file.set_len(self.len).map_err(|e| write_error(&self.path, e))?;
        self.take_free_name()
    }

    /// The temporary name, made now if there is none.
    fn temporary_name(&mut self) -> Result<OsString> {
        match &self.temp {
            Temp::Named(name) => Ok(name.clone()),
            Temp::Done => Err(Error::bug("a file was placed twice")),
            Temp::Anonymous => {
                let name = temporary(&self.name)?;
                link_anonymous(&self.file, &self.dir, &name).map_err(|e| write_error(&self.path, e))?;
                self.temp = Temp::Named(name.clone());
                Ok(name)
            }
        }
    }

    fn take_free_name(&mut self) -> Result<()> {
        let done = match &self.temp {
            Temp::Anonymous => link_anonymous(&self.file, &self.dir, &self.name),
            Temp::Named(temp) => rename_free(&self.dir, temp, &self.name),
            Temp::Done => return Err(Error::bug("a file was placed twice")),
        };
        done.map_err(|e| write_error(&self.path, e))?;
        self.temp = Temp::Done;
        Ok(())
    }

    fn take_name(&mut self) -> Result<()> {
        let temp = self.temporary_name()?;
        rustix::fs::renameat(&self.dir, &temp, &self.dir, &self.name).map_err(|e| write_error(&self.path, e))?;
        self.temp = Temp::Done;
        Ok(())
    }

    fn swap_with(&mut self, expect: &Source) -> Result<()> {
        expect.unchanged()?;
        self.exchange(expect)
    }

    /// Swaps names with whatever has the final one, and swaps back if that is not `expect`.
    fn exchange(&mut self, expect: &Source) -> Result<()> {
        let temp = self.temporary_name()?;
        // Keeps a sweep elsewhere away from the old file while it has the temporary name; only a courtesy.
        let _ = rustix::fs::flock(expect.file(), FlockOperation::NonBlockingLockExclusive);
        let swap = || rustix::fs::renameat_with(&self.dir, &temp, &self.dir, &self.name, RenameFlags::EXCHANGE);
        match swap() {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                expect.unchanged()?;
                return self.take_name();
            }
            Err(Errno::NOENT) => return Err(changed(&self.path, "it was removed or renamed")),
            Err(error) => return Err(write_error(&self.path, error)),
        }
        let came_out = rustix::fs::statat(&self.dir, &temp, AtFlags::SYMLINK_NOFOLLOW);
        if came_out.is_ok_and(|stat| identity_of(&stat).same_bytes(expect.identity())) {
            self.temp = Temp::Done;
            return rustix::fs::unlinkat(&self.dir, &temp, AtFlags::empty()).map_err(|e| write_error(&self.path, e));
        }
        if let Err(error) = swap() {
            let message = format!(
                "{}: it was changed while it was replaced, and the newer version is now {}",
                shown_path(&self.path),
                shown_path(Path::new(&temp))
            );
            // What has the temporary name now is not ours to remove.
            self.temp = Temp::Done;
            return Err(Error::failed("source_changed", message).because(std::io::Error::from(error)));
        }
        Err(changed(&self.path, "it was changed while it was replaced"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Temp::Named(name) = &self.temp {
            let _ = rustix::fs::unlinkat(&self.dir, name, AtFlags::empty());
        }
    }
}

/// The folder of `path`, opened, and the name in it.
fn open_parent(path: &Path) -> Result<(OwnedFd, OsString)> {
    let name = path.file_name().map(OsStr::to_owned);
    let name = name.filter(|name| name.len() <= NAME_MAX);
    let name = name.ok_or_else(|| Error::usage("bad_path", format!("{}: not a file name", shown_path(path))))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| write_error(path, e))?;
    Ok((dir, name))
}

/// A rename that never overwrites: `RENAME_NOREPLACE`, and where a file system lacks it, a link.
fn rename_free(dir: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            rustix::fs::unlinkat(dir, from, AtFlags::empty())
        }
        done => done,
    }
}

/// Makes names durable; some file systems have nothing to do for a folder and say `EINVAL`.
pub(super) fn sync_dir(dir: &OwnedFd) -> rustix::io::Result<()> {
    match rustix::fs::fsync(dir) {
        Err(Errno::INVAL) => Ok(()),
        done => done,
    }
}

fn check_edits(edits: &[Edit], copied: u64, final_len: u64) -> Result<()> {
    let mut ranges = Vec::with_capacity(edits.len());
    for edit in edits.iter().filter(|edit| !edit.bytes.is_empty()) {
        let end = u64::try_from(edit.bytes.len()).ok().and_then(|n| edit.offset.checked_add(n));
        match end.filter(|end| *end <= final_len) {
            Some(end) => ranges.push((edit.offset, end)),
            None => return Err(Error::bug("an edit reaches beyond the end of the file")),
        }
    }
    ranges.sort_unstable();
    let mut written = 0;
    for (start, end) in ranges {
        if start < written {
            return Err(Error::bug("two edits overlap"));
        }
        if start > written.max(copied) {
            return Err(Error::bug("an edit leaves a gap after the copied bytes"));
        }
        written = end;
    }
    match final_len > written.max(copied) {
        true => Err(Error::bug("the file would end with bytes that nobody wrote")),
        false => Ok(()),
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
