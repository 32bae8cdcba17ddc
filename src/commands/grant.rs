//! `grant`: standing approvals, which automation consumes use by use.

use crate::clock::{Time, rfc3339};
use crate::commands::preview::{self, Leading};
use crate::error::{Error, Result};
use crate::governance::grants::{self, Asked};
use crate::ledger::query::{self, Grant};
use crate::model::KeyName;
use crate::policy::grants::MAX_GENERATIONS;
use crate::request::{EndGrant, GiveGrant};
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{World, act};

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
pub fn run(args: &GrantArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    if args.list {
        let grants = query::grants(world.ledger.connection(), Some(&args.key))?;
        world.ui().rows(COLUMNS, &grants.iter().map(row).collect::<Vec<_>>());
        return Ok(Worst::default());
    }
    match &args.end {
        Some(id) => end(args, world, mandate, id),
        None => give(args, world, mandate),
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

fn give(args: &GrantArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let asked = Asked { generations: args.generations, interval: args.interval, until: args.until };
    let consent = match preview::consent(world, mandate, |world| grants::plan_to_give(world, &args.key, &asked))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let object = consent.plan().object.clone();
    let id = consent.plan().params::<GiveGrant>(&object)?.grant_id;
    act::record::<GiveGrant>(world, &consent, &object)?;
    world.checkpoint()?;
    let given = query::grant(world.ledger.connection(), &id)?;
    world.ui().object(&given.as_ref().map(row).unwrap_or_default());
    Ok(Worst::default())
}

fn end(args: &GrantArgs, world: &mut World, mandate: Mandate, id: &str) -> Result<Worst> {
    let known = query::grant(world.ledger.connection(), id)?.filter(|grant| grant.params.generation.key == args.key);
    let none = || Error::usage("no_grant", format!("{} has no grant {id:?}", args.key));
    let grant = known.ok_or_else(|| none().hint(format!("keyctl grant {} --list", args.key)))?;
    if let Some(seq) = grant.ended {
        world.ui().say(&format!("the grant was ended by entry {seq}"));
        return Ok(Worst::default());
    }
    let consent = match preview::consent(world, mandate, |_| grants::plan_to_end(&grant))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    act::record::<EndGrant>(world, &consent, &consent.plan().object)?;
    world.checkpoint()?;
    world.ui().say("ended");
    Ok(Worst::default())
}
