//! `grant`: standing approvals, which automation consumes use by use.

use crate::clock::{Time, rfc3339};
use crate::commands::preview;
use crate::config::policy::Operation;
use crate::error::{Error, Result};
use crate::gate::Recorded;
use crate::ledger::query::{self, Grant};
use crate::model::{GenerationId, KeyName, hex};
use crate::policy::grants::MAX_GENERATIONS;
use crate::request::{EndGrant, GiveGrant, Request};
use crate::ui::{Row, Worst};
use crate::world::authority::{Intended, step};
use crate::world::{World, act, small};
use chrono::TimeDelta;

/// Give a standing approval for one key's rotations, or end it
///
/// Two people approve, once, a bounded plan: at most four generations of this key, as the adopted settings have it
/// now, with a least interval and an end date. `keyctl due` then rotates the key without asking again. A grant ends
/// with its date, its last generation, a change of the settings, the suspension or revocation of the key, or when one
/// of the people who gave it leaves. It never covers a root, an import, an export or a destruction.
///
/// Examples:
///   keyctl grant windows --generations 4 --until 2027-06-30T00:00:00Z
///   keyctl grant windows --end 5d3f0c9a1be2d4455f8b1f0e7c2d9a6b
///   keyctl grant windows --list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct GrantArgs {
    /// The key
    key: KeyName,
    /// How many generations may be made
    #[arg(long, value_name = "N", default_value_t = MAX_GENERATIONS, value_parser = clap::value_parser!(u32).range(1..=4))]
    generations: u32,
    /// The least number of days between two of them (default: the key's interval less its lead)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    interval: Option<u32>,
    /// Until when, RFC 3339 (default: when the last of the generations is due)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// End this grant at once; one proven person is enough
    #[arg(long, value_name = "GRANT", conflicts_with_all = ["generations", "interval", "until"])]
    end: Option<String>,
    /// Show the key's grants and what is left of them
    #[arg(long, conflicts_with_all = ["generations", "interval", "until", "end"])]
    list: bool,
}

pub(crate) fn time(text: &str) -> std::result::Result<Time, String> {
    crate::clock::parse(text).ok_or_else(|| format!("{text:?} is not an RFC 3339 time like 2027-06-30T00:00:00Z"))
}

/// The columns of the table of grants.
pub(crate) const COLUMNS: &[&str] = &["grant", "key", "left", "interval", "until", "people"];

/// Runs `grant`.
///
/// # Errors
/// The key cannot be granted, or people have to approve.
pub fn run(args: &GrantArgs, world: &mut World) -> Result<Worst> {
    if args.list {
        let grants = query::grants(world.ledger.connection(), Some(&args.key))?;
        world.ui().rows(COLUMNS, &grants.iter().map(row).collect::<Vec<_>>());
        return Ok(Worst::default());
    }
    match &args.end {
        Some(id) => end(args, world, id),
        None => give(args, world),
    }
}

/// A grant as the table shows it.
pub(crate) fn row(grant: &Grant) -> Row {
    let people: Vec<_> = grant.people.iter().map(ToString::to_string).collect();
    Row::new()
        .with("grant", grant.params.grant_id.as_str())
        .with("key", grant.params.generation.key.as_str())
        .with("left", grant.left())
        .with("interval", format!("{} days", grant.params.interval_days))
        .with("until", rfc3339(grant.params.not_after))
        .with("people", people.join(", "))
        .with("used", grant.used.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn give(args: &GrantArgs, world: &mut World) -> Result<Worst> {
    let request = resolve(args, world)?;
    if world.asks_people() {
        let params = &request.params;
        let mut command = vec!["grant".to_owned(), args.key.to_string()];
        let options = [
            ("--generations", params.generations.to_string()),
            ("--interval", params.interval_days.to_string()),
            ("--until", rfc3339(params.not_after)),
        ];
        command.extend(options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
        let intended = Intended {
            operation: Operation::Grant,
            object: request.object.clone(),
            command,
            steps: vec![step(request.object.clone(), params)?],
            subjects: vec![args.key.to_string(), "settings".to_owned()],
            tokens: params.tokens.keys().cloned().collect(),
        };
        world.authorize(intended)?;
    }
    if world.globals.dry_run {
        return preview::show(world, &request);
    }
    let id = request.params.grant_id.clone();
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))?;
    world.checkpoint()?;
    let given = query::grant(world.ledger.connection(), &id)?;
    world.ui().object(&given.as_ref().map(row).unwrap_or_default());
    Ok(Worst::default())
}

fn resolve(args: &GrantArgs, world: &World) -> Result<Request<GiveGrant>> {
    let settings = world.settings()?;
    let key = small::setting(&settings, &args.key)?;
    let number = query::next_number(world.ledger.connection(), &args.key)?;
    let generation = GenerationId { key: args.key.clone(), number };
    let object = generation.to_string();
    if let Some(planned) = world.planned_params::<GiveGrant>(&object)? {
        return Ok(world.request(object, planned));
    }
    let recorded = query::tokens(world.ledger.connection())?;
    let interval = args.interval.unwrap_or_else(|| key.rotation_days.saturating_sub(key.rotate_lead_days).max(1));
    let whole = TimeDelta::days(i64::from(key.rotation_days).saturating_mul(i64::from(args.generations)));
    let subject = key.subject.as_ref().map(|subject| subject.common_name.clone()).unwrap_or_default();
    let now = world.globals.clock.now();
    let end = now.checked_add_signed(whole).unwrap_or(now);
    let longest = now + TimeDelta::days(crate::policy::grants::MAX_DAYS) - TimeDelta::seconds(1);
    let params = GiveGrant {
        generation,
        grant_id: hex(&small::random::<16>()?),
        settings_sha256: settings.sha256()?,
        purpose: key.purpose,
        subject,
        tokens: key
            .hsm
            .iter()
            .filter_map(|hsm| recorded.get(hsm).map(|record| (hsm.clone(), record.token.serial.clone())))
            .collect(),
        generations: args.generations,
        interval_days: interval,
        not_after: args.until.unwrap_or_else(|| end.min(longest)),
    };
    Ok(world.request(object, params))
}

fn end(args: &GrantArgs, world: &mut World, id: &str) -> Result<Worst> {
    let known = query::grant(world.ledger.connection(), id)?.filter(|grant| grant.params.generation.key == args.key);
    let none = || Error::usage("no_grant", format!("{} has no grant {id:?}", args.key));
    let grant = known.ok_or_else(|| none().hint(format!("keyctl grant {} --list", args.key)))?;
    if let Some(seq) = grant.ended {
        world.ui().say(&format!("the grant was ended by entry {seq}"));
        return Ok(Worst::default());
    }
    let params = EndGrant { generation: grant.params.generation.clone(), grant_id: id.to_owned() };
    let request = world.request(params.generation.to_string(), params);
    if world.asks_people() {
        let command = vec!["grant".into(), args.key.to_string(), "--end".into(), id.to_owned()];
        let intended = Intended {
            // One person is enough for what only takes power away.
            operation: Operation::Suspend,
            object: request.object.clone(),
            command,
            steps: vec![step(request.object.clone(), &request.params)?],
            subjects: Vec::new(),
            tokens: Vec::new(),
        };
        world.authorize(intended)?;
    }
    if world.globals.dry_run {
        return preview::show(world, &request);
    }
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))?;
    world.checkpoint()?;
    world.ui().say("ended");
    Ok(Worst::default())
}
