//! Deciding again: the audit puts every intent before the gate once more, with nothing but the entries in front of it.
//!
//! The facts are read from tables that were built from those entries, the time is the entry's own, and people's
//! signatures are those that the ledger kept. So ages, thresholds, the board's approvals and grants are judged as they
//! were when it counted, and an intent that the gate would not have let in is found, whoever wrote it and however well
//! it fits the tree.
//!
//! **What an earlier version did not ask** is not held against it: of entries that say nothing of the register yet, the
//! gates count that they name.

use super::weighing::{CONSUMED, Weighed, unmoved};
use super::{Ground, Presented};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::ledger::{Before, Entry};
use crate::model::Hash256;
use crate::people::approval::{Part, Participant};
use crate::policy::{Decide, Decision, Gate, Verdict, every, hardware};
use crate::request::{Authority, Kind, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Decides on the entries of one ledger again, in their order.
pub struct Again {
    /// The leaf hash of entry 0.
    genesis_sha256: Hash256,
    /// The time after which the next entry has to be.
    newest: Option<Time>,
    /// What decisions stand on, while no entry moves it.
    ground: Option<Ground>,
    /// Approval requests that were consumed so far, by their identifier.
    consumed: BTreeMap<String, Consumed>,
}

/// An approval request that was consumed.
struct Consumed {
    bytes: Vec<u8>,
    /// By a version that did not hold it against its steps.
    is_of_earlier: bool,
    /// What the people of a new roster signed.
    succession: Vec<String>,
}

/// The parts of an intent.
#[derive(Deserialize)]
#[serde(bound = "O: Decide")]
struct Intent<O> {
    request: Request<O>,
    gates: Vec<Gate>,
}

impl Again {
    /// Of the ledger whose entry 0 has this leaf hash.
    pub fn new(genesis_sha256: Hash256) -> Self {
        Again { genesis_sha256, newest: None, ground: None, consumed: BTreeMap::new() }
    }

    /// Decides on an entry, by the ledger as it is before it.
    ///
    /// # Errors
    /// `decided_otherwise` (blocked) if the gate would not have written it so; database errors.
    pub fn decide(&mut self, before: Before<'_>, entry: &Entry) -> Result<()> {
        let kind = Kind::of_entry(entry.entry_type.as_str());
        let decided = match (kind, entry.phase()) {
            (None, None) if entry.entry_type.as_str() == CONSUMED => self.consume(before, entry),
            (Some(kind), Some("intent")) => self.intent(before, entry, kind),
            _ => Ok(()),
        };
        self.newest = self.newest.max(Some(entry.time)).map(|newest| entry.leaves_time().min(newest));
        // Signing moves nothing that all decisions stand on.
        if kind != Some(Kind::SignArtifact) {
            self.ground = None;
        }
        decided
    }

    /// Nothing that the request is about had moved since it was made.
    fn consume(&mut self, before: Before<'_>, entry: &Entry) -> Result<()> {
        let bytes = entry.body.get("request").and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec();
        let consumed = Consumed { bytes, is_of_earlier: entry.register.is_none(), succession: succession(entry) };
        let presented = consumed.read(None, Vec::new()).map_err(|error| no(error.full()))?;
        self.consumed.insert(presented.document().request_id.clone(), consumed);
        match unmoved(&presented, before)? {
            Gate { verdict: Verdict::Pass, .. } => Ok(()),
            moved => Err(no(words(&moved))),
        }
    }

    fn intent(&mut self, before: Before<'_>, entry: &Entry, kind: Kind) -> Result<()> {
        let mut ground = match self.ground.take() {
            Some(ground) => ground,
            None => Ground::of(before.tables, self.genesis_sha256, entry.time)?,
        };
        (ground.now, ground.newest) = (entry.time, self.newest);
        let decided = every::visit(kind, Deciding { before, entry, ground: &mut ground, consumed: &self.consumed });
        self.ground = Some(ground);
        decided
    }
}

struct Deciding<'a> {
    before: Before<'a>,
    entry: &'a Entry,
    ground: &'a mut Ground,
    consumed: &'a BTreeMap<String, Consumed>,
}

impl every::VisitDecide for Deciding<'_> {
    type Output = Result<()>;

    fn visit<O: Decide>(self) -> Result<()> {
        let Deciding { before, entry, ground, consumed } = self;
        let Intent::<O> { mut request, gates } = read(entry.body.clone())?;
        if request.actor != entry.actor {
            return Err(no(format!("{} asks, and the entry is of {}", request.actor.email, entry.actor.email)));
        }
        // The gate decides before it writes these down.
        let (authority, approvals) = (request.authority.take(), std::mem::take(&mut request.approvals));
        let weighed = match &authority {
            None => Weighed::unasked(ground),
            Some(Authority::Grant { grant_id }) => Weighed::by_grant(grant_id, ground, before, &request)?,
            Some(Authority::Request { request_id, .. }) => {
                let known = consumed.get(request_id);
                let known = known.ok_or_else(|| no(format!("request {request_id} was not consumed")))?;
                let presented = known.presented(&approvals)?;
                if O::KIND.sets_time() {
                    ground.now = made(&presented);
                } else if O::KIND.only_restricts() {
                    // It was counted by the clock as it was, which may have been ahead of the entry's time.
                    ground.now = entry.time.max(made(&presented));
                }
                Weighed::by_request(&presented, ground, before, &request)?
            }
        };
        // Which program it was, it says itself; whether that was a release is asked again.
        ground.tool = gates.iter().find_map(hardware::told);
        let facts = ground.facts(before, &request, weighed.people.clone())?;
        let decision = hardware::weigh(&request, &facts);
        agrees(entry, &decision, &gates)?;
        let mut people = weighed.authority.as_ref().map(|(_, people)| people.clone()).unwrap_or_default();
        let asks = people.iter().find(|person| person.part == Part::Requester).map(Participant::actor);
        people.extend(O::approvers(&request, &facts));
        let is_so = authority == weighed.authority.map(|(authority, _)| authority)
            && (entry.register.is_none() || people == approvals)
            && asks.is_none_or(|asks| asks == request.actor);
        match is_so {
            true => Ok(()),
            false => Err(no("it says that other people agreed, or to something else, than those who did")),
        }
    }
}

impl Consumed {
    fn presented(&self, people: &[Participant]) -> Result<Presented> {
        let (asks, others): (Vec<_>, Vec<_>) = people.iter().partition(|person| person.part == Part::Requester);
        let requester = asks.first().map(|person| person.signature.clone());
        let others = others.into_iter().map(|person| person.signature.clone());
        self.read(requester, others.chain(self.succession.iter().cloned()).collect())
    }

    fn read(&self, requester: Option<String>, others: Vec<String>) -> Result<Presented> {
        match self.is_of_earlier {
            true => Presented::by_form(self.bytes.clone(), requester, others),
            false => Presented::new(self.bytes.clone(), requester, others),
        }
    }
}

fn made(presented: &Presented) -> Time {
    let document = presented.document();
    document.created_at.max(document.not_before)
}

/// The decision is a yes, by the gates that the entry names.
fn agrees(entry: &Entry, decision: &Decision, gates: &[Gate]) -> Result<()> {
    let is_named = |gate: &Gate| gates.iter().any(|named| named.name == gate.name);
    let counts = |gate: &&Gate| entry.register.is_some() || is_named(gate);
    let failed = decision.gates().iter().filter(|gate| !gate.lets_pass()).filter(counts);
    let failed: Vec<_> = failed.map(words).collect();
    if !failed.is_empty() {
        return Err(no(failed.join("; ")));
    }
    if let Decision::NeedsApproval(_) = decision {
        return Err(no("it needs the approval of other people"));
    }
    let names = |gates: &[Gate]| gates.iter().map(|gate| gate.name.to_string()).collect::<Vec<_>>();
    let (named, asked) = (names(gates), names(decision.gates()));
    let is_so = named == asked && gates.iter().all(Gate::lets_pass);
    match entry.register.is_none() || is_so {
        true => Ok(()),
        false => Err(no(format!("it names the gates {}, and has to pass {}", named.join(", "), asked.join(", ")))),
    }
}

/// What the people of a new roster signed.
fn succession(entry: &Entry) -> Vec<String> {
    let list = |name: &str| entry.body.pointer(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let signature = |value: &Value| value.get("signature").and_then(Value::as_str).map(str::to_owned);
    let mut all: Vec<_> = list("/succession/approvals").iter().filter_map(signature).collect();
    all.extend(list("/succession/proofs").iter().filter_map(|proof| proof.as_str().map(str::to_owned)));
    all
}

fn words(gate: &Gate) -> String {
    format!("{} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit)
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| no(format!("it cannot be read: {error}")))
}

fn no(why: impl std::fmt::Display) -> Error {
    Error::blocked("decided_otherwise", format!("the gate would not have let it in: {why}"))
}
