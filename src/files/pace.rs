//! A pace that the processes of one workspace keep together: no sooner than at a moment that stands in a file may the
//! next of them go on.
//!
//! The file `NAME.pace` holds one line, read and written under its lock, so that of two processes that want the same
//! moment one gets it and the other sees that it is gone. The lock is held while a line is written and never while
//! anybody waits; a process that is killed leaves at most a moment that nobody uses. Moments are counted since the
//! machine was started, since the clock on the wall may be set back, and count for that start of the machine alone.
//! What cannot be read counts as no moment at all: a pace is a courtesy, and no reason to wait for ever.

use super::lock::{boot_id, is_at, open_lock};
use super::{read_error, shown_path, write_error};
use crate::clock;
use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUFFIX: &str = ".pace";
/// The most that is read from a file.
const MAX_LINE: usize = 128;
/// A moment further ahead than this is nothing that a process would have written.
const MAX_AHEAD: Duration = Duration::from_secs(3600);
/// How often a busy lock is tried again, and for how long. It is held for as long as a line takes to be written.
const PAUSE: Duration = Duration::from_millis(5);
const TRIES: u32 = 1000;

/// The shared moment of one name. Moments are those of [`clock::since_start`].
#[derive(Clone, Debug)]
pub struct Pace {
    path: PathBuf,
    boot: String,
}

impl Pace {
    /// The pace of this name in `dir`, which exists and is private to us. Nothing is written yet.
    pub fn new(dir: &Path, name: &str) -> Self {
        Pace { path: dir.join(format!("{name}{SUFFIX}")), boot: boot_id() }
    }

    /// The moment that stands there, seen from `now`; zero if there is none.
    ///
    /// # Errors
    /// Read errors.
    pub fn not_before(&self, now: Duration) -> Result<Duration> {
        match open_lock(&self.path, OFlags::empty()) {
            Ok(file) => Ok(self.read(&file, now)),
            Err(Errno::NOENT) => Ok(Duration::ZERO),
            Err(error) => Err(read_error(&self.path, error)),
        }
    }

    /// Takes the moment `from`, and leaves `until` for the next; `false` if somebody was quicker.
    ///
    /// # Errors
    /// `locked` if the lock does not come free, write errors.
    pub fn take(&self, now: Duration, from: Duration, until: Duration) -> Result<bool> {
        self.change(|found| (found <= from).then_some(until), now)
    }

    /// Lets nobody go on before `until`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn put_off(&self, now: Duration, until: Duration) -> Result<()> {
        self.change(|found| (found < until).then_some(until), now).map(drop)
    }

    fn change(&self, next: impl FnOnce(Duration) -> Option<Duration>, now: Duration) -> Result<bool> {
        let file = self.locked()?;
        let Some(until) = next(self.read(&file, now)) else { return Ok(false) };
        let line = format!("boot {} not_before {}\n", self.boot, until.as_nanos());
        // In place, since another name would be another lock. A line of this length is written whole or not at all.
        let written = file.write_all_at(line.as_bytes(), 0).and_then(|()| file.set_len(line.len() as u64));
        written.map_err(|e| write_error(&self.path, e))?;
        Ok(true)
    }

    fn locked(&self) -> Result<File> {
        for _ in 0..TRIES {
            let file = open_lock(&self.path, OFlags::CREATE).map_err(|e| write_error(&self.path, e))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A sweep may have taken the name away in between.
                Ok(()) if is_at(&file, &self.path) => return Ok(file),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
                Err(error) => return Err(write_error(&self.path, error)),
            }
        }
        Err(Error::unavailable("locked", format!("{}: held by another process", shown_path(&self.path))))
    }

    fn read(&self, file: &File, now: Duration) -> Duration {
        let mut buffer = [0; MAX_LINE];
        let line = file.read_at(&mut buffer, 0).ok().and_then(|n| std::str::from_utf8(buffer.get(..n)?).ok());
        let moment = line
            .and_then(|line| line.strip_prefix("boot ")?.strip_prefix(&self.boot)?.strip_prefix(" not_before "))
            .and_then(|nanos| nanos.strip_suffix('\n')?.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos);
        if moment > now.saturating_add(MAX_AHEAD) { Duration::ZERO } else { moment }
    }

    /// Removes the files in `dir` whose moment is over.
    ///
    /// # Errors
    /// Read errors of the folder; a file that cannot be judged is left alone.
    pub fn sweep(dir: &Path) -> Result<()> {
        let now = clock::since_start();
        for entry in std::fs::read_dir(dir).map_err(|e| read_error(dir, e))? {
            let name = entry.map_err(|e| read_error(dir, e))?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
            let pace = Pace::new(dir, name);
            let Ok(file) = open_lock(&pace.path, OFlags::empty()) else { continue };
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if free && pace.read(&file, now) <= now && is_at(&file, &pace.path) {
                let _ = rustix::fs::unlink(&pace.path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn of_all_who_want_a_moment_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace::new(dir.path(), "tsa");
        assert_eq!(pace.not_before(at(5)).unwrap(), Duration::ZERO);
        assert!(!pace.path.exists(), "looking writes nothing");
        let taken = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for moment in 10..30 {
                        let got = Pace::new(dir.path(), "tsa").take(at(5), at(moment), at(moment + 1)).unwrap();
                        taken.fetch_add(u32::from(got), Ordering::SeqCst);
                        assert!(pace.not_before(at(5)).unwrap() > at(moment));
                    }
                });
            }
        });
        assert_eq!((taken.into_inner(), pace.not_before(at(5)).unwrap()), (20, at(30)));
    }

    #[test]
    fn a_moment_is_put_off_and_never_brought_forward() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace::new(dir.path(), "tsa");
        pace.put_off(at(1), at(20)).unwrap();
        pace.put_off(at(1), at(10)).unwrap();
        assert_eq!(pace.not_before(at(1)).unwrap(), at(20));
        assert!(!pace.take(at(1), at(19), at(40)).unwrap());
        assert!(pace.take(at(1), at(20), at(40)).unwrap());
        assert_eq!(pace.not_before(at(1)).unwrap(), at(40));
    }

    #[test]
    fn what_cannot_be_from_a_process_of_this_start_is_no_moment() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace::new(dir.path(), "tsa");
        let good = format!("boot {} not_before {}\n", pace.boot, at(50).as_nanos());
        let texts = [
            "",
            "boot",
            "boot another not_before 50000000000\n",
            good.trim_end(),
            &good.replace("5", "x"),
            &format!("boot {} not_before {}\n", pace.boot, at(10_000).as_nanos()),
            &good.repeat(2),
            &"x".repeat(1000),
        ];
        for text in texts {
            fs::write(&pace.path, text).unwrap();
            assert_eq!(pace.not_before(at(1)).unwrap(), Duration::ZERO, "{text:?}");
            assert!(pace.take(at(1), at(2), at(3)).unwrap(), "{text:?}");
            assert_eq!(pace.not_before(at(1)).unwrap(), at(3), "{text:?}");
        }
        fs::write(&pace.path, good).unwrap();
        assert_eq!(pace.not_before(at(1)).unwrap(), at(50));
    }

    #[test]
    fn a_moment_that_is_over_is_swept_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (now, later) = (clock::since_start(), at(600));
        let (over, ahead) = (Pace::new(dir.path(), "over"), Pace::new(dir.path(), "ahead"));
        over.put_off(now, now).unwrap();
        ahead.put_off(now, now.saturating_add(later)).unwrap();
        fs::write(dir.path().join("other"), "x").unwrap();
        Pace::sweep(dir.path()).unwrap();
        assert!(!over.path.exists() && ahead.path.exists() && dir.path().join("other").exists());
        // Somebody writes while others sweep.
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200).for_each(|_| Pace::sweep(dir.path()).unwrap()));
            for _ in 0..200 {
                over.put_off(now, now).unwrap();
                over.put_off(now, now.saturating_add(later)).unwrap();
                assert_eq!(over.not_before(now).unwrap(), now.saturating_add(later));
                fs::remove_file(&over.path).unwrap();
            }
        });
    }

    #[test]
    fn a_lock_that_is_held_for_long_is_an_outage() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace::new(dir.path(), "tsa");
        let held = open_lock(&pace.path, OFlags::CREATE).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        let error = pace.put_off(at(1), at(2)).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("locked", crate::error::Kind::Unavailable));
        assert_eq!(pace.not_before(at(1)).unwrap(), Duration::ZERO, "looking waits for nobody");
    }
}
