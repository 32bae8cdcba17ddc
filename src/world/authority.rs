//! How a plan comes to a consent: a sandbox asks nobody, elsewhere people sign a request for what was planned. Nothing is
//! printed here; what is shown and what waits for people goes back to whoever asked.

use super::{World, tool};
use crate::clock::Time;
use crate::config::policy::Role;
use crate::crypto;
use crate::crypto::ssh::Signer;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate::{self, Consent, Plan, Presented};
use crate::ledger::query;
use crate::model::{Actor, Assurance, Email, Hash256, HsmName, hex};
use crate::people::quorum::Counted;
use crate::people::request::{self, ApprovalRequest, LogHead, Requester, Step};
use crate::people::sidecar::{self, ConsistencyProof, Proofs};
use crate::people::{Namespace, Roster};
use crate::policy::{Decision, Gate};
use crate::request::Kind as Act;
use chrono::TimeDelta;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How a command came to be run.
#[derive(Clone, Debug, Default)]
pub enum Mandate {
    /// Somebody typed it.
    #[default]
    Typed,
    /// `run` repeats it, with what people agreed to.
    Approved(Box<Presented>),
}

impl Mandate {
    /// The plan that people agreed to, if they did.
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Mandate::Typed => None,
            Mandate::Approved(presented) => Some(Plan::of(presented.document())),
        }
    }

    /// The request that people signed, if they did.
    pub fn document(&self) -> Option<&ApprovalRequest> {
        match self {
            Mandate::Typed => None,
            Mandate::Approved(presented) => Some(presented.document()),
        }
    }

    /// What people signed.
    pub fn presented(self) -> Option<Box<Presented>> {
        match self {
            Mandate::Typed => None,
            Mandate::Approved(presented) => Some(presented),
        }
    }

    /// Whether people agreed to it before.
    pub fn is_approved(&self) -> bool {
        matches!(self, Mandate::Approved(_))
    }
}

/// A plan, with what the gates would say to its steps where whoever planned them asked.
pub struct Planned {
    /// What is going to be done.
    pub plan: Plan,
    /// Decisions by the number of the step, from 0; for a dry run.
    pub judged: Vec<(usize, Decision)>,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Planned { plan, judged: Vec::new() }
    }
}

/// What became of a plan.
pub enum Answer {
    /// It may be done.
    Given(Consent),
    /// A dry run: it is only shown.
    Shown(Box<Foreseen>),
    /// Others have to agree first.
    Waits(Box<Pending>),
}

/// What a dry run shows of every command: the plan, who has to agree, and what the gates would say of what comes first.
#[derive(Debug, Serialize)]
pub struct Foreseen {
    /// The version of this form.
    pub schema: &'static str,
    /// What would be done.
    #[serde(flatten)]
    pub plan: Plan,
    /// What must not move until it is done: keys by name, `settings`, `roster`.
    pub subjects: BTreeSet<String>,
    /// The tokens that it uses.
    pub tokens: BTreeSet<HsmName>,
    /// How many people have to agree, the requester among them; none in a sandbox.
    pub threshold: u32,
    /// Roles that have to be among them.
    pub must_include: Vec<Role>,
    /// What the gates would say, for the acts that can be judged before others are done.
    pub verdicts: Vec<Verdict>,
}

/// What the gates would say to one act.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Which step of the plan, from 0.
    pub step: usize,
    /// `allow`, `block`, `needs-approval`.
    pub result: &'static str,
    /// Each gate that was asked.
    pub gates: Vec<Gate>,
    /// The whole decision.
    #[serde(skip)]
    pub decision: Decision,
}

impl Verdict {
    /// On this step of the plan.
    pub fn new(step: usize, decision: Decision) -> Self {
        let result = match &decision {
            Decision::Allow(_) => "allow",
            Decision::Block(_) => "block",
            Decision::NeedsApproval(_) => "needs-approval",
        };
        Verdict { step, result, gates: decision.gates().to_vec(), decision }
    }
}

/// A request that was written and waits for others.
#[derive(Debug)]
pub struct Pending {
    /// What was asked.
    pub document: ApprovalRequest,
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: Hash256,
    /// Who agreed so far, and who is missing.
    pub counted: Counted,
}

impl Pending {
    /// That it waits, with the literal next commands.
    pub fn error(&self) -> Error {
        let document = &self.document;
        let message = format!("{} of {} waits for {}", document.operation, document.object, self.counted.missing);
        let hint = format!(
            "on an approver's machine: keyctl approve {}; then here: keyctl run {}",
            shown_path(&self.path),
            document.request_id
        );
        Error::new(Kind::ApprovalNeeded, "approval_needed", message).hint(hint)
    }
}

impl World {
    /// Whether people have to agree before a command that changes keys, rules or people goes on.
    pub fn asks_people(&self) -> bool {
        self.genesis.environment != crate::model::Environment::Sandbox || self.globals.identity.is_some()
    }

    /// Brings a plan and what allows it together. Under a request that people signed, the plan is theirs; nobody is asked
    /// in a sandbox (unless `--identity` says who asks); otherwise the requester's own signature is counted, and if it is not
    /// enough, the request is written for others.
    ///
    /// # Errors
    /// `gate_failed` for what would be refused whoever agreed; `identity_needed`, `not_in_roster`; the plan's own.
    pub fn consent<P: Into<Planned>>(
        &mut self,
        mandate: Mandate,
        plan: impl FnOnce(&mut World) -> Result<P>,
    ) -> Result<Answer> {
        let plan = match mandate {
            Mandate::Approved(presented) if self.globals.dry_run => {
                return self.foresee(Plan::of(presented.document()).into(), true).map(|it| Answer::Shown(Box::new(it)));
            }
            Mandate::Approved(presented) => return Ok(Answer::Given(Consent::of_people(presented))),
            Mandate::Typed => plan(self)?.into(),
        };
        if self.globals.dry_run {
            let asks = self.asks_people();
            return self.foresee(plan, asks).map(|it| Answer::Shown(Box::new(it)));
        }
        let Planned { plan, .. } = plan;
        if plan.steps.is_empty() {
            return Ok(Answer::Given(Consent::of_consequence()));
        }
        if !self.asks_people() {
            return Consent::of_sandbox(plan, &self.ledger).map(Answer::Given);
        }
        self.ask(plan)
    }

    /// What a dry run shows; `asks` says whether people are asked at all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn foresee(&mut self, planned: Planned, asks: bool) -> Result<Foreseen> {
        let Planned { plan, judged } = planned;
        let settings = query::settings(self.ledger.connection())?.settings;
        let rule = settings.policy.rule(plan.rule_in_force());
        let (threshold, must_include) = match asks && !plan.steps.is_empty() {
            true => (rule.threshold, rule.must_include.iter().copied().collect()),
            false => (0, Vec::new()),
        };
        let verdicts = match judged.is_empty() {
            true => self.verdicts(&plan, false)?,
            false => judged.into_iter().map(|(step, decision)| Verdict::new(step, decision)).collect(),
        };
        let subjects = plan.subjects()?;
        let tokens = plan.tokens(self.ledger.connection())?.into_keys().collect();
        Ok(Foreseen { schema: "keyctl.plan/v1", plan, subjects, tokens, threshold, must_include, verdicts })
    }

    /// What comes first can be judged, and nothing behind it: by then the register says something else.
    fn verdicts(&mut self, plan: &Plan, agreed: bool) -> Result<Vec<Verdict>> {
        let Some(first) = plan.steps.first() else { return Ok(Vec::new()) };
        let (actor, id) = (self.asker()?, self.globals.correlation_id.clone());
        let decision = gate::foresee(&mut self.ledger, first, (&actor, &id), agreed)?;
        Ok(decision.into_iter().map(|decision| Verdict::new(0, decision)).collect())
    }

    /// Who asks: the person whose key `--identity` is, though nothing is signed with it yet; or else who says so.
    ///
    /// # Errors
    /// The identity cannot be read.
    pub fn asker(&self) -> Result<Actor> {
        let Some(identity) = &self.globals.identity else { return Ok(self.globals.actor()) };
        let key = Signer::public_of(identity)?;
        let roster = query::roster(self.ledger.connection())?;
        let person = roster.as_ref().and_then(|roster| roster.holder(&key));
        Ok(person.map_or_else(
            || self.globals.actor(),
            |(email, person, _)| {
                let roles: Vec<_> = person.roles.iter().map(|role| role.as_str()).collect();
                Actor { email: email.clone(), role: Some(roles.join(", ")), assurance: Assurance::Proven }
            },
        ))
    }

    /// Asks people. What would be refused whoever agreed is refused before.
    fn ask(&mut self, plan: Plan) -> Result<Answer> {
        let roster = query::roster(self.ledger.connection())?;
        let roster = roster.ok_or_else(|| {
            Error::blocked("no_roster", format!("{} takes other people, and there is no roster", plan.rule))
        })?;
        let refused = |verdict: &Verdict| gate::refusal(&plan.object, &verdict.decision);
        if let Some(error) = self.verdicts(&plan, true)?.first().and_then(refused) {
            return Err(error);
        }
        let signer = self.signer(&plan)?;
        let email = self.requester(&roster, &signer)?;
        let key_sha256 = signer.public().fingerprint();
        let document = self.document(plan, &roster, Requester { email, key_sha256 })?;
        let bytes = document.to_bytes()?;
        let signature = signer.sign(&Namespace::Request.of(&document.origin), &bytes)?.to_string();
        let presented = Box::new(Presented::new(bytes.clone(), Some(signature.clone()), Vec::new())?);
        let counted = gate::count(&mut self.ledger, &presented)?;
        if counted.is_enough() {
            return Ok(Answer::Given(Consent::of_people(presented)));
        }
        let path = self.write_request(&document, &bytes, &signature)?;
        let sha256 = presented.sha256();
        Ok(Answer::Waits(Box::new(Pending { document, path, sha256, counted })))
    }

    fn signer(&self, plan: &Plan) -> Result<Signer> {
        let identity = self.globals.identity.as_ref().ok_or_else(|| {
            let message = format!("{} of {} takes a requester who proves it", plan.rule, plan.object);
            Error::blocked("identity_needed", message).hint("--identity SSHKEY, a key that the roster has for you")
        })?;
        Signer::open(identity, &mut crate::ui::passphrase)
    }

    fn requester(&self, roster: &Roster, signer: &Signer) -> Result<Email> {
        let stranger = || {
            let message = format!("the roster has nobody with the key {}", signer.public().openssh_fingerprint());
            Error::blocked("not_in_roster", message).hint("--identity names one of your keys in roster.toml")
        };
        let (email, ..) = roster.holder(signer.public()).ok_or_else(stranger)?;
        if query::suspended(self.ledger.connection())?.contains(email) {
            let message = format!("{email} is suspended, and so asks for nothing");
            return Err(Error::blocked("person_suspended", message).hint(format!("keyctl roster restore {email}")));
        }
        match &self.globals.actor {
            Some(actor) if actor != email => {
                let message = format!("--identity is the key of {email}, and --actor says {actor}");
                Err(Error::usage("actor_not_identity", message).hint("leave --actor out"))
            }
            _ => Ok(email.clone()),
        }
    }

    fn document(&self, plan: Plan, roster: &Roster, requester: Requester) -> Result<ApprovalRequest> {
        let conn = self.ledger.connection();
        let (subjects, tokens) = (plan.subjects()?, plan.tokens(conn)?);
        let settings = query::settings(conn)?;
        let rule = plan.rule_in_force();
        let head = self.ledger.head()?;
        let sets_time = |step: &Step| Act::of_name(&step.operation).is_some_and(Act::sets_time);
        let now = if plan.steps.iter().any(sets_time) { self.globals.clock.now() } else { self.now()? };
        let touched = |subject: String| Ok((query::touched(conn, &subject)?, subject));
        let subjects = subjects.into_iter().map(touched).collect::<Result<Vec<_>>>()?;
        Ok(ApprovalRequest {
            schema: request::SCHEMA.into(),
            request_id: hex(&crypto::random::<16>()?),
            workspace_id: self.genesis.workspace_id.clone(),
            origin: self.genesis.origin.clone(),
            environment: self.genesis.environment,
            genesis_sha256: Some(self.ledger.entry(0)?.leaf_hash()?),
            operation: plan.rule,
            object: plan.object,
            command: plan.command,
            steps: plan.steps,
            subjects: subjects.into_iter().map(|(seq, subject)| (subject, seq)).collect(),
            tokens,
            log_head: LogHead { size: head.size, root: head.root },
            roster: roster.reference()?,
            settings_sha256: settings.sha256,
            requester,
            reason: self.globals.because.clone().unwrap_or_else(|| "none given".into()),
            ticket: self.globals.ticket.clone(),
            break_glass: plan.break_glass,
            tool: tool().clone(),
            created_at: now,
            not_before: now,
            not_after: now + TimeDelta::hours(i64::from(settings.settings.policy.rule(rule).max_age_hours)),
        })
    }

    /// The ledger's time: the clock, or the newest entry's time if that is a little later.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn now(&self) -> Result<Time> {
        let newest = self.ledger.head()?.size.checked_sub(1).map(|seq| self.ledger.entry(seq)).transpose()?;
        let now = self.globals.clock.now();
        Ok(newest.map_or(now, |entry| now.max(entry.leaves_time())))
    }

    fn write_request(&self, document: &ApprovalRequest, bytes: &[u8], signature: &str) -> Result<PathBuf> {
        let folder = self.dir.join(REQUESTS);
        let id = &document.request_id;
        let mut proofs = Proofs { schema: sidecar::SCHEMA.into(), proofs: Vec::new() };
        let to = document.log_head.size;
        let mut sizes = query::seen_sizes(self.ledger.connection())?;
        // What a first approval or a published checkpoint may have shown.
        sizes.push(1);
        sizes.sort_unstable();
        sizes.dedup();
        for from in sizes.into_iter().filter(|from| (1..to).contains(from)) {
            proofs.proofs.push(ConsistencyProof { from, hashes: self.ledger.consistency_proof(from, to)? });
        }
        safe::write_new(&folder.join(format!("{id}.proofs.json")), &crate::crypto::jcs::to_vec(&proofs)?, 0o644)?;
        safe::write_new(&folder.join(format!("{id}.request.sig")), signature.as_bytes(), 0o644)?;
        // Last, since its being there says that the rest is.
        let path = folder.join(format!("{id}.json"));
        safe::write_new(&path, bytes, 0o644)?;
        Ok(path)
    }
}

/// The folder of approval requests in a workspace.
pub const REQUESTS: &str = "requests";
