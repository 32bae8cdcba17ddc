//! Who there is: taking over a roster, and whose signatures stop counting and count again.

use super::facts::{Decide, Facts, RosterFacts};
use super::gates::{self, Decision, Gate};
use super::people::with_people;
use crate::config::{Policy, Settings};
use crate::model::Email;
use crate::people::roster::Unsatisfied;
use crate::request::{AdoptRoster, Request, RestorePerson, SuspendPerson};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// `PolicySatisfiable`: for every operation there are people enough, whoever of them asks (D1).
fn satisfiable(unsatisfied: &[Unsatisfied]) -> Gate {
    const LIMIT: &str = "people for every operation";
    let input = if unsatisfied.is_empty() { LIMIT.to_owned() } else { Unsatisfied::in_words(unsatisfied) };
    gates::holds("PolicySatisfiable", input, LIMIT, unsatisfied.is_empty())
}

/// The same for settings that are to be adopted.
pub(super) fn satisfies(people: &RosterFacts, settings: &Value, facts: &Facts<'_>) -> Gate {
    match Settings::deserialize(settings) {
        Ok(settings) => satisfiable(&people.roster.unsatisfied(&settings.policy, &people.suspended, facts.now)),
        Err(_) => gates::holds("PolicySatisfiable", "settings that cannot be read", "settings", false),
    }
}

/// `Roster`: without people there is nobody to speak of.
fn no_roster() -> Gate {
    gates::holds("Roster", "none", "there", false)
}

impl Decide for AdoptRoster {
    const IS_ABOUT_PEOPLE: bool = true;

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(people) = &facts.roster else { return Decision::Block(vec![no_roster()]) };
        let AdoptRoster { from, to, .. } = &request.params;
        let next = from.version.checked_add(1);
        let form = to.objections(facts.environment);
        let objection = form.first().map_or_else(|| "good".to_owned(), ToString::to_string);
        let found = vec![
            gates::holds(
                "RosterInForce",
                format!("version {}", from.version),
                format!("version {}", people.roster.version),
                *from == people.roster,
            ),
            gates::holds(
                "RosterVersion",
                to.version.to_string(),
                next.map_or_else(|| "none is left".to_owned(), |next| next.to_string()),
                Some(to.version) == next,
            ),
            gates::holds("RosterForm", objection, "good", form.is_empty()),
            satisfiable(&to.unsatisfied(&facts.settings.policy, &people.suspended, facts.now)),
        ];
        with_people(found, facts)
    }
}

impl Decide for SuspendPerson {
    const IS_ABOUT_PEOPLE: bool = true;

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(people) = &facts.roster else { return Decision::Block(vec![no_roster()]) };
        let email = &request.params.email;
        let is_there = people.roster.people.contains_key(email) && !people.suspended.contains(email);
        let input = match (is_there, people.suspended.contains(email)) {
            (true, _) => format!("{email} is in the roster"),
            (false, true) => format!("{email} is suspended already"),
            (false, false) => format!("{email} is unknown"),
        };
        let mut after = people.suspended.clone();
        after.insert(email.clone());
        let found = vec![
            gates::holds("Person", input, "in the roster", is_there),
            gates::holds(
                "AnotherPerson",
                request.actor.email.as_str(),
                format!("not {email}"),
                request.actor.email.folded() != *email,
            ),
            satisfiable(&lost(people, &facts.settings.policy, &after, facts)),
        ];
        with_people(found, facts)
    }
}

/// What the people can do now and could not do any more. What they cannot do anyway is no reason to keep anybody.
fn lost(people: &RosterFacts, policy: &Policy, after: &BTreeSet<Email>, facts: &Facts<'_>) -> Vec<Unsatisfied> {
    let now: BTreeSet<_> =
        people.roster.unsatisfied(policy, &people.suspended, facts.now).iter().map(|one| one.operation).collect();
    let then = people.roster.unsatisfied(policy, after, facts.now);
    then.into_iter().filter(|one| !now.contains(&one.operation)).collect()
}

impl Decide for RestorePerson {
    const IS_ABOUT_PEOPLE: bool = true;

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(people) = &facts.roster else { return Decision::Block(vec![no_roster()]) };
        let email = &request.params.email;
        let is_suspended = people.suspended.contains(email);
        let input = if is_suspended { "suspended" } else { "not suspended" };
        with_people(vec![gates::holds("Person", format!("{email} is {input}"), "suspended", is_suspended)], facts)
    }
}

#[cfg(test)]
mod tests;
