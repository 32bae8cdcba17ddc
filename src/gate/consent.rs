//! Consent: why what was planned may be done. It is made here, of a plan and what allows it, and nothing passes the gate
//! without one.

use super::plan::{Plan, unplanned};
use super::{Presented, to_value};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, query};
use crate::model::Environment;
use crate::people::ApprovalRequest;
use crate::policy::people::follows;
use crate::request::{Kind, Operation, Request};

/// A plan, and what allows it. Nothing of it is believed at the gate, which looks again in the transaction that decides.
#[derive(Clone, Debug)]
pub struct Consent {
    plan: Plan,
    basis: Basis,
}

/// What allows a plan.
#[derive(Clone, Debug)]
pub(super) enum Basis {
    /// An approval request with its signatures; also where the glass is broken (B16).
    Quorum(Box<Presented>),
    /// A standing approval, by its identifier.
    Grant(String),
    /// A sandbox, where nobody has to agree.
    Waiver,
    /// Signing files: whoever asks has a role for it, and the gates know which.
    Role,
    /// The intent in this entry, which was begun before and is continued.
    Recovery(u64),
    /// What was decided before: telling it, publishing it.
    Consequence,
}

impl Consent {
    /// What people agreed to. The plan is the one they signed.
    pub fn of_people(presented: Box<Presented>) -> Self {
        Consent { plan: Plan::of(presented.document()), basis: Basis::Quorum(presented) }
    }

    /// A standing approval.
    pub fn of_grant(plan: Plan, grant_id: String) -> Self {
        Consent { plan, basis: Basis::Grant(grant_id) }
    }

    /// A sandbox asks nobody.
    ///
    /// # Errors
    /// The ledger is no sandbox's.
    pub fn of_sandbox(plan: Plan, ledger: &Ledger) -> Result<Self> {
        match query::genesis(ledger.connection())?.environment {
            Environment::Sandbox => Ok(Consent { plan, basis: Basis::Waiver }),
            other => Err(Error::bug(format!("in {other} somebody has to agree to {}", plan.rule))),
        }
    }

    /// Signing files: the gates ask who asks, and for the approval of the change advisory board.
    pub fn of_role(plan: Plan) -> Self {
        Consent { plan, basis: Basis::Role }
    }

    /// What an intent began and somebody has to bring to its end.
    pub fn of_intent(plan: Plan, seq: u64) -> Self {
        Consent { plan, basis: Basis::Recovery(seq) }
    }

    /// Telling and publishing what was decided before; nothing else passes under it.
    pub fn of_consequence() -> Self {
        Consent { plan: Plan::empty(), basis: Basis::Consequence }
    }

    /// The same for another plan, where it was not people who agreed to just this one: a sandbox, a standing approval.
    pub fn also(&self, plan: Plan) -> Option<Self> {
        match &self.basis {
            Basis::Waiver | Basis::Grant(_) => Some(Consent { plan, basis: self.basis.clone() }),
            Basis::Quorum(_) | Basis::Role | Basis::Recovery(_) | Basis::Consequence => None,
        }
    }

    /// What is consented to.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The approval request, if people signed one.
    pub fn request(&self) -> Option<&ApprovalRequest> {
        match &self.basis {
            Basis::Quorum(presented) => Some(presented.document()),
            _ => None,
        }
    }

    pub(super) fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Refuses what is not in the plan, unless it only follows from what was decided.
    ///
    /// # Errors
    /// `not_planned`.
    pub(super) fn covers<O: Operation>(&self, request: &Request<O>) -> Result<()> {
        if follows(O::KIND) {
            return Ok(());
        }
        let params = to_value(&request.params)?;
        let steps = &self.plan.steps;
        let planned = steps.iter().any(|step| step.allows(O::NAME, &request.object, &params, O::KIND.open()));
        let fits = match self.basis {
            Basis::Role => O::KIND == Kind::SignArtifact,
            Basis::Consequence => false,
            Basis::Quorum(_) | Basis::Grant(_) | Basis::Waiver | Basis::Recovery(_) => true,
        };
        if planned && fits { Ok(()) } else { Err(unplanned(O::KIND, &request.object)) }
    }
}
