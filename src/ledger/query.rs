//! Reading the projections: what the gate decides on, what commands show.
//!
//! Each takes any connection to the ledger: that of an open ledger, or a writer's, which then sees the entries
//! appended so far. Nothing here is proof; whether the tables follow from the leaves is
//! [verification's](super::verify::verify()) to say. All give `register_broken` for a record that cannot be read, and
//! database errors as [`Sql`] says.

mod revocation;

pub use revocation::{
    CrlEntry, ResignRequired, crl_entries, crl_facts, evidence_outcomes, is_forgettable, issuer, last_crl_number,
    new_entries, outcomes_about, published_crl, resign_count, resign_mark, resign_required, revocation, revocations,
    unlisted_generations, untold_marks,
};

use super::genesis::Genesis;
use super::rows::{first, parse};
use super::{Sql, sql_int};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::keys::{Generation, PublishedKeyring, TokenRecord};
use crate::model::{CorrelationId, GenerationId, Hash256, HsmName, KeyName, SpkiHash};
use crate::request::{Covered, Kind};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::Deserialize;
use std::collections::BTreeMap;

mod authority;
mod grants;
mod life;
mod people;
pub mod rotation;

pub(super) use authority::consumed_bytes;
pub use authority::{
    Consumed, FollowUp, broken_glass, consumed, follow_ups, has_follow_up, seen_sizes, steps, touched,
};
pub use grants::{Grant, grant, grants};
pub use life::{LastFacts, all_outcomes, last_facts, open_about};
pub use people::{Suspension, roster, suspended, suspended_keys};
mod cab;

pub use cab::{
    Artifact, artifact, artifacts_like, artifacts_with, cab_paper, cab_uses, cab_withdrawn, is_marked, marked,
};

const READING: &str = "reading the register";

/// SQLite's integers are signed; ours are not.
fn place(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The first row. The sentence is kept ready, since most come again and again.
fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    conn.prepare_cached(sql)?.query_row(params, read)
}

/// The body of entry 0.
///
/// # Errors
/// `no_genesis` if the ledger has no entries; those of the module.
pub fn genesis(conn: &Connection) -> Result<Genesis> {
    let doc: Option<String> =
        one(conn, "SELECT doc FROM genesis WHERE seq = 0", [], |row| row.get(0)).optional().sql(READING)?;
    parse(&doc.ok_or_else(|| Error::failed("no_genesis", "the ledger has no genesis entry"))?)
}

/// Settings with the entry that adopted them.
#[derive(Debug)]
pub struct Adopted {
    /// The entry: 0 for the genesis, else the outcome of an adoption.
    pub seq: u64,
    /// SHA-256 of their canonical JSON.
    pub sha256: Hash256,
    /// What they say.
    pub settings: Settings,
}

/// The settings in force: those adopted last.
///
/// # Errors
/// `no_settings` if the ledger has no entries, `bad_settings` if this program cannot read them; those of the module.
pub fn settings(conn: &Connection) -> Result<Adopted> {
    let row: Option<(i64, String, String)> = conn
        .query_row("SELECT seq, sha256, doc FROM settings ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .sql(READING)?;
    let (seq, sha256, doc) = row.ok_or_else(|| Error::failed("no_settings", "the ledger has no adopted settings"))?;
    Ok(Adopted { seq: place(seq), sha256: sha256.parse()?, settings: Settings::from_json(&doc)? })
}

/// The tokens in force, each with its module, as they were adopted. Names that are not configured any more are among them.
///
/// # Errors
/// They cannot be read.
pub fn tokens(conn: &Connection) -> Result<BTreeMap<HsmName, TokenRecord>> {
    Ok(token_records(conn)?.into_iter().map(|(hsm, (_, record))| (hsm, record)).collect())
}

/// As [`tokens`], each with the entry that recorded it.
///
/// # Errors
/// They cannot be read.
pub fn token_records(conn: &Connection) -> Result<BTreeMap<HsmName, (u64, TokenRecord)>> {
    let sql = "SELECT hsm, seq, doc FROM tokens AS t WHERE seq = (SELECT max(seq) FROM tokens WHERE hsm = t.hsm)";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, place(row.get(1)?), row.get::<_, String>(2)?));
    let rows = statement.query_map([], row).sql(READING)?;
    rows.map(|row| {
        let (hsm, seq, doc) = row.sql(READING)?;
        Ok((hsm.parse()?, (seq, parse(&doc)?)))
    })
    .collect()
}

/// One generation of a key, if the register has it.
///
/// # Errors
/// Those of the module.
pub fn generation(conn: &Connection, id: &GenerationId) -> Result<Option<Generation>> {
    let sql = "SELECT doc FROM generations WHERE key = ?1 AND number = ?2";
    let doc: Option<String> = first(conn, sql, params![id.key.as_str(), id.number])?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// The active generation of a key; there is at most one.
///
/// # Errors
/// Those of the module.
pub fn active(conn: &Connection, key: &KeyName) -> Result<Option<Generation>> {
    let sql = "SELECT doc FROM generations WHERE key = ?1 AND state = 'active'";
    let doc: Option<String> = one(conn, sql, [key.as_str()], |row| row.get(0)).optional().sql(READING)?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// Every generation of every key, by name and number.
///
/// # Errors
/// Those of the module.
pub fn generations(conn: &Connection) -> Result<Vec<Generation>> {
    let mut statement = conn.prepare_cached("SELECT doc FROM generations ORDER BY key, number").sql(READING)?;
    let docs = statement.query_map([], |row| row.get::<_, String>(0)).sql(READING)?;
    docs.map(|doc| parse(&doc.sql(READING)?)).collect()
}

/// The number that the key's next generation gets: 1, or one more than the newest has, planned ones included.
///
/// # Errors
/// `too_many_generations` after number 2^32 - 1; those of the module.
pub fn next_number(conn: &Connection, key: &KeyName) -> Result<u32> {
    let sql = "SELECT coalesce(max(number), 0) FROM generations WHERE key = ?1";
    let newest: u32 = one(conn, sql, [key.as_str()], |row| row.get(0)).sql(READING)?;
    newest.checked_add(1).ok_or_else(|| Error::failed("too_many_generations", format!("{key} has no more numbers")))
}

/// The generation that has this public key, whatever has become of it.
///
/// # Errors
/// Those of the module.
pub fn generation_by_spki(conn: &Connection, spki: &SpkiHash) -> Result<Option<Generation>> {
    let sql = "SELECT generation FROM public_keys WHERE spki_sha256 = ?1";
    let id: Option<String> = one(conn, sql, [spki.to_string()], |row| row.get(0)).optional().sql(READING)?;
    id.map(|id| generation(conn, &id.parse()?)).transpose().map(Option::flatten)
}

/// The keyring of an APT key as it was last published.
pub fn keyring(conn: &Connection, key: &KeyName) -> Result<Option<PublishedKeyring>> {
    let mut statement = conn
        .prepare_cached("SELECT sha256, fingerprint, since FROM keyrings WHERE key = ?1 ORDER BY fingerprint")
        .sql(READING)?;
    let text = |row: &rusqlite::Row<'_>, column| row.get::<_, String>(column);
    let rows = statement.query_map([key.as_str()], |row| Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?)));
    let mut keyring: Option<PublishedKeyring> = None;
    for row in rows.sql(READING)? {
        let (sha256, fingerprint, since) = row.sql(READING)?;
        let broken = || Error::failed("register_broken", "the time of a keyring's publication cannot be read");
        let since = crate::clock::parse(&since).ok_or_else(broken)?;
        let sha256 = sha256.parse()?;
        let known = keyring.get_or_insert_with(|| PublishedKeyring { sha256, since: Default::default() });
        known.since.insert(fingerprint, since);
    }
    Ok(keyring)
}

/// An intent without an outcome.
#[derive(Clone, Debug)]
pub struct OpenIntent {
    /// Its entry.
    pub seq: u64,
    /// Which operation.
    pub kind: Kind,
    /// What it is about: a file's SHA-256 in lower-case hex, or a generation.
    pub object: String,
    /// The key generation it acts with or on, as in `windows/3`.
    pub generation: Option<String>,
    /// The configured name of the token that an orphan of it blocks; `None` for operations that block none.
    pub blocks: Option<HsmName>,
    /// The lock of the process that owns it; once that lock is free, the intent is an orphan.
    pub process: String,
}

/// Intents without an outcome, oldest first; at most ten thousand of them.
///
/// # Errors
/// Those of the module.
pub fn open_intents(conn: &Connection) -> Result<Vec<OpenIntent>> {
    let sql = "SELECT seq, type, object, generation, process, request FROM intents
               WHERE outcome IS NULL ORDER BY seq LIMIT 10000";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement
        .query_map([], |row| {
            let words = (row.get::<_, String>(1)?, row.get::<_, String>(5)?);
            Ok((place(row.get(0)?), row.get(2)?, row.get(3)?, row.get(4)?, words))
        })
        .sql(READING)?;
    rows.map(|row| {
        let (seq, object, generation, process, (entry_type, request)) = row.sql(READING)?;
        let broken = || Error::failed("register_broken", format!("the intent {seq} is about an unknown {entry_type}"));
        let kind = Kind::of_entry(&entry_type).ok_or_else(broken)?;
        Ok(OpenIntent { seq, kind, object, generation, blocks: blocked_token(kind, &request)?, process })
    })
    .collect()
}

fn blocked_token(kind: Kind, request: &str) -> Result<Option<HsmName>> {
    #[derive(Deserialize)]
    struct Signatures {
        signatures: Vec<Covered>,
    }
    let Some(role) = kind.blocks() else { return Ok(None) };
    let asked: Signatures = parse(request)?;
    Ok(asked.signatures.into_iter().find(|covered| covered.role == role).map(|covered| covered.hsm))
}

/// Whether the intent in an entry has no outcome yet.
///
/// # Errors
/// Those of the module.
pub fn is_open(conn: &Connection, seq: u64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM intents WHERE seq = ?1 AND outcome IS NULL)";
    one(conn, sql, [sql_int(seq)], |row| row.get(0)).sql(READING)
}

/// How many intents of a type there were about a generation, whatever became of them.
pub fn count_intents(conn: &Connection, entry_type: &str, id: &GenerationId) -> Result<u64> {
    let sql = "SELECT count(*) FROM intents WHERE type = ?1 AND generation = ?2";
    Ok(place(one(conn, sql, [entry_type, &id.to_string()], |row| row.get(0)).sql(READING)?))
}

/// Whether anything was signed under a correlation id.
pub fn knows_correlation(conn: &Connection, id: &CorrelationId, operation: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM artifacts WHERE correlation_id = ?1 AND operation = ?2)";
    one(conn, sql, params![id.as_str(), operation], |row| row.get(0)).sql(READING)
}

/// The entries of the outcomes that signed this file under a correlation id, found by the SHA-256 of the whole file
/// before or after signing, oldest first. Only entries in front of `limit` count; at most a thousand.
///
/// # Errors
/// Those of the module.
pub fn all_signed_as(
    conn: &Connection,
    id: &CorrelationId,
    operation: &str,
    hash: &Hash256,
    limit: u64,
) -> Result<Vec<u64>> {
    let sql = "SELECT seq FROM artifacts WHERE correlation_id = ?1 AND operation = ?2
               AND (hash_before = ?3 OR hash_after = ?3) AND seq < ?4 ORDER BY seq LIMIT 1000";
    let wanted = params![id.as_str(), operation, hash.to_string(), sql_int(limit)];
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map(wanted, |row| Ok(place(row.get(0)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// The newest entry that produced a file with this SHA-256.
///
/// # Errors
/// Those of the module.
pub fn signed_into(conn: &Connection, hash: &Hash256) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM artifacts WHERE hash_after = ?1 ORDER BY seq DESC LIMIT 1";
    Ok(one(conn, sql, [hash.to_string()], |row| row.get(0)).optional().sql(READING)?.map(place))
}

/// The newest entry of a signature that an authority timestamped.
///
/// # Errors
/// Those of the module.
pub fn last_timestamped(conn: &Connection) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM artifacts WHERE timestamped = 1 ORDER BY seq DESC LIMIT 1";
    Ok(one(conn, sql, [], |row| row.get(0)).optional().sql(READING)?.map(place))
}

/// The entries of all outcomes that signed something, oldest first.
pub fn signed_entries(conn: &Connection) -> Result<Vec<u64>> {
    let mut statement = conn.prepare_cached("SELECT seq FROM artifacts ORDER BY seq").sql(READING)?;
    let rows = statement.query_map([], |row| Ok(place(row.get(0)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// How many artifacts each generation signed and put in place, by generation as text. Those that signed none are
/// not listed.
///
/// # Errors
/// Those of the module.
pub fn signed_counts(conn: &Connection) -> Result<Vec<(String, u64)>> {
    let mut statement = conn
        .prepare_cached("SELECT generation, count(*) FROM artifacts GROUP BY generation ORDER BY generation")
        .sql(READING)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, place(row.get(1)?)))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}
