//! Which shared libraries are mapped into this process.

use crate::files::shown_path;
use crate::hsm::fault::{Fault, Refusal};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Most libraries that are looked at.
const MAX: usize = 512;

/// What was mapped before the first module was loaded: this program and its own libraries.
pub(super) fn own() -> &'static BTreeSet<PathBuf> {
    static OWN: OnceLock<BTreeSet<PathBuf>> = OnceLock::new();
    OWN.get_or_init(|| read().unwrap_or_default())
}

/// What is mapped now and was not before.
///
/// # Errors
/// A file that code runs from was deleted or replaced since, or the list cannot be had.
pub(super) fn added() -> Result<Vec<PathBuf>, Fault> {
    let unknown = |why: &str| Fault::refusal(Refusal::Untrusted, format!("the libraries of this process: {why}"));
    let all = read().map_err(|error| unknown(&error.to_string()))?;
    let added: Vec<_> = all.difference(own()).filter(|path| !is_of_the_library(path)).cloned().collect();
    if added.len() > MAX {
        return Err(unknown("there are too many"));
    }
    if let Some(path) = added.iter().find(|path| path.as_os_str().as_bytes().ends_with(b" (deleted)")) {
        return Err(unknown(&format!("{} was replaced after it was loaded", shown_path(path))));
    }
    Ok(added)
}

/// What the C library loads by itself when somebody looks up a name or a thread ends, at whatever moment that is. It
/// lies beside the C library, and whoever can write there needs no module.
fn is_of_the_library(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let is_part = ["libnss_", "libresolv", "libgcc_s", "libidn2", "libunistring"].iter();
    let mut is_part = is_part.filter(|part| name.starts_with(part.as_bytes()));
    let c_library =
        own().iter().find(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"libc.so")));
    is_part.next().is_some() && c_library.and_then(|library| library.parent()) == path.parent()
}

/// The files behind executable mappings (proc_pid_maps(5)).
fn read() -> std::io::Result<BTreeSet<PathBuf>> {
    let text = std::fs::read("/proc/self/maps")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(code).collect())
}

/// The file of one line, if it is a file and may be executed.
fn code(line: &[u8]) -> Option<PathBuf> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let (_, rights) = (words.next()?, words.next()?);
    let path = words.nth(3)?.trim_ascii_start();
    let is_code = rights.get(2) == Some(&b'x') && path.first() == Some(&b'/');
    is_code.then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_code_runs_from_are_libraries() {
        let line = |text: &str| code(text.as_bytes()).map(|path| path.to_str().unwrap().to_owned());
        let found = line("7f2a00000000-7f2a00021000 r-xp 00001000 fe:01 12345                      /usr/lib/a b.so");
        assert_eq!(found.as_deref(), Some("/usr/lib/a b.so"));
        assert_eq!(line("7f2a00000000-7f2a00021000 r--p 00000000 fe:01 12345   /usr/lib/a.so"), None);
        assert_eq!(line("7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0       [vdso]"), None);
        assert_eq!(line("7f2a00000000-7f2a00021000 rw-p 00000000 00:00 0 "), None);
        assert_eq!(line(""), None);
        assert!(own().contains(&std::env::current_exe().unwrap()));
        let library = own().iter().find(|path| path.to_str().unwrap().contains("/libc.so")).unwrap();
        assert!(is_of_the_library(&library.with_file_name("libnss_dns.so.2")));
        assert!(!is_of_the_library(Path::new("/tmp/libnss_dns.so.2")));
        assert!(!is_of_the_library(&library.with_file_name("libcrypto.so.3")));
    }
}
