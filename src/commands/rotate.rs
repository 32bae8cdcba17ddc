//! `rotate`: from the successor's plan to the predecessor's retirement.
//!
//! The state machine ([`crate::keys::rotation`]) says what comes next, [`facts`] reads what it decides on, [`steps`] does
//! it. What an interruption left open is taken up again first ([`resume`]), under the intent it was begun with.

use crate::clock::{self, Time, rfc3339};
use crate::commands::preview::{self, Leading};
use crate::config::{Key, RotationMode};
use crate::error::{Error, Result};
use crate::keys::rotation::{self, Edge, Next, Wait};
use crate::ledger::query::{self, rotation as recorded};
use crate::lifecycle::rotation::advance::{Progress, advance};
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::plan::{self, Wanted};
use crate::lifecycle::rotation::words::{command_for, import_command, review_needed};
use crate::lifecycle::rotation::{resume, words};
use crate::model::KeyName;
use crate::outcome::Receipt;
use crate::request::{ReviewDecision, ReviewKey};
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{World, act};
use std::path::PathBuf;

/// Replace a key by its next generation
///
/// The successor is made, certified, published, tested with a signature that is checked against what was published,
/// staged, and takes over; its predecessor goes on retiring for an overlap and then retires, a CA as crl-only. Each
/// step is in the ledger. Repeating the command continues wherever it stopped. It begins when the rotation is due,
/// that is rotate_lead_days before the key may sign no more, or at once with --now.
///
/// A new root and the old one certify each other, and it takes over when that is published. An APT key takes over when
/// it has been in the published keyring for publish_safety_days (repeat the command then), or at once where no other
/// generation may sign. With an external issuer it stops at the certificate signing request and continues after keyctl
/// import. A CA with rotation = "review" wants the decision of a review: with --review it gets a successor, and with
/// --keep-until it goes on until that day.
///
/// Examples:
///   keyctl rotate windows
///   keyctl rotate apt --now
///   keyctl rotate root --review 'reviewed with the auditors' --keep-until 2027-01-31
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RotateArgs {
    /// The key
    key: KeyName,
    /// Begin although it is not due
    #[arg(long)]
    now: bool,
    /// What a review of a CA's key said, where the settings ask for one
    #[arg(long, value_name = "TEXT")]
    review: Option<String>,
    /// The review lets the key go on until this day (date or RFC 3339 time)
    #[arg(long, value_name = "DATE", requires = "review")]
    keep_until: Option<String>,
    /// Another subject than the predecessor's is wanted: Windows will see another publisher
    #[arg(long)]
    publisher_change: bool,
    /// Where the certificate signing request goes (PEM) if the issuer is external (default: requests/KEY-N.csr)
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    #[command(flatten)]
    break_glass: crate::commands::BreakGlassArgs,
}

impl Options {
    fn of(args: &RotateArgs) -> Self {
        Options {
            early: args.now,
            publisher_change: args.publisher_change,
            csr: args.csr.clone(),
            reason: args.review.clone(),
            revoked: None,
        }
    }
}

/// Runs `rotate`.
///
/// # Errors
/// As each step says; whatever was done stays done.
pub fn run(args: &RotateArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let settings = world.settings()?;
    let key = settings.key(&args.key)?.clone();
    rotation::is_available(&args.key, key.purpose)?;
    check(args, &key)?;
    let review = args.review.as_deref().map(|text| review_params(world, args, text)).transpose()?.flatten();
    let completed = if mandate.is_approved() { None } else { interrupted(world, &args.key)? };
    let options = Options { early: args.now && completed.is_none(), ..Options::of(args) };
    let wanted = Wanted {
        name: args.key.clone(),
        options: options.clone(),
        review: review.clone(),
        keeps: args.keep_until.is_some(),
        command: command(args)?,
        break_glass: args.break_glass.incident(),
    };
    let consent = match preview::consent(world, mandate, |world| plan::or_alert(world, wanted))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    if let Some(review) = review {
        act::record::<ReviewKey>(world, &consent, &review.generation.to_string())?;
    }
    if args.keep_until.is_some() {
        return kept(world, args);
    }
    let mut progress = advance(world, &consent, &args.key, &options)?;
    progress.takeover = progress.takeover.or(completed);
    if progress.done.is_empty()
        && let Next::Wait(Wait::Review(id)) = &progress.next
    {
        return Err(review_needed(id));
    }
    let row = row(world, &args.key, &progress)?;
    world.ui().object(&row);
    say_next(world, &progress);
    if let (Some(_), Some(said)) = (&progress.takeover, words::clients_need(world, &args.key)?) {
        world.ui().warn(&said);
    }
    Ok(Worst::default())
}

/// What was interrupted was allowed before, and comes first: if that was the takeover itself, its receipt is given, and
/// nobody is asked for another rotation.
fn interrupted(world: &mut World, key: &KeyName) -> Result<Option<Receipt>> {
    if world.globals.dry_run {
        return Ok(None);
    }
    let _lock = world.lock_key(key)?;
    resume::orphans(world, key, None)
}

/// The words that do it again.
fn command(args: &RotateArgs) -> Result<Vec<String>> {
    let mut words = vec!["rotate".to_owned(), args.key.to_string()];
    let flags = [(args.now, "--now"), (args.publisher_change, "--publisher-change")];
    words.extend(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()));
    let csr = args.csr.as_deref().map(crate::files::absolute).transpose()?;
    for (option, value) in
        [("--review", args.review.clone()), ("--keep-until", args.keep_until.clone()), ("--csr", csr)]
    {
        // In one word, so that a text which begins with a dash stays a value.
        words.extend(value.map(|value| format!("{option}={value}")));
    }
    Ok(words)
}

/// A review that lets a key go on is all that is done.
fn kept(world: &mut World, args: &RotateArgs) -> Result<Worst> {
    world.checkpoint()?;
    let known = Known::read(world, &args.key)?;
    let active = known.active().map(|active| active.id.to_string());
    let until = known.review.and_then(|review| review.keep_until).map(rfc3339);
    let row = Row::new().with("key", args.key.as_str()).with("result", "kept").with("active", active);
    world.ui().object(&row.with("until", until));
    Ok(Worst::default())
}

fn check(args: &RotateArgs, key: &Key) -> Result<()> {
    if args.review.is_some() && key.rotation != RotationMode::Review {
        let message = format!("the rotation of {} waits for no review", args.key);
        return Err(Error::usage("no_review_wanted", message).hint(format!("keyctl rotate {}", args.key)));
    }
    if let Some(path) = args.csr.as_ref().filter(|path| path.symlink_metadata().is_ok()) {
        let message = format!("{} exists already", crate::files::shown_path(path));
        return Err(Error::usage("target_exists", message));
    }
    Ok(())
}

/// What a review decided; nothing where that is recorded already, or a successor is on its way.
fn review_params(world: &World, args: &RotateArgs, text: &str) -> Result<Option<ReviewKey>> {
    let active = world.active(&args.key)?;
    let keep_until = args.keep_until.as_deref().map(day).transpose()?;
    let decision = if keep_until.is_some() { ReviewDecision::Keep } else { ReviewDecision::Roll };
    let generations = Known::read(world, &args.key)?.generations;
    match rotation::successor(&generations) {
        Some(successor) if keep_until.is_some() => {
            let message = format!("{} is on its way to take over from {}", successor.id, active.id);
            return Err(Error::blocked("rotation_begun", message).hint(format!("keyctl rotate {}", args.key)));
        }
        Some(_) => return Ok(None),
        None => {}
    }
    let known = recorded::review(world.ledger.connection(), &active.id)?;
    if known.is_some_and(|known| known.decision == decision && known.keep_until == keep_until) {
        return Ok(None);
    }
    Ok(Some(ReviewKey { generation: active.id, decision, keep_until, text: text.to_owned() }))
}

/// A date is its first second in UTC.
fn day(text: &str) -> Result<Time> {
    let time = clock::parse(text).or_else(|| clock::parse(&format!("{text}T00:00:00Z")));
    time.ok_or_else(|| Error::usage("bad_time", format!("{text:?} is neither a date (2027-01-31) nor RFC 3339")))
}

/// What comes next, as a row.
pub(crate) fn describe(name: &KeyName, next: &Next) -> Row {
    let row = Row::new().with("key", name.as_str());
    match next {
        Next::Do(step) => row.with("result", "ready").with("step", step.as_str()).with("detail", step.to_string()),
        Next::Idle(due) => row.with("result", "not-due").with("due", rfc3339(*due)),
        Next::Wait(Wait::Certificate(id)) => {
            row.with("result", "waiting").with("waits_for", "certificate").with("generation", id.to_string())
        }
        Next::Wait(Wait::Review(id)) => {
            row.with("result", "waiting").with("waits_for", "review").with("generation", id.to_string())
        }
        Next::Wait(Wait::Clients(id, ready)) => row
            .with("result", "waiting")
            .with("waits_for", "clients")
            .with("generation", id.to_string())
            .with("until", rfc3339(*ready)),
    }
}

fn row(world: &World, name: &KeyName, progress: &Progress) -> Result<Row> {
    let mut row = match &progress.takeover {
        Some(receipt) => taken_over(world, name, receipt)?,
        None => describe(name, &progress.next),
    };
    if progress.takeover.is_none()
        && let Some(active) = query::active(world.ledger.connection(), name)?
    {
        row = row.with("active", active.id.to_string());
    }
    if let Some(csr) = &progress.csr {
        row = row.with("csr", csr.to_string_lossy().into_owned());
    }
    Ok(row.with("steps", progress.done.iter().map(Edge::as_str).collect::<Vec<_>>()))
}

/// What is printed of a takeover: only what the ledger says, so that a replay prints the same.
fn taken_over(world: &World, name: &KeyName, receipt: &Receipt) -> Result<Row> {
    let event = receipt.outcome().body.pointer("/done/rotation_event").cloned().unwrap_or_default();
    let at = |path: &str| event.pointer(path).cloned().unwrap_or_default();
    let path = world.fragment_path(receipt)?;
    Ok(Row::new()
        .with("key", name.as_str())
        .with("result", "rotated")
        .with("generation", at("/new/generation"))
        .with("predecessor", at("/old/generation"))
        .with("fingerprint", at("/new/fingerprint"))
        .with("certificate_thumbprint", at("/new/certificate_thumbprint"))
        .with("entry", receipt.outcome().seq)
        .with("correlation_id", receipt.outcome().correlation_id.as_str())
        .with("evidence", path.to_string_lossy().into_owned()))
}

/// The literal next command, where somebody has to do something.
fn say_next(world: &World, progress: &Progress) {
    let ui = world.ui();
    match &progress.next {
        Next::Wait(Wait::Certificate(id)) => {
            ui.say(&format!("{id} waits for its certificate; next: {}", import_command()));
        }
        Next::Wait(Wait::Clients(id, ready)) => ui.say(&format!(
            "{id} waits until {}, so that clients have its keyring; next: keyctl rotate {}",
            rfc3339(*ready),
            id.key
        )),
        Next::Wait(Wait::Review(id)) => ui.say(&review_needed(id).to_string()),
        Next::Do(step) => ui.say(&format!("due: {step}; next: {}", command_for(&progress.name, step))),
        Next::Idle(due) if progress.done.is_empty() && progress.takeover.is_none() => {
            ui.say(&format!("nothing is due before {}; --now begins at once", rfc3339(*due)));
        }
        _ => {}
    }
}
