//! Whom an act waits for: which rule allows what, people who come and go, and keys that are stopped.

use super::{allows, asks, stops, words};
use crate::config::policy::Operation as Rule;
use crate::keys::Generation;
use crate::ledger::query::Suspension;
use crate::model::{Environment, Purpose};
use crate::people::roster::testing::{email, four};
use crate::policy::facts::{People, RosterFacts};
use crate::policy::gates::{Gate, holds};
use crate::policy::people::{may_allow, with_people};
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{
    AdoptRoster, CloseFollowUp, EndGrant, Kind, Operation, ReinstateKey, Request, RestorePerson, SuspendKey,
    SuspendPerson,
};

/// The rules that allow an act on a key that is no CA's, and on one that is.
fn rules(kind: Kind) -> (Vec<Rule>, Vec<Rule>) {
    use Rule::{Compromise, Crl, Destroy, Import, Keygen, KeygenCa, Reinstate, Revoke, Rotate, RotateCa, Suspend};
    let same = |rules: &[Rule]| (rules.to_vec(), rules.to_vec());
    match kind {
        Kind::TestKey | Kind::ActivateKey => (vec![Rotate, Compromise], vec![RotateCa, Compromise]),
        Kind::GenerateKey | Kind::IssueCertificate | Kind::CertifyOpenPgp | Kind::MakeCsr => {
            (vec![Keygen, Rotate, Compromise], vec![KeygenCa, RotateCa, Compromise])
        }
        Kind::ImportCertificate => (vec![Import, Rotate], vec![Import, RotateCa]),
        Kind::ChangeState => {
            let more = [Compromise, Destroy, Import, Revoke];
            ([&[Keygen, Rotate][..], &more].concat(), [&[KeygenCa, RotateCa][..], &more].concat())
        }
        Kind::LinkRoots => same(&[RotateCa, Compromise]),
        Kind::ReviewKey => same(&[RotateCa]),
        Kind::AdoptSettings | Kind::SetTime => same(&[Rule::Adopt]),
        Kind::SignArtifact => same(&[Rule::Sign]),
        Kind::GiveGrant => same(&[Rule::Grant]),
        Kind::EndGrant => same(&[Rule::Grant, Suspend]),
        Kind::CloseFollowUp => same(&[Rule::FollowUp]),
        Kind::AdoptRoster | Kind::RestorePerson => same(&[Rule::Roster]),
        Kind::SuspendPerson => same(&[Suspend]),
        Kind::RevokeKey => same(&[Revoke, Compromise]),
        Kind::IssueCrl => same(&[Crl, Revoke, Compromise]),
        Kind::DestroyKey => same(&[Destroy]),
        Kind::SuspendKey => same(&[Suspend, Compromise]),
        Kind::ReinstateKey => same(&[Reinstate, Compromise]),
        Kind::PublishKeyring
        | Kind::PublishMetadata
        | Kind::UpdatePipeline
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts => same(&[]),
    }
}

#[test]
fn each_act_is_allowed_by_its_own_rules_and_no_others() {
    for &kind in Kind::ALL {
        let (leaf, ca) = rules(kind);
        for &rule in Rule::ALL {
            for purpose in Purpose::ALL.iter().copied().map(Some).chain([None]) {
                let expected = if purpose.is_some_and(Purpose::falls_under_ca_rules) { &ca } else { &leaf };
                let allowed = may_allow(rule, kind, false, purpose);
                assert_eq!(allowed, expected.contains(&rule), "{kind} on {purpose:?} under {rule}");
                if kind == Kind::SignArtifact {
                    assert_eq!(may_allow(rule, kind, true, purpose), rule == Rule::ReSign, "again, under {rule}");
                }
            }
        }
    }
}

fn gate(passes: bool) -> Gate {
    holds("Approvals", "x", "y", passes)
}

#[test]
fn people_are_asked_only_for_what_the_gates_allow() {
    let settings = settings();
    let decide = |people: People, passes| {
        let staging = Environment::Staging;
        let facts = Facts { people, ..facts(&settings, staging, windows(staging), issued()) };
        with_people(vec![holds("Other", "x", "y", passes)], &facts)
    };
    allows(&decide(People::Waived, true));
    stops(&decide(People::Waived, false), "Other");
    asks(&decide(People::Missing, true));
    stops(&decide(People::Missing, false), "Other");
    allows(&decide(People::Shown(vec![gate(true)]), true));
    stops(&decide(People::Shown(vec![gate(false)]), true), "Approvals");
    stops(&decide(People::Shown(vec![gate(true)]), false), "Other");
}

/// The decision in a workspace of four people, of whom these are suspended, and this key.
fn decide<O: Decide>(params: O, suspended: &[&str], key: Option<&str>) -> Decision {
    let settings = settings();
    let staging = Environment::Staging;
    let suspended = suspended.iter().map(|address| email(address)).collect();
    let suspension = |key: &str| (key.parse().unwrap(), Suspension { seq: 12, reason: "lost".into() });
    let facts = Facts {
        people: People::Missing,
        roster: Some(RosterFacts { roster: four().0, suspended }),
        suspended_keys: key.map(suspension).into_iter().collect(),
        ..facts(&settings, staging, windows(staging), issued())
    };
    let request: Request<O> = request(params);
    O::decide(&request, &facts)
}

#[test]
fn only_who_is_suspended_is_restored() {
    let restore = || RestorePerson { generation: ledger(), email: email("dan@example.com"), reason: "r".into() };
    asks(&decide(restore(), &["dan@example.com"], None));
    let decision = decide(restore(), &["carol@example.com"], None);
    stops(&decision, "Person");
    assert_eq!(words(&decision, "Person").0, "dan@example.com is not suspended");
    assert_eq!(words(&decide(restore(), &["dan@example.com"], None), "Person").0, "dan@example.com is suspended");
}

fn ledger() -> crate::model::GenerationId {
    "ledger/1".parse().unwrap()
}

#[test]
fn without_people_there_is_nobody_to_replace_suspend_or_restore() {
    fn alone<O: Operation + Decide>(params: O) {
        let (settings, staging) = (settings(), Environment::Staging);
        let decision = O::decide(&request(params), &facts(&settings, staging, windows(staging), issued()));
        stops(&decision, "Roster");
        assert_eq!(words(&decision, "Roster").0, "none");
    }
    let (from, reason) = (four().0, "r".to_owned());
    let to = crate::people::Roster { version: 2, ..from.clone() };
    alone(AdoptRoster { generation: ledger(), from, to });
    alone(SuspendPerson { generation: ledger(), email: email("dan@example.com"), reason: reason.clone() });
    alone(RestorePerson { generation: ledger(), email: email("dan@example.com"), reason });
}

#[test]
fn what_people_suspend_somebody_for_still_works_afterwards() {
    let suspend = |address: &str| SuspendPerson { generation: ledger(), email: email(address), reason: "r".into() };
    let decision = decide(suspend("dan@example.com"), &[], None);
    stops(&decision, "PolicySatisfiable");
    assert!(words(&decision, "PolicySatisfiable").0.contains("re-sign must include"), "{decision:?}");
    let decision = decide(suspend("dan@example.com"), &["carol@example.com"], None);
    asks(&decision);
    assert_eq!(words(&decision, "PolicySatisfiable").0, "people for every operation");
    assert_eq!(words(&decision, "Person").0, "dan@example.com is in the roster");
}

#[test]
fn a_key_is_suspended_once_and_reinstated_only_then() {
    let suspend = || SuspendKey { generation: "windows/1".parse().unwrap(), reason: "r".into() };
    let reinstate = || ReinstateKey { generation: "windows/1".parse().unwrap(), reason: "r".into() };
    asks(&decide(suspend(), &[], None));
    asks(&decide(suspend(), &[], Some("apt")));
    stops(&decide(suspend(), &[], Some("windows")), "Suspended");
    let decision = decide(suspend(), &[], Some("windows"));
    assert_eq!(words(&decision, "Suspended").0, "windows since entry 12: lost");
    asks(&decide(reinstate(), &[], Some("windows")));
    assert_eq!(words(&decide(reinstate(), &[], Some("windows")), "Suspended").0, "windows is suspended");
    for other in [None, Some("apt")] {
        stops(&decide(reinstate(), &[], other), "Suspended");
        assert_eq!(words(&decide(reinstate(), &[], other), "Suspended").0, "windows is not suspended");
    }
    let (settings, staging) = (settings(), Environment::Staging);
    let facts = facts(&settings, staging, windows(staging), issued());
    let unknown = Facts { generation: None::<Generation>, ..facts };
    stops(&SuspendKey::decide(&request(suspend()), &unknown), "Status");
}

#[test]
fn ending_a_grant_and_closing_a_duty_are_agreed_to() {
    asks(&decide(EndGrant { generation: ledger(), grant_id: "g".into() }, &[], None));
    let close = CloseFollowUp {
        generation: ledger(),
        follow_up: "4/kind".into(),
        evidence_name: "report".into(),
        evidence_sha256: crate::model::Hash256::of(b"report"),
    };
    asks(&decide(close, &[], None));
}
