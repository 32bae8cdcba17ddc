//! What has to be known before a key is destroyed.

use super::{READING, place};
use crate::clock::{Time, parse};
use crate::error::Result;
use crate::keys::{Credential, Generation};
use crate::ledger::{Reader, Sql};
use crate::model::GenerationId;
use crate::request::{Doomed, GenerateKey, Operation};
use rusqlite::{Connection, params};
use serde_json::Value;

/// What the gate has to know before a key is destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastFacts {
    /// The latest end of validity among the certificates that this CA issued, or may have.
    pub issued_until: Option<Time>,
    /// The pairs that were planned for the generation and that nobody ever saw.
    pub planned: Vec<Doomed>,
}

/// Reads both.
///
/// # Errors
/// Those of the module.
pub fn last_facts(conn: &Connection, generation: &Generation) -> Result<LastFacts> {
    Ok(LastFacts { issued_until: issued_until(conn, generation)?, planned: planned(conn, generation)? })
}

/// The request's parameters in an intent.
fn params_of(conn: &Connection, seq: i64) -> Result<Value> {
    let entry = Reader::new(conn).entry(place(seq))?;
    Ok(entry.body.pointer("/request/params").cloned().unwrap_or_default())
}

/// Every serial number counts that was ever reserved, whatever became of it: nobody can say that it is on no certificate.
/// One whose end is not known ends with the CA itself, which nothing that it issued outlives.
fn issued_until(conn: &Connection, ca: &Generation) -> Result<Option<Time>> {
    let mut statement = conn.prepare("SELECT seq FROM serials WHERE issuer = ?1 ORDER BY seq").sql(READING)?;
    let seqs = statement.query_map([ca.id.to_string()], |row| row.get::<_, i64>(0)).sql(READING)?;
    let own_end = ca.credential().map(|credential: &Credential| credential.validity().1);
    let mut latest = None;
    for seq in seqs {
        let params = params_of(conn, seq.sql(READING)?)?;
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        // A root's certificate of itself is on no list.
        if text("generation") == Some(ca.id.to_string().as_str()) {
            continue;
        }
        let end = text("not_after").and_then(parse).or(own_end).unwrap_or(Time::MAX_UTC);
        latest = latest.max(Some(end));
    }
    Ok(latest)
}

/// The pairs of intents to make the generation, none of which was closed as done.
fn planned(conn: &Connection, generation: &Generation) -> Result<Vec<Doomed>> {
    if !generation.identities.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT seq FROM intents WHERE type = ?1 AND generation = ?2 ORDER BY seq";
    let mut statement = conn.prepare(sql).sql(READING)?;
    let wanted = params![GenerateKey::ENTRY, generation.id.to_string()];
    let seqs = statement.query_map(wanted, |row| row.get::<_, i64>(0)).sql(READING)?;
    let mut pairs = Vec::new();
    for seq in seqs {
        let params: GenerateKey = super::super::projection::parse(&params_of(conn, seq.sql(READING)?)?.to_string())?;
        let (hsm, token_serial, cka_id) = (params.hsm, params.token_serial, params.cka_id);
        pairs.push(Doomed { hsm, token_serial, cka_id, spki_sha256: None });
    }
    Ok(pairs)
}

/// The entries that closed acts of a type, oldest first, whatever came of them.
///
/// # Errors
/// Those of the module.
pub fn outcomes(conn: &Connection, entry_type: &str) -> Result<Vec<u64>> {
    let sql = "SELECT outcome FROM intents WHERE type = ?1 AND outcome IS NOT NULL ORDER BY outcome";
    let mut statement = conn.prepare(sql).sql(READING)?;
    let seqs = statement.query_map([entry_type], |row| row.get::<_, i64>(0)).sql(READING)?;
    seqs.map(|seq| Ok(place(seq.sql(READING)?))).collect()
}

/// Intents about a generation without an outcome, by their entries.
///
/// # Errors
/// Those of the module.
pub fn open_about(conn: &Connection, id: &GenerationId) -> Result<Vec<u64>> {
    let sql = "SELECT seq FROM intents WHERE generation = ?1 AND outcome IS NULL ORDER BY seq";
    let mut statement = conn.prepare(sql).sql(READING)?;
    let seqs = statement.query_map([id.to_string()], |row| row.get::<_, i64>(0)).sql(READING)?;
    seqs.map(|seq| Ok(place(seq.sql(READING)?))).collect()
}
