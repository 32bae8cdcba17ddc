//! `due`: for timers. What is due, what of it was done, and what waits for people.

use super::crl;
use super::grant;
use super::rotate::{self, Known, Options};
use crate::clock::{Time, rfc3339};
use crate::config::Settings;
use crate::error::{Kind, Result};
use crate::gate::Warrant;
use crate::keys::rotation::{self, Next, Step, Wait};
use crate::keys::{Credential, Generation, State};
use crate::ledger::alerts::{self, CertificateExpiry};
use crate::ledger::query;
use crate::ledger::query::rotation as recorded;
use crate::model::{GenerationId, KeyName};
use crate::ui::{Row, Worst, error_value};
use crate::world::World;

/// Do what is due, and say what waits for people
///
/// For each key, issuers first: a rotation that is due or was begun, the retirement of predecessors whose overlap is
/// over, and alerts about certificates that expire in 30, 14 or 7 days. A sandbox does all of it alone; elsewhere what
/// nobody agreed to beforehand is listed with the command that does it. Failed rotations are listed with the time that
/// is left to put them right.
///
/// Meant for a timer: it can run as often as one likes, does nothing twice, and exits 0 if nothing is left, 5 if
/// something waits for people, 6 if a failed rotation is open, 1 or 3 if something that was tried failed.
///
/// Examples:
///   keyctl due
///   keyctl due --dry-run
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DueArgs {}

const COLUMNS: &[&str] = &["key", "what", "result", "when", "command"];

/// Days before a certificate expires at which an alert is given, once each (domain §4).
const EXPIRY_DAYS: [u32; 3] = [30, 14, 7];

/// Runs `due`.
///
/// # Errors
/// The workspace cannot be read. What each key met stands in the result.
pub fn run(_args: &DueArgs, world: &mut World) -> Result<Worst> {
    let settings = world.settings()?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for name in rotate::rotating(&settings) {
        match rotation_of(world, &settings, &name) {
            Ok(Some((row, kind))) => {
                kind.into_iter().for_each(|kind| worst.add(kind));
                rows.push(row);
            }
            Ok(None) => {}
            Err(error) => {
                worst.add(error.kind());
                world.ui().error(&error);
                rows.push(item(&name, "rotation", "failed").with("error", error_value(&error)));
            }
        }
        expiry(world, &name, &mut rows)?;
    }
    lists(world, &mut worst, &mut rows)?;
    let now = world.globals.clock.now();
    for failure in rotate::open_failures(world, &settings)? {
        worst.add(Kind::Findings);
        world.ui().warn(&rotate::deadline_words(&failure, now));
        let row = item(&failure.alert.key, "failed rotation", "open").with("when", rfc3339(failure.alert.deadline));
        rows.push(row.with("command", format!("keyctl rotate {}", failure.alert.key)).with("entry", failure.seq));
    }
    for duty in query::follow_ups(world.ledger.connection())? {
        worst.add(Kind::ApprovalNeeded);
        let row = Row::new().with("key", duty.object.as_str()).with("what", duty.kind.as_str());
        let row = row.with("result", "waits for people").with("when", rfc3339(duty.due));
        rows.push(row.with("command", format!("keyctl follow-up {} --evidence FILE", duty.id())));
    }
    if rows.is_empty() {
        world.ui().say("nothing is due");
    } else {
        world.ui().rows(COLUMNS, &rows);
    }
    Ok(worst)
}

/// Revocation lists that are old, not published as recorded, or say less than the ledger.
fn lists(world: &mut World, worst: &mut Worst, rows: &mut Vec<Row>) -> Result<()> {
    let done = if world.globals.dry_run { "would issue" } else { "issued" };
    for (ca, issued) in crl::refresh(world, worst)? {
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

fn item(name: &KeyName, what: &str, result: &str) -> Row {
    Row::new().with("key", name.as_str()).with("what", what).with("result", result)
}

/// What a key's rotation has to show; nothing if nothing is due.
fn rotation_of(world: &mut World, settings: &Settings, name: &KeyName) -> Result<Option<(Row, Option<Kind>)>> {
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
        return Ok(Some((row.with("command", rotate::command_for(name, step)), Some(Kind::ApprovalNeeded))));
    }
    world.warrant = grant.map(Warrant::Grant);
    let progress = rotate::advance(world, name, &Options::default());
    world.warrant = None;
    let progress = progress?;
    let steps: Vec<_> = progress.done.iter().map(Step::as_str).collect();
    if let Next::Do(step) = &progress.next {
        let row = item(name, what(step), "waits for people").with("detail", step.to_string()).with("steps", steps);
        return Ok(Some((row.with("command", rotate::command_for(name, step)), Some(Kind::ApprovalNeeded))));
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
    Ok(grant::covering(world, &next)?.map(|grant| grant.params.grant_id))
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
            people(row, rotate::import_command().into())
        }
        Next::Wait(Wait::Review(id)) => {
            let row = item(name, "review", "waits for people").with("generation", id.to_string());
            people(row, rotate::review_needed(id).advice().unwrap_or_default().to_owned())
        }
    }
}

/// Gives alerts about the certificates of a key that expire soon: one entry for each threshold, ever.
fn expiry(world: &mut World, name: &KeyName, rows: &mut Vec<Row>) -> Result<()> {
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
