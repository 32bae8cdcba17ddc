//! The edges of a key's life: named in a pipeline's configuration, destroyed.

use super::{at_step, read, store};
use crate::error::{Error, Result};
use crate::keys::State;
use crate::request::{DestroyKey, Operation, Request, UpdatePipeline};
use rusqlite::Connection;
use serde_json::Value;

/// What cannot be read could never be closed as done.
pub(super) fn intent(entry_type: &str, request: &Value) -> Result<()> {
    match entry_type {
        UpdatePipeline::ENTRY => read::<Request<UpdatePipeline>>(request).map(drop),
        DestroyKey::ENTRY => read::<Request<DestroyKey>>(request).map(drop),
        _ => Ok(()),
    }
}

/// A destroyed key's record stays, with its public keys and where they were.
pub(super) fn succeeded(conn: &Connection, entry_type: &str, request: &Value) -> Result<()> {
    if entry_type != DestroyKey::ENTRY {
        return Ok(());
    }
    let request: Request<DestroyKey> = read(request)?;
    let generation = at_step(conn, &request.params.generation, State::Destroyed)?;
    let unnamed = |identity: &crate::keys::Identity| {
        !request.params.copies.iter().any(|copy| copy.spki_sha256 == Some(identity.spki_sha256))
    };
    if generation.identities.iter().any(unnamed) {
        let message = format!("{} has a key that its destruction does not name", generation.id);
        return Err(Error::failed("bad_transition", message));
    }
    store(conn, &generation)
}
