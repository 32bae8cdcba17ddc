//! The only door. Requests go in; permits come out, or refusals. Either way the ledger has it first.
//!
//! A [`Permit`] says three things: policy agreed, approvals were checked and consumed, and the intent is
//! durable. It can be made only here, cannot be cloned, and ends by being closed with an outcome. The key
//! store asks it before every signature whether that very signature is covered, and how often still.

use crate::crypto::merkle::Nodes;
use crate::error::{Error, Kind, Result};
use crate::ledger::genesis::Genesis;
use crate::ledger::{Before, Entry, Ledger, NewEntry, Writer, query};
use crate::model::{Hash256, HsmName, KeyName, Purpose, Tbs, Tool};
use crate::people::approval::{Part, Participant};
use crate::people::quorum::Counted;
use crate::policy::facts::ListFacts;
use crate::policy::facts::People;
use crate::policy::facts::{KnownToken, RosterFacts};
use crate::policy::{Decide, Decision, Facts, Gate, hardware};
use crate::request::{
    AdoptRoster, AdoptSettings, ChangeState, CloseFollowUp, Covered, DestroyKey, EndGrant, GiveGrant, MarkArtifacts,
    Operation, ReinstateKey, Request, RestorePerson, ReviewKey, Role, SetTime, SuspendKey, SuspendPerson,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use weighing::Weighed;

mod again;
mod consent;
mod equipment;
mod foresight;
mod founding;
mod plan;
mod presented;
mod resume;
mod rotation;
mod signing;
mod weighing;

pub use again::Again;
pub use consent::Consent;
pub use foresight::{foresee, preview, preview_on, refusal};
pub use founding::{Founding, GENESIS_INTENT, found, is_founded};
pub use plan::{Plan, command_line, step, unplanned};
pub use presented::Presented;
pub(crate) use resume::resume;
pub use rotation::rotation_failure;
pub use signing::HandedIn;

/// A permission to do one act, once. See the module's words for what it says.
#[derive(Debug)]
#[must_use = "an open permit is an orphaned intent; close it with its outcome"]
pub struct Permit<O> {
    request: Request<O>,
    gates: Vec<Gate>,
    intent: Option<Entry>,
    left: Vec<AtomicU32>,
    is_resumed: bool,
}

impl<O: Operation> Permit<O> {
    fn new(request: Request<O>, gates: Vec<Gate>, intent: Option<Entry>) -> Self {
        let left = request.signatures.iter().map(|covered| AtomicU32::new(covered.count)).collect();
        Permit { request, gates, intent, left, is_resumed: false }
    }

    /// Another process began it.
    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// What was asked and allowed.
    pub fn request(&self) -> &Request<O> {
        &self.request
    }

    /// The gates it went through.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// The intent as it stands in the ledger; `None` for the ledger keys themselves, whose intent is a file
    /// until entry 0 takes it over.
    pub fn intent(&self) -> Option<&Entry> {
        self.intent.as_ref()
    }

    /// The signatures it covers for a role.
    pub(crate) fn covered(&self, role: Role) -> impl Iterator<Item = &Covered> {
        self.request.signatures.iter().filter(move |covered| covered.role == role)
    }

    /// Takes the permit apart; only the closing of it may.
    pub(crate) fn into_parts(self) -> (Request<O>, Vec<Gate>, Option<Entry>) {
        (self.request, self.gates, self.intent)
    }
}

/// What shows that an operation was done. Implemented by values that only the doing can make.
pub trait Completes<O>: sealed::Sealed {
    /// What the outcome says of it.
    fn done(&self) -> Value;
}

pub(crate) mod sealed {
    /// Keeps [`super::Completes`] to this crate.
    pub trait Sealed {}
}

/// Why an operation was not done.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// The token may have signed although no answer came: closed as `unknown`, never asked for again silently.
    pub unknown: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, unknown: false }
    }
}

/// A step along a key's life needs nothing but its record.
#[derive(Debug)]
pub struct StateChanged(());

impl StateChanged {
    pub(crate) fn new() -> Self {
        StateChanged(())
    }
}

impl sealed::Sealed for StateChanged {}

impl Completes<ChangeState> for StateChanged {
    fn done(&self) -> Value {
        json!({})
    }
}

/// Adopting settings needs nothing but the record either.
#[derive(Debug)]
pub struct SettingsAdopted(());

impl SettingsAdopted {
    pub(crate) fn new() -> Self {
        SettingsAdopted(())
    }
}

impl sealed::Sealed for SettingsAdopted {}

impl Completes<AdoptSettings> for SettingsAdopted {
    fn done(&self) -> Value {
        json!({})
    }
}

/// What needs nothing but its record to be done.
#[derive(Debug)]
pub struct Recorded(());

impl Recorded {
    pub(crate) fn new() -> Self {
        Recorded(())
    }
}

impl sealed::Sealed for Recorded {}

macro_rules! recorded {
    ($($operation:ty),*) => {$(
        impl Completes<$operation> for Recorded {
            fn done(&self) -> Value {
                json!({})
            }
        }
    )*};
}

/// The ledger's time was set: the outcome says so, and the next entry follows it.
#[derive(Debug)]
pub struct TimeSet(crate::clock::Time);

impl TimeSet {
    pub(crate) fn of(permit: &Permit<SetTime>) -> Self {
        TimeSet(permit.request.params.to)
    }
}

impl sealed::Sealed for TimeSet {}

impl Completes<SetTime> for TimeSet {
    fn done(&self) -> Value {
        json!({ "to": crate::clock::rfc3339(self.0) })
    }
}

recorded!(GiveGrant, EndGrant, CloseFollowUp, MarkArtifacts, ReviewKey);
recorded!(AdoptRoster, SuspendPerson, RestorePerson, SuspendKey, ReinstateKey);

/// What a signing key asks before every signature.
pub(crate) trait Spends: Sync {
    /// Uses up one signature.
    ///
    /// # Errors
    /// The permit does not list it, or it was used up.
    fn spend(&self, role: Role, tbs: &Tbs) -> Result<()>;
}

impl<O: Operation> Spends for Permit<O> {
    fn spend(&self, role: Role, tbs: &Tbs) -> Result<()> {
        for (covered, left) in self.request.signatures.iter().zip(&self.left) {
            let taken = covered.matches(role, tbs)
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            if taken {
                return Ok(());
            }
        }
        Err(Error::bug(format!("the permit for {} covers no such {role} signature", self.request.object)))
    }
}

/// A no, with the gates that said it. It is an entry of the ledger too.
#[derive(Debug)]
pub struct Refusal {
    /// For the operator.
    pub error: Error,
    /// Every gate that was looked at.
    pub gates: Vec<Gate>,
}

/// Counts the signatures of an approval request now. Nothing is written.
///
/// # Errors
/// The ledger cannot be read, or the request is not for here and now.
pub fn count(ledger: &mut Ledger, presented: &Presented) -> Result<Counted> {
    let mut writer = ledger.writer()?;
    writer.is_for_steps(presented.document());
    presented.count(&Ground::read(&writer)?, writer.connection())
}

/// What all decisions of one transaction stand on.
pub(crate) struct Ground {
    genesis: Genesis,
    /// The leaf hash of entry 0.
    genesis_sha256: Hash256,
    settings: query::Adopted,
    now: crate::clock::Time,
    newest: Option<crate::clock::Time>,
    known: signing::Known,
    suspended_keys: BTreeMap<KeyName, query::Suspension>,
    tokens: OnceCell<BTreeMap<HsmName, KnownToken>>,
    /// The program, if it is not this one.
    tool: Option<Tool>,
}

impl Ground {
    fn read(writer: &Writer<'_>) -> Result<Self> {
        let now = writer.deciding_time()?;
        Ok(Ground { newest: writer.newest(), ..Self::of(writer.connection(), writer.reader().node(0, 0)?, now)? })
    }

    fn of(conn: &Connection, genesis_sha256: Hash256, now: crate::clock::Time) -> Result<Self> {
        Ok(Ground {
            genesis: query::genesis(conn)?,
            genesis_sha256,
            settings: query::settings(conn)?,
            now,
            newest: None,
            known: signing::Known::default(),
            suspended_keys: query::suspended_keys(conn)?,
            tokens: OnceCell::new(),
            tool: None,
        })
    }

    fn facts<O: Decide>(&self, before: Before<'_>, request: &Request<O>, people: People) -> Result<Facts<'_>> {
        let conn = before.tables;
        let id = request.params.generation();
        let issuer = request.params.issuer();
        let generation = query::generation(conn, id)?;
        let doomed = generation.as_ref().filter(|_| O::KIND == DestroyKey::KIND);
        Ok(Facts {
            destruction: doomed.map(|known| query::last_facts(before, known)).transpose()?.unwrap_or_default(),
            rotation: rotation::facts(conn, request, generation.as_ref())?,
            now: self.now,
            newest: self.newest,
            environment: self.genesis.environment,
            settings: &self.settings.settings,
            generation,
            issuer: issuer.map(|issuer| query::generation(conn, issuer)).transpose()?.flatten(),
            cosigners: cosigners(conn, request.params.cosigners())?,
            keyring: query::keyring(conn, &id.key)?,
            has_active: query::active(conn, &id.key)?.is_some_and(|active| active.id != *id),
            next_number: query::next_number(conn, &id.key)?,
            revocation: query::revocation(conn, id)?,
            list: request.params.list().map(|(ca, crl)| list(conn, ca, crl, id)).transpose()?,
            people,
            signing: request.params.artifact().map(|artifact| self.signing(conn, artifact)).transpose()?,
            suspended_keys: self.suspended_keys.clone(),
            equipment: self.equipment(before, request)?,
            roster: O::IS_ABOUT_PEOPLE.then(|| RosterFacts::read(conn)).transpose()?.flatten(),
        })
    }

    /// What the key is for: as it was made, or as the settings will have it made.
    fn purpose<O: Decide>(&self, conn: &Connection, request: &Request<O>) -> Result<Option<Purpose>> {
        let id = request.params.generation();
        let known = query::generation(conn, id)?.map(|generation| generation.purpose);
        Ok(known.or_else(|| self.settings.settings.keys.get(&id.key).map(|key| key.purpose)))
    }
}

/// What belongs on a CA's list: what is on it, and if the act itself revokes something, that too.
fn list(
    conn: &Connection,
    ca: &crate::model::GenerationId,
    crl: &crate::request::NewCrl,
    acted_on: &crate::model::GenerationId,
) -> Result<ListFacts> {
    let (last_number, entries) = query::crl_facts(conn, ca, crl.this_update)?;
    let new = query::new_entries(conn, ca, acted_on, crl.this_update)?.len();
    Ok(ListFacts { last_number, entries: entries.saturating_add(new as u64) })
}

fn cosigners(conn: &Connection, ids: &[crate::model::GenerationId]) -> Result<Vec<crate::keys::Generation>> {
    let known = ids.iter().map(|id| query::generation(conn, id));
    Ok(known.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Decides on many requests in one transaction, and returns after it is durable. Each has to be in what was consented to;
/// an approval request is consumed with the first act that needs it.
///
/// # Errors
/// `not_planned`; the ledger cannot be written. Refusals are not errors; they stand in the list.
pub fn admit<O: Decide>(
    ledger: &mut Ledger,
    process: &str,
    consent: &Consent,
    requests: Vec<Request<O>>,
) -> Result<Vec<Result<Permit<O>, Refusal>>> {
    let mut writer = ledger.writer()?;
    writer.is_for(O::KIND);
    let ground = Ground::read(&writer)?;
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let weighed = Weighed::under(consent, &ground, &writer, &request)?;
        let facts = ground.facts(writer.before(), &request, weighed.people.clone())?;
        let mut intent = json!({ "phase": "intent", "process": process });
        ground.surroundings(writer.before(), &request, &mut intent)?;
        answers.push(decide(&mut writer, intent, request, &facts, weighed)?);
    }
    writer.commit()?;
    Ok(answers)
}

fn decide<O: Decide>(
    writer: &mut Writer<'_>,
    intent: Value,
    mut request: Request<O>,
    facts: &Facts<'_>,
    weighed: Weighed,
) -> Result<Result<Permit<O>, Refusal>> {
    if let Some((_, participants)) = &weighed.authority {
        let requester = participants.iter().find(|person| person.part == Part::Requester);
        // From here on it is known who asks, even if the answer is no.
        request.actor = requester.map_or(request.actor, Participant::actor);
    }
    let decision = hardware::weigh(&request, facts);
    let gates = decision.gates().to_vec();
    let error = match &decision {
        Decision::Allow(_) => {
            if let Some((authority, participants)) = weighed.authority {
                weighed.consume.map(|entry| writer.append(entry)).transpose()?;
                request.authority = Some(authority);
                request.approvals = participants;
            }
            let approvers = O::approvers(&request, facts);
            request.approvals.extend(approvers);
            let intent = append(writer, &request, intent, &gates)?;
            return Ok(Ok(Permit::new(request, gates, Some(intent))));
        }
        Decision::Block(_) => blocked(&request.object, &gates),
        Decision::NeedsApproval(_) => Error::new(
            Kind::ApprovalNeeded,
            "approval_needed",
            format!("{} of {} needs the approval of other people", O::NAME, request.object),
        ),
    };
    let body = json!({ "phase": "refused", "code": error.code(), "reason": error.message() });
    append(writer, &request, body, &gates)?;
    Ok(Err(Refusal { error, gates }))
}

fn append<O: Operation>(
    writer: &mut Writer<'_>,
    request: &Request<O>,
    mut body: Value,
    gates: &[Gate],
) -> Result<Entry> {
    body["request"] = to_value(request)?;
    body["gates"] = to_value(&gates)?;
    writer.append(NewEntry {
        entry_type: O::ENTRY.parse()?,
        actor: request.actor.clone(),
        correlation_id: request.correlation_id.clone(),
        body,
    })
}

fn to_value<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::bug("a request has no JSON form").because(error))
}

fn blocked(object: &str, gates: &[Gate]) -> Error {
    let failed: Vec<_> = gates
        .iter()
        .filter(|gate| !gate.lets_pass())
        .map(|gate| format!("{} {}: {} (limit {})", gate.name, gate.verdict, gate.input, gate.limit))
        .collect();
    Error::blocked("gate_failed", format!("{object}: {}", failed.join("; "))).hint("keyctl status")
}

#[cfg(test)]
mod tests;
