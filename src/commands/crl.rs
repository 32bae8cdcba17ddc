//! `crl`: certificate revocation lists, issued anew before they are due.

use crate::clock::rfc3339;
use crate::commands::preview::{self, Leading};
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::gate::{Consent, Plan};
use crate::keys::Generation;
use crate::ledger::query;
use crate::lifecycle::lists::issue::{can_list, due, finish, issue};
use crate::lifecycle::lists::served::{self, Seen};
use crate::model::KeyName;
use crate::outcome::Receipt;
use crate::people::request::Step;
use crate::policy::derived;
use crate::published::worktree;
use crate::request::{IssueCrl, Operation};
use crate::ui::{Row, Worst, error_value};
use crate::world::World;
use crate::world::authority::Mandate;

/// Issue revocation lists anew
///
/// Each CA generation that may still sign lists gets its next one if it is due: after a third of its life (a week; a
/// year for a root), or at once if something revoked is not on it. The list is built from the ledger alone, its number
/// is used up before the CA signs, and it counts as published when the file was read back, verified, and, where the
/// certificates name a URL, fetched from there. Nothing leaves a list before ten years after the certificate's end.
///
/// A CA stays able to sign its lists however old it is. Exit 3 if a list could not be made or is not at its URL yet.
///
/// Examples:
///   keyctl crl
///   keyctl crl windows-ca --now
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CrlArgs {
    /// Only this CA's lists
    #[arg(value_name = "ISSUER")]
    issuer: Option<KeyName>,
    /// Also lists that are not due yet
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    fetch: FetchArgs,
}

/// Whether a published list is looked for at its URL.
#[derive(Debug, Default, clap::Args)]
pub struct FetchArgs {
    /// Do not look for the list at the URL that its certificates name
    #[arg(long)]
    no_fetch: bool,
}

impl FetchArgs {
    /// Whether to look.
    pub fn fetch(&self) -> bool {
        !self.no_fetch
    }
}

const COLUMNS: &[&str] = &["issuer", "result", "number", "entries", "next_update", "url"];

/// Runs `crl`.
///
/// # Errors
/// Nothing could be tried at all. What becomes of each list is in the result.
pub fn run(args: &CrlArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    world.settings()?;
    let stop = crate::world::interrupts()?;
    let authorities = authorities(world, args.issuer.as_ref())?;
    // What cannot be worked out fails by itself, later.
    let due = authorities.iter().filter(|ca| !matches!(why(world, ca, args), Ok(None)));
    let due: Vec<_> = due.cloned().collect();
    let consent = match preview::consent(world, mandate, |_| plan(args, &due))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    let mut batch = Batch::default();
    let results: Vec<_> = authorities.iter().map(|ca| batch.issue(world, &consent, ca, args)).collect();
    // Where files go by git, they are to be there before anybody looks.
    batch.take(world, worktree::publish_now(world).map(drop));
    let mut rows = Vec::new();
    for (ca, result) in authorities.iter().zip(results) {
        let seen = result.and_then(|result| Ok((result, served::confirm(world, ca, args.fetch.fetch(), &stop)?)));
        match seen.and_then(|(result, seen)| row(world, ca, result, seen)) {
            Ok(row) => rows.push(row),
            Err(error) => {
                let row = Row::new().with("issuer", ca.id.to_string()).with("result", error.code());
                rows.push(row.with("detail", error.full()).with("error", error_value(&error)));
                batch.take(world, Err(error));
            }
        }
    }
    finish(world, &batch.receipts, &mut batch.worst)?;
    world.ui().rows(COLUMNS, &rows);
    Ok(batch.worst)
}

/// What came of the lists so far.
#[derive(Default)]
struct Batch {
    receipts: Vec<Receipt>,
    worst: Worst,
}

impl Batch {
    /// Issues a CA's list if it is due; says whether it was.
    fn issue(&mut self, world: &mut World, consent: &Consent, ca: &Generation, args: &CrlArgs) -> Result<&'static str> {
        let _lock = world.lock_key(&ca.id.key)?;
        let Some(why) = why(world, ca, args)? else { return Ok("not due") };
        world.ui().detail(&format!("{}: {why}", ca.id));
        self.receipts.push(issue(world, consent, ca)?);
        Ok("issued")
    }

    fn take(&mut self, world: &World, result: Result<()>) {
        if let Err(error) = result {
            self.worst.add(error.kind());
            world.ui().warn(&error.to_string());
        }
    }
}

/// CA generations that may sign lists.
fn authorities(world: &World, only: Option<&KeyName>) -> Result<Vec<Generation>> {
    let mut all = query::generations(world.ledger.connection())?;
    all.retain(|g| g.purpose.is_ca());
    if let Some(name) = only {
        all.retain(|g| g.id.key == *name);
        if all.is_empty() {
            return Err(Error::usage("unknown_ca", format!("{name} is no CA of this workspace")).hint("keyctl status"));
        }
    }
    all.retain(|g| can_list(g, world.globals.clock.now()));
    if all.is_empty() {
        world.ui().say("there is no CA that signs lists");
    }
    Ok(all)
}

pub(crate) fn why(world: &World, ca: &Generation, args: &CrlArgs) -> Result<Option<&'static str>> {
    Ok(due(world, ca)?.or(args.now.then_some("as asked")))
}

/// What people agree to: that these CAs sign. What the lists say was agreed to before.
fn plan(args: &CrlArgs, due: &[Generation]) -> Result<Plan> {
    let mut command = vec!["crl".to_owned()];
    command.extend(args.issuer.iter().map(ToString::to_string));
    command.extend(args.now.then(|| "--now".to_owned()));
    command.extend((!args.fetch.fetch()).then(|| "--no-fetch".to_owned()));
    // As many as a request holds; the gate asks of lists only that they say what the ledger says.
    let steps = due.iter().take(64).map(|ca| Step {
        operation: IssueCrl::NAME.into(),
        object: ca.id.to_string(),
        params: serde_json::json!({ "generation": ca.id }),
    });
    let steps: Vec<_> = steps.collect();
    let asked = args.issuer.as_ref().map_or_else(|| derived::LISTS.to_owned(), ToString::to_string);
    Ok(Plan {
        rule: Rule::Crl,
        object: derived::object_of(Rule::Crl, &steps)?.unwrap_or(asked),
        command,
        steps,
        break_glass: None,
    })
}

fn row(world: &World, ca: &Generation, result: &str, seen: Seen) -> Result<Row> {
    let newest = query::published_crl(world.ledger.connection(), &ca.id)?;
    let newest = newest.ok_or_else(|| Error::bug("a list was published and is not recorded"))?;
    Ok(Row::new()
        .with("issuer", ca.id.to_string())
        .with("result", result)
        .with("number", newest.number)
        .with("entries", newest.entries)
        .with("this_update", rfc3339(newest.this_update))
        .with("next_update", rfc3339(newest.next_update))
        .with("sha256", newest.sha256.to_string())
        .with("file", format!("published/crl/{}-{}.crl", ca.id.key, ca.id.number))
        .with("url", seen.as_str()))
}
