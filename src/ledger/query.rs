//! Reading the projections.

use super::Sql;
use super::genesis::Genesis;
use super::projection::{load, parse};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::keys::{Generation, PublishedKeyring};
use crate::model::{CorrelationId, GenerationId, Hash256, KeyName, SpkiHash};
use rusqlite::{Connection, OptionalExtension, params};

const READING: &str = "reading the register";

/// SQLite's integers are signed; ours are not.
fn place(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Entry 0.
///
/// # Errors
/// The ledger has none.
pub fn genesis(conn: &Connection) -> Result<Genesis> {
    let doc: Option<String> =
        conn.query_row("SELECT doc FROM genesis WHERE seq = 0", [], |row| row.get(0)).optional().sql(READING)?;
    parse(&doc.ok_or_else(|| Error::failed("no_genesis", "the ledger has no genesis entry"))?)
}

/// Settings with the entry that adopted them.
#[derive(Debug)]
pub struct Adopted {
    /// The entry.
    pub seq: u64,
    /// Their SHA-256.
    pub sha256: Hash256,
    /// What they say.
    pub settings: Settings,
}

/// The settings in force.
///
/// # Errors
/// There are none, or they cannot be read.
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

/// One generation of a key.
pub fn generation(conn: &Connection, id: &GenerationId) -> Result<Option<Generation>> {
    load(conn, id)
}

/// The active generation of a key.
pub fn active(conn: &Connection, key: &KeyName) -> Result<Option<Generation>> {
    let sql = "SELECT doc FROM generations WHERE key = ?1 AND state = 'active'";
    let doc: Option<String> = conn.query_row(sql, [key.as_str()], |row| row.get(0)).optional().sql(READING)?;
    doc.map(|doc| parse(&doc)).transpose()
}

/// Every generation of every key, by name and number.
pub fn generations(conn: &Connection) -> Result<Vec<Generation>> {
    let mut statement = conn.prepare("SELECT doc FROM generations ORDER BY key, number").sql(READING)?;
    let docs = statement.query_map([], |row| row.get::<_, String>(0)).sql(READING)?;
    docs.map(|doc| parse(&doc.sql(READING)?)).collect()
}

/// The number that the key's next generation gets.
pub fn next_number(conn: &Connection, key: &KeyName) -> Result<u32> {
    let sql = "SELECT coalesce(max(number), 0) FROM generations WHERE key = ?1";
    let newest: u32 = conn.query_row(sql, [key.as_str()], |row| row.get(0)).sql(READING)?;
    newest.checked_add(1).ok_or_else(|| Error::failed("too_many_generations", format!("{key} has no more numbers")))
}

/// The generation that has this public key.
pub fn generation_by_spki(conn: &Connection, spki: &SpkiHash) -> Result<Option<Generation>> {
    let sql = "SELECT generation FROM public_keys WHERE spki_sha256 = ?1";
    let id: Option<String> = conn.query_row(sql, [spki.to_string()], |row| row.get(0)).optional().sql(READING)?;
    id.map(|id| load(conn, &id.parse()?)).transpose().map(Option::flatten)
}

/// The keyring of an APT key as it was last published.
pub fn keyring(conn: &Connection, key: &KeyName) -> Result<Option<PublishedKeyring>> {
    let mut statement = conn
        .prepare("SELECT sha256, fingerprint, since FROM keyrings WHERE key = ?1 ORDER BY fingerprint")
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
    /// Entry type.
    pub entry_type: String,
    /// What it is about.
    pub object: String,
    /// The key generation, if any.
    pub generation: Option<String>,
    /// The token it makes a key on, if any.
    pub hsm: Option<String>,
    /// Lock of the owning process.
    pub process: String,
}

/// Intents without an outcome, oldest first.
pub fn open_intents(conn: &Connection) -> Result<Vec<OpenIntent>> {
    let mut statement = conn.prepare(
        "SELECT seq, type, object, generation, hsm, process FROM intents WHERE outcome IS NULL ORDER BY seq LIMIT 10000",
    ).sql(READING)?;
    let rows = statement
        .query_map([], |row| {
            Ok(OpenIntent {
                seq: place(row.get(0)?),
                entry_type: row.get(1)?,
                object: row.get(2)?,
                generation: row.get(3)?,
                hsm: row.get(4)?,
                process: row.get(5)?,
            })
        })
        .sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// Whether anything was signed under a correlation id.
pub fn knows_correlation(conn: &Connection, id: &CorrelationId, operation: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM artifacts WHERE correlation_id = ?1 AND operation = ?2)";
    conn.query_row(sql, params![id.as_str(), operation], |row| row.get(0)).sql(READING)
}

/// The entry of the outcome that signed this file under a correlation id, found by its hash before or after.
pub fn signed_as(conn: &Connection, id: &CorrelationId, operation: &str, hash: &Hash256) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM artifacts WHERE correlation_id = ?1 AND operation = ?2
               AND (hash_before = ?3 OR hash_after = ?3) ORDER BY seq LIMIT 1";
    let seq = conn.query_row(sql, params![id.as_str(), operation, hash.to_string()], |row| row.get(0)).optional();
    Ok(seq.sql(READING)?.map(place))
}

/// The newest entry that produced a file with this hash.
pub fn signed_into(conn: &Connection, hash: &Hash256) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM artifacts WHERE hash_after = ?1 ORDER BY seq DESC LIMIT 1";
    Ok(conn.query_row(sql, [hash.to_string()], |row| row.get(0)).optional().sql(READING)?.map(place))
}

/// How many artifacts each generation signed.
pub fn signed_counts(conn: &Connection) -> Result<Vec<(String, u64)>> {
    let mut statement = conn
        .prepare("SELECT generation, count(*) FROM artifacts GROUP BY generation ORDER BY generation")
        .sql(READING)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, place(row.get(1)?)))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

impl super::Entry {
    /// The RFC 6962 hash of its leaf.
    ///
    /// # Errors
    /// As [`super::Entry::to_bytes`].
    pub fn leaf_hash(&self) -> Result<Hash256> {
        Ok(crate::crypto::merkle::leaf_hash(&self.to_bytes()?))
    }
}
