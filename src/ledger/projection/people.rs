//! The people of a workspace: rosters, and who is suspended.

use super::{KEEPING, canonical};
use crate::error::{Error, Result};
use crate::ledger::{Entry, Sql, sql_int};
use crate::model::Hash256;
use crate::people::Roster;
use rusqlite::{Connection, params};

/// Takes a roster in force.
pub(super) fn store_roster(conn: &Connection, entry: &Entry, roster: &Roster, sha256: &Hash256) -> Result<()> {
    let doc = canonical(roster)?;
    let actual = Hash256::of(doc.as_bytes());
    if actual != *sha256 {
        return Err(Error::failed("bad_roster_hash", format!("a roster named {sha256} has the hash {actual}")));
    }
    let sql = "INSERT INTO rosters (seq, version, sha256, doc) VALUES (?1, ?2, ?3, ?4)";
    conn.execute(sql, params![sql_int(entry.seq), roster.version, sha256.to_string(), doc]).sql(KEEPING)?;
    Ok(())
}
