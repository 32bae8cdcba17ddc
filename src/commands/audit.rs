//! `audit`: is the ledger what it was, and does everything else agree with it? Read-only.

use crate::config::workspace::Workspace;
use crate::crypto::note::SignedNote;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate::Again;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::heads::{self, Effort};
use crate::ledger::{self, Before, Entry, Ledger, query, verify};
use crate::published::compare::Truth;
use crate::published::worktree;
use crate::ui::{Row, Worst};
use crate::world::{Globals, World};
use std::path::PathBuf;

/// Check the ledger against what is known outside of it
///
/// Every leaf is hashed again, the tree and every checkpoint recomputed, the tables rebuilt and compared, and
/// the result held against this user's pin, every head in published/, its commits and evidence/, and any other anchor
/// given. Every file in published/ has to be what the ledger says. Each entry is judged again: the signatures of
/// approvals are counted by the roster of their time, what waits for people has to be what they agreed to, and each act
/// is put before the gate once more, by the entries in front of it. Exit 6 if something does not hold.
///
/// Examples:
///   keyctl audit log
///   keyctl audit log --anchor checkpoint-of-last-month
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AuditArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The ledger: leaves, tree, checkpoints, tables, anchors
    Log {
        /// A checkpoint kept elsewhere; may be given several times
        #[arg(long, value_name = "FILE")]
        anchor: Vec<PathBuf>,
    },
}

/// Runs `audit`.
///
/// # Errors
/// The ledger cannot be opened, or this user has no pin of it.
pub fn run(args: &AuditArgs, globals: Globals) -> Result<Worst> {
    let anchors = match &args.what {
        Some(What::Log { anchor }) => anchor.as_slice(),
        None => &[],
    };
    log(anchors, &globals)
}

fn log(anchors: &[PathBuf], globals: &Globals) -> Result<Worst> {
    let dir = Workspace::find(globals.workspace.as_deref(), &std::env::current_dir()?, &|_| true)?.dir;
    let ledger = Ledger::open_read_only(&dir.join(ledger::FILE), globals.clock.clone())?;
    let pin = pin_of(&dir, &ledger)?;
    let mut notes: Vec<SignedNote> = pin.anchor()?.into_iter().collect();
    for path in anchors {
        notes.push(SignedNote::parse(&safe::read_bounded(path, 64 << 10)?)?);
    }
    let mut beside = heads::find(&dir, &pin.trust(), Effort::Thorough);
    match worktree::committed_heads(&dir, &ledger) {
        Ok(notes) => notes.iter().for_each(|(place, note)| beside.see(place.clone(), note, &pin.trust())),
        Err(error) => globals.ui.warn(&error.about("the commits of published/ were not looked at").full()),
    }
    beside.odd.iter().for_each(|odd| globals.ui.warn(odd));
    for (_, note) in beside.anchors {
        if !notes.iter().any(|known| known.text() == note.text()) {
            notes.push(note);
        }
    }
    let mut again = Again::new(pin.genesis_leaf_hash);
    let mut decide = |before: Before<'_>, entry: &Entry| again.decide(before, entry);
    let report = verify::verify_deciding(&ledger, &pin.trust(), &notes, &mut decide)?;
    let mut rows: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            Row::new()
                .with("rule", finding.rule)
                .with("object", finding.object.as_str())
                .with("message", finding.message.as_str())
        })
        .collect();
    rows.extend(published(globals, rows.is_empty()));
    let ui = &globals.ui;
    if !rows.is_empty() {
        ui.rows(&["rule", "object", "message"], &rows);
    }
    ui.say(&format!(
        "{} entries, root {}, {} under the last checkpoint, {} anchors",
        report.entries,
        report.head.root,
        report.checkpointed_size,
        notes.len()
    ));
    for set in &report.times_set {
        ui.say(&format!("entry {} set the ledger's time right, from {} to {}", set.entry, set.from, set.to));
    }
    let mut worst = Worst::default();
    if rows.is_empty() {
        ui.object(
            &Row::new()
                .with("ledger", "whole")
                .with("entries", report.entries)
                .with("unanchored", report.unanchored_tail),
        );
    } else {
        worst.add(Kind::Findings);
    }
    Ok(worst)
}

/// What lies in `published/` and is not what the ledger says. A ledger with findings of its own says nothing of that.
fn published(globals: &Globals, is_whole: bool) -> Vec<Row> {
    let row = |rule, object: String, message: String| {
        Row::new().with("rule", rule).with("object", object).with("message", message)
    };
    let differences = World::open(globals.clone()).and_then(|world| Truth::of(&world)?.differences(&world));
    match differences {
        Ok(differences) if is_whole => {
            let rule = |is_foreign| if is_foreign { "published_foreign" } else { "published_changed" };
            let rows = differences.into_iter();
            rows.map(|it| row(rule(it.is_foreign), format!("published/{}", it.path), it.why)).collect()
        }
        Err(error) if is_whole => vec![row("published_not_compared", "published/".to_owned(), error.full())],
        _ => Vec::new(),
    }
}

/// Trust comes from the user's pin, never from the database; the database only says which pin.
fn pin_of(dir: &std::path::Path, ledger: &Ledger) -> Result<Pin> {
    let missing = || {
        Error::finding("no_pin", "this user has no pin of this workspace, so nothing says what its ledger should be")
            .hint(format!("if it is yours: keyctl trust {}", shown_path(dir)))
    };
    let genesis = query::genesis(ledger.connection()).map_err(|error| missing().because(error))?;
    let state = state_dir()?;
    crate::world::not_replaced(&state, dir, &genesis.workspace_id)
        .map_err(|error| Error::finding("workspace_replaced", error.full()))?;
    Pin::load(&state, &genesis.workspace_id)?.ok_or_else(missing)
}
