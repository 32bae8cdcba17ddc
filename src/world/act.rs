//! One act of a command on its road: through the gate with one request, and its permit closed with what came of it.

use crate::error::{Error, Kind, Result};
use crate::gate::{self, Consent, Failure, Permit, Recorded};
use crate::keys::{Generation, State};
use crate::model::{SpkiHash, Tbs, hex};
use crate::outcome;
use crate::policy::Decide;
use crate::request::{ChangeState, Covered, Operation, Request, Role};
use crate::world::World;
use crate::world::orphans::refuse_orphans;

/// Admits one request, unless its token waits for `recover`; a refusal becomes the error.
pub fn admit<O: Decide>(world: &mut World, consent: &Consent, request: Request<O>) -> Result<Permit<O>> {
    refuse_orphans(world, request.signatures.iter().map(|covered| &covered.hsm))?;
    let process = world.process()?;
    let answers = gate::admit(&mut world.ledger, &process, consent, vec![request])?;
    match answers.into_iter().next() {
        Some(Ok(permit)) => Ok(permit),
        Some(Err(refusal)) => Err(refusal.error),
        None => Err(Error::bug("the gate gave no answer")),
    }
}

/// Does the one planned act of this kind that leaves nothing but its record.
pub fn record<O: Decide>(world: &mut World, consent: &Consent, object: &str) -> Result<()>
where
    Recorded: gate::Completes<O>,
{
    let request = world.request(object.to_owned(), consent.plan().params::<O>(object)?);
    let permit = admit(world, consent, request)?;
    close(world, permit, Ok(Recorded::new()))
}

/// Closes one permit; its failure becomes the error, after it is in the ledger.
pub fn close<O, D>(world: &mut World, permit: Permit<O>, result: Result<D, Failure>) -> Result<()>
where
    O: Operation,
    D: gate::Completes<O>,
{
    close_for_evidence(world, permit, result).map(drop)
}

/// As [`close`]; evidence is made of what it gives.
pub fn close_for_evidence<O, D>(
    world: &mut World,
    permit: Permit<O>,
    result: Result<D, Failure>,
) -> Result<outcome::Receipt>
where
    O: Operation,
    D: gate::Completes<O>,
{
    let answers = outcome::close(&mut world.ledger, crate::world::tool(), vec![(permit, result)])?;
    let none = || Error::new(Kind::Bug, "internal", "closing gave no answer");
    answers.into_iter().next().unwrap_or_else(|| Err(none()))
}

/// Closes a permit with what went wrong, which is its outcome and so no error.
pub fn close_failed<O, D>(world: &mut World, permit: Permit<O>, failure: Failure) -> Result<()>
where
    O: Operation,
    D: gate::Completes<O>,
{
    let results: Vec<(Permit<O>, Result<D, Failure>)> = vec![(permit, Err(failure))];
    outcome::close(&mut world.ledger, crate::world::tool(), results).map(drop)
}

/// Moves a generation one step along its life.
pub fn change_state(
    world: &mut World,
    consent: &Consent,
    generation: &Generation,
    to: State,
    reason: &str,
) -> Result<Generation> {
    let params = ChangeState { generation: generation.id.clone(), from: generation.state, to, reason: reason.into() };
    let request = world.request(generation.id.to_string(), params);
    let permit = admit(world, consent, request)?;
    close(world, permit, Ok(gate::StateChanged::new()))?;
    world.generation(&generation.id)
}

/// One signature by this copy of a key over exactly this.
pub fn covered(role: Role, spki: SpkiHash, copy: &crate::keys::Copy, tbs: &Tbs) -> Covered {
    Covered {
        role,
        spki_sha256: Some(spki),
        hsm: copy.hsm.clone(),
        cka_id: copy.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }
}
