//! Which acts wait for people, and which of the policy's rules can allow which act.

use super::facts::{Facts, People};
use super::gates::{self, Decision, Gate};
use crate::config::policy::{Operation as Rule, Role, Rule as Takes};
use crate::model::{Actor, Assurance, Email, Environment, Purpose};
use crate::people::Roster;
use crate::request::Kind;
use std::collections::BTreeSet;

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

/// `Actor`: whoever asks is in the roster with a role of the rule, not suspended, and proven if the rule wants that. `known`
/// are the people, and who of them is suspended.
pub(super) fn actor(
    (actor, operation, rule): (&Actor, Rule, &Takes),
    environment: Environment,
    known: Option<(&Roster, &BTreeSet<Email>)>,
) -> Gate {
    const NAME: &str = "Actor";
    let input = format!("{} ({})", actor.email, actor.assurance);
    if environment == Environment::Sandbox {
        return gates::holds(NAME, input, "not required in a sandbox", true);
    }
    let Some((roster, suspended)) = known else {
        return gates::holds(NAME, input, "not required: the workspace has no roster", true);
    };
    let must_prove = !rule.asserted || rule.threshold > 1;
    let proof = if must_prove { "proven" } else { "asserted or proven" };
    let limit = format!("{proof}, {} in the roster; {operation} takes {}", any_of(&rule.roles), people(rule));
    let Some((email, person)) = roster.person(&actor.email) else {
        return gates::holds(NAME, format!("{input} is not in the roster"), limit, false);
    };
    let roles: Vec<_> = person.roles.iter().map(|role| role.as_str()).collect();
    let input = format!("{input}, {}", roles.join(", "));
    if suspended.contains(email) {
        return gates::holds(NAME, format!("{input}, is suspended"), limit, false);
    }
    let holds = person.has_any(&rule.roles)
        && !person.roles.contains(&Role::Auditor)
        && (!must_prove || actor.assurance == Assurance::Proven);
    gates::holds(NAME, input, limit, holds)
}

pub(super) fn people(rule: &Takes) -> String {
    let among: Vec<_> = rule.must_include.iter().map(|role| format!("a {role}")).collect();
    let among = if among.is_empty() { String::new() } else { format!(", among them {}", among.join(" and ")) };
    match rule.threshold {
        1 => format!("1 person{among}"),
        several => format!("{several} people{among}"),
    }
}

pub(super) fn any_of(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ")
}

/// The rule under which a key of this purpose is made.
pub fn making(purpose: Purpose) -> Rule {
    if purpose.falls_under_ca_rules() { Rule::KeygenCa } else { Rule::Keygen }
}

/// The rule under which it is rotated.
pub fn rotating(purpose: Purpose) -> Rule {
    if purpose.falls_under_ca_rules() { Rule::RotateCa } else { Rule::Rotate }
}

/// Whether nobody is asked about an act: it tells or publishes what was decided, and says nothing that the ledger does not.
pub fn follows(kind: Kind) -> bool {
    match kind {
        Kind::PublishKeyring
        | Kind::PublishMetadata
        | Kind::UpdatePipeline
        | Kind::IssueCrl
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts => true,
        Kind::GenerateKey
        | Kind::IssueCertificate
        | Kind::CertifyOpenPgp
        | Kind::ChangeState
        | Kind::MakeCsr
        | Kind::ImportCertificate
        | Kind::SignArtifact
        | Kind::AdoptSettings
        | Kind::GiveGrant
        | Kind::EndGrant
        | Kind::CloseFollowUp
        | Kind::AdoptRoster
        | Kind::SuspendPerson
        | Kind::RestorePerson
        | Kind::SuspendKey
        | Kind::ReinstateKey
        | Kind::DestroyKey
        | Kind::RevokeKey
        | Kind::TestKey
        | Kind::LinkRoots
        | Kind::ActivateKey
        | Kind::ReviewKey
        | Kind::SetTime => false,
    }
}

/// Whether a rule of the policy can allow an act on a key of this purpose: what people agreed to under the rule for one
/// thing must not pass for another. `again` is for a file whose place another takes. A purpose that nobody knows is no
/// CA's.
pub fn may_allow(rule: Rule, kind: Kind, again: bool, purpose: Option<Purpose>) -> bool {
    let makes = rule == purpose.map_or(Rule::Keygen, making);
    let rotates = rule == purpose.map_or(Rule::Rotate, rotating);
    match kind {
        Kind::TestKey | Kind::ActivateKey => rotates || rule == Rule::Compromise,
        Kind::LinkRoots => matches!(rule, Rule::RotateCa | Rule::Compromise),
        Kind::ReviewKey => rule == Rule::RotateCa,
        Kind::GenerateKey | Kind::IssueCertificate | Kind::CertifyOpenPgp | Kind::MakeCsr => {
            makes || rotates || rule == Rule::Compromise
        }
        Kind::ImportCertificate => rule == Rule::Import || rotates,
        Kind::ChangeState => {
            matches!(rule, Rule::Compromise | Rule::Destroy | Rule::Import | Rule::Revoke) || makes || rotates
        }
        // Both say what everything that follows is judged by.
        Kind::AdoptSettings | Kind::SetTime => rule == Rule::Adopt,
        Kind::SignArtifact if again => rule == Rule::ReSign,
        Kind::SignArtifact => rule == Rule::Sign,
        Kind::GiveGrant => rule == Rule::Grant,
        // Ending one is the safe direction.
        Kind::EndGrant => matches!(rule, Rule::Grant | Rule::Suspend),
        Kind::CloseFollowUp => rule == Rule::FollowUp,
        Kind::AdoptRoster | Kind::RestorePerson => rule == Rule::Roster,
        Kind::SuspendPerson => rule == Rule::Suspend,
        Kind::RevokeKey => matches!(rule, Rule::Revoke | Rule::Compromise),
        Kind::IssueCrl => matches!(rule, Rule::Crl | Rule::Revoke | Rule::Compromise),
        Kind::DestroyKey => rule == Rule::Destroy,
        Kind::SuspendKey => matches!(rule, Rule::Suspend | Rule::Compromise),
        Kind::ReinstateKey => matches!(rule, Rule::Reinstate | Rule::Compromise),
        // Nobody is asked for these, so nobody can have agreed to them.
        Kind::PublishKeyring
        | Kind::PublishMetadata
        | Kind::UpdatePipeline
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKING: [Kind; 5] =
        [Kind::GenerateKey, Kind::IssueCertificate, Kind::CertifyOpenPgp, Kind::MakeCsr, Kind::ChangeState];

    #[test]
    fn a_rule_for_leaf_keys_makes_no_ca() {
        let leaf = Some(Purpose::Authenticode);
        for kind in [Kind::GenerateKey, Kind::IssueCertificate, Kind::ChangeState] {
            assert!(may_allow(Rule::Keygen, kind, false, leaf), "{kind}");
            assert!(!may_allow(Rule::Keygen, kind, false, Some(Purpose::RootCa)), "{kind}");
            assert!(may_allow(Rule::KeygenCa, kind, false, Some(Purpose::RootCa)), "{kind}");
            assert!(!may_allow(Rule::Crl, kind, false, leaf), "{kind}");
        }
        assert!(!may_allow(Rule::Adopt, Kind::AdoptRoster, false, None));
        assert!(!may_allow(Rule::Sign, Kind::SignArtifact, true, leaf));
        assert!(!may_allow(Rule::ReSign, Kind::SignArtifact, false, leaf));
    }

    #[test]
    fn the_rule_of_a_plan_is_one_that_the_gate_takes() {
        for &purpose in Purpose::ALL {
            for kind in MAKING {
                assert!(may_allow(making(purpose), kind, false, Some(purpose)), "{kind} for {purpose}");
            }
            for kind in MAKING.into_iter().chain([Kind::TestKey, Kind::ActivateKey, Kind::ImportCertificate]) {
                assert!(may_allow(rotating(purpose), kind, false, Some(purpose)), "{kind} for {purpose}");
            }
        }
        for kind in [Kind::LinkRoots, Kind::ReviewKey] {
            assert!(may_allow(rotating(Purpose::RootCa), kind, false, Some(Purpose::RootCa)), "{kind}");
        }
        assert_eq!(making(Purpose::Ledger), Rule::KeygenCa);
    }

    #[test]
    fn what_nobody_is_asked_for_no_rule_allows() {
        for &rule in Rule::ALL {
            for kind in [Kind::PublishMetadata, Kind::PublishKeyring, Kind::UpdatePipeline, Kind::ConfirmCrl] {
                assert!(!may_allow(rule, kind, false, Some(Purpose::Authenticode)), "{kind} under {rule}");
            }
        }
    }
}
