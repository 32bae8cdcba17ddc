//! What the genesis and each adoption put in force: settings, tokens, and with the genesis the first keys and people.

use super::body::read;
use super::people;
use super::register::{check_one_active, check_public_key, planned_generation, remember_public_key, store};
use crate::error::{Error, Result};
use crate::keys::{State, TokenRecord};
use crate::ledger::genesis::{Genesis, LedgerKey};
use crate::ledger::rows::{canonical, execute};
use crate::ledger::{Entry, sql_int};
use crate::model::{Hash256, HsmName};
use crate::request::{AdoptSettings, GenerateKey, Request};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::collections::BTreeMap;

/// Entry 0: the workspace begins.
pub(super) fn founded(conn: &Connection, entry: &Entry) -> Result<()> {
    if entry.seq != 0 {
        return Err(Error::failed("second_genesis", format!("entry {} is another genesis", entry.seq)));
    }
    let genesis: Genesis = read(&entry.body)?;
    let planned = &genesis.intent.ledger_keys;
    let matches = |(key, request): (&LedgerKey, &Request<GenerateKey>)| key.generation == request.params.generation;
    let fulfilled = genesis.workspace_id == genesis.intent.workspace_id
        && genesis.ledger_keys.len() == planned.len()
        && genesis.ledger_keys.iter().zip(planned).all(matches);
    if !fulfilled {
        return Err(Error::failed("bad_genesis", "the genesis does not fulfil the intent it carries"));
    }
    people::check_founding(&genesis)?;
    let doc = settings_doc(&genesis.settings_sha256, &genesis.settings)?;
    for (key, request) in genesis.ledger_keys.iter().zip(planned) {
        let mut generation = planned_generation(conn, &request.params)?;
        generation.state = State::Active;
        generation.identities = vec![key.identity.clone()];
        check_one_active(conn, &generation)?;
        check_public_key(conn, &key.identity.spki_sha256)?;
        remember_public_key(conn, &generation.id, &key.identity.spki_sha256)?;
        store(conn, &generation)?;
    }
    execute(conn, "INSERT INTO genesis (seq, doc) VALUES (0, ?1)", [canonical(&entry.body)?])?;
    store_settings(conn, entry, &genesis.settings_sha256, &doc)?;
    store_tokens(conn, entry, &genesis.tokens)?;
    match (&genesis.roster, genesis.roster_sha256) {
        (Some(roster), Some(sha256)) => people::store_roster(conn, entry, roster, &sha256),
        (None, None) => Ok(()),
        _ => Err(Error::failed("bad_genesis", "a roster and its hash come together")),
    }
}

/// Takes settings in force, with the records of tokens that are new.
pub(super) fn adopted(conn: &Connection, entry: &Entry, request: &Request<AdoptSettings>) -> Result<()> {
    let params = &request.params;
    let doc = settings_doc(&params.to_sha256, &params.settings)?;
    store_settings(conn, entry, &params.to_sha256, &doc)?;
    store_tokens(conn, entry, &params.tokens)
}

/// The canonical form of settings that are named by `sha256`.
fn settings_doc(sha256: &Hash256, settings: &Value) -> Result<String> {
    let doc = canonical(settings)?;
    let actual = Hash256::of(doc.as_bytes());
    if actual != *sha256 {
        return Err(Error::failed("bad_settings_hash", format!("settings named {sha256} have the hash {actual}")));
    }
    Ok(doc)
}

fn store_settings(conn: &Connection, entry: &Entry, sha256: &Hash256, doc: &str) -> Result<()> {
    let sql = "INSERT INTO settings (seq, sha256, doc) VALUES (?1, ?2, ?3)";
    execute(conn, sql, params![sql_int(entry.seq), sha256.to_string(), doc])?;
    Ok(())
}

fn store_tokens(conn: &Connection, entry: &Entry, records: &BTreeMap<HsmName, TokenRecord>) -> Result<()> {
    for (hsm, record) in records {
        let doc = canonical(record)?;
        let sql = "INSERT INTO tokens (hsm, seq, doc) VALUES (?1, ?2, ?3)";
        execute(conn, sql, params![hsm.as_str(), sql_int(entry.seq), doc])?;
    }
    Ok(())
}
