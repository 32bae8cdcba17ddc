//! `follow-up`: duties that have a deadline, such as what has to follow break-glass.

use crate::clock::{Time, rfc3339};
use crate::commands::preview::{self, Leading};
use crate::config::policy::Operation;
use crate::error::{Error, Result, shown};
use crate::files::{safe, shown_path};
use crate::gate::{Plan, step};
use crate::ledger::query::{self, FollowUp};
use crate::model::{GenerationId, Hash256};
use crate::request::CloseFollowUp;
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{World, act};
use std::path::{Path, PathBuf};

/// Show duties that have a deadline, or close one with evidence
///
/// After break-glass the key is rotated within 1 hour, the use is reviewed within 24, and the change advisory board has
/// a report within 48. Each stays here, and in `status`, until it is closed with the file that shows that it was done;
/// the ledger keeps the file's hash.
///
/// Examples:
///   keyctl follow-up
///   keyctl follow-up 112/review --evidence review.pdf
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct FollowUpArgs {
    /// The duty to close, as the list names it
    #[arg(value_name = "ID", requires = "evidence")]
    id: Option<String>,
    /// The file that shows that it was done
    #[arg(long, value_name = "FILE", requires = "id")]
    evidence: Option<PathBuf>,
}

/// The most bytes of a file of evidence.
const MAX_EVIDENCE: u64 = 64 << 20;

/// The columns of the table of duties.
pub(crate) const COLUMNS: &[&str] = &["follow_up", "object", "due", "left"];

/// Runs `follow-up`.
///
/// # Errors
/// There is no such duty, or the file cannot be read.
pub fn run(args: &FollowUpArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let open = query::follow_ups(world.ledger.connection())?;
    let (Some(id), Some(evidence)) = (&args.id, &args.evidence) else {
        let now = world.globals.clock.now();
        world.ui().rows(COLUMNS, &open.iter().map(|duty| row(duty, now)).collect::<Vec<_>>());
        return Ok(Worst::default());
    };
    let duty = open.into_iter().find(|duty| duty.id() == *id);
    let none = || Error::usage("no_follow_up", format!("there is no open follow-up {id:?}")).hint("keyctl follow-up");
    close(world, mandate, &duty.ok_or_else(none)?, evidence)
}

/// A duty as the table shows it.
pub(crate) fn row(duty: &FollowUp, now: Time) -> Row {
    Row::new()
        .with("follow_up", duty.id())
        .with("object", duty.object.as_str())
        .with("due", rfc3339(duty.due))
        .with("left", left(duty.due, now))
        .with("overdue", now >= duty.due)
}

/// The time until a deadline, or since.
fn left(due: Time, now: Time) -> String {
    let (late, span) = if now >= due { ("OVERDUE by ", now - due) } else { ("", due - now) };
    let (days, hours, minutes) = (span.num_days(), span.num_hours() % 24, span.num_minutes() % 60);
    match days {
        0 => format!("{late}{hours} h {minutes} min"),
        days => format!("{late}{days} d {hours} h"),
    }
}

fn close(world: &mut World, mandate: Mandate, duty: &FollowUp, evidence: &Path) -> Result<Worst> {
    let bytes = safe::read_bounded(evidence, MAX_EVIDENCE)?;
    let name = evidence.file_name().map(|name| shown(&name.to_string_lossy())).unwrap_or_default();
    // Duties of a key are recorded with it, all others with the workspace's own key.
    let of_key: Option<GenerationId> = duty.object.parse().ok();
    let of_key =
        of_key.filter(|id| query::generation(world.ledger.connection(), id).is_ok_and(|known| known.is_some()));
    let ledger_key = world.genesis.ledger_keys.first().map(|key| key.generation.clone());
    let generation = of_key.or(ledger_key).ok_or_else(|| Error::bug("the genesis names no ledger key"))?;
    let params =
        CloseFollowUp { generation, follow_up: duty.id(), evidence_name: name, evidence_sha256: Hash256::of(&bytes) };
    let command = vec!["follow-up".into(), duty.id(), "--evidence".into(), crate::files::absolute(evidence)?];
    let plan = |_: &mut World| {
        Ok(Plan {
            rule: Operation::FollowUp,
            object: duty.id(),
            command,
            steps: vec![step(duty.id(), &params)?],
            break_glass: None,
        })
    };
    let consent = match preview::consent(world, mandate, plan)? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    if consent.plan().params::<CloseFollowUp>(&duty.id())?.evidence_sha256 != Hash256::of(&bytes) {
        return Err(Error::blocked(
            "evidence_changed",
            format!("{} is not the file that was agreed to", shown_path(evidence)),
        ));
    }
    act::record::<CloseFollowUp>(world, &consent, &duty.id())?;
    world.checkpoint()?;
    world.ui().say(&format!("{} is closed with {}", duty.id(), shown_path(evidence)));
    Ok(Worst::default())
}
