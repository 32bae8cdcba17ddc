//! The workspace's journal: an append-only list of entries in SQLite, made tamper-evident by a Merkle tree.
//!
//! **What is kept.** `entries.leaf` holds the exact canonical bytes of each [`Entry`]; they are the leaves of an
//! RFC 6962 tree whose complete inner nodes are stored beside them, so that an append and a proof cost O(log n).
//! [Checkpoints](checkpoint) are tree heads signed by a token. Everything else is a [projection]: derived from
//! the entries in the same transaction and rebuilt for comparison by [`verify`](verify::verify()).
//!
//! **What is promised.** A commit returns after the bytes are on the disk (WAL, `synchronous=FULL`). There is one
//! writer at a time; times never go back. A file of another form, or with another schema, is not written to.
//!
//! **What decides.** Before anything is decided, written or signed, the tables that decide are [compared](proof) with
//! what the newest leaf says of them, and what no checkpoint covers yet is judged again from its leaves.
//!
//! **What proves it.** Whoever can write the file can rewrite all of it. Only heads that are held elsewhere show
//! that: the [pin](anchor::Pin) in the user's state folder and any other signed note given to verification.

pub mod alerts;
pub mod anchor;
pub mod begun;
pub mod checkpoint;
mod entry;
pub mod export;
#[cfg(test)]
mod fixtures;
pub mod genesis;
pub mod heads;
mod judge;
mod open;
mod outside;
pub mod place;
pub mod projection;
mod proof;
pub mod query;
mod read;
mod register;
mod rows;
mod sql;
#[cfg(test)]
pub(crate) mod testing;
pub mod trust;
pub mod verify;
pub mod witness;
mod writer;

pub use entry::{Entry, EntryType, MAX_LEAF, NewEntry, Schema};
pub use read::{Before, Entries, Head, Reader};
pub use sql::Sql;
pub(crate) use sql::sql_int;
pub use writer::Writer;

use crate::clock::{Clock, Time};
use crate::crypto::note::SignedNote;
use crate::error::Result;
use crate::model::Hash256;
use proof::Proven;
use rusqlite::Connection;
use std::ops::Range;
use verify::Trust;

/// The ledger's file name in a workspace.
pub const FILE: &str = "ledger.db";

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    clock: Clock,
    host: String,
    /// What is trusted about it; without that, what its own entry 0 says.
    trust: Option<Trust>,
    /// When the file was last written, by its own account, as it was opened.
    written: Option<Time>,
    /// What this process has proved so far.
    proven: Option<Proven>,
}

impl Ledger {
    /// From here on heads count if these keys signed them, and only behind this entry 0.
    pub fn trusting(&mut self, trust: Trust) {
        self.trust = Some(trust);
        self.proven = None;
    }

    /// For queries on the projections. Writing goes through [`Self::writer`].
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What can be read.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.connection)
    }

    /// What decisions are made by.
    pub fn before(&self) -> Before<'_> {
        Before { tables: &self.connection, entries: self.reader() }
    }

    /// Size and root over all entries.
    ///
    /// # Errors
    /// `ledger_corrupt` if stored nodes are missing; other database errors.
    pub fn head(&self) -> Result<Head> {
        self.reader().head()
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// As [`Reader::root_at`].
    pub fn root_at(&self, size: u64) -> Result<Hash256> {
        self.reader().root_at(size)
    }

    /// One entry.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn entry(&self, seq: u64) -> Result<Entry> {
        self.reader().entry(seq)
    }

    /// The entries of a range, read in chunks.
    pub fn entries(&self, range: Range<u64>) -> Entries<'_> {
        self.reader().entries(range)
    }

    /// The RFC 6962 audit path of entry `seq` in the tree of `size` entries.
    ///
    /// # Errors
    /// As [`Reader::inclusion_proof`].
    pub fn inclusion_proof(&self, seq: u64, size: u64) -> Result<Vec<Hash256>> {
        self.reader().inclusion_proof(seq, size)
    }

    /// The RFC 6962 consistency proof between two sizes.
    ///
    /// # Errors
    /// As [`Reader::consistency_proof`].
    pub fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash256>> {
        self.reader().consistency_proof(from, to)
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// `bad_note` if the stored note is none; database errors.
    pub fn latest_checkpoint(&self) -> Result<Option<SignedNote>> {
        self.reader().latest_checkpoint()
    }
}
