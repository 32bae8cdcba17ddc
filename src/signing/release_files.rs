//! Putting `Release.gpg` and `InRelease` in place together, so that a crash leaves nothing half done.
//!
//! Both new files are written and synced under temporary names, and so are copies of the old ones. Then a
//! journal says what is about to happen; from that moment on the change can be finished or taken back.
//! `Release.gpg` is renamed first and `InRelease` last, because clients that find an `InRelease` ask for
//! nothing else: they see the old state or the new one. All names are fixed, so nothing in the journal is
//! ever used as a path.

use crate::error::{Context, Error, Result};
use crate::formats::apt::index::read_bounded;
use crate::formats::apt::release::MAX_RELEASE;
use crate::formats::apt::sign::Signed;
use crate::model::Hash256;
use crate::pki::openpgp::document::MAX_SIGNATURES_LENGTH;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// In the order in which they get their names.
const NAMES: [&str; 2] = ["Release.gpg", "InRelease"];
const JOURNAL: &str = ".keyctl-place.json";
const SCHEMA: &str = "keyctl.apt-place/v1";
const LONGEST: usize = MAX_RELEASE + MAX_SIGNATURES_LENGTH;

/// What is about to happen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    schema: String,
    /// SHA-256 of the `Release` file that the new signatures belong to.
    release: Hash256,
    /// For each of [`NAMES`].
    files: [Step; 2],
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    new: Hash256,
    /// Absent when there was no such file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    old: Option<Hash256>,
}

/// What [`recover`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// No interrupted placing.
    Nothing,
    /// The new files are in place.
    Finished,
    /// The old files are in place again, because the `Release` file has changed or a new file is gone.
    Restored,
}

/// Puts both files in place, readable as `Release` is.
///
/// The caller holds the repository's lock.
///
/// # Errors
/// `release_changed`: the `Release` file is no longer the one that was signed; `place_interrupted`: an earlier
/// placing waits for [`recover`]; `place_failed`. After an error, [`recover`] brings back a whole state.
pub fn place(dir: &Path, signed: &Signed) -> Result<()> {
    if dir.join(JOURNAL).symlink_metadata().is_ok() {
        return Err(Error::failed("place_interrupted", "an earlier placing in this repository was interrupted")
            .hint("keyctl recover"));
    }
    require_release(dir, &signed.release)?;
    let mode = fs::metadata(dir.join("Release")).or_failed("place_failed", || "Release has no mode".into())?;
    let contents = [&signed.release_gpg, &signed.in_release];
    let mut steps = Vec::new();
    for (name, content) in NAMES.into_iter().zip(contents) {
        let old = read_bounded(&dir.join(name), LONGEST).map_err(|e| e.about(name))?;
        if let Some(old) = &old {
            write_new(&aside(dir, name, "old"), old, mode.permissions())?;
        }
        write_new(&aside(dir, name, "new"), content, mode.permissions())?;
        steps.push(Step { new: Hash256::of(content), old: old.as_deref().map(Hash256::of) });
    }
    let files = <[Step; 2]>::try_from(steps).map_err(|_| Error::bug("two files have two steps"))?;
    write_journal(dir, &Journal { schema: SCHEMA.into(), release: signed.release, files })?;
    for name in NAMES {
        rename(&aside(dir, name, "new"), &dir.join(name))?;
        sync_dir(dir)?;
    }
    clear(dir)
}

/// Finishes or takes back what a crash interrupted.
///
/// The caller holds the repository's lock; otherwise a placing under way would be taken for a leftover.
///
/// # Errors
/// `bad_place_journal`: the journal is not one of ours; `place_unrecoverable`: neither state can be reached;
/// `place_failed`.
pub fn recover(dir: &Path) -> Result<Recovered> {
    let Some(bytes) = read_bounded(&dir.join(JOURNAL), 4096).map_err(|e| e.about(JOURNAL))? else {
        // What was written before the journal belongs to nobody.
        clear(dir)?;
        return Ok(Recovered::Nothing);
    };
    let journal: Journal =
        serde_json::from_slice(&bytes).or_failed("bad_place_journal", || format!("{JOURNAL} is not readable"))?;
    if journal.schema != SCHEMA {
        return Err(Error::failed("bad_place_journal", format!("{JOURNAL} has another schema")));
    }
    let is_current = require_release(dir, &journal.release).is_ok();
    if is_current && reach(dir, &journal, "new", |step| Some(step.new))? {
        clear(dir)?;
        return Ok(Recovered::Finished);
    }
    if reach(dir, &journal, "old", |step| step.old)? {
        clear(dir)?;
        return Ok(Recovered::Restored);
    }
    Err(Error::failed("place_unrecoverable", "neither the old nor the new signature files are complete")
        .hint("sign the repository again after removing the .keyctl-* files in it"))
}

/// Brings both files to the state that `wanted` names, if all that takes is there. Looks before it touches.
fn reach(dir: &Path, journal: &Journal, suffix: &str, wanted: impl Fn(&Step) -> Option<Hash256>) -> Result<bool> {
    let mut moves: Vec<(Option<PathBuf>, PathBuf)> = Vec::new();
    for (name, step) in NAMES.into_iter().zip(&journal.files) {
        let (target, spare) = (dir.join(name), aside(dir, name, suffix));
        let wanted = wanted(step);
        if hash_of(&target)? == wanted {
            continue;
        }
        match wanted {
            None => moves.push((None, target)),
            Some(_) if hash_of(&spare)? == wanted => moves.push((Some(spare), target)),
            Some(_) => return Ok(false),
        }
    }
    for (spare, target) in moves {
        match spare {
            Some(spare) => rename(&spare, &target)?,
            None => remove(&target)?,
        }
        sync_dir(dir)?;
    }
    Ok(true)
}

fn hash_of(path: &Path) -> Result<Option<Hash256>> {
    Ok(read_bounded(path, LONGEST)?.as_deref().map(Hash256::of))
}

fn require_release(dir: &Path, wanted: &Hash256) -> Result<()> {
    let bytes = read_bounded(&dir.join("Release"), MAX_RELEASE).map_err(|e| e.about("Release"))?;
    if bytes.as_deref().map(Hash256::of) == Some(*wanted) {
        return Ok(());
    }
    Err(Error::failed("release_changed", "the Release file is no longer the one that was signed")
        .hint("sign the repository again"))
}

fn aside(dir: &Path, name: &str, suffix: &str) -> PathBuf {
    dir.join(format!(".{name}.keyctl-{suffix}"))
}

/// Writes a file that must not exist yet, after removing a leftover of ours, and syncs it.
fn write_new(path: &Path, content: &[u8], permissions: Permissions) -> Result<()> {
    remove(path)?;
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.set_permissions(permissions)?;
        file.sync_all()
    };
    write().or_failed("place_failed", || format!("{} cannot be written", name_of(path)))
}

fn write_journal(dir: &Path, journal: &Journal) -> Result<()> {
    let bytes = serde_json::to_vec(journal).or_failed("place_failed", || "the journal cannot be serialised".into())?;
    let temporary = dir.join(format!("{JOURNAL}.new"));
    write_new(&temporary, &bytes, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    sync_dir(dir)?;
    rename(&temporary, &dir.join(JOURNAL))?;
    sync_dir(dir)
}

/// Removes everything of ours, the journal first: what is left then is waste.
fn clear(dir: &Path) -> Result<()> {
    remove(&dir.join(JOURNAL))?;
    sync_dir(dir)?;
    remove(&dir.join(format!("{JOURNAL}.new")))?;
    for name in NAMES {
        remove(&aside(dir, name, "new"))?;
        remove(&aside(dir, name, "old"))?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).or_failed("place_failed", || format!("{} cannot be renamed", name_of(from)))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::failed("place_failed", format!("{} cannot be removed", name_of(path))).because(error))
        }
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).or_failed("place_failed", || "the folder cannot be synced".into())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn signed(release: &[u8], version: &str) -> Signed {
        Signed {
            release: Hash256::of(release),
            in_release: format!("in {version}").into_bytes(),
            release_gpg: format!("gpg {version}").into_bytes(),
        }
    }

    fn state(dir: &Path) -> (Option<String>, Option<String>) {
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
        (read("InRelease"), read("Release.gpg"))
    }

    fn leftovers(dir: &Path) -> usize {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("keyctl")).count()
    }

    fn both(version: &str) -> (Option<String>, Option<String>) {
        (Some(format!("in {version}")), Some(format!("gpg {version}")))
    }

    #[test]
    fn both_files_are_placed_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Release"), "r").unwrap();
        fs::set_permissions(dir.path().join("Release"), Permissions::from_mode(0o640)).unwrap();
        for version in ["1", "2"] {
            place(dir.path(), &signed(b"r", version)).unwrap();
            assert_eq!(state(dir.path()), both(version));
            assert_eq!(leftovers(dir.path()), 0);
        }
        let mode = fs::metadata(dir.path().join("InRelease")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(place(dir.path(), &signed(b"other", "3")).unwrap_err().code(), "release_changed");
        assert_eq!(recover(dir.path()).unwrap(), Recovered::Nothing);
        assert_eq!(state(dir.path()), both("2"));
    }

    /// Rebuilds what a crash leaves: new and old files aside, the journal, and the first `done` renames.
    fn crash(dir: &Path, old: bool, done: usize) {
        fs::write(dir.join("Release"), "r").unwrap();
        if old {
            place(dir, &signed(b"r", "1")).unwrap();
        }
        let new = signed(b"r", "2");
        let mut steps = Vec::new();
        for (name, content) in NAMES.into_iter().zip([&new.release_gpg, &new.in_release]) {
            let before = fs::read(dir.join(name)).ok();
            if let Some(before) = &before {
                fs::write(aside(dir, name, "old"), before).unwrap();
            }
            fs::write(aside(dir, name, "new"), content).unwrap();
            steps.push(Step { new: Hash256::of(content), old: before.as_deref().map(Hash256::of) });
        }
        let files = steps.try_into().unwrap();
        write_journal(dir, &Journal { schema: SCHEMA.into(), release: new.release, files }).unwrap();
        for name in NAMES.into_iter().take(done) {
            fs::rename(aside(dir, name, "new"), dir.join(name)).unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_point_is_finished() {
        for old in [true, false] {
            for done in 0..=2 {
                let dir = tempfile::tempdir().unwrap();
                crash(dir.path(), old, done);
                assert_eq!(place(dir.path(), &signed(b"r", "3")).unwrap_err().code(), "place_interrupted");
                assert_eq!(recover(dir.path()).unwrap(), Recovered::Finished);
                assert_eq!(state(dir.path()), both("2"));
                assert_eq!(leftovers(dir.path()), 0);
                assert_eq!(recover(dir.path()).unwrap(), Recovered::Nothing);
            }
        }
    }

    #[test]
    fn when_the_release_moved_on_the_old_files_come_back() {
        for done in 0..=2 {
            let dir = tempfile::tempdir().unwrap();
            crash(dir.path(), true, done);
            fs::write(dir.path().join("Release"), "next").unwrap();
            assert_eq!(recover(dir.path()).unwrap(), Recovered::Restored);
            assert_eq!(state(dir.path()), both("1"), "after {done} renames");
            let dir = tempfile::tempdir().unwrap();
            crash(dir.path(), false, done);
            fs::write(dir.path().join("Release"), "next").unwrap();
            assert_eq!(recover(dir.path()).unwrap(), Recovered::Restored);
            assert_eq!(state(dir.path()), (None, None), "after {done} renames");
            assert_eq!(leftovers(dir.path()), 0);
        }
    }

    #[test]
    fn a_damaged_new_file_is_not_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        crash(dir.path(), true, 1);
        fs::write(aside(dir.path(), "InRelease", "new"), "in").unwrap();
        assert_eq!(recover(dir.path()).unwrap(), Recovered::Restored);
        assert_eq!(state(dir.path()), both("1"));
        let dir = tempfile::tempdir().unwrap();
        crash(dir.path(), true, 1);
        fs::write(aside(dir.path(), "InRelease", "new"), "in").unwrap();
        fs::write(aside(dir.path(), "Release.gpg", "old"), "gpg").unwrap();
        assert_eq!(recover(dir.path()).unwrap_err().code(), "place_unrecoverable");
        fs::write(dir.path().join(JOURNAL), "{}").unwrap();
        assert_eq!(recover(dir.path()).unwrap_err().code(), "bad_place_journal");
    }

    #[test]
    fn leftovers_from_before_the_journal_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Release"), "r").unwrap();
        place(dir.path(), &signed(b"r", "1")).unwrap();
        fs::write(aside(dir.path(), "InRelease", "new"), "half").unwrap();
        assert_eq!(recover(dir.path()).unwrap(), Recovered::Nothing);
        assert_eq!((state(dir.path()), leftovers(dir.path())), (both("1"), 0));
    }
}
