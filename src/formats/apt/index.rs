//! Comparing what a `Release` file lists with what is on the disk.

use super::release::{IndexFile, Release};
use crate::error::{Context, Error, Result};
use crate::model::hex;
use openssl::hash::{Hasher, MessageDigest};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Endings under which an index may be there instead of itself.
const COMPRESSED: [&str; 5] = [".gz", ".xz", ".bz2", ".zst", ".lz4"];

/// What the comparison found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// How many files are there and match.
    pub matched: usize,
    /// Listed files that are not there but whose compressed form is.
    pub only_compressed: Vec<String>,
    /// What is wrong, each naming its file.
    pub problems: Vec<Problem>,
}

/// A listed file that is not what the list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The listed path.
    pub path: String,
    /// `index_missing`, `index_mismatch`, `by_hash_mismatch` or `index_elsewhere`.
    pub code: &'static str,
    /// What is wrong, without the path.
    pub message: String,
}

impl Problem {
    /// Whether a client goes on all the same: only what lists packages has to be there.
    pub fn is_optional(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.code == "index_missing" && !["Packages", "Sources"].iter().any(|needed| name.starts_with(needed))
    }
}

impl Checked {
    /// Refuses to go on when anything is wrong.
    ///
    /// # Errors
    /// The first problem, or `no_index` when not a single listed file is there.
    pub fn require(&self) -> Result<()> {
        if let Some(first) = self.problems.first() {
            let others = match self.problems.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more)"),
            };
            let error = Error::failed(first.code, format!("{}: {}{others}", first.path, first.message));
            return Err(if first.path == "Release" {
                error.hint("write the list to a temporary file first, so that it does not list itself")
            } else {
                let stricter = "run the program that makes the Release file again (apt goes on without this one file)";
                let plain = "run the program that makes the Release file again";
                error.hint(if first.is_optional() { stricter } else { plain })
            });
        }
        if self.matched == 0 {
            return Err(Error::failed("no_index", "not a single file listed in the Release file is there"));
        }
        Ok(())
    }
}

/// Reads every listed file that is there, and its by-hash copies, since clients that take those take nothing else.
///
/// # Errors
/// A file that cannot be read at all; what merely differs is in the answer.
pub fn check(dir: &Path, release: &Release) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut absent = Vec::new();
    for (path, listed) in &release.weak {
        if leads_out(dir, path) {
            checked.problems.push(elsewhere(path));
            continue;
        }
        if let Compared::Different(message) = compare(&dir.join(path), listed).map_err(|e| e.about(path))? {
            checked.problems.push(Problem { path: path.clone(), code: "index_mismatch", message });
        }
    }
    for (path, listed) in &release.files {
        by_hash(dir, path, listed, &mut checked)?;
        if leads_out(dir, path) {
            checked.problems.push(elsewhere(path));
            continue;
        }
        match compare(&dir.join(path), listed).map_err(|e| e.about(path))? {
            Compared::Same => checked.matched += 1,
            Compared::Absent => absent.push(path),
            Compared::Different(message) => {
                checked.problems.push(Problem { path: path.clone(), code: "index_mismatch", message });
            }
        }
    }
    for path in absent {
        let listed = COMPRESSED.iter().map(|ending| format!("{path}{ending}"));
        // A sibling that is there but differs is reported by itself; it excuses its plain form all the same.
        let excused =
            listed.filter(|sibling| release.files.contains_key(sibling)).any(|sibling| dir.join(sibling).is_file());
        if excused {
            checked.only_compressed.push(path.clone());
        } else {
            let message = "it is listed, but neither it nor a listed compressed form is there".into();
            checked.problems.push(Problem { path: path.clone(), code: "index_missing", message });
        }
    }
    Ok(checked)
}

/// The copies of a listed file under the names that its hashes give it.
fn by_hash(dir: &Path, path: &str, listed: &IndexFile, checked: &mut Checked) -> Result<()> {
    let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let plain = identity(&dir.join(path));
    for (list, hash) in listed.hashes() {
        let copy = format!("{folder}by-hash/{list}/{}", hex(hash));
        let there = identity(&dir.join(&copy));
        if there.is_some() && leads_out(dir, &copy) {
            checked.problems.push(elsewhere(&copy));
            continue;
        }
        // A link to the file itself is compared with it.
        if there.is_none() || there == plain {
            continue;
        }
        if let Compared::Different(message) = compare(&dir.join(&copy), listed).map_err(|e| e.about(&copy))? {
            checked.problems.push(Problem { path: copy, code: "by_hash_mismatch", message });
        }
    }
    Ok(())
}

/// Whether a symlink on the way leads out of the repository: what is there is not part of it, and whoever copies or serves the
/// repository has something else there, or nothing.
fn leads_out(dir: &Path, path: &str) -> bool {
    match (dir.canonicalize(), dir.join(path).canonicalize()) {
        (Ok(top), Ok(real)) => !real.starts_with(top),
        _ => false,
    }
}

fn elsewhere(path: &str) -> Problem {
    let message = "a symlink leads out of the repository".to_owned();
    Problem { path: path.to_owned(), code: "index_elsewhere", message }
}

enum Compared {
    Same,
    Absent,
    Different(String),
}

fn compare(path: &Path, listed: &IndexFile) -> Result<Compared> {
    let Some(mut file) = open_regular(path)? else { return Ok(Compared::Absent) };
    let size = file.metadata().or_failed("read_failed", || "its size cannot be read".into())?.len();
    if size != listed.size {
        return Ok(Compared::Different(format!("it has {size} bytes, the Release file says {}", listed.size)));
    }
    let mut hashers =
        listed.hashes().map(|(list, wanted)| Ok((list, wanted, hasher(list)?))).collect::<Result<Vec<_>>>()?;
    let mut buffer = vec![0; 128 << 10];
    let mut left = listed.size;
    loop {
        let count = file.read(&mut buffer).or_failed("read_failed", || "it cannot be read".into())?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        // The file may grow while it is read; then it is not the listed one.
        let Some(rest) = left.checked_sub(part.len() as u64) else {
            return Ok(Compared::Different("it changed while it was read".into()));
        };
        left = rest;
        for (_, _, hasher) in &mut hashers {
            hasher.update(part).or_failed("digest_failed", || "OpenSSL cannot hash".into())?;
        }
    }
    if left != 0 {
        return Ok(Compared::Different("it changed while it was read".into()));
    }
    for (list, wanted, mut hasher) in hashers {
        let found = hasher.finish().or_failed("digest_failed", || "OpenSSL cannot hash".into())?;
        if wanted != &*found {
            return Ok(Compared::Different(format!("its {list} is {}, the Release file says otherwise", hex(&found))));
        }
    }
    Ok(Compared::Same)
}

fn hasher(list: &str) -> Result<Hasher> {
    let digest = match list {
        "MD5Sum" => MessageDigest::md5(),
        "SHA1" => MessageDigest::sha1(),
        "SHA256" => MessageDigest::sha256(),
        _ => MessageDigest::sha512(),
    };
    Hasher::new(digest).or_failed("digest_failed", || "OpenSSL cannot hash".into())
}

/// Opens a file for reading if it is a regular one; `None` if nothing is there.
///
/// # Errors
/// `not_a_file` for folders, pipes and devices (opened without blocking); `read_failed`.
pub(crate) fn open_regular(path: &Path) -> Result<Option<File>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Error::failed("read_failed", "it cannot be opened").because(error)),
    };
    let kind = file.metadata().or_failed("read_failed", || "its kind cannot be read".into())?.file_type();
    if kind.is_file() { Ok(Some(file)) } else { Err(Error::failed("not_a_file", "it is not a regular file")) }
}

/// Reads a whole regular file of at most `limit` bytes; `None` if nothing is there.
///
/// # Errors
/// As [`open_regular`], and `too_long`.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).or_failed("read_failed", || "it cannot be read".into())?;
    if bytes.len() > limit {
        return Err(Error::failed("too_long", format!("it is longer than {limit} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HashAlgorithm;
    use std::fs;

    fn line(path: &str, content: &[u8]) -> String {
        format!(" {} {} {path}\n", hex(&HashAlgorithm::Sha256.digest(content)), content.len())
    }

    fn release(lines: &[String]) -> Release {
        let text = format!("Date: Mon, 23 Nov 2026 22:43:40 UTC\nSHA256:\n{}", lines.concat());
        Release::parse(text.as_bytes()).unwrap()
    }

    fn code(dir: &Path, lines: &[String]) -> &'static str {
        check(dir, &release(lines)).unwrap().require().unwrap_err().code()
    }

    #[test]
    fn what_is_there_must_match() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("main")).unwrap();
        fs::write(dir.path().join("main/Packages"), b"abc").unwrap();
        let lines = [line("main/Packages", b"abc")];
        let checked = check(dir.path(), &release(&lines)).unwrap();
        checked.require().unwrap();
        assert_eq!(checked.matched, 1);
        assert_eq!(code(dir.path(), &[line("main/Packages", b"abd")]), "index_mismatch");
        assert_eq!(code(dir.path(), &[line("main/Packages", b"abcd")]), "index_mismatch");
        let sha512 = format!("SHA512:\n {} 3 main/Packages\n", "0".repeat(128));
        assert_eq!(code(dir.path(), &[line("main/Packages", b"abc"), sha512]), "index_mismatch");
    }

    #[test]
    fn a_missing_index_is_excused_by_its_compressed_form_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Packages.xz"), b"xz").unwrap();
        let (plain, xz) = (line("Packages", b"abc"), line("Packages.xz", b"xz"));
        let checked = check(dir.path(), &release(&[plain.clone(), xz])).unwrap();
        checked.require().unwrap();
        assert_eq!(checked.only_compressed, ["Packages"]);
        fs::write(dir.path().join("Other"), b"o").unwrap();
        assert_eq!(code(dir.path(), &[plain.clone(), line("Other", b"o")]), "index_missing");
        assert_eq!(code(dir.path(), &[]), "no_index");
        assert_eq!(code(dir.path(), &[line("Packages.gz", b"gz"), line("Packages.xz", b"xz")]), "index_missing");
    }

    #[test]
    fn an_index_behind_a_link_that_leads_out_of_the_repository_is_none_of_it() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("Packages"), b"abc").unwrap();
        let lines = [line("main/Packages", b"abc")];
        std::os::unix::fs::symlink(other.path(), dir.path().join("main")).unwrap();
        assert_eq!(code(dir.path(), &lines), "index_elsewhere");
        fs::remove_file(dir.path().join("main")).unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/Packages"), b"abc").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("main")).unwrap();
        check(dir.path(), &release(&lines)).unwrap().require().unwrap();
        let copy = format!("real/by-hash/SHA256/{}", hex(&HashAlgorithm::Sha256.digest(b"abc")));
        fs::create_dir_all(dir.path().join("real/by-hash/SHA256")).unwrap();
        std::os::unix::fs::symlink(other.path().join("Packages"), dir.path().join(copy)).unwrap();
        assert_eq!(code(dir.path(), &lines), "index_elsewhere");
    }

    #[test]
    fn pipes_and_folders_are_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("Packages")).unwrap();
        assert_eq!(check(dir.path(), &release(&[line("Packages", b"")])).unwrap_err().code(), "not_a_file");
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(check(dir.path(), &release(&[line("pipe", b"")])).unwrap_err().code(), "not_a_file");
    }
}
