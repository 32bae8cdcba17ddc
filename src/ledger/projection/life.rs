//! The end of a key's life.

use super::register::{at_step, store};
use crate::error::{Error, Result};
use crate::keys::State;
use crate::request::{DestroyKey, Request};
use rusqlite::Connection;

/// A destroyed key's record stays, with its public keys and where they were.
pub(super) fn destroyed(conn: &Connection, request: &Request<DestroyKey>) -> Result<()> {
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
