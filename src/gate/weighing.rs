//! What a consent comes to for one request. The gate counts signatures itself, in the transaction that consumes them.

use super::consent::{Basis, Consent};
use super::{Ground, Plan, Presented};
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::ledger::{Before, NewEntry, Writer, query};
use crate::model::Purpose;
use crate::people::ApprovalRequest;
use crate::people::approval::{Part, Participant};
use crate::people::quorum::Succession;
use crate::policy::facts::People;
use crate::policy::people::may_allow;
use crate::policy::{Decide, Gate, gates, grants};
use crate::request::{Authority, Kind, Operation, Request};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The entry that consumes an approval request.
pub(super) const CONSUMED: &str = "REQUEST_CONSUMED";

/// What a consent comes to for one request.
pub(super) struct Weighed {
    /// For the decision.
    pub people: People,
    /// What the intent will say.
    pub authority: Option<(Authority, Vec<Participant>)>,
    /// The entry that consumes the approval request, if this is its first step.
    pub consume: Option<NewEntry>,
}

impl Weighed {
    /// What nobody was asked about.
    pub(super) fn unasked(ground: &Ground) -> Self {
        let people = if ground.waives_people() { People::Waived } else { People::Missing };
        Weighed { people, authority: None, consume: None }
    }

    /// Under a consent. Gates that do not pass say why.
    ///
    /// # Errors
    /// `not_planned`; the ledger cannot be read.
    pub(super) fn under<O: Decide>(
        consent: &Consent,
        ground: &Ground,
        writer: &Writer<'_>,
        request: &Request<O>,
    ) -> Result<Self> {
        match consent.basis() {
            Basis::Quorum(presented) => Self::by_request(presented, ground, writer.before(), request),
            Basis::Grant(grant_id) => {
                consent.covers(request)?;
                Self::by_grant(grant_id, ground, writer.before(), request)
            }
            Basis::Recovery(seq) => {
                consent.covers(request)?;
                continues(*seq, writer, request)?;
                Ok(Self::unasked(ground))
            }
            Basis::Waiver | Basis::Role | Basis::Consequence => {
                consent.covers(request)?;
                Ok(Self::unasked(ground))
            }
        }
    }

    pub(super) fn by_grant<O: Operation>(
        grant_id: &str,
        ground: &Ground,
        before: Before<'_>,
        request: &Request<O>,
    ) -> Result<Self> {
        let conn = before.tables;
        let grant = query::grant(conn, grant_id)?;
        let generation = request.params.generation();
        let roster = query::roster(conn)?;
        let others = query::generations(conn)?;
        let made = others.iter().filter(|other| other.id.key == generation.key && other.id != *generation);
        let usage = grants::Use {
            now: ground.now,
            settings_sha256: ground.settings.sha256,
            roster: roster.as_ref(),
            suspended: &query::suspended(conn)?,
            operation: O::KIND,
            generation,
            newest: made.filter_map(|other| other.identities.first()?.created).max(),
        };
        let mut shown = grants::gates(grant.as_ref(), &usage);
        if let Some(grant) = &grant {
            shown.push(grants::roles(&givers(before, grant)?, roster.as_ref()));
        }
        let authority = grant.map(|grant| (Authority::Grant { grant_id: grant.params.grant_id }, Vec::new()));
        Ok(Weighed { people: People::Shown(shown), authority, consume: None })
    }

    pub(super) fn by_request<O: Decide>(
        presented: &Presented,
        ground: &Ground,
        before: Before<'_>,
        request: &Request<O>,
    ) -> Result<Self> {
        let conn = before.tables;
        let purpose = ground.purpose(conn, request)?;
        let document = &presented.document;
        let id = &document.request_id;
        let consumed = query::consumed(conn, id)?;
        let is_again = request.params.artifact().is_some_and(|artifact| artifact.resigns.is_some());
        let mut shown = vec![rule_fits(document, O::KIND, is_again, purpose)];
        let (approved, participants, succession) = approved(presented, ground, conn);
        shown.push(approved);
        shown.push(match &consumed {
            Some(known) => gates::holds(
                "ApprovedRequest",
                format!("consumed by entry {}", known.seq),
                format!("SHA-256 {}", presented.sha256()),
                known.sha256 == presented.sha256(),
            ),
            None => unmoved(presented, before)?,
        });
        let begun = if consumed.is_some() { query::steps(conn, id)? } else { Default::default() };
        let params = super::to_value(&request.params)?;
        let free = |step: u32| begun.get(&step).is_none_or(|result| O::KIND.may_be_taken_again(result));
        let mut steps = (0u32..).zip(&document.steps);
        let step =
            steps.find(|(number, step)| step.allows(O::NAME, &request.object, &params, O::OPEN) && free(*number));
        let asked = format!("{} of {}", O::NAME, request.object);
        shown.push(gates::holds("ApprovedStep", asked, "a step of the request that was not done yet", step.is_some()));
        let consume =
            consumed.is_none().then(|| consumption(presented, request, &participants, succession)).transpose()?;
        let authority = step.map(|(step, _)| (Authority::Request { request_id: id.clone(), step }, participants));
        Ok(Weighed { people: People::Shown(shown), authority, consume })
    }
}

/// Who gave a grant, as their signatures counted then.
fn givers(before: Before<'_>, grant: &query::Grant) -> Result<Vec<Participant>> {
    let broken = || Error::failed("bad_entry", format!("entry {} gives no grant", grant.seq));
    let given = before.entries.proven_entry(grant.seq)?;
    let intent = given.body.get("intent").and_then(Value::as_u64).ok_or_else(broken)?;
    let entry = before.entries.proven_entry(intent)?;
    let people = entry.body.pointer("/request/approvals").cloned().ok_or_else(broken)?;
    serde_json::from_value(people).map_err(|error| broken().because(error))
}

/// What is recovered was begun: the entry is an intent of this kind on this object.
fn continues<O: Operation>(seq: u64, writer: &Writer<'_>, request: &Request<O>) -> Result<()> {
    let entry = writer.reader().proven_entry(seq)?;
    let object = entry.body.pointer("/request/object").and_then(Value::as_str);
    match entry.entry_type.as_str() == O::ENTRY && object == Some(&request.object) {
        true => Ok(()),
        false => Err(Error::bug(format!("entry {seq} did not begin {} of {}", O::KIND, request.object))),
    }
}

/// `ApprovalRule`: the rule that the request was approved under is one for this act.
fn rule_fits(document: &ApprovalRequest, kind: Kind, is_again: bool, purpose: Option<Purpose>) -> Gate {
    let fits = may_allow(document.operation, kind, is_again, purpose);
    let act = if is_again { Rule::ReSign.as_str() } else { kind.name() };
    let what = purpose.map_or_else(|| act.to_owned(), |purpose| format!("{act} for {purpose}"));
    gates::holds("ApprovalRule", document.operation.as_str(), what, fits)
}

/// `Approvals`: who agreed, and what is missing.
fn approved(presented: &Presented, ground: &Ground, conn: &Connection) -> (Gate, Vec<Participant>, Option<Succession>) {
    let rule = presented.rule(ground);
    let roles: Vec<_> = rule.must_include.iter().map(|role| role.as_str()).collect();
    let among = if roles.is_empty() { String::new() } else { format!(", among them {}", roles.join(", ")) };
    let limit = format!("{} people{among}", rule.threshold);
    match presented.count(ground, conn) {
        Ok(counted) => {
            let mut input: Vec<_> = counted.participants.iter().map(words).collect();
            input.extend(counted.ignored.iter().map(|it| format!("not counted ({}): {}", it.rule, it.why)));
            if !counted.is_enough() {
                input.push(format!("missing: {}", counted.missing));
            }
            let gate = gates::holds("Approvals", input.join("; "), limit, counted.is_enough());
            (gate, counted.participants, counted.succession)
        }
        Err(error) => (gates::holds("Approvals", error.message(), limit, false), Vec::new(), None),
    }
}

fn words(participant: &Participant) -> String {
    let roles: Vec<_> = participant.roles.iter().map(|role| role.as_str()).collect();
    let part = if participant.part == Part::Requester { "asks" } else { "approves" };
    let as_whom = if roles.is_empty() { "without counting".to_owned() } else { format!("as {}", roles.join(", ")) };
    format!("{} {part} {as_whom}", participant.email)
}

/// `ApprovedRequest`: nothing that the request is about has moved since it was made (D5).
pub(super) fn unmoved(presented: &Presented, before: Before<'_>) -> Result<Gate> {
    let (document, conn) = (&presented.document, before.tables);
    let mut moved = Vec::new();
    // Its requester saw this head, and so did those who approved it.
    let (head, have) = (&document.log_head, before.entries.size()?);
    if head.size > have {
        moved.push(format!("the ledger has {have} entries: it was rolled back"));
    } else if before.entries.root_at(head.size)? != head.root {
        moved.push("the ledger is another one than was seen then".to_owned());
    }
    for (subject, seq) in &document.subjects {
        let now = query::touched(conn, subject)?;
        if now != *seq {
            moved.push(format!("{subject} moved in entry {now}"));
        }
    }
    // Which they are, the register says, and not the request.
    let tokens = Plan::of(document).tokens(conn)?;
    for hsm in tokens.keys().chain(document.tokens.keys()).collect::<BTreeSet<_>>() {
        match (tokens.get(hsm), document.tokens.get(hsm)) {
            (now, planned) if now == planned => {}
            (Some(_), Some(_)) => moved.push(format!("token {hsm} is another one")),
            _ => moved.push(format!("token {hsm} is not among those that are used, or not named")),
        }
    }
    let input = if moved.is_empty() { "nothing moved".to_owned() } else { moved.join(", ") };
    let limit = format!("as at {} entries", document.log_head.size);
    Ok(gates::holds("ApprovedRequest", input, limit, moved.is_empty()))
}

fn consumption<O: Operation>(
    presented: &Presented,
    request: &Request<O>,
    people: &[Participant],
    succession: Option<Succession>,
) -> Result<NewEntry> {
    let text = String::from_utf8(presented.bytes.clone())
        .map_err(|error| Error::bug("a canonical request is no text").because(error))?;
    let mut body = json!({ "request": text, "sha256": presented.sha256(), "approvals": people });
    if let Some(Succession { participants, proofs, .. }) = succession {
        body["succession"] = json!({ "approvals": participants, "proofs": proofs });
    }
    Ok(NewEntry {
        entry_type: CONSUMED.parse()?,
        actor: request.actor.clone(),
        correlation_id: request.correlation_id.clone(),
        body,
    })
}

impl Ground {
    /// In a sandbox nobody has to agree.
    pub(super) fn waives_people(&self) -> bool {
        self.genesis.environment == crate::model::Environment::Sandbox
    }
}
