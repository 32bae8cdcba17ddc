//! Whose signature counts (governance D1, D2, D4): from signatures to people, and from people to yes or no.
//!
//! A signature names nobody. It verifies under a key, over exact bytes, for one meaning; the roster says whose key
//! that is and what that person may do. A person counts once however many keys they have, and a key counts once
//! however many names it has. Whoever asks proves it with their own signature over the same bytes, fills their own
//! role if they have one, and never approves. What does not count is listed with the rule that says so (D8).

pub(in crate::people) mod examine;
pub mod recorded;
mod succession;
#[cfg(test)]
mod tests;

pub use examine::proofs_of_possession;
pub use succession::{ADOPT_ROSTER, AdoptRoster, Succession, succession};

use crate::clock::{Time, rfc3339};
use crate::config::policy::{Role, Rule};
use crate::error::{Error, Result};
use crate::model::{Email, Environment, Hash256};
use crate::people::approval::{Part, Participant};
use crate::people::request::Requester;
use crate::people::roster::assign;
use crate::people::{ApprovalRequest, Namespace, Roster};
use chrono::TimeDelta;
use examine::Examiner;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The signatures that were handed in for one request.
#[derive(Clone, Copy, Debug)]
pub struct Ballot<'a> {
    /// The exact bytes that were signed.
    pub bytes: &'a [u8],
    /// The requester's own signature over them, armoured; a request without one counts nobody.
    pub requester: Option<&'a str>,
    /// What others signed, armoured, in any order; each is looked at.
    pub approvals: &'a [String],
}

/// What holds in the workspace when the signatures are counted.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    /// The workspace.
    pub workspace_id: &'a str,
    /// Its origin.
    pub origin: &'a str,
    /// Its environment.
    pub environment: Environment,
    /// Leaf hash of its entry 0; `None` while it is being founded.
    pub genesis_sha256: Option<Hash256>,
    /// The settings.
    pub settings_sha256: Hash256,
    /// The roster.
    pub roster: &'a Roster,
    /// Who of it is suspended.
    pub suspended: &'a BTreeSet<Email>,
    /// The ledger's time: the clock, or the last entry's time if that is later.
    pub now: Time,
}

/// Whose signatures may count.
#[derive(Clone, Copy, Debug)]
pub struct Electorate<'a> {
    /// The roster.
    pub roster: &'a Roster,
    /// Who of it is suspended.
    pub suspended: &'a BTreeSet<Email>,
    /// When they are counted.
    pub now: Time,
}

/// A signature that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignored {
    /// The rule of the governance paper that says so.
    pub rule: String,
    /// In words.
    pub why: String,
    /// Whose it would have been, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<Email>,
    /// SHA-256 of the key's SSH wire form, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_sha256: Option<Hash256>,
}

/// What is still missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The requester has not proven who they are.
    pub requester: bool,
    /// How many people more it takes.
    pub people: u32,
    /// Roles that must be there and are not.
    pub roles: BTreeSet<Role>,
    /// Who could still approve. Several of them may be needed.
    pub candidates: BTreeSet<Email>,
    /// What a roster's adoption takes besides ([`Succession::missing`]).
    pub succession: Vec<String>,
}

/// The result of counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose signature counted: the proven requester first, then approvers as they came.
    pub participants: Vec<Participant>,
    /// The signatures that did not count.
    pub ignored: Vec<Ignored>,
    /// What is missing.
    pub missing: Missing,
    /// For a request that would put another roster in force: what comes of that.
    pub succession: Option<Succession>,
}

impl Counted {
    /// Whether the request may be run.
    pub fn is_enough(&self) -> bool {
        !self.missing.requester && self.has_people() && self.missing.succession.is_empty()
    }

    /// Whether enough people agree, whoever asked.
    pub fn has_people(&self) -> bool {
        self.missing.people == 0 && self.missing.roles.is_empty()
    }

    /// The requester, if they proved it.
    pub fn requester(&self) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.part == Part::Requester)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.requester {
            parts.push("the requester's own signature".to_owned());
        }
        let roles: Vec<_> = self.roles.iter().map(|role| format!("a {role}")).collect();
        match (self.people, roles.is_empty()) {
            (0, true) => {}
            (people, true) => parts.push(format!("{people} more {}", if people == 1 { "person" } else { "people" })),
            (people, false) if usize::try_from(people).is_ok_and(|people| people <= roles.len()) => {
                parts.push(roles.join(" and "));
            }
            (people, false) => parts.push(format!("{people} more people, among them {}", roles.join(" and "))),
        }
        parts.extend(self.succession.iter().cloned());
        if parts.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&parts.join(", and "))
    }
}

/// Counts the signatures for a request against the roster in force.
///
/// # Errors
/// The bytes are no request (`bad_request`), or the request as a whole is not for here and now: `request_elsewhere`,
/// `request_outdated`, `request_future`, `request_too_early`, `request_expired`.
pub fn count(ballot: &Ballot<'_>, rule: &Rule, in_force: &InForce<'_>) -> Result<Counted> {
    let request = ApprovalRequest::parse(ballot.bytes)?;
    check(&request, rule, in_force)?;
    let people = Electorate { roster: in_force.roster, suspended: in_force.suspended, now: in_force.now };
    let mut tally = Tally::new(ballot.bytes, &request.origin, Some(&request.requester), rule, &people);
    tally.requester(ballot.requester);
    ballot.approvals.iter().for_each(|armour| tally.approval(armour, &[Namespace::Approval]));
    let mut counted = tally.finish();
    if let Some(to) = request.new_roster()? {
        let next = Electorate { roster: &to, ..people };
        let succession = succession(ballot, rule, in_force.roster, &next)?;
        counted.missing.succession = succession.missing.clone();
        counted.succession = Some(succession);
    }
    Ok(counted)
}

/// Counts the same signatures against a roster that is to be adopted by the request. Whoever signed as its new member
/// agrees to it too, and who asks need not be in it.
///
/// # Errors
/// `bad_request`.
pub fn count_in_new_roster(ballot: &Ballot<'_>, rule: &Rule, people: &Electorate<'_>) -> Result<Counted> {
    let request = ApprovalRequest::parse(ballot.bytes)?;
    let mut tally = Tally::new(ballot.bytes, &request.origin, Some(&request.requester), rule, people);
    tally.requester(ballot.requester);
    ballot.approvals.iter().for_each(|armour| tally.approval(armour, &[Namespace::Approval, Namespace::Roster]));
    Ok(tally.finish())
}

/// Counts who of some people approve of a document that none of them asks for. `origin` is their workspace's.
pub fn consent(bytes: &[u8], origin: &str, approvals: &[String], rule: &Rule, people: &Electorate<'_>) -> Counted {
    let mut tally = Tally::new(bytes, origin, None, rule, people);
    approvals.iter().for_each(|armour| tally.approval(armour, &[Namespace::Approval]));
    tally.finish()
}

/// Whether a request is for this workspace as it is, and for this moment.
///
/// # Errors
/// As [`count`].
pub fn check(request: &ApprovalRequest, rule: &Rule, in_force: &InForce<'_>) -> Result<()> {
    let refused = |code, why: String| Err(Error::blocked(code, why).hint("make a new request"));
    let here = request.workspace_id == in_force.workspace_id
        && request.origin == in_force.origin
        && request.environment == in_force.environment
        && request.genesis_sha256 == in_force.genesis_sha256;
    if !here {
        let why = format!("the request is for another workspace: {} of {}", request.workspace_id, request.origin);
        return refused("request_elsewhere", why + " (D3)");
    }
    if request.roster != in_force.roster.reference()? {
        let versions = format!("{}, and {} is in force", request.roster.version, in_force.roster.version);
        return refused("request_outdated", format!("the request was made under roster {versions} (D1)"));
    }
    if request.settings_sha256 != in_force.settings_sha256 {
        return refused("request_outdated", "the request was made under other settings (D3)".to_owned());
    }
    let now = in_force.now;
    if request.created_at > now {
        let made = rfc3339(request.created_at);
        return refused("request_future", format!("the request was made at {made}, which is still to come (D5)"));
    }
    if now < request.not_before {
        let from = rfc3339(request.not_before);
        return Err(Error::blocked("request_too_early", format!("the request may be run from {from} on (D5)")));
    }
    let age = TimeDelta::hours(i64::from(rule.max_age_hours));
    let end = request.not_after.min(request.created_at + age);
    if now >= end {
        return refused("request_expired", format!("the request could be run until {} (D5)", rfc3339(end)));
    }
    Ok(())
}

/// A count that is under way.
struct Tally<'a> {
    examiner: Examiner<'a>,
    asks: Option<&'a Requester>,
    rule: &'a Rule,
    participants: Vec<Participant>,
    ignored: Vec<Ignored>,
}

impl<'a> Tally<'a> {
    fn new(
        bytes: &'a [u8],
        origin: &'a str,
        asks: Option<&'a Requester>,
        rule: &'a Rule,
        people: &Electorate<'a>,
    ) -> Self {
        let Electorate { roster, suspended, now } = *people;
        let examiner = Examiner { bytes, origin, roster, suspended, now };
        Tally { examiner, asks, rule, participants: Vec::new(), ignored: Vec::new() }
    }

    fn requester(&mut self, armour: Option<&str>) {
        let (Some(asks), Some(armour)) = (self.asks, armour) else { return };
        let signer = match self.examiner.examine(armour, &[Namespace::Request]) {
            Ok(signer) => signer,
            Err(ignored) => return self.ignored.push(ignored),
        };
        if *signer.email != asks.email || signer.verified.key.fingerprint() != asks.key_sha256 {
            let why = format!("does not show that {} asks", asks.email);
            return self.ignored.push(signer.ignored("D3", why));
        }
        if signer.person.roles.contains(&Role::Auditor) {
            return self.ignored.push(signer.ignored("D2", "an auditor only reads"));
        }
        self.participants.push(signer.takes_part(Part::Requester, self.rule, armour, self.examiner.bytes));
    }

    fn approval(&mut self, armour: &str, namespaces: &[Namespace]) {
        let signer = match self.examiner.examine(armour, namespaces) {
            Ok(signer) => signer,
            Err(ignored) => return self.ignored.push(ignored),
        };
        let twice = self.participants.iter().any(|other| other.email == *signer.email);
        let why = if self.asks.is_some_and(|asks| *signer.email == asks.email) {
            "the requester never approves"
        } else if twice {
            "a person counts once, however many keys they have"
        } else if !signer.person.has_any(&self.rule.roles) {
            "has no role that the rule asks for"
        } else {
            let approver = signer.takes_part(Part::Approver, self.rule, armour, self.examiner.bytes);
            return self.participants.push(approver);
        };
        self.ignored.push(signer.ignored("D2", why));
    }

    fn finish(self) -> Counted {
        let counting = self.participants.iter().filter(|participant| participant.counts());
        let people: BTreeMap<_, _> = counting.map(|one| (&one.email, &one.roles)).collect();
        let (_, roles) = assign(&self.rule.must_include, &people);
        let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
        let for_roles = u32::try_from(roles.len()).unwrap_or(u32::MAX);
        let missing_people = self.rule.threshold.saturating_sub(have).max(for_roles);
        let is_proven = self.participants.iter().any(|participant| participant.part == Part::Requester);
        let missing = Missing {
            requester: self.asks.is_some() && !is_proven,
            people: missing_people,
            candidates: if missing_people == 0 { BTreeSet::new() } else { self.candidates(&people) },
            roles,
            succession: Vec::new(),
        };
        Counted { participants: self.participants, ignored: self.ignored, missing, succession: None }
    }

    /// Who could still sign and count.
    fn candidates(&self, counted: &BTreeMap<&Email, &BTreeSet<Role>>) -> BTreeSet<Email> {
        let Examiner { roster, suspended, now, .. } = &self.examiner;
        let could = roster.people.iter().filter(|(email, person)| {
            self.asks.is_none_or(|asks| asks.email != **email)
                && !counted.contains_key(email)
                && !suspended.contains(*email)
                && person.can_sign(*now)
                && person.has_any(&self.rule.roles)
        });
        could.map(|(email, _)| email.clone()).collect()
    }
}
