//! The whole runbook for a key that others may have (B23), step by step.

use crate::clock::{Time, rfc3339};
use crate::config::policy::Operation as Rule;
use crate::config::{Key, RotationMode};
use crate::error::{Error, Kind, Result};
use crate::files::shown_path;
use crate::gate::{Consent, Plan};
use crate::keys::rotation::{self, Next, Wait};
use crate::keys::{Generation, State};
use crate::ledger::alerts::{self, KeyCompromised};
use crate::ledger::query;
use crate::lifecycle::revocation::compromise::{Compromise, Stage};
use crate::lifecycle::revocation::{channel, terms};
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::{advance, plan, words};
use crate::lifecycle::suspend;
use crate::model::{GenerationId, Purpose};
use crate::people::request::Step;
use crate::policy::derived;
use crate::request::{ReinstateKey, SuspendKey};
use crate::runbooks::checklist::{Checklist, Ticked};
use crate::runbooks::evidence;
use crate::world::{World, act, requests};

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

/// A compromise as somebody declares it.
pub(crate) struct Declared {
    /// The generation whose private key others may have.
    pub generation: GenerationId,
    /// The declared incident.
    pub incident: String,
    /// Since when others may have had it.
    pub since: Option<Time>,
    /// How the external issuer was told.
    pub reference: Option<String>,
}

/// What is to be done about it.
pub(crate) struct Runbook {
    declared: Declared,
    generation: Generation,
    key: Key,
    reference: String,
}

impl Runbook {
    /// Reads where it stands.
    ///
    /// # Errors
    /// The generation was never certified, or is revoked with words that this does not sharpen.
    pub(crate) fn read(declared: Declared, world: &World) -> Result<Self> {
        let generation = world.generation(&declared.generation)?;
        let key = world.settings()?.key(&declared.generation.key)?.clone();
        if generation.credential().is_none() {
            let message = format!("{} never had a certificate; there is nothing to revoke", generation.id);
            return Err(Error::usage("never_certified", message).hint(format!("keyctl destroy {}", generation.id)));
        }
        let reference = declared.reference.clone().unwrap_or_else(|| format!("incident {}", declared.incident));
        let runbook = Runbook { declared, generation, key, reference };
        if runbook.declared.reference.is_some() {
            // It is refused where no external issuer is.
            channel::of(world, &runbook.generation, runbook.declared.reference.as_deref())?;
        }
        runbook.compromise(None).check(world, &runbook.declared.generation)?;
        Ok(runbook)
    }

    fn compromise(&self, consent: Option<&Consent>) -> Compromise<'_> {
        let planned = consent.and_then(|consent| terms::planned(consent.plan(), &self.declared.generation));
        Compromise { since: self.declared.since, reference: &self.reference, planned }
    }

    /// A CA's successor is made when nothing rests on the CA any more: no link vouches for it, no review holds it up. An APT
    /// key's waits for no clients then.
    fn revokes_first(&self) -> bool {
        let purpose = self.generation.purpose;
        purpose.is_ca() || purpose == Purpose::Apt || self.key.rotation == RotationMode::Review
    }

    pub(crate) fn steps(&self) -> &'static [Task] {
        use Task::{Evidence, GoOn, Mark, Revoke, Rotate, Suspend, Tell};
        match self.revokes_first() {
            true => &[Suspend, Revoke, Rotate, Mark, Evidence, GoOn, Tell],
            false => &[Suspend, Rotate, Revoke, Mark, Evidence, GoOn, Tell],
        }
    }

    /// Does one of them.
    pub(crate) fn take(&self, world: &mut World, consent: &Consent, task: Task) -> Ticked {
        match task {
            Task::Suspend => self.suspend(world, consent),
            Task::Rotate => self.rotate(world, consent),
            Task::Revoke => self.compromise(Some(consent)).revoke(world, consent, &self.declared.generation).map(Some),
            Task::Mark => self.marks(world),
            Task::Evidence => self.evidence(world),
            Task::GoOn => self.go_on(world, consent),
            Task::Tell => Ok(Some(duties())),
        }
    }

    /// The register does not know of it yet.
    pub(crate) fn is_open(&self, world: &World) -> Result<bool> {
        Ok(self.compromise(None).check(world, &self.declared.generation)? == Stage::Open)
    }

    fn is_suspended(&self, world: &World) -> Result<bool> {
        Ok(query::suspended_keys(world.ledger.connection())?.contains_key(&self.declared.generation.key))
    }

    /// It was in use, and no successor has taken over from it.
    fn wants_successor(&self, world: &World) -> Result<bool> {
        if rotation::is_available(&self.declared.generation.key, self.key.purpose).is_err() {
            return Ok(false);
        }
        let active = query::active(world.ledger.connection(), &self.declared.generation.key)?;
        let served = !matches!(self.generation.state, State::Generated | State::Certified | State::Staged);
        Ok(served && active.is_none_or(|active| active.id.number <= self.declared.generation.number))
    }

    fn options(&self) -> Options {
        let reason = Some(format!("incident {}", self.declared.incident));
        Options { early: true, reason, ..Options::default() }
    }

    /// The words that do it again.
    pub(crate) fn command(&self) -> Vec<String> {
        let (id, incident) = (&self.declared.generation, &self.declared.incident);
        let mut command = vec!["compromise".to_owned(), id.to_string(), format!("--incident={incident}")];
        command.extend(self.declared.since.map(|since| format!("--since={}", rfc3339(since))));
        command.extend(self.declared.reference.as_ref().map(|reference| format!("--reference={reference}")));
        command
    }

    /// Every act of the runbook that is left; no steps if nothing is left.
    ///
    /// # Errors
    /// The register cannot be read. What cannot be planned yet is a warning, and left for later.
    pub(crate) fn plan(&self, world: &World) -> Result<Plan> {
        let id = &self.declared.generation;
        let stage = self.compromise(None).check(world, id)?;
        let (wants_successor, is_suspended) = (self.wants_successor(world)?, self.is_suspended(world)?);
        let mut steps = Vec::new();
        if wants_successor && !is_suspended {
            steps.push(suspend::step_to_suspend(world, &id.key)?);
        }
        if wants_successor {
            match self.rotation(world) {
                Ok(rotation) => steps.extend(rotation),
                // The rest cannot wait for a token that is away.
                Err(error) => world.ui().warn(&format!("the successor is left for later: {}", error.full())),
            }
        }
        // Telling what was decided takes what issuing a list takes.
        let only_tells = steps.is_empty() && !is_suspended && stage == Stage::Decided;
        if stage != Stage::Announced {
            match self.compromise(None).step(world, id) {
                Ok(revocation) => steps.push(revocation),
                Err(error) => world.ui().warn(&format!("the revocation is left for later: {}", error.full())),
            }
        }
        if wants_successor || is_suspended {
            steps.push(suspend::step_to_reinstate(world, &id.key)?);
        }
        let rule = if only_tells { Rule::Crl } else { Rule::Compromise };
        Ok(Plan {
            rule,
            object: derived::object_of(rule, &steps)?.unwrap_or_else(|| id.to_string()),
            command: self.command(),
            steps,
            break_glass: None,
        })
    }

    /// The way to a successor, as far as it can be gone at once.
    fn rotation(&self, world: &World) -> Result<Vec<Step>> {
        let id = &self.declared.generation;
        let revoked = self.revokes_first().then(|| id.clone());
        plan::ahead(world, &id.key, &Options { revoked, ..self.options() }, false)
    }

    /// What the steps of the runbook will come to, in words.
    ///
    /// # Errors
    /// The register cannot be read; nobody can tell verifiers.
    pub(crate) fn explain(&self, world: &World) -> Result<Vec<(Task, String)>> {
        let id = &self.declared.generation;
        let since = self.declared.since;
        let since = since.map_or_else(|| "everything it signed".to_owned(), |at| format!("from {}", rfc3339(at)));
        let wants_successor = self.wants_successor(world)?;
        let mut all = Vec::new();
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
            all.push((*task, detail));
        }
        Ok(all)
    }

    fn external_reference(&self) -> Option<&str> {
        channel::is_external(&self.generation).then_some(self.reference.as_str())
    }

    /// The event for everyone who has to know, once for each incident, with the duties that follow from it.
    pub(crate) fn declare(&self, world: &mut World) -> Result<()> {
        let event = KeyCompromised {
            generation: self.declared.generation.clone(),
            incident: self.declared.incident.clone(),
            since: self.declared.since,
            severity: "Critical".into(),
        };
        if query::has_follow_up(world.ledger.connection(), &event.object())? {
            return Ok(());
        }
        let by = (&world.globals.actor(), &world.globals.correlation_id.clone());
        alerts::write(&mut world.ledger, KeyCompromised::ENTRY, by, &[event])?;
        Ok(())
    }

    fn suspend(&self, world: &mut World, consent: &Consent) -> Ticked {
        // The successor may be signing already; it is not stopped again.
        if !self.wants_successor(world)? || self.is_suspended(world)? {
            return Ok(None);
        }
        act::record::<SuspendKey>(world, consent, self.declared.generation.key.as_str())?;
        Ok(Some(format!("{} signs and issues nothing for now", self.declared.generation.key)))
    }

    fn rotate(&self, world: &mut World, consent: &Consent) -> Ticked {
        let key = &self.declared.generation.key;
        if !self.wants_successor(world)? {
            return Ok(None);
        }
        let progress = advance::advance(world, consent, key, &self.options())?;
        match progress.next {
            Next::Wait(Wait::Certificate(id)) => {
                let file = progress.csr.as_deref().map(shown_path).unwrap_or_default();
                let message = format!("{id} waits for its certificate from outside");
                Err(Error::new(Kind::ApprovalNeeded, "certificate_needed", message)
                    .hint(format!("send {file} to the issuer; keyctl import takes in what comes back")))
            }
            // Both only because the revocation, which comes first, did not happen.
            Next::Wait(Wait::Clients(id, ready)) => {
                let message = format!("{id} waits until {} for clients to have it", rfc3339(ready));
                Err(Error::blocked("clients_lack_key", message).hint(requests::again(
                    world,
                    consent.request(),
                    &self.command(),
                )?))
            }
            Next::Wait(Wait::Review(id)) => {
                let message =
                    format!("{id} is not revoked yet, and while it is in use a review decides on its successor");
                Err(Error::blocked("not_revoked", message).hint(requests::again(
                    world,
                    consent.request(),
                    &self.command(),
                )?))
            }
            // It could not be planned, and perhaps still cannot; the reason is the answer.
            Next::Do(_) if progress.done.is_empty() => self.rotation(world).and_then(|_| {
                let message = format!("the successor of {} was not planned", self.declared.generation);
                Err(Error::blocked("not_planned", message).hint(requests::again(
                    world,
                    consent.request(),
                    &self.command(),
                )?))
            }),
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
        Ok(marks.iter().filter(|mark| mark.because == self.declared.generation).count())
    }

    fn evidence(&self, world: &mut World) -> Ticked {
        let written = evidence::evidence_of(world, &self.declared.generation)?;
        let said = counted(written, "fragment about it is", "fragments about it are");
        Ok((written > 0).then(|| format!("{said} in evidence/")))
    }

    fn go_on(&self, world: &mut World, consent: &Consent) -> Ticked {
        if !self.is_suspended(world)? {
            return Ok(None);
        }
        let revoked = world.generation(&self.declared.generation)?.state;
        if !matches!(revoked, State::Revoked | State::Destroyed) {
            let message = format!("{} is not revoked yet, so its key stays suspended", self.declared.generation);
            return Err(Error::blocked("not_revoked", message));
        }
        act::record::<ReinstateKey>(world, consent, self.declared.generation.key.as_str())?;
        let key = &self.declared.generation.key;
        Ok(Some(match query::active(world.ledger.connection(), key)? {
            Some(active) => format!("{key} goes on with {}", active.id),
            None => format!("{key} is suspended no more, but has no successor yet"),
        }))
    }

    /// What no program can do.
    pub(crate) fn leave(&self, world: &World, list: &mut Checklist) -> Result<()> {
        let id = &self.declared.generation;
        if channel::is_external(&self.generation) {
            let detail = format!("the issuer of {id} has to revoke its certificate too; no list of ours can");
            list.leave("issuer", &detail, None);
        }
        if let Some(said) = words::clients_need(world, &id.key)? {
            list.leave("clients", &said, None);
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
            let detail = format!("{said} on {id} to be signed again, each with keyctl sign --re-sign");
            list.leave("sign again", &detail, Some("keyctl status".to_owned()));
        }
        Ok(())
    }

    /// How far above a generation the compromised one is, if its certificates lead there.
    fn rests_on_it(&self, world: &World, id: &GenerationId) -> Result<Option<usize>> {
        let mut at = id.clone();
        // No chain is longer.
        for depth in 1..=8 {
            match query::issuer(world.ledger.connection(), &at)? {
                Some(issuer) if issuer == self.declared.generation => return Ok(Some(depth)),
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
