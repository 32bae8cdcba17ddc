//! Reading what rotations left: takeovers, failures, tests, links between roots, publications, reviews, alerts.

use super::{READING, one, place};
use crate::clock::{Time, parse as parse_time};
use crate::error::{Error, Result};
use crate::keys::Credential;
use crate::keys::rotation::Review;
use crate::ledger::Sql;
use crate::ledger::alerts::RotationFailed;
use crate::ledger::rows::parse;
use crate::model::{CorrelationId, GenerationId, Hash256, KeyName};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// A completed rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The outcome's entry.
    pub seq: u64,
    /// Who took over.
    pub generation: GenerationId,
    /// From whom.
    pub predecessor: Option<GenerationId>,
    /// When.
    pub time: Time,
}

/// A failed rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The alert's entry.
    pub seq: u64,
    /// The alert.
    pub alert: RotationFailed,
    /// The new certificate was found good since.
    pub is_validated: bool,
}

/// A certificate between two roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootLink {
    /// Whose public key is certified.
    pub subject: GenerationId,
    /// By whom.
    pub issuer: GenerationId,
    /// The certificate.
    pub credential: Credential,
}

fn time(text: &str) -> Result<Time> {
    parse_time(text).ok_or_else(|| Error::failed("register_broken", "a time in the register cannot be read"))
}

fn takeover(row: &Row<'_>) -> rusqlite::Result<(i64, String, Option<String>, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn read((seq, generation, predecessor, at): (i64, String, Option<String>, String)) -> Result<Takeover> {
    Ok(Takeover {
        seq: place(seq),
        generation: generation.parse()?,
        predecessor: predecessor.map(|old| old.parse()).transpose()?,
        time: time(&at)?,
    })
}

/// The completed rotations of a key, oldest first: its `KeyRotationLog` (B21).
///
/// # Errors
/// Those of the module.
pub fn takeovers(conn: &Connection, key: &KeyName) -> Result<Vec<Takeover>> {
    let sql = "SELECT seq, generation, predecessor, time FROM rotations WHERE key = ?1 ORDER BY seq";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map([key.as_str()], takeover).sql(READING)?;
    rows.map(|row| read(row.sql(READING)?)).collect()
}

/// The entries of all completed rotations, oldest first.
///
/// # Errors
/// Those of the module.
pub fn all_takeovers(conn: &Connection) -> Result<Vec<u64>> {
    let mut statement = conn.prepare_cached("SELECT seq FROM rotations ORDER BY seq").sql(READING)?;
    let rows = statement.query_map([], |row| Ok(place(row.get(0)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// The rotation of a key that was completed under a correlation id.
///
/// # Errors
/// Those of the module.
pub fn completed_as(conn: &Connection, id: &CorrelationId, key: &KeyName) -> Result<Option<Takeover>> {
    let sql = "SELECT seq, generation, predecessor, time FROM rotations
               WHERE correlation_id = ?1 AND key = ?2 ORDER BY seq LIMIT 1";
    let row = one(conn, sql, [id.as_str(), key.as_str()], takeover).optional().sql(READING)?;
    row.map(read).transpose()
}

/// The failed rotations of a key that was not rotated since, oldest first.
///
/// # Errors
/// Those of the module.
pub fn open_failures(conn: &Connection, key: &KeyName) -> Result<Vec<Failure>> {
    let sql = "SELECT seq, doc, validated FROM rotation_failures WHERE key = ?1 AND closed IS NULL ORDER BY seq";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let columns = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<i64>>(2)?));
    let rows = statement.query_map([key.as_str()], columns).sql(READING)?;
    rows.map(|row| {
        let (seq, doc, validated) = row.sql(READING)?;
        Ok(Failure { seq: place(seq), alert: parse(&doc)?, is_validated: validated.is_some() })
    })
    .collect()
}

/// The entry of the newest test that a generation passed under this certificate.
///
/// # Errors
/// Those of the module.
pub fn tested(conn: &Connection, id: &GenerationId, certificate: &str) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM key_tests WHERE generation = ?1 AND certificate = ?2";
    let seq = one(conn, sql, params![id.to_string(), certificate], |row| row.get(0)).optional();
    Ok(seq.sql(READING)?.map(place))
}

/// The certificates between the roots of a key.
///
/// # Errors
/// Those of the module.
pub fn root_links(conn: &Connection, key: &KeyName) -> Result<Vec<RootLink>> {
    let mut links = all_root_links(conn)?;
    links.retain(|link| link.subject.key == *key);
    Ok(links)
}

/// The certificates between the roots of every key.
///
/// # Errors
/// Those of the module.
pub fn all_root_links(conn: &Connection) -> Result<Vec<RootLink>> {
    let sql = "SELECT subject, issuer, doc FROM root_links ORDER BY subject, issuer";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let columns = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?));
    let rows = statement.query_map([], columns).sql(READING)?;
    rows.map(|row| {
        let (subject, issuer, doc) = row.sql(READING)?;
        Ok(RootLink { subject: subject.parse()?, issuer: issuer.parse()?, credential: parse(&doc)? })
    })
    .collect()
}

/// The hashes under which files were last published, by name within `published/`.
///
/// # Errors
/// Those of the module.
pub fn published_files(conn: &Connection, id: &GenerationId) -> Result<BTreeMap<String, Hash256>> {
    let sql = "SELECT name, sha256 FROM published_files WHERE generation = ?1";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let columns = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let rows = statement.query_map([id.to_string()], columns).sql(READING)?;
    rows.map(|row| {
        let (name, sha256) = row.sql(READING)?;
        Ok((name, sha256.parse()?))
    })
    .collect()
}

/// The last review of a generation.
///
/// # Errors
/// Those of the module.
pub fn review(conn: &Connection, id: &GenerationId) -> Result<Option<Review>> {
    let sql = "SELECT decision, keep_until FROM key_reviews WHERE generation = ?1";
    let columns = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
    let row = one(conn, sql, [id.to_string()], columns).optional().sql(READING)?;
    row.map(|(decision, until)| {
        Ok(Review { decision: decision.parse()?, keep_until: until.as_deref().map(time).transpose()? })
    })
    .transpose()
}

/// The thresholds, in days, for which an alert about a generation's expiry was given.
///
/// # Errors
/// Those of the module.
pub fn expiry_alerts(conn: &Connection, id: &GenerationId) -> Result<BTreeSet<u32>> {
    let mut statement = conn.prepare_cached("SELECT days FROM expiry_alerts WHERE generation = ?1").sql(READING)?;
    let rows = statement.query_map([id.to_string()], |row| row.get(0)).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}

/// The outcomes of acts of a type about a generation, newest first, whatever came of them; at most a thousand.
///
/// # Errors
/// Those of the module.
pub fn outcomes(conn: &Connection, entry_type: &str, id: &GenerationId) -> Result<Vec<u64>> {
    let sql = "SELECT outcome FROM intents WHERE type = ?1 AND generation = ?2 AND outcome IS NOT NULL
               ORDER BY outcome DESC LIMIT 1000";
    let mut statement = conn.prepare_cached(sql).sql(READING)?;
    let rows = statement.query_map([entry_type, &id.to_string()], |row| Ok(place(row.get(0)?))).sql(READING)?;
    rows.collect::<rusqlite::Result<_>>().sql(READING)
}
