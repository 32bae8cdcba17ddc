//! Signed heads: the stored checkpoints and the anchors from elsewhere, against recomputed roots.

use super::{Findings, Trust};
use crate::crypto::note::{Checkpoint, SignedNote};
use crate::error::Result;
use crate::ledger::read::{bytes, out_of_order};
use crate::ledger::{Sql, sql_int};
use crate::model::Hash256;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// The sizes whose roots the walk has to note down.
pub(super) fn sizes(connection: &Connection, anchors: &[SignedNote], findings: &mut Findings) -> BTreeSet<u64> {
    let mut sizes = BTreeSet::new();
    let anchors = anchors.iter().filter_map(|note| note.text().parse::<Checkpoint>().ok());
    sizes.extend(anchors.map(|checkpoint| checkpoint.size));
    let read = each(connection, |_, note| {
        let checkpoint = SignedNote::parse(note).and_then(|note| note.text().parse::<Checkpoint>());
        sizes.extend(checkpoint.ok().map(|checkpoint| checkpoint.size));
    });
    if let Err(error) = read {
        findings.unreadable("checkpoints", &error);
    }
    sizes
}

/// Judges heads by recomputed roots and trusted keys.
pub(super) struct Judge<'a> {
    pub trust: &'a Trust,
    pub roots: &'a BTreeMap<u64, Hash256>,
    pub entries: u64,
}

/// What can be wrong with a head.
enum Fault {
    Malformed(String),
    Untrusted(String),
    Ahead(String),
    Root(String),
}

impl Judge<'_> {
    /// Checks every stored checkpoint; gives the size of the newest good one.
    pub(super) fn checkpoints(&self, connection: &Connection, findings: &mut Findings) -> u64 {
        let mut newest = 0;
        let read = each(connection, |stored, bytes| {
            let judged = SignedNote::parse(bytes)
                .map_err(|error| Fault::Malformed(error.full()))
                .and_then(|note| self.head(&note))
                .and_then(|checkpoint| stored.agrees(checkpoint));
            match judged {
                Ok(checkpoint) => newest = newest.max(checkpoint.size),
                Err(fault) => {
                    let (rule, message) = match fault {
                        Fault::Malformed(message) => ("checkpoint_malformed", message),
                        Fault::Untrusted(message) => ("checkpoint_untrusted", message),
                        Fault::Ahead(message) => ("checkpoint_ahead", message),
                        Fault::Root(message) => ("checkpoint_root_wrong", message),
                    };
                    findings.add(rule, format!("checkpoint {}", stored.size), message);
                }
            }
        });
        // That it could not be read was found by `sizes` already.
        if read.is_ok() { newest } else { 0 }
    }

    /// Checks the given anchors; gives the greatest size of a good one.
    pub(super) fn anchors(&self, anchors: &[SignedNote], findings: &mut Findings) -> u64 {
        let mut greatest = 0;
        for (i, note) in anchors.iter().enumerate() {
            match self.head(note) {
                Ok(checkpoint) => greatest = greatest.max(checkpoint.size),
                Err(fault) => {
                    let (rule, message) = match fault {
                        Fault::Malformed(message) => ("anchor_malformed", message),
                        Fault::Untrusted(message) => ("anchor_untrusted", message),
                        Fault::Ahead(message) => ("anchor_ahead", message),
                        Fault::Root(message) => ("anchor_root_wrong", message),
                    };
                    findings.add(rule, format!("anchor {i}"), message);
                }
            }
        }
        greatest
    }

    fn head(&self, note: &SignedNote) -> std::result::Result<Checkpoint, Fault> {
        let checkpoint = note.verify_checkpoint(&self.trust.ledger_keys, &self.trust.origin).map_err(|error| {
            if error.code() == "bad_checkpoint" {
                Fault::Malformed(error.full())
            } else {
                Fault::Untrusted(error.full())
            }
        })?;
        let (size, have) = (checkpoint.size, self.entries);
        if size > have {
            return Err(Fault::Ahead(format!("covers {size} entries, the ledger has {have}")));
        }
        match self.roots.get(&size) {
            Some(root) if *root == checkpoint.root => Ok(checkpoint),
            Some(root) => Err(Fault::Root(format!("signs the root {}, the entries give {root}", checkpoint.root))),
            None => Err(Fault::Root(format!("no root over {size} entries was recomputed"))),
        }
    }
}

/// The columns beside a stored note.
struct Stored {
    size: i64,
    root: Vec<u8>,
}

impl Stored {
    fn agrees(&self, checkpoint: Checkpoint) -> std::result::Result<Checkpoint, Fault> {
        if self.size == sql_int(checkpoint.size) && self.root == checkpoint.root.0 {
            return Ok(checkpoint);
        }
        Err(Fault::Malformed("its row has another size or root than its note".to_owned()))
    }
}

fn each(connection: &Connection, mut visit: impl FnMut(&Stored, &[u8])) -> Result<()> {
    let doing = "reading the checkpoints";
    let mut query = connection.prepare("SELECT size, root, note FROM checkpoints ORDER BY size").sql(doing)?;
    let mut rows = query.query([]).sql(doing)?;
    let mut last = None;
    while let Some(row) = rows.next().sql(doing)? {
        let stored = Stored { size: row.get(0).sql(doing)?, root: bytes(row, 1).sql(doing)? };
        if last.replace(stored.size).is_some_and(|last| last >= stored.size) {
            return Err(out_of_order("checkpoints"));
        }
        visit(&stored, &bytes(row, 2).sql(doing)?);
    }
    Ok(())
}
