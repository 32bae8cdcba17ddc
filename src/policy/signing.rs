//! Who may sign, on whose approval, and what a signature may take the place of (domain §3; B20).

use super::facts::{Facts, People, SigningFacts};
use super::gates::{self, Gate};
use super::people::{actor, people};
use crate::config::policy::{Operation, Role, Rule};
use crate::ledger::query::Artifact;
use crate::model::{Email, Environment};
use crate::people::approval::Participant;
use crate::people::cab::{self, Here, Holds, Question};
use crate::people::roster::{Person, assign};
use crate::request::{Authentication, CabReference, Request, Resigns, SignArtifact};
use std::collections::{BTreeMap, BTreeSet};

/// The gate that asks for the board's approval.
pub const CAB_APPROVAL: &str = "CabApproval";

/// The gate that says that an artifact whose file this is has to be signed again.
pub const RE_SIGN_REQUIRED: &str = "ReSignRequired";

/// The gates about people, and who of them agreed.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The gates.
    pub gates: Vec<Gate>,
    /// Who approves for the board, if somebody does.
    pub approver: Option<Participant>,
    /// There has to be an approval, and none was given.
    pub lacks_approval: bool,
}

/// Asks whether this person may sign this file.
///
/// Without a warrant the actor is who they say they are, and the board's approval counts for a second person. Under
/// one, the signatures of an approval request were counted: by the whole rule, or where the board's approval was given
/// besides, for the requester alone.
pub fn ask(request: &Request<SignArtifact>, signing: &SigningFacts<'_>, facts: &Facts<'_>) -> Asked {
    let params = &request.params;
    // In production a file that has to be signed again is not signed as if it were any other.
    let is_marked = signing.marked.is_some() && signing.here.environment == Environment::Production;
    let operation = if params.resigns.is_some() || is_marked { Operation::ReSign } else { Operation::Sign };
    let rule = facts.settings.policy.rule(operation);
    let asking = Asking { request, facts: signing, operation, rule: &rule };
    let mut gates = match &facts.people {
        People::Shown(shown) => shown.clone(),
        People::Waived | People::Missing => vec![asking.gate()],
    };
    let is_counted = matches!(facts.people, People::Shown(_)) && params.cab.is_none();
    let is_agreed = is_counted && (params.resigns.is_some() || operation == Operation::Sign);
    let (approval, approver) = if is_agreed { (None, None) } else { asking.approval() };
    gates.extend(approval);
    gates.extend(match (&params.resigns, &signing.marked) {
        (Some(old), _) => Some(replaced(old, params, signing.resigned.as_ref())),
        (None, marked) => marked.as_ref().map(not_replaced),
    });
    let lacks_approval = !is_agreed && params.cab.is_none() && asking.need().is_ok();
    Asked { gates, approver, lacks_approval }
}

struct Asking<'a> {
    request: &'a Request<SignArtifact>,
    facts: &'a SigningFacts<'a>,
    operation: Operation,
    rule: &'a Rule,
}

impl<'a> Asking<'a> {
    fn email(&self) -> &'a Email {
        &self.request.actor.email
    }

    /// Who asks, as the roster has them. Roles come from there, never from a claim.
    fn person(&self) -> Option<(&'a Email, &'a Person)> {
        self.facts.here.roster.and_then(|roster| roster.person(self.email()))
    }

    fn gate(&self) -> Gate {
        let Here { environment, roster, suspended, .. } = &self.facts.here;
        let asks = (&self.request.actor, self.operation, self.rule);
        actor(asks, *environment, roster.map(|roster| (roster, *suspended)))
    }

    /// `CabApproval`, if there is one or there has to be one.
    fn approval(&self) -> (Option<Gate>, Option<Participant>) {
        const NAME: &str = CAB_APPROVAL;
        let need = self.need();
        let limit = need.as_ref().map_or_else(|why| format!("not required {why}"), |why| format!("required {why}"));
        let Some(reference) = &self.request.params.cab else {
            let is_resign = self.operation == Operation::ReSign;
            let gate = gates::holds(NAME, "none given", limit, need.is_err());
            return ((need.is_ok() || is_resign).then_some(gate), None);
        };
        let judged = self.judge(reference).and_then(|holds| match need.is_ok() {
            true => self.enough(&holds).map(|()| holds),
            false => Ok(holds),
        });
        match judged {
            Ok(holds) => (Some(gates::holds(NAME, words(reference, &holds), limit, true)), holds.approver),
            Err(why) => (Some(gates::holds(NAME, format!("{}: {why}", reference.approval_id), limit, false)), None),
        }
    }

    /// Why an approval has to be there, or why not.
    fn need(&self) -> Result<String, String> {
        let environment = self.facts.here.environment;
        if environment == Environment::Sandbox {
            return Err("in a sandbox".into());
        }
        match (self.operation, environment, &self.facts.marked) {
            (Operation::ReSign, Environment::Production, Some(marked)) => {
                Ok(format!("in production, artifact {} of entry {} being marked", marked.artifact_id, marked.seq))
            }
            (Operation::ReSign, Environment::Production, None) => Ok("in production".into()),
            _ if self.rule.threshold > 1 => Ok(format!("because {} takes {}", self.operation, people(self.rule))),
            (operation, ..) => Err(format!("for {operation} in {environment}")),
        }
    }

    fn judge(&self, reference: &CabReference) -> Result<Holds, String> {
        let paper = self.facts.paper.as_deref().ok_or("missing: there is no such approval")?;
        let signed = reference.authentication == Authentication::Signed;
        if *paper.approval_id() != reference.approval_id || paper.is_signed() != signed {
            return Err("the paper that was recorded says something else".into());
        }
        let question = Question {
            rule: self.rule,
            requester: self.email(),
            artifact: &self.request.params.hash_before,
            acknowledged: &reference.acknowledged,
            uses: self.facts.uses,
            is_withdrawn: self.facts.is_withdrawn,
        };
        cab::judge(paper, &question, &self.facts.here)
    }

    /// Whether two people are enough, the one who asks and the one of the board. Nobody knows who that was where the
    /// approval is unauthenticated; outside production it is taken for one.
    fn enough(&self, holds: &Holds) -> Result<(), String> {
        let Asking { rule, operation, .. } = self;
        let unknown: Email = "unauthenticated@cab.invalid".parse().map_err(|_| "no address")?;
        let board = holds.approver.as_ref().map_or(&unknown, |approver| &approver.email);
        let roles = |roles: &BTreeSet<Role>| roles.intersection(&rule.roles).copied().collect::<BTreeSet<_>>();
        let asks = self.person().map(|(email, person)| (email, roles(&person.roles)));
        let approves = (board, roles(&[Role::CabApprover].into()));
        let counting: BTreeMap<_, _> =
            asks.into_iter().chain([approves]).filter(|(_, roles)| !roles.is_empty()).collect();
        let (_, missing) = assign(&rule.must_include, &counting.iter().map(|(email, roles)| (*email, roles)).collect());
        let have = u32::try_from(counting.len()).unwrap_or(u32::MAX);
        if have < rule.threshold || !missing.is_empty() {
            return Err(format!("{operation} takes {}; with it there are {have}", people(rule)));
        }
        Ok(())
    }
}

/// `ReSign`: what the new artifact takes the place of is an artifact of this ledger, and this is its file: signed, not
/// signed, or with other signatures on it. Of an APT repository the index may have changed since.
fn replaced(old: &Resigns, params: &SignArtifact, known: Option<&Artifact>) -> Gate {
    let input = format!("artifact {} of entry {}, signed by {}", old.artifact_id, old.entry, old.generation);
    let is_the_same = |known: &Artifact| {
        let is_its_file = params.format.is_repository()
            || [known.hash_after, known.hash_before].contains(&params.hash_before)
            || known.content_digest == params.content_digest;
        known.seq == old.entry
            && known.artifact_id == old.artifact_id
            && known.hash_after == old.hash
            && known.generation == old.generation
            && is_its_file
    };
    gates::holds("ReSign", input, "an artifact of this ledger, and its file", known.is_some_and(is_the_same))
}

/// `ReSignRequired`: the file is signed as if it were any other, although it has to be signed again. That is said; in
/// production it takes what signing again takes.
fn not_replaced(marked: &Artifact) -> Gate {
    let input = format!("artifact {} of entry {} has to be signed again", marked.artifact_id, marked.seq);
    gates::holds(RE_SIGN_REQUIRED, input, "--re-sign takes its place", true)
}

fn words(reference: &CabReference, holds: &Holds) -> String {
    let mut words = format!("{} {}", reference.approval_id, reference.authentication);
    if let Some(approver) = &holds.approver {
        words.push_str(&format!(" by {}", approver.email));
    }
    if let Some((number, of)) = holds.used {
        words.push_str(&format!(", use {number} of {of}"));
    }
    words.push_str(&format!(", until {}", crate::clock::rfc3339(holds.expiry)));
    match reference.acknowledged.len() {
        0 => words,
        1 => words + ", 1 condition acknowledged",
        several => words + &format!(", {several} conditions acknowledged"),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
