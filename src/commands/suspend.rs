//! `suspend`: stops a key for the time being, and lets it go on.

use super::act;
use crate::config::policy::Operation;
use crate::error::{Error, Result};
use crate::gate::{Completes, Recorded};
use crate::ledger::query;
use crate::model::{GenerationId, KeyName};
use crate::people::request::Step;
use crate::policy::Decide;
use crate::request::{ReinstateKey, SuspendKey};
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::step;

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
pub fn run(args: &SuspendArgs, world: &mut World) -> Result<Worst> {
    let generation = newest(world, &args.key)?;
    let reason = world.reason();
    let (object, subjects) = (args.key.to_string(), vec![args.key.to_string()]);
    let mut command = vec!["suspend".to_owned(), object.clone()];
    match args.lift {
        false => {
            let request = act::as_planned(world, &object, SuspendKey { generation, reason })?;
            act::record(world, Operation::Suspend, command, subjects, request)?;
        }
        true => {
            command.push("--lift".to_owned());
            let request = act::as_planned(world, &object, ReinstateKey { generation, reason })?;
            act::record(world, Operation::Reinstate, command, subjects, request)?;
        }
    }
    let what = if args.lift { "goes on" } else { "signs and issues nothing from now on" };
    if !world.globals.dry_run {
        world.ui().say(&format!("{} {what}", args.key));
    }
    Ok(Worst::default())
}

/// The generation in use, or else the newest.
fn newest(world: &World, key: &KeyName) -> Result<GenerationId> {
    let conn = world.ledger.connection();
    if let Some(active) = query::active(conn, key)? {
        return Ok(active.id);
    }
    let mut all = query::generations(conn)?.into_iter().filter(|generation| generation.id.key == *key);
    let unknown = || Error::usage("unknown_key", format!("the register has no key {key}")).hint("keyctl status");
    all.next_back().map(|generation| generation.id).ok_or_else(unknown)
}

/// Stopping a key as a step of something larger.
pub(super) fn step_to_suspend(world: &World, key: &KeyName) -> Result<Step> {
    let params = SuspendKey { generation: newest(world, key)?, reason: world.reason() };
    step::<SuspendKey>(key.to_string(), &params)
}

/// Letting it go on as the last step of something larger: with whichever generation is in use by then.
pub(super) fn step_to_reinstate(world: &World, key: &KeyName) -> Result<Step> {
    let params = ReinstateKey { generation: newest(world, key)?, reason: world.reason() };
    step::<ReinstateKey>(key.to_string(), &params)
}

/// Stops a key, as it was agreed to.
pub(super) fn suspend_now(world: &mut World, key: &KeyName) -> Result<()> {
    let params = SuspendKey { generation: newest(world, key)?, reason: world.reason() };
    do_now(world, key, params)
}

/// Lets a key go on, as it was agreed to.
pub(super) fn lift_now(world: &mut World, key: &KeyName) -> Result<()> {
    let params = ReinstateKey { generation: newest(world, key)?, reason: world.reason() };
    do_now(world, key, params)
}

fn do_now<O: Decide>(world: &mut World, key: &KeyName, params: O) -> Result<()>
where
    Recorded: Completes<O>,
{
    let request = act::as_planned(world, key.as_str(), params)?;
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))
}
