//! What is printed of a run: rows as they come, each cause once, and how it ended.

use crate::commands::preview;
use crate::error::{Error, Kind};
use crate::files::shown_path;
use crate::model::CorrelationId;
use crate::outcome::Receipt;
use crate::policy::Decision;
use crate::policy::signing::RE_SIGN_REQUIRED;
use crate::signing::inputs::Job;
use crate::signing::{Finished, How, Item};
use crate::ui::{Row, Worst, error_value};
use crate::world::World;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

const COLUMNS: &[&str] = &["file", "result", "generation", "sha256", "evidence"];

const SIGNED: &str = "signed";
const FAILED: &str = "failed";
/// Every end, in the order in which a summary has them.
const ENDS: &[&str] = &[SIGNED, "signed before", "replayed", "adopted", FAILED];

/// The word for how something ended well.
fn end(how: &How) -> &'static str {
    match how {
        How::Signed => SIGNED,
        How::Stored => "signed before",
        How::Replayed { .. } => "replayed",
        How::Adopted => "adopted",
    }
}

/// A message without what is different of each file.
fn without_hashes(message: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = message.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let parts = parts.map(|part| {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_hash(word) { part.replace(word, "…") } else { part.to_owned() }
    });
    parts.collect()
}

/// Prints what is done as it comes, and remembers what there is to say at the end.
pub(super) struct Printer {
    worst: Worst,
    /// Nothing was printed yet.
    is_first: bool,
    /// How many files and folders were named.
    asked: usize,
    /// There is an archive among them, so that more can come of it than was named.
    has_folders: bool,
    is_dry: bool,
    /// How many came to which end.
    ends: BTreeMap<&'static str, usize>,
    /// What went wrong, with how many files it went wrong for after the first.
    causes: BTreeMap<(&'static str, String), usize>,
}

impl Printer {
    /// For a run over these.
    pub fn new(jobs: &[Job]) -> Self {
        Printer {
            worst: Worst::default(),
            is_first: true,
            asked: jobs.len(),
            has_folders: jobs.iter().any(|job| job.file.is_dir()),
            is_dry: false,
            ends: BTreeMap::new(),
            causes: BTreeMap::new(),
        }
    }

    /// Says how it ended: causes that several files have in common, and for a batch, how many came to which end and
    /// how to go on. `failed` is why nothing more was tried.
    pub fn finish(&self, world: &World, failed: Option<&Error>) -> Worst {
        for ((_, cause), more) in self.causes.iter().filter(|(_, more)| **more > 0) {
            let files = if *more == 1 { "1 more file" } else { &format!("{more} more files") };
            world.ui().warn(&format!("the same of {files}: {cause}"));
        }
        if !self.is_dry && (self.asked > 1 || self.worst.is_interrupted()) {
            world.ui().say(&self.summary(&world.globals.correlation_id, failed.is_some()));
        }
        self.worst
    }

    fn summary(&self, id: &CorrelationId, has_failed: bool) -> String {
        let done: usize = self.ends.values().sum();
        let left = if self.has_folders { 0 } else { self.asked.saturating_sub(done) };
        let mut words: Vec<_> = ENDS.iter().filter_map(|end| Some(format!("{} {end}", self.ends.get(end)?))).collect();
        words.extend((left > 0).then(|| format!("{left} not tried")));
        let words = if words.is_empty() { "nothing was done".to_owned() } else { words.join(", ") };
        let is_whole = !has_failed && left == 0 && !self.ends.contains_key(FAILED) && !self.worst.is_interrupted();
        match is_whole {
            true => format!("{words}; correlation id {id}"),
            false => format!("{words}; to go on, run it again with --correlation-id {id}"),
        }
    }

    /// An error is said once for all files that have it in common; the rows have all of them.
    fn complain(&mut self, world: &World, file: &Path, error: &Error) {
        // Refusals at the gate name the file by its hash; most other errors name it already.
        let (name, full) = (shown_path(file), error.full());
        let message = if full.starts_with(&name) { full.clone() } else { format!("{name}: {full}") };
        let cause = full.replace(&format!("{name}: "), "");
        match self.causes.entry((error.code(), without_hashes(&cause))) {
            Entry::Occupied(mut more) => *more.get_mut() += 1,
            Entry::Vacant(first) => {
                first.insert(0);
                world.ui().error(&Error::new(error.kind(), error.code(), message).maybe_hint(error.advice()));
            }
        }
    }

    fn report(&mut self, world: &World, Finished { file, result }: Finished) -> Row {
        let name = file.to_string_lossy().into_owned();
        match result {
            Ok(((receipt, evidence), how)) => {
                let row = result_row(&name, &receipt, &evidence, &how);
                *self.ends.entry(end(&how)).or_default() += 1;
                row
            }
            Err(error) => {
                self.worst.add(error.kind());
                if error.kind() != Kind::Interrupted {
                    *self.ends.entry(FAILED).or_default() += 1;
                }
                self.complain(world, &file, &error);
                Row::new().with("file", name).with("result", FAILED).with("error", error_value(&error))
            }
        }
    }

    /// Prints it.
    pub fn print(&mut self, world: &World, item: Item) {
        match item {
            Item::Finished(finished) => {
                let rows: Vec<_> = finished.into_iter().map(|one| self.report(world, one)).collect();
                self.rows(world, COLUMNS, &rows);
            }
            Item::Foreseen(foreseen) => {
                self.is_dry = true;
                for verdict in &foreseen.verdicts {
                    match verdict.decision {
                        Decision::Allow(_) => {}
                        Decision::Block(_) => self.worst.add(Kind::Blocked),
                        Decision::NeedsApproval(_) => self.worst.add(Kind::ApprovalNeeded),
                    }
                }
                if let Err(error) = preview::show(world, &foreseen) {
                    self.worst.add(error.kind());
                    world.ui().error(&error);
                }
            }
            Item::Waits(pending) => preview::waits(world, &pending),
            Item::NoEvidence(error) => {
                self.worst.add(error.kind());
                let error = error.about("signed and recorded, but there is no evidence yet").hint("keyctl recover");
                world.ui().error(&error);
            }
            Item::Interrupted => self.worst.add(Kind::Interrupted),
        }
    }

    fn rows(&mut self, world: &World, columns: &[&'static str], rows: &[Row]) {
        if !rows.is_empty() {
            world.ui().batch(columns, rows, self.is_first);
            self.is_first = false;
        }
    }
}

/// What is printed about a signed file: only what the ledger says, so that the same is printed again where
/// nothing was done, and what was done where something was.
fn result_row(file: &str, receipt: &Receipt, evidence: &Path, how: &How) -> Row {
    let body = &receipt.outcome().body;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let done = |name: &str| text(body.get("done").and_then(|done| done.get(name)));
    let params = receipt.intent().body.get("request").and_then(|request| request.get("params"));
    let param = |name: &str| text(params.and_then(|params| params.get(name)));
    let row = Row::new()
        .with("file", file)
        .with("result", if *how == How::Stored { SIGNED } else { end(how) })
        .with("generation", param("generation"))
        .with("sha256", done("hash_after"))
        .with("sha256_before", param("hash_before"))
        .with("artifact_id", param("artifact_id"))
        .with("timestamp", body.pointer("/done/timestamp/time").cloned())
        .with("correlation_id", receipt.outcome().correlation_id.as_str())
        .with("entry", receipt.outcome().seq)
        .with("evidence", evidence.to_string_lossy().into_owned());
    // Only where there is something to say.
    let gates = receipt.intent().body.get("gates").and_then(Value::as_array);
    let marked = gates.into_iter().flatten().find(|gate| gate.get("name") == Some(&RE_SIGN_REQUIRED.into()));
    let more = [
        ("cab", params.and_then(|params| params.pointer("/cab/approval_id"))),
        ("supersedes", params.and_then(|params| params.pointer("/resigns/artifact_id"))),
        ("re_sign_required", marked.and_then(|gate| gate.get("input"))),
    ];
    let row = more.into_iter().fold(row, |row, (name, value)| match value {
        Some(value) => row.with(name, value.clone()),
        None => row,
    });
    match how {
        How::Signed | How::Stored => row,
        How::Replayed { to: None } => row.with("replayed", "the kept signature was put in place again"),
        How::Replayed { to: Some(to) } => {
            row.with("replayed", "the signed file was written again").with("to", to.to_string_lossy().into_owned())
        }
        How::Adopted => row.with("adopted", "an interrupted run had signed it; its outcome was recorded now"),
    }
}
