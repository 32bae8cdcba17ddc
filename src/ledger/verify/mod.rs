//! Verification: does this ledger say what it always said?
//!
//! [`verify()`] is a pure function of one snapshot of the database, what the caller trusts, and the anchors he
//! brings. It believes nothing stored that can be computed: from the leaf bytes alone it recomputes leaf hashes,
//! inner nodes, the root at every size that somebody signed, and the projections, and compares. It
//! [judges](super::judge) each entry by those: the signatures of every request that was consumed are counted again
//! under the roster of its time, those of the board's papers checked where they were used, and an act that waits for
//! people has to be a step of what they agreed to. Trust comes
//! from outside: keys, origin and first entry from a pin, never from the database.
//!
//! What each attack shows up as:
//!
//! | done to the file | rules |
//! |---|---|
//! | a leaf changed | `leaf_hash_wrong`; rehashed too: `node_wrong`; nodes too: `checkpoint_root_wrong`, `anchor_root_wrong` |
//! | entries removed inside, renumbered or swapped | `entry_gap`, `seq_mismatch`, and the above |
//! | the end cut off | `anchor_ahead`; `checkpoint_ahead` or `node_extra` if done carelessly |
//! | the beginning replaced | `genesis_mismatch` |
//! | an entry added by hand | `node_missing`, `entry_not_canonical`, `entry_invalid`, `time_backwards`, `outcome_unmatched`; done perfectly at the end, it is only *unanchored* |
//! | a node, checkpoint or projection forged | `node_wrong`, `checkpoint_untrusted`, `checkpoint_malformed`, `projection_differs` |
//! | an act that nobody agreed to, or other people than it says | `entry_unproven` |
//! | an act that the gate would not have let in, by policy, age or threshold | `decision_wrong` |
//! | tables forged, and the leaf that says what they are | `register_wrong`, `register_missing` |
//! | triggers, views, tables or indices changed | `schema_changed` |
//! | pages damaged | `database_corrupt`, `database_unreadable` |
//!
//! Entries after the greatest valid anchor are the unanchored tail: whoever can write the file and knows how could
//! have made them. The report gives their number.

mod entries;
mod heads;
mod tables;
#[cfg(test)]
mod tests;

pub(super) use entries::empty_projections;

use super::{Before, Entry, Head, Ledger, Sql};
use crate::crypto::note::{SignedNote, VerifierKey};
use crate::error::{Error, Result};
use crate::model::Hash256;
use serde::Serialize;
use std::collections::BTreeMap;

/// The most findings in a report.
pub const MAX_FINDINGS: usize = 1000;

/// The most findings of one rule; after that they are only counted, so that none hides the others.
const MAX_OF_A_RULE: usize = 40;

/// What the caller knows about the log before he looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The random id in the first entry's body.
    pub workspace_id: String,
    /// The log's name in checkpoints.
    pub origin: String,
    /// The keys that sign checkpoints.
    pub ledger_keys: Vec<VerifierKey>,
    /// The leaf hash of entry 0.
    pub genesis_leaf_hash: Hash256,
}

/// Who decides on entries again: by the ledger as it was before one, which is given.
pub type Decide<'a> = &'a mut dyn FnMut(Before<'_>, &Entry) -> Result<()>;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, a stable snake_case word.
    pub rule: &'static str,
    /// What it is about: `entry 7`, `node 3/0`, `checkpoint 12`, …
    pub object: String,
    /// What is wrong.
    pub message: String,
}

/// The ledger's time, set right by people after an entry under a clock that was ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeSet {
    /// The outcome's entry.
    pub entry: u64,
    /// The time before, RFC 3339.
    pub from: String,
    /// And after.
    pub to: String,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of rows in `entries` that were read.
    pub entries: u64,
    /// Size and root recomputed from the leaves.
    pub head: Head,
    /// Size of the newest stored checkpoint that verifies; 0 if none does.
    pub checkpointed_size: u64,
    /// Number of entries after the greatest given anchor that verifies; all of them if none does.
    pub unanchored_tail: u64,
    /// Intents without an outcome, at most [`MAX_FINDINGS`] of them. No fault of the ledger: an operation may be
    /// running, or was interrupted.
    pub open_intents: Vec<u64>,
    /// Where people set the ledger's time right.
    pub times_set: Vec<TimeSet>,
    /// What is wrong, at most [`MAX_FINDINGS`]; nothing if the ledger is sound.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies a ledger in one snapshot. Problems of the ledger are findings, not errors, and none stops the rest.
///
/// # Errors
/// Only if no snapshot can be had at all: `ledger_corrupt`, `ledger_busy` and the like.
pub fn verify(ledger: &Ledger, trust: &Trust, anchors: &[SignedNote]) -> Result<Report> {
    verify_deciding(ledger, trust, anchors, &mut |_, _| Ok(()))
}

/// As [`verify()`], and judges nothing: the tree, the tables, and signed heads.
///
/// # Errors
/// As [`verify()`].
pub fn verify_tables(ledger: &Ledger, trust: &Trust, anchors: &[SignedNote]) -> Result<Report> {
    look(ledger, trust, anchors, None)
}

/// As [`verify()`], and has somebody who knows the policy decide on each entry again, by the tables as they are before it.
///
/// # Errors
/// As [`verify()`].
pub fn verify_deciding(ledger: &Ledger, trust: &Trust, anchors: &[SignedNote], decide: Decide<'_>) -> Result<Report> {
    look(ledger, trust, anchors, Some(decide))
}

fn look(ledger: &Ledger, trust: &Trust, anchors: &[SignedNote], decide: Option<Decide<'_>>) -> Result<Report> {
    let snapshot = ledger.connection.unchecked_transaction().sql("taking a snapshot for verification")?;
    let mut findings = Findings::default();
    tables::check_structure(&snapshot, &mut findings);
    let wanted = heads::sizes(&snapshot, anchors, &mut findings);
    let walk = entries::walk(&snapshot, (trust, decide), wanted, &mut findings);
    let judge = heads::Judge { trust, roots: &walk.roots, entries: walk.head.size };
    let checkpointed_size = judge.checkpoints(&snapshot, &mut findings);
    let anchored = judge.anchors(anchors, &mut findings);
    if let Some(rebuilt) = &walk.rebuilt {
        tables::compare_projections(&snapshot, rebuilt, &mut findings);
    }
    Ok(Report {
        entries: walk.head.size,
        head: walk.head,
        checkpointed_size,
        unanchored_tail: walk.head.size.saturating_sub(anchored),
        times_set: walk.times_set,
        open_intents: walk.open_intents.into_iter().take(MAX_FINDINGS).collect(),
        findings: findings.finish(),
    })
}

/// Collects findings within bounds, whatever a hostile file offers.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
    counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    fn add(&mut self, rule: &'static str, object: impl Into<String>, message: impl Into<String>) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= MAX_OF_A_RULE && self.list.len() < MAX_FINDINGS {
            self.list.push(Finding { rule, object: object.into(), message: message.into() });
        }
    }

    /// A part of the database that could not be read.
    fn unreadable(&mut self, object: &str, error: &Error) {
        self.add("database_unreadable", object, error.full());
    }

    fn finish(mut self) -> Vec<Finding> {
        let more = self.counts.iter().filter(|(_, count)| **count > MAX_OF_A_RULE);
        let more: Vec<_> = more.map(|(rule, count)| (*rule, count - MAX_OF_A_RULE)).collect();
        self.list.truncate(MAX_FINDINGS.saturating_sub(more.len()));
        for (rule, count) in more {
            self.list.push(Finding { rule, object: "ledger".into(), message: format!("and {count} more of these") });
        }
        self.list
    }
}
