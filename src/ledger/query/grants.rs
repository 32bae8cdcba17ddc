//! Standing approvals.

use super::{READING, one, place};
use crate::error::Result;
use crate::ledger::Sql;
use crate::ledger::rows::parse;
use crate::model::{Email, GenerationId, KeyName};
use crate::request::GiveGrant;
use rusqlite::{Connection, OptionalExtension};

/// A grant with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The outcome that gave it.
    pub seq: u64,
    /// What it allows.
    pub params: GiveGrant,
    /// Who gave it.
    pub people: Vec<Email>,
    /// The entry that ended it.
    pub ended: Option<u64>,
    /// The generations that were made under it.
    pub used: Vec<GenerationId>,
}

impl Grant {
    /// How many generations may still be made.
    pub fn left(&self) -> u32 {
        let made = self.used.iter().filter(|id| id.number >= self.params.generation.number).count();
        let used = u32::try_from(made).unwrap_or(u32::MAX);
        if self.ended.is_some() { 0 } else { self.params.generations.saturating_sub(used) }
    }
}

type Row = (i64, String, String, Option<i64>);

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn read(conn: &Connection, (seq, doc, people, ended): Row) -> Result<Grant> {
    let params: GiveGrant = parse(&doc)?;
    let mut statement =
        conn.prepare_cached("SELECT generation FROM grant_uses WHERE grant_id = ?1 ORDER BY seq").sql(READING)?;
    let used = statement.query_map([&params.grant_id], |row| row.get::<_, String>(0)).sql(READING)?;
    let used = used.map(|id| id.sql(READING)?.parse()).collect::<Result<_>>()?;
    Ok(Grant { seq: place(seq), params, people: parse(&people)?, ended: ended.map(place), used })
}

/// The grant with this identifier.
///
/// # Errors
/// Those of the module.
pub fn grant(conn: &Connection, grant_id: &str) -> Result<Option<Grant>> {
    let sql = "SELECT seq, doc, people, ended FROM grants WHERE grant_id = ?1";
    let found = one(conn, sql, [grant_id], row).optional().sql(READING)?;
    found.map(|found| read(conn, found)).transpose()
}

/// The grants of a key, or of all keys, that have not been ended; the newest first. Their time may be over.
///
/// # Errors
/// Those of the module.
pub fn grants(conn: &Connection, key: Option<&KeyName>) -> Result<Vec<Grant>> {
    let sql = "SELECT seq, doc, people, ended FROM grants WHERE ended IS NULL AND (?1 IS NULL OR key = ?1)
               ORDER BY seq DESC";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map([key.map(KeyName::as_str)], row).sql(READING)?;
    rows.map(|found| read(conn, found.sql(READING)?)).collect()
}
