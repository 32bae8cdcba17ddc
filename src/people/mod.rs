//! People: who they are, what they sign, and whose signature counts. Pure: nothing here reads a file, a token, the
//! ledger or the clock. What a signature is counted for (which rule, which act) is said by the caller and decided by the
//! policy.
//!
//! A [`roster::Roster`] says who is who. An [`request::ApprovalRequest`] is what people are asked, fully resolved, in
//! one canonical byte form. Its requester and its approvers sign those bytes with their own SSH keys, under
//! [namespaces](Namespace) that keep one meaning from passing for another.

pub mod approval;
pub mod bundle;
pub mod cab;
#[cfg(test)]
mod conditions;
pub mod founding;
pub mod quorum;
pub mod request;
pub mod roster;
pub mod sidecar;
pub(crate) mod text;

pub use quorum::AdoptRoster;
pub use request::ApprovalRequest;
pub use roster::Roster;

crate::model::words! {
    /// What an SSH signature by a person means (design §9). The namespace on the wire ends in `@ORIGIN`.
    Namespace: "signature namespace" {
        /// "I ask for this": the requester, over an approval request.
        Request = "keyctl-request-v1",
        /// "I approve this": another person, over the same bytes.
        Approval = "keyctl-approval-v1",
        /// A change advisory board's approval of artifacts.
        Cab = "keyctl-cab-v1",
        /// "This is the roster, and this key is mine": over a roster, by everyone in the first one, and by new keys later.
        Roster = "keyctl-roster-v1",
    }
}

impl Namespace {
    /// As it stands in the signature (OpenSSH PROTOCOL.sshsig).
    pub fn of(self, origin: &str) -> String {
        format!("{self}@{origin}")
    }
}
