//! What the entries of rotations do to the register and to the tables of `rotation.sql`.

use super::body::{field, read};
use super::register::{at_step, find, store};
use crate::error::{Error, Result};
use crate::keys::{Credential, State};
use crate::ledger::alerts::{CertificateExpiry, RotationFailed};
use crate::ledger::rows::{canonical, execute, first};
use crate::ledger::{Entry, query, sql_int};
use crate::model::GenerationId;
use crate::request::{ActivateKey, LinkRoots, PublishMetadata, Request, ReviewDecision, ReviewKey, TestKey};
use rusqlite::{Connection, params};
use serde_json::Value;

/// What an entry that is neither intent nor outcome does.
pub(super) fn event(conn: &Connection, entry: &Entry) -> Result<()> {
    match entry.entry_type.as_str() {
        RotationFailed::ENTRY => failed(conn, entry),
        CertificateExpiry::ENTRY => expiring(conn, entry),
        _ => Ok(()),
    }
}

/// Both sides of a takeover move in one step.
pub(super) fn activated(conn: &Connection, entry: &Entry, request: &Request<ActivateKey>) -> Result<()> {
    let params = &request.params;
    let new = at_step(conn, &params.generation, State::Active)?;
    let old = params.predecessor.as_ref().map(|old| at_step(conn, old, State::Retiring)).transpose()?;
    // Whoever is active steps back, and nobody else.
    let active = query::active(conn, &params.generation.key)?.map(|active| active.id);
    if active != params.predecessor {
        let name = |id: Option<&GenerationId>| id.map_or("nobody".to_owned(), ToString::to_string);
        let message = format!("{} is active, not {}", name(active.as_ref()), name(params.predecessor.as_ref()));
        return Err(Error::failed("one_active", message));
    }
    if let Some(old) = &old {
        store(conn, old)?;
    }
    store(conn, &new)?;
    let key = params.generation.key.as_str();
    execute(
        conn,
        "INSERT INTO rotations (seq, key, generation, predecessor, correlation_id, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            sql_int(entry.seq),
            key,
            params.generation.to_string(),
            params.predecessor.as_ref().map(ToString::to_string),
            request.correlation_id.as_str(),
            crate::clock::rfc3339(entry.time),
        ],
    )?;
    let seq = sql_int(entry.seq);
    let sql = "UPDATE rotation_failures SET closed = ?1, validated = coalesce(validated, ?1)
               WHERE key = ?2 AND closed IS NULL";
    execute(conn, sql, params![seq, key])?;
    Ok(())
}

/// A test that held validates the certificate, so that what a failed rotation stopped may go on.
pub(super) fn tested(conn: &Connection, entry: &Entry, request: &Request<TestKey>) -> Result<()> {
    let TestKey { generation, certificate, .. } = &request.params;
    find(conn, generation)?;
    let sql = "INSERT INTO key_tests (generation, certificate, seq) VALUES (?1, ?2, ?3)
               ON CONFLICT (generation, certificate) DO UPDATE SET seq = excluded.seq";
    execute(conn, sql, params![generation.to_string(), certificate, sql_int(entry.seq)])?;
    let sql = "UPDATE rotation_failures SET validated = ?1 WHERE key = ?2 AND validated IS NULL";
    execute(conn, sql, params![sql_int(entry.seq), generation.key.as_str()])?;
    Ok(())
}

pub(super) fn linked(conn: &Connection, entry: &Entry, request: &Request<LinkRoots>, done: &Value) -> Result<()> {
    let LinkRoots { generation: subject, issuer, .. } = &request.params;
    let credential: Credential = read(field(done, "credential")?)?;
    find(conn, subject)?;
    find(conn, issuer)?;
    let sql = "INSERT INTO root_links (subject, issuer, seq, doc) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (subject, issuer) DO UPDATE SET seq = excluded.seq, doc = excluded.doc";
    let doc = canonical(&credential)?;
    execute(conn, sql, params![subject.to_string(), issuer.to_string(), sql_int(entry.seq), doc])?;
    Ok(())
}

pub(super) fn published(conn: &Connection, entry: &Entry, request: &Request<PublishMetadata>) -> Result<()> {
    let params = &request.params;
    find(conn, &params.generation)?;
    let sql = "INSERT INTO published_files (name, generation, sha256, seq) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE
               SET generation = excluded.generation, sha256 = excluded.sha256, seq = excluded.seq";
    for (name, sha256) in &params.files {
        let row = params![name, params.generation.to_string(), sha256.to_string(), sql_int(entry.seq)];
        execute(conn, sql, row)?;
    }
    Ok(())
}

pub(super) fn reviewed(conn: &Connection, entry: &Entry, request: &Request<ReviewKey>) -> Result<()> {
    let ReviewKey { generation, decision, keep_until, .. } = &request.params;
    find(conn, generation)?;
    if keep_until.is_some() != (*decision == ReviewDecision::Keep) {
        return Err(Error::failed("bad_entry", "a review names a day if and only if the key is kept"));
    }
    let sql = "INSERT INTO key_reviews (generation, seq, decision, keep_until) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (generation) DO UPDATE
               SET seq = excluded.seq, decision = excluded.decision, keep_until = excluded.keep_until";
    let until = keep_until.map(crate::clock::rfc3339);
    execute(conn, sql, params![generation.to_string(), sql_int(entry.seq), decision.as_str(), until])?;
    Ok(())
}

fn failed(conn: &Connection, entry: &Entry) -> Result<()> {
    let alert: RotationFailed = read(&entry.body)?;
    let sql = "INSERT INTO rotation_failures (seq, key, doc) VALUES (?1, ?2, ?3)";
    execute(conn, sql, params![sql_int(entry.seq), alert.key.as_str(), canonical(&alert)?])?;
    Ok(())
}

fn expiring(conn: &Connection, entry: &Entry) -> Result<()> {
    let alert: CertificateExpiry = read(&entry.body)?;
    let id = alert.generation.to_string();
    find(conn, &alert.generation)?;
    let known = "SELECT seq FROM expiry_alerts WHERE generation = ?1 AND days = ?2";
    if let Some(seq) = first::<i64>(conn, known, params![id, alert.days])? {
        let message = format!("entry {seq} gave the alert of {} days for {id} already", alert.days);
        return Err(Error::failed("alert_given", message));
    }
    let sql = "INSERT INTO expiry_alerts (generation, days, seq) VALUES (?1, ?2, ?3)";
    execute(conn, sql, params![id, alert.days, sql_int(entry.seq)])?;
    Ok(())
}
