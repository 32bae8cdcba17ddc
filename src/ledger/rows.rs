//! Rows of the projection tables: how they are read and written, and the documents in them.

use super::Sql;
use crate::crypto::jcs;
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the database was doing, for its errors.
pub(super) const KEEPING: &str = "keeping a projection";

/// Reads a document that is kept in a table.
pub(super) fn parse<T: DeserializeOwned>(doc: &str) -> Result<T> {
    serde_json::from_str(doc)
        .map_err(|error| Error::failed("register_broken", "a record cannot be read").because(error))
}

/// Changes rows; gives how many. A table has few such sentences, and they come with every entry, so they are kept ready.
pub(super) fn execute(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    conn.prepare_cached(sql).and_then(|mut change| change.execute(params)).sql(KEEPING)
}

/// The one column of the first row, if there is a row.
pub(super) fn first<T: rusqlite::types::FromSql>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<T>> {
    conn.prepare_cached(sql)
        .and_then(|mut query| query.query_row(params, |row| row.get(0)).optional())
        .sql("reading the register")
}

pub(super) fn canonical(value: &impl Serialize) -> Result<String> {
    String::from_utf8(jcs::to_vec(value)?).map_err(|error| Error::bug("canonical JSON is no text").because(error))
}
