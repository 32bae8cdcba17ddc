//! The register of keys: their generations, and what was reserved, issued and published for them.

use crate::clock::{Time, rfc3339};
use crate::error::{Error, Result};
use crate::keys::{Credential, Generation, Identity, State};
use crate::ledger::rows::{canonical, execute, first};
use crate::ledger::{Entry, query, sql_int};
use crate::model::{GenerationId, SpkiHash};
use crate::request::{ChangeState, GenerateKey, PublishKeyring, Request};
use rusqlite::{Connection, params};

/// A generation that is about to be made: new, or planned before and never made.
pub(super) fn planned_generation(conn: &Connection, params: &GenerateKey) -> Result<Generation> {
    let known = query::generation(conn, &params.generation)?;
    if known.is_some_and(|known| known.state != State::Planned) {
        return Err(Error::failed("generation_exists", format!("{} exists already", params.generation)));
    }
    Ok(Generation {
        id: params.generation.clone(),
        purpose: params.purpose,
        environment: params.environment,
        custody: params.custody,
        state: State::Planned,
        quarantined: None,
        identities: Vec::new(),
    })
}

pub(super) fn generated(conn: &Connection, request: &Request<GenerateKey>, identity: Identity) -> Result<()> {
    let mut generation = at_step(conn, &request.params.generation, State::Generated)?;
    check_public_key(conn, &identity.spki_sha256)?;
    remember_public_key(conn, &generation.id, &identity.spki_sha256)?;
    let wrong = identity.mismatches();
    generation.quarantined = wrong.map(|wrong| format!("the token reports other values for {wrong}"));
    generation.identities = vec![identity];
    store(conn, &generation)
}

pub(super) fn certified(conn: &Connection, id: &GenerationId, credential: Credential) -> Result<()> {
    let mut generation = at_step(conn, id, State::Certified)?;
    certified_as(&mut generation, credential)?;
    store(conn, &generation)
}

pub(super) fn certified_as(generation: &mut Generation, credential: Credential) -> Result<()> {
    let id = generation.id.clone();
    let identity = generation.identities.first_mut();
    let identity = identity.ok_or_else(|| Error::failed("no_identity", format!("{id} has no key to certify")))?;
    identity.credential = Some(credential);
    Ok(())
}

/// Remembers who certified a generation.
pub(super) fn issued_by(conn: &Connection, id: &GenerationId, issuer: &GenerationId) -> Result<()> {
    let sql = "INSERT INTO issuers (generation, issuer) VALUES (?1, ?2)
               ON CONFLICT (generation) DO UPDATE SET issuer = excluded.issuer";
    execute(conn, sql, params![id.to_string(), issuer.to_string()])?;
    Ok(())
}

pub(super) fn moved(conn: &Connection, request: &Request<ChangeState>) -> Result<()> {
    let ChangeState { generation: id, from, to, .. } = &request.params;
    let before = find(conn, id)?.state;
    if before != *from {
        return Err(Error::failed("bad_transition", format!("{id} is {before}, not {from}")));
    }
    // A key, a certificate and a reason come with these, and only where they were made.
    if matches!(to, State::Generated | State::Certified | State::Revoked) {
        return Err(Error::failed("bad_transition", format!("{id} cannot be declared {to}")));
    }
    let generation = at_step(conn, id, *to)?;
    check_one_active(conn, &generation)?;
    store(conn, &generation)
}

/// A key that stays in the keyring keeps the time since when it has been there; one that left begins anew.
pub(super) fn keyring_published(conn: &Connection, entry: &Entry, request: &Request<PublishKeyring>) -> Result<()> {
    let params = &request.params;
    find(conn, &params.generation)?;
    let (key, sha256) = (params.generation.key.as_str(), params.sha256.to_string());
    let sql = "INSERT INTO keyrings (key, fingerprint, seq, sha256, since) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (key, fingerprint) DO UPDATE SET seq = excluded.seq, sha256 = excluded.sha256";
    let since = rfc3339(entry.time);
    for fingerprint in &params.fingerprints {
        execute(conn, sql, params![key, fingerprint, sql_int(entry.seq), sha256, since])?;
    }
    let gone = "DELETE FROM keyrings WHERE key = ?1 AND seq <> ?2";
    execute(conn, gone, params![key, sql_int(entry.seq)])?;
    Ok(())
}

/// Takes a serial number of this issuer, for good; what has it expires then. Only the same act on the same key may have it
/// once more, if it came to nothing that anybody knows of: what people agreed to has that number in it.
pub(super) fn reserve(
    conn: &Connection,
    entry: &Entry,
    (generation, issuer): (&GenerationId, &GenerationId),
    (serial, not_after): (&str, Time),
) -> Result<()> {
    let issuer = issuer.to_string();
    let again = "UPDATE serials SET seq = ?5 WHERE issuer = ?1 AND serial = ?2 AND expires = ?6 AND EXISTS
                 (SELECT 1 FROM intents AS i WHERE i.seq = serials.seq AND i.type = ?3 AND i.generation = ?4
                  AND i.result IN ('failed', 'unknown'))";
    let (kind, id, seq) = (entry.entry_type.as_str(), generation.to_string(), sql_int(entry.seq));
    if execute(conn, again, params![issuer, serial, kind, id, seq, rfc3339(not_after)])? > 0 {
        return Ok(());
    }
    let taken = "SELECT seq FROM serials WHERE issuer = ?1 AND serial = ?2";
    if let Some(seq) = first::<i64>(conn, taken, params![issuer, serial])? {
        let message = format!("the serial number {serial} of {issuer} was reserved by entry {seq}");
        return Err(Error::failed("serial_taken", message));
    }
    let sql = "INSERT INTO serials (issuer, serial, seq, expires) VALUES (?1, ?2, ?3, ?4)";
    let expires = rfc3339(not_after);
    execute(conn, sql, params![issuer, serial, sql_int(entry.seq), expires])?;
    Ok(())
}

/// The record of a generation after the step to `next`, if its life allows that one.
pub(super) fn at_step(conn: &Connection, id: &GenerationId, next: State) -> Result<Generation> {
    let mut generation = find(conn, id)?;
    if !generation.state.may_become(next) {
        let message = format!("{id} cannot go from {} to {next}", generation.state);
        return Err(Error::failed("bad_transition", message));
    }
    generation.state = next;
    Ok(generation)
}

pub(super) fn find(conn: &Connection, id: &GenerationId) -> Result<Generation> {
    query::generation(conn, id)?
        .ok_or_else(|| Error::failed("unknown_generation", format!("{id} is not in the register")))
}

pub(super) fn check_one_active(conn: &Connection, generation: &Generation) -> Result<()> {
    if generation.state != State::Active {
        return Ok(());
    }
    match query::active(conn, &generation.id.key)? {
        Some(other) if other.id != generation.id => {
            let message = format!("{} cannot be active while {} is", generation.id, other.id);
            Err(Error::failed("one_active", message))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_public_key(conn: &Connection, spki: &SpkiHash) -> Result<()> {
    let sql = "SELECT generation FROM public_keys WHERE spki_sha256 = ?1";
    match first::<String>(conn, sql, params![spki.to_string()])? {
        Some(id) => Err(Error::failed("public_key_seen", format!("the public key {spki} is that of {id} already"))),
        None => Ok(()),
    }
}

pub(super) fn remember_public_key(conn: &Connection, id: &GenerationId, spki: &SpkiHash) -> Result<()> {
    let sql = "INSERT INTO public_keys (spki_sha256, generation) VALUES (?1, ?2)";
    execute(conn, sql, params![spki.to_string(), id.to_string()])?;
    Ok(())
}

pub(super) fn store(conn: &Connection, generation: &Generation) -> Result<()> {
    execute(
        conn,
        "INSERT INTO generations (key, number, state, doc) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key, number) DO UPDATE SET state = excluded.state, doc = excluded.doc",
        params![generation.id.key.as_str(), generation.id.number, generation.state.as_str(), canonical(generation)?],
    )?;
    Ok(())
}
