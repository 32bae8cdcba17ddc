//! The founding of a workspace: the one permit whose intent is a file, since the ledger begins with it.

use super::{Permit, to_value};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::files::safe;
use crate::ledger::genesis::{Genesis, GenesisIntent};
use crate::ledger::{Ledger, NewEntry};
use crate::model::Hash256;
use crate::request::{GenerateKey, Request};
use std::path::Path;

/// Opens the road in a new workspace: the one permit whose intent is a file, since the ledger begins with it.
///
/// The intent file is durable before the ledger key is made; entry 0 takes its words over. An `init` that was
/// interrupted finds it again and continues with the same identifiers.
///
/// # Errors
/// There is a ledger already, or the file cannot be written.
pub fn found(workspace: &Path, fresh: GenesisIntent) -> Result<Founding> {
    let path = workspace.join(GENESIS_INTENT);
    let ledger = workspace.join(crate::ledger::FILE);
    let intent = if path.exists() {
        // The ledger may have been created without its first entry, or half; it holds nothing then.
        remove_if_empty(&ledger)?;
        let bytes = safe::read_bounded(&path, 1 << 20)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::failed("bad_genesis_intent", "genesis.intent cannot be read").because(error))?
    } else {
        fresh
    };
    if ledger.exists() {
        return Err(Error::usage("workspace_exists", format!("{} is a workspace already", workspace.display()))
            .hint("keyctl status"));
    }
    plan(workspace, intent)
}

fn plan(workspace: &Path, intent: GenesisIntent) -> Result<Founding> {
    safe::write_atomic(&workspace.join(GENESIS_INTENT), &jcs::to_vec(&intent)?, 0o600)?;
    let permits = intent.ledger_keys.iter().map(|request| Permit::new(request.clone(), Vec::new(), None)).collect();
    Ok(Founding { intent, permits })
}

/// Whether the workspace has its entry 0. If a founding was interrupted right after it, what is left of that goes now.
///
/// # Errors
/// The ledger cannot be read, or the intent file cannot be removed.
pub fn is_founded(workspace: &Path) -> Result<bool> {
    let (ledger, intent) = (workspace.join(crate::ledger::FILE), workspace.join(GENESIS_INTENT));
    if !intent.exists() || !ledger.exists() {
        return Ok(ledger.exists());
    }
    let founded = !is_empty(&ledger)?;
    if founded {
        safe::remove(&intent)?;
    }
    Ok(founded)
}

/// A ledger without entries, or a file whose making was interrupted before it became one: both happen in one transaction.
fn is_empty(ledger: &Path) -> Result<bool> {
    match Ledger::open_read_only(ledger, crate::clock::Clock::system()) {
        Ok(ledger) => Ok(ledger.head()?.size == 0),
        Err(error) if error.code() == "ledger_schema" => Ok(true),
        Err(error) => Err(error),
    }
}

fn remove_if_empty(ledger: &Path) -> Result<()> {
    if !ledger.exists() || !is_empty(ledger)? {
        return Ok(());
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = ledger.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failed("ledger_unwritable", "an empty ledger cannot be removed").because(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The file that stands for the intent of a founding, until entry 0 takes it over.
pub const GENESIS_INTENT: &str = "genesis.intent";

/// Leave to make the ledger keys of a new workspace, before there is a ledger.
#[derive(Debug)]
#[must_use = "a founding that is not finished leaves no workspace"]
pub struct Founding {
    intent: GenesisIntent,
    permits: Vec<Permit<GenerateKey>>,
}

impl Founding {
    /// What entry 0 will say, as it was fixed before any key was made.
    pub fn intent(&self) -> &GenesisIntent {
        &self.intent
    }

    /// One permit for each ledger key.
    pub fn permits(&self) -> &[Permit<GenerateKey>] {
        &self.permits
    }

    /// Plans one ledger key anew, durably, after its pair turned out to be no pair.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replan(mut self, workspace: &Path, index: usize, request: Request<GenerateKey>) -> Result<Self> {
        let slot = self.intent.ledger_keys.get_mut(index);
        *slot.ok_or_else(|| Error::bug("there is no such ledger key in the founding"))? = request;
        plan(workspace, self.intent)
    }

    /// Writes entry 0 and with it the ledger; gives the entry's leaf hash, which everyone pins.
    ///
    /// # Errors
    /// The ledger cannot be created.
    pub fn finish(self, workspace: &Path, genesis: &Genesis, clock: crate::clock::Clock) -> Result<(Ledger, Hash256)> {
        let mut ledger = Ledger::create(&workspace.join(crate::ledger::FILE), clock)?;
        let mut writer = ledger.writer()?;
        let entry = writer.append(NewEntry {
            entry_type: "GENESIS".parse()?,
            actor: self.intent.actor.clone(),
            correlation_id: self.intent.correlation_id.clone(),
            body: to_value(genesis)?,
        })?;
        let hash = entry.leaf_hash()?;
        writer.commit()?;
        std::fs::remove_file(workspace.join(GENESIS_INTENT))
            .map_err(|error| Error::failed("genesis_intent_left", "genesis.intent cannot be removed").because(error))?;
        Ok((ledger, hash))
    }
}
