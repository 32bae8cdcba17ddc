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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// People in all, the requester among them if they have proven who they are.
    pub threshold: u32,
    /// Roles that may take part.
    pub roles: BTreeSet<Role>,
    /// Roles each of which at least one of those people has.
    pub must_include: BTreeSet<Role>,
    /// How old a request may be when it is run.
    pub max_age_hours: u32,
    /// Whether it is enough that whoever asks is named, as automation does; else they prove it with their own key.
    pub asserted: bool,
}

/// The rules of all operations; complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "wire::Rules", into = "wire::Rules")]
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

    pub(crate) fn set(&mut self, operation: Operation, rule: Rule) {
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
            asserted: self.is_asserted_by_default(threshold),
        }
    }

    /// Whether a named actor is enough unless the file says otherwise: for what timers and build pipelines do alone.
    /// Whatever takes other people too needs somebody who proved who they are.
    pub(super) fn is_asserted_by_default(self, threshold: u32) -> bool {
        use Operation::*;
        threshold <= 1 && matches!(self, Sign | Crl | Recover | Drill | Backup)
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
        if rule.asserted && !sandbox && !self.is_asserted_by_default(rule.threshold) {
            return Some(("asserted", format!("whoever asks for {self} has to prove who they are")));
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

/// How rules are written down. `asserted` came later, and is left out where it is the operation's default, so that
/// settings which were adopted before keep their form and their hash.
mod wire {
    use super::{BTreeMap, BTreeSet, Operation, Policy, Role, Rule};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    pub(super) struct Rules(BTreeMap<Operation, Written>);

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        threshold: u32,
        roles: BTreeSet<Role>,
        must_include: BTreeSet<Role>,
        max_age_hours: u32,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        asserted: Option<bool>,
    }

    impl From<Rules> for Policy {
        fn from(Rules(rules): Rules) -> Self {
            let read = |(operation, rule): (Operation, Written)| {
                let Written { threshold, roles, must_include, max_age_hours, asserted } = rule;
                let asserted = asserted.unwrap_or(operation.is_asserted_by_default(threshold));
                (operation, Rule { threshold, roles, must_include, max_age_hours, asserted })
            };
            Policy(rules.into_iter().map(read).collect())
        }
    }

    impl From<Policy> for Rules {
        fn from(Policy(rules): Policy) -> Self {
            let write = |(operation, rule): (Operation, Rule)| {
                let Rule { threshold, roles, must_include, max_age_hours, asserted } = rule;
                let default = operation.is_asserted_by_default(threshold);
                let asserted = (asserted != default).then_some(asserted);
                (operation, Written { threshold, roles, must_include, max_age_hours, asserted })
            };
            Rules(rules.into_iter().map(write).collect())
        }
    }
}
