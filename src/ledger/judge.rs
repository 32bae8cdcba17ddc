//! Judging an entry again from what stands in it: would the gate have let it in?
//!
//! Entries behind the newest checkpoint need no key to forge, and whoever forges one can make tree and tables fit. What
//! cannot be made to fit are people's signatures. So an act counts if it only takes power away, if nobody has to agree
//! to it, or if the signatures by whose leave it was done stand in the ledger and count, under the settings, the roster
//! and the suspensions of its moment. The audit judges every entry so, opening only those that no checkpoint covers.
//!
//! **How far it reaches.** In a sandbox nobody has to agree, so an act needs no proof there. An outcome says what a
//! token answered, and nothing in the ledger proves that; its intent is what is judged.

use super::entry::Entry;
use super::genesis::Genesis;
use super::projection::authority::CONSUMED;
use super::query;
use super::rows::first;
use crate::config::policy::{Operation as Rules, Rule};
use crate::error::{Error, Result};
use crate::keys::State;
use crate::model::{Environment, GenerationId, Hash256};
use crate::people::approval::{Part, Participant};
use crate::people::cab::{self, Here, Question};
use crate::people::quorum::{self, Ballot, Counted, InForce};
use crate::people::request::Step;
use crate::people::{ApprovalRequest, Roster};
use crate::request::{Authority, Kind, Request, SignArtifact, rule_of};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What an intent's request says of itself, whatever its operation.
#[derive(Deserialize)]
struct Asked {
    object: String,
    params: Value,
    #[serde(default)]
    approvals: Vec<Participant>,
    #[serde(default)]
    authority: Option<Authority>,
}

/// Judges entries of one ledger, each by the tables as they are before it.
pub(super) struct Judge<'a> {
    tables: &'a Connection,
    /// The leaf hash of entry 0.
    hash: Hash256,
    genesis: OnceCell<Genesis>,
    /// Settings and roster as they were read last, with the entries that put them in force.
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    settings: Option<(i64, Rc<query::Adopted>)>,
    roster: Option<(i64, Rc<Roster>)>,
}

impl<'a> Judge<'a> {
    /// By these tables, of the ledger whose entry 0 has this leaf hash.
    pub fn new(tables: &'a Connection, hash: Hash256) -> Self {
        Judge { tables, hash, genesis: OnceCell::new(), known: RefCell::default() }
    }

    /// Judges an entry.
    ///
    /// # Errors
    /// `unproven` (blocked): the gate would not have let it in, or nothing shows that it did; database errors.
    pub fn judge(&self, entry: &Entry) -> Result<()> {
        let is_consumption = entry.phase().is_none() && entry.entry_type.as_str() == CONSUMED;
        if entry.seq == 0 || !(is_consumption || entry.phase() == Some("intent")) {
            return Ok(());
        }
        let bench = Bench { tables: self.tables, entry, judge: self, genesis: self.genesis()? };
        if is_consumption { bench.consumed() } else { bench.intent(entry.kind()?) }
    }

    fn genesis(&self) -> Result<&Genesis> {
        if let Some(genesis) = self.genesis.get() {
            return Ok(genesis);
        }
        let genesis = query::genesis(self.tables)?;
        Ok(self.genesis.get_or_init(|| genesis))
    }

    fn settings(&self) -> Result<Rc<query::Adopted>> {
        let newest = first(self.tables, "SELECT max(seq) FROM settings", [])?.unwrap_or_default();
        let known = &mut self.known.borrow_mut().settings;
        match known {
            Some((seq, settings)) if *seq == newest => Ok(settings.clone()),
            _ => Ok(known.insert((newest, Rc::new(query::settings(self.tables)?))).1.clone()),
        }
    }

    fn roster(&self) -> Result<Option<Rc<Roster>>> {
        let newest: Option<i64> = first(self.tables, "SELECT seq FROM rosters ORDER BY seq DESC LIMIT 1", [])?;
        let Some(newest) = newest else { return Ok(None) };
        let known = &mut self.known.borrow_mut().roster;
        match known {
            Some((seq, roster)) if *seq == newest => Ok(Some(roster.clone())),
            _ => {
                *known = query::roster(self.tables)?.map(|roster| (newest, Rc::new(roster)));
                Ok(known.as_ref().map(|(_, roster)| roster.clone()))
            }
        }
    }
}

/// One entry before the judge.
struct Bench<'a> {
    tables: &'a Connection,
    entry: &'a Entry,
    judge: &'a Judge<'a>,
    genesis: &'a Genesis,
}

impl Bench<'_> {
    fn no(&self, why: impl std::fmt::Display) -> Error {
        Error::blocked("unproven", format!("entry {}: {why}", self.entry.seq))
    }

    /// An approval request was consumed: the same people count who are said to have counted, and they are enough.
    fn consumed(&self) -> Result<()> {
        let body = &self.entry.body;
        let bytes = body.get("request").and_then(Value::as_str).unwrap_or_default();
        let stated: Vec<Participant> = read(body.get("approvals"))?;
        let counted = self.count(bytes, &stated, &succession(body)?)?;
        if !counted.is_enough() {
            return Err(self.no(format!("the request was consumed without {}", counted.missing)));
        }
        match counted.participants == stated {
            true => Ok(()),
            false => Err(self.no("other people agreed than it says")),
        }
    }

    fn count(&self, bytes: &str, people: &[Participant], more: &[String]) -> Result<Counted> {
        let document = ApprovalRequest::parse(bytes.as_bytes()).map_err(|error| self.no(error.full()))?;
        let roster = self.judge.roster()?.ok_or_else(|| self.no("the workspace has no roster"))?;
        let settings = self.judge.settings()?;
        // What only restricts, or sets the time, was counted by the clock as it was, right or wrong.
        let made = document.created_at.max(document.not_before);
        let by_clock = only_restricts(&document) || sets_time(&document);
        let now = if by_clock { made } else { self.entry.time };
        let in_force = InForce {
            workspace_id: &self.genesis.workspace_id,
            origin: &self.genesis.origin,
            environment: self.genesis.environment,
            genesis_sha256: Some(self.judge.hash),
            settings_sha256: settings.sha256,
            roster: &roster,
            suspended: &query::suspended(self.tables)?,
            now,
        };
        let requester = people.iter().find(|person| person.part == Part::Requester);
        let others = people.iter().filter(|person| person.part != Part::Requester);
        let approvals: Vec<_> = others.map(|person| person.signature.clone()).chain(more.iter().cloned()).collect();
        let requester = requester.map(|person| person.signature.as_str());
        let ballot = Ballot { bytes: bytes.as_bytes(), requester, approvals: &approvals };
        let rule = rule_of(&document, settings.settings.policy.rule(document.rule()));
        quorum::count(&ballot, &rule, &in_force).map_err(|error| self.no(error.full()))
    }

    fn intent(&self, kind: Kind) -> Result<()> {
        let request = self.entry.body.get("request").cloned().unwrap_or_default();
        if kind == Kind::SignArtifact {
            self.signing(&read(Some(&request))?)?;
        }
        let asked: Asked = read(Some(&request))?;
        match &asked.authority {
            Some(Authority::Request { request_id, step }) => self.step(kind, &asked, request_id, *step),
            Some(Authority::Grant { grant_id }) => self.grant(&asked, grant_id),
            None if self.needs_people(kind) => Err(self.no(format!("{kind} of {} by nobody's leave", asked.object))),
            None => Ok(()),
        }
    }

    /// Whether an act counts only by somebody's leave.
    fn needs_people(&self, kind: Kind) -> bool {
        self.genesis.environment != Environment::Sandbox && waits_for_people(kind)
    }

    /// It is this step of that request, and the people who agreed to that still count.
    fn step(&self, kind: Kind, asked: &Asked, request_id: &str, step: u32) -> Result<()> {
        let consumed = query::consumed(self.tables, request_id)?;
        let consumed = consumed.ok_or_else(|| self.no(format!("the request {request_id} was not consumed")))?;
        let planned = usize::try_from(step).ok().and_then(|step| consumed.document.steps.get(step));
        let fits = |planned: &Step| planned.allows(kind.name(), &asked.object, &asked.params, kind.open());
        if !planned.is_some_and(fits) {
            return Err(self.no(format!("{kind} of {} is no step of request {request_id}", asked.object)));
        }
        let counted = self.count(&query::consumed_bytes(self.tables, request_id)?, &asked.approvals, &[])?;
        match counted.has_people() && !counted.missing.requester {
            true => Ok(()),
            false => Err(self.no(format!("request {request_id} is without {}", counted.missing))),
        }
    }

    fn grant(&self, asked: &Asked, grant_id: &str) -> Result<()> {
        let grant = query::grant(self.tables, grant_id)?.ok_or_else(|| self.no(format!("no grant {grant_id}")))?;
        let generation: GenerationId = read(asked.params.get("generation"))?;
        let stands = grant.ended.is_none_or(|ended| ended > self.entry.seq);
        match stands && generation.key == grant.params.generation.key {
            true => Ok(()),
            false => Err(self.no(format!("the grant {grant_id} does not stand for {generation}"))),
        }
    }

    /// What signs is active and not suspended; who has a file signed may; and the board's approval holds.
    fn signing(&self, request: &Request<SignArtifact>) -> Result<()> {
        let id = &request.params.generation;
        let state = query::generation(self.tables, id)?.map(|known| known.state);
        if state != Some(State::Active) {
            let state = state.map_or("unknown", State::as_str);
            return Err(self.no(format!("{id} signs, and is {state}")));
        }
        if query::suspended_keys(self.tables)?.get(&id.key).is_some_and(|found| found.seq < self.entry.seq) {
            return Err(self.no(format!("{id} signs, and is suspended")));
        }
        let operation = if request.params.resigns.is_some() { Rules::ReSign } else { Rules::Sign };
        let rule = self.judge.settings()?.settings.policy.rule(operation);
        let roster = self.judge.roster()?;
        self.may_ask(request, &rule, roster.as_deref())?;
        self.board(request, &rule, roster.as_deref())
    }

    /// Where nobody's leave is shown, whoever asks has a role for it, and may ask without proving who they are.
    fn may_ask(&self, request: &Request<SignArtifact>, rule: &Rule, roster: Option<&Roster>) -> Result<()> {
        let (Some(roster), None) = (roster, &request.authority) else { return Ok(()) };
        if self.genesis.environment == Environment::Sandbox {
            return Ok(());
        }
        let person = roster.person(&request.actor.email);
        let may = person.is_some_and(|(_, person)| person.has_any(&rule.roles));
        match may && rule.asserted && rule.threshold <= 1 {
            true => Ok(()),
            false => Err(self.no(format!("{} has a file signed without the leave that takes", request.actor.email))),
        }
    }

    fn board(&self, request: &Request<SignArtifact>, rule: &Rule, roster: Option<&Roster>) -> Result<()> {
        let Some(reference) = &request.params.cab else { return Ok(()) };
        let paper = reference.paper_sha256.map(|sha256| query::cab_paper(self.tables, &sha256)).transpose()?.flatten();
        let paper = paper.ok_or_else(|| self.no(format!("the approval {} is not there", reference.approval_id)))?;
        let withdrawn = query::cab_withdrawn(self.tables, &reference.approval_id)?;
        let question = Question {
            rule,
            requester: &request.actor.email,
            artifact: &request.params.hash_before,
            acknowledged: &reference.acknowledged,
            // Uses are counted where entries are taken into the tables.
            uses: 0,
            is_withdrawn: withdrawn.is_some_and(|seq| seq < self.entry.seq),
        };
        let here = Here {
            now: self.entry.time,
            workspace_id: &self.genesis.workspace_id,
            origin: &self.genesis.origin,
            environment: self.genesis.environment,
            roster,
            suspended: &query::suspended(self.tables)?,
        };
        cab::judge(&paper, &question, &here).map(drop).map_err(|why| self.no(why))
    }
}

/// Whether people have to agree to an act outside of a sandbox. Who can sign without is the policy's to say.
const fn waits_for_people(kind: Kind) -> bool {
    match kind {
        // They only take power away.
        Kind::SuspendPerson | Kind::SuspendKey | Kind::EndGrant | Kind::RevokeKey => false,
        // Nobody is asked for these.
        Kind::PublishKeyring
        | Kind::PublishMetadata
        | Kind::UpdatePipeline
        | Kind::IssueCrl
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts
        | Kind::SignArtifact => false,
        Kind::GenerateKey
        | Kind::IssueCertificate
        | Kind::CertifyOpenPgp
        | Kind::ChangeState
        | Kind::MakeCsr
        | Kind::ImportCertificate
        | Kind::AdoptSettings
        | Kind::GiveGrant
        | Kind::CloseFollowUp
        | Kind::AdoptRoster
        | Kind::RestorePerson
        | Kind::ReinstateKey
        | Kind::DestroyKey
        | Kind::TestKey
        | Kind::LinkRoots
        | Kind::ActivateKey
        | Kind::ReviewKey
        | Kind::SetTime => true,
    }
}

/// What the people of a new roster signed.
fn succession(body: &Value) -> Result<Vec<String>> {
    #[derive(Default, Deserialize)]
    struct Succession {
        approvals: Vec<Participant>,
        proofs: Vec<String>,
    }
    let Some(succession) = body.get("succession") else { return Ok(Vec::new()) };
    let succession: Succession = read(Some(succession))?;
    let agreed = succession.approvals.into_iter().filter(|person| person.part != Part::Requester);
    // One signature can say both.
    let mut all = BTreeMap::new();
    for armour in agreed.map(|person| person.signature).chain(succession.proofs) {
        all.insert(Hash256::of(armour.as_bytes()).0, armour);
    }
    Ok(all.into_values().collect())
}

fn read<T: serde::de::DeserializeOwned>(value: Option<&Value>) -> Result<T> {
    let value = value.cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| Error::blocked("unproven", "an entry's body cannot be read").because(error))
}

/// Whether all acts of an approval request only take power away.
pub(super) fn only_restricts(request: &ApprovalRequest) -> bool {
    let restricts = |step: &Step| Kind::of_name(&step.operation).is_some_and(Kind::only_restricts);
    !request.steps.is_empty() && request.steps.iter().all(restricts)
}

/// Whether the acts of an approval request set the ledger's time, and nothing else.
pub(super) fn sets_time(request: &ApprovalRequest) -> bool {
    let sets = |step: &Step| Kind::of_name(&step.operation).is_some_and(Kind::sets_time);
    !request.steps.is_empty() && request.steps.iter().all(sets)
}
