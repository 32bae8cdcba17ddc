//! Standing approvals, which automation consumes use by use.

use crate::error::Result;
use crate::ledger::query::{self, Grant};
use crate::model::GenerationId;
use crate::world::World;

/// The grant under which automation may make a generation of a key, if one stands that covers it.
///
/// # Errors
/// The ledger cannot be read.
pub fn covering(world: &World, next: &GenerationId) -> Result<Option<Grant>> {
    let now = world.globals.clock.now();
    let grants = query::grants(world.ledger.connection(), Some(&next.key))?;
    let covers = |grant: &Grant| now < grant.params.not_after && (grant.used.contains(next) || grant.left() > 0);
    Ok(grants.into_iter().find(covers))
}
