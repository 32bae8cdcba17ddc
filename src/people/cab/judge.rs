//! Whether an approval holds for one file, now. Asked anew for each use, since approvals run out, are used up, and can
//! be withdrawn.

use super::{CabApproval, Paper, Status, UnsignedApproval};
use crate::clock::{Time, rfc3339};
use crate::config::policy::{Role, Rule};
use crate::crypto::jcs;
use crate::model::{Email, Environment, Hash256};
use crate::people::approval::{Part, Participant};
use crate::people::quorum::examine::{Examiner, Signer};
use crate::people::{Namespace, Roster};
use std::collections::BTreeSet;

/// What holds in the workspace.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// The ledger's time: the clock, or the last entry's time if that is later.
    pub now: Time,
    /// The workspace.
    pub workspace_id: &'a str,
    /// Its origin.
    pub origin: &'a str,
    /// Its environment.
    pub environment: Environment,
    /// The roster in force, if there is one.
    pub roster: Option<&'a Roster>,
    /// Who of it is suspended.
    pub suspended: &'a BTreeSet<Email>,
}

/// One file that is to be signed on the strength of an approval.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the policy asks of the operation.
    pub rule: &'a Rule,
    /// Who wants to sign.
    pub requester: &'a Email,
    /// SHA-256 of the file.
    pub artifact: &'a Hash256,
    /// The conditions that the requester acknowledged.
    pub acknowledged: &'a [String],
    /// How often the approval was used before.
    pub uses: u64,
    /// Whether the board withdrew it.
    pub is_withdrawn: bool,
}

/// An approval that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Who approves; nobody for an unauthenticated one.
    pub approver: Option<Participant>,
    /// Which use this is, of how many; `None` where nobody counts.
    pub used: Option<(u64, u32)>,
    /// Until when.
    pub expiry: Time,
}

/// Whether `paper` lets this file be signed here and now.
///
/// # Errors
/// Why not, in words. One that is not in force, whatever the reason, is `missing` (domain §3).
pub fn judge(paper: &Paper, question: &Question<'_>, here: &Here<'_>) -> Result<Holds, String> {
    let holds = match paper {
        Paper::Signed { approval, signature } => signed(approval, signature, question, here)?,
        Paper::Unsigned { approval } => unsigned(approval, here)?,
    };
    acknowledged(paper.conditions(), question.acknowledged)?;
    Ok(holds)
}

fn unsigned(approval: &UnsignedApproval, here: &Here<'_>) -> Result<Holds, String> {
    if here.environment == Environment::Production {
        return Err("unauthenticated: nobody signed it, and in production somebody has to".into());
    }
    if approval.status != Status::Approved.as_str() {
        return Err(format!("missing: it is {}", approval.status));
    }
    in_time(None, approval.expiry, here.now)?;
    Ok(Holds { approver: None, used: None, expiry: approval.expiry })
}

fn signed(approval: &CabApproval, signature: &str, question: &Question<'_>, here: &Here<'_>) -> Result<Holds, String> {
    let approver = approver(approval, signature, question, here)?;
    if approval.status != Status::Approved {
        return Err(format!("missing: it is {}", approval.status));
    }
    if question.is_withdrawn {
        return Err("missing: it was withdrawn".into());
    }
    in_time(Some(approval.not_before), approval.expiry, here.now)?;
    if !approval.artifacts.contains_key(question.artifact) {
        return Err("missing: the file is not among its artifacts".into());
    }
    if question.uses >= u64::from(approval.count) {
        return Err(format!("used up: it was good for {} signatures", approval.count));
    }
    let used = Some((question.uses.saturating_add(1), approval.count));
    Ok(Holds { approver: Some(approver), used, expiry: approval.expiry })
}

fn in_time(not_before: Option<Time>, expiry: Time, now: Time) -> Result<(), String> {
    match not_before {
        Some(from) if now < from => Err(format!("missing: it holds only from {} on", rfc3339(from))),
        _ if now >= expiry => Err(format!("missing: it expired at {}", rfc3339(expiry))),
        _ => Ok(()),
    }
}

/// Every condition was acknowledged, and nothing that is none.
fn acknowledged(conditions: &[String], said: &[String]) -> Result<(), String> {
    let open: Vec<_> = conditions.iter().filter(|one| !said.contains(one)).map(|one| format!("{one:?}")).collect();
    if !open.is_empty() {
        return Err(format!("not acknowledged: {}", open.join(", ")));
    }
    match said.iter().find(|one| !conditions.contains(one)) {
        Some(other) => Err(format!("acknowledged, but no condition of it: {other:?}")),
        None => Ok(()),
    }
}

/// Who made the signature, if they may approve and did approve this.
fn approver(
    approval: &CabApproval,
    signature: &str,
    question: &Question<'_>,
    here: &Here<'_>,
) -> Result<Participant, String> {
    let bytes = jcs::to_vec(approval).map_err(|error| error.full())?;
    let signer = of_the_board(approval, &bytes, signature, here)?;
    if *signer.email == question.requester.folded() {
        return Err(format!("{} signed it and asks for the signature: the requester never approves", signer.email));
    }
    let participant = signer.takes_part(Part::Approver, question.rule, signature, &bytes);
    Ok(Participant { roles: [Role::CabApprover].into(), ..participant })
}

/// Who of the board signed this, for here.
fn of_the_board<'a>(
    approval: &CabApproval,
    bytes: &'a [u8],
    signature: &str,
    here: &Here<'a>,
) -> Result<Signer<'a>, String> {
    let is_here = approval.workspace_id == here.workspace_id
        && approval.origin == here.origin
        && approval.environment == here.environment;
    if !is_here {
        let CabApproval { environment, workspace_id, origin, .. } = approval;
        return Err(format!("missing: it is for the {environment} workspace {workspace_id} of {origin}"));
    }
    let roster = here.roster.ok_or("signed, but the workspace has no roster to say by whom")?;
    let examiner = Examiner { bytes, origin: here.origin, roster, suspended: here.suspended, now: here.now };
    let signer = examiner.examine(signature, &[Namespace::Cab]).map_err(|ignored| {
        let who = ignored.email.map(|email| format!("{email} ")).unwrap_or_default();
        format!("its signature does not count: {who}{} ({})", ignored.why, ignored.rule)
    })?;
    if *signer.email != approval.approver {
        return Err(format!("signed by {}, not by the approver {}", signer.email, approval.approver));
    }
    match signer.person.roles.contains(&Role::CabApprover) {
        true => Ok(signer),
        false => Err(format!("signed by {}, who is no cab-approver", signer.email)),
    }
}

/// Whether `paper` withdraws the approval of its name: any of the board may do that, and it stays withdrawn whatever
/// becomes of them.
pub fn withdraws(paper: &Paper, here: &Here<'_>) -> bool {
    match paper {
        Paper::Signed { approval, signature } if approval.status == Status::Withdrawn => {
            jcs::to_vec(approval).is_ok_and(|bytes| of_the_board(approval, &bytes, signature, here).is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
