//! Revocations in the tables: decided by the intent, so that neither a token that cannot be reached nor a killed
//! process leaves a revoked key in use; *told* once every list or keyring of ours says so.
//!
//! A revocation puts every serial number on its issuers' lists that was reserved for the generation and may be on a
//! certificate: those of issuances that went well, and those whose outcome nobody knows (T7). It marks what depends on
//! the key, and stops the keys below it, whose certificates lead nowhere by then.

use super::authority::touch;
use super::body::{field, read};
use super::register::{certified_as, find, store};
use crate::clock::rfc3339;
use crate::config::ResignAfter;
use crate::crypto::jcs::MAX_INTEGER;
use crate::error::{Error, Result};
use crate::keys::{Credential, State, Terms};
use crate::ledger::rows::{KEEPING, execute, first};
use crate::ledger::{Entry, Sql, query, sql_int};
use crate::model::{GenerationId, Hash256};
use crate::request::{ConfirmCrl, IssueCrl, MarkArtifacts, NewCrl, Request, RevokeKey, SignArtifact};
use rusqlite::{Connection, named_params, params};
use serde_json::Value;

/// The generations that a revocation of `:generation` takes with it: itself, and all below it.
const BELOW: &str = "WITH RECURSIVE below (id) AS (
    VALUES (:generation)
    UNION SELECT issuers.generation FROM issuers JOIN below ON issuers.issuer = below.id)";

/// No list can say this any more: its CA is revoked itself, or gone.
const MOOT: &str = "EXISTS (SELECT 1 FROM generations AS g WHERE g.key || '/' || g.number = crl_entries.issuer
    AND g.state IN ('revoked', 'destroyed'))";

/// Later than every time, as text.
const NEVER: &str = "9999-12-31T23:59:59Z";

/// The intent to revoke.
pub(super) fn intended(conn: &Connection, entry: &Entry, request: &Request<RevokeKey>) -> Result<()> {
    let params = &request.params;
    let id = &params.generation;
    let mut generation = find(conn, id)?;
    let old = query::revocation(conn, id)?;
    let (old_terms, terms) = (old.as_ref().map(|old| old.terms), params.terms());
    if old_terms.is_some_and(|old| old != terms && !terms.sharpen(&old)) {
        let message = format!("what was said of {id} is not taken back");
        return Err(Error::failed("bad_revocation", message));
    }
    // A destroyed key signs no more, but what it signed is out there, so its certificate can still be revoked.
    let stays = matches!(generation.state, State::Revoked | State::Destroyed);
    if !stays && !generation.state.may_become(State::Revoked) {
        let message = format!("{id} cannot go from {} to {}", generation.state, State::Revoked);
        return Err(Error::failed("bad_transition", message));
    }
    let crl = match (&params.issuer, &params.crl) {
        (_, None) => None,
        (Some(issuer), Some(crl)) => Some((issuer, crl)),
        (None, Some(_)) => return Err(Error::failed("bad_revocation", "a list without a CA")),
    };
    if let Some((issuer, crl)) = crl {
        burn(conn, entry, issuer, crl)?;
    }
    decide(conn, entry, params, old_terms)?;
    list(conn, entry, id)?;
    if !stays {
        generation.state = State::Revoked;
        store(conn, &generation)?;
    }
    if old_terms != Some(terms) {
        // What was approved for the key before this is not approved for what it is now.
        touch(conn, entry, id.key.as_str())?;
        stop_below(conn, entry, id)?;
        mark(conn, entry, id, &terms)?;
    }
    settle(conn, entry)
}

/// The row of the decision.
fn decide(conn: &Connection, entry: &Entry, params: &RevokeKey, old: Option<Terms>) -> Result<()> {
    let terms = params.terms();
    let (id, seq) = (params.generation.to_string(), sql_int(entry.seq));
    let (reason, date) = (terms.reason.as_str(), rfc3339(terms.revocation_date));
    let invalidity = terms.invalidity_date.map(rfc3339);
    let issuer = params.issuer.as_ref().map(ToString::to_string);
    match old {
        Some(old) if old == terms => {}
        Some(_) => {
            let sql = "UPDATE revocations SET reason = ?2, revocation_date = ?3, invalidity_date = ?4, told = NULL
                       WHERE generation = ?1";
            execute(conn, sql, params![id, reason, date, invalidity])?;
            // The lists say something that is no longer all.
            let sql = "UPDATE crl_entries SET seq = ?2, listed = NULL WHERE generation = ?1";
            execute(conn, sql, params![id, seq])?;
        }
        None => {
            let sql = "INSERT INTO revocations
                (generation, seq, decided, reason, revocation_date, invalidity_date, issuer, told)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)";
            let decided = rfc3339(entry.time);
            execute(conn, sql, params![id, seq, decided, reason, date, invalidity, issuer])?;
        }
    }
    Ok(())
}

/// Puts the generation's serial numbers on the lists.
fn list(conn: &Connection, entry: &Entry, id: &GenerationId) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO crl_entries (issuer, serial, generation, seq, expires, listed)
        SELECT serials.issuer, serials.serial, ?1, ?2, serials.expires, NULL
        FROM serials JOIN intents ON intents.seq = serials.seq
        WHERE intents.generation = ?1 AND serials.issuer <> ?1 AND intents.result IS NOT 'failed'";
    execute(conn, sql, params![id.to_string(), sql_int(entry.seq)])?;
    Ok(())
}

/// Keys below a revoked one are of no use, although their own certificates are not revoked.
fn stop_below(conn: &Connection, entry: &Entry, id: &GenerationId) -> Result<()> {
    let mut statement = conn.prepare_cached(&format!("{BELOW} SELECT id FROM below ORDER BY id")).sql(KEEPING)?;
    let rows = statement.query_map(named_params! { ":generation": id.to_string() }, |row| row.get::<_, String>(0));
    let below: Vec<String> = rows.and_then(Iterator::collect).sql(KEEPING)?;
    for below in below {
        let mut generation = find(conn, &below.parse()?)?;
        let lives = !matches!(generation.state, State::Retired | State::Revoked | State::Destroyed);
        if generation.id != *id && lives && generation.quarantined.is_none() {
            generation.quarantined = Some(format!("{id}, which certified it, is revoked"));
            store(conn, &generation)?;
            touch(conn, entry, generation.id.key.as_str())?;
        }
    }
    Ok(())
}

/// Marks the artifacts that depend on the key (B13): after a compromise those from its time on, or all if that is not
/// known, and those of which nobody can say when they were signed; after a routine end those that the settings name.
/// Of an APT repository only the newest signature is out there.
fn mark(conn: &Connection, entry: &Entry, id: &GenerationId, terms: &Terms) -> Result<()> {
    let since = match (terms.reason.is_compromise(), terms.invalidity_date) {
        (true, date) => date.map(rfc3339),
        (false, _) => match query::settings(conn)?.settings.rotation.resign_after {
            ResignAfter::All => None,
            ResignAfter::Untimestamped => Some(NEVER.to_owned()),
            ResignAfter::None => return Ok(()),
        },
    };
    let sql = format!(
        "{BELOW} INSERT OR IGNORE INTO resign (artifact, seq, generation, told, closed)
         SELECT a.seq, :seq, :generation, NULL, NULL FROM artifacts AS a
         WHERE (a.generation IN (SELECT id FROM below)
             OR a.seq IN (SELECT artifact FROM cosigned WHERE generation IN (SELECT id FROM below)))
         AND (:since IS NULL OR a.time >= :since OR a.timestamped = 0)
         AND NOT EXISTS (SELECT 1 FROM artifacts AS n WHERE n.repository = a.repository AND n.seq > a.seq)"
    );
    let named = named_params! { ":generation": id.to_string(), ":seq": sql_int(entry.seq), ":since": since };
    execute(conn, &sql, named)?;
    Ok(())
}

/// An artifact was put in place. If a key of it was revoked meanwhile, it is marked at once; in a repository it takes
/// the place of what was there.
pub(super) fn signed(conn: &Connection, entry: &Entry, params: &SignArtifact) -> Result<()> {
    let any: Option<bool> = first(conn, "SELECT EXISTS (SELECT 1 FROM revocations)", [])?;
    if any != Some(true) {
        return Ok(());
    }
    for signer in [&params.generation].into_iter().chain(&params.cosigners) {
        let sql = "WITH RECURSIVE above (id) AS (
            VALUES (?1) UNION SELECT issuers.issuer FROM issuers JOIN above ON issuers.generation = above.id)
            SELECT generation FROM revocations WHERE generation IN (SELECT id FROM above) ORDER BY seq LIMIT 1";
        if let Some(revoked) = first::<String>(conn, sql, params![signer.to_string()])? {
            let sql = "INSERT OR IGNORE INTO resign (artifact, seq, generation, told, closed)
                       VALUES (?1, ?1, ?2, NULL, NULL)";
            execute(conn, sql, params![sql_int(entry.seq), revoked])?;
            return Ok(());
        }
    }
    let Some(repository) = params.repository() else { return Ok(()) };
    let sql = "UPDATE resign SET closed = ?1 WHERE closed IS NULL
               AND artifact IN (SELECT seq FROM artifacts WHERE repository = ?2 AND seq < ?1)";
    execute(conn, sql, params![sql_int(entry.seq), repository])?;
    Ok(())
}

/// The intent to issue a list.
pub(super) fn list_intended(conn: &Connection, entry: &Entry, request: &Request<IssueCrl>) -> Result<()> {
    find(conn, &request.params.generation)?;
    burn(conn, entry, &request.params.generation, &request.params.crl)
}

/// Uses up the number of a list.
fn burn(conn: &Connection, entry: &Entry, issuer: &GenerationId, crl: &NewCrl) -> Result<()> {
    let last = query::last_crl_number(conn, issuer)?;
    if crl.number <= last || crl.number > MAX_INTEGER {
        let message = format!("the list {} of {issuer} comes after number {last}", crl.number);
        return Err(Error::failed("crl_number_taken", message));
    }
    let sql = "INSERT INTO crls (issuer, number, intent, this_update, next_update, entries, outcome, sha256, served)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL, NULL)";
    execute(
        conn,
        sql,
        params![
            issuer.to_string(),
            sql_int(crl.number),
            sql_int(entry.seq),
            rfc3339(crl.this_update),
            rfc3339(crl.next_update),
            sql_int(crl.entries),
        ],
    )?;
    Ok(())
}

/// A revocation whose list or keyring is in place, or that only the register could take in.
pub(super) fn done(conn: &Connection, entry: &Entry, request: &Request<RevokeKey>, done: &Value) -> Result<()> {
    let params = &request.params;
    if let (Some(issuer), Some(crl)) = (&params.issuer, &params.crl) {
        published(conn, entry, (issuer, crl), done)?;
    }
    if params.plan.is_some() {
        let credential: Credential = read(field(done, "credential")?)?;
        recertified(conn, &params.generation, credential)?;
    }
    let sql = format!(
        "UPDATE revocations SET told = ?2 WHERE generation = ?1 AND told IS NULL AND NOT EXISTS (
         SELECT 1 FROM crl_entries WHERE generation = ?1 AND listed IS NULL AND NOT {MOOT})"
    );
    execute(conn, &sql, params![params.generation.to_string(), sql_int(entry.seq)])?;
    Ok(())
}

/// A list that was published, read back and verified.
pub(super) fn list_done(conn: &Connection, entry: &Entry, request: &Request<IssueCrl>, done: &Value) -> Result<()> {
    published(conn, entry, (&request.params.generation, &request.params.crl), done)
}

fn published(conn: &Connection, entry: &Entry, (issuer, crl): (&GenerationId, &NewCrl), done: &Value) -> Result<()> {
    let sha256: Hash256 = read(field(field(done, "crl")?, "sha256")?)?;
    let (issuer, seq) = (issuer.to_string(), sql_int(entry.seq));
    let intent: u64 = read(field(&entry.body, "intent")?)?;
    let sql = "UPDATE crls SET outcome = ?3, sha256 = ?4 WHERE issuer = ?1 AND number = ?2";
    execute(conn, sql, params![issuer, sql_int(crl.number), seq, sha256.to_string()])?;
    // What was put on the list after this intent is not on it.
    let sql = "UPDATE crl_entries SET listed = ?2 WHERE issuer = ?1 AND listed IS NULL AND seq <= ?3";
    execute(conn, sql, params![issuer, seq, sql_int(intent)])?;
    settle(conn, entry)
}

/// Revocations that wait for no list any more count as told.
fn settle(conn: &Connection, entry: &Entry) -> Result<()> {
    let sql = format!(
        "UPDATE revocations AS r SET told = ?1 WHERE told IS NULL
         AND NOT EXISTS (
             SELECT 1 FROM crl_entries WHERE generation = r.generation AND listed IS NULL AND NOT {MOOT})
         AND (EXISTS (SELECT 1 FROM crl_entries WHERE generation = r.generation)
             OR EXISTS (SELECT 1 FROM generations AS g WHERE g.key || '/' || g.number = r.issuer
                 AND r.issuer <> r.generation AND g.state IN ('revoked', 'destroyed')))"
    );
    execute(conn, &sql, params![sql_int(entry.seq)])?;
    Ok(())
}

/// The certificate of an OpenPGP key, with its revocation in it.
fn recertified(conn: &Connection, id: &GenerationId, credential: Credential) -> Result<()> {
    let mut generation = find(conn, id)?;
    let fingerprint = |credential: &Credential| match credential {
        Credential::OpenPgp { fingerprint, .. } => Some(fingerprint.clone()),
        Credential::X509 { .. } => None,
    };
    let same = fingerprint(&credential);
    if same.is_none() || generation.credential().and_then(fingerprint) != same {
        return Err(Error::failed("bad_revocation", format!("the revocation is not that of {id}")));
    }
    certified_as(&mut generation, credential)?;
    store(conn, &generation)
}

/// A list was seen at its URLs.
pub(super) fn list_served(conn: &Connection, entry: &Entry, request: &Request<ConfirmCrl>) -> Result<()> {
    let ConfirmCrl { generation, number, sha256, .. } = &request.params;
    let sql = "UPDATE crls SET served = ?4 WHERE issuer = ?1 AND number = ?2 AND sha256 = ?3";
    let named = params![generation.to_string(), sql_int(*number), sha256.to_string(), sql_int(entry.seq)];
    match execute(conn, sql, named)? {
        1 => Ok(()),
        _ => Err(Error::failed("unknown_crl", format!("the list {number} of {generation} was never published"))),
    }
}

/// The outside knows of these marks.
pub(super) fn told(conn: &Connection, entry: &Entry, request: &Request<MarkArtifacts>) -> Result<()> {
    for artifact in &request.params.artifacts {
        let sql = "UPDATE resign SET told = ?2 WHERE artifact = ?1 AND told IS NULL";
        execute(conn, sql, params![sql_int(artifact.entry), sql_int(entry.seq)])?;
    }
    Ok(())
}
