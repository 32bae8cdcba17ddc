//! `suspend`: stops a key for the time being, and lets it go on.

use crate::commands::preview::{self, Leading};
use crate::error::Result;
use crate::lifecycle::suspend;
use crate::model::KeyName;
use crate::request::{ReinstateKey, SuspendKey};
use crate::ui::Worst;
use crate::world::authority::Mandate;
use crate::world::{World, act};

/// Stop a key at once from signing and issuing, or let it go on
///
/// Any one person who proves it may suspend a key; all its generations, those to come as well, then sign and issue
/// nothing, and standing approvals for it end. Revocation lists are still signed. --lift ends the suspension, and
/// takes the quorum. Give the reason with --because.
///
/// Examples:
///   keyctl suspend windows --because "a build host is under suspicion"
///   keyctl suspend windows --lift
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SuspendArgs {
    /// The key, as `[keys.KEY]` names it
    key: KeyName,
    /// End the suspension
    #[arg(long)]
    lift: bool,
}

/// Runs `suspend`.
///
/// # Errors
/// There is no such key, or the gate says no.
pub fn run(args: &SuspendArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let key = &args.key;
    let consent = match preview::consent(world, mandate, |world| suspend::plan(world, key, args.lift))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    match args.lift {
        false => act::record::<SuspendKey>(world, &consent, key.as_str())?,
        true => act::record::<ReinstateKey>(world, &consent, key.as_str())?,
    }
    world.checkpoint()?;
    let what = if args.lift { "goes on" } else { "signs and issues nothing from now on" };
    world.ui().say(&format!("{key} {what}"));
    Ok(Worst::default())
}
