//! What is due: rotations, expiry alerts, lists. What nobody has to be asked about is done; the rest is listed with the
//! command that does it.

use crate::clock::{Time, rfc3339};
use crate::config::Settings;
use crate::error::{Kind, Result};
use crate::gate::Consent;
use crate::governance::grants;
use crate::keys::rotation::{self, Edge, Next, Wait};
use crate::keys::{Credential, Generation, State};
use crate::ledger::alerts::{self, CertificateExpiry};
use crate::ledger::query::{self, rotation as recorded};
use crate::lifecycle::lists::issue;
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::plan::{self, Wanted};
use crate::lifecycle::rotation::{advance, words};
use crate::model::{GenerationId, KeyName};
use crate::ui::{Worst, error_value};
use crate::world::World;
use serde_json::Value;

/// Days before a certificate expires at which an alert is given, once each (domain §4).
const EXPIRY_DAYS: [u32; 3] = [30, 14, 7];

/// Revocation lists that are old, not published as recorded, or say less than the ledger.
pub(crate) fn lists(world: &mut World, worst: &mut Worst, items: &mut Vec<Item>) -> Result<()> {
    let done = if world.globals.dry_run { "would issue" } else { "issued" };
    for (ca, issued) in issue::refresh(world, worst)? {
        items.push(match issued {
            Ok(why) => of_key(&ca.key, "revocation list", done).with("generation", ca.to_string()).with("detail", why),
            Err(error) => {
                worst.add(error.kind());
                world.ui().error(&error);
                let item = of_key(&ca.key, "revocation list", "failed").with("error", error_value(&error));
                item.with("command", format!("keyctl crl {}", ca.key))
            }
        });
    }
    Ok(())
}

/// Something that was due, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The key, or what else it is about.
    pub key: String,
    /// What was due.
    pub what: String,
    /// What became of it.
    pub result: String,
    /// What else there is to say, by name, in order.
    pub more: Vec<(&'static str, Value)>,
}

impl Item {
    /// With one more thing to say.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.more.push((name, value.into()));
        self
    }
}

/// Something that is due of a key.
pub(crate) fn of_key(name: &KeyName, what: &str, result: &str) -> Item {
    Item { key: name.to_string(), what: what.to_owned(), result: result.to_owned(), more: Vec::new() }
}

/// What a key's rotation has to show; nothing if nothing is due.
pub(crate) fn rotation_of(
    world: &mut World,
    settings: &Settings,
    name: &KeyName,
) -> Result<Option<(Item, Option<Kind>)>> {
    let known = Known::read_with(world, settings, name)?;
    if known.generations.is_empty() {
        return Ok(None);
    }
    let next = rotation::next(&known.facts(world, false))?;
    let Next::Do(step) = &next else { return Ok(left(name, &next)) };
    if world.globals.dry_run {
        return Ok(Some((of_key(name, what(step), "would do").with("detail", step.to_string()), None)));
    }
    let grant = grant_for(world, &known, step)?;
    if world.asks_people() && grant.is_none() {
        let item = of_key(name, what(step), "waits for people").with("detail", step.to_string());
        return Ok(Some((item.with("command", words::command_for(name, step)), Some(Kind::ApprovalNeeded))));
    }
    let wanted = Wanted {
        name: name.clone(),
        options: Options::default(),
        review: None,
        keeps: false,
        command: vec!["rotate".to_owned(), name.to_string()],
        break_glass: None,
    };
    let plan = plan::or_alert(world, wanted)?;
    let consent = match grant {
        Some(grant_id) => Consent::of_grant(plan, grant_id),
        None => Consent::of_sandbox(plan, &world.ledger)?,
    };
    let progress = advance::advance(world, &consent, name, &Options::default())?;
    let steps: Vec<_> = progress.done.iter().map(Edge::as_str).collect();
    if let Next::Do(step) = &progress.next {
        let item = of_key(name, what(step), "waits for people").with("detail", step.to_string()).with("steps", steps);
        return Ok(Some((item.with("command", words::command_for(name, step)), Some(Kind::ApprovalNeeded))));
    }
    match left(name, &progress.next) {
        Some((item, kind)) => Ok(Some((item.with("steps", steps), kind))),
        None => Ok(Some((of_key(name, what(step), "done").with("steps", steps), None))),
    }
}

/// The grant under which a step may be done without asking, where people have to be asked.
fn grant_for(world: &World, known: &Known, step: &Edge) -> Result<Option<String>> {
    if !world.asks_people() {
        return Ok(None);
    }
    let active = known.active().map(|active| active.id.clone());
    let next = match rotation::successor(&known.generations) {
        Some(successor) => Some(successor.id.clone()),
        None if *step == Edge::Generate => {
            let number = query::next_number(world.ledger.connection(), &known.name)?;
            Some(GenerationId { key: known.name.clone(), number })
        }
        // The retirement of a predecessor goes with the successor that took over from it.
        None => active,
    };
    let Some(next) = next else { return Ok(None) };
    Ok(grants::covering(world, &next)?.map(|grant| grant.params.grant_id))
}

fn what(step: &Edge) -> &'static str {
    match step {
        Edge::Retire(..) => "retirement",
        Edge::Revoke(_) => "revocation of a retired generation",
        _ => "rotation",
    }
}

/// What is left where nothing can be done now.
fn left(name: &KeyName, next: &Next) -> Option<(Item, Option<Kind>)> {
    let people = |item: Item, command: String| Some((item.with("command", command), Some(Kind::ApprovalNeeded)));
    match next {
        Next::Do(_) | Next::Idle(_) => None,
        Next::Wait(Wait::Clients(id, ready)) => {
            let item = of_key(name, "rotation", "waits for clients").with("generation", id.to_string());
            Some((item.with("when", rfc3339(*ready)), None))
        }
        Next::Wait(Wait::Certificate(id)) => {
            let item = of_key(name, "rotation", "waits for people").with("generation", id.to_string());
            people(item, words::import_command().into())
        }
        Next::Wait(Wait::Review(id)) => {
            let item = of_key(name, "review", "waits for people").with("generation", id.to_string());
            people(item, words::review_needed(id).advice().unwrap_or_default().to_owned())
        }
    }
}

/// Gives alerts about the certificates of a key that expire soon: one entry for each threshold, ever.
pub(crate) fn expiry(world: &mut World, name: &KeyName, items: &mut Vec<Item>) -> Result<()> {
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
        let item = of_key(name, "expiry", if world.globals.dry_run { "would alert" } else { "alert" });
        let item = item.with("when", rfc3339(alert.expires)).with("generation", alert.generation.to_string());
        items.push(item.with("days", alert.days).with("command", format!("keyctl rotate {name}")));
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
