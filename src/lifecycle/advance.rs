//! Making a key ready for work: a pair, its certificate, and for the first generation the activation.

use crate::config::{Issuer, Key};
use crate::error::{Error, Result};
use crate::gate::{Consent, Plan, step};
use crate::keys::{Generation, State};
use crate::ledger::query;
use crate::lifecycle::certify::{certify, issue_step};
use crate::lifecycle::csr::request;
use crate::lifecycle::generate::{generate, next_pair};
use crate::lifecycle::{openpgp, pipelines};
use crate::model::{GenerationId, KeyName, Purpose};
use crate::people::request::{BreakGlass, Step};
use crate::policy::people::making;
use crate::request::ChangeState;
use crate::world::{World, act};

/// Brings the key's newest unfinished generation, or else a new one, as far as it goes without anybody outside.
pub(crate) fn advance(world: &mut World, consent: &Consent, name: &KeyName, key: &Key) -> Result<Generation> {
    let mut generation = match unfinished(world, name)? {
        Some(generation) => generation,
        None => generate(world, consent, name)?,
    };
    if let Some(reason) = &generation.quarantined {
        let message = format!("{} is quarantined: {reason}", generation.id);
        return Err(Error::blocked("quarantined", message).hint("keyctl doctor"));
    }
    if generation.state == State::Generated && key.issuer != Issuer::External && key.purpose != Purpose::Ledger {
        generation = certify(world, consent, &generation, key)?;
    }
    activate_first(world, consent, generation)
}

/// The key's newest generation that was begun and does not serve yet.
fn unfinished(world: &World, name: &KeyName) -> Result<Option<Generation>> {
    let is_unfinished = |generation: &Generation| {
        generation.id.key == *name && matches!(generation.state, State::Generated | State::Certified | State::Staged)
    };
    Ok(query::generations(world.ledger.connection())?.into_iter().rev().find(is_unfinished))
}

/// The first generation of a key takes over at once, since there is nobody to overlap with.
pub(crate) fn activate_first(world: &mut World, consent: &Consent, mut generation: Generation) -> Result<Generation> {
    let has_active = query::active(world.ledger.connection(), &generation.id.key)?.is_some();
    while !has_active && matches!(generation.state, State::Certified | State::Staged) {
        let to = if generation.state == State::Certified { State::Staged } else { State::Active };
        generation = act::change_state(world, consent, &generation, to, FIRST)?;
        if to == State::Active {
            pipelines::follow(world, &generation);
        }
    }
    Ok(generation)
}

/// Why a first generation moves on by itself.
pub(crate) const FIRST: &str = "first generation of its key";

/// What `keygen` of this key will do from where it stands.
///
/// # Errors
/// A parameter cannot be resolved: no active issuer, no token record, a profile that does not fit.
pub(crate) fn plan(
    world: &World,
    (name, key): (&KeyName, &Key),
    csr: bool,
    command: Vec<String>,
    break_glass: Option<BreakGlass>,
) -> Result<Plan> {
    let steps = steps(world, name, key, csr)?;
    if let Issuer::Key(issuer) = &key.issuer {
        // Without one that is active there is nothing to plan.
        world.active(issuer)?;
    }
    let object = steps.first().map_or_else(|| name.to_string(), |step| step.object.clone());
    Ok(Plan { rule: making(key.purpose), object, command, steps, break_glass })
}

/// Each act from here to a certified generation, and on to an active one if it is the key's first.
fn steps(world: &World, name: &KeyName, key: &Key, csr: bool) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let (id, mut state, created) = match unfinished(world, name)? {
        Some(known) => {
            let created = known.identities.first().and_then(|identity| identity.created);
            (known.id, known.state, created)
        }
        None => {
            let pair = next_pair(world, name, key)?;
            steps.push(step(pair.generation.to_string(), &pair)?);
            (pair.generation, State::Generated, pair.created)
        }
    };
    if state == State::Generated && key.issuer != Issuer::External && key.purpose != Purpose::Ledger {
        if key.purpose.is_openpgp() {
            steps.push(openpgp::certification_step(world, &id, key, created)?);
        } else {
            steps.push(issue_step(world, &id, key)?);
        }
        state = State::Certified;
    }
    if csr {
        steps.push(request(&id, key)?);
    }
    steps.extend(activation(world, &id, state)?);
    Ok(steps)
}

/// The steps by which the first generation of its key takes over.
pub(crate) fn activation(world: &World, id: &GenerationId, mut state: State) -> Result<Vec<Step>> {
    let first = query::active(world.ledger.connection(), &id.key)?.is_none();
    let mut steps = Vec::new();
    while first && matches!(state, State::Certified | State::Staged) {
        let to = if state == State::Certified { State::Staged } else { State::Active };
        let params = ChangeState { generation: id.clone(), from: state, to, reason: FIRST.into() };
        steps.push(step(id.to_string(), &params)?);
        state = to;
    }
    Ok(steps)
}
