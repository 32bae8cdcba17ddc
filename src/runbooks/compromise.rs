//! The whole runbook for a key that others may have (B23), step by step.

use crate::clock::rfc3339;
use crate::commands::compromise::CompromiseArgs;
use crate::commands::rotate;
use crate::config::policy::Operation as Rule;
use crate::config::{Issuer, Key, RotationMode};
use crate::error::{Error, Kind, Result};
use crate::keys::rotation::{self, Next, Wait};
use crate::keys::{Generation, State};
use crate::ledger::alerts::{self, KeyCompromised};
use crate::ledger::query;
use crate::lifecycle::revocation::channel;
use crate::lifecycle::revocation::compromise::{Compromise, Stage};
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::{advance, words};
use crate::lifecycle::suspend;
use crate::model::GenerationId;
use crate::runbooks::checklist::{Checklist, Ticked};
use crate::runbooks::evidence;
use crate::ui::Row;
use crate::world::authority::Intended;
use crate::world::{World, small};

/// The steps of the runbook.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    Suspend,
    Rotate,
    Revoke,
    Mark,
    Evidence,
    GoOn,
    Tell,
}

impl Task {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Task::Suspend => "suspend",
            Task::Rotate => "rotate",
            Task::Revoke => "revoke",
            Task::Mark => "mark",
            Task::Evidence => "evidence",
            Task::GoOn => "go on",
            Task::Tell => "tell",
        }
    }
}

pub(crate) struct Runbook<'a> {
    args: &'a CompromiseArgs,
    generation: Generation,
    key: Key,
    reference: String,
}

impl<'a> Runbook<'a> {
    pub(crate) fn read(args: &'a CompromiseArgs, world: &World) -> Result<Self> {
        let generation = world.generation(&args.generation)?;
        let key = small::setting(&world.settings()?, &args.generation.key)?;
        if generation.credential().is_none() {
            let message = format!("{} never had a certificate; there is nothing to revoke", generation.id);
            return Err(Error::usage("never_certified", message).hint(format!("keyctl destroy {}", generation.id)));
        }
        let reference = args.reference.clone().unwrap_or_else(|| format!("incident {}", args.incident));
        let runbook = Runbook { args, generation, key, reference };
        if args.reference.is_some() {
            // It is refused where no external issuer is.
            channel::of(world, &runbook.generation, args.reference.as_deref())?;
        }
        runbook.compromise().check(world, &args.generation)?;
        Ok(runbook)
    }

    fn compromise(&self) -> Compromise<'_> {
        Compromise { since: self.args.since, reference: &self.reference }
    }

    /// A CA's successor is made when nothing rests on the CA any more: no link vouches for it, no review holds it up.
    fn revokes_first(&self) -> bool {
        let is_ca = self.generation.purpose.is_ca();
        is_ca || self.key.rotation == RotationMode::Review
    }

    pub(crate) fn steps(&self) -> &'static [Task] {
        use Task::{Evidence, GoOn, Mark, Revoke, Rotate, Suspend, Tell};
        match self.revokes_first() {
            true => &[Suspend, Revoke, Rotate, Mark, Evidence, GoOn, Tell],
            false => &[Suspend, Rotate, Revoke, Mark, Evidence, GoOn, Tell],
        }
    }

    pub(crate) fn take(&self, world: &mut World, task: Task) -> Ticked {
        match task {
            Task::Suspend => self.suspend(world),
            Task::Rotate => self.rotate(world),
            Task::Revoke => self.compromise().revoke(world, &self.args.generation).map(Some),
            Task::Mark => self.marks(world),
            Task::Evidence => self.evidence(world),
            Task::GoOn => self.go_on(world),
            Task::Tell => Ok(Some(duties())),
        }
    }

    /// The register does not know of it yet.
    pub(crate) fn is_open(&self, world: &World) -> Result<bool> {
        Ok(self.compromise().check(world, &self.args.generation)? == Stage::Open)
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

    /// The words that do it again.
    pub(crate) fn command(&self) -> Vec<String> {
        let (id, incident) = (&self.args.generation, &self.args.incident);
        let mut command = vec!["compromise".to_owned(), id.to_string(), format!("--incident={incident}")];
        command.extend(self.args.since.map(|since| format!("--since={}", rfc3339(since))));
        command.extend(self.args.reference.as_ref().map(|reference| format!("--reference={reference}")));
        command
    }

    /// Every act of the runbook that is left, for people to agree to; nothing if nothing is left.
    pub(crate) fn intended(&self, world: &mut World) -> Result<Option<Intended>> {
        let id = &self.args.generation;
        let stage = self.compromise().check(world, id)?;
        let (wants_successor, is_suspended) = (self.wants_successor(world)?, self.is_suspended(world)?);
        let mut steps = Vec::new();
        if wants_successor && !is_suspended {
            steps.push(suspend::step_to_suspend(world, &id.key)?);
        }
        if wants_successor {
            let revoked = self.revokes_first().then(|| id.clone());
            match rotate::planned(world, &id.key, &Options { revoked, ..self.options() }) {
                Ok(rotation) => steps.extend(rotation),
                // The rest cannot wait for a token that is away.
                Err(error) => world.ui().warn(&format!("the successor is left for later: {}", error.full())),
            }
        }
        if stage == Stage::Open {
            match self.compromise().step(world, id) {
                Ok(revocation) => steps.push(revocation),
                Err(error) => world.ui().warn(&format!("the revocation is left for later: {}", error.full())),
            }
        }
        if wants_successor || is_suspended {
            steps.push(suspend::step_to_reinstate(world, &id.key)?);
        }
        let operation = match (steps.is_empty(), stage) {
            (true, Stage::Told) => return Ok(None),
            // Telling what was decided takes what issuing a list takes.
            (true, _) => {
                steps.push(self.compromise().step(world, id)?);
                Rule::Crl
            }
            (false, _) => Rule::Compromise,
        };
        let mut tokens = self.key.hsm.clone();
        if let Issuer::Key(issuer) = &self.key.issuer
            && let Some(issuer) = query::active(world.ledger.connection(), issuer)?
        {
            tokens.extend(issuer.identity()?.copies.iter().map(|copy| copy.hsm.clone()));
        }
        let (object, subjects) = (id.to_string(), vec![id.key.to_string()]);
        Ok(Some(Intended { operation, object, command: self.command(), steps, subjects, tokens }))
    }

    pub(crate) fn preview(&self, world: &World) -> Result<()> {
        let id = &self.args.generation;
        let since =
            self.args.since.map_or_else(|| "everything it signed".to_owned(), |at| format!("from {}", rfc3339(at)));
        let wants_successor = self.wants_successor(world)?;
        let mut rows = Vec::new();
        for task in self.steps() {
            let detail = match task {
                Task::Suspend if wants_successor => format!("{} signs and issues nothing", id.key),
                Task::Rotate if wants_successor => "a successor takes over".to_owned(),
                Task::Suspend | Task::Rotate => "nothing to do".to_owned(),
                Task::Revoke => {
                    let way = channel::of(world, &self.generation, self.external_reference())?;
                    format!("{id}: {}", way.explain())
                }
                Task::Mark => format!("re-sign required: {since}"),
                Task::Evidence => "a fragment for each event in evidence/".to_owned(),
                Task::GoOn => format!("the suspension of {} ends", id.key),
                Task::Tell => duties(),
            };
            rows.push(Row::new().with("step", task.name()).with("detail", detail));
        }
        world.ui().rows(&["step", "detail"], &rows);
        Ok(())
    }

    fn external_reference(&self) -> Option<&str> {
        channel::is_external(&self.generation).then_some(self.reference.as_str())
    }

    /// The event for everyone who has to know, once for each incident, with the duties that follow from it.
    pub(crate) fn declare(&self, world: &mut World) -> Result<()> {
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
        let key = &self.args.generation.key;
        if !self.wants_successor(world)? {
            return Ok(None);
        }
        let progress = advance::advance(world, key, &self.options())?;
        match progress.next {
            Next::Wait(Wait::Certificate(id)) => {
                let message = format!("{id} waits for its certificate from outside");
                Err(Error::new(Kind::ApprovalNeeded, "certificate_needed", message)
                    .hint("keyctl import CERT --roots PEM"))
            }
            Next::Wait(Wait::Clients(id, ready)) => {
                let message = format!("{id} waits until {} for clients to have it", rfc3339(ready));
                Err(Error::blocked("clients_lack_key", message).hint(format!("keyctl rotate {key} then")))
            }
            Next::Wait(Wait::Review(id)) => Err(words::review_needed(&id)),
            Next::Do(_) | Next::Idle(_) => {
                let active = query::active(world.ledger.connection(), key)?;
                Ok(active.map(|active| format!("{} has taken over", active.id)))
            }
        }
    }

    fn marks(&self, world: &World) -> Ticked {
        let count = self.open_marks(world)?;
        Ok((count > 0).then(|| format!("{} re-sign required", counted(count, "artifact is", "artifacts are"))))
    }

    fn open_marks(&self, world: &World) -> Result<usize> {
        let marks = query::resign_required(world.ledger.connection())?;
        Ok(marks.iter().filter(|mark| mark.because == self.args.generation).count())
    }

    fn evidence(&self, world: &mut World) -> Ticked {
        let written = evidence::evidence_of(world, &self.args.generation)?;
        let said = counted(written, "fragment about it is", "fragments about it are");
        Ok((written > 0).then(|| format!("{said} in evidence/")))
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
        let key = &self.args.generation.key;
        Ok(Some(match query::active(world.ledger.connection(), key)? {
            Some(active) => format!("{key} goes on with {}", active.id),
            None => format!("{key} is suspended no more, but has no successor yet"),
        }))
    }

    /// What no program can do.
    pub(crate) fn leave(&self, world: &World, list: &mut Checklist) -> Result<()> {
        let id = &self.args.generation;
        if channel::is_external(&self.generation) {
            let detail = format!("the issuer of {id} has to revoke its certificate too; no list of ours can");
            list.leave("issuer", &detail, None);
        }
        let mut below = Vec::new();
        for one in query::generations(world.ledger.connection())? {
            if let Some(reason) = one.quarantined.as_ref().filter(|_| one.state == State::Active)
                && let Some(depth) = self.rests_on_it(world, &one.id)?
            {
                below.push((depth, one.id.clone(), format!("{} is quarantined: {reason}", one.id)));
            }
        }
        // A key is certified by one that was replaced before.
        below.sort();
        for (_, id, detail) in below {
            list.leave("replace", &detail, Some(format!("keyctl rotate {} --now", id.key)));
        }
        let count = self.open_marks(world)?;
        if count > 0 {
            let said = counted(count, "artifact that rests", "artifacts that rest");
            let detail = format!("{said} on {id} to be signed again; keyctl status lists them");
            list.leave("sign again", &detail, Some("keyctl sign --re-sign FILE...".to_owned()));
        }
        Ok(())
    }

    /// How far above a generation the compromised one is, if its certificates lead there.
    fn rests_on_it(&self, world: &World, id: &GenerationId) -> Result<Option<usize>> {
        let mut at = id.clone();
        // No chain is longer.
        for depth in 1..=8 {
            match query::issuer(world.ledger.connection(), &at)? {
                Some(issuer) if issuer == self.args.generation => return Ok(Some(depth)),
                Some(issuer) if issuer != at => at = issuer,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A number and what there are so many of.
fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn duties() -> String {
    format!("{} is in the ledger, with duties that `keyctl follow-up` shows", KeyCompromised::ENTRY)
}
