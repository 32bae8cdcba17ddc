//! The files that code is loaded from: whether they may be trusted, what they hold, and that they stayed the same.

use crate::error::Kind;
use crate::files::{safe, shown_path};
use crate::hsm::fault::{Fault, Outage, Refusal};
use crate::model::Hash256;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest module file, in bytes.
const MAX_MODULE: u64 = 512 * 1024 * 1024;

/// A file that was looked at: where it is without symlinks, what it held, and by what its replacement would be noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Examined {
    pub path: PathBuf,
    pub sha256: Hash256,
    mark: [i64; 6],
}

impl Examined {
    /// Whether the file is still that one: a write to it moves its change time, another file in its place has another
    /// inode.
    ///
    /// # Errors
    /// It is not.
    pub fn unchanged(&self) -> Result<(), Fault> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(now) if mark(&now) == self.mark => Ok(()),
            _ => {
                let message = format!("the module {} was replaced while it was loaded", shown_path(&self.path));
                Err(Fault::refusal(Refusal::ModuleChanged, message))
            }
        }
    }
}

fn mark(facts: &Metadata) -> [i64; 6] {
    let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    let (device, inode, size) = (number(facts.dev()), number(facts.ino()), number(facts.size()));
    [device, inode, size, facts.mtime(), facts.ctime(), facts.ctime_nsec()]
}

/// Checks the file and every folder above it, and hashes it through one descriptor.
pub(super) fn examine(path: &Path) -> Result<Examined, Fault> {
    let untrusted = |why: &str| Fault::refusal(Refusal::Untrusted, format!("the module {} {why}", shown_path(path)));
    if !path.is_absolute() {
        return Err(untrusted("must be named by its absolute path"));
    }
    let gone = |error: std::io::Error| Fault::outage(Outage::Gone, format!("the module {}: {error}", shown_path(path)));
    let real = safe::trusted_path(path).map_err(|error| match error.kind() {
        Kind::Blocked => untrusted(&format!("cannot be trusted: {}", error.message())),
        _ => Fault::outage(Outage::Gone, format!("the module {}: {}", shown_path(path), error.full())),
    })?;
    let mut file = File::open(&real).map_err(gone)?;
    let facts = file.metadata().map_err(gone)?;
    if !facts.is_file() {
        return Err(untrusted("is not a regular file"));
    }
    if facts.len() > MAX_MODULE {
        return Err(untrusted("is too large to be a module"));
    }
    let mut hash = Sha256::new();
    let mut block = vec![0_u8; 1 << 16];
    loop {
        let read = file.read(&mut block).map_err(gone)?;
        match block.get(..read) {
            Some([]) | None => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    let examined = Examined { path: real, sha256: Hash256(hash.finalize().into()), mark: mark(&facts) };
    // It may have been written to while it was read.
    examined.unchanged()?;
    Ok(examined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_module_file_must_be_absolute_regular_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.so");
        std::fs::write(&path, b"not a library").unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&path, 0o644);
        let found = examine(&path).unwrap();
        assert_eq!((found.path, found.sha256), (path.canonicalize().unwrap(), Hash256::of(b"not a library")));
        for bad in [0o664, 0o646] {
            mode(&path, bad);
            assert_eq!(examine(&path).unwrap_err().code(), "module_untrusted", "{bad:o}");
        }
        mode(&path, 0o644);
        // Whoever can write a folder above can put another file in its place.
        for bad in [0o770, 0o707] {
            mode(dir.path(), bad);
            assert_eq!(examine(&path).unwrap_err().code(), "module_untrusted", "{bad:o}");
        }
        mode(dir.path(), 0o700);
        assert_eq!(examine(Path::new("module.so")).unwrap_err().code(), "module_untrusted");
        assert_eq!(examine(dir.path()).unwrap_err().code(), "module_untrusted");
        assert_eq!(examine(&dir.path().join("none")).unwrap_err().code(), "token_gone");
    }

    #[test]
    fn a_file_that_was_replaced_or_written_to_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.so");
        std::fs::write(&path, b"first").unwrap();
        let found = examine(&path).unwrap();
        found.unchanged().unwrap();
        // The same bytes, size and modification time.
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, b"first").unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(found.unchanged().unwrap_err().code(), "module_changed");
        let found = examine(&path).unwrap();
        std::fs::write(&path, b"again").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(found.unchanged().unwrap_err().code(), "module_changed");
    }
}
