//! Approval requests that were consumed, what became of their steps, and what moved since others were made.

use super::{READING, one, place};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::ledger::Sql;
use crate::ledger::proof::tables_changed;
use crate::ledger::rows::parse;
use crate::model::Hash256;
use crate::people::ApprovalRequest;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// An approval request as it was consumed.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// The entry that consumed it.
    pub seq: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash256,
    /// What it says.
    pub document: ApprovalRequest,
}

/// The approval request with this identifier, if it was consumed.
///
/// # Errors
/// Those of the module.
pub fn consumed(conn: &Connection, request_id: &str) -> Result<Option<Consumed>> {
    let sql = "SELECT seq, sha256, doc FROM requests WHERE request_id = ?1";
    let row: Option<(i64, String, String)> =
        one(conn, sql, [request_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional().sql(READING)?;
    row.map(|(seq, sha256, doc)| {
        let sha256: Hash256 = sha256.parse()?;
        // The digest over the register covers the hash.
        if Hash256::of(doc.as_bytes()) != sha256 {
            return Err(tables_changed(&format!("the request {request_id} does not have its hash")));
        }
        Ok(Consumed { seq: place(seq), sha256, document: parse(&doc)? })
    })
    .transpose()
}

/// The exact bytes of a consumed request.
pub(in crate::ledger) fn consumed_bytes(conn: &Connection, request_id: &str) -> Result<String> {
    let sql = "SELECT doc FROM requests WHERE request_id = ?1";
    one(conn, sql, [request_id], |row| row.get(0)).sql(READING)
}

/// How often the glass was broken in this workspace.
///
/// # Errors
/// Those of the module.
pub fn broken_glass(conn: &Connection) -> Result<u64> {
    let sql = "SELECT count(*) FROM requests WHERE json_extract(doc, '$.break_glass') IS NOT NULL";
    one(conn, sql, [], |row| row.get(0)).map(place).sql(READING)
}

/// The tree sizes that consumed approval requests named: approvers' machines remember one of them.
///
/// # Errors
/// Those of the module.
pub fn seen_sizes(conn: &Connection) -> Result<Vec<u64>> {
    let sql = "SELECT DISTINCT json_extract(doc, '$.log_head.size') FROM requests ORDER BY seq DESC LIMIT 64";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map([], |row| Ok(place(row.get(0)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// What became of a request's steps, by number: `ok`, `failed`, `unknown`, or `open`. Those not begun are not listed.
///
/// # Errors
/// Those of the module.
pub fn steps(conn: &Connection, request_id: &str) -> Result<BTreeMap<u32, String>> {
    let sql = "SELECT step, coalesce(result, 'open') FROM request_steps WHERE request_id = ?1";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map([request_id], |row| Ok((row.get(0)?, row.get(1)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// The last entry that moved a subject of approvals: a key by name, `settings` or `roster`; 0 if none did.
///
/// # Errors
/// Those of the module.
pub fn touched(conn: &Connection, subject: &str) -> Result<u64> {
    let sql = "SELECT seq FROM touched WHERE subject = ?1";
    let seq: Option<i64> = one(conn, sql, [subject], |row| row.get(0)).optional().sql(READING)?;
    Ok(seq.map_or(0, place))
}

/// A duty with a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// The entry that it follows from.
    pub seq: u64,
    /// What is to be done.
    pub kind: String,
    /// What it is about.
    pub object: String,
    /// By when.
    pub due: Time,
}

impl FollowUp {
    /// How it is named on the command line: `SEQ/KIND`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.seq, self.kind)
    }
}

/// Whether there ever was a duty about this.
///
/// # Errors
/// Those of the module.
pub fn has_follow_up(conn: &Connection, object: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM follow_ups WHERE object = ?1)";
    one(conn, sql, [object], |row| row.get(0)).sql(READING)
}

/// Open duties, the most urgent first.
///
/// # Errors
/// Those of the module.
pub fn follow_ups(conn: &Connection) -> Result<Vec<FollowUp>> {
    let sql = "SELECT seq, kind, object, due FROM follow_ups WHERE closed IS NULL ORDER BY due, seq, kind";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let text = |row: &rusqlite::Row<'_>, column| row.get::<_, String>(column);
    let rows = statement
        .query_map(params![], |row| Ok((place(row.get(0)?), text(row, 1)?, text(row, 2)?, text(row, 3)?)))
        .sql(READING)?;
    rows.map(|row| {
        let (seq, kind, object, due) = row.sql(READING)?;
        let broken = || Error::failed("register_broken", "the deadline of a follow-up cannot be read");
        Ok(FollowUp { seq, kind, object, due: crate::clock::parse(&due).ok_or_else(broken)? })
    })
    .collect()
}
