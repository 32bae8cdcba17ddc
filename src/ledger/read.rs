//! Reading: entries, heads and proofs, from a ledger or within a writer's transaction.
//!
//! Everything below a given size never changes, so these reads agree with each other without a transaction as
//! long as they use one size.

use super::{Entry, Sql, sql_int};
use crate::crypto::merkle::{self, Nodes};
use crate::crypto::note::SignedNote;
use crate::error::{Error, Result};
use crate::model::Hash256;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use std::collections::VecDeque;
use std::ops::Range;

/// A tree head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash256,
}

/// The ledger as a decision finds it: the tables, and the entries that they follow from.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The tables.
    pub tables: &'a Connection,
    /// The entries.
    pub entries: Reader<'a>,
}

/// The reading half of a ledger.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'c> {
    connection: &'c Connection,
}

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Reader { connection }
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// Database errors.
    pub fn size(&self) -> Result<u64> {
        let newest: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(seq) FROM entries")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .sql("reading the ledger's size")?;
        match newest.map(u64::try_from) {
            None => Ok(0),
            Some(Ok(newest)) if newest < merkle::MAX_SIZE => Ok(newest + 1),
            Some(_) => Err(corrupt("the newest entry has an impossible number".into())),
        }
    }

    /// Size and root over all entries.
    ///
    /// # Errors
    /// As [`Self::root_at`].
    pub fn head(&self) -> Result<Head> {
        let size = self.size()?;
        Ok(Head { size, root: merkle::root(self, size)? })
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// `no_such_entry` if there are fewer, `ledger_corrupt` if nodes are missing, database errors.
    pub fn root_at(&self, size: u64) -> Result<Hash256> {
        self.check_size(size)?;
        merkle::root(self, size)
    }

    /// One entry, with its bytes checked against the stored leaf hash.
    ///
    /// # Errors
    /// `no_such_entry`, `ledger_corrupt` if the row is not what was once written, database errors.
    pub fn entry(&self, seq: u64) -> Result<Entry> {
        let leaf = self
            .connection
            .prepare_cached("SELECT seq, leaf, leaf_hash FROM entries WHERE seq = ?1")
            .and_then(|mut query| query.query_row([sql_int(seq)], Leaf::read).optional())
            .sql("reading an entry")?;
        leaf.ok_or_else(|| Error::failed("no_such_entry", format!("there is no entry {seq}")))?.decode(seq)
    }

    /// One entry that a decision rests on: its leaf is held against the tree's head, so that it is as good as that.
    ///
    /// # Errors
    /// As [`Self::entry`]; `tables_changed` (blocked) if it is not the leaf that the tree has there.
    pub fn proven_entry(&self, seq: u64) -> Result<Entry> {
        let (entry, head) = (self.entry(seq)?, self.head()?);
        let path = self.inclusion_proof(seq, head.size)?;
        merkle::verify_inclusion(&self.node(0, seq)?, seq, head.size, &path, &head.root).map_err(|error| {
            let message = format!("entry {seq} of the ledger is not the one that its tree has there");
            Error::blocked("tables_changed", message).hint("keyctl audit log").because(error)
        })?;
        Ok(entry)
    }

    /// The entries of a range, read in chunks. The range may reach beyond the newest entry.
    pub fn entries(&self, range: Range<u64>) -> Entries<'c> {
        let leaves = Leaves::new(self.connection, sql_int(range.start), sql_int(range.end));
        Entries { leaves, next: range.start, done: false }
    }

    /// The RFC 6962 audit path of entry `seq` in the tree of `size` entries, lowest sibling first.
    ///
    /// # Errors
    /// `no_such_entry` if `seq` or `size` reaches beyond the newest entry, `ledger_corrupt`, database errors.
    pub fn inclusion_proof(&self, seq: u64, size: u64) -> Result<Vec<Hash256>> {
        self.check_size(size)?;
        merkle::inclusion_proof(self, seq, size)
    }

    /// The RFC 6962 consistency proof between the first `from` and the first `to` entries.
    ///
    /// # Errors
    /// `bad_range` if `from` exceeds `to`, `no_such_entry` beyond the newest, `ledger_corrupt`, database errors.
    pub fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash256>> {
        self.check_size(to)?;
        merkle::consistency_proof(self, from, to)
    }

    /// The newest checkpoint, well formed but not verified here.
    ///
    /// # Errors
    /// `bad_note` if the stored note is none; database errors.
    pub fn latest_checkpoint(&self) -> Result<Option<SignedNote>> {
        let note = self
            .connection
            .prepare_cached("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
            .and_then(|mut query| query.query_row([], |row| bytes(row, 0)).optional())
            .sql("reading the newest checkpoint")?;
        note.map(|note| SignedNote::parse(&note)).transpose()
    }

    fn check_size(&self, size: u64) -> Result<()> {
        let have = self.size()?;
        if size > have {
            return Err(Error::failed("no_such_entry", format!("the ledger has {have} entries, not {size}")));
        }
        Ok(())
    }
}

impl Nodes for Reader<'_> {
    fn node(&self, level: u8, index: u64) -> Result<Hash256> {
        let found: Option<Vec<u8>> = match level {
            0 => self
                .connection
                .prepare_cached("SELECT leaf_hash FROM entries WHERE seq = ?1")
                .and_then(|mut query| query.query_row([sql_int(index)], |row| bytes(row, 0)).optional()),
            _ => self
                .connection
                .prepare_cached("SELECT hash FROM nodes WHERE level = ?1 AND idx = ?2")
                .and_then(|mut query| query.query_row(params![level, sql_int(index)], |row| bytes(row, 0)).optional()),
        }
        .sql("reading a node of the tree")?;
        let hash = found.and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        hash.map(Hash256).ok_or_else(|| corrupt(format!("node {level}/{index} of the tree is missing")))
    }
}

/// A row of `entries` as it stands there, with nothing checked.
#[derive(Debug)]
pub(super) struct Leaf {
    pub seq: i64,
    pub bytes: Vec<u8>,
    pub hash: Vec<u8>,
}

impl Leaf {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Leaf { seq: row.get(0)?, bytes: bytes(row, 1)?, hash: bytes(row, 2)? })
    }

    /// The entry, its bytes checked against the stored leaf hash.
    pub fn decode(&self, seq: u64) -> Result<Entry> {
        if merkle::leaf_hash(&self.bytes).0.as_slice() != self.hash {
            return Err(corrupt(format!("entry {seq} does not have the hash it was written with")));
        }
        let entry = Entry::from_bytes(&self.bytes).map_err(|error| corrupt(format!("entry {seq}: {error}")))?;
        if entry.seq != seq {
            return Err(corrupt(format!("entry {seq} says that it is number {}", entry.seq)));
        }
        Ok(entry)
    }
}

/// A blob or text, whatever a hostile file has put there; other types read as no bytes.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    })
}

/// Rows of `entries` in order, in chunks that bound memory and leave the connection free in between.
pub(super) struct Leaves<'c> {
    connection: &'c Connection,
    /// Where the next chunk starts; `None` after the last, or after a failure.
    next: Option<i64>,
    end: i64,
    chunk: VecDeque<Leaf>,
    failure: Option<Error>,
}

impl<'c> Leaves<'c> {
    const ROWS: usize = 64;
    const BYTES: usize = 4 << 20;

    /// `start` and everything below `end`; `i64::MIN..i64::MAX` is all there can be.
    pub(super) fn new(connection: &'c Connection, start: i64, end: i64) -> Self {
        Leaves { connection, next: Some(start), end, chunk: VecDeque::new(), failure: None }
    }

    fn fill(&mut self, start: i64) -> Result<()> {
        let doing = "reading entries";
        let mut query = self
            .connection
            .prepare_cached("SELECT seq, leaf, leaf_hash FROM entries WHERE seq >= ?1 AND seq < ?2 ORDER BY seq")
            .sql(doing)?;
        let mut rows = query.query([start, self.end]).sql(doing)?;
        let mut bytes = 0;
        let mut next = Some(start);
        while let Some(row) = rows.next().sql(doing)? {
            let leaf = Leaf::read(row).sql(doing)?;
            // Damaged pages can give rows out of order, and so the same ones for ever.
            if next.is_none_or(|next| leaf.seq < next) {
                return Err(out_of_order("entries"));
            }
            next = leaf.seq.checked_add(1);
            bytes += leaf.bytes.len();
            self.chunk.push_back(leaf);
            if self.chunk.len() >= Self::ROWS || bytes >= Self::BYTES {
                self.next = next;
                break;
            }
        }
        Ok(())
    }
}

impl Iterator for Leaves<'_> {
    type Item = Result<Leaf>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.is_empty() && self.failure.is_none() {
            // Rows in front of one that cannot be read are given first; nothing is read after it.
            self.failure = self.next.take().and_then(|start| self.fill(start).err());
        }
        self.chunk.pop_front().map(Ok).or_else(|| self.failure.take().map(Err))
    }
}

/// Entries in order; ends after the first error.
pub struct Entries<'c> {
    leaves: Leaves<'c>,
    next: u64,
    done: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.leaves.next()?.and_then(|leaf| {
            if leaf.seq != sql_int(self.next) {
                return Err(corrupt(format!("entry {} is missing", self.next)));
            }
            leaf.decode(self.next)
        });
        self.next += 1;
        self.done = entry.is_err();
        Some(entry)
    }
}

/// Rows came in another order than asked for: the table's pages are damaged, and might give rows without end.
pub(super) fn out_of_order(table: &str) -> Error {
    corrupt(format!("the rows of {table} are out of order"))
}

fn corrupt(message: String) -> Error {
    Error::failed("ledger_corrupt", message).hint("keyctl audit log")
}
