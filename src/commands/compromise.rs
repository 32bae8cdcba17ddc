//! `compromise`: the whole runbook for a key that others may have (B23).

use super::rotate::{self, Options};
use super::{keygen, revoke, suspend};
use crate::clock::{Time, rfc3339};
use crate::config::Key;
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Kind, Result};
use crate::keys::rotation::{self, Next, Wait};
use crate::keys::{Generation, RevocationReason, State};
use crate::ledger::alerts::{self, KeyCompromised};
use crate::ledger::query;
use crate::model::{GenerationId, Purpose};
use crate::people::request::Step;
use crate::ui::{Row, Ui, Worst};
use crate::world::World;
use crate::world::authority::Intended;

/// Do everything that a key compromise asks for, step by step
///
/// The key is suspended at once; a successor is made, tested and takes over; the generation is revoked with the reason
/// of a compromise, its list or keyring published and read back; every artifact that depends on it is marked re-sign
/// required; the key goes on with its successor; and the ledger holds the event for the board and the monitoring, with
/// the duties that follow. Each step is in the ledger by itself. Repeating the command goes on with what is not ticked
/// off; a step that cannot be done now does not keep the later ones waiting.
///
/// Outside a sandbox a security reviewer and a platform admin have to agree. If nobody else is at hand,
/// `keyctl suspend KEY` stops the key on one person's word.
///
/// Examples:
///   keyctl compromise windows/1 --incident INC-4711 --yes
///   keyctl compromise windows/1 --incident INC-4711 --since 2026-11-02T00:00:00Z --dry-run
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompromiseArgs {
    /// The generation whose private key others may have
    #[arg(value_name = "KEY/GEN")]
    generation: GenerationId,
    /// The declared incident
    #[arg(long, value_name = "ID")]
    incident: String,
    /// Since when others may have had it, RFC 3339 (default: everything it signed is in doubt)
    #[arg(long, value_name = "TIME", value_parser = super::grant::time)]
    since: Option<Time>,
}

/// The columns of the checklist.
const COLUMNS: &[&str] = &["done", "step", "detail", "command"];

/// Runs `compromise`.
///
/// # Errors
/// `approval_needed`; the generation was never certified. What becomes of each step is in the checklist.
pub fn run(args: &CompromiseArgs, world: &mut World) -> Result<Worst> {
    let runbook = Runbook::read(args, world)?;
    if world.asks_people() {
        let intended = runbook.intended(world)?;
        world.authorize(intended)?;
    }
    if world.globals.dry_run {
        runbook.preview(world)?;
        return Ok(Worst::default());
    }
    if world.warrant.is_none() {
        let what = format!("{} will be replaced and revoked; that is not taken back", args.generation);
        crate::ui::confirm(world.globals.yes, &what, &args.generation.to_string())?;
    }
    runbook.declare(world)?;
    let mut list = Checklist::default();
    list.tick("suspend", runbook.suspend(world));
    list.tick("rotate", runbook.rotate(world));
    list.tick("revoke", runbook.revoke(world));
    list.tick("mark", runbook.marks(world));
    list.tick("go on", runbook.go_on(world));
    list.tick("tell", Ok(Some(runbook.duties())));
    list.print(world.ui(), args);
    Ok(list.worst)
}

/// What a step came to: the words behind the tick, or `None` where there was nothing to do.
type Ticked = Result<Option<String>>;

struct Runbook<'a> {
    args: &'a CompromiseArgs,
    generation: Generation,
    key: Key,
}

impl<'a> Runbook<'a> {
    fn read(args: &'a CompromiseArgs, world: &World) -> Result<Self> {
        let generation = world.generation(&args.generation)?;
        let key = keygen::setting(&world.settings()?, &args.generation.key)?;
        if generation.credential().is_none() {
            let message = format!("{} never had a certificate; there is nothing to revoke", generation.id);
            return Err(Error::usage("never_certified", message).hint(format!("keyctl destroy {}", generation.id)));
        }
        Ok(Runbook { args, generation, key })
    }

    fn reason(&self) -> RevocationReason {
        match self.generation.purpose {
            Purpose::RootCa | Purpose::IntermediateCa => RevocationReason::CaCompromise,
            _ => RevocationReason::KeyCompromise,
        }
    }

    fn is_suspended(&self, world: &World) -> Result<bool> {
        Ok(query::suspended_keys(world.ledger.connection())?.contains_key(&self.args.generation.key))
    }

    /// It was in use, and no successor has taken over from it.
    fn wants_successor(&self, world: &World) -> Result<bool> {
        if rotation::is_available(&self.args.generation.key, self.key.purpose).is_err() {
            return Ok(false);
        }
        let active = query::active(world.ledger.connection(), &self.args.generation.key)?;
        let served = !matches!(self.generation.state, State::Generated | State::Certified | State::Staged);
        Ok(served && active.is_none_or(|active| active.id.number <= self.args.generation.number))
    }

    fn options(&self) -> Options {
        let reason = Some(format!("incident {}", self.args.incident));
        Options { early: true, reason, ..Options::default() }
    }

    /// Every act of the runbook, for people to agree to.
    fn intended(&self, world: &mut World) -> Result<Intended> {
        let id = &self.args.generation;
        let mut steps: Vec<Step> = Vec::new();
        if !self.is_suspended(world)? {
            steps.push(suspend::step_to_suspend(world, &id.key)?);
        }
        if self.wants_successor(world)? {
            steps.extend(rotate::planned(world, &id.key, &self.options())?);
        }
        steps.push(revoke::step_to_revoke(world, id, (self.reason(), self.args.since))?);
        steps.push(suspend::step_to_reinstate(world, &id.key)?);
        let mut command = vec!["compromise".to_owned(), id.to_string(), format!("--incident={}", self.args.incident)];
        command.extend(self.args.since.map(|since| format!("--since={}", rfc3339(since))));
        let mut tokens = self.key.hsm.clone();
        if let crate::config::Issuer::Key(issuer) = &self.key.issuer {
            tokens.extend(world.active(issuer)?.identity()?.copies.iter().map(|copy| copy.hsm.clone()));
        }
        let (object, subjects) = (id.to_string(), vec![id.key.to_string()]);
        Ok(Intended { operation: Rule::Compromise, object, command, steps, subjects, tokens })
    }

    fn preview(&self, world: &World) -> Result<()> {
        let successor = if self.wants_successor(world)? { "a successor takes over" } else { "no successor is wanted" };
        let since =
            self.args.since.map_or_else(|| "everything it signed".to_owned(), |at| format!("from {}", rfc3339(at)));
        let rows = [
            ("suspend", format!("{} signs and issues nothing", self.args.generation.key)),
            ("rotate", successor.to_owned()),
            ("revoke", format!("{} for {}", self.args.generation, self.reason())),
            ("mark", format!("re-sign required: {since}")),
            ("go on", format!("the suspension of {} ends", self.args.generation.key)),
            ("tell", self.duties()),
        ];
        let row = |(step, detail): &(&str, String)| Row::new().with("step", *step).with("detail", detail.as_str());
        world.ui().rows(&["step", "detail"], &rows.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }

    /// The event for everyone who has to know, once for each incident, with the duties that follow from it.
    fn declare(&self, world: &mut World) -> Result<()> {
        let event = KeyCompromised {
            generation: self.args.generation.clone(),
            incident: self.args.incident.clone(),
            since: self.args.since,
            severity: "Critical".into(),
        };
        if query::has_follow_up(world.ledger.connection(), &event.object())? {
            return Ok(());
        }
        let by = (&world.globals.actor(), &world.globals.correlation_id.clone());
        alerts::write(&mut world.ledger, KeyCompromised::ENTRY, by, &[event])?;
        Ok(())
    }

    fn suspend(&self, world: &mut World) -> Ticked {
        // The successor may be signing already; it is not stopped again.
        if !self.wants_successor(world)? || self.is_suspended(world)? {
            return Ok(None);
        }
        suspend::suspend_now(world, &self.args.generation.key)?;
        Ok(Some(format!("{} signs and issues nothing for now", self.args.generation.key)))
    }

    fn rotate(&self, world: &mut World) -> Ticked {
        if !self.wants_successor(world)? {
            return Ok(None);
        }
        let progress = rotate::advance(world, &self.args.generation.key, &self.options())?;
        match progress.next {
            Next::Wait(Wait::Certificate(id)) => {
                let message = format!("{id} waits for its certificate from outside");
                Err(Error::new(Kind::ApprovalNeeded, "certificate_needed", message)
                    .hint("keyctl import CERT --roots PEM"))
            }
            Next::Wait(Wait::Clients(id, ready)) => {
                let message = format!("{id} waits until {} for clients to have it", rfc3339(ready));
                Err(Error::blocked("clients_lack_key", message)
                    .hint(format!("keyctl rotate {} then", self.args.generation.key)))
            }
            Next::Wait(Wait::Review(id)) => Err(rotate::review_needed(&id)),
            Next::Do(_) | Next::Idle(_) => {
                let active = query::active(world.ledger.connection(), &self.args.generation.key)?;
                Ok(active.map(|active| format!("{} has taken over", active.id)))
            }
        }
    }

    fn revoke(&self, world: &mut World) -> Ticked {
        revoke::compromised(world, &self.args.generation, (self.reason(), self.args.since))?;
        Ok(Some(format!("{} for {}, published and read back", self.args.generation, self.reason())))
    }

    fn marks(&self, world: &World) -> Ticked {
        let marks = query::resign_required(world.ledger.connection())?;
        Ok(match marks.len() {
            0 => None,
            1 => Some("1 artifact is re-sign required".to_owned()),
            many => Some(format!("{many} artifacts are re-sign required")),
        })
    }

    fn go_on(&self, world: &mut World) -> Ticked {
        if !self.is_suspended(world)? {
            return Ok(None);
        }
        let revoked = world.generation(&self.args.generation)?.state;
        if !matches!(revoked, State::Revoked | State::Destroyed) {
            let message = format!("{} is not revoked yet, so its key stays suspended", self.args.generation);
            return Err(Error::blocked("not_revoked", message));
        }
        suspend::lift_now(world, &self.args.generation.key)?;
        Ok(Some(format!("{} goes on with what is active", self.args.generation.key)))
    }

    fn duties(&self) -> String {
        format!("{} is in the ledger, with duties that `keyctl follow-up` shows", KeyCompromised::ENTRY)
    }
}

/// What was done, as it is ticked off.
#[derive(Default)]
struct Checklist {
    rows: Vec<Row>,
    worst: Worst,
    errors: Vec<Error>,
}

impl Checklist {
    fn tick(&mut self, step: &str, ticked: Ticked) {
        let row = match ticked {
            Ok(Some(detail)) => Row::new().with("done", "yes").with("step", step).with("detail", detail),
            Ok(None) => Row::new().with("done", "yes").with("step", step).with("detail", "nothing to do"),
            Err(error) => {
                self.worst.add(error.kind());
                let row = Row::new().with("done", "NO").with("step", step).with("detail", error.message());
                let row = row.with("error", crate::ui::error_value(&error));
                let row =
                    error.advice().map(str::to_owned).into_iter().fold(row, |row, hint| row.with("command", hint));
                self.errors.push(error);
                row
            }
        };
        self.rows.push(row);
    }

    fn print(&self, ui: &Ui, args: &CompromiseArgs) {
        ui.rows(COLUMNS, &self.rows);
        self.errors.iter().for_each(|error| ui.error(error));
        if !self.errors.is_empty() {
            ui.say(&format!(
                "not all is done: repeat keyctl compromise {} --incident {}",
                args.generation, args.incident
            ));
        }
    }
}
