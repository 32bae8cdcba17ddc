//! `destroy`: the private key of a generation, for good.

use crate::commands::preview::{self, Leading};
use crate::commands::values;
use crate::error::Result;
use crate::gate;
use crate::keys::State;
use crate::lifecycle::destroy;
use crate::model::GenerationId;
use crate::policy::Decision;
use crate::published::register;
use crate::request::DestroyKey;
use crate::ui::Worst;
use crate::world::authority::Mandate;
use crate::world::{World, act};

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
pub fn run(args: &DestroyArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    world.settings()?;
    let key = args.generation.key.clone();
    let _lock = world.lock_key(&key)?;
    let generation = world.generation(&args.generation)?;
    if generation.state == State::Destroyed {
        world.ui().say(&format!("{} is destroyed already", generation.id));
        world.ui().object(&values::describe(&generation));
        return Ok(Worst::default());
    }
    destroy::refuse_open(world, &generation)?;
    let refused = |error, decision: &[Decision]| destroy::refused(error, &generation, decision);
    let consent = match preview::consent(world, mandate, |world| destroy::plan(world, &generation))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let object = generation.id.to_string();
    let request = world.request(object.clone(), consent.plan().params::<DestroyKey>(&object)?);
    let decision = gate::preview(&mut world.ledger, std::slice::from_ref(&request))?;
    let goes_on = !matches!(decision.first(), Some(Decision::Block(_)) | None);
    if goes_on {
        let what = format!("this destroys the private key of {} for good", generation.id);
        crate::ui::confirm(world.globals.yes, &what, &object)?;
    }
    let permit = act::admit(world, &consent, request).map_err(|error| refused(error, &decision))?;
    destroy::carry_out(world, permit, &generation)?;
    let generation = world.generation(&generation.id)?;
    world.checkpoint()?;
    register::register(world)?;
    world.ui().object(&values::describe(&generation));
    Ok(Worst::default())
}
