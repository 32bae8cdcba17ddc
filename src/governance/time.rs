//! Setting the ledger's time right, after an entry was written under a clock that was ahead.

use crate::clock::rfc3339;
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::gate::{Consent, Plan, TimeSet, step};
use crate::request::SetTime;
use crate::world::{World, act};
use chrono::TimeDelta;

/// How far the clock may lie behind the newest entry without anything being stopped.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// What is going to be done: entries may have the clock's time again.
///
/// # Errors
/// `time_is_right` if the newest entry is not ahead of the clock.
pub(crate) fn plan(world: &World) -> Result<Plan> {
    let last = world.ledger.head()?.size.saturating_sub(1);
    let (from, to) = (world.ledger.entry(last)?.leaves_time(), world.globals.clock.now());
    if to >= from - TOLERANCE {
        let message = format!("the newest entry is of {}, and the clock says {}", rfc3339(from), rfc3339(to));
        return Err(Error::blocked("time_is_right", message).hint("keyctl doctor"));
    }
    let generation = world.ledger_key()?;
    let params = SetTime { generation, from, to, reason: world.reason() };
    Ok(Plan {
        rule: Rule::Adopt,
        object: SetTime::OBJECT.to_owned(),
        command: vec!["set-time".to_owned()],
        steps: vec![step(SetTime::OBJECT.to_owned(), &params)?],
        break_glass: None,
    })
}

/// Records it. Gives the time before and after.
///
/// # Errors
/// The gate says no.
pub(crate) fn set(world: &mut World, consent: &Consent) -> Result<SetTime> {
    let params = consent.plan().params::<SetTime>(SetTime::OBJECT)?;
    let request = world.request(SetTime::OBJECT.to_owned(), params.clone());
    let permit = act::admit(world, consent, request)?;
    let done = TimeSet::of(&permit);
    act::close(world, permit, Ok(done))?;
    Ok(params)
}
