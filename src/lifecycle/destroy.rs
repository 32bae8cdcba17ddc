//! Destroying a generation's private keys, copy by copy, each looked for afterwards.

use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::gate::{Failure, Permit, Plan, step};
use crate::hsm::store::DestroyedKey;
use crate::keys::Generation;
use crate::ledger::query::{self, OpenIntent};
use crate::outcome::{self, Receipt};
use crate::policy::Decision;
use crate::policy::life::{INDESTRUCTIBLE, all_copies};
use crate::request::{DestroyKey, Operation};
use crate::world::{World, act, orphans};

/// An act that is under way, or was interrupted, comes first.
pub(crate) fn refuse_open(world: &World, generation: &Generation) -> Result<()> {
    match query::open_about(world.ledger.connection(), &generation.id)?.first() {
        Some(seq) => {
            let message = format!("entry {seq} about {} has no outcome yet", generation.id);
            Err(Error::blocked("orphaned_intent", message).hint("keyctl recover"))
        }
        None => Ok(()),
    }
}

/// What is going to be done: every copy of the key goes, as the register has them.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn plan(world: &World, generation: &Generation) -> Result<Plan> {
    let object = generation.id.to_string();
    let params = DestroyKey {
        generation: generation.id.clone(),
        from: generation.state,
        copies: all_copies(generation, &query::last_facts(world.ledger.before(), generation)?),
    };
    Ok(Plan {
        rule: Rule::Destroy,
        command: vec!["destroy".into(), object.clone()],
        steps: vec![step(object.clone(), &params)?],
        object,
        break_glass: None,
    })
}

/// A key that was made so that it stays is told apart: no approval and no waiting helps.
pub(crate) fn refused(error: Error, generation: &Generation, decision: &[Decision]) -> Error {
    let gates = decision.first().map(Decision::gates).unwrap_or_default();
    let mut failed = gates.iter().filter(|gate| !gate.lets_pass());
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
pub(crate) fn carry_out(world: &mut World, permit: Permit<DestroyKey>, generation: &Generation) -> Result<()> {
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
pub(crate) fn late_evidence(world: &mut World) -> Result<usize> {
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

/// Goes on under an intent whose process is gone (governance T7): a copy that is gone counts as destroyed, and one that is still there is destroyed now.
pub(crate) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = orphans::resume::<DestroyKey>(world, orphan)?;
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
            act::close_failed::<DestroyKey, DestroyedKey>(
                world,
                permit,
                Failure { error: failure.error, unknown: failure.unknown },
            )?;
            Ok((if failure.unknown { "unknown" } else { "not-executed" }, detail))
        }
    }
}
