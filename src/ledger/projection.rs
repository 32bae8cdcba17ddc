//! What the leaves say, as tables: the register of keys, open intents, signed artifacts, adopted settings.
//!
//! Everything here is derived from leaves by [`apply`] and nothing else; the audit rebuilds it in memory and
//! compares row by row. So a forged row is found, and a lost table is no loss.

use super::genesis::Genesis;
use super::{Entry, Sql, sql_int};
use crate::error::{Error, Result};
use crate::keys::{AttributeState, Credential, Generation, Identity, State};
use crate::model::GenerationId;
use crate::request::{
    CertifyOpenPgp, ChangeState, GenerateKey, ImportCertificate, IssueCertificate, Operation, PublishKeyring, Request,
    SignArtifact,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The projection tables.
pub const SCHEMA: &str = include_str!("projection.sql");

/// What the database was doing, for its errors.
const KEEPING: &str = "keeping a projection";

/// Their names.
pub const TABLES: &[&str] =
    &["genesis", "settings", "intents", "generations", "public_keys", "serials", "artifacts", "keyrings"];

/// Brings the tables up to date with one more entry.
///
/// # Errors
/// The entry contradicts what came before (a second outcome, a state that cannot follow, a serial used twice);
/// nothing of it is kept then, since the caller's transaction ends.
pub fn apply(conn: &Connection, entry: &Entry) -> Result<()> {
    let phase = entry.body.get("phase").and_then(Value::as_str);
    match (entry.entry_type.as_str(), phase) {
        ("GENESIS", _) => genesis(conn, entry),
        (_, Some("intent")) => intent(conn, entry),
        (_, Some("outcome")) => outcome(conn, entry),
        _ => Ok(()),
    }
}

fn genesis(conn: &Connection, entry: &Entry) -> Result<()> {
    if entry.seq != 0 {
        return Err(Error::failed("second_genesis", format!("entry {} is another genesis", entry.seq)));
    }
    let genesis: Genesis = read(&entry.body)?;
    conn.execute("INSERT INTO genesis (seq, doc) VALUES (0, ?1)", params![entry.body.to_string()]).sql(KEEPING)?;
    settings(conn, entry, genesis.settings_sha256.to_string(), &genesis.settings)?;
    for (key, request) in genesis.ledger_keys.iter().zip(&genesis.intent.ledger_keys) {
        let mut generation = planned(&request.params);
        generation.state = State::Active;
        generation.identities = vec![key.identity.clone()];
        remember_public_key(conn, &generation.id, &key.identity)?;
        store(conn, &generation)?;
    }
    Ok(())
}

fn settings(conn: &Connection, entry: &Entry, sha256: String, doc: &Value) -> Result<()> {
    let sql = "INSERT INTO settings (seq, sha256, doc) VALUES (?1, ?2, ?3)";
    conn.execute(sql, params![sql_int(entry.seq), sha256, doc.to_string()]).sql(KEEPING)?;
    Ok(())
}

fn intent(conn: &Connection, entry: &Entry) -> Result<()> {
    let request = field(&entry.body, "request")?;
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let params = field(request, "params")?;
    let id = params.get("generation").and_then(Value::as_str);
    let hsm = params.get("hsm").and_then(Value::as_str);
    let process = entry.body.get("process").and_then(Value::as_str);
    conn.execute(
        "INSERT INTO intents (seq, type, object, generation, hsm, process, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![sql_int(entry.seq), entry.entry_type.as_str(), text("object"), id, hsm, process, request.to_string()],
    )
    .sql(KEEPING)?;
    match entry.entry_type.as_str() {
        GenerateKey::ENTRY => {
            let request: Request<GenerateKey> = read(request)?;
            let generation = planned(&request.params);
            let known = load(conn, &generation.id)?;
            if known.is_some_and(|known| known.state != State::Planned) {
                return Err(Error::failed("generation_exists", format!("{} exists already", generation.id)));
            }
            store(conn, &generation)
        }
        IssueCertificate::ENTRY => {
            let request: Request<IssueCertificate> = read(request)?;
            let sql = "INSERT INTO serials (issuer, serial, seq) VALUES (?1, ?2, ?3)";
            let serial = params![request.params.issuer.to_string(), request.params.serial, sql_int(entry.seq)];
            conn.execute(sql, serial).sql(KEEPING)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn outcome(conn: &Connection, entry: &Entry) -> Result<()> {
    let broken = |what: &str| Error::failed("bad_outcome", format!("entry {}: {what}", entry.seq));
    let of = entry.body.get("intent").and_then(Value::as_u64).ok_or_else(|| broken("no intent"))?;
    let sql = "SELECT request FROM intents WHERE seq = ?1 AND type = ?2 AND outcome IS NULL";
    let open = conn.query_row(sql, params![sql_int(of), entry.entry_type.as_str()], |row| row.get(0)).optional();
    let request: Option<String> = open.sql("reading an open intent")?;
    let request = request.ok_or_else(|| broken("its intent does not exist or has an outcome already"))?;
    let sql = "UPDATE intents SET outcome = ?1, request = NULL WHERE seq = ?2";
    conn.execute(sql, params![sql_int(entry.seq), sql_int(of)]).sql(KEEPING)?;
    if entry.body.get("result").and_then(Value::as_str) != Some("ok") {
        return Ok(());
    }
    let request: Value = parse(&request)?;
    let request = &request;
    let done = field(&entry.body, "done")?;
    match entry.entry_type.as_str() {
        GenerateKey::ENTRY => generated(conn, &read(request)?, read(field(done, "identity")?)?),
        IssueCertificate::ENTRY => {
            let request: Request<IssueCertificate> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)
        }
        ImportCertificate::ENTRY => {
            let request: Request<ImportCertificate> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)
        }
        ChangeState::ENTRY => {
            let request: Request<ChangeState> = read(request)?;
            step(conn, &request.params.generation, |generation| {
                generation.state = request.params.to;
                Ok(())
            })
        }
        CertifyOpenPgp::ENTRY => {
            let request: Request<CertifyOpenPgp> = read(request)?;
            certified(conn, &request.params.generation, read(field(done, "credential")?)?)
        }
        PublishKeyring::ENTRY => keyring_published(conn, entry, &read(request)?),
        SignArtifact::ENTRY => signed(conn, entry, &read(request)?, done),
        "SETTINGS_ADOPTED" => {
            let params = field(request, "params")?;
            let sha256 = field(params, "to_sha256")?.as_str().unwrap_or_default().to_owned();
            settings(conn, entry, sha256, field(params, "settings")?)
        }
        _ => Ok(()),
    }
}

fn planned(params: &GenerateKey) -> Generation {
    Generation {
        id: params.generation.clone(),
        purpose: params.purpose,
        environment: params.environment,
        custody: params.custody,
        state: State::Planned,
        quarantined: None,
        identities: Vec::new(),
    }
}

fn generated(conn: &Connection, request: &Request<GenerateKey>, identity: Identity) -> Result<()> {
    remember_public_key(conn, &request.params.generation, &identity)?;
    step(conn, &request.params.generation, |generation| {
        let wrong: Vec<_> = identity
            .copies
            .iter()
            .flat_map(|copy| &copy.attributes)
            .filter(|fact| fact.state == AttributeState::Mismatch)
            .map(|fact| fact.name.clone())
            .collect();
        if !wrong.is_empty() {
            generation.quarantined = Some(format!("the token reports other values for {}", wrong.join(", ")));
        }
        generation.state = State::Generated;
        generation.identities = vec![identity.clone()];
        Ok(())
    })
}

fn certified(conn: &Connection, id: &GenerationId, credential: Credential) -> Result<()> {
    step(conn, id, |generation| {
        let identity = generation.identities.first_mut();
        let identity = identity.ok_or_else(|| Error::failed("no_identity", format!("{id} has no key to certify")))?;
        identity.credential = Some(credential);
        generation.state = State::Certified;
        Ok(())
    })
}

fn signed(conn: &Connection, entry: &Entry, request: &Request<SignArtifact>, done: &Value) -> Result<()> {
    let params = &request.params;
    conn.execute(
        "INSERT INTO artifacts (seq, artifact_id, correlation_id, operation, hash_before, hash_after, generation, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            sql_int(entry.seq),
            params.artifact_id,
            request.correlation_id.as_str(),
            request.operation,
            params.hash_before.to_string(),
            field(done, "hash_after")?.as_str(),
            params.generation.to_string(),
            crate::clock::rfc3339(entry.time),
        ],
    )
    .sql(KEEPING)?;
    Ok(())
}

/// A key that stays in the keyring keeps the time since when it has been there; one that left begins anew.
fn keyring_published(conn: &Connection, entry: &Entry, request: &Request<PublishKeyring>) -> Result<()> {
    let params = &request.params;
    let (key, sha256) = (params.generation.key.as_str(), params.sha256.to_string());
    let sql = "INSERT INTO keyrings (key, fingerprint, seq, sha256, since) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (key, fingerprint) DO UPDATE SET seq = excluded.seq, sha256 = excluded.sha256";
    let since = crate::clock::rfc3339(entry.time);
    for fingerprint in &params.fingerprints {
        conn.execute(sql, params![key, fingerprint, sql_int(entry.seq), sha256, since]).sql(KEEPING)?;
    }
    let gone = "DELETE FROM keyrings WHERE key = ?1 AND seq <> ?2";
    conn.execute(gone, params![key, sql_int(entry.seq)]).sql(KEEPING)?;
    Ok(())
}

/// Changes one generation, checking that its life allows the step.
fn step(conn: &Connection, id: &GenerationId, change: impl FnOnce(&mut Generation) -> Result<()>) -> Result<()> {
    let missing = || Error::failed("unknown_generation", format!("{id} is not in the register"));
    let mut generation = load(conn, id)?.ok_or_else(missing)?;
    let before = generation.state;
    change(&mut generation)?;
    if before != generation.state && !before.may_become(generation.state) {
        let message = format!("{id} cannot go from {before} to {}", generation.state);
        return Err(Error::failed("bad_transition", message));
    }
    store(conn, &generation)
}

fn remember_public_key(conn: &Connection, id: &GenerationId, identity: &Identity) -> Result<()> {
    let sql = "INSERT INTO public_keys (spki_sha256, generation) VALUES (?1, ?2)";
    conn.execute(sql, params![identity.spki_sha256.to_string(), id.to_string()]).sql(KEEPING)?;
    Ok(())
}

fn store(conn: &Connection, generation: &Generation) -> Result<()> {
    let doc = serde_json::to_string(generation).map_err(|e| Error::bug("a generation has no JSON form").because(e))?;
    conn.execute(
        "INSERT INTO generations (key, number, state, doc) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key, number) DO UPDATE SET state = excluded.state, doc = excluded.doc",
        params![generation.id.key.as_str(), generation.id.number, generation.state.as_str(), doc],
    )
    .sql(KEEPING)?;
    Ok(())
}

/// The record of one generation.
pub(super) fn load(conn: &Connection, id: &GenerationId) -> Result<Option<Generation>> {
    let sql = "SELECT doc FROM generations WHERE key = ?1 AND number = ?2";
    let doc: Option<String> = conn
        .query_row(sql, params![id.key.as_str(), id.number], |row| row.get(0))
        .optional()
        .sql("reading the register")?;
    doc.map(|doc| parse(&doc)).transpose()
}

pub(super) fn parse<T: DeserializeOwned>(doc: &str) -> Result<T> {
    serde_json::from_str(doc)
        .map_err(|error| Error::failed("register_broken", "a record cannot be read").because(error))
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| Error::failed("bad_entry", "an entry's body cannot be read").because(error))
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| Error::failed("bad_entry", format!("an entry's body has no {name}")))
}
