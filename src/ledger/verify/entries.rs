//! The walk over the leaves: one pass, in order, with O(log n) memory for the tree.

use super::{Decide, Findings, TimeSet, Trust};
use crate::clock::{Time, rfc3339};
use crate::crypto::merkle::{self, Frontier, Node};
use crate::error::Result;
use crate::ledger::judge::Judge;
use crate::ledger::read::{Leaf, Leaves, bytes, out_of_order};
use crate::ledger::register::Register;
use crate::ledger::{Before, Entry, Head, Reader, Sql, open, projection, sql_int};
use crate::model::Hash256;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the walk computed.
pub(super) struct Walk {
    /// Number of rows, and the root over their recomputed hashes.
    pub head: Head,
    /// The recomputed root at each wanted size that there is.
    pub roots: BTreeMap<u64, Hash256>,
    /// Intents that no outcome closed.
    pub open_intents: BTreeSet<u64>,
    /// Where people set the time right.
    pub times_set: Vec<TimeSet>,
    /// The projections that follow from the entries; `None` if no memory database can be had.
    pub rebuilt: Option<Connection>,
}

/// Walks over all rows of `entries`.
pub(super) fn walk(
    connection: &Connection,
    (trust, decide): (&Trust, Option<Decide<'_>>),
    wanted: BTreeSet<u64>,
    findings: &mut Findings,
) -> Walk {
    let rebuilt = empty_projections().map_err(|error| findings.unreadable("memory", &error)).ok();
    let tables = rebuilt.as_ref();
    let mut walker = Walker {
        connection,
        trust,
        wanted,
        findings,
        tables,
        judge: tables.filter(|_| decide.is_some()).map(|tables| Judge::new(tables, trust.genesis_leaf_hash)),
        decide,
        register: Said::Nothing,
        frontier: Frontier::default(),
        roots: BTreeMap::new(),
        open_intents: BTreeSet::new(),
        next_seq: 0,
        times_set: Vec::new(),
        newest: None,
    };
    for leaf in Leaves::new(connection, i64::MIN, i64::MAX) {
        match leaf {
            Ok(leaf) => walker.leaf(&leaf),
            Err(error) => walker.findings.unreadable("entries", &error),
        }
    }
    let walk = walker.finish();
    Walk { rebuilt, ..walk }
}

/// The tables in memory, empty.
pub(in crate::ledger) fn empty_projections() -> Result<Connection> {
    let memory = Connection::open_in_memory().sql("making projections in memory")?;
    open::harden(&memory)
        .and_then(|()| memory.execute_batch(projection::SCHEMA))
        .sql("making projections in memory")?;
    // One transaction that never ends saves one per row.
    memory.execute_batch("BEGIN").sql("making projections in memory")?;
    Ok(memory)
}

/// What the leaves say of the tables that decide.
#[derive(Clone, Copy)]
enum Said {
    /// Nothing yet: the first ledgers did not.
    Nothing,
    /// The digest after the entry before.
    Right(Register),
    /// Something else than the tables are; one finding says it.
    Wrong,
}

struct Walker<'a, 'd> {
    connection: &'a Connection,
    trust: &'a Trust,
    wanted: BTreeSet<u64>,
    findings: &'a mut Findings,
    /// The projections so far.
    tables: Option<&'a Connection>,
    judge: Option<Judge<'a>>,
    decide: Option<Decide<'d>>,
    register: Said,
    frontier: Frontier,
    roots: BTreeMap<u64, Hash256>,
    open_intents: BTreeSet<u64>,
    next_seq: i64,
    times_set: Vec<TimeSet>,
    newest: Option<Time>,
}

impl Walker<'_, '_> {
    fn leaf(&mut self, leaf: &Leaf) {
        let object = format!("entry {}", leaf.seq);
        if leaf.seq != self.next_seq {
            self.findings.add("entry_gap", &object, format!("follows where entry {} should be", self.next_seq));
        }
        self.next_seq = leaf.seq.saturating_add(1);

        let hash = merkle::leaf_hash(&leaf.bytes);
        if leaf.hash != hash.0 {
            self.findings.add("leaf_hash_wrong", &object, format!("its leaf has the hash {hash}, another is stored"));
        }
        if self.frontier.size() == 0 && hash != self.trust.genesis_leaf_hash {
            let trusted = self.trust.genesis_leaf_hash;
            self.findings.add(
                "genesis_mismatch",
                &object,
                format!("has the hash {hash}, the trusted one is {trusted}"),
            );
        }
        match Entry::from_bytes(&leaf.bytes) {
            Ok(entry) => self.entry(leaf, &entry, &object),
            Err(error) if error.code() == "bad_entry" => self.findings.add("entry_invalid", &object, error.full()),
            Err(error) => self.findings.add("entry_not_canonical", &object, error.full()),
        }
        for node in self.frontier.push(hash) {
            self.node(&node);
        }
        if self.wanted.remove(&self.frontier.size()) {
            self.roots.insert(self.frontier.size(), self.frontier.root());
        }
    }

    fn entry(&mut self, leaf: &Leaf, entry: &Entry, object: &str) {
        if sql_int(entry.seq) != leaf.seq {
            self.findings.add("seq_mismatch", object, format!("its leaf says that it is entry {}", entry.seq));
        }
        if let Some(newest) = self.newest.filter(|newest| entry.time < *newest) {
            let message = format!("is of {}, after one of {}", rfc3339(entry.time), rfc3339(newest));
            self.findings.add("time_backwards", object, message);
        }
        self.newest = self.newest.max(Some(entry.time));
        if let Some(from) = self.newest.filter(|newest| entry.leaves_time() < *newest) {
            self.newest = Some(entry.leaves_time());
            self.times_set.push(TimeSet { entry: entry.seq, from: rfc3339(from), to: rfc3339(entry.leaves_time()) });
        }
        let workspace = entry.body.get("workspace_id").and_then(Value::as_str);
        if self.frontier.size() == 0 && workspace != Some(&self.trust.workspace_id) {
            self.findings.add("genesis_mismatch", object, "its body does not name the trusted workspace_id");
        }
        match entry.phase() {
            Some("intent") => {
                self.open_intents.insert(entry.seq);
            }
            Some("outcome") => {
                let intent = entry.body.get("intent").and_then(Value::as_u64);
                if !intent.is_some_and(|intent| self.open_intents.remove(&intent)) {
                    self.findings.add("outcome_unmatched", object, "is an outcome without an open intent");
                }
            }
            _ => {}
        }
        let judged = self.judge.as_ref().map_or(Ok(()), |judge| judge.judge(entry));
        let decided = match (&mut self.decide, self.tables) {
            (Some(decide), Some(tables)) => decide(Before { tables, entries: Reader::new(self.connection) }, entry),
            _ => Ok(()),
        };
        match (judged, decided) {
            (Err(error), _) => self.findings.add("entry_unproven", object, error.full()),
            (Ok(()), Err(error)) => self.findings.add("decision_wrong", object, error.full()),
            (Ok(()), Ok(())) => {}
        }
        // A refusal here has a finding above, or shows when the tables are compared.
        let applied = self.tables.map_or(Ok(()), |tables| projection::apply(tables, entry));
        if let Err(error) = applied {
            self.findings.add("projection_refused", object, error.full());
        }
        if let Err(error) = self.register(entry, object) {
            self.findings.unreadable(object, &error);
        }
    }

    /// Holds what the leaf says of the tables against what they are by now.
    fn register(&mut self, entry: &Entry, object: &str) -> Result<()> {
        let (Some(tables), Some(said)) = (self.tables, entry.register) else {
            if matches!(self.register, Said::Right(_)) {
                self.findings.add("register_missing", object, "says nothing of the tables, as the entry before does");
                self.register = Said::Wrong;
            }
            return Ok(());
        };
        let now = match self.register {
            Said::Nothing => Register::read(tables, entry.time)?,
            Said::Right(before) => before.after(tables, entry)?,
            Said::Wrong => return Ok(()),
        };
        self.register = Said::Right(now);
        if now.digest() != said {
            self.findings.add("register_wrong", object, "says of the tables what does not follow from the entries");
            self.register = Said::Wrong;
        }
        Ok(())
    }

    fn node(&mut self, node: &Node) {
        let object = format!("node {}/{}", node.level, node.index);
        let stored = self
            .connection
            .prepare_cached("SELECT hash FROM nodes WHERE level = ?1 AND idx = ?2")
            .and_then(|mut query| {
                query.query_row(params![node.level, sql_int(node.index)], |row| bytes(row, 0)).optional()
            })
            .sql("reading a node of the tree");
        match stored {
            Ok(Some(hash)) if hash == node.hash.0 => {}
            Ok(Some(_)) => self.findings.add("node_wrong", object, "is not the hash of what lies below it"),
            Ok(None) => self.findings.add("node_missing", object, "is complete, but not stored"),
            Err(error) => self.findings.unreadable(&object, &error),
        }
    }

    fn finish(mut self) -> Walk {
        let size = self.frontier.size();
        if size == 0 {
            self.findings.add("genesis_mismatch", "ledger", "there are no entries");
        }
        if self.wanted.contains(&0) {
            self.roots.insert(0, merkle::empty_root());
        }
        if let Err(error) = extra_nodes(self.connection, size, self.findings) {
            self.findings.unreadable("nodes", &error);
        }
        let head = Head { size, root: self.frontier.root() };
        Walk { head, roots: self.roots, open_intents: self.open_intents, times_set: self.times_set, rebuilt: None }
    }
}

/// Nodes that a tree of this size does not have.
fn extra_nodes(connection: &Connection, size: u64, findings: &mut Findings) -> Result<()> {
    let doing = "reading the nodes of the tree";
    let mut query = connection.prepare("SELECT level, idx FROM nodes ORDER BY level, idx").sql(doing)?;
    let mut rows = query.query([]).sql(doing)?;
    let mut last = None;
    while let Some(row) = rows.next().sql(doing)? {
        let (level, index): (i64, i64) = (row.get(0).sql(doing)?, row.get(1).sql(doing)?);
        if last.replace((level, index)).is_some_and(|last| last >= (level, index)) {
            return Err(out_of_order("nodes"));
        }
        let belongs = (1..63).contains(&level)
            && u64::try_from(index).is_ok_and(|index| index < size.checked_shr(level as u32).unwrap_or(0));
        if !belongs {
            findings.add(
                "node_extra",
                format!("node {level}/{index}"),
                format!("a tree of {size} entries has none such"),
            );
        }
    }
    Ok(())
}
