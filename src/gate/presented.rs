//! An approval request as it is shown at the gate, with the signatures that were handed in for it. Nothing of it is
//! believed: the gate counts the signatures itself, in the transaction that consumes them.

use super::Ground;
use crate::config::policy::Rule;
use crate::error::{Error, Result};
use crate::ledger::query;
use crate::model::Hash256;
use crate::people::ApprovalRequest;
use crate::people::quorum::{self, Ballot, Counted, InForce};
use crate::policy::derived;
use crate::request::rule_of;
use rusqlite::Connection;

/// An approval request with the signatures that were handed in for it.
#[derive(Clone, Debug)]
pub struct Presented {
    pub(super) bytes: Vec<u8>,
    pub(super) document: ApprovalRequest,
    requester: Option<String>,
    approvals: Vec<String>,
}

impl Presented {
    /// Reads the exact bytes of a request, which says of itself what its steps say; signatures are armoured.
    ///
    /// # Errors
    /// `bad_request`.
    pub fn new(bytes: Vec<u8>, requester: Option<String>, approvals: Vec<String>) -> Result<Self> {
        let document = derived::read(&bytes)?;
        Ok(Presented { bytes, document, requester, approvals })
    }

    /// The same, without holding what the request says of itself against its steps: earlier versions did not, and what they
    /// consumed is not to be read by another rule now.
    ///
    /// # Errors
    /// `bad_request` if it is not in its one form.
    pub(crate) fn by_form(bytes: Vec<u8>, requester: Option<String>, approvals: Vec<String>) -> Result<Self> {
        let document = ApprovalRequest::parse(&bytes)?;
        Ok(Presented { bytes, document, requester, approvals })
    }

    /// What was asked.
    pub fn document(&self) -> &ApprovalRequest {
        &self.document
    }

    /// SHA-256 of the exact bytes.
    pub fn sha256(&self) -> Hash256 {
        Hash256::of(&self.bytes)
    }

    /// Counts the signatures against what is in force now.
    ///
    /// # Errors
    /// The request is not for here or now, as [`quorum::count`] says; the workspace has no roster.
    pub(super) fn count(&self, ground: &Ground, conn: &Connection) -> Result<Counted> {
        let roster = query::roster(conn)?;
        let roster = roster.ok_or_else(|| Error::blocked("no_roster", "the workspace has no roster"))?;
        let in_force = InForce {
            workspace_id: &ground.genesis.workspace_id,
            origin: &ground.genesis.origin,
            environment: ground.genesis.environment,
            genesis_sha256: Some(ground.genesis_sha256),
            settings_sha256: ground.settings.sha256,
            roster: &roster,
            suspended: &query::suspended(conn)?,
            now: ground.now,
        };
        let ballot = Ballot { bytes: &self.bytes, requester: self.requester.as_deref(), approvals: &self.approvals };
        quorum::count(&ballot, &self.rule(ground), &in_force)
    }

    /// The rule that its signatures are counted by. Where the board's approval of the files is given besides, the gate
    /// for that asks for everyone else, and here it takes the requester alone.
    pub(super) fn rule(&self, ground: &Ground) -> Rule {
        rule_of(&self.document, ground.settings.settings.policy.rule(self.document.rule()))
    }
}
