//! Approvals by the change advisory board, and artifacts that take the place of others.

use super::{READING, one, place};
use crate::error::Result;
use crate::ledger::proof::tables_changed;
use crate::ledger::rows::{first, parse};
use crate::ledger::{Sql, sql_int};
use crate::model::{GenerationId, Hash256};
use crate::people::cab::{ApprovalId, Paper};
use rusqlite::{Connection, OptionalExtension, Params, params};

/// The paper with this hash, if it was handed in.
///
/// # Errors
/// Those of the module.
pub fn cab_paper(conn: &Connection, sha256: &Hash256) -> Result<Option<Paper>> {
    let sql = "SELECT doc FROM cab_papers WHERE sha256 = ?1";
    let doc: Option<String> = one(conn, sql, [sha256.to_string()], |row| row.get(0)).optional().sql(READING)?;
    let paper: Option<Paper> = doc.map(|doc| parse(&doc)).transpose()?;
    match paper {
        // Papers are as many as deployments, so the digest over the register leaves them out; each is its own proof.
        Some(paper) if paper.sha256()? != *sha256 => Err(tables_changed("a paper of the board does not have its hash")),
        paper => Ok(paper),
    }
}

/// The entry by which the board withdrew an approval, if it did.
///
/// # Errors
/// Those of the module.
pub fn cab_withdrawn(conn: &Connection, id: &ApprovalId) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM cab_withdrawn WHERE approval_id = ?1";
    Ok(one(conn, sql, [id.as_str()], |row| row.get(0)).optional().sql(READING)?.map(place))
}

/// How many signatures rest on signed approvals of this name; those that failed do not count.
///
/// # Errors
/// Those of the module.
pub fn cab_uses(conn: &Connection, id: &ApprovalId) -> Result<u64> {
    let sql = "SELECT count(*) FROM cab_uses WHERE approval_id = ?1 AND signed";
    Ok(first::<i64>(conn, sql, params![id.as_str()])?.map_or(0, place))
}

/// An artifact as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The outcome's entry.
    pub seq: u64,
    /// Its identifier.
    pub artifact_id: String,
    /// SHA-256 of the file before.
    pub hash_before: Hash256,
    /// SHA-256 of the file after.
    pub hash_after: Hash256,
    /// Who signed it.
    pub generation: GenerationId,
    /// What it is, whatever its signatures say: the format's own digest, with its algorithm.
    pub content_digest: String,
}

/// Artifacts whose file had this SHA-256, after signing or before; those that it is the signed form of come first, and
/// of each kind the newest first. At most a thousand.
///
/// # Errors
/// Those of the module.
pub fn artifacts_with(conn: &Connection, hash: &Hash256) -> Result<Vec<Artifact>> {
    let which = "hash_after = ?1 OR hash_before = ?1 ORDER BY hash_after = ?1 DESC, a.seq DESC LIMIT 1000";
    artifacts(conn, which, [hash.to_string()])
}

/// Artifacts that are the same but for their signatures, newest first. At most a thousand.
///
/// # Errors
/// Those of the module.
pub fn artifacts_like(conn: &Connection, content_digest: &str) -> Result<Vec<Artifact>> {
    artifacts(conn, "c.digest = ?1 ORDER BY a.seq DESC LIMIT 1000", [content_digest])
}

/// The artifact that an entry made.
///
/// # Errors
/// Those of the module.
pub fn artifact(conn: &Connection, seq: u64) -> Result<Option<Artifact>> {
    Ok(artifacts(conn, "a.seq = ?1", [sql_int(seq)])?.pop())
}

fn artifacts(conn: &Connection, which: &str, params: impl Params) -> Result<Vec<Artifact>> {
    let sql = format!(
        "SELECT a.seq, artifact_id, hash_before, hash_after, generation, c.digest
         FROM artifacts AS a JOIN artifact_contents AS c ON c.seq = a.seq WHERE {which}"
    );
    let mut statement = conn.prepare_cached(&sql).sql(READING)?;
    let mut rows = statement.query(params).sql(READING)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql(READING)? {
        let text = |column| row.get::<_, String>(column).sql(READING);
        found.push(Artifact {
            seq: place(row.get(0).sql(READING)?),
            artifact_id: text(1)?,
            hash_before: text(2)?.parse()?,
            hash_after: text(3)?.parse()?,
            generation: text(4)?.parse()?,
            content_digest: text(5)?,
        });
    }
    Ok(found)
}

/// An artifact that has to be signed again, whose file has this SHA-256, signed or not.
///
/// # Errors
/// Those of the module.
pub fn marked(conn: &Connection, hash: &Hash256) -> Result<Option<Artifact>> {
    let which = "(hash_after = ?1 OR hash_before = ?1)
                 AND EXISTS (SELECT 1 FROM resign WHERE artifact = a.seq AND closed IS NULL)
                 ORDER BY hash_after = ?1 DESC, a.seq DESC LIMIT 1";
    Ok(artifacts(conn, which, [hash.to_string()])?.pop())
}

/// Whether the artifact of an entry has to be signed again.
///
/// # Errors
/// Those of the module.
pub fn is_marked(conn: &Connection, seq: u64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM resign WHERE artifact = ?1 AND closed IS NULL)";
    one(conn, sql, [sql_int(seq)], |row| row.get(0)).sql(READING)
}
