//! The people of a workspace: rosters, and who is suspended.

use super::authority;
use crate::error::{Error, Result};
use crate::ledger::genesis::{Genesis, LedgerKey};
use crate::ledger::rows::{canonical, execute, first};
use crate::ledger::{Entry, sql_int};
use crate::model::{Environment, Hash256};
use crate::people::Roster;
use crate::people::founding::LedgerKeyPlan;
use crate::request::{AdoptRoster, ReinstateKey, Request, RestorePerson, SuspendKey, SuspendPerson};
use rusqlite::{Connection, params};

/// Takes a roster in force.
pub(super) fn store_roster(conn: &Connection, entry: &Entry, roster: &Roster, sha256: &Hash256) -> Result<()> {
    let doc = canonical(roster)?;
    let actual = Hash256::of(doc.as_bytes());
    if actual != *sha256 {
        return Err(Error::failed("bad_roster_hash", format!("a roster named {sha256} has the hash {actual}")));
    }
    let sql = "INSERT INTO rosters (seq, version, sha256, doc) VALUES (?1, ?2, ?3, ?4)";
    execute(conn, sql, params![sql_int(entry.seq), roster.version, sha256.to_string(), doc])?;
    Ok(())
}

/// What everyone in the first roster signed says the same as the genesis. Only a sandbox may do without; the first ones
/// had no people at all.
pub(super) fn check_founding(genesis: &Genesis) -> Result<()> {
    let bad = |why: &str| Error::failed("bad_genesis", format!("the genesis {why}"));
    let Some(founded) = &genesis.intent.founding else {
        return match genesis.environment == Environment::Sandbox {
            true => Ok(()),
            false => Err(bad("was signed by nobody")),
        };
    };
    let (document, beginning) = founded.verify().map_err(|e| bad("is not what people signed").because(e))?;
    let planned = |(plan, key): (&LedgerKeyPlan, &LedgerKey)| {
        plan.generation == key.generation
            && plan.algorithm == key.identity.algorithm
            && key.identity.copies.iter().all(|copy| copy.hsm == plan.hsm && copy.token.serial == plan.token_serial)
    };
    let same = document.workspace_id == genesis.workspace_id
        && document.origin == genesis.origin
        && document.environment == genesis.environment
        && beginning.settings == genesis.settings
        && beginning.tokens == genesis.tokens
        && Some(&beginning.roster) == genesis.roster.as_ref()
        && beginning.ledger_keys.len() == genesis.ledger_keys.len()
        && beginning.ledger_keys.iter().zip(&genesis.ledger_keys).all(planned);
    if same { Ok(()) } else { Err(bad("is not what people signed")) }
}

/// A roster takes the place of the one in force, and of no other.
pub(super) fn adopted(conn: &Connection, entry: &Entry, request: &Request<AdoptRoster>) -> Result<()> {
    let AdoptRoster { from, to, .. } = &request.params;
    let sql = "SELECT sha256 FROM rosters ORDER BY seq DESC LIMIT 1";
    let in_force: Option<String> = first(conn, sql, params![])?;
    if in_force != Some(from.sha256()?.to_string()) || from.version.checked_add(1) != Some(to.version) {
        let message = format!("roster {} does not follow the one in force", to.version);
        return Err(Error::failed("bad_roster_version", message));
    }
    store_roster(conn, entry, to, &to.sha256()?)
}

/// A person's signatures stop counting.
pub(super) fn suspended(conn: &Connection, entry: &Entry, request: &Request<SuspendPerson>) -> Result<()> {
    let email = request.params.email.as_str();
    let sql = "INSERT INTO roster_suspensions (email, seq) VALUES (?1, ?2) ON CONFLICT (email) DO NOTHING";
    match execute(conn, sql, params![email, sql_int(entry.seq)])? {
        0 => Err(Error::failed("suspended_already", format!("{email} is suspended already"))),
        _ => Ok(()),
    }
}

/// They count again.
pub(super) fn restored(conn: &Connection, request: &Request<RestorePerson>) -> Result<()> {
    let email = request.params.email.as_str();
    match execute(conn, "DELETE FROM roster_suspensions WHERE email = ?1", params![email])? {
        0 => Err(Error::failed("not_suspended", format!("{email} is not suspended"))),
        _ => Ok(()),
    }
}

/// A key stops; so do the standing approvals for it (design §4).
pub(super) fn key_suspended(conn: &Connection, entry: &Entry, request: &Request<SuspendKey>) -> Result<()> {
    let SuspendKey { generation, reason } = &request.params;
    let (key, seq) = (generation.key.as_str(), sql_int(entry.seq));
    let sql = "INSERT INTO suspensions (key, seq, reason) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING";
    if execute(conn, sql, params![key, seq, reason])? == 0 {
        return Err(Error::failed("suspended_already", format!("{key} is suspended already")));
    }
    authority::end_grants_of(conn, entry, key)
}

/// A key goes on.
pub(super) fn key_reinstated(conn: &Connection, request: &Request<ReinstateKey>) -> Result<()> {
    let key = request.params.generation.key.as_str();
    match execute(conn, "DELETE FROM suspensions WHERE key = ?1", params![key])? {
        0 => Err(Error::failed("not_suspended", format!("{key} is not suspended"))),
        _ => Ok(()),
    }
}
