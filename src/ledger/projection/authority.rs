//! By whose leave: approval requests that were consumed, what became of their steps, and what moved since others
//! were made.

use super::body::{field, read, text};
use crate::clock::rfc3339;
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::ledger::alerts::KeyCompromised;
use crate::ledger::rows::{canonical, execute, first, parse};
use crate::ledger::{Entry, sql_int};
use crate::model::Hash256;
use crate::people::ApprovalRequest;
use crate::people::request::MAX_REQUEST;
use crate::request::{Authority, GiveGrant, Kind, Moves, Request};
use chrono::TimeDelta;
use rusqlite::{Connection, params};
use serde_json::Value;

/// The entry that consumes an approval request, in the transaction of the first intent that it allows. Its body:
/// `request` (the exact bytes, as text), `sha256` of them, and `approvals`, the signatures that counted.
pub const CONSUMED: &str = "REQUEST_CONSUMED";

/// The subject of adopted settings.
pub const SETTINGS: &str = "settings";

/// The subject of the roster and of who is suspended.
pub const ROSTER: &str = "roster";

/// What follows break-glass, and within how many hours (domain §3).
const AFTER_BREAK_GLASS: [(&str, i64); 3] = [("rotate", 1), ("review", 24), ("cab-report", 48)];

/// Takes a request in.
pub(super) fn consumed(conn: &Connection, entry: &Entry) -> Result<()> {
    let bytes = text(&entry.body, "request")?;
    let sha256: Hash256 = text(&entry.body, "sha256")?.parse()?;
    if Hash256::of(bytes.as_bytes()) != sha256 {
        return Err(Error::failed("bad_entry", format!("the approval request does not have the hash {sha256}")));
    }
    let document = jcs::parse_canonical(bytes.as_bytes(), MAX_REQUEST)?;
    let document: ApprovalRequest = read(&document)?;
    let taken = "SELECT seq FROM requests WHERE request_id = ?1";
    if let Some(seq) = first::<i64>(conn, taken, params![document.request_id])? {
        let message = format!("the approval request {} was consumed by entry {seq}", document.request_id);
        return Err(Error::failed("request_consumed", message));
    }
    execute(
        conn,
        "INSERT INTO requests (request_id, seq, sha256, doc) VALUES (?1, ?2, ?3, ?4)",
        params![document.request_id, sql_int(entry.seq), sha256.to_string(), bytes],
    )?;
    if document.break_glass.is_some() {
        for (kind, hours) in AFTER_BREAK_GLASS {
            follow_up(conn, entry, kind, &document.object, TimeDelta::hours(hours))?;
        }
    }
    Ok(())
}

/// A compromise leaves the duties of an incident (domain §3); the key itself is rotated by the runbook.
pub(super) fn compromised(conn: &Connection, entry: &Entry, event: &KeyCompromised) -> Result<()> {
    let object = event.object();
    let taken = "SELECT seq FROM follow_ups WHERE object = ?1";
    if first::<i64>(conn, taken, params![object])?.is_some() {
        return Err(Error::failed("alert_given", format!("{object} was declared before")));
    }
    for (kind, hours) in AFTER_BREAK_GLASS.into_iter().filter(|(kind, _)| *kind != "rotate") {
        follow_up(conn, entry, kind, &object, TimeDelta::hours(hours))?;
    }
    Ok(())
}

/// Opens a duty that is due `within` from the entry's time.
pub(super) fn follow_up(conn: &Connection, entry: &Entry, kind: &str, object: &str, within: TimeDelta) -> Result<()> {
    execute(
        conn,
        "INSERT INTO follow_ups (seq, kind, object, due) VALUES (?1, ?2, ?3, ?4)",
        params![sql_int(entry.seq), kind, object, rfc3339(entry.time + within)],
    )?;
    Ok(())
}

/// An intent under an approval request takes its step; a step that came to nothing may be taken again.
pub(super) fn step_begun(conn: &Connection, entry: &Entry, request: &Value) -> Result<()> {
    let Some(authority) = request.get("authority") else { return Ok(()) };
    let (request_id, step) = match read(authority)? {
        Authority::Request { request_id, step } => (request_id, step),
        Authority::Grant { grant_id } => return grant_used(conn, entry, &grant_id, request),
    };
    let taken = |why: String| Error::failed("step_taken", format!("step {step} of request {request_id}: {why}"));
    let doc: Option<String> = first(conn, "SELECT doc FROM requests WHERE request_id = ?1", params![request_id])?;
    let doc = doc.ok_or_else(|| taken("the request was not consumed".to_owned()))?;
    let document: ApprovalRequest = parse(&doc)?;
    let planned = usize::try_from(step).ok().and_then(|step| document.steps.get(step));
    let planned = planned.ok_or_else(|| taken("the request has no such step".to_owned()))?;
    let operation = text(request, "operation")?;
    if planned.operation != operation || planned.object != text(request, "object")? {
        return Err(taken(format!("it is {} of {}", planned.operation, planned.object)));
    }
    let sql = "SELECT coalesce(result, 'open') FROM request_steps WHERE request_id = ?1 AND step = ?2";
    match first::<String>(conn, sql, params![request_id, step])?.as_deref() {
        None => {}
        Some(result) if Kind::of_name(operation).is_some_and(|kind| kind.may_be_taken_again(result)) => {}
        Some(result) => return Err(taken(format!("it was taken, with the result {result}"))),
    }
    let sql = "INSERT INTO request_steps (request_id, step, intent) VALUES (?1, ?2, ?3)
               ON CONFLICT (request_id, step) DO UPDATE SET intent = excluded.intent, result = NULL";
    execute(conn, sql, params![request_id, step, sql_int(entry.seq)])?;
    Ok(())
}

/// The outcome of an intent is that of its step.
pub(super) fn step_ended(conn: &Connection, intent: u64, result: Option<&str>) -> Result<()> {
    let sql = "UPDATE request_steps SET result = ?2 WHERE intent = ?1";
    execute(conn, sql, params![sql_int(intent), result])?;
    Ok(())
}

/// A successful outcome moves its key, the settings, or the roster.
pub(super) fn moved(conn: &Connection, entry: &Entry, kind: Kind, request: &Value) -> Result<()> {
    match kind.moves() {
        Moves::Nothing => Ok(()),
        Moves::Settings => touch(conn, entry, SETTINGS),
        Moves::Roster => touch(conn, entry, ROSTER),
        Moves::Key => {
            let generation = text(field(request, "params")?, "generation")?;
            touch(conn, entry, generation.split_once('/').map_or(generation, |(key, _)| key))
        }
    }
}

/// Records that an entry moved something.
pub(super) fn touch(conn: &Connection, entry: &Entry, subject: &str) -> Result<()> {
    let sql = "INSERT INTO touched (subject, seq) VALUES (?1, ?2)
               ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq";
    execute(conn, sql, params![subject, sql_int(entry.seq)])?;
    Ok(())
}

/// Takes a standing approval in, with the people who gave it.
pub(super) fn granted(conn: &Connection, entry: &Entry, request: &Request<GiveGrant>) -> Result<()> {
    let params = &request.params;
    let taken = "SELECT seq FROM grants WHERE grant_id = ?1";
    if let Some(seq) = first::<i64>(conn, taken, params![params.grant_id])? {
        return Err(Error::failed("grant_exists", format!("the grant {} was given by entry {seq}", params.grant_id)));
    }
    let people: Vec<_> = request.approvals.iter().map(|person| &person.email).collect();
    let (key, seq) = (params.generation.key.as_str(), sql_int(entry.seq));
    let values = params![params.grant_id, key, seq, canonical(params)?, canonical(&people)?];
    execute(conn, "INSERT INTO grants (grant_id, key, seq, doc, people) VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
    Ok(())
}

/// Ends one grant; one that has ended stays as it is.
pub(super) fn end_grant(conn: &Connection, entry: &Entry, grant_id: &str) -> Result<()> {
    let sql = "UPDATE grants SET ended = ?2 WHERE grant_id = ?1 AND ended IS NULL";
    execute(conn, sql, params![grant_id, sql_int(entry.seq)])?;
    Ok(())
}

/// Ends every grant of a key.
pub(super) fn end_grants_of(conn: &Connection, entry: &Entry, key: &str) -> Result<()> {
    let sql = "UPDATE grants SET ended = ?2 WHERE key = ?1 AND ended IS NULL";
    execute(conn, sql, params![key, sql_int(entry.seq)])?;
    Ok(())
}

/// A generation is made under a grant.
fn grant_used(conn: &Connection, entry: &Entry, grant_id: &str, request: &Value) -> Result<()> {
    let standing: Option<i64> =
        first(conn, "SELECT seq FROM grants WHERE grant_id = ?1 AND ended IS NULL", params![grant_id])?;
    if standing.is_none() {
        return Err(Error::failed("no_grant", format!("there is no grant {grant_id}, or it has ended")));
    }
    let generation = text(field(request, "params")?, "generation")?;
    let sql = "INSERT INTO grant_uses (grant_id, generation, seq) VALUES (?1, ?2, ?3)
               ON CONFLICT (grant_id, generation) DO NOTHING";
    execute(conn, sql, params![grant_id, generation, sql_int(entry.seq)])?;
    Ok(())
}

/// A duty was done.
pub(super) fn follow_up_closed(conn: &Connection, entry: &Entry, id: &str) -> Result<()> {
    let none = || Error::failed("no_follow_up", format!("there is no open follow-up {id}"));
    let (seq, kind) = id.split_once('/').ok_or_else(none)?;
    let seq: u64 = seq.parse().map_err(|_| none())?;
    let sql = "UPDATE follow_ups SET closed = ?3 WHERE seq = ?1 AND kind = ?2 AND closed IS NULL";
    match execute(conn, sql, params![sql_int(seq), kind, sql_int(entry.seq)])? {
        0 => Err(none()),
        _ => Ok(()),
    }
}
