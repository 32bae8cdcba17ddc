//! The pin: what this user trusts about a workspace, kept outside of it.
//!
//! The ledger cannot vouch for itself, since whoever writes the file can replace its keys along with its entries.
//! So the workspace's id, its log's name and keys, the hash of its first entry and the newest head seen are
//! kept in the user's state folder, one file per workspace. The head moves forward only, and only along a ledger
//! that still contains the old one: a copy from before gives `ledger_rolled_back`, another history
//! `ledger_forked`. Both stop mutating commands.
//!
//! These checks read stored nodes, so they are quick; that the leaves fit the nodes is verification's to show.

use super::outside::{Outside, check_id};
use super::place::Place;
use super::verify::Trust;
use super::{Ledger, Reader};
use crate::crypto::merkle::Nodes;
use crate::crypto::note::{Checkpoint, SignedNote, VerifierKey};
use crate::error::{Context, Error, Result};
use crate::files::safe::{create_private_dir, read_text, write_atomic};
use crate::model::Hash256;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The most bytes of a pin file that are read.
const MAX_PIN: usize = 256 * 1024;

/// The newest head that was seen, with the note that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedHead {
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash256,
    /// The signed note, byte for byte.
    pub note: String,
}

/// What is trusted about one workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The random id from the first entry; 1 to 64 letters, digits and '-'.
    pub workspace_id: String,
    /// The log's name.
    pub origin: String,
    /// The keys that sign its heads.
    pub ledger_keys: Vec<VerifierKey>,
    /// The leaf hash of entry 0.
    pub genesis_leaf_hash: Hash256,
    /// The newest head seen; none until the first checkpoint.
    pub head: Option<PinnedHead>,
    /// Where this user knows the workspace; earlier pins do not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Place>,
}

/// `$XDG_STATE_HOME/keyctl`, else `~/.local/state/keyctl`: the base folder for pins. Relative values do not count,
/// as the XDG base directory specification says.
///
/// # Errors
/// `no_state_folder` if neither variable names an absolute path.
pub fn state_dir() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    base.map(|base| base.join("keyctl")).ok_or_else(|| {
        Error::usage("no_state_folder", "neither XDG_STATE_HOME nor HOME names an absolute folder")
            .hint("export XDG_STATE_HOME=/absolute/folder")
    })
}

impl Pin {
    /// Where the pin of a workspace is: `BASE/anchors/ID.json`.
    ///
    /// # Errors
    /// `bad_workspace_id` if the id is not fit for a file name.
    pub fn path(base: &Path, workspace_id: &str) -> Result<PathBuf> {
        check_id(workspace_id)?;
        Ok(base.join("anchors").join(format!("{workspace_id}.json")))
    }

    /// Reads the pin of a workspace, if there is one.
    ///
    /// # Errors
    /// `bad_pin` if the file is not a regular file of ours that only we can write, not strict JSON of this form, of
    /// another workspace, or if its head is not signed by its keys.
    pub fn load(base: &Path, workspace_id: &str) -> Result<Option<Self>> {
        let file = Pin::file(base, workspace_id)?;
        let Some(value) = file.read(MAX_PIN)? else { return Ok(None) };
        let bad = || format!("the pin {} cannot be used", file.path.display());
        let pin: Pin = serde_json::from_value(value).or_failed("bad_pin", bad)?;
        if pin.workspace_id != workspace_id {
            return Err(bad_pin(&file.path, "is of another workspace"));
        }
        pin.check_head().or_failed("bad_pin", bad)?;
        Ok(Some(pin))
    }

    /// Writes the first pin of a workspace.
    ///
    /// # Errors
    /// `pin_exists` if there is one; `pin_unwritable` and other file errors.
    pub fn create(&self, base: &Path) -> Result<()> {
        let _lock = Pin::file(base, &self.workspace_id)?.lock()?;
        if Pin::load(base, &self.workspace_id)?.is_some() {
            let message = format!("the workspace {} is pinned already", self.workspace_id);
            return Err(Error::failed("pin_exists", message));
        }
        self.check_head()?;
        Pin::file(base, &self.workspace_id)?.write(self)
    }

    /// Moves the pinned head forward to `note`, if it is newer, and writes the file. A head that another process
    /// pinned meanwhile is taken over first.
    ///
    /// # Errors
    /// `bad_signature`, `untrusted_note`, `bad_checkpoint` if the note is not a head of this log;
    /// `ledger_rolled_back` or `ledger_forked` (blocked) if the ledger does not contain the note's head, the pinned
    /// head and the pinned first entry; `bad_pin` if the file now pins something else; file errors. The pin in
    /// memory and the file then stay as they were.
    pub fn advance(&mut self, base: &Path, ledger: &Ledger, note: &SignedNote) -> Result<()> {
        let _lock = Pin::file(base, &self.workspace_id)?.lock()?;
        let mut next = self.clone();
        if let Some(stored) = Pin::load(base, &self.workspace_id)? {
            next.take_over(stored, base)?;
        }
        let seen = note.verify_checkpoint(&next.ledger_keys, &next.origin)?;
        next.check(ledger)?;
        contains(&ledger.reader(), seen.size, &seen.root)?;
        if next.head.as_ref().is_none_or(|head| head.size < seen.size) {
            next.head = Some(PinnedHead { size: seen.size, root: seen.root, note: note.to_string() });
            Pin::file(base, &next.workspace_id)?.write(&next)?;
        }
        *self = next;
        Ok(())
    }

    /// Checks quickly that a ledger begins with the pinned entry and contains the pinned head.
    ///
    /// # Errors
    /// `ledger_rolled_back` or `ledger_forked`, both blocked; database errors.
    pub fn check(&self, ledger: &Ledger) -> Result<()> {
        let reader = ledger.reader();
        if reader.size()? == 0 {
            return Err(rolled_back(0, self.head.as_ref().map_or(1, |head| head.size)));
        }
        if reader.node(0, 0)? != self.genesis_leaf_hash {
            return Err(forked("the first entry is not the pinned one"));
        }
        self.head.as_ref().map_or(Ok(()), |head| contains(&reader, head.size, &head.root))
    }

    /// Has the pin say where the workspace is, from here on.
    ///
    /// # Errors
    /// `bad_pin` if the file now pins something else; file errors.
    pub fn settle(&mut self, base: &Path, place: &Place) -> Result<()> {
        let _lock = Pin::file(base, &self.workspace_id)?.lock()?;
        let mut next = self.clone();
        if let Some(stored) = Pin::load(base, &self.workspace_id)? {
            next.take_over(stored, base)?;
        }
        next.place = Some(place.clone());
        Pin::file(base, &next.workspace_id)?.write(&next)?;
        *self = next;
        Ok(())
    }

    /// What verification is to trust.
    pub fn trust(&self) -> Trust {
        Trust {
            workspace_id: self.workspace_id.clone(),
            origin: self.origin.clone(),
            ledger_keys: self.ledger_keys.clone(),
            genesis_leaf_hash: self.genesis_leaf_hash,
        }
    }

    /// The pinned head as an anchor for verification.
    ///
    /// # Errors
    /// `bad_note` if it is not a signed note; one that was loaded is.
    pub fn anchor(&self) -> Result<Option<SignedNote>> {
        self.head.as_ref().map(|head| head.note.parse()).transpose()
    }

    /// Remembers which workspace a folder holds, so that another one in its place is noticed. Founding a workspace
    /// there anew overwrites it.
    ///
    /// # Errors
    /// `pin_unwritable` and other file errors.
    pub fn bind_folder(&self, base: &Path, folder: &Path) -> Result<()> {
        let path = folder_path(base, folder);
        let parent = path.parent().unwrap_or(base);
        create_private_dir(parent)?;
        write_atomic(&path, self.workspace_id.as_bytes(), 0o600).map(drop)
    }

    /// The workspace that a folder is known to hold.
    ///
    /// # Errors
    /// `bad_pin` if what is remembered cannot be read.
    pub fn bound_to(base: &Path, folder: &Path) -> Result<Option<String>> {
        let path = folder_path(base, folder);
        if !path.exists() {
            return Ok(None);
        }
        read_text(&path, 64).map(Some).map_err(|error| bad_pin(&path, "cannot be read").because(error))
    }

    fn take_over(&mut self, stored: Pin, base: &Path) -> Result<()> {
        if stored.trust() != self.trust() {
            return Err(bad_pin(&Pin::path(base, &self.workspace_id)?, "was replaced by one that trusts other keys"));
        }
        let newer = |head: &PinnedHead| self.head.as_ref().is_none_or(|own| own.size < head.size);
        if stored.head.as_ref().is_some_and(newer) {
            self.head = stored.head;
        }
        self.place = stored.place.or(self.place.take());
        Ok(())
    }

    fn check_head(&self) -> Result<()> {
        let Some(head) = &self.head else { return Ok(()) };
        let note: SignedNote = head.note.parse()?;
        let read = note.verify_checkpoint(&self.ledger_keys, &self.origin)?;
        let stated = Checkpoint { origin: self.origin.clone(), size: head.size, root: head.root };
        if read != stated {
            return Err(Error::failed("bad_pin", "the pinned size and root are not those of the pinned note"));
        }
        Ok(())
    }

    fn file(base: &Path, workspace_id: &str) -> Result<Outside> {
        let path = Pin::path(base, workspace_id)?;
        Ok(Outside { path, noun: "the pin", bad: "bad_pin", unwritable: "pin_unwritable" })
    }
}

fn folder_path(base: &Path, folder: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    base.join("folders").join(Hash256::of(folder.as_os_str().as_bytes()).to_string())
}

/// Whether a ledger contains a head.
pub(super) fn contains(reader: &Reader<'_>, size: u64, root: &Hash256) -> Result<()> {
    let have = reader.size()?;
    if have < size {
        return Err(rolled_back(have, size));
    }
    if reader.root_at(size)? != *root {
        return Err(forked(&format!("its first {size} entries are not those of the signed head")));
    }
    Ok(())
}

fn rolled_back(have: u64, seen: u64) -> Error {
    let message = format!("the ledger has {have} entries, but {seen} were seen before: it was rolled back");
    Error::blocked("ledger_rolled_back", message).hint("keyctl audit log")
}

fn forked(why: &str) -> Error {
    Error::blocked("ledger_forked", format!("the ledger is not the one that was pinned: {why}"))
        .hint("keyctl audit log")
}

fn bad_pin(path: &Path, what: &str) -> Error {
    Error::failed("bad_pin", format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::ledger::testing::{self, Test, WORKSPACE};
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn pinned(test: &Test) -> (Pin, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let Trust { workspace_id, origin, ledger_keys, genesis_leaf_hash } = test.trust();
        let pin = Pin { workspace_id, origin, ledger_keys, genesis_leaf_hash, head: None, place: None };
        pin.create(state.path()).unwrap();
        (pin, state)
    }

    #[test]
    fn the_pin_follows_a_growing_ledger() {
        let mut test = testing::ledger(3);
        let (mut pin, state) = pinned(&test);
        let old = pin.clone();
        let first = test.checkpoint();
        pin.advance(state.path(), &test.ledger, &first).unwrap();
        test.grow(10);
        let second = test.checkpoint();
        pin.advance(state.path(), &test.ledger, &second).unwrap();
        pin.advance(state.path(), &test.ledger, &first).unwrap();
        assert_eq!(pin.head.as_ref().unwrap().size, 13, "an older note of the same ledger changes nothing");
        assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap().unwrap(), pin);
        assert_eq!(pin.anchor().unwrap().unwrap(), second);

        let mut late = old;
        late.advance(state.path(), &test.ledger, &first).unwrap();
        assert_eq!(late, pin, "what another process pinned is not lost");
        assert_eq!(pin.create(state.path()).unwrap_err().code(), "pin_exists");
        let path = Pin::path(state.path(), WORKSPACE).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_rolled_back_or_forked_ledger_is_blocked() {
        let mut test = testing::ledger(3);
        let (mut pin, state) = pinned(&test);
        let copy = test.path.with_file_name("copy.db");
        test.ledger.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        fs::copy(&test.path, &copy).unwrap();
        test.grow(5);
        let note = test.checkpoint();
        pin.advance(state.path(), &test.ledger, &note).unwrap();

        let mut before = Ledger::open(&copy, test.clock.clone()).unwrap();
        let refused = pin.check(&before).unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (Kind::Blocked, "ledger_rolled_back"));
        assert_eq!(pin.advance(state.path(), &before, &note).unwrap_err().code(), "ledger_rolled_back");
        // The same length again, but other entries.
        test.clock.turn(chrono::TimeDelta::seconds(1));
        let mut writer = before.writer().unwrap();
        for _ in 0..6 {
            writer.append(testing::new_entry("NOTE", serde_json::json!({}))).unwrap();
        }
        writer.commit().unwrap();
        let refused = pin.check(&before).unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (Kind::Blocked, "ledger_forked"));
        assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap().unwrap(), pin);

        let other = testing::ledger(20);
        let mut headless = pin.clone();
        headless.head = None;
        assert_eq!(headless.check(&test.ledger).map_err(|error| error.code()), Ok(()));
        headless.genesis_leaf_hash = Hash256::of(b"another");
        assert_eq!(headless.check(&other.ledger).unwrap_err().code(), "ledger_forked");
        assert_eq!(headless.check(&testing::ledger(0).ledger).unwrap_err().code(), "ledger_rolled_back");
    }

    #[test]
    fn a_note_by_another_key_moves_nothing() {
        let mut test = testing::ledger(3);
        let (mut pin, state) = pinned(&test);
        let before = pin.clone();
        let text = test.checkpoint().text().to_owned();
        let forged = testing::Signer::generate().sign(&text);
        assert_eq!(pin.advance(state.path(), &test.ledger, &forged).unwrap_err().code(), "untrusted_note");
        assert_eq!(pin, before);
        let mut other = pin.clone();
        other.ledger_keys = testing::Signer::generate().keys();
        let note = test.checkpoint();
        assert_eq!(other.advance(state.path(), &test.ledger, &note).unwrap_err().code(), "bad_pin");
    }

    #[test]
    fn a_pin_file_that_others_could_have_changed_is_refused() {
        let mut test = testing::ledger(3);
        let (mut pin, state) = pinned(&test);
        let note = test.checkpoint();
        pin.advance(state.path(), &test.ledger, &note).unwrap();
        let path = Pin::path(state.path(), WORKSPACE).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let bad = [
            good.replace("\"size\": 3", "\"size\": 4"),
            good.replace("\"head\"", "\"extra\": 1, \"head\""),
            good.replace("\"head\"", "\"origin\": \"x\", \"head\""),
            good.replace(WORKSPACE, "other"),
            good.replace("keyctl\\n3", "keyctl\\n4"),
            String::new(),
        ];
        for text in bad {
            assert_ne!(text, good);
            fs::write(&path, text).unwrap();
            assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap_err().code(), "bad_pin");
        }
        fs::write(&path, good).unwrap();
        assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap().unwrap(), pin);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap_err().code(), "bad_pin");
        fs::rename(&path, path.with_extension("real")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("real"), &path).unwrap();
        assert_eq!(Pin::load(state.path(), WORKSPACE).unwrap_err().code(), "bad_pin");
        assert_eq!(Pin::load(state.path(), "nothing").unwrap(), None);
        for id in ["", "..", "a/b", "-a", "a\n"] {
            assert_eq!(Pin::path(state.path(), id).unwrap_err().code(), "bad_workspace_id", "{id:?}");
        }
    }
}
