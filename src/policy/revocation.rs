//! The rules of revoking and of lists (governance C1 to C7).
//!
//! Signing a list is exempt from the age gate: a CA that stopped issuing long ago goes on saying what it revoked. To
//! continue a revocation that was decided already asks nobody again.

use super::facts::{Decide, Facts, People, unknown_generation};
use super::gates::{self, Decision, Gate};
use super::people::{actor, with_people};
use crate::config::policy::Operation;
use crate::keys::{Generation, State};
use crate::model::{GenerationId, Purpose};
use crate::request::{ConfirmCrl, IssueCrl, MarkArtifacts, NewCrl, Request, RevokeKey};
use chrono::TimeDelta;

/// States in which a CA signs its lists.
pub const LISTING: &[State] = &[State::Active, State::Retiring, State::CrlOnly];

/// How long a list is good for (CSBR 4.9.7): a root's, about CAs, for a year; any other for a week.
pub fn list_life(ca: Purpose) -> TimeDelta {
    TimeDelta::days(if ca == Purpose::RootCa { 365 } else { 7 })
}

/// When a list is issued anew: after a third of its life. From half of it on its age is a finding (C7), and what is left
/// then is far longer than twice the worst outage of a token, which is eight hours.
pub fn refresh_after(life: TimeDelta) -> TimeDelta {
    life / 3
}

impl Decide for RevokeKey {
    fn issuer(&self) -> Option<&GenerationId> {
        self.issuer.as_ref()
    }

    fn list(&self) -> Option<(&GenerationId, &NewCrl)> {
        self.issuer.as_ref().zip(self.crl.as_ref())
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let params = &request.params;
        let continued = facts.revocation.as_ref().is_some_and(|old| old.terms == params.terms());
        let mut found = vec![
            revocable(generation),
            gates::environment(generation, facts.environment),
            reason(params, generation),
            dates(params, facts),
        ];
        if let Some(old) = facts.revocation.as_ref().filter(|_| !continued) {
            let said = format!("{} from {}", old.terms.reason, crate::clock::rfc3339(old.terms.revocation_date));
            found.push(gates::holds("Sharper", params.reason.as_str(), said, params.terms().sharpen(&old.terms)));
        }
        if let Some(issuer) = &params.issuer {
            let Some(issuer) = facts.issuer.as_ref().filter(|known| known.id == *issuer) else {
                found.push(gates::holds("Issuer", format!("{issuer} unknown"), "in the register", false));
                return Decision::from_gates(found);
            };
            found.extend(issuer_gates(issuer, params, facts));
        }
        if continued { Decision::from_gates(found) } else { with_people(found, facts) }
    }
}

/// `Status`: it has a certificate, or had one. A destroyed key's certificate is out there too; quarantine is no obstacle.
fn revocable(generation: &Generation) -> Gate {
    let state = generation.state;
    let can = state.may_become(State::Revoked) || matches!(state, State::Revoked | State::Destroyed);
    gates::holds("Status", state.as_str(), "has a certificate", can)
}

/// `Reason`: only a CA has a CA's compromise.
fn reason(params: &RevokeKey, generation: &Generation) -> Gate {
    let is_ca = generation.purpose.is_ca();
    let fits = params.reason != crate::keys::RevocationReason::CaCompromise || is_ca;
    gates::holds("Reason", params.reason.as_str(), format!("fits {}", generation.purpose), fits)
}

/// `RevocationDate`: not in the future; since when the key was in other hands is only said of a compromise, and is then
/// the date itself (C5).
fn dates(params: &RevokeKey, facts: &Facts<'_>) -> Gate {
    let date = params.revocation_date;
    let invalidity_fits = match params.invalidity_date {
        None => true,
        Some(since) => params.reason.is_compromise() && since == date,
    };
    let input = crate::clock::rfc3339(date);
    gates::holds("RevocationDate", input, "not in the future", date <= facts.now && invalidity_fits)
}

fn issuer_gates(issuer: &Generation, params: &RevokeKey, facts: &Facts<'_>) -> Vec<Gate> {
    let mut found = vec![gates::export_lock(issuer), gates::environment(issuer, facts.environment)];
    match (&params.crl, &params.plan) {
        (Some(crl), None) => {
            found.push(gates::status(issuer, LISTING));
            found.push(gates::holds("Issuer", issuer.id.to_string(), "another", issuer.id != params.generation));
            found.extend(list_gates(issuer, crl, facts));
        }
        // A primary key says of itself that it ends, in whatever state.
        (None, Some(_)) if issuer.id == params.generation => {}
        (None, Some(_)) => {
            let speaking = &[State::Active, State::Retiring, State::Retired, State::CrlOnly];
            found.push(gates::status(issuer, speaking));
        }
        _ => found.push(gates::holds("Publication", "none", "one list, or one keyring", false)),
    }
    found
}

/// What holds of every list.
fn list_gates(ca: &Generation, crl: &NewCrl, facts: &Facts<'_>) -> Vec<Gate> {
    let list = facts.list.unwrap_or_default();
    let last = list.last_number.max(crl.published.unwrap_or(0));
    let life = list_life(ca.purpose);
    let (from, to) = (crl.this_update, crl.next_update);
    let window = format!("{} to {}", crate::clock::rfc3339(from), crate::clock::rfc3339(to));
    let is_ca = ca.purpose.is_ca();
    vec![
        gates::holds("CrlIssuer", ca.purpose.as_str(), "a CA", is_ca),
        gates::holds("CrlNumber", crl.number.to_string(), format!("> {last}"), crl.number > last),
        gates::holds(
            "CrlWindow",
            window,
            format!("at most {} days, from now on", life.num_days()),
            from <= facts.now && from < to && facts.now < to && to - from <= life,
        ),
        // What the ledger has revoked is on it, and nothing else (C2).
        gates::holds("CrlEntries", crl.entries.to_string(), list.entries.to_string(), crl.entries == list.entries),
    ]
}

impl Decide for IssueCrl {
    const IS_ABOUT_PEOPLE: bool = true;

    fn list(&self) -> Option<(&GenerationId, &NewCrl)> {
        Some((&self.generation, &self.crl))
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(ca) = &facts.generation else { return unknown_generation(request) };
        let mut found =
            vec![gates::status(ca, LISTING), gates::export_lock(ca), gates::environment(ca, facts.environment)];
        found.extend(list_gates(ca, &request.params.crl, facts));
        // Nobody else agrees to what only says what the ledger says; a CA's key signs it for somebody who may have it signed.
        if matches!(facts.people, People::Missing) {
            let rule = facts.settings.policy.rule(Operation::Crl);
            let known = facts.roster.as_ref().map(|known| (&known.roster, &known.suspended));
            found.push(actor((&request.actor, Operation::Crl, &rule), facts.environment, known));
        }
        Decision::from_gates(found)
    }
}

impl Decide for ConfirmCrl {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(ca) = &facts.generation else { return unknown_generation(request) };
        Decision::from_gates(vec![gates::environment(ca, facts.environment)])
    }
}

impl Decide for MarkArtifacts {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let revoked = facts.revocation.is_some();
        let input = if revoked { "revoked" } else { generation.state.as_str() };
        Decision::from_gates(vec![
            gates::environment(generation, facts.environment),
            gates::holds("Status", input, State::Revoked.as_str(), revoked),
        ])
    }
}
