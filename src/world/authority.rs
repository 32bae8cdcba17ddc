//! By whose leave: what a command does where people have to agree. It resolves every parameter, says what it is going
//! to do ([`World::authorize`]), and goes on only under a [`Warrant`], using the parameters that were planned.

use super::{World, grouped, tool};
use crate::clock::{Time, rfc3339};
use crate::config::policy::Operation as Rule;
use crate::crypto::ssh::Signer;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate::{self, Presented, Warrant};
use crate::keys::TokenRecord;
use crate::ledger::query;
use crate::model::{Email, Hash256, HsmName, hex};
use crate::people::quorum::Counted;
use crate::people::request::{self, ApprovalRequest, LogHead, Requester, Step};
use crate::people::sidecar::{self, ConsistencyProof, Proofs};
use crate::people::{Namespace, Roster};
use crate::request::Operation;
use crate::ui::Row;
use chrono::TimeDelta;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a command is going to do.
#[derive(Clone, Debug)]
pub struct Intended {
    /// The rule of the policy that applies.
    pub operation: Rule,
    /// What it is done to.
    pub object: String,
    /// The command line that does it, without global options.
    pub command: Vec<String>,
    /// Each act, in order.
    pub steps: Vec<Step>,
    /// What must not move until it is done: keys by name, `settings`, `roster`.
    pub subjects: Vec<String>,
    /// The tokens that will be used.
    pub tokens: Vec<HsmName>,
}

/// One act of a command, with every parameter that can be known beforehand.
///
/// # Errors
/// Only a bug.
pub fn step<O: Operation>(object: impl Into<String>, params: &O) -> Result<Step> {
    let mut value = serde_json::to_value(params).map_err(|e| Error::bug("parameters have no JSON form").because(e))?;
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !O::OPEN.contains(&name.as_str()));
    }
    Ok(Step { operation: O::NAME.into(), object: object.into(), params: value })
}

impl World {
    /// Whether people have to agree before a command that changes keys, rules or people goes on.
    pub fn asks_people(&self) -> bool {
        let waived = self.genesis.environment == crate::model::Environment::Sandbox && self.globals.identity.is_none();
        !waived && self.warrant.is_none()
    }

    /// The planned parameters of a step, under a warrant.
    pub fn planned(&self, operation: &str, object: &str) -> Option<&Value> {
        self.warrant.as_ref()?.planned(operation, object)
    }

    /// All planned parameters of a step that leaves none open.
    ///
    /// # Errors
    /// They are not those of the operation.
    pub fn planned_params<O: Operation>(&self, object: &str) -> Result<Option<O>> {
        let Some(params) = self.planned(O::NAME, object) else { return Ok(None) };
        let read = serde_json::from_value(params.clone());
        read.map(Some).map_err(|error| Error::failed("bad_request", "a planned step cannot be read").because(error))
    }

    /// One planned parameter, read as what it is.
    ///
    /// # Errors
    /// It is planned, but as something else.
    pub fn planned_field<T: serde::de::DeserializeOwned>(&self, step: (&str, &str), name: &str) -> Result<Option<T>> {
        let Some(value) = self.planned(step.0, step.1).and_then(|params| params.get(name)) else { return Ok(None) };
        let read = serde_json::from_value(value.clone());
        read.map(Some).map_err(|error| Error::failed("bad_request", format!("{name} of a planned step")).because(error))
    }

    /// Asks for leave. Returns if the command may go on: nobody is asked in a sandbox (unless `--identity` says who
    /// asks), a warrant is at hand, or the requester alone is enough. Otherwise the request is written for others.
    ///
    /// # Errors
    /// `approval_needed`, after the request was written; `identity_needed`, `not_in_roster`.
    pub fn authorize(&mut self, intended: Intended) -> Result<()> {
        if !self.asks_people() {
            return Ok(());
        }
        let roster = query::roster(self.ledger.connection())?;
        let roster = roster.ok_or_else(|| {
            Error::blocked("no_roster", format!("{} takes other people, and there is no roster", intended.operation))
        })?;
        let signer = self.signer(&intended)?;
        let email = self.requester(&roster, &signer)?;
        let key_sha256 = signer.public().fingerprint();
        let document = self.document(intended, &roster, Requester { email, key_sha256 })?;
        let bytes = document.to_bytes()?;
        if self.globals.dry_run {
            self.ui().raw(&format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default()));
            return Ok(());
        }
        let signature = signer.sign(&Namespace::Request.of(&document.origin), &bytes)?.to_string();
        let presented = Presented::new(bytes.clone(), Some(signature.clone()), Vec::new())?;
        let counted = gate::count(&mut self.ledger, &presented)?;
        if counted.is_enough() {
            self.warrant = Some(Warrant::Request(Box::new(presented)));
            return Ok(());
        }
        let path = self.write_request(&document, &bytes, &signature)?;
        self.waits(&document, &path, &counted)
    }

    fn signer(&self, intended: &Intended) -> Result<Signer> {
        let identity = self.globals.identity.as_ref().ok_or_else(|| {
            let message = format!("{} of {} takes a requester who proves it", intended.operation, intended.object);
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

    fn document(&self, intended: Intended, roster: &Roster, requester: Requester) -> Result<ApprovalRequest> {
        let conn = self.ledger.connection();
        let recorded = query::tokens(conn)?;
        let settings = query::settings(conn)?;
        let rule = if self.globals.break_glass.is_some() { Rule::BreakGlass } else { intended.operation };
        let head = self.ledger.head()?;
        let now = self.now()?;
        let mut tokens = intended.tokens;
        tokens.sort();
        tokens.dedup();
        let moved = |subject: String| Ok((query::touched(conn, &subject)?, subject));
        let subjects = intended.subjects.into_iter().map(moved).collect::<Result<Vec<_>>>()?;
        Ok(ApprovalRequest {
            schema: request::SCHEMA.into(),
            request_id: hex(&random()?),
            workspace_id: self.genesis.workspace_id.clone(),
            origin: self.genesis.origin.clone(),
            environment: self.genesis.environment,
            genesis_sha256: Some(self.ledger.entry(0)?.leaf_hash()?),
            operation: intended.operation,
            object: intended.object,
            command: intended.command,
            steps: intended.steps,
            subjects: subjects.into_iter().map(|(seq, subject)| (subject, seq)).collect(),
            tokens: tokens
                .into_iter()
                .filter_map(|hsm| recorded.get(&hsm).map(TokenRecord::summary).map(|it| (hsm, it)))
                .collect(),
            log_head: LogHead { size: head.size, root: head.root },
            roster: roster.reference()?,
            settings_sha256: settings.sha256,
            requester,
            reason: self.globals.because.clone().unwrap_or_else(|| "none given".into()),
            ticket: self.globals.ticket.clone(),
            break_glass: self.globals.break_glass.clone(),
            tool: tool().clone(),
            created_at: now,
            not_before: now,
            not_after: now + TimeDelta::hours(i64::from(settings.settings.policy.rule(rule).max_age_hours)),
        })
    }

    /// The ledger's time: the clock, or the newest entry's time if that is a little later.
    fn now(&self) -> Result<Time> {
        let newest = self.ledger.head()?.size.checked_sub(1).map(|seq| self.ledger.entry(seq)).transpose()?;
        let now = self.globals.clock.now();
        Ok(newest.map_or(now, |entry| now.max(entry.time)))
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

    fn waits(&self, document: &ApprovalRequest, path: &Path, counted: &Counted) -> Result<()> {
        let sha256 = Hash256::of(&document.to_bytes()?);
        let candidates: Vec<_> = counted.missing.candidates.iter().map(ToString::to_string).collect();
        self.ui().object(
            &Row::new()
                .with("request", shown_path(path))
                .with("request_id", document.request_id.as_str())
                .with("sha256", sha256.to_string())
                .with("aloud", grouped(&sha256.to_string()))
                .with("waits_for", counted.missing.to_string())
                .with("may_approve", candidates)
                .with("until", rfc3339(document.not_after)),
        );
        let message = format!("{} of {} waits for {}", document.operation, document.object, counted.missing);
        let hint = format!(
            "on an approver's machine: keyctl approve {}; then here: keyctl run {}",
            shown_path(path),
            document.request_id
        );
        Err(Error::new(Kind::ApprovalNeeded, "approval_needed", message).hint(hint))
    }
}

/// The folder of approval requests in a workspace.
pub const REQUESTS: &str = "requests";

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    Ok(bytes)
}
