//! `due`: for timers. What is due, what of it was done, and what waits for people.

use crate::clock::rfc3339;
use crate::error::{Kind, Result};
use crate::ledger::query;
use crate::lifecycle::rotation::{failure, words};
use crate::runbooks::due::{expiry, item, lists, rotation_of};
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

/// Runs `due`.
///
/// # Errors
/// The workspace cannot be read. What each key met stands in the result.
pub fn run(_args: &DueArgs, world: &mut World) -> Result<Worst> {
    let settings = world.settings()?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for name in words::rotating(&settings) {
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
    for failure in failure::open(world, &settings)? {
        worst.add(Kind::Findings);
        world.ui().warn(&failure::deadline_words(&failure, now));
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
