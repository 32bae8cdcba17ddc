//! `set-time`: sets the ledger's time right by quorum.

use crate::clock::rfc3339;
use crate::commands::preview::{self, Leading};
use crate::error::Result;
use crate::governance::time;
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::Mandate;

/// Set the ledger's time back to the clock's, after an entry under a clock that was ahead
///
/// Times in the ledger never go back by themselves, so one entry under a clock that was far ahead stops all others until
/// then; only what takes power away goes on. Once `keyctl doctor` finds nothing wrong with this clock, people who may adopt
/// settings agree to this, and from then on entries have the clock's time again. It is recorded, and `audit log` says so.
///
/// Examples:
///   keyctl set-time --because "the clock of the build host was a month ahead"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SetTimeArgs {}

/// Runs `set-time`.
///
/// # Errors
/// The ledger is not ahead of the clock, or the gate says no.
pub fn run(_args: &SetTimeArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let consent = match preview::consent(world, mandate, |world| time::plan(world))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let set = time::set(world, &consent)?;
    world.checkpoint()?;
    world.ui().say(&format!("the ledger's time is set from {} to {}", rfc3339(set.from), rfc3339(set.to)));
    Ok(Worst::default())
}
