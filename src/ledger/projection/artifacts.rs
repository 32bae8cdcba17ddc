//! Signed artifacts, and those that take the place of others (domain §2: signing again makes a new artifact, linked to
//! the old one).

use super::body::{field, read};
use super::revocation;
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::ledger::rows::{execute, first};
use crate::ledger::{Entry, sql_int};
use crate::model::Hash256;
use crate::request::{Request, Resigns, SignArtifact};
use rusqlite::{Connection, params};
use serde_json::Value;

pub(super) fn signed(conn: &Connection, entry: &Entry, request: &Request<SignArtifact>, done: &Value) -> Result<()> {
    let params = &request.params;
    let hash_after: Hash256 = read(field(done, "hash_after")?)?;
    let taken = "SELECT seq FROM artifacts WHERE artifact_id = ?1";
    if let Some(seq) = first::<i64>(conn, taken, params![params.artifact_id])? {
        let message = format!("the artifact id {} was used by entry {seq}", params.artifact_id);
        return Err(Error::failed("artifact_id_taken", message));
    }
    link(conn, entry, params)?;
    execute(
        conn,
        "INSERT INTO artifacts (seq, artifact_id, correlation_id, operation, hash_before, hash_after, generation, time,
                                timestamped, repository)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            sql_int(entry.seq),
            params.artifact_id,
            request.correlation_id.as_str(),
            request.operation.name(),
            params.hash_before.to_string(),
            hash_after.to_string(),
            params.generation.to_string(),
            rfc3339(entry.time),
            done.get("timestamp").is_some(),
            params.repository(),
        ],
    )?;
    for cosigner in &params.cosigners {
        let sql = "INSERT OR IGNORE INTO cosigned (artifact, generation) VALUES (?1, ?2)";
        execute(conn, sql, params![sql_int(entry.seq), cosigner.to_string()])?;
    }
    revocation::signed(conn, entry, params)
}

/// Remembers what a new artifact is, and links it to the one whose place it takes, which has to be one of this ledger.
/// That one is signed again with it.
fn link(conn: &Connection, entry: &Entry, params: &SignArtifact) -> Result<()> {
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
