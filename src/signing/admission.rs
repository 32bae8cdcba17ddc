//! The two doors that everything signed goes through: the gate before, and the closing of the permits behind.

use super::request::Terms;
use super::{Batch, Preview, Stored, approval};
use crate::error::{Error, Result};
use crate::gate::{self, Completes, Failure, Permit};
use crate::outcome;
use crate::policy::signing::RE_SIGN_REQUIRED;
use crate::request::{Request, SignArtifact};
use crate::world::World;
use crate::world::authority::Answer;
use crate::world::orphans::refuse_orphans;
use std::path::PathBuf;

/// Takes requests through the gate, in one transaction; the answers are in the order given. `files` are what they are
/// about, as they were named.
///
/// # Errors
/// A token waits for `recover`; the ledger cannot be written. Refusals are in the answers.
pub(super) fn admit(
    world: &mut World,
    terms: &Terms,
    files: &[PathBuf],
    requests: Vec<Request<SignArtifact>>,
    batch: &mut Batch,
) -> Result<Vec<Result<Permit<SignArtifact>>>> {
    refuse_busy_tokens(world, &requests)?;
    let process = world.process()?;
    let consent = match approval::ask(world, terms, files, &requests)? {
        Answer::Given(consent) => consent,
        Answer::Waits(pending) => {
            let error = pending.error();
            batch.waits = Some(pending);
            return Ok(files.iter().map(|_| Err(approval::repeated(&error))).collect());
        }
        Answer::Shown(_) => return Err(Error::bug("a dry run came to the gate")),
    };
    let answers = batch.laps.lap("gate", || gate::admit(&mut world.ledger, &process, &consent, requests))?;
    Ok(answers.into_iter().map(|answer| answer.map_err(|refusal| approval::advised(refusal.error))).collect())
}

/// What the gates would say; nothing is written and no key is touched.
///
/// # Errors
/// A token waits for `recover`; the ledger cannot be read.
pub(super) fn preview(
    world: &mut World,
    terms: &Terms,
    mut requests: Vec<Request<SignArtifact>>,
) -> Result<Vec<Preview>> {
    refuse_busy_tokens(world, &requests)?;
    approval::as_if_proven(world, &mut requests)?;
    let handed_in = terms.cab.as_ref().and_then(|cab| cab.handed_in(world));
    let decisions = gate::preview_on(&mut world.ledger, handed_in.as_ref(), &requests)?;
    Ok(requests.into_iter().zip(decisions).collect())
}

fn refuse_busy_tokens(world: &World, requests: &[Request<SignArtifact>]) -> Result<()> {
    refuse_orphans(world, requests.iter().flat_map(|request| &request.signatures).map(|covered| &covered.hsm))
}

/// What is said of a file that is signed as if it were any other, though it has to be signed again.
pub(super) fn marks(permit: &Permit<SignArtifact>) -> impl Iterator<Item = String> {
    let marks = permit.gates().iter().filter(|gate| gate.name == RE_SIGN_REQUIRED);
    marks.map(|gate| format!("{}; {}", gate.input, gate.limit))
}

/// Writes outcomes down, in one transaction, and then their evidence. The answers are in the order given.
///
/// # Errors
/// The ledger cannot be written.
pub(super) fn close<D: Completes<SignArtifact>>(
    world: &mut World,
    batch: &mut Batch,
    done: Vec<(Permit<SignArtifact>, Result<D, Failure>)>,
) -> Result<Vec<Result<Stored>>> {
    if done.is_empty() {
        return Ok(Vec::new());
    }
    batch.hung |= done.iter().any(|(_, result)| result.as_ref().is_err_and(|failure| failure.unknown));
    let answers = batch.laps.lap("outcome", || outcome::close(&mut world.ledger, crate::world::tool(), done))?;
    let receipts: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok().cloned()).collect();
    // The signatures are made and recorded; if the ledger key cannot be reached, only their evidence waits.
    batch.no_evidence = batch.laps.lap("evidence", || world.fragments(&receipts)).err();
    let stored = answers
        .into_iter()
        .map(|answer| answer.and_then(|receipt| world.fragment_path(&receipt).map(|path| (receipt, path))));
    Ok(stored.collect())
}

/// The only answer of one.
///
/// # Errors
/// The answer's own; there is none.
pub(super) fn only<T>(answers: Vec<Result<T>>) -> Result<T> {
    answers.into_iter().next().unwrap_or_else(|| Err(Error::bug("one was asked about, and there is no answer")))
}
