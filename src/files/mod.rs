//! Files: what is signed, what replaces it, and the locks around both.
//!
//! Here lives every way to open, copy, place and lock a file that more than one stage needs. What the bytes say is not
//! looked at: no format, no key and no setting is known here. Nothing here decides whether a file may be signed.
//!
//! A file that is to be signed is hostile in two ways. Its name may lead somewhere else by the time it is
//! replaced, and its bytes may change between the hash and the copy. So the method is:
//!
//! 1. [`source`] opens the file **once**, refuses everything that is not a plain file, and remembers what the
//!    descriptor said. Everything after that reads this one descriptor.
//! 2. [`copy`] reads it once from front to back; hashes and the temporary file get the same buffers. A second
//!    thread can read back what was written, trailing the writer, so that verifying costs a core and not time.
//! 3. [`place`] puts the finished file under its final name by one `rename`, or not at all. Until then it has no
//!    name where the file system allows that ([`temporary`]), so a crash leaves nothing behind.
//! 4. [`metadata`] brings mode, owner and extended attributes along.
//!
//! Beside that, [`lock`] tells whether the process that began something still lives, [`pace`] lets processes take turns,
//! and [`safe`] judges whether folders and files that decide about security can be trusted.

pub mod copy;
mod edit;
pub mod environment;
pub mod lock;
pub mod metadata;
pub mod pace;
pub mod place;
pub mod program;
pub mod safe;
pub mod source;
pub mod temporary;

pub use copy::{BUFFER, Sink, copy_while, read_while};
pub use edit::Edit;
pub use metadata::Mtime;
pub use place::{Placed, Placement, Target};
pub use source::{Source, SourcePolicy};
pub use temporary::sweep;

use crate::error::{Error, Kind, shown};
use rustix::io::Errno;
use std::path::Path;

/// A path as it stays the same wherever a command is run again.
///
/// # Errors
/// It is not UTF-8.
pub fn absolute(path: &Path) -> crate::error::Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::usage("bad_path", format!("{} is not UTF-8", shown_path(&path))))
}

/// A path made safe to print.
pub fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

/// An error while writing at or beside `path`, told apart by whose turn it is: `disk_full`, `target_exists`,
/// `target_unwritable`, else `write_failed`.
fn write_error(path: &Path, error: impl Into<std::io::Error>) -> Error {
    let error = error.into();
    let name = shown_path(path);
    let errno = Errno::from_io_error(&error);
    let failed = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => Error::failed("disk_full", format!("{name}: no space left to write it"))
            .hint("make room, or write elsewhere with --to"),
        Some(Errno::EXIST) => Error::failed("target_exists", format!("{name}: exists already and is not overwritten")),
        Some(Errno::ROFS) => Error::failed("target_unwritable", format!("{name}: on a read-only file system"))
            .hint("write elsewhere with --to"),
        Some(Errno::ACCESS | Errno::PERM) => {
            Error::failed("target_unwritable", format!("{name}: may not be written here"))
                .hint("write elsewhere with --to")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => {
            Error::new(Kind::Usage, "target_unwritable", format!("{name}: its folder does not exist"))
        }
        _ => Error::failed("write_failed", format!("{name}: cannot be written")),
    };
    failed.because(error)
}

/// An error while reading `path`: `not_found`, `unreadable` or `read_failed`.
fn read_error(path: &Path, error: impl Into<std::io::Error>) -> Error {
    let error = error.into();
    let name = shown_path(path);
    let failed = match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Error::usage("not_found", format!("{name}: does not exist")),
        Some(Errno::ACCESS | Errno::PERM) => Error::failed("unreadable", format!("{name}: may not be read")),
        _ => Error::failed("read_failed", format!("{name}: cannot be read")),
    };
    failed.because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error as Io;

    #[test]
    fn an_absolute_path_begins_at_the_root_and_is_text() {
        assert_eq!(absolute(Path::new("/a/./b")).unwrap(), "/a/b");
        let here = std::env::current_dir().unwrap().join("file");
        assert_eq!(absolute(Path::new("file")).unwrap(), here.to_str().unwrap());
        let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"/a\xff");
        let odd: &std::ffi::OsStr = odd;
        assert_eq!(absolute(Path::new(odd)).unwrap_err().code(), "bad_path");
    }

    #[test]
    fn trouble_is_told_apart_by_whose_turn_it_is() {
        let path = Path::new("/x/a\u{7}b");
        for (errno, code) in [
            (Errno::NOSPC, "disk_full"),
            (Errno::DQUOT, "disk_full"),
            (Errno::EXIST, "target_exists"),
            (Errno::ROFS, "target_unwritable"),
            (Errno::ACCESS, "target_unwritable"),
            (Errno::PERM, "target_unwritable"),
            (Errno::IO, "write_failed"),
        ] {
            let error = write_error(path, Io::from(errno));
            assert_eq!((error.code(), error.kind()), (code, Kind::Failed));
            assert!(error.message().starts_with("/x/a\\u{7}b: "), "{error}");
        }
        assert_eq!(read_error(path, Errno::ACCESS).code(), "unreadable");
        assert_eq!(read_error(path, Errno::NOENT).kind(), Kind::Usage);
    }
}
