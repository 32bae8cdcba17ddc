//! Which workspace this is: what this user pinned of it, and root, held against its ledger and its place.

use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::ledger::Ledger;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::begun::Begun;
use crate::ledger::genesis::Genesis;
use crate::ledger::place::Place;
use crate::ledger::trust::{self, HostTrust};
use std::path::Path;

/// The pin of this workspace in the user's state folder, checked against the ledger, against what root wrote about the
/// workspace, and against the place where it is. Nothing is pinned here: that is done on purpose, by founding or by
/// [`trust`](super::pinning).
///
/// # Errors
/// `unknown_workspace`, `pin_missing`, `workspace_replaced`, `trust_contradicts`, `workspace_moved`; those of
/// [`Pin::check`].
pub(super) fn trusted_pin(dir: &Path, ledger: &Ledger, genesis: &Genesis) -> Result<Pin> {
    let state = state_dir()?;
    let host = HostTrust::for_folder(&trust::folder(), dir, &genesis.workspace_id)?;
    let known = Pin::load(&state, &genesis.workspace_id)?;
    if known.is_none() && Begun::of(&state, dir).led_to(genesis)? {
        pin_founded(&pin_of(genesis, ledger.entry(0)?.leaf_hash()?, dir)?, dir)?;
    }
    not_replaced(&state, dir, &genesis.workspace_id)?;
    let mut pin = match known.map_or_else(|| Pin::load(&state, &genesis.workspace_id), |pin| Ok(Some(pin)))? {
        Some(pin) => pin,
        None => return Err(unpinned(&state, dir, genesis, host.is_some())?),
    };
    let is_bound = Pin::bound_to(&state, dir)?.is_some();
    if pin.place.is_none() && is_bound {
        // Earlier pins do not say where; that folder is remembered beside them.
        pin.place = Some(Place::here(dir));
    }
    if let Some(host) = &host {
        host.to_pin().check(ledger)?;
        agree(&pin, &host.to_pin())?;
    }
    match elsewhere(dir, &pin.workspace_id, Some(&pin), host.as_ref())? {
        Some(place) => Err(moved(dir, &place)),
        None => pin.check(ledger).map(|()| pin),
    }
}

/// Pins what this user founded in `dir`, and forgets that it was begun.
///
/// # Errors
/// File errors.
pub fn pin_founded(pin: &Pin, dir: &Path) -> Result<()> {
    let state = state_dir()?;
    if let Some(place) = &pin.place {
        place.write(dir, &pin.workspace_id)?;
    }
    pin.bind_folder(&state, dir)?;
    match pin.create(&state) {
        Err(error) if error.code() != "pin_exists" => Err(error),
        _ => Begun::of(&state, dir).end(),
    }
}

/// Both trust the same.
pub(super) fn agree(pin: &Pin, host: &Pin) -> Result<()> {
    if pin.trust() == host.trust() {
        return Ok(());
    }
    let message = format!("you and root pinned different workspaces with the id {}", pin.workspace_id);
    Err(Error::blocked("trust_contradicts", message).hint("find out which is right before anything else"))
}

/// A pin that was there, or that root vouches for, is missed as loudly as one that cannot be read: who could remove it
/// would have this user forget every head that was seen.
fn unpinned(state: &Path, dir: &Path, genesis: &Genesis, by_root: bool) -> Result<Error> {
    let (name, id) = (shown_path(dir), &genesis.workspace_id);
    let known = if by_root { Some("root trusts it on this host") } else { None };
    let known = match Pin::bound_to(state, dir)? {
        Some(_) => Some("you used it before"),
        None => known,
    };
    let error = match known {
        Some(known) => {
            Error::failed("pin_missing", format!("{name}: you have no pin of the workspace {id}, and {known}"))
        }
        None => Error::usage("unknown_workspace", format!("{name}: a workspace that neither you nor root pinned")),
    };
    Ok(error.hint(format!("if it is yours: keyctl trust {name}")))
}

/// The place where the workspace is said to be, if that is not here.
pub(super) fn elsewhere(dir: &Path, id: &str, pin: Option<&Pin>, host: Option<&HostTrust>) -> Result<Option<Place>> {
    let here = Place::here(dir);
    let said = Place::read(dir, id)?;
    let of_root = host.map(|host| Place { folder: host.folder.clone(), machine: None });
    let pinned = pin.map(|pin| pin.place.clone().unwrap_or(Place { folder: "another folder".into(), machine: None }));
    Ok([said, pinned, of_root].into_iter().flatten().find(|place| !place.is(&here)))
}

pub(super) fn moved(dir: &Path, place: &Place) -> Error {
    let (name, was) = (shown_path(dir), place.words(&Place::here(dir)));
    let message = format!("{name}: this workspace was used in {was} before; it was moved or copied");
    Error::blocked("workspace_moved", message)
        .hint(format!("a copy is not used beside the original; if it was moved: keyctl trust --moved {name}"))
}

/// Where this user knows another workspace, one that takes its place is how a whole ledger would be exchanged.
///
/// # Errors
/// `workspace_replaced`.
pub fn not_replaced(state: &Path, dir: &Path, workspace_id: &str) -> Result<()> {
    match Pin::bound_to(state, dir)? {
        Some(known) if known != workspace_id => {
            let name = shown_path(dir);
            let message = format!("{name} held workspace {known}, now it holds {workspace_id}");
            Err(Error::blocked("workspace_replaced", message).hint(format!(
                "put the ledger back; if another workspace was moved here on purpose: keyctl trust --moved {name}"
            )))
        }
        _ => Ok(()),
    }
}

/// The first pin of a workspace, which is in `dir`.
///
/// # Errors
/// The genesis names a ledger key that cannot be read.
pub fn pin_of(genesis: &Genesis, genesis_leaf_hash: crate::model::Hash256, dir: &Path) -> Result<Pin> {
    Ok(Pin {
        workspace_id: genesis.workspace_id.clone(),
        origin: genesis.origin.clone(),
        ledger_keys: genesis.ledger_keys.iter().map(|key| key.verifier.parse()).collect::<Result<_>>()?,
        genesis_leaf_hash,
        head: None,
        place: Some(Place::here(dir)),
    })
}
