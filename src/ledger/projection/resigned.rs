//! Artifacts that take the place of others (domain §2: signing again makes a new artifact, linked to the old one).

use super::{execute, first};
use crate::error::{Error, Result};
use crate::ledger::{Entry, sql_int};
use crate::request::{Resigns, SignArtifact};
use rusqlite::{Connection, params};

/// Remembers what a new artifact is, and links it to the one whose place it takes, which has to be one of this ledger.
/// That one is signed again with it.
pub(super) fn link(conn: &Connection, entry: &Entry, params: &SignArtifact) -> Result<()> {
    if let Some(old) = &params.resigns {
        link_to(conn, entry, params, old)?;
    }
    let sql = "INSERT INTO artifact_contents (seq, digest) VALUES (?1, ?2)";
    execute(conn, sql, params![sql_int(entry.seq), params.content_digest])?;
    Ok(())
}

fn link_to(conn: &Connection, entry: &Entry, params: &SignArtifact, old: &Resigns) -> Result<()> {
    let sql = "SELECT artifact_id FROM artifacts WHERE seq = ?1 AND hash_after = ?2";
    let known: Option<String> = first(conn, sql, params![sql_int(old.entry), old.hash.to_string()])?;
    if known.as_ref() != Some(&old.artifact_id) {
        let message = format!("entry {} made no artifact {} with the hash {}", old.entry, old.artifact_id, old.hash);
        return Err(Error::failed("unknown_artifact", message));
    }
    execute(
        conn,
        "INSERT INTO resigned (seq, artifact_id, resigns) VALUES (?1, ?2, ?3)",
        params![sql_int(entry.seq), params.artifact_id, old.artifact_id],
    )?;
    let sql = "UPDATE resign SET closed = ?1 WHERE artifact = ?2 AND closed IS NULL";
    execute(conn, sql, params![sql_int(entry.seq), sql_int(old.entry)])?;
    Ok(())
}
