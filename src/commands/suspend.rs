//! `suspend`: stops a key for the time being, and lets it go on.

use super::act;
use crate::config::policy::Operation;
use crate::error::{Error, Result};
use crate::gate::{self, Completes, Recorded};
use crate::ledger::query;
use crate::model::{GenerationId, KeyName};
use crate::people::request::Step;
use crate::policy::Decide;
use crate::request::{ReinstateKey, SuspendKey};
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::{Intended, step};

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
    match args.lift {
        false => act(world, args, Operation::Suspend, SuspendKey { generation, reason })?,
        true => act(world, args, Operation::Reinstate, ReinstateKey { generation, reason })?,
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

fn act<O: Decide>(world: &mut World, args: &SuspendArgs, rule: Operation, params: O) -> Result<()>
where
    Recorded: Completes<O>,
{
    let object = args.key.to_string();
    // What was planned is what is done, its reason too.
    let params = world.planned_params::<O>(&object)?.unwrap_or(params);
    let request = world.request(object.clone(), params);
    if world.asks_people() {
        gate::foresee(&mut world.ledger, &request)?;
        let lift = args.lift.then(|| "--lift".to_owned());
        world.authorize(Intended {
            operation: rule,
            object: object.clone(),
            command: ["suspend".to_owned(), object.clone()].into_iter().chain(lift).collect(),
            steps: vec![step::<O>(object.as_str(), &request.params)?],
            subjects: vec![object],
            tokens: Vec::new(),
        })?;
    }
    if world.globals.dry_run {
        act::show(world, &request)?;
        return Ok(());
    }
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))?;
    world.checkpoint()?;
    Ok(())
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
    let object = key.to_string();
    let params = world.planned_params::<O>(&object)?.unwrap_or(params);
    let request = world.request(object, params);
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))
}
