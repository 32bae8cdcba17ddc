//! Which workspace this is: what this user or root pinned of it, held against its ledger.

use super::{Globals, grouped};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::genesis::Genesis;
use crate::ledger::trust::{self, HostTrust};
use std::path::Path;

/// The pin of this workspace in the user's state folder, made on first sight, checked against the ledger. What root
/// wrote about the workspace comes first; where there is that, a first sight is no leap of faith.
pub(super) fn trusted_pin(globals: &Globals, dir: &Path, ledger: &Ledger, genesis: &Genesis) -> Result<Pin> {
    let state = state_dir()?;
    not_replaced(&state, dir, &genesis.workspace_id)?;
    let hash = ledger.entry(0)?.leaf_hash()?;
    let host = HostTrust::for_folder(&trust::folder(), dir, &genesis.workspace_id)?.map(|host| host.to_pin());
    host.as_ref().map_or(Ok(()), |host| host.check(ledger))?;
    let pin = match (Pin::load(&state, &genesis.workspace_id)?, host) {
        (Some(pin), Some(host)) if pin.trust() != host.trust() => {
            let message = format!("you and root pinned different workspaces with the id {}", genesis.workspace_id);
            return Err(
                Error::blocked("trust_contradicts", message).hint("find out which is right before anything else")
            );
        }
        (Some(pin), _) => pin,
        (None, Some(host)) => {
            host.create(&state)?;
            host.bind_folder(&state, dir)?;
            host
        }
        (None, None) => {
            globals.ui.warn(&format!(
                "first use of workspace {} by this user; genesis {}",
                genesis.workspace_id,
                grouped(&hash.to_string())
            ));
            let pin = pin_of(genesis, hash)?;
            pin.create(&state)?;
            pin.bind_folder(&state, dir)?;
            pin
        }
    };
    pin.check(ledger)?;
    Ok(pin)
}

/// Where this user knows another workspace, a new one would be trusted on first use: that is how a whole ledger
/// would be exchanged.
///
/// # Errors
/// `workspace_replaced`.
pub fn not_replaced(state: &Path, dir: &Path, workspace_id: &str) -> Result<()> {
    match Pin::bound_to(state, dir)? {
        Some(known) if known != workspace_id => {
            let message = format!("{} held workspace {known}, now it holds {workspace_id}", dir.display());
            Err(Error::blocked("workspace_replaced", message)
                .hint("put the ledger back; a workspace that was moved here is opened from a folder of its own"))
        }
        _ => Ok(()),
    }
}

/// The first pin of a workspace.
///
/// # Errors
/// The genesis names a ledger key that cannot be read.
pub fn pin_of(genesis: &Genesis, genesis_leaf_hash: crate::model::Hash256) -> Result<Pin> {
    Ok(Pin {
        workspace_id: genesis.workspace_id.clone(),
        origin: genesis.origin.clone(),
        ledger_keys: genesis.ledger_keys.iter().map(|key| key.verifier.parse()).collect::<Result<_>>()?,
        genesis_leaf_hash,
        head: None,
    })
}
