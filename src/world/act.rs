//! One act of a command on its road: through the gate with one request, and its permit closed with what came of it.

use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::gate::{self, Completes, Failure, Permit, Recorded};
use crate::keys::{Generation, State};
use crate::model::{SpkiHash, Tbs, hex};
use crate::outcome;
use crate::policy::Decide;
use crate::request::{ChangeState, Covered, Operation, Request, Role};
use crate::world::authority::{Intended, step};
use crate::world::{World, orphans};

/// Admits one request, unless its token waits for `recover`; a refusal becomes the error.
pub fn admit<O: Decide>(world: &mut World, request: Request<O>) -> Result<Permit<O>> {
    orphans::refuse_orphans(world, request.signatures.iter().map(|covered| &covered.hsm))?;
    let process = world.process()?;
    let answers = gate::admit(&mut world.ledger, &process, world.warrant.as_ref(), vec![request])?;
    match answers.into_iter().next() {
        Some(Ok(permit)) => Ok(permit),
        Some(Err(refusal)) => Err(refusal.error),
        None => Err(Error::bug("the gate gave no answer")),
    }
}

/// Does what leaves nothing but its record, once people agreed to it where they are asked. A dry run shows the request.
pub fn record<O: Decide>(
    world: &mut World,
    rule: Rule,
    command: Vec<String>,
    subjects: Vec<String>,
    request: Request<O>,
) -> Result<()>
where
    Recorded: gate::Completes<O>,
{
    if world.asks_people() {
        gate::foresee(&mut world.ledger, &request)?;
        let object = request.object.clone();
        let steps = vec![step::<O>(object.clone(), &request.params)?];
        world.authorize(Intended { operation: rule, object, command, steps, subjects, tokens: Vec::new() })?;
    }
    if world.globals.dry_run {
        return crate::commands::preview::show(world, &request).map(drop);
    }
    let permit = admit(world, request)?;
    close(world, permit, Ok(Recorded::new()))?;
    world.checkpoint().map(drop)
}

/// A request for what was planned, if people agreed to a plan; else for this.
pub fn as_planned<O: Operation>(world: &World, object: &str, params: O) -> Result<Request<O>> {
    let params = world.planned_params::<O>(object)?.unwrap_or(params);
    Ok(world.request(object.to_owned(), params))
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
pub fn change_state(world: &mut World, generation: &Generation, to: State, reason: &str) -> Result<Generation> {
    let params = ChangeState { generation: generation.id.clone(), from: generation.state, to, reason: reason.into() };
    let request = world.request(generation.id.to_string(), params);
    let permit = admit(world, request)?;
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

/// A command line that may be typed into a shell.
pub fn line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.:,+@".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    let words: Vec<_> = words.iter().map(word).collect();
    format!("keyctl {}", words.join(" "))
}

pub(crate) fn close_with_error<O: Operation, D: Completes<O>>(
    world: &mut World,
    permit: Permit<O>,
    error: Error,
    unknown: bool,
) -> Result<()> {
    let results: Vec<(Permit<O>, Result<D, Failure>)> = vec![(permit, Err(Failure { error, unknown }))];
    // The error is the outcome here, so it is no error of ours.
    outcome::close(&mut world.ledger, crate::world::tool(), results).map(drop)
}
