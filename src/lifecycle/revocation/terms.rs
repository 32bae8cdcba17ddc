//! What a revocation says: the reason that was given, and the dates that follow from it (governance C5).

use crate::clock::{self, Time, rfc3339};
use crate::error::{Error, Result};
use crate::gate::Plan;
use crate::keys::{Generation, Revocation, RevocationReason, State, Terms};
use crate::ledger::query;
use crate::model::GenerationId;
use crate::request::{ChangeState, Operation, RevokeKey};
use crate::world::World;

/// The terms of a revocation that was planned.
pub fn planned(plan: &Plan, id: &GenerationId) -> Option<Terms> {
    let object = id.to_string();
    plan.find(RevokeKey::KIND, &object)?;
    plan.params::<RevokeKey>(&object).ok().map(|params| params.terms())
}

/// A time as RFC 3339.
///
/// # Errors
/// It is none.
pub fn parse_time(text: &str) -> Result<Time> {
    let bad = || Error::usage("bad_time", format!("--compromised-since {text:?} is not RFC 3339"));
    clock::parse(text).ok_or_else(bad)
}

/// What the revocation will say. The same as it says already, if that is what was asked for.
///
/// # Errors
/// `date_not_wanted`, `bad_time` for a date that cannot be; `revoked_already` (blocked) with other words.
pub fn resolve(
    world: &World,
    generation: &Generation,
    recorded: Option<&Revocation>,
    (reason, since): (RevocationReason, Option<Time>),
    planned: Option<Terms>,
) -> Result<Terms> {
    let id = &generation.id;
    if let Some(old) = recorded.map(|old| old.terms)
        && old.reason == reason
        && (since.is_none() || since == old.invalidity_date)
    {
        return Ok(old);
    }
    if let Some(planned) = planned {
        return Ok(planned);
    }
    let now = world.globals.clock.now();
    if let Some(since) = since {
        check_since(generation, reason, since, now)?;
    }
    let date = match (since, reason) {
        (Some(since), _) => since,
        (None, RevocationReason::Superseded | RevocationReason::CessationOfOperation) => {
            retired_at(world, generation)?.unwrap_or(now)
        }
        _ => now,
    };
    let date = recorded.map_or(date, |old| date.min(old.terms.revocation_date));
    let terms = Terms { reason, revocation_date: date, invalidity_date: since };
    match recorded {
        Some(old) if !terms.sharpen(&old.terms) => {
            let said = format!("{} from {} on", old.terms.reason, rfc3339(old.terms.revocation_date));
            let message =
                format!("{id} is revoked already, for {said}; only a compromise, or an earlier one, can be added");
            Err(Error::blocked("revoked_already", message).hint("keyctl status"))
        }
        _ => Ok(terms),
    }
}

fn check_since(generation: &Generation, reason: RevocationReason, since: Time, now: Time) -> Result<()> {
    if !matches!(reason, RevocationReason::KeyCompromise | RevocationReason::CaCompromise) {
        let message = format!("--compromised-since goes with keyCompromise and cACompromise, not with {reason}");
        return Err(Error::usage("date_not_wanted", message));
    }
    let made = generation.identities.first().and_then(|identity| identity.created);
    let certified = generation.credential().map(|credential| credential.validity().0);
    let first = [made, certified].into_iter().flatten().min();
    match first {
        _ if since > now => {
            Err(Error::usage("bad_time", format!("--compromised-since {} is in the future", rfc3339(since))))
        }
        Some(first) if since < first => {
            let message =
                format!("--compromised-since {}: {} was made at {}", rfc3339(since), generation.id, rfc3339(first));
            Err(Error::usage("bad_time", message).hint(format!("--compromised-since {}", rfc3339(first))))
        }
        _ => Ok(()),
    }
}

/// When the generation stopped signing: its retirement, so that what it signed before stays good.
fn retired_at(world: &World, generation: &Generation) -> Result<Option<Time>> {
    let outcomes = query::outcomes_about(world.ledger.connection(), ChangeState::ENTRY, &generation.id)?;
    for seq in outcomes.into_iter().rev() {
        let receipt = crate::outcome::Receipt::load(&world.ledger, seq)?;
        if matches!(receipt.params::<ChangeState>()?.to, State::Retired | State::CrlOnly) {
            return Ok(Some(receipt.outcome().time));
        }
    }
    Ok(None)
}
