//! `due`: for timers. What is due, what of it was done, and what waits for people.

use crate::clock::rfc3339;
use crate::error::{Kind, Result};
use crate::ledger::query;
use crate::lifecycle::rotation::{failure, words};
use crate::runbooks::due::{Item, expiry, lists, of_key, rotation_of};
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
    let mut items = Vec::new();
    for name in words::rotating(&settings) {
        match rotation_of(world, &settings, &name) {
            Ok(Some((item, kind))) => {
                kind.into_iter().for_each(|kind| worst.add(kind));
                items.push(item);
            }
            Ok(None) => {}
            Err(error) => {
                worst.add(error.kind());
                world.ui().error(&error);
                items.push(of_key(&name, "rotation", "failed").with("error", error_value(&error)));
            }
        }
        expiry(world, &name, &mut items)?;
    }
    lists(world, &mut worst, &mut items)?;
    let now = world.globals.clock.now();
    for failure in failure::open(world, &settings)? {
        worst.add(Kind::Findings);
        world.ui().warn(&failure::deadline_words(&failure, now));
        let item = of_key(&failure.alert.key, "failed rotation", "open");
        let item = item.with("when", rfc3339(failure.alert.deadline));
        items.push(item.with("command", format!("keyctl rotate {}", failure.alert.key)).with("entry", failure.seq));
    }
    for duty in query::follow_ups(world.ledger.connection())? {
        worst.add(Kind::ApprovalNeeded);
        let (key, what) = (duty.object.clone(), duty.kind.clone());
        let item = Item { key, what, result: "waits for people".to_owned(), more: Vec::new() };
        let item = item.with("when", rfc3339(duty.due));
        items.push(item.with("command", format!("keyctl follow-up {} --evidence FILE", duty.id())));
    }
    if items.is_empty() {
        world.ui().say("nothing is due");
    } else {
        world.ui().rows(COLUMNS, &items.into_iter().map(row).collect::<Vec<_>>());
    }
    Ok(worst)
}

fn row(item: Item) -> Row {
    let row = Row::new().with("key", item.key).with("what", item.what).with("result", item.result);
    item.more.into_iter().fold(row, |row, (name, value)| row.with(name, value))
}
