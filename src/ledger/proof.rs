//! What the gate may believe: tables that follow from leaves which are proven, and nothing else.
//!
//! Two things are asked before anything is decided, written or signed, in the same transaction.
//!
//! 1. **Do the tables say what the newest leaf says of them?** Its [`Entry::register`] is compared with the tables as
//!    they stand. So a table that was changed, even for a second, decides nothing.
//! 2. **Is that leaf proven?** A checkpoint signed by a trusted ledger key proves what it covers. Behind it there is
//!    nearly always a tail, since checkpoints come after outcomes, and a tail takes no key to forge. So its leaves are
//!    hashed again and compared with the stored nodes, and each entry is [judged](super::judge). As long as the tail
//!    moved none of the tables that decide, these are those of the checkpoint's last leaf, and judging is quick. If it
//!    moved one, all tables are built anew from the leaves, which takes time in proportion to the ledger; what this
//!    process appended itself, or proved before, it does not prove again.
//!
//! A tail that fails stops everything, so it is never checkpointed. Ledgers whose leaves say nothing of the tables yet
//! are built anew each time, until the first entry of this program says it.

use super::judge::Judge;
use super::read::Leaves;
use super::register::Register;
use super::verify::{Trust, empty_projections};
use super::{Entry, Head, Reader, genesis::Genesis, heads, projection, sql_int};
use crate::crypto::merkle::{self, Nodes};
use crate::error::{Error, Result};
use crate::model::Hash256;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// What this process knows of a ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven {
    pub head: Head,
    pub register: Register,
}

/// The tables, found to be proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Their digest; `None` before entry 0.
    pub register: Option<Register>,
    /// The newest leaf says nothing of them.
    pub is_old: bool,
}

/// Where the proven part of a ledger ends, and the digest of the tables there, if a leaf says it.
struct Base {
    size: u64,
    digest: Option<(Hash256, crate::clock::Time)>,
}

/// Proves the tables, or refuses.
///
/// # Errors
/// All blocked: `tables_changed` if a table was changed past the entries; `tail_unproven` if an entry that no
/// checkpoint covers does not prove itself, or does not fit the stored tree; `ledger_forked` if entry 0 is not the
/// trusted one. `ledger_corrupt` and other database errors.
pub(super) fn prove(conn: &Connection, trust: Option<&Trust>, known: Option<&Proven>) -> Result<Standing> {
    let reader = Reader::new(conn);
    let size = reader.size()?;
    let Some(last) = size.checked_sub(1) else { return Ok(Standing { register: None, is_old: false }) };
    let trust = trusted(&reader, trust)?;
    let newest = reader.entry(last)?;
    let register = Register::read(conn, newest.time)?;
    if newest.register.is_some_and(|said| said != register.digest()) {
        return Err(tables_changed(&format!("they are not what entry {last} left")));
    }
    let base = base(&reader, size, &trust, known)?;
    let unmoved = match base.digest {
        Some((digest, time)) => register.at(conn, time)?.digest() == digest,
        None => false,
    };
    match unmoved && newest.register.is_some() {
        true => tail(conn, &reader, base.size..size, trust.genesis_leaf_hash)?,
        false => rebuild(conn, &reader, &base, size, &trust, &register)?,
    }
    Ok(Standing { register: Some(register), is_old: newest.register.is_none() && last > 0 })
}

/// What is trusted; without a pin, what entry 0 says.
fn trusted(reader: &Reader<'_>, trust: Option<&Trust>) -> Result<Trust> {
    let first = reader.node(0, 0)?;
    if let Some(trust) = trust {
        return match trust.genesis_leaf_hash == first {
            true => Ok(trust.clone()),
            false => Err(Error::blocked("ledger_forked", "the ledger's first entry is not the trusted one")
                .hint("keyctl audit log")),
        };
    }
    let genesis = Genesis::deserialize(&reader.entry(0)?.body).ok();
    let keys = genesis.iter().flat_map(|genesis| &genesis.ledger_keys);
    Ok(Trust {
        workspace_id: genesis.as_ref().map(|genesis| genesis.workspace_id.clone()).unwrap_or_default(),
        origin: genesis.as_ref().map(|genesis| genesis.origin.clone()).unwrap_or_default(),
        ledger_keys: keys.filter_map(|key| key.verifier.parse().ok()).collect(),
        genesis_leaf_hash: first,
    })
}

/// The greatest part that is proven: by this process, or by the newest checkpoint. One that does not verify
/// proves nothing, and then the tail is longer.
fn base(reader: &Reader<'_>, size: u64, trust: &Trust, known: Option<&Proven>) -> Result<Base> {
    if let Some(known) = known.filter(|known| known.head.size <= size)
        && reader.root_at(known.head.size)? == known.head.root
    {
        let time = known.register.time();
        return Ok(Base { size: known.head.size, digest: Some((known.register.digest(), time)) });
    }
    let nothing = Base { size: 0, digest: None };
    let Ok(Some(note)) = reader.latest_checkpoint() else { return Ok(nothing) };
    let Ok(head) = note.verify_checkpoint(&trust.ledger_keys, &trust.origin) else { return Ok(nothing) };
    heads::covers(reader, &head)?;
    let Some(last) = head.size.checked_sub(1) else { return Ok(nothing) };
    let entry = reader.entry(last)?;
    let path = reader.inclusion_proof(last, head.size)?;
    merkle::verify_inclusion(&reader.node(0, last)?, last, head.size, &path, &head.root)
        .map_err(|_| unproven(format!("entry {last} is not the one that the checkpoint covers")))?;
    Ok(Base { size: head.size, digest: entry.register.map(|digest| (digest, entry.time)) })
}

/// Judges a tail that moved none of the tables that decide: these are as they were before each of its entries.
fn tail(conn: &Connection, reader: &Reader<'_>, range: std::ops::Range<u64>, genesis: Hash256) -> Result<()> {
    let judge = Judge::new(conn, genesis);
    for (seq, leaf) in range.clone().zip(Leaves::new(conn, sql_int(range.start), sql_int(range.end))) {
        let entry = leaf?.decode(seq)?;
        check_nodes(reader, seq)?;
        judge.judge(&entry).map_err(|error| failed(&entry, error))?;
    }
    Ok(())
}

/// Builds the tables anew from the leaves, judging those behind the base, and compares.
fn rebuild(
    conn: &Connection,
    reader: &Reader<'_>,
    base: &Base,
    size: u64,
    trust: &Trust,
    register: &Register,
) -> Result<()> {
    let memory = empty_projections()?;
    let judge = Judge::new(&memory, trust.genesis_leaf_hash);
    let mut newest = None;
    for (seq, leaf) in (0..size).zip(Leaves::new(conn, 0, sql_int(size))) {
        let entry = leaf?.decode(seq)?;
        check_nodes(reader, seq)?;
        if seq >= base.size {
            judge.judge(&entry).map_err(|error| failed(&entry, error))?;
        }
        projection::apply(&memory, &entry).map_err(|error| failed(&entry, error))?;
        newest = Some(entry.time);
    }
    let built = newest.map(|time| Register::read(&memory, time)).transpose()?;
    match built.is_some_and(|built| built.digest() == register.digest()) {
        true => Ok(()),
        false => Err(tables_changed("they do not follow from the entries")),
    }
}

impl Reader<'_> {
    /// Refuses if an entry has closed one of these acts already. The table of intents says so too, but of signatures it
    /// stands outside of the digest, and whoever opens one there again could have it closed a second time. So every
    /// entry from the oldest of them to the newest is read, each held against the tree.
    ///
    /// # Errors
    /// `tables_changed` (blocked), also if an entry is not the one that the tree has there; database errors.
    pub fn refuse_closed(&self, intents: &BTreeSet<u64>) -> Result<()> {
        let (Some(first), size) = (intents.first(), self.size()?) else { return Ok(()) };
        if let Some(none) = intents.last().filter(|last| **last >= size) {
            return Err(tables_changed(&format!("an act is said to have begun in entry {none}, which is not there")));
        }
        for (seq, entry) in (*first..).zip(self.entries(*first..size)) {
            let entry = entry?;
            check_nodes(self, seq).map_err(|error| tables_changed(error.message()))?;
            if intents.contains(&seq) && entry.phase() != Some("intent") {
                return Err(tables_changed(&format!("entry {seq} begins nothing")));
            }
            let closes = (entry.phase() == Some("outcome")).then(|| entry.body.get("intent").and_then(Value::as_u64));
            if let Some(closed) = closes.flatten().filter(|closed| intents.contains(closed)) {
                return Err(tables_changed(&format!("what entry {closed} began has its outcome in entry {seq}")));
            }
        }
        Ok(())
    }
}

/// The nodes that a leaf completes are the stored ones.
fn check_nodes(reader: &Reader<'_>, seq: u64) -> Result<()> {
    for node in merkle::append(reader, seq, reader.node(0, seq)?)? {
        if reader.node(node.level, node.index)? != node.hash {
            return Err(unproven(format!("node {}/{} of the tree does not fit", node.level, node.index)));
        }
    }
    Ok(())
}

fn failed(entry: &Entry, error: Error) -> Error {
    match error.code() {
        "unproven" => unproven(error.message().to_owned()),
        // The database's own troubles are told as they are.
        code if code.starts_with("ledger_") => error,
        _ => unproven(format!("entry {}: {}", entry.seq, error.full())),
    }
}

fn unproven(why: String) -> Error {
    let message = format!("an entry that no checkpoint covers does not prove itself: {why}");
    Error::blocked("tail_unproven", message).hint("keyctl audit log")
}

/// Somebody changed what decides, past the entries.
pub(super) fn tables_changed(why: &str) -> Error {
    let message = format!("tables of the ledger that decide were changed by something else than keyctl: {why}");
    Error::blocked("tables_changed", message).hint("keyctl audit log")
}

#[cfg(test)]
mod tests;
