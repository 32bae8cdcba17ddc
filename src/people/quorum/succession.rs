//! From one roster to the next: what it takes besides the quorum of the roster in force (D1).
//!
//! The people of the new roster have to agree by the same rule, counted by their new roles and keys, so that nobody is
//! handed a workspace whose rules they could not satisfy; and each new key is shown to be in somebody's hands.

use super::examine::proofs_of_possession;
use super::{Ballot, Electorate, count_in_new_roster};
use crate::config::policy::Rule;
use crate::crypto::ssh::PublicKey;
use crate::error::{Context, Error, Result};
use crate::model::GenerationId;
use crate::people::approval::Participant;
use crate::people::{ApprovalRequest, Roster};
use serde::{Deserialize, Serialize};

/// The result of looking at a roster that is to be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// Whose signatures count in the new roster.
    pub participants: Vec<Participant>,
    /// The proofs that new keys are in somebody's hands.
    pub proofs: Vec<String>,
    /// What is missing, in words.
    pub missing: Vec<String>,
}

/// The act of taking over a changed roster, as [`ADOPT_ROSTER`] has it in its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptRoster {
    /// The workspace's `ledger` key, which stands for the workspace.
    pub generation: GenerationId,
    /// The roster in force, whole: what changes can be read from the request alone.
    pub from: Roster,
    /// The roster to adopt, whole.
    pub to: Roster,
}

/// The operation that takes over a roster, as requests name it.
pub const ADOPT_ROSTER: &str = "roster";

impl ApprovalRequest {
    /// The roster that it would put in force, if it is for one.
    ///
    /// # Errors
    /// `bad_request` if that cannot be read.
    pub fn new_roster(&self) -> Result<Option<Roster>> {
        let mut steps = self.steps.iter().filter(|step| step.operation == ADOPT_ROSTER);
        let Some(step) = steps.next() else { return Ok(None) };
        if steps.next().is_some() {
            return Err(Error::failed("bad_request", "the request is for two rosters"));
        }
        let params = AdoptRoster::deserialize(&step.params);
        Ok(Some(params.or_failed("bad_request", || "the request's roster cannot be read".into())?.to))
    }
}

/// Looks at the signatures for a request that would put the roster of `to` in the place of `from`.
///
/// # Errors
/// `bad_request`; a key of the new roster cannot be read.
pub fn succession(ballot: &Ballot<'_>, rule: &Rule, from: &Roster, to: &Electorate<'_>) -> Result<Succession> {
    let counted = count_in_new_roster(ballot, rule, to)?;
    let mut missing = Vec::new();
    if !counted.has_people() {
        missing.push(format!("{} of the new roster", counted.missing));
    }
    let origin = ApprovalRequest::parse(ballot.bytes)?.origin;
    let (left, proofs) = proofs_of_possession(ballot.bytes, &origin, &new_keys(from, to.roster)?, ballot.approvals);
    for key in left {
        let whose = to.roster.holder(&key).map(|(email, ..)| email.to_string()).unwrap_or_default();
        missing.push(format!("proof that {whose} has the key {}", key.openssh_fingerprint()));
    }
    Ok(Succession { participants: counted.participants, proofs, missing })
}

/// Keys that the person who has them now did not have before.
fn new_keys(from: &Roster, to: &Roster) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for (email, person) in &to.people {
        let had = from.people.get(email);
        for key in &person.keys {
            let is_old = had.is_some_and(|had| had.keys.iter().any(|old| old.public_key == key.public_key));
            if !is_old {
                keys.push(key.key()?);
            }
        }
    }
    Ok(keys)
}
