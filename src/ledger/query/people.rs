//! The people of a workspace.

use super::READING;
use crate::error::Result;
use crate::ledger::Sql;
use crate::ledger::projection::parse;
use crate::model::Email;
use crate::people::Roster;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeSet;

/// The roster in force; a workspace that was founded without people has none.
///
/// # Errors
/// Those of the module.
pub fn roster(conn: &Connection) -> Result<Option<Roster>> {
    let sql = "SELECT doc FROM rosters ORDER BY seq DESC LIMIT 1";
    let doc: Option<String> = conn.query_row(sql, [], |row| row.get(0)).optional().sql(READING)?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// Who is suspended.
///
/// # Errors
/// Those of the module.
pub fn suspended(conn: &Connection) -> Result<BTreeSet<Email>> {
    let mut statement = conn.prepare("SELECT email FROM roster_suspensions ORDER BY email").sql(READING)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).sql(READING)?;
    rows.map(|email| email.sql(READING)?.parse()).collect()
}
