//! Which acts wait for people, and which of the policy's rules can allow which act.

use super::gates::{Decision, Gate};
use super::rules::Facts;
use crate::config::policy::Operation;
use crate::model::Purpose;

/// What people say to an act.
#[derive(Clone, Debug)]
pub enum People {
    /// Nobody is asked: a sandbox, where one person tries everything.
    Waived,
    /// Nobody was asked yet.
    Missing,
    /// They were asked, and these gates tell what came of it.
    Shown(Vec<Gate>),
}

/// The decision on an act that people have to agree to.
pub fn with_people(mut gates: Vec<Gate>, facts: &Facts<'_>) -> Decision {
    if let People::Shown(shown) = &facts.people {
        gates.extend(shown.iter().cloned());
    }
    match (Decision::from_gates(gates), &facts.people) {
        (Decision::Allow(gates), People::Missing) => Decision::NeedsApproval(gates),
        (decision, _) => decision,
    }
}

/// Whether a rule of the policy can allow an internal operation on a key of this purpose: what people agreed to under
/// the rule for one thing must not pass for another. What is not listed is not allowed.
pub fn may_allow(rule: Operation, operation: &str, purpose: Option<Purpose>) -> bool {
    use Operation::{Adopt, Compromise, Crl, Destroy, Grant, Import, Keygen, KeygenCa, ReSign};
    use Operation::{Reinstate, Revoke, Roster, Rotate, RotateCa, Sign, Suspend};
    let is_ca =
        matches!(purpose, Some(Purpose::RootCa | Purpose::IntermediateCa | Purpose::OpenpgpPrimary | Purpose::Ledger));
    let making = |ca: Operation, other: Operation| if is_ca { rule == ca } else { rule == other };
    match operation {
        "test" | "activate" => making(RotateCa, Rotate) || rule == Compromise,
        "link" => rule == RotateCa || rule == Compromise,
        "review" => rule == RotateCa,
        "keygen" | "issue" | "certify" | "csr" => {
            making(KeygenCa, Keygen) || making(RotateCa, Rotate) || rule == Compromise
        }
        "import" => rule == Import || making(RotateCa, Rotate),
        "state" => {
            matches!(rule, Compromise | Destroy | Import | Revoke)
                || making(KeygenCa, Keygen)
                || making(RotateCa, Rotate)
        }
        "adopt" => rule == Adopt,
        "sign" => rule == Sign,
        "re-sign" => rule == ReSign,
        "grant" => rule == Grant,
        // Ending one is the safe direction.
        "end-grant" => matches!(rule, Grant | Suspend),
        "follow-up" => rule == Operation::FollowUp,
        "roster" | "restore-person" => rule == Roster,
        "suspend-person" => rule == Suspend,
        "revoke" => matches!(rule, Revoke | Compromise),
        "crl" => matches!(rule, Crl | Revoke | Compromise),
        "destroy" => rule == Destroy,
        "suspend" => matches!(rule, Suspend | Compromise),
        "reinstate" => matches!(rule, Reinstate | Compromise),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_leaf_keys_makes_no_ca() {
        for operation in ["keygen", "issue", "state"] {
            assert!(may_allow(Operation::Keygen, operation, Some(Purpose::Authenticode)), "{operation}");
            assert!(!may_allow(Operation::Keygen, operation, Some(Purpose::RootCa)), "{operation}");
            assert!(may_allow(Operation::KeygenCa, operation, Some(Purpose::RootCa)), "{operation}");
            assert!(!may_allow(Operation::Crl, operation, Some(Purpose::Authenticode)), "{operation}");
        }
        assert!(!may_allow(Operation::Adopt, "roster", None));
        for rule in Operation::ALL {
            assert!(!may_allow(*rule, "something else", Some(Purpose::Authenticode)));
        }
    }
}
