//! The people of a workspace.

use super::{READING, one, place};
use crate::error::Result;
use crate::ledger::Sql;
use crate::ledger::rows::parse;
use crate::model::{Email, KeyName};
use crate::people::Roster;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, BTreeSet};

/// The roster in force; a workspace that was founded without people has none.
///
/// # Errors
/// Those of the module.
pub fn roster(conn: &Connection) -> Result<Option<Roster>> {
    let sql = "SELECT doc FROM rosters ORDER BY seq DESC LIMIT 1";
    let doc: Option<String> = one(conn, sql, [], |row| row.get(0)).optional().sql(READING)?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// Who is suspended.
///
/// # Errors
/// Those of the module.
pub fn suspended(conn: &Connection) -> Result<BTreeSet<Email>> {
    let mut statement = conn.prepare_cached("SELECT email FROM roster_suspensions ORDER BY email").sql(READING)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).sql(READING)?;
    rows.map(|email| email.sql(READING)?.parse()).collect()
}

/// A key that neither signs nor issues for the time being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// The entry that suspended it.
    pub seq: u64,
    /// Why.
    pub reason: String,
}

/// The suspended keys.
///
/// # Errors
/// Those of the module.
pub fn suspended_keys(conn: &Connection) -> Result<BTreeMap<KeyName, Suspension>> {
    let mut statement = conn.prepare_cached("SELECT key, seq, reason FROM suspensions ORDER BY key").sql(READING)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))).sql(READING)?;
    rows.map(|row| {
        let (key, seq, reason) = row.sql(READING)?;
        Ok((key.parse()?, Suspension { seq: place(seq), reason }))
    })
    .collect()
}
