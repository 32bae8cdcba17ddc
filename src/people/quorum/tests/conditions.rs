//! Each condition of counting by itself.

use super::*;
use crate::people::request::Step;
use serde_json::json;

#[test]
fn who_asks_does_so_with_the_key_that_the_request_names() {
    let (mut scene, [alice, bob, carol, _]) = Scene::new();
    let second = Hand::new(40);
    let keys = person("Carol", &[Role::PackagingEngineer], &[&carol, &second]).keys;
    scene.roster.people.get_mut(&email("carol@example.com")).unwrap().keys = keys;
    scene.request.roster = scene.roster.reference().unwrap();
    let approvals = [scene.approval(&alice)];
    assert!(scene.counted(&carol, &approvals).is_enough());
    // Carol's other key is hers, and yet another than she asked with.
    let counted = scene.counted(&second, &approvals);
    assert!(!counted.is_enough() && counted.requester().is_none());
    assert_eq!(why(&counted), "D3 does not show that carol@example.com asks");
    // Bob's key, named in the request as Carol's, is not hers.
    scene.request.requester.key_sha256 = fingerprint(&bob);
    let counted = scene.counted(&bob, &[scene.approval(&alice)]);
    assert!(counted.requester().is_none());
    assert_eq!(why(&counted), "D3 does not show that carol@example.com asks");
}

#[test]
fn one_person_with_two_keys_approves_once() {
    let (mut scene, [alice, _, carol, _]) = Scene::new();
    let second = Hand::new(41);
    let keys = person("Alice", &[Role::SecurityReviewer], &[&alice, &second]).keys;
    scene.roster.people.get_mut(&email("alice@example.com")).unwrap().keys = keys;
    scene.request.roster = scene.roster.reference().unwrap();
    scene.rule.threshold = 3;
    let counted = scene.counted(&carol, &[scene.approval(&alice), scene.approval(&second)]);
    assert_eq!(who(&counted), ["carol@example.com", "alice@example.com"]);
    assert_eq!(why(&counted), "D2 a person counts once, however many keys they have");
    assert_eq!(counted.missing.to_string(), "1 more person");
    // Who asks does not approve, not even where their own request did not count.
    let approvals = [scene.approval(&alice), scene.approval(&carol)];
    let counted = scene.count(None, &approvals).unwrap();
    assert_eq!(who(&counted), ["alice@example.com"]);
    assert_eq!(why(&counted), "D2 the requester never approves");
}

#[test]
fn what_is_missing_of_any_kind_is_not_enough() {
    let good = Counted { participants: Vec::new(), ignored: Vec::new(), missing: Missing::default(), succession: None };
    assert!(good.is_enough() && good.has_people());
    let with = |change: fn(&mut Missing)| {
        let mut counted = good.clone();
        change(&mut counted.missing);
        (counted.is_enough(), counted.has_people(), counted.missing.to_string())
    };
    assert_eq!(with(|it| it.requester = true), (false, true, "the requester's own signature".into()));
    assert_eq!(with(|it| it.people = 1), (false, false, "1 more person".into()));
    assert_eq!(with(|it| it.people = 2), (false, false, "2 more people".into()));
    let reviewer = |it: &mut Missing| it.roles = [Role::SecurityReviewer].into();
    assert!(!with(|it| it.roles = [Role::SecurityReviewer].into()).0);
    assert!(!with(|it| it.roles = [Role::SecurityReviewer].into()).1);
    let mut both = Missing { people: 1, ..Missing::default() };
    reviewer(&mut both);
    assert_eq!(both.to_string(), "a security-reviewer");
    both.people = 2;
    assert_eq!(both.to_string(), "2 more people, among them a security-reviewer");
    both.requester = true;
    assert!(both.to_string().starts_with("the requester's own signature, and 2 more people"));
    assert_eq!(with(|it| it.succession = vec!["x".into()]), (false, true, "x".into()));
    assert_eq!(Missing::default().to_string(), "nothing");
}

#[test]
fn who_could_still_sign_is_who_would_count() {
    let (mut scene, [alice, _, carol, _]) = Scene::new();
    let add = |scene: &mut Scene, address: &str, role: Role, seed: u64| {
        scene.roster.people.insert(email(address), person("P", &[role], &[&Hand::new(seed)]));
    };
    add(&mut scene, "eve@example.com", Role::SecurityReviewer, 51);
    add(&mut scene, "finn@example.com", Role::SecurityReviewer, 52);
    add(&mut scene, "gus@example.com", Role::SecurityReviewer, 53);
    add(&mut scene, "hal@example.com", Role::CabApprover, 54);
    scene.suspended.insert(email("finn@example.com"));
    let gus = scene.roster.people.get_mut(&email("gus@example.com")).unwrap();
    gus.keys[0].valid_to = Some(scene.now);
    scene.request.roster = scene.roster.reference().unwrap();
    scene.rule.threshold = 4;
    let counted = scene.counted(&carol, &[scene.approval(&alice)]);
    // Not who asks, nor who approved, nor who is suspended, nor whose key ran out, nor whose role is another.
    let left: Vec<_> = counted.missing.candidates.iter().map(Email::as_str).collect();
    assert_eq!(left, ["bob@example.com", "eve@example.com"]);
    scene.rule.threshold = 2;
    assert_eq!(scene.counted(&carol, &[scene.approval(&alice)]).missing.candidates, BTreeSet::new());
    // Where nobody asks, everyone with a role for it may.
    let people = Electorate { roster: &scene.roster, suspended: &scene.suspended, now: scene.now };
    let none = consent(b"x", "old/log", &[], &scene.rule, &people);
    assert!(none.missing.candidates.contains(&email("carol@example.com")));
    assert!(!none.missing.requester);
}

#[test]
fn a_key_counts_from_its_first_second_to_before_its_last() {
    let (mut scene, [alice, _, carol, _]) = Scene::new();
    let now = scene.now;
    let second = TimeDelta::seconds(1);
    let mut counted = |from: Option<Time>, to: Option<Time>| {
        let key = &mut scene.roster.people.get_mut(&email("alice@example.com")).unwrap().keys[0];
        (key.valid_from, key.valid_to) = (from, to);
        scene.request.roster = scene.roster.reference().unwrap();
        why(&scene.counted(&carol, &[scene.approval(&alice)]))
    };
    assert_eq!(counted(Some(now), None), "");
    assert_eq!(counted(None, Some(now + second)), "");
    assert_eq!(counted(Some(now), Some(now + second)), "");
    assert_eq!(counted(Some(now + second), None), "D1 the key counts only from 2026-06-01T09:00:01Z on");
    assert_eq!(counted(None, Some(now)), "D1 the key counted until 2026-06-01T09:00:00Z");
    assert_eq!(counted(Some(now - second), Some(now)), "D1 the key counted until 2026-06-01T09:00:00Z");
}

#[test]
fn a_proof_is_by_the_key_itself_and_not_by_its_twin() {
    let (scene, [alice, ..]) = Scene::new();
    let (bytes, origin) = (scene.bytes(), &scene.request.origin);
    let key: crate::crypto::ssh::PublicKey = alice.line().parse().unwrap();
    let prove = |hand: &Hand| {
        proofs_of_possession(&bytes, origin, std::slice::from_ref(&key), &[scene.signed(hand, Namespace::Roster)]).0
    };
    assert_eq!(prove(&alice), []);
    // An authenticator with the same private key is another key.
    assert_eq!(prove(&alice.with_flags(1)), std::slice::from_ref(&key));
}

/// A request that would put this roster in force.
fn adoption(scene: &mut Scene, to: &Roster) {
    let params = AdoptRoster { generation: "ledger/1".parse().unwrap(), from: scene.roster.clone(), to: to.clone() };
    let params = serde_json::to_value(params).unwrap();
    scene.request.steps = vec![Step { operation: ADOPT_ROSTER.into(), object: "roster".into(), params }];
    scene.request.operation = Operation::Roster;
    scene.rule = Policy::default().rule(Operation::Roster);
}

#[test]
fn a_roster_is_agreed_to_by_its_own_people_and_with_each_new_key() {
    let (mut scene, [alice, bob, carol, _]) = Scene::new();
    let mut next = scene.roster.clone();
    next.version = 2;
    adoption(&mut scene, &next);
    let (asks, both) = (|scene: &Scene| scene.signed(&carol, Namespace::Request), [alice.clone(), bob.clone()]);
    let count = |scene: &Scene, more: &[String]| {
        let mut approvals: Vec<_> = both.iter().map(|hand| scene.approval(hand)).collect();
        approvals.extend_from_slice(more);
        scene.count(Some(&asks(scene)), &approvals).unwrap()
    };
    let counted = count(&scene, &[]);
    assert!(counted.is_enough(), "{}", counted.missing);
    assert_eq!(counted.succession.unwrap().proofs, Vec::<String>::new(), "no key is new");

    // Dan changes his key: it takes a proof that he has it.
    let new = Hand::new(60);
    next.people.get_mut(&email("dan@example.com")).unwrap().keys[0].public_key = new.line();
    adoption(&mut scene, &next);
    let counted = count(&scene, &[]);
    assert!(counted.has_people() && !counted.is_enough(), "the people of today agree");
    assert!(counted.missing.to_string().starts_with("proof that dan@example.com has the key SHA256:"));
    let proof = scene.signed(&new, Namespace::Roster);
    assert!(count(&scene, &[proof]).is_enough());

    // A key that passes from one person to another is new to who gets it.
    let mut passed = scene.roster.clone();
    passed.version = 2;
    passed.people.get_mut(&email("dan@example.com")).unwrap().keys[0].public_key = carol.line();
    passed.people.remove(&email("carol@example.com"));
    adoption(&mut scene, &passed);
    let counted = count(&scene, &[]);
    assert!(!counted.is_enough());
    assert!(counted.missing.to_string().starts_with("proof that dan@example.com has the key SHA256:"), "{counted:?}");

    // Who agrees today, and would have no say tomorrow, is not enough.
    let mut without = scene.roster.clone();
    without.version = 2;
    without.people.remove(&email("alice@example.com"));
    adoption(&mut scene, &without);
    let counted = count(&scene, &[]);
    assert!(counted.has_people() && !counted.is_enough());
    assert!(counted.missing.to_string().ends_with("of the new roster"), "{}", counted.missing);
}

#[test]
fn one_request_is_for_one_roster() {
    let (mut scene, _) = Scene::new();
    assert_eq!(scene.request.new_roster().unwrap(), None);
    let next = Roster { version: 2, ..scene.roster.clone() };
    adoption(&mut scene, &next);
    assert_eq!(scene.request.new_roster().unwrap(), Some(next));
    let step = scene.request.steps[0].clone();
    scene.request.steps.push(step);
    assert_eq!(scene.request.new_roster().unwrap_err().code(), "bad_request");
    scene.request.steps.truncate(1);
    scene.request.steps[0].params = json!({});
    assert_eq!(scene.request.new_roster().unwrap_err().code(), "bad_request");
}
