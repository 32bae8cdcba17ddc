//! `suspend`: stops a key for the time being, and lets it go on.

use crate::config::policy::Operation;
use crate::error::Result;
use crate::lifecycle::suspend::newest;
use crate::model::KeyName;
use crate::request::{ReinstateKey, SuspendKey};
use crate::ui::Worst;
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
