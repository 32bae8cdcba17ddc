//! Telling a revocation: the decision with its list or keyring, further lists, the register, and the look at the URLs.

use crate::error::{Error, Kind, Result};
use crate::gate::{Consent, unplanned};
use crate::keys::{Revocation, RevocationReason};
use crate::ledger::query;
use crate::lifecycle::lists::{issue, list, served};
use crate::lifecycle::revocation::channel::{self, Channel};
use crate::lifecycle::revocation::keyring;
use crate::lifecycle::revocation::revoking::{Revoking, bare_request, plain};
use crate::model::GenerationId;
use crate::outcome::Receipt;
use crate::pki::revoked::Revoked;
use crate::published::{keyrings, worktree};
use crate::request::{Operation, Request, RevokeKey};
use crate::ui::Worst;
use crate::world::{World, act};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What telling came to.
pub(crate) struct Announced {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) failure: Option<Error>,
}

/// Does what is left to do: the revocation itself unless everyone was told, lists of further CAs, and the look at the
/// URLs.
pub(crate) fn tell(
    world: &mut World,
    consent: &Consent,
    revoking: &Revoking,
    fetch: bool,
    stop: &Arc<AtomicBool>,
) -> Announced {
    let mut receipts = Vec::new();
    let failure = tell_into(world, (consent, revoking), fetch, stop, &mut receipts).err();
    Announced { receipts, failure }
}

fn tell_into(
    world: &mut World,
    (consent, revoking): (&Consent, &Revoking),
    fetch: bool,
    stop: &Arc<AtomicBool>,
    receipts: &mut Vec<Receipt>,
) -> Result<()> {
    if !revoking.is_done() {
        receipts.push(decide(world, consent, revoking)?);
    }
    if matches!(revoking.way, Channel::Keyring(_)) {
        keyrings::publish(world)?;
    }
    // Certificates by further CAs, such as a former generation's over its successor.
    for (issuer, generation) in query::unlisted_generations(world.ledger.connection())? {
        let ca = world.generation(&issuer)?;
        if generation == revoking.generation.id && issue::can_list(&ca, world.globals.clock.now()) {
            let _lock = world.lock_key(&issuer.key)?;
            receipts.push(issue::issue(world, consent, &ca)?);
        }
    }
    // Where files go by git, they are to be there before anybody looks.
    worktree::publish_now(world)?;
    if let Channel::List(ca) = &revoking.way {
        served::confirm(world, ca, fetch, stop)?;
    }
    Ok(())
}

/// The revocation: one intent for the decision and for telling it.
fn decide(world: &mut World, consent: &Consent, revoking: &Revoking) -> Result<Receipt> {
    match &revoking.way {
        Channel::List(ca) => {
            let _lock = world.lock_key(&ca.id.key)?;
            let mut list = list::plan(world, ca, Some((&revoking.generation.id, revoking.terms)))?;
            let permit = act::admit(world, consent, list_request(world, revoking, &list))?;
            let marks = query::resign_count(world.ledger.connection(), &revoking.generation.id)?;
            let listed = list.sign(&world.store, &permit).map(|list| Revoked::listed(list, marks));
            world.ui().detail(&format!("time of the list: {}", list.laps()));
            act::close_for_evidence(world, permit, listed)
        }
        Channel::Keyring(primary) => keyring::decide(world, consent, revoking, primary),
        Channel::Register(_) => {
            let permit = act::admit(world, consent, bare_request(world, revoking))?;
            let marks = query::resign_count(world.ledger.connection(), &revoking.generation.id)?;
            act::close_for_evidence(world, permit, Ok(Revoked::registered(marks)))
        }
    }
}

pub(crate) fn list_request(world: &World, revoking: &Revoking, list: &list::List) -> Request<RevokeKey> {
    let mut request = bare_request(world, revoking);
    request.params.crl = Some(list.crl.clone());
    request.signatures = vec![list.covered.clone()];
    request
}

/// Revokes a retired generation as superseded, as of its retirement. The caller holds the key's lock.
///
/// # Errors
/// As [`run`].
pub(crate) fn supersede(world: &mut World, consent: &Consent, id: &GenerationId) -> Result<()> {
    let revoking = plain(world, id, (RevocationReason::Superseded, None), None, None)?;
    let command = ["revoke", &id.to_string(), "--reason", RevocationReason::Superseded.as_str()];
    let plan = revoking.plan(command.map(str::to_owned).to_vec(), None)?;
    let consent = consent.also(plan).ok_or_else(|| unplanned(RevokeKey::KIND, &id.to_string()))?;
    carry_out(world, &consent, &revoking, false)
}

pub(crate) fn carry_out(world: &mut World, consent: &Consent, revoking: &Revoking, fetch: bool) -> Result<()> {
    let stop = crate::world::interrupts()?;
    let told = tell(world, consent, revoking, fetch, &stop);
    let mut worst = Worst::default();
    issue::finish(world, &told.receipts, &mut worst)?;
    told.failure.map_or(Ok(()), |error| Err(unpublished(world, revoking, error).unwrap_or_else(|error| error)))
}

/// Continues revocations that verifiers were not told of, for `recover`.
///
/// # Errors
/// The first thing that keeps one from being told.
pub(crate) fn go_on(world: &mut World, recorded: Revocation, stop: &Arc<AtomicBool>) -> Result<Vec<Receipt>> {
    let _lock = world.lock_key(&recorded.generation.key)?;
    let generation = world.generation(&recorded.generation)?;
    let reference = channel::recorded_reference(world, &recorded)?;
    let way = channel::of(world, &generation, reference.as_deref())?;
    let (terms, seq) = (recorded.terms, recorded.seq);
    let revoking = Revoking { generation, terms, way, reference, put_aside: None, recorded: Some(recorded) };
    let consent = Consent::of_intent(revoking.plan(vec!["recover".to_owned()], None)?, seq);
    let told = tell(world, &consent, &revoking, false, stop);
    told.failure
        .map_or(Ok(told.receipts), |error| Err(unpublished(world, &revoking, error).unwrap_or_else(|error| error)))
}

/// If the decision stands, a failure means that verifiers do not know of it. If it does not, nothing happened.
pub(crate) fn unpublished(world: &World, revoking: &Revoking, error: Error) -> Result<Error> {
    let id = &revoking.generation.id;
    let recorded = query::revocation(world.ledger.connection(), id)?;
    if recorded.is_none_or(|recorded| recorded.terms != revoking.terms) || error.kind() == Kind::Bug {
        return Err(error);
    }
    if error.code() == "crl_not_served" {
        return Ok(error.about(format!("{id} is revoked, and its list says so")));
    }
    let message = format!("{id} is revoked here and signs nothing more, but verifiers cannot know yet");
    let again = format!("keyctl revoke {id} --reason {}", revoking.terms.reason);
    // What will not help a second time is not asked for a second time: a wrong PIN locks a token.
    let hint = match (error.kind(), error.advice()) {
        (Kind::Unavailable | Kind::Interrupted, _) => again,
        (_, Some(first)) => format!("first: {first}; then {again}"),
        (_, None) => format!("when that is put right: {again}"),
    };
    Ok(Error::new(error.kind(), "revoked_unpublished", message).because(error).hint(hint))
}
