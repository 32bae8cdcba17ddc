//! Tables derived from the entries, so that questions need not read them all.
//!
//! They are filled in the transaction that appends the entry, by the same [`apply`] that verification uses to
//! rebuild them from the leaves; a row that does not follow from the entries is found by comparison. So `apply`
//! looks at nothing but the entry and these tables.

use super::{Entry, Sql, sql_int};
use crate::error::{Error, Result};
use rusqlite::{Connection, params};
use serde_json::Value;

/// The tables, run once when a ledger is made.
pub const SCHEMA: &str = "
-- Intents and what became of them.
CREATE TABLE intents (
    -- The intent's entry.
    seq     INTEGER PRIMARY KEY,
    -- Its type.
    type    TEXT NOT NULL,
    -- body.request.object: what the operation is about; NULL if the request names none.
    object  TEXT,
    -- body.process: whose lock file tells whether the owner still runs; NULL if not said.
    process TEXT,
    -- The entry of its outcome; NULL while it is open.
    outcome INTEGER UNIQUE CHECK (outcome > seq)
) STRICT;
";

/// The names of the tables in [`SCHEMA`].
pub const TABLES: &[&str] = &["intents"];

/// Takes one entry into the tables.
///
/// # Errors
/// [`Kind::Bug`](crate::error::Kind::Bug) if an outcome closes no open intent; database errors.
pub fn apply(connection: &Connection, entry: &Entry) -> Result<()> {
    match entry.phase() {
        Some("intent") => open_intent(connection, entry),
        Some("outcome") => close_intent(connection, entry),
        _ => Ok(()),
    }
}

fn open_intent(connection: &Connection, entry: &Entry) -> Result<()> {
    let object = entry.body.get("request").and_then(|request| request.get("object")).and_then(Value::as_str);
    let process = entry.body.get("process").and_then(Value::as_str);
    connection
        .prepare_cached("INSERT INTO intents (seq, type, object, process) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut insert| insert.execute(params![sql_int(entry.seq), entry.entry_type.as_str(), object, process]))
        .sql("recording an intent")?;
    Ok(())
}

fn close_intent(connection: &Connection, entry: &Entry) -> Result<()> {
    let not_open = || Error::bug(format!("entry {} is an outcome without an open intent", entry.seq));
    let intent = entry.body.get("intent").and_then(Value::as_i64).ok_or_else(not_open)?;
    let closed = connection
        .prepare_cached("UPDATE intents SET outcome = ?1 WHERE seq = ?2 AND outcome IS NULL")
        .and_then(|mut update| update.execute(params![sql_int(entry.seq), intent]))
        .sql("recording an outcome")?;
    if closed == 1 { Ok(()) } else { Err(not_open()) }
}
