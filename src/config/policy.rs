//! Who may do what, and how many people it takes: the map from operation to rule. It is data; judging is not done here.
//!
//! The defaults are the strict reading of domain §3 and governance D2. A file may change them, within limits that it
//! cannot change: outside the sandbox whatever makes, moves or destroys keys takes two people (B5), break-glass takes
//! a security reviewer and a platform admin (B16), and no approval lives longer than a day (D3).

use crate::model::words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

words! {
    /// What a person may be to the organisation (domain §3).
    Role: "role" {
        SecurityReviewer = "security-reviewer",
        PlatformAdmin = "platform-admin",
        PackagingEngineer = "packaging-engineer",
        LinuxPackagingOwner = "linux-packaging-owner",
        ConnectorTeamLead = "connector-team-lead",
        Publisher = "publisher",
        CabApprover = "cab-approver",
        EndpointOperations = "endpoint-operations",
        Auditor = "auditor",
    }
}

words! {
    /// What the policy has a rule for.
    Operation: "operation" {
        /// A new root or intermediate key.
        KeygenCa = "keygen-ca",
        /// Any other new key.
        Keygen = "keygen",
        /// A certificate from outside.
        Import = "import",
        RotateCa = "rotate-ca",
        Rotate = "rotate",
        Revoke = "revoke",
        /// The whole runbook of a key compromise (B23).
        Compromise = "compromise",
        Suspend = "suspend",
        /// The end of a suspension.
        Reinstate = "reinstate",
        Destroy = "destroy",
        /// Wrapping a key out of its token.
        Export = "export",
        EscrowOpen = "escrow-open",
        Sign = "sign",
        /// Signing again what a compromise touched (B20).
        ReSign = "re-sign",
        Crl = "crl",
        Grant = "grant",
        /// Taking over a changed `keyctl.toml`.
        Adopt = "adopt",
        Roster = "roster",
        Failover = "failover",
        Recover = "recover",
        /// Closing a duty that had a deadline.
        FollowUp = "follow-up",
        Drill = "drill",
        Backup = "backup",
        Restore = "restore",
        /// Any of these in a declared incident (B16).
        BreakGlass = "break-glass",
    }
}

/// What an operation takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// People in all, the requester among them if they have proven who they are.
    pub threshold: u32,
    /// Roles that may take part.
    pub roles: BTreeSet<Role>,
    /// Roles each of which at least one of those people has.
    pub must_include: BTreeSet<Role>,
    /// How old a request may be when it is run.
    pub max_age_hours: u32,
}

/// The rules of all operations; complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(BTreeMap<Operation, Rule>);

/// The most a threshold can ask for.
const MAX_THRESHOLD: u32 = 9;

impl Default for Policy {
    fn default() -> Self {
        Policy(Operation::ALL.iter().map(|operation| (*operation, operation.default_rule())).collect())
    }
}

impl Policy {
    /// The rule of an operation.
    ///
    /// A policy read from the ledger may be older than an operation; then the strict default holds.
    pub fn rule(&self, operation: Operation) -> Rule {
        self.0.get(&operation).cloned().unwrap_or_else(|| operation.default_rule())
    }

    pub(super) fn set(&mut self, operation: Operation, rule: Rule) {
        self.0.insert(operation, rule);
    }
}

impl Operation {
    /// The rule if the file says nothing.
    pub fn default_rule(self) -> Rule {
        use Operation::*;
        use Role::*;
        let reviewer: &[Role] = &[SecurityReviewer];
        let both: &[Role] = &[SecurityReviewer, PlatformAdmin];
        let owners: &[Role] =
            &[SecurityReviewer, PlatformAdmin, PackagingEngineer, LinuxPackagingOwner, ConnectorTeamLead];
        let (threshold, roles, must_include): (u32, &[Role], &[Role]) = match self {
            KeygenCa | RotateCa | Reinstate | Destroy | Adopt | Roster | Restore => (2, both, reviewer),
            Keygen | Import | Rotate | Revoke | Grant => (2, owners, reviewer),
            Export | EscrowOpen => (2, &[SecurityReviewer, PlatformAdmin, LinuxPackagingOwner], reviewer),
            Compromise | BreakGlass => (2, both, both),
            Failover => (2, both, &[]),
            ReSign => (2, &[PackagingEngineer, LinuxPackagingOwner, CabApprover], &[CabApprover]),
            Sign => (1, &[PackagingEngineer, LinuxPackagingOwner], &[]),
            Suspend => (1, owners, &[]),
            Crl | Recover | FollowUp | Drill | Backup => (1, both, &[]),
        };
        Rule {
            threshold,
            roles: roles.iter().copied().collect(),
            must_include: must_include.iter().copied().collect(),
            max_age_hours: self.max_age_limit(),
        }
    }

    /// The longest life of an approval, in hours (D3).
    pub fn max_age_limit(self) -> u32 {
        match self {
            Operation::Compromise | Operation::BreakGlass => 4,
            _ => 24,
        }
    }

    /// The least threshold outside the sandbox.
    fn floor(self) -> u32 {
        use Operation::*;
        match self {
            Import | Revoke | Failover | Sign | Suspend | Crl | Recover | FollowUp | Drill | Backup => 1,
            _ => 2,
        }
    }

    /// What is wrong with `rule` for this operation: the field and why.
    pub(super) fn objection(self, rule: &Rule, sandbox: bool) -> Option<(&'static str, String)> {
        let floor = if sandbox { 1 } else { self.floor() };
        if rule.threshold < floor || rule.threshold > MAX_THRESHOLD {
            let why = format!("{self} takes {floor} to {MAX_THRESHOLD} people, not {}", rule.threshold);
            return Some(("threshold", why));
        }
        if rule.roles.is_empty() {
            return Some(("roles", "nobody could do this".to_owned()));
        }
        if rule.roles.contains(&Role::Auditor) {
            return Some(("roles", "an auditor only reads".to_owned()));
        }
        if let Some(role) = rule.must_include.difference(&rule.roles).next() {
            return Some(("must_include", format!("{role} is not among the roles")));
        }
        if self == Operation::BreakGlass && !rule.must_include.is_superset(&self.default_rule().must_include) {
            return Some((
                "must_include",
                "break-glass takes a security-reviewer and a platform-admin together".to_owned(),
            ));
        }
        if usize::try_from(rule.threshold).is_ok_and(|people| people < rule.must_include.len()) {
            return Some(("must_include", format!("more roles than the {} people of the threshold", rule.threshold)));
        }
        let limit = self.max_age_limit();
        if rule.max_age_hours == 0 || rule.max_age_hours > limit {
            return Some(("max_age_hours", format!("1 to {limit} hours, not {}", rule.max_age_hours)));
        }
        None
    }
}
