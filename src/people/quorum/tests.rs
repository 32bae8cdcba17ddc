mod conditions;
mod openssh;
mod tricks;

use super::*;
use crate::config::policy::{Operation, Policy};
use crate::people::request::tests::example;
use crate::people::roster::testing::{Hand, email, four, person, roster};

/// A workspace with people, a request in it, and what holds when it is counted.
struct Scene {
    roster: Roster,
    suspended: BTreeSet<Email>,
    request: ApprovalRequest,
    rule: Rule,
    now: Time,
}

impl Scene {
    /// Carol asks to rotate: it takes two people and a security reviewer.
    fn new() -> (Scene, [Hand; 4]) {
        let (roster, hands) = four();
        let scene = Scene::of(roster, "carol@example.com", &hands[2], Policy::default().rule(Operation::Rotate));
        (scene, hands)
    }

    fn of(roster: Roster, requester: &str, hand: &Hand, rule: Rule) -> Scene {
        let mut request = example();
        request.requester.email = email(requester);
        request.requester.key_sha256 = fingerprint(hand);
        request.roster = roster.reference().unwrap();
        let now = request.created_at + TimeDelta::hours(1);
        Scene { roster, suspended: BTreeSet::new(), request, rule, now }
    }

    fn bytes(&self) -> Vec<u8> {
        self.request.to_bytes().unwrap()
    }

    fn signed(&self, hand: &Hand, namespace: Namespace) -> String {
        hand.sign(&namespace.of(&self.request.origin), &self.bytes())
    }

    fn approval(&self, hand: &Hand) -> String {
        self.signed(hand, Namespace::Approval)
    }

    fn in_force<'a>(&'a self, example: &'a ApprovalRequest) -> InForce<'a> {
        InForce {
            workspace_id: &example.workspace_id,
            origin: &example.origin,
            environment: example.environment,
            genesis_sha256: example.genesis_sha256,
            settings_sha256: example.settings_sha256,
            roster: &self.roster,
            suspended: &self.suspended,
            now: self.now,
        }
    }

    fn count(&self, requester: Option<&str>, approvals: &[String]) -> Result<Counted> {
        let (bytes, example) = (self.bytes(), example());
        count(&Ballot { bytes: &bytes, requester, approvals }, &self.rule, &self.in_force(&example))
    }

    /// With the requester's own signature.
    fn counted(&self, requester: &Hand, approvals: &[String]) -> Counted {
        self.count(Some(&self.signed(requester, Namespace::Request)), approvals).unwrap()
    }
}

fn fingerprint(hand: &Hand) -> Hash256 {
    hand.line().parse::<crate::crypto::ssh::PublicKey>().unwrap().fingerprint()
}

fn who(counted: &Counted) -> Vec<&str> {
    counted.participants.iter().map(|participant| participant.email.as_str()).collect()
}

fn why(counted: &Counted) -> String {
    counted.ignored.iter().map(|ignored| format!("{} {}", ignored.rule, ignored.why)).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_proven_requester_and_a_reviewer_are_two_people() {
    let (scene, [alice, bob, carol, _]) = Scene::new();
    let counted = scene.counted(&carol, &[scene.approval(&alice)]);
    assert!(counted.is_enough());
    assert_eq!(who(&counted), ["carol@example.com", "alice@example.com"]);
    assert_eq!(counted.missing.to_string(), "nothing");
    assert_eq!(counted.requester().unwrap().roles, [Role::PackagingEngineer].into());
    let record = &counted.participants[1];
    assert_eq!((record.part, record.security_key), (Part::Approver, false));
    assert_eq!(record.request_sha256, Hash256::of(&scene.bytes()));
    assert_eq!(record.public_key, alice.line());

    // Two people, but no reviewer among them.
    let counted = scene.counted(&carol, &[scene.approval(&bob)]);
    assert!(!counted.is_enough());
    assert_eq!(counted.missing.to_string(), "a security-reviewer");
    assert_eq!(counted.missing.candidates, [email("alice@example.com")].into());
    assert_eq!(scene.counted(&carol, &[]).missing.to_string(), "a security-reviewer");
}

#[test]
fn without_the_requesters_signature_nothing_is_enough() {
    let (scene, [alice, bob, carol, _]) = Scene::new();
    let approvals = [scene.approval(&alice), scene.approval(&bob)];
    let counted = scene.count(None, &approvals).unwrap();
    assert!(counted.has_people() && !counted.is_enough());
    assert_eq!(counted.missing.to_string(), "the requester's own signature");
    // Somebody else's signature that Carol asks, or hers with the wrong meaning, shows nothing.
    for wrong in [scene.signed(&bob, Namespace::Request), scene.approval(&carol), "nonsense".to_owned()] {
        let counted = scene.count(Some(&wrong), &approvals).unwrap();
        assert!(!counted.is_enough(), "{}", why(&counted));
        assert_eq!(counted.ignored.len(), 1);
    }
}

#[test]
fn who_asks_without_a_fitting_role_asks_and_does_not_count() {
    let (mut scene, [alice, bob, _, dan]) = Scene::new();
    scene.request.requester.email = email("dan@example.com");
    scene.request.requester.key_sha256 = fingerprint(&dan);
    let counted = scene.counted(&dan, &[scene.approval(&alice)]);
    assert!(!counted.is_enough());
    assert_eq!(counted.missing.to_string(), "1 more person");
    assert!(!counted.requester().unwrap().counts());
    assert!(scene.counted(&dan, &[scene.approval(&alice), scene.approval(&bob)]).is_enough());
}

#[test]
fn an_auditor_does_not_ask() {
    let hands = [1, 2, 3].map(Hand::new);
    let people = vec![
        ("a@x", person("A", &[Role::SecurityReviewer], &[&hands[0]])),
        ("b@x", person("B", &[Role::PlatformAdmin], &[&hands[1]])),
        ("c@x", person("C", &[Role::Auditor], &[&hands[2]])),
    ];
    let scene = Scene::of(roster(people), "c@x", &hands[2], Policy::default().rule(Operation::Adopt));
    let counted = scene.counted(&hands[2], &[scene.approval(&hands[0]), scene.approval(&hands[1])]);
    assert!(!counted.is_enough());
    assert_eq!(why(&counted), "D2 an auditor only reads");
}

#[test]
fn a_security_key_counts_when_it_was_touched() {
    let (mut scene, [_, _, carol, _]) = Scene::new();
    let sk = Hand::security_key(50);
    scene.roster.people.get_mut(&email("alice@example.com")).unwrap().keys[0].public_key = sk.line();
    scene.request.roster = scene.roster.reference().unwrap();
    for (flags, verified) in [(1, false), (5, true)] {
        let counted = scene.counted(&carol, &[scene.approval(&sk.with_flags(flags))]);
        assert!(counted.is_enough(), "{}", why(&counted));
        let record = &counted.participants[1];
        assert!(record.security_key && record.user_present);
        assert_eq!(record.user_verified, verified);
    }
    for flags in [0, 4] {
        let counted = scene.counted(&carol, &[scene.approval(&sk.with_flags(flags))]);
        assert!(!counted.is_enough());
        assert_eq!(why(&counted), "D4 the security key was not touched");
    }
}

#[test]
fn a_request_is_for_one_workspace_as_it_is() {
    let (scene, [alice, _, carol, _]) = Scene::new();
    let (bytes, approvals) = (scene.bytes(), [scene.approval(&alice)]);
    let requester = scene.signed(&carol, Namespace::Request);
    let ballot = Ballot { bytes: &bytes, requester: Some(&requester), approvals: &approvals };
    let mut next = scene.roster.clone();
    next.version = 2;
    let example = example();
    let here = scene.in_force(&example);
    let other = Hash256([9; 32]);
    let cases = [
        ("request_elsewhere", InForce { workspace_id: "another", ..here }),
        ("request_elsewhere", InForce { origin: "example.corp/other", ..here }),
        ("request_elsewhere", InForce { environment: Environment::Production, ..here }),
        ("request_elsewhere", InForce { genesis_sha256: Some(other), ..here }),
        ("request_elsewhere", InForce { genesis_sha256: None, ..here }),
        ("request_outdated", InForce { settings_sha256: other, ..here }),
        ("request_outdated", InForce { roster: &next, ..here }),
        ("request_future", InForce { now: scene.request.created_at - TimeDelta::seconds(1), ..here }),
        ("request_expired", InForce { now: scene.request.not_after, ..here }),
    ];
    assert!(count(&ballot, &scene.rule, &here).unwrap().is_enough());
    for (code, elsewhere) in cases {
        assert_eq!(count(&ballot, &scene.rule, &elsewhere).unwrap_err().code(), code);
    }
    let last = InForce { now: scene.request.not_after - TimeDelta::seconds(1), ..here };
    assert!(count(&ballot, &scene.rule, &last).is_ok());
    let short = Rule { max_age_hours: 1, ..scene.rule.clone() };
    assert_eq!(count(&ballot, &short, &here).unwrap_err().code(), "request_expired", "the policy may be stricter");
}

#[test]
fn a_request_waits_for_its_time() {
    let (mut scene, [alice, _, carol, _]) = Scene::new();
    scene.request.not_before = scene.now + TimeDelta::seconds(1);
    let signed = scene.signed(&carol, Namespace::Request);
    let approvals = [scene.approval(&alice)];
    assert_eq!(scene.count(Some(&signed), &approvals).unwrap_err().code(), "request_too_early");
    scene.now += TimeDelta::seconds(1);
    assert!(scene.count(Some(&signed), &approvals).unwrap().is_enough());
}

#[test]
fn a_changed_byte_undoes_every_signature() {
    let (scene, [alice, _, carol, _]) = Scene::new();
    let (requester, approvals) = (scene.signed(&carol, Namespace::Request), [scene.approval(&alice)]);
    let text = String::from_utf8(scene.bytes()).unwrap();
    let changed = text.replace("\"count\":1", "\"count\":2").into_bytes();
    let example = example();
    let ballot = Ballot { bytes: &changed, requester: Some(&requester), approvals: &approvals };
    let counted = count(&ballot, &scene.rule, &scene.in_force(&example)).unwrap();
    assert_eq!(why(&counted), "D4 is not over these bytes; D4 is not over these bytes");
    assert!(counted.participants.is_empty());
    let twice = text.replace("\"count\":1", "\"count\":1,\"count\":1").into_bytes();
    let ballot = Ballot { bytes: &twice, ..ballot };
    assert_eq!(count(&ballot, &scene.rule, &scene.in_force(&example)).unwrap_err().code(), "bad_request");
}

#[test]
fn new_members_prove_their_keys_and_count_for_the_new_roster() {
    let (scene, [alice, bob, carol, _]) = Scene::new();
    let mut next = scene.roster.clone();
    next.version = 2;
    // Alice changes her key; Carol leaves.
    let new = Hand::new(70);
    next.people.get_mut(&email("alice@example.com")).unwrap().keys[0].public_key = new.line();
    next.people.remove(&email("carol@example.com"));
    let key: crate::crypto::ssh::PublicKey = new.line().parse().unwrap();
    let (bytes, origin) = (scene.bytes(), &scene.request.origin);
    let rule = Policy::default().rule(Operation::Roster);
    let requester = scene.signed(&carol, Namespace::Request);
    let count_new = |approvals: &[String]| {
        let ballot = Ballot { bytes: &bytes, requester: Some(&requester), approvals };
        let people = Electorate { roster: &next, suspended: &scene.suspended, now: scene.now };
        count_in_new_roster(&ballot, &rule, &people).unwrap()
    };
    let old_hand = [scene.approval(&alice), scene.approval(&bob)];
    assert!(!count_new(&old_hand).has_people(), "the old key is nobody's in the new roster");
    let both = [scene.approval(&alice), scene.approval(&bob), scene.signed(&new, Namespace::Roster)];
    let counted = count_new(&both);
    assert!(counted.has_people(), "{}", why(&counted));

    let (left, proofs) = proofs_of_possession(&bytes, origin, std::slice::from_ref(&key), &both);
    assert_eq!((left.len(), proofs), (0, vec![both[2].clone()]));
    // An approval is no proof of possession, nor is a proof for other bytes or by another key.
    let other = new.sign(&Namespace::Roster.of(origin), b"other");
    for wrong in [scene.approval(&new), other, scene.signed(&alice, Namespace::Roster)] {
        assert_eq!(
            proofs_of_possession(&bytes, origin, std::slice::from_ref(&key), &[wrong]).0,
            std::slice::from_ref(&key)
        );
    }
}

#[test]
fn people_of_an_earlier_workspace_consent_without_a_requester() {
    let (scene, [alice, bob, carol, _]) = Scene::new();
    let rule = Policy::default().rule(Operation::Roster);
    let people = Electorate { roster: &scene.roster, suspended: &scene.suspended, now: scene.now };
    let count = |approvals: &[String]| consent(b"a founding", "old/log", approvals, &rule, &people);
    let sign = |hand: &Hand| hand.sign("keyctl-approval-v1@old/log", b"a founding");
    assert!(count(&[sign(&alice), sign(&bob)]).is_enough());
    assert_eq!(count(&[sign(&alice), sign(&alice)]).missing.to_string(), "1 more person");
    assert_eq!(count(&[sign(&bob), sign(&carol)]).missing.to_string(), "a security-reviewer");
    assert!(!count(&[sign(&alice), bob.sign("keyctl-approval-v1@new/log", b"a founding")]).is_enough());
}
