//! …

use crate::clock::{Time, rfc3339};
use crate::config::Settings;
use crate::error::{Kind, Result};
use crate::gate::Warrant;
use crate::governance::grants;
use crate::keys::rotation::{self, Next, Step, Wait};
use crate::keys::{Credential, Generation, State};
use crate::ledger::alerts::{self, CertificateExpiry};
use crate::ledger::query::{self, rotation as recorded};
use crate::lifecycle::lists::issue;
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::{advance, words};
use crate::model::{GenerationId, KeyName};
use crate::ui::{Row, Worst, error_value};
use crate::world::World;

/// Days before a certificate expires at which an alert is given, once each (domain §4).
const EXPIRY_DAYS: [u32; 3] = [30, 14, 7];

/// Revocation lists that are old, not published as recorded, or say less than the ledger.
pub(crate) fn lists(world: &mut World, worst: &mut Worst, rows: &mut Vec<Row>) -> Result<()> {
    let done = if world.globals.dry_run { "would issue" } else { "issued" };
    for (ca, issued) in issue::refresh(world, worst)? {
        rows.push(match issued {
            Ok(why) => item(&ca.key, "revocation list", done).with("generation", ca.to_string()).with("detail", why),
            Err(error) => {
                worst.add(error.kind());
                world.ui().error(&error);
                let row = item(&ca.key, "revocation list", "failed").with("error", error_value(&error));
                row.with("command", format!("keyctl crl {}", ca.key))
            }
        });
    }
    Ok(())
}

pub(crate) fn item(name: &KeyName, what: &str, result: &str) -> Row {
    Row::new().with("key", name.as_str()).with("what", what).with("result", result)
}

/// What a key's rotation has to show; nothing if nothing is due.
pub(crate) fn rotation_of(
    world: &mut World,
    settings: &Settings,
    name: &KeyName,
) -> Result<Option<(Row, Option<Kind>)>> {
    let known = Known::read_with(world, settings, name)?;
    if known.generations.is_empty() {
        return Ok(None);
    }
    let next = rotation::next(&known.facts(world, false))?;
    let Next::Do(step) = &next else { return Ok(left(name, &next)) };
    if world.globals.dry_run {
        return Ok(Some((item(name, what(step), "would do").with("detail", step.to_string()), None)));
    }
    let grant = grant_for(world, &known, step)?;
    if world.asks_people() && grant.is_none() {
        let row = item(name, what(step), "waits for people").with("detail", step.to_string());
        return Ok(Some((row.with("command", words::command_for(name, step)), Some(Kind::ApprovalNeeded))));
    }
    world.warrant = grant.map(Warrant::Grant);
    let progress = advance::advance(world, name, &Options::default());
    world.warrant = None;
    let progress = progress?;
    let steps: Vec<_> = progress.done.iter().map(Step::as_str).collect();
    if let Next::Do(step) = &progress.next {
        let row = item(name, what(step), "waits for people").with("detail", step.to_string()).with("steps", steps);
        return Ok(Some((row.with("command", words::command_for(name, step)), Some(Kind::ApprovalNeeded))));
    }
    match left(name, &progress.next) {
        Some((row, kind)) => Ok(Some((row.with("steps", steps), kind))),
        None => Ok(Some((item(name, what(step), "done").with("steps", steps), None))),
    }
}

/// The grant under which a step may be done without asking, where people have to be asked.
fn grant_for(world: &World, known: &Known, step: &Step) -> Result<Option<String>> {
    if !world.asks_people() {
        return Ok(None);
    }
    let active = known.active().map(|active| active.id.clone());
    let next = match rotation::successor(&known.generations) {
        Some(successor) => Some(successor.id.clone()),
        None if *step == Step::Generate => {
            let number = query::next_number(world.ledger.connection(), &known.name)?;
            Some(GenerationId { key: known.name.clone(), number })
        }
        // The retirement of a predecessor goes with the successor that took over from it.
        None => active,
    };
    let Some(next) = next else { return Ok(None) };
    Ok(grants::covering(world, &next)?.map(|grant| grant.params.grant_id))
}

fn what(step: &Step) -> &'static str {
    match step {
        Step::Retire(..) => "retirement",
        Step::Revoke(_) => "revocation of a retired generation",
        _ => "rotation",
    }
}

/// What is left where nothing can be done now.
fn left(name: &KeyName, next: &Next) -> Option<(Row, Option<Kind>)> {
    let people = |row: Row, command: String| Some((row.with("command", command), Some(Kind::ApprovalNeeded)));
    match next {
        Next::Do(_) | Next::Idle(_) => None,
        Next::Wait(Wait::Clients(id, ready)) => {
            let row = item(name, "rotation", "waits for clients").with("generation", id.to_string());
            Some((row.with("when", rfc3339(*ready)), None))
        }
        Next::Wait(Wait::Certificate(id)) => {
            let row = item(name, "rotation", "waits for people").with("generation", id.to_string());
            people(row, words::import_command().into())
        }
        Next::Wait(Wait::Review(id)) => {
            let row = item(name, "review", "waits for people").with("generation", id.to_string());
            people(row, words::review_needed(id).advice().unwrap_or_default().to_owned())
        }
    }
}

/// Gives alerts about the certificates of a key that expire soon: one entry for each threshold, ever.
pub(crate) fn expiry(world: &mut World, name: &KeyName, rows: &mut Vec<Row>) -> Result<()> {
    let now = world.globals.clock.now();
    let mut generations = query::generations(world.ledger.connection())?;
    let in_use = |g: &Generation| matches!(g.state, State::Certified | State::Staged | State::Active);
    generations.retain(|generation| generation.id.key == *name && in_use(generation));
    let mut alerts = Vec::new();
    for generation in &generations {
        let Some((_, expires)) = generation.credential().map(Credential::validity) else { continue };
        let given = recorded::expiry_alerts(world.ledger.connection(), &generation.id)?;
        // The tightest threshold speaks for the wider ones.
        let crossed = EXPIRY_DAYS.iter().copied().filter(|days| is_within(now, expires, *days)).min();
        let Some(days) = crossed.filter(|days| !given.iter().any(|known| known <= days)) else { continue };
        alerts.push(CertificateExpiry { generation: generation.id.clone(), expires, days });
    }
    for alert in &alerts {
        world.ui().warn(&format!("the certificate of {} expires at {}", alert.generation, rfc3339(alert.expires)));
        let row = item(name, "expiry", if world.globals.dry_run { "would alert" } else { "alert" });
        let row = row.with("when", rfc3339(alert.expires)).with("generation", alert.generation.to_string());
        rows.push(row.with("days", alert.days).with("command", format!("keyctl rotate {name}")));
    }
    if !alerts.is_empty() && !world.globals.dry_run {
        let by = (&world.globals.actor(), &world.globals.correlation_id.clone());
        alerts::write(&mut world.ledger, CertificateExpiry::ENTRY, by, &alerts)?;
        world.checkpoint()?;
    }
    Ok(())
}

fn is_within(now: Time, expires: Time, days: u32) -> bool {
    expires.signed_duration_since(now) < chrono::TimeDelta::days(days.into())
}
