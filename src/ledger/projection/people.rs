//! The people of a workspace: rosters, and who is suspended.

use super::{KEEPING, canonical};
use crate::error::{Error, Result};
use crate::ledger::genesis::{Genesis, LedgerKey};
use crate::ledger::{Entry, Sql, sql_int};
use crate::model::{Environment, Hash256};
use crate::people::Roster;
use crate::people::founding::LedgerKeyPlan;
use rusqlite::{Connection, params};

/// Takes a roster in force.
pub(super) fn store_roster(conn: &Connection, entry: &Entry, roster: &Roster, sha256: &Hash256) -> Result<()> {
    let doc = canonical(roster)?;
    let actual = Hash256::of(doc.as_bytes());
    if actual != *sha256 {
        return Err(Error::failed("bad_roster_hash", format!("a roster named {sha256} has the hash {actual}")));
    }
    let sql = "INSERT INTO rosters (seq, version, sha256, doc) VALUES (?1, ?2, ?3, ?4)";
    conn.execute(sql, params![sql_int(entry.seq), roster.version, sha256.to_string(), doc]).sql(KEEPING)?;
    Ok(())
}

/// What everyone in the first roster signed says the same as the genesis. Only the first sandboxes had no people.
pub(super) fn check_founding(genesis: &Genesis) -> Result<()> {
    let bad = |why: &str| Error::failed("bad_genesis", format!("the genesis {why}"));
    let Some(founded) = &genesis.intent.founding else {
        return match genesis.environment == Environment::Sandbox && genesis.roster.is_none() {
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
