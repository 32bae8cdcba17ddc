//! A rotation that failed (B24): the alert, its deadline, and what is said of it until a rotation was completed.

use crate::clock::{Time, rfc3339};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::keys::rotation;
use crate::ledger::alerts::{self, RotationFailed};
use crate::ledger::query;
use crate::ledger::query::rotation::{self as recorded, Failure};
use crate::model::KeyName;
use crate::world::World;
use chrono::TimeDelta;

/// How long there is to put it right by hand.
const DEADLINE: TimeDelta = TimeDelta::hours(24);

/// Refusals that say what to do first: nothing went wrong.
const NO_FAILURE: &[&str] = &["gate_failed", "settings_changed", "clock_behind", "orphaned_intent"];

/// Writes the alert, unless one is open that nothing was validated after: its deadline runs already.
///
/// Whoever typed something wrong, has to ask people first, or was stopped by a gate that says why, has not met a failure.
///
/// # Errors
/// The ledger cannot be written.
pub(crate) fn record(world: &mut World, name: &KeyName, error: &Error) -> Result<()> {
    let kinds = [Kind::Usage, Kind::ApprovalNeeded, Kind::Interrupted];
    let is_refusal = error.kind() == Kind::Blocked && NO_FAILURE.contains(&error.code());
    if kinds.contains(&error.kind()) || is_refusal {
        return Ok(());
    }
    let conn = world.ledger.connection();
    if recorded::open_failures(conn, name)?.iter().any(|failure| !failure.is_validated) {
        return Ok(());
    }
    let mut generations = query::generations(conn)?;
    generations.retain(|generation| generation.id.key == *name);
    let successor = rotation::successor(&generations);
    let now = world.globals.clock.now();
    let alert = RotationFailed {
        key: name.clone(),
        generation: successor.map(|successor| successor.id.clone()),
        active: rotation::active(&generations).map(|active| active.id.clone()),
        state: successor.map(|successor| successor.state),
        error_class: error.kind().class().to_owned(),
        code: error.code().to_owned(),
        message: RotationFailed::words(error),
        deadline: now.checked_add_signed(DEADLINE).unwrap_or(now),
    };
    let by = (&world.globals.actor(), &world.globals.correlation_id.clone());
    alerts::write(&mut world.ledger, RotationFailed::ENTRY, by, &[alert])?;
    let message = format!("the rotation of {name} failed; it is to be put right within 24 hours (keyctl status)");
    world.ui().warn(&message);
    Ok(())
}

/// The open failures of all keys.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn open(world: &World, settings: &Settings) -> Result<Vec<Failure>> {
    let mut all = Vec::new();
    for name in settings.keys.keys() {
        all.extend(recorded::open_failures(world.ledger.connection(), name)?);
    }
    Ok(all)
}

/// What is said of a failure until it is put right.
pub(crate) fn deadline_words(failure: &Failure, now: Time) -> String {
    let RotationFailed { key, code, message, deadline, .. } = &failure.alert;
    let left = deadline.signed_duration_since(now);
    let time = match (left.num_hours(), left.num_minutes().rem_euclid(60)) {
        _ if left <= TimeDelta::zero() => format!("overdue since {}", rfc3339(*deadline)),
        (hours, minutes) => format!("{hours} h {minutes} min left"),
    };
    let validated = if failure.is_validated { "; the new certificate was validated" } else { "" };
    format!("the rotation of {key} failed ({code}: {message}), {time}{validated}; keyctl rotate {key}")
}
