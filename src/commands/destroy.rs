//! `destroy`: the private key of a generation, for good.

use crate::commands::{preview, values};
use crate::config::policy::Operation as Rule;
use crate::error::Result;
use crate::files::lock::NamedLock;
use crate::gate;
use crate::keys::State;
use crate::lifecycle::destroy::{carry_out, refuse_open, refused, resolve};
use crate::model::GenerationId;
use crate::policy::Decision;
use crate::published::register;
use crate::request::{DestroyKey, Operation, Request};
use crate::ui::Worst;
use crate::world::authority::{Intended, step};
use crate::world::{World, act};
use std::time::Duration;

/// Destroy the private key of a generation that serves no more
///
/// The key must be retired or revoked, or never have served. It is found by its CKA_ID and its public key, on the token
/// it was made on, and nothing else is touched; afterwards the token is searched, and nothing may be left of it. It takes
/// two people, and the generation typed once more, or --yes. What it signed stays signed, and its record stays.
///
/// A CA's key stays as long as lists have to be signed with it: until ten years after the last certificate it issued. CA
/// keys are made so that they cannot be destroyed at all; they go only when their token is initialised anew.
///
/// Repeating an interrupted destroy continues it, after `keyctl recover`.
///
/// Examples:
///   keyctl destroy windows/1
///   keyctl --yes destroy windows/1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DestroyArgs {
    /// The generation, as in windows/3
    generation: GenerationId,
}

/// Runs `destroy`.
///
/// # Errors
/// `undestroyable` for a key that goes only with its token; the gate's; `not_confirmed`; the token's.
pub fn run(args: &DestroyArgs, world: &mut World) -> Result<Worst> {
    world.settings()?;
    let key = args.generation.key.clone();
    let _lock = NamedLock::acquire(&world.dir.join("locks"), key.as_str(), Duration::from_secs(10))?;
    let generation = world.generation(&args.generation)?;
    if generation.state == State::Destroyed {
        world.ui().say(&format!("{} is destroyed already", generation.id));
        world.ui().object(&values::describe(&generation));
        return Ok(Worst::default());
    }
    refuse_open(world, &generation)?;
    let request = resolve(world, &generation)?;
    if world.globals.dry_run {
        return preview::show(world, &request);
    }
    if world.asks_people() {
        let intended = intended(&request)?;
        world.authorize(intended)?;
    }
    let decision = gate::preview(&mut world.ledger, std::slice::from_ref(&request))?;
    let goes_on = !matches!(decision.first(), Some(Decision::Block(_)) | None);
    if goes_on {
        let what = format!("this destroys the private key of {} for good", generation.id);
        crate::ui::confirm(world.globals.yes, &what, &generation.id.to_string())?;
    }
    let permit = act::admit(world, request).map_err(|error| refused(error, &generation, &decision))?;
    carry_out(world, permit, &generation)?;
    let generation = world.generation(&generation.id)?;
    world.checkpoint()?;
    register::register(world)?;
    world.ui().object(&values::describe(&generation));
    Ok(Worst::default())
}

fn intended(request: &Request<DestroyKey>) -> Result<Intended> {
    let object = request.object.clone();
    Ok(Intended {
        operation: Rule::Destroy,
        command: vec!["destroy".into(), object.clone()],
        steps: vec![step(object.clone(), &request.params)?],
        subjects: vec![request.params.generation.key.to_string()],
        tokens: request.params.copies.iter().map(|copy| copy.hsm.clone()).collect(),
        object,
    })
}
