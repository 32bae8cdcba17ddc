//! Heads that lie about beside a ledger: each that a trusted key signed is an anchor.
//!
//! A ledger and the pin of the user who opens it can be rolled back together. Then there still is the head in
//! `published/`, in the folder and in its commits, that in the newest evidence, that in a request that people signed, and
//! what this user's own machine remembers of requests that it approved;
//! any one of them stops what would change something. What does not verify proves nothing: it is told and does no harm,
//! since anyone could have put it there.
//!
//! On opening, `evidence/` is looked through only while it is small, so that a signature does not grow with it; the
//! audit always looks.

use super::anchor::contains;
use super::verify::Trust;
use super::witness::Witness;
use super::{Ledger, Reader};
use crate::crypto::note::{Checkpoint, SignedNote};
use crate::error::{Context, Error, Result};
use crate::files::{safe, shown_path};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where the newest head is published, within a workspace.
pub const PUBLISHED: &str = "published/checkpoint";

/// The most bytes of a note, and of a fragment that has one in it.
const MAX_NOTE: u64 = 64 << 10;
const MAX_FRAGMENT: u64 = 4 << 20;

/// So many files are looked through on opening for the newest fragment.
const FEW: usize = 250;

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As on opening.
    Quick,
    /// As in an audit.
    Thorough,
}

/// Heads as they were found.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that a trusted key signed, each with where it was.
    pub anchors: Vec<(String, SignedNote)>,
    /// What was taken for one and is none, in words.
    pub odd: Vec<String>,
}

impl Found {
    /// Takes the bytes of a note that was found elsewhere.
    pub fn see(&mut self, place: String, bytes: &[u8], trust: &Trust) {
        self.judge(place, SignedNote::parse(bytes), trust);
    }

    /// Holds a ledger against each of them.
    ///
    /// # Errors
    /// `ledger_rolled_back` or `ledger_forked` (blocked), naming the head that says so; database errors.
    pub fn hold(&self, ledger: &Ledger) -> Result<()> {
        let reader = ledger.reader();
        for (place, note) in &self.anchors {
            let head: Checkpoint = note.text().parse()?;
            contains(&reader, head.size, &head.root).map_err(|error| error.about(place))?;
        }
        Ok(())
    }
}

/// Looks for heads in the workspace in `dir`.
pub fn find(dir: &Path, trust: &Trust, effort: Effort) -> Found {
    let mut found = Found::default();
    let published = dir.join(PUBLISHED);
    if published.symlink_metadata().is_ok() {
        found.take(&published, read_note(&published), trust);
    }
    for path in newest_fragments(&dir.join("evidence"), effort) {
        found.take(&path, read_fragment(&path), trust);
    }
    found
}

impl Found {
    fn take(&mut self, path: &Path, note: Result<SignedNote>, trust: &Trust) {
        self.judge(shown_path(path).to_string(), note, trust);
    }

    fn judge(&mut self, place: String, note: Result<SignedNote>, trust: &Trust) {
        let verified = note.and_then(|note| {
            note.verify_checkpoint(&trust.ledger_keys, &trust.origin)?;
            Ok(note)
        });
        match verified {
            Ok(note) => self.anchors.push((place, note)),
            Err(error) => self.odd.push(format!("{place} is no head of this ledger: {}", error.full())),
        }
    }
}

/// Holds a ledger against every head beside it, and against what the machine remembers in the state folder `base`.
/// Gives what was odd and does no harm, for people to read.
///
/// # Errors
/// `ledger_rolled_back` or `ledger_forked` (blocked), naming the head that says so; database errors.
pub fn check(base: &Path, dir: &Path, ledger: &Ledger, trust: &Trust) -> Result<Vec<String>> {
    let reader = ledger.reader();
    let mut found = find(dir, trust, Effort::Quick);
    found.hold(ledger)?;
    match Witness::load(base, &trust.workspace_id) {
        Ok(Some(seen)) => contains(&reader, seen.head.size, &seen.head.root)
            .map_err(|error| error.about("what this machine approved last"))?,
        Ok(None) => {}
        Err(error) => found.odd.push(error.full()),
    }
    Ok(found.odd)
}

/// Publishes a head of this ledger, unless a newer one is there.
///
/// # Errors
/// `ledger_rolled_back` or `ledger_forked` (blocked) if one is there that a trusted key signed and that this ledger does
/// not continue; write errors.
pub fn publish(dir: &Path, ledger: &Ledger, trust: &Trust, note: &SignedNote) -> Result<()> {
    let path = dir.join(PUBLISHED);
    let reader = ledger.reader();
    if let Some(known) = verified(&path, trust) {
        contains(&reader, known.size, &known.root).map_err(|error| error.about(shown_path(&path)))?;
        // Another process was faster.
        if known.size > note.text().parse::<Checkpoint>()?.size {
            return Ok(());
        }
    }
    safe::write_atomic(&path, note.to_string().as_bytes(), 0o644).map(drop)
}

/// Whether these bytes are a head of this ledger that a trusted key signed.
pub fn is_one(note: &[u8], ledger: &Ledger, trust: &Trust) -> bool {
    let head = SignedNote::parse(note).and_then(|note| note.verify_checkpoint(&trust.ledger_keys, &trust.origin));
    head.is_ok_and(|head| contains(&ledger.reader(), head.size, &head.root).is_ok())
}

fn verified(path: &Path, trust: &Trust) -> Option<Checkpoint> {
    read_note(path).ok()?.verify_checkpoint(&trust.ledger_keys, &trust.origin).ok()
}

fn read_note(path: &Path) -> Result<SignedNote> {
    SignedNote::parse(&safe::read_bounded(path, MAX_NOTE)?)
}

fn read_fragment(path: &Path) -> Result<SignedNote> {
    let bytes = safe::read_bounded(path, MAX_FRAGMENT)?;
    let fragment: Value = serde_json::from_slice(&bytes).or_failed("bad_fragment", || "it is no JSON".into())?;
    let note = fragment.pointer("/ledger/checkpoint").and_then(Value::as_str);
    note.ok_or_else(|| Error::failed("bad_fragment", "it has no checkpoint"))?.parse()
}

/// The newest files of a folder of fragments; none where there are too many to look through.
fn newest_fragments(folder: &Path, effort: Effort) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let (most, wanted) = if effort == Effort::Quick { (FEW, 1) } else { (usize::MAX, 16) };
    let mut newest: Vec<(SystemTime, PathBuf)> = Vec::new();
    for (number, entry) in entries.flatten().enumerate() {
        if number >= most {
            return Vec::new();
        }
        let path = entry.path();
        let is_one = path.extension().is_some_and(|extension| extension == "json");
        let Some(time) = entry.metadata().ok().filter(|_| is_one).and_then(|found| found.modified().ok()) else {
            continue;
        };
        newest.push((time, path));
    }
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.into_iter().take(wanted).map(|(_, path)| path).collect()
}

/// Checks a stored checkpoint that verifies: it covers these entries.
///
/// # Errors
/// `ledger_rolled_back` or `ledger_forked` (blocked).
pub(super) fn covers(reader: &Reader<'_>, head: &Checkpoint) -> Result<()> {
    contains(reader, head.size, &head.root).map_err(|error| error.about("the newest checkpoint"))
}
