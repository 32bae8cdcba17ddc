//! A file to be signed, opened once.
//!
//! From the first hash to the last byte copied there is **one** descriptor, so no rename, symlink or second
//! opening can put other bytes under a signature. What the descriptor said when it was opened is remembered;
//! [`Source::unchanged`] asks again, both the descriptor and the name.

use super::{read_error, shown_path};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The size limit if none is set: 16 GiB.
pub const DEFAULT_MAX_LEN: u64 = 16 << 30;

/// Which files [`Source::open`] takes.
#[derive(Clone, Copy, Debug)]
pub struct SourcePolicy {
    /// Resolve a symlink once and take the file it leads to; else a symlink is refused.
    pub follow: bool,
    /// The file will be replaced, so a second hard link, which would keep the old bytes, is refused.
    pub in_place: bool,
    /// The largest size, in bytes.
    pub max_len: u64,
}

impl SourcePolicy {
    /// For a file that is replaced by its signed form.
    pub const IN_PLACE: SourcePolicy = SourcePolicy { follow: false, in_place: true, max_len: DEFAULT_MAX_LEN };
    /// For a file that is only read.
    pub const READ: SourcePolicy = SourcePolicy { follow: false, in_place: false, max_len: DEFAULT_MAX_LEN };
}

/// What tells one state of one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    size: i64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Identity {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// The same file, whatever is in it.
    fn same_file(&self, other: &Identity) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// The same file with the same bytes. A rename moves `ctime`, so it is left out.
    pub(super) fn same_bytes(&self, other: &Identity) -> bool {
        self.same_file(other) && (self.size, self.mtime) == (other.size, other.mtime)
    }
}

/// One opened file; see the module's text.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    len: u64,
    stat: Stat,
    identity: Identity,
}

impl Source {
    /// Opens `path` if `policy` takes it.
    ///
    /// # Errors
    /// `not_found`, `unreadable`; `not_a_file` naming what it is (folder, FIFO, socket, device); `symlink` unless
    /// the policy follows; `hard_linked` for in-place with more than one link; `too_large`; `source_changed` if the
    /// name led elsewhere while it was opened.
    pub fn open(path: &Path, policy: SourcePolicy) -> Result<Source> {
        let path = match policy.follow {
            true => std::fs::canonicalize(path).map_err(|e| read_error(path, e))?,
            false => path.to_path_buf(),
        };
        // The name is asked first, because merely opening some devices has an effect.
        let named = rustix::fs::lstat(&path).map_err(|e| read_error(&path, e))?;
        plain_file(&path, &named)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| read_error(&path, e))?);
        let stat = rustix::fs::fstat(&file).map_err(|e| read_error(&path, e))?;
        plain_file(&path, &stat)?;
        let identity = Identity::of(&stat);
        if !identity.same_file(&Identity::of(&named)) {
            return Err(changed(&path, "another file took its name while it was opened"));
        }
        let len = u64::try_from(stat.st_size).map_err(|_| Error::failed("read_failed", "negative file size"))?;
        limits(&path, &stat, len, policy)?;
        Ok(Source { file, path, len, stat, identity })
    }

    /// Keeps what comes through a pipe in a temporary file without a name; `path` is what it is called.
    ///
    /// # Errors
    /// `too_large`; it cannot be read, or kept.
    pub fn stream(from: impl std::io::Read, path: &Path) -> Result<Source> {
        let mut file = nameless().map_err(|e| read_error(path, e))?;
        let mut from = from.take(DEFAULT_MAX_LEN + 1);
        let copied = std::io::copy(&mut from, &mut file).map_err(|e| read_error(path, e))?;
        let stat = rustix::fs::fstat(&file).map_err(|e| read_error(path, e))?;
        limits(path, &stat, copied, SourcePolicy::READ)?;
        Ok(Source { identity: Identity::of(&stat), file, path: path.to_path_buf(), len: copied, stat })
    }

    /// The descriptor. It is never read through its position; use [`Source::read_at`].
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The size in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name it was opened under; with `follow`, the real path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mode, owner and times when it was opened.
    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What it was when it was opened.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `source_changed` if the range does not lie within the file, now or when it was opened.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let end = u64::try_from(buffer.len()).ok().and_then(|n| offset.checked_add(n));
        if end.is_none_or(|end| end > self.len) {
            return Err(Error::failed(
                "source_truncated",
                format!("{}: a read beyond its end", shown_path(&self.path)),
            ));
        }
        self.file.read_exact_at(buffer, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(&self.path, "it became shorter while it was read"),
            _ => read_error(&self.path, e),
        })
    }

    /// Whether the descriptor still has the size and times it was opened with.
    ///
    /// # Errors
    /// `source_changed`.
    pub fn still(&self) -> Result<()> {
        let now = rustix::fs::fstat(&self.file).map_err(|e| read_error(&self.path, e))?;
        match Identity::of(&now) == self.identity {
            true => Ok(()),
            false => Err(changed(&self.path, "it was changed while it was read")),
        }
    }

    /// Whether the descriptor is as it was opened **and** the name still leads to it.
    ///
    /// # Errors
    /// `source_changed`.
    pub fn unchanged(&self) -> Result<()> {
        self.still()?;
        match rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if Identity::of(&named).same_file(&self.identity) => Ok(()),
            Ok(_) => Err(changed(&self.path, "another file has taken its name")),
            Err(_) => Err(changed(&self.path, "it was removed or renamed")),
        }
    }
}

/// A file in the folder for such, or in memory where that has no files without names.
fn nameless() -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let made = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    let made = made.or_else(|_| rustix::fs::memfd_create("keyctl", rustix::fs::MemfdFlags::CLOEXEC));
    made.map(File::from)
}

/// The error for a file that did not hold still.
pub(super) fn changed(path: &Path, how: &str) -> Error {
    Error::failed("source_changed", format!("{}: {how}", shown_path(path)))
        .hint("run the command again once nothing else writes to the file")
}

/// The identity of what a name or descriptor leads to now.
pub(super) fn identity_of(stat: &Stat) -> Identity {
    Identity::of(stat)
}

/// What kind of file this is, in words.
pub(super) fn kind_of(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        _ => "file of unknown kind",
    }
}

fn plain_file(path: &Path, stat: &Stat) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(Error::usage("symlink", format!("{}: is a symbolic link", shown_path(path)))
            .hint("name the file that it leads to")),
        _ => {
            Err(Error::usage("not_a_file", format!("{}: is a {}, not a regular file", shown_path(path), kind_of(stat))))
        }
    }
}

fn limits(path: &Path, stat: &Stat, len: u64, policy: SourcePolicy) -> Result<()> {
    if policy.in_place && stat.st_nlink > 1 {
        let message = format!("{}: has {} hard links, and only one would be replaced", shown_path(path), stat.st_nlink);
        return Err(Error::failed("hard_linked", message).hint("write to a new file with --to PATH"));
    }
    if len > policy.max_len {
        let message = format!("{}: {len} bytes, and the limit is {}", shown_path(path), policy.max_len);
        return Err(Error::failed("too_large", message).hint("raise [limits] artifact_gib in keyctl.toml"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::symlink;
    use std::fs;
    use std::io::Write;

    fn code(path: &Path, policy: SourcePolicy) -> (&'static str, String) {
        let error = Source::open(path, policy).unwrap_err();
        (error.code(), error.full())
    }

    #[test]
    fn only_plain_files_are_sources() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let cases =
            [(fifo.as_path(), "FIFO"), (&socket, "socket"), (dir.path(), "folder"), (Path::new("/dev/zero"), "device")];
        for (path, word) in cases {
            let (code, words) = code(path, SourcePolicy::READ);
            assert_eq!(code, "not_a_file", "{path:?}");
            assert!(words.contains(word), "{words}");
        }
        assert_eq!(code(&dir.path().join("none"), SourcePolicy::READ).0, "not_found");
        assert_eq!(code(&dir.path().join("a\u{1b}[2J"), SourcePolicy::READ).1.matches('\u{1b}').count(), 0);
    }

    #[test]
    fn links_are_refused_or_followed_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.exe");
        fs::write(&file, b"abc").unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        assert_eq!(code(&link, SourcePolicy::READ).0, "symlink");
        let followed = Source::open(&link, SourcePolicy { follow: true, ..SourcePolicy::IN_PLACE }).unwrap();
        assert_eq!(followed.path(), fs::canonicalize(&file).unwrap());

        fs::hard_link(&file, dir.path().join("second")).unwrap();
        assert_eq!(code(&file, SourcePolicy::IN_PLACE).0, "hard_linked");
        assert!(Source::open(&file, SourcePolicy::READ).is_ok(), "reading is harmless");
        assert_eq!(code(&file, SourcePolicy { max_len: 2, ..SourcePolicy::READ }).0, "too_large");
    }

    #[test]
    fn changes_of_bytes_or_name_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.exe");
        let fresh = || {
            let _ = fs::remove_file(&file);
            fs::write(&file, b"abcdef").unwrap();
            let source = Source::open(&file, SourcePolicy::IN_PLACE).unwrap();
            source.unchanged().unwrap();
            source
        };
        type Change<'a> = &'a dyn Fn();
        let changes: [(&str, Change); 6] = [
            ("rewritten with its old times", &|| {
                let file = fs::OpenOptions::new().write(true).open(&file).unwrap();
                let was = file.metadata().unwrap().modified().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                (&file).write_all(b"ABCDEF").unwrap();
                file.set_modified(was).unwrap();
            }),
            ("growing", &|| fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"x").unwrap()),
            ("shrinking", &|| fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(3).unwrap()),
            ("renamed", &|| fs::rename(&file, dir.path().join("b")).unwrap()),
            ("swapped", &|| {
                fs::write(dir.path().join("b"), b"abcdef").unwrap();
                fs::rename(dir.path().join("b"), &file).unwrap();
            }),
            ("symlinked", &|| {
                fs::rename(&file, dir.path().join("b")).unwrap();
                symlink(dir.path().join("b"), &file).unwrap();
            }),
        ];
        for (what, change) in changes {
            let source = fresh();
            change();
            let error = source.unchanged().expect_err(what);
            assert_eq!((error.code(), error.kind()), ("source_changed", crate::error::Kind::Failed), "{what}");
        }
    }

    #[test]
    fn reads_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, b"abcdef").unwrap();
        let source = Source::open(&file, SourcePolicy::READ).unwrap();
        let mut two = [0; 2];
        source.read_at(&mut two, 4).unwrap();
        assert_eq!(&two, b"ef");
        assert_eq!(source.read_at(&mut two, 5).unwrap_err().code(), "source_truncated");
        assert_eq!(source.read_at(&mut two, u64::MAX).unwrap_err().code(), "source_truncated");
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(3).unwrap();
        assert_eq!(source.read_at(&mut two, 4).unwrap_err().code(), "source_changed");
    }
}
