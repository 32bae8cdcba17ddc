//! …

use crate::error::{Error, Result};
use crate::request::{Operation, Request};
use crate::ui::Worst;
use crate::world::World;

/// What a dry run prints of a request that would be made.
///
/// # Errors
/// A bug: it has no JSON form.
pub fn show<O: Operation>(world: &World, request: &Request<O>) -> Result<Worst> {
    let text = serde_json::to_string_pretty(request);
    let text = text.map_err(|error| Error::bug("a request has no JSON form").because(error))?;
    world.ui().raw(&format!("{text}\n"));
    Ok(Worst::default())
}
