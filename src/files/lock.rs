//! Who is still alive, and who holds a key.
//!
//! A [`ProcessLock`] is a file `ID.lock`, locked with `flock` for as long as its process lives; the kernel lets go of it
//! however the process ends. An intent in the ledger carries the id, and when the lock is free, the intent is an
//! orphan (design §2). A [`NamedLock`] keeps two processes from making, rotating or revoking the same key at once.
//!
//! Locks hold between processes of one host; network file systems are refused elsewhere ([`super::safe`]).

use super::{read_error, shown_path, write_error};
use crate::error::{Error, Result};
use crate::model::{hex, unhex};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How often a busy lock is tried again.
const PAUSE: Duration = Duration::from_millis(25);
/// The most that is read from a lock file.
const MAX_NOTE: usize = 256;

/// The random name of a process lock: 16 bytes, printed as hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockId([u8; 16]);

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for LockId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bytes = unhex(text).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        bytes.map(LockId).ok_or_else(|| Error::usage("bad_lock_id", format!("not 32 lower-case hex digits: {text:?}")))
    }
}

impl Serialize for LockId {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LockId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

/// Says that this process lives; held until dropped.
#[derive(Debug)]
pub struct ProcessLock {
    id: LockId,
    path: PathBuf,
    _file: File,
}

impl ProcessLock {
    /// Makes and locks a fresh `ID.lock` in `dir`, which exists and is private to us.
    ///
    /// # Errors
    /// Write errors of the folder.
    pub fn acquire(dir: &Path) -> Result<ProcessLock> {
        for _ in 0..8 {
            let id = LockId(crate::crypto::random()?);
            let path = lock_path(dir, &id.to_string());
            let file = open_lock(&path, OFlags::CREATE | OFlags::EXCL).map_err(|e| write_error(&path, e))?;
            // A sweep may hold it for a moment, and may have taken the name away; then another name.
            rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|e| write_error(&path, e))?;
            if is_at(&file, &path) {
                note(&file, &path)?;
                return Ok(ProcessLock { id, path, _file: file });
            }
        }
        Err(Error::unavailable("locked", format!("{}: lock files disappear as soon as they are made", shown_path(dir))))
    }

    /// Its name, as intents carry it.
    pub fn id(&self) -> LockId {
        self.id
    }

    /// Whether the process that made lock `id` is gone: nobody holds it, or it does not exist.
    ///
    /// # Errors
    /// Read errors; an unclear state is never called free.
    pub fn is_free(dir: &Path, id: LockId) -> Result<bool> {
        let path = lock_path(dir, &id.to_string());
        let file = match open_lock(&path, OFlags::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(true),
            Err(error) => return Err(read_error(&path, error)),
        };
        // Shared, so that two that ask at once do not take each other for the owner.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(read_error(&path, error)),
        }
    }

    /// Removes lock files whose process is gone; gives their ids.
    ///
    /// # Errors
    /// Read errors of the folder; a file that cannot be judged is left alone.
    pub fn sweep(dir: &Path) -> Result<Vec<LockId>> {
        let mut swept = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|e| read_error(dir, e))? {
            let name = entry.map_err(|e| read_error(dir, e))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".lock")).and_then(|id| id.parse().ok());
            let Some(id) = id else { continue };
            let path = dir.join(&name);
            let Ok(file) = open_lock(&path, OFlags::empty()) else { continue };
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if free && is_at(&file, &path) && rustix::fs::unlink(&path).is_ok() {
                swept.push(id);
            }
        }
        swept.sort();
        Ok(swept)
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // Unlinked while still locked, so nobody can take it in between.
        let _ = rustix::fs::unlink(&self.path);
    }
}

/// One named thing, such as a key, for one process at a time; held until dropped.
#[derive(Debug)]
pub struct NamedLock {
    file: File,
}

impl NamedLock {
    /// Locks `NAME.name-lock` in `dir`, waiting at most `wait`. The file stays, so that its lock has one meaning.
    ///
    /// # Errors
    /// `locked` (unavailable), naming the process that holds it; `bad_lock_name`; write errors.
    pub fn acquire(dir: &Path, name: &str, wait: Duration) -> Result<NamedLock> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(Error::usage("bad_lock_name", format!("{name:?} cannot name a lock")));
        }
        let path = dir.join(format!("{name}.name-lock"));
        let file = open_lock(&path, OFlags::CREATE).map_err(|e| write_error(&path, e))?;
        let until = Instant::now().checked_add(wait);
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if until.is_none_or(|until| Instant::now() < until) => {
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(held(name, &file)),
                Err(error) => return Err(write_error(&path, error)),
            }
        }
        note(&file, &path)?;
        Ok(NamedLock { file })
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        // The name of a holder that let go would mislead.
        let _ = self.file.set_len(0);
    }
}

fn held(name: &str, file: &File) -> Error {
    let holder = read_note(file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::unavailable("locked", format!("{name}: held by {holder}"))
        .hint("wait until that command has ended, then run it again")
}

fn lock_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.lock"))
}

pub(super) fn open_lock(path: &Path, extra: OFlags) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | extra;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// Whether `path` still leads to `file`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (rustix::fs::fstat(file), rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)) {
        (Ok(own), Ok(seen)) => (own.st_dev, own.st_ino) == (seen.st_dev, seen.st_ino),
        _ => false,
    }
}

/// Writes who we are: `pid PID start TICKS boot ID`. Pids come round again; start ticks within one boot do not.
fn note(file: &File, path: &Path) -> Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Field 22 of proc(5); the command in field 2 may contain spaces, so count from its closing bracket.
    let start =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or("unknown").to_owned();
    let text = format!("pid {} start {start} boot {}\n", std::process::id(), boot_id());
    let written = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
    written.map_err(|e| write_error(path, e))
}

/// What tells this start of the machine from others.
pub(super) fn boot_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if boot.trim().is_empty() { "unknown".into() } else { boot.trim().into() }
}

/// The pid that [`note`] wrote, if it reads like one.
fn read_note(file: &File) -> Option<u32> {
    let mut buffer = [0; MAX_NOTE];
    let n = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..n)?).ok()?;
    text.strip_prefix("pid ")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_process_lock_is_free_once_its_owner_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::acquire(dir.path()).unwrap();
        let id = lock.id();
        assert!(!ProcessLock::is_free(dir.path(), id).unwrap());
        assert!(ProcessLock::sweep(dir.path()).unwrap().is_empty());
        let left = fs::read_to_string(lock_path(dir.path(), &id.to_string())).unwrap();
        assert!(left.starts_with(&format!("pid {} start ", std::process::id())), "{left}");
        drop(lock);
        assert!(ProcessLock::is_free(dir.path(), id).unwrap());
        assert_eq!(id.to_string().parse::<LockId>().unwrap(), id);

        let left = File::create(lock_path(dir.path(), &id.to_string())).unwrap();
        rustix::fs::flock(&left, FlockOperation::LockShared).unwrap();
        assert!(ProcessLock::is_free(dir.path(), id).unwrap(), "somebody else who asks is not the owner");
    }

    #[test]
    fn the_kernel_lets_go_for_a_process_that_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let id = "00112233445566778899aabbccddeeff";
        let path = lock_path(dir.path(), id);
        fs::write(&path, "pid 1 start 1 boot x\n").unwrap();
        // flock(1) locks the file and keeps it until it is killed.
        let Ok(mut child) = std::process::Command::new("flock").arg("-x").arg(&path).args(["sleep", "60"]).spawn()
        else {
            eprintln!("skipped: no flock(1) here");
            return;
        };
        let id: LockId = id.parse().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while ProcessLock::is_free(dir.path(), id).unwrap() && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
        assert!(!ProcessLock::is_free(dir.path(), id).unwrap());
        assert!(ProcessLock::sweep(dir.path()).unwrap().is_empty());
        // `sleep` inherits the lock, so the whole family goes.
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        child.kill().unwrap();
        child.wait().unwrap();
        for pid in children.split_whitespace() {
            std::process::Command::new("kill").arg(pid).status().unwrap();
        }
        while !ProcessLock::is_free(dir.path(), id).unwrap() && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
        assert_eq!(ProcessLock::sweep(dir.path()).unwrap(), [id]);
        assert!(!path.exists());
    }

    #[test]
    fn a_named_lock_waits_and_then_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = NamedLock::acquire(dir.path(), "windows", Duration::ZERO).unwrap();
        let error = NamedLock::acquire(dir.path(), "windows", Duration::from_millis(60)).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("locked", crate::error::Kind::Unavailable));
        assert!(error.message().contains(&format!("process {}", std::process::id())), "{error}");
        NamedLock::acquire(dir.path(), "apt", Duration::ZERO).unwrap();
        let path = dir.path().to_path_buf();
        let waiting = std::thread::spawn(move || NamedLock::acquire(&path, "windows", Duration::from_secs(10)).is_ok());
        std::thread::sleep(Duration::from_millis(80));
        drop(first);
        assert!(waiting.join().unwrap());
        for bad in ["", "../x", "a/b", "A", "a.b"] {
            assert_eq!(NamedLock::acquire(dir.path(), bad, Duration::ZERO).unwrap_err().code(), "bad_lock_name");
        }
    }

    #[test]
    fn many_locks_and_sweeps_at_once_never_lose_a_live_one() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = ProcessLock::acquire(dir.path()).unwrap();
                        ProcessLock::sweep(dir.path()).unwrap();
                        assert!(lock.path.exists() && !ProcessLock::is_free(dir.path(), lock.id()).unwrap());
                    }
                });
            }
        });
    }
}
