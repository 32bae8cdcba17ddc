//! `destroy`: the private key of a generation, for good.

use super::{act, keygen, publish, recover};
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::files::lock::NamedLock;
use crate::gate::{self, Failure, Permit};
use crate::hsm::store::DestroyedKey;
use crate::keys::{Generation, State};
use crate::ledger::query::{self, OpenIntent};
use crate::model::GenerationId;
use crate::outcome::{self, Receipt};
use crate::policy::life::{INDESTRUCTIBLE, all_copies};
use crate::policy::{Decision, Verdict};
use crate::request::{DestroyKey, Operation, Request};
use crate::ui::Worst;
use crate::world::World;
use crate::world::authority::{Intended, step};
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
        world.ui().object(&keygen::describe(&generation));
        return Ok(Worst::default());
    }
    refuse_open(world, &generation)?;
    let request = resolve(world, &generation)?;
    if world.globals.dry_run {
        return act::show(world, &request);
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
    publish::register(world)?;
    world.ui().object(&keygen::describe(&generation));
    Ok(Worst::default())
}

/// An act that is under way, or was interrupted, comes first.
fn refuse_open(world: &World, generation: &Generation) -> Result<()> {
    match query::open_about(world.ledger.connection(), &generation.id)?.first() {
        Some(seq) => {
            let message = format!("entry {seq} about {} has no outcome yet", generation.id);
            Err(Error::blocked("orphaned_intent", message).hint("keyctl recover"))
        }
        None => Ok(()),
    }
}

/// Every copy of the key, as the register has it, or as it was planned.
fn resolve(world: &World, generation: &Generation) -> Result<Request<DestroyKey>> {
    let object = generation.id.to_string();
    let params = match world.planned_params::<DestroyKey>(&object)? {
        Some(planned) => planned,
        None => DestroyKey {
            generation: generation.id.clone(),
            from: generation.state,
            copies: all_copies(generation, &query::last_facts(world.ledger.connection(), generation)?),
        },
    };
    Ok(world.request(object, params))
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

/// A key that was made so that it stays is told apart: no approval and no waiting helps.
fn refused(error: Error, generation: &Generation, decision: &[Decision]) -> Error {
    let gates = decision.first().map(Decision::gates).unwrap_or_default();
    let mut failed = gates.iter().filter(|gate| gate.verdict != Verdict::Pass);
    let stays = failed.next().is_some_and(|gate| gate.name == INDESTRUCTIBLE) && failed.next().is_none();
    if error.code() != "gate_failed" || !stays {
        return error;
    }
    let message = format!("{} was made so that it cannot be destroyed: it goes only with its token", generation.id);
    Error::blocked("undestroyable", message)
        .hint("when the token holds nothing else any more, its security officer can initialise it anew")
        .because(error)
}

/// Destroys under the permit and closes it. Where nobody can say what was destroyed, the token is asked at once, and what
/// is left goes too; if it cannot be asked, the intent stays open, and `recover` goes on under it.
fn carry_out(world: &mut World, permit: Permit<DestroyKey>, generation: &Generation) -> Result<()> {
    let failure = match world.store.destroy(&permit, generation) {
        Err(failure) if failure.unknown => failure,
        ended => return close(world, permit, ended),
    };
    let again = match world.store.are_gone(&permit, generation) {
        Ok(None) => world.store.destroy(&permit, generation),
        Ok(Some(gone)) => Ok(gone),
        Err(_) => return Err(failure.error.hint("keyctl recover")),
    };
    match again {
        Ok(gone) => {
            world.ui().warn(&format!("{}; nothing of the key is left, so it is destroyed", failure.error.full()));
            close(world, permit, Ok(gone))
        }
        Err(later) if later.error.kind() == Kind::Unavailable => Err(later.error.hint("keyctl recover")),
        // It was looked for, and is still there.
        Err(later) => close(world, permit, Err(Failure { unknown: false, ..later })),
    }
}

fn close(world: &mut World, permit: Permit<DestroyKey>, ended: Result<DestroyedKey, Failure>) -> Result<()> {
    if ended.as_ref().is_ok_and(|destroyed| !destroyed.was_there()) {
        world.ui().say("its private key is on the token no more");
    }
    let answers = outcome::close(&mut world.ledger, crate::world::tool(), vec![(permit, ended)])?;
    let receipt = answers.into_iter().next().unwrap_or_else(|| Err(Error::bug("closing gave no answer")))?;
    evidence(world, &receipt)
}

/// The fragment can be made again from the ledger, so its absence undoes nothing.
fn evidence(world: &mut World, receipt: &Receipt) -> Result<()> {
    match world.fragments(std::slice::from_ref(receipt)) {
        Ok(paths) => {
            for path in paths {
                world.ui().detail(&format!("evidence: {}", crate::files::shown_path(&path)));
            }
        }
        Err(error) => {
            let error = error.about("destroyed and recorded, but there is no evidence yet").hint("keyctl recover");
            world.ui().error(&error);
        }
    }
    Ok(())
}

/// For `recover`: makes the fragments that are missing.
pub(super) fn late_evidence(world: &mut World) -> Result<usize> {
    let mut written = 0;
    for seq in query::all_outcomes(world.ledger.connection(), DestroyKey::ENTRY)? {
        // What failed has none.
        let Ok(receipt) = Receipt::load(&world.ledger, seq) else { continue };
        if !world.fragment_path(&receipt)?.exists() {
            world.fragments(std::slice::from_ref(&receipt))?;
            written += 1;
        }
    }
    Ok(written)
}

/// Goes on under an intent whose process is gone (governance T7): what is gone is destroyed, what is there still goes now.
pub(super) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = recover::resume::<DestroyKey>(world, orphan)?;
    let generation = world.generation(&permit.request().params.generation)?;
    if let Some(gone) = world.store.are_gone(&permit, &generation).map_err(|failure| failure.error)? {
        close(world, permit, Ok(gone))?;
        return Ok(("taken-over", "nothing of the key is left".into()));
    }
    match world.store.destroy(&permit, &generation) {
        Ok(destroyed) => {
            close(world, permit, Ok(destroyed))?;
            Ok(("done", "what was left of the key is destroyed now".into()))
        }
        Err(failure) if failure.error.kind() == Kind::Unavailable => Err(failure.error),
        Err(failure) => {
            let detail = failure.error.full();
            recover::close_with_error::<DestroyKey, DestroyedKey>(world, permit, failure.error, failure.unknown)?;
            Ok((if failure.unknown { "unknown" } else { "not-executed" }, detail))
        }
    }
}
