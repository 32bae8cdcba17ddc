//! Reading what was revoked, what is on lists, and what has to be signed again.

use super::{READING, one, place};
use crate::clock::{self, Time, rfc3339};
use crate::error::{Error, Result};
use crate::keys::{PublishedCrl, Revocation, Terms, retention_cutoff};
use crate::ledger::Sql;
use crate::model::{GenerationId, Hash256};
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, Row, params};
use std::str::FromStr;

fn rows<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let mut rows = statement.query(params).sql(READING)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql(READING)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T> {
    row.get(column).sql(READING)
}

fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    get(row, column).map(place)
}

fn parsed<T: FromStr<Err = Error>>(row: &Row<'_>, column: usize) -> Result<T> {
    get::<String>(row, column)?.parse()
}

fn time(row: &Row<'_>, column: usize) -> Result<Time> {
    let broken = || Error::failed("register_broken", "a time in the register cannot be read");
    clock::parse(&get::<String>(row, column)?).ok_or_else(broken)
}

fn maybe<T>(row: &Row<'_>, column: usize, read: impl Fn(&Row<'_>, usize) -> Result<T>) -> Result<Option<T>> {
    let is_null = row.get_ref(column).sql(READING)? == ValueRef::Null;
    (!is_null).then(|| read(row, column)).transpose()
}

/// Reason and dates, in three columns from this one on.
fn terms(row: &Row<'_>, column: usize) -> Result<Terms> {
    Ok(Terms {
        reason: parsed(row, column)?,
        revocation_date: time(row, column + 1)?,
        invalidity_date: maybe(row, column + 2, time)?,
    })
}

/// What was decided about a generation, if it is revoked.
///
/// # Errors
/// Those of the module.
pub fn revocation(conn: &Connection, id: &GenerationId) -> Result<Option<Revocation>> {
    Ok(read_revocations(conn, "WHERE generation = ?1", [id.to_string()])?.pop())
}

/// Every revocation, oldest first.
///
/// # Errors
/// Those of the module.
pub fn revocations(conn: &Connection) -> Result<Vec<Revocation>> {
    read_revocations(conn, "ORDER BY seq", [])
}

fn read_revocations(conn: &Connection, which: &str, params: impl rusqlite::Params) -> Result<Vec<Revocation>> {
    let sql = format!(
        "SELECT generation, reason, revocation_date, invalidity_date, issuer, seq, decided, told FROM revocations {which}"
    );
    rows(conn, &sql, params, |row| {
        Ok(Revocation {
            generation: parsed(row, 0)?,
            terms: terms(row, 1)?,
            issuer: maybe(row, 4, parsed)?,
            seq: number(row, 5)?,
            decided: time(row, 6)?,
            told: maybe(row, 7, number)?,
        })
    })
}

/// A serial number that belongs on a CA's list, with what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlEntry {
    /// Lower-case hex.
    pub serial: String,
    /// Whose certificate.
    pub generation: GenerationId,
    /// What is said.
    pub terms: Terms,
}

/// What is on a CA's list of this time: everything revoked whose retention has not passed.
///
/// # Errors
/// Those of the module.
pub fn crl_entries(conn: &Connection, issuer: &GenerationId, this_update: Time) -> Result<Vec<CrlEntry>> {
    let sql = "SELECT e.serial, e.generation, r.reason, r.revocation_date, r.invalidity_date
               FROM crl_entries AS e JOIN revocations AS r ON r.generation = e.generation
               WHERE e.issuer = ?1 AND (e.expires IS NULL OR e.expires >= ?2) ORDER BY e.serial";
    let cutoff = rfc3339(retention_cutoff(this_update));
    rows(conn, sql, params![issuer.to_string(), cutoff], |row| {
        Ok(CrlEntry { serial: get(row, 0)?, generation: parsed(row, 1)?, terms: terms(row, 2)? })
    })
}

/// The serial numbers that a generation's revocation puts on a CA's list of this time: those that may be on a
/// certificate of it.
///
/// # Errors
/// Those of the module.
pub fn new_entries(
    conn: &Connection,
    issuer: &GenerationId,
    generation: &GenerationId,
    this_update: Time,
) -> Result<Vec<String>> {
    let sql = "SELECT serials.serial FROM serials JOIN intents ON intents.seq = serials.seq
               WHERE serials.issuer = ?1 AND intents.generation = ?2 AND intents.result IS NOT 'failed'
               AND (serials.expires IS NULL OR serials.expires >= ?3)
               AND NOT EXISTS (SELECT 1 FROM crl_entries AS e WHERE e.issuer = ?1 AND e.serial = serials.serial)
               ORDER BY serials.serial";
    if issuer == generation {
        return Ok(Vec::new());
    }
    let cutoff = rfc3339(retention_cutoff(this_update));
    rows(conn, sql, params![issuer.to_string(), generation.to_string(), cutoff], |row| get(row, 0))
}

/// Whether the retention of a serial number has passed, so that a list of this time may leave it out. One that the
/// ledger does not know is never left out.
///
/// # Errors
/// Those of the module.
pub fn is_forgettable(conn: &Connection, issuer: &GenerationId, serial: &str, this_update: Time) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM crl_entries WHERE issuer = ?1 AND serial = ?2 AND expires < ?3)";
    let cutoff = rfc3339(retention_cutoff(this_update));
    one(conn, sql, params![issuer.to_string(), serial, cutoff], |row| row.get(0)).sql(READING)
}

/// The generation that certified this one; itself for a root, `None` if somebody outside did.
///
/// # Errors
/// Those of the module.
pub fn issuer(conn: &Connection, id: &GenerationId) -> Result<Option<GenerationId>> {
    Ok(rows(conn, "SELECT issuer FROM issuers WHERE generation = ?1", [id.to_string()], |row| parsed(row, 0))?.pop())
}

/// CAs whose list does not yet say what it should, each with the generations it leaves out. A CA that is revoked or
/// gone has no more lists.
///
/// # Errors
/// Those of the module.
pub fn unlisted_generations(conn: &Connection) -> Result<Vec<(GenerationId, GenerationId)>> {
    let sql = "SELECT DISTINCT e.issuer, e.generation FROM crl_entries AS e WHERE e.listed IS NULL
               AND NOT EXISTS (SELECT 1 FROM generations AS g WHERE g.key || '/' || g.number = e.issuer
                   AND g.state IN ('revoked', 'destroyed'))
               ORDER BY e.issuer, e.generation";
    rows(conn, sql, [], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))
}

/// The greatest number that a list of this CA ever had, published or not; 0 if there was none.
///
/// # Errors
/// Those of the module.
pub fn last_crl_number(conn: &Connection, issuer: &GenerationId) -> Result<u64> {
    let sql = "SELECT coalesce(max(number), 0) FROM crls WHERE issuer = ?1";
    Ok(place(one(conn, sql, [issuer.to_string()], |row| row.get(0)).sql(READING)?))
}

/// What the gate asks of a CA's lists: the last number, and how many entries the list of this time has.
///
/// # Errors
/// Those of the module.
pub fn crl_facts(conn: &Connection, issuer: &GenerationId, this_update: Time) -> Result<(u64, u64)> {
    let sql = "SELECT count(*) FROM crl_entries WHERE issuer = ?1 AND (expires IS NULL OR expires >= ?2)";
    let cutoff = rfc3339(retention_cutoff(this_update));
    let entries = one(conn, sql, params![issuer.to_string(), cutoff], |row| row.get(0)).sql(READING)?;
    Ok((last_crl_number(conn, issuer)?, place(entries)))
}

/// A CA's newest list that was published.
///
/// # Errors
/// Those of the module.
pub fn published_crl(conn: &Connection, issuer: &GenerationId) -> Result<Option<PublishedCrl>> {
    let sql = "SELECT number, outcome, sha256, this_update, next_update, entries, served FROM crls
               WHERE issuer = ?1 AND outcome IS NOT NULL ORDER BY number DESC LIMIT 1";
    let newest = rows(conn, sql, [issuer.to_string()], |row| {
        Ok(PublishedCrl {
            number: number(row, 0)?,
            seq: number(row, 1)?,
            sha256: parsed(row, 2)?,
            this_update: time(row, 3)?,
            next_update: time(row, 4)?,
            entries: number(row, 5)?,
            served: maybe(row, 6, number)?,
        })
    })?;
    Ok(newest.into_iter().next())
}

/// An artifact that has to be signed again (B13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResignRequired {
    /// The entry that signed it.
    pub artifact: u64,
    /// Its identifier.
    pub artifact_id: String,
    /// SHA-256 of the signed file.
    pub sha256: Hash256,
    /// The key that signed it.
    pub signed_by: GenerationId,
    /// When it was signed.
    pub signed_at: Time,
    /// The generation whose revocation asks for it.
    pub because: GenerationId,
    /// The entry that marked it.
    pub seq: u64,
}

/// Every artifact that has to be signed again and was not yet, oldest first.
///
/// # Errors
/// Those of the module.
pub fn resign_required(conn: &Connection) -> Result<Vec<ResignRequired>> {
    read_marks(conn, "WHERE m.closed IS NULL ORDER BY m.artifact", [])
}

/// The open mark of a file with this SHA-256, if it has one.
///
/// # Errors
/// Those of the module.
pub fn resign_mark(conn: &Connection, sha256: &Hash256) -> Result<Option<ResignRequired>> {
    let which = "WHERE m.closed IS NULL AND a.hash_after = ?1 ORDER BY m.artifact DESC LIMIT 1";
    Ok(read_marks(conn, which, [sha256.to_string()])?.pop())
}

/// At most `limit` open marks that the outside was not told of, all of one generation, oldest first.
///
/// # Errors
/// Those of the module.
pub fn untold_marks(conn: &Connection, limit: u32) -> Result<Vec<ResignRequired>> {
    let which = "WHERE m.told IS NULL AND m.closed IS NULL AND m.generation =
                 (SELECT generation FROM resign WHERE told IS NULL AND closed IS NULL ORDER BY artifact LIMIT 1)
                 ORDER BY m.artifact LIMIT ?1";
    read_marks(conn, which, [limit])
}

fn read_marks(conn: &Connection, which: &str, params: impl rusqlite::Params) -> Result<Vec<ResignRequired>> {
    let sql = format!(
        "SELECT m.artifact, a.artifact_id, a.hash_after, a.generation, a.time, m.generation, m.seq
         FROM resign AS m JOIN artifacts AS a ON a.seq = m.artifact {which}"
    );
    rows(conn, &sql, params, |row| {
        Ok(ResignRequired {
            artifact: number(row, 0)?,
            artifact_id: get(row, 1)?,
            sha256: parsed(row, 2)?,
            signed_by: parsed(row, 3)?,
            signed_at: time(row, 4)?,
            because: parsed(row, 5)?,
            seq: number(row, 6)?,
        })
    })
}

/// How many artifacts a generation's revocation marked, whatever became of them.
///
/// # Errors
/// Those of the module.
pub fn resign_count(conn: &Connection, because: &GenerationId) -> Result<u64> {
    let sql = "SELECT count(*) FROM resign WHERE generation = ?1";
    Ok(place(one(conn, sql, [because.to_string()], |row| row.get(0)).sql(READING)?))
}

/// The outcomes that went well of one kind of act on a generation, oldest first.
///
/// # Errors
/// Those of the module.
pub fn outcomes_about(conn: &Connection, entry_type: &str, id: &GenerationId) -> Result<Vec<u64>> {
    let sql = "SELECT outcome FROM intents WHERE type = ?1 AND generation = ?2 AND result = 'ok' ORDER BY outcome";
    rows(conn, sql, params![entry_type, id.to_string()], |row| number(row, 0))
}

/// The outcomes that went well of acts of these types, oldest first.
///
/// # Errors
/// Those of the module.
pub fn evidence_outcomes(conn: &Connection, types: &[&str]) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry_type in types {
        let sql = "SELECT outcome FROM intents WHERE type = ?1 AND result = 'ok'";
        all.extend(rows(conn, sql, [entry_type], |row| number(row, 0))?);
    }
    all.sort_unstable();
    Ok(all)
}
