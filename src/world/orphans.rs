//! Intents whose process is gone: what they are, and what has to wait until `recover` settled them.

use crate::error::{Error, Result};
use crate::files::lock::ProcessLock;
use crate::gate::{self, Permit};
use crate::ledger::query::{self, OpenIntent};
use crate::model::HsmName;
use crate::request::Operation;
use crate::world::World;

/// Intents whose owner is gone.
pub(crate) fn orphans(world: &World) -> Result<Vec<OpenIntent>> {
    let locks = world.dir.join("locks");
    let mut orphans = query::open_intents(world.ledger.connection())?;
    orphans.retain(|intent| intent.process.parse().is_ok_and(|id| ProcessLock::is_free(&locks, id).unwrap_or(false)));
    Ok(orphans)
}

/// Refuses to go on with a token on which an interrupted act left something unclear.
///
/// # Errors
/// `orphaned_intent`.
pub(crate) fn refuse_orphans<'a>(world: &World, tokens: impl IntoIterator<Item = &'a HsmName>) -> Result<()> {
    let orphans = orphans(world)?;
    for token in tokens {
        if let Some(orphan) = orphans.iter().find(|orphan| orphan.blocks.as_ref() == Some(token)) {
            let message =
                format!("an interrupted {} of {} is open on token {token}", orphan.kind.entry(), orphan.object);
            return Err(Error::blocked("orphaned_intent", message).hint("keyctl recover"));
        }
    }
    Ok(())
}

pub(crate) fn resume<O: Operation>(world: &World, orphan: &OpenIntent) -> Result<Permit<O>> {
    gate::resume(&world.ledger, &world.dir.join("locks"), orphan.seq)
}
