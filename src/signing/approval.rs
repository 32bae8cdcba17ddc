//! Who asks for signatures, if they prove it (`--identity`): one approval request for the files that are signed
//! together. Where the requester is enough, or the board's approval is given besides, it is consumed at once; otherwise
//! it waits for others, and `run` signs exactly what they approved.

use super::request::Terms;
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::files::absolute;
use crate::gate::{Consent, Plan, step};
use crate::ledger::query;
use crate::people::ApprovalRequest;
use crate::people::request::Step;
use crate::policy::derived;
use crate::request::{Operation, Request, SignArtifact};
use crate::world::World;
use crate::world::authority::{Answer, Mandate};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Files that share a request when somebody proves that they ask: it has to be readable.
pub(super) const MAX_FILES: usize = 16;

/// What the files may be signed under: what people agreed to; who proves that they ask; or else who says so.
///
/// # Errors
/// The identity is nobody's of the roster, or does not sign.
pub(super) fn ask(
    world: &mut World,
    terms: &Terms,
    files: &[PathBuf],
    requests: &[Request<SignArtifact>],
) -> Result<Answer> {
    if let Some(agreed) = &terms.agreed {
        return Ok(Answer::Given(Consent::of_people(agreed.clone())));
    }
    let plan = plan(terms, files, requests)?;
    if !is_asked(world)? || requests.is_empty() {
        return Ok(Answer::Given(Consent::of_role(plan)));
    }
    world.consent(Mandate::Typed, |_| Ok(plan))
}

/// Whether who asks proves it, so that it is a request that others may have to sign.
///
/// # Errors
/// The roster cannot be read.
pub(super) fn is_asked(world: &World) -> Result<bool> {
    Ok(world.globals.identity.is_some() && query::roster(world.ledger.connection())?.is_some())
}

/// Signing these files.
///
/// # Errors
/// A path is not UTF-8.
pub(super) fn plan(terms: &Terms, files: &[PathBuf], requests: &[Request<SignArtifact>]) -> Result<Plan> {
    let is_again = requests.iter().any(|request| request.params.resigns.is_some());
    let mut command = terms.command.clone();
    command.push("--".to_owned());
    for file in files {
        command.push(absolute(file)?);
    }
    let rule = if is_again { Rule::ReSign } else { Rule::Sign };
    let steps: Vec<_> =
        requests.iter().map(|request| step(request.object.clone(), &request.params)).collect::<Result<_>>()?;
    let object = derived::object_of(rule, &steps)?.unwrap_or_else(|| "no files".to_owned());
    Ok(Plan { rule, object, command, steps, break_glass: None })
}

/// For a dry run: the request is that of the person whose key it is, though nothing is signed with it.
///
/// # Errors
/// The identity cannot be read.
pub(super) fn as_if_proven(world: &World, requests: &mut [Request<SignArtifact>]) -> Result<()> {
    let actor = world.asker()?;
    requests.iter_mut().for_each(|request| request.actor = actor.clone());
    Ok(())
}

/// A refusal that people can turn into a yes says how.
pub(super) fn advised(error: Error) -> Error {
    let advice =
        "keyctl cab drafts an approval, which --cab takes; with --identity the request waits for others instead";
    let waits = error.kind() == Kind::ApprovalNeeded;
    error.maybe_hint(waits.then_some(advice))
}

/// The same error, for one more file.
pub(super) fn repeated(error: &Error) -> Error {
    Error::new(error.kind(), error.code(), error.message()).maybe_hint(error.advice())
}

/// Under what people agreed to, what is new with each run is as it was planned: identifiers, and who built the files.
///
/// # Errors
/// The planned parameters cannot be read.
pub(super) fn as_planned(agreed: Option<&ApprovalRequest>, requests: &mut [Request<SignArtifact>]) -> Result<()> {
    let Some(document) = agreed else { return Ok(()) };
    let mut planned: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in document.steps.iter().rev().filter(|step| step.operation == SignArtifact::NAME) {
        planned.entry(&step.object).or_default().push(step);
    }
    for request in requests {
        // Two files may have the same bytes.
        let Some(step) = planned.get_mut(request.object.as_str()).and_then(Vec::pop) else { continue };
        let params: SignArtifact = serde_json::from_value(step.params.clone())
            .map_err(|error| Error::failed("bad_request", "a planned step cannot be read").because(error))?;
        request.params.artifact_id = params.artifact_id;
        request.params.provenance = params.provenance;
    }
    Ok(())
}
