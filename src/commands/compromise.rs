//! `compromise`: the whole runbook for a key that others may have (B23).

use crate::clock::Time;
use crate::commands::grant;
use crate::commands::preview::{self, Leading};
use crate::error::{Error, Result, shown};
use crate::model::GenerationId;
use crate::runbooks::checklist::{Checklist, Outcome};
use crate::runbooks::compromise::{Declared, Runbook};
use crate::ui::{Row, Worst, error_value};
use crate::world::authority::Mandate;
use crate::world::{World, requests};

/// Do everything that a key compromise asks for, step by step
///
/// The key is suspended at once; a successor is made, tested and takes over; the generation is revoked with the reason
/// of a compromise, its list or keyring published and read back; every artifact that depends on it is marked re-sign
/// required, with evidence; the key goes on with its successor; and the ledger holds the event for the board and the
/// monitoring, with the duties that follow. A CA is revoked before its successor is made, so that the two have nothing
/// to do with each other; the keys below it are listed, for each needs a successor too. An APT key is revoked first as well:
/// its successor signs at once then, and what clients have to do is said.
///
/// Each step is in the ledger by itself, and ticked off on the checklist that is printed. A step that cannot be done now
/// does not keep the later ones waiting. Repeating the command goes on with what is not ticked off.
///
/// Outside a sandbox a security reviewer and a platform admin have to agree. If nobody else is at hand,
/// `keyctl suspend KEY` stops the key on one person's word.
///
/// Examples:
///   keyctl compromise windows/1 --incident INC-4711 --yes
///   keyctl compromise windows/1 --incident INC-4711 --since 2026-11-02T00:00:00Z --dry-run
///   keyctl compromise installer/1 --incident INC-4711 --reference 'case 815 at the issuer'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompromiseArgs {
    /// The generation whose private key others may have
    #[arg(value_name = "KEY/GEN")]
    generation: GenerationId,
    /// The declared incident
    #[arg(long, value_name = "ID", value_parser = incident)]
    incident: String,
    /// Since when others may have had it, RFC 3339 (default: everything it signed is in doubt)
    #[arg(long, value_name = "TIME", value_parser = grant::time)]
    since: Option<Time>,
    /// How the external issuer was told, such as a ticket (default: the incident)
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
}

fn incident(text: &str) -> std::result::Result<String, String> {
    let is_plain = !text.trim().is_empty() && text.len() <= 100 && shown(text) == text;
    if is_plain { Ok(text.to_owned()) } else { Err("an incident is named by 1 to 100 bytes of plain text".into()) }
}

/// Runs `compromise`.
///
/// # Errors
/// `approval_needed`; the generation was never certified. What becomes of each step is in the checklist.
pub fn run(args: &CompromiseArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let declared = Declared {
        generation: args.generation.clone(),
        incident: args.incident.clone(),
        since: args.since,
        reference: args.reference.clone(),
    };
    let runbook = Runbook::read(declared, world)?;
    if world.globals.dry_run {
        for (task, detail) in runbook.explain(world)? {
            world.ui().say(&format!("{}: {detail}", task.name()));
        }
    }
    let must_confirm = !mandate.is_approved() && runbook.is_open(world)?;
    let consent = match preview::consent(world, mandate, |world| runbook.plan(world))? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    if must_confirm {
        let what = format!("{} will be replaced and revoked; that is not taken back", args.generation);
        crate::ui::confirm(world.globals.yes, &what, &args.generation.to_string())?;
    }
    runbook.declare(world)?;
    let mut list = Checklist::default();
    for step in runbook.steps() {
        world.ui().say(&format!("{} ...", step.name()));
        list.tick(step.name(), runbook.take(world, &consent, *step));
    }
    runbook.leave(world, &mut list)?;
    let again = requests::again(world, consent.request(), &runbook.command())?;
    Ok(print(world, &list, &again))
}

/// The command that an error's hint is, where it is one.
fn typed(error: &Error) -> Option<&str> {
    error.advice().filter(|advice| advice.starts_with("keyctl "))
}

/// The columns of the checklist.
const COLUMNS: &[&str] = &["done", "step", "detail", "command"];

/// Prints the checklist, and how to go on if anything is left; gives the worst of it. It is read by somebody who was woken
/// up, so it says what is done, what is not, and what to type.
fn print(world: &World, list: &Checklist, again: &str) -> Worst {
    let ui = world.ui();
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for item in list.items() {
        let row = Row::new();
        rows.push(match &item.outcome {
            Outcome::Done(detail) => {
                row.with("done", "yes").with("step", item.step.as_str()).with("detail", detail.as_str())
            }
            Outcome::Failed(error) => {
                worst.add(error.kind());
                errors.push(error);
                let row = row.with("done", "NO").with("step", item.step.as_str()).with("detail", error.message());
                row.with("error", error_value(error)).with("command", typed(error))
            }
            Outcome::Left(detail, command) => {
                let row = row.with("done", "you").with("step", item.step.as_str()).with("detail", detail.as_str());
                row.with("command", command.clone())
            }
        });
    }
    ui.rows(COLUMNS, &rows);
    errors.iter().for_each(|error| ui.error(error));
    if !errors.is_empty() {
        ui.say(&format!("not all is done; the same command goes on with what is left: {again}"));
    }
    worst
}
