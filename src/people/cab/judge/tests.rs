//! Whose approval counts, for which file, and how often.

use super::super::testing::{approval, time};
use super::*;
use crate::config::policy::Operation;
use crate::people::roster::testing::{Hand, email, four, person, roster};
use crate::people::roster::{Person, SigningKey};
use proptest::prelude::*;

/// A workspace with Dan on the board, and somebody who asks.
struct Scene {
    roster: Roster,
    suspended: BTreeSet<Email>,
    rule: Rule,
    requester: Email,
    acknowledged: Vec<String>,
    now: Time,
    environment: Environment,
    uses: u64,
    is_withdrawn: bool,
}

const DAN: u64 = 4;

impl Scene {
    fn new() -> Self {
        Scene {
            roster: four().0,
            suspended: BTreeSet::new(),
            rule: Operation::ReSign.default_rule(),
            requester: email("carol@example.com"),
            acknowledged: good().conditions,
            now: time("2026-11-24T00:00:00Z"),
            environment: Environment::Production,
            uses: 0,
            is_withdrawn: false,
        }
    }

    fn here(&self) -> Here<'_> {
        Here {
            now: self.now,
            workspace_id: "6f1c2b8e-0000-4000-8000-000000000001",
            origin: "example.corp/keyctl",
            environment: self.environment,
            roster: Some(&self.roster),
            suspended: &self.suspended,
        }
    }

    fn judge(&self, paper: &Paper) -> Result<Holds, String> {
        let artifact = Hash256::of(b"app");
        let question = Question {
            rule: &self.rule,
            requester: &self.requester,
            artifact: &artifact,
            acknowledged: &self.acknowledged,
            uses: self.uses,
            is_withdrawn: self.is_withdrawn,
        };
        judge(paper, &question, &self.here())
    }

    #[track_caller]
    fn refuses(&self, paper: &Paper, words: &str) {
        let why = self.judge(paper).expect_err(words);
        assert!(why.contains(words), "{words:?} is not in {why:?}");
    }
}

fn good() -> CabApproval {
    CabApproval { approver: email("dan@example.com"), requester: None, ..approval() }
}

fn signed_by(hand: &Hand, namespace: &str, approval: CabApproval) -> Paper {
    let signature = hand.sign(namespace, &approval.to_bytes().unwrap());
    Paper::Signed { approval: Box::new(approval), signature }
}

fn by_dan(approval: CabApproval) -> Paper {
    signed_by(&Hand::new(DAN), "keyctl-cab-v1@example.corp/keyctl", approval)
}

#[test]
fn a_good_approval_holds_and_says_which_use_it_is() {
    let mut scene = Scene::new();
    let holds = scene.judge(&by_dan(good())).unwrap();
    assert_eq!((holds.used, holds.expiry), (Some((1, 3)), good().expiry));
    let approver = holds.approver.unwrap();
    assert_eq!((approver.email.as_str(), approver.part), ("dan@example.com", Part::Approver));
    assert_eq!(approver.request_sha256, Hash256::of(&good().to_bytes().unwrap()));
    scene.uses = 2;
    assert_eq!(scene.judge(&by_dan(good())).unwrap().used, Some((3, 3)));
    for uses in [3, 4, u64::MAX] {
        scene.uses = uses;
        scene.refuses(&by_dan(good()), "used up: it was good for 3 signatures");
    }
}

#[test]
fn the_window_is_open_from_its_first_second_to_before_its_last() {
    let mut scene = Scene::new();
    for (now, words) in [
        ("2026-11-23T11:59:59Z", "missing: it holds only from 2026-11-23T12:00:00Z on"),
        ("2026-11-23T12:00:00Z", ""),
        ("2026-11-25T11:59:59Z", ""),
        ("2026-11-25T12:00:00Z", "missing: it expired at 2026-11-25T12:00:00Z"),
    ] {
        scene.now = time(now);
        match words {
            "" => drop(scene.judge(&by_dan(good())).unwrap()),
            words => scene.refuses(&by_dan(good()), words),
        }
    }
}

#[test]
fn an_approval_holds_for_its_own_workspace_and_files() {
    let scene = Scene::new();
    let elsewhere = [
        CabApproval { workspace_id: "another".into(), ..good() },
        CabApproval { origin: "example.com/keyctl".into(), ..good() },
        CabApproval { environment: Environment::Staging, ..good() },
    ];
    for approval in elsewhere {
        scene.refuses(&by_dan(approval), "missing: it is for the");
    }
    let artifacts = [(Hash256::of(b"other"), "app.exe".to_owned())].into();
    scene.refuses(&by_dan(CabApproval { artifacts, ..good() }), "missing: the file is not among its artifacts");
}

#[test]
fn what_is_not_approved_or_is_withdrawn_is_missing() {
    let mut scene = Scene::new();
    for status in Status::ALL.iter().filter(|status| **status != Status::Approved) {
        scene.refuses(&by_dan(CabApproval { status: *status, ..good() }), &format!("missing: it is {status}"));
    }
    scene.is_withdrawn = true;
    scene.refuses(&by_dan(good()), "missing: it was withdrawn");
    let here = scene.here();
    let withdrawal = CabApproval { status: Status::Withdrawn, ..good() };
    assert!(withdraws(&by_dan(withdrawal.clone()), &here));
    assert!(!withdraws(&by_dan(good()), &here), "an approval withdraws nothing");
    let elsewhere = CabApproval { workspace_id: "another".into(), ..withdrawal.clone() };
    assert!(!withdraws(&by_dan(elsewhere), &here));
    let by_carol = CabApproval { approver: email("carol@example.com"), ..withdrawal.clone() };
    let carol = Hand::new(3);
    assert!(!withdraws(&signed_by(&carol, "keyctl-cab-v1@example.corp/keyctl", by_carol), &here));
    assert!(!withdraws(&signed_by(&carol, "keyctl-cab-v1@example.corp/keyctl", withdrawal), &here));
}

#[test]
fn every_condition_is_acknowledged_word_for_word() {
    let mut scene = Scene::new();
    for said in [vec![], vec!["only during the maintenance window.".to_owned()], vec!["Only".to_owned()]] {
        scene.acknowledged = said;
        scene.refuses(&by_dan(good()), "not acknowledged: \"only during the maintenance window\"");
    }
    scene.acknowledged = vec![good().conditions[0].clone(), "more".into()];
    scene.refuses(&by_dan(good()), "no condition of it: \"more\"");
    scene.acknowledged.clear();
    scene.judge(&by_dan(CabApproval { conditions: Vec::new(), ..good() })).unwrap();
}

#[test]
fn only_the_boards_own_hand_counts() {
    const NAMESPACE: &str = "keyctl-cab-v1@example.corp/keyctl";
    let scene = Scene::new();
    // Another's hand under Dan's name; somebody in the roster who is not on the board; nobody of the roster.
    scene.refuses(&signed_by(&Hand::new(3), NAMESPACE, good()), "signed by carol@example.com, not by the approver");
    let carol = CabApproval { approver: email("carol@example.com"), ..good() };
    let anyone = Scene { requester: email("bob@example.com"), ..Scene::new() };
    anyone.refuses(&signed_by(&Hand::new(3), NAMESPACE, carol), "who is no cab-approver");
    scene.refuses(&signed_by(&Hand::new(9), NAMESPACE, good()), "by a key that is nobody's in the roster");
    // Another meaning, another organisation.
    for namespace in ["keyctl-approval-v1@example.corp/keyctl", "keyctl-cab-v1@example.com/keyctl", "file"] {
        scene.refuses(&signed_by(&Hand::new(DAN), namespace, good()), "its signature does not count: is for");
    }
    // Over something else.
    let Paper::Signed { signature, .. } = by_dan(good()) else { unreachable!() };
    let more = Box::new(CabApproval { count: 4, ..good() });
    scene.refuses(&Paper::Signed { approval: more, signature }, "is not over these bytes");
    scene.refuses(&Paper::Signed { approval: Box::new(good()), signature: "AAAA".into() }, "does not count");
}

#[test]
fn who_approves_does_not_ask() {
    for requester in ["dan@example.com", "Dan@Example.com"] {
        let scene = Scene { requester: email(requester), ..Scene::new() };
        scene.refuses(&by_dan(good()), "the requester never approves");
    }
}

#[test]
fn a_suspended_person_or_a_key_out_of_its_time_approves_nothing() {
    let mut scene = Scene::new();
    scene.suspended.insert(email("dan@example.com"));
    scene.refuses(&by_dan(good()), "dan@example.com is suspended");
    let mut scene = Scene::new();
    let dan = scene.roster.people.get_mut(&email("dan@example.com")).unwrap();
    dan.keys[0].valid_to = Some(time("2026-11-24T00:00:00Z"));
    scene.refuses(&by_dan(good()), "the key counted until 2026-11-24T00:00:00Z");
    scene.now -= chrono::TimeDelta::seconds(1);
    scene.judge(&by_dan(good())).unwrap();
    let here = Here { roster: None, ..scene.here() };
    let question = Question {
        rule: &scene.rule,
        requester: &scene.requester,
        artifact: &Hash256::of(b"app"),
        acknowledged: &scene.acknowledged,
        uses: 0,
        is_withdrawn: false,
    };
    assert!(judge(&by_dan(good()), &question, &here).unwrap_err().contains("no roster"));
}

#[test]
fn a_security_key_has_to_be_touched() {
    let touched = Hand::security_key(7);
    let mut scene = Scene::new();
    scene.roster.people.insert(email("dan@example.com"), person("Dan", &[Role::CabApprover], &[&touched]));
    let sign = |hand: &Hand| signed_by(hand, "keyctl-cab-v1@example.corp/keyctl", good());
    assert!(scene.judge(&sign(&touched)).unwrap().approver.unwrap().user_present);
    scene.refuses(&sign(&touched.with_flags(0)), "was not touched");
}

#[test]
fn the_unsigned_file_is_good_for_nothing_in_production() {
    let entry = UnsignedApproval {
        approval_id: "cab-1".parse().unwrap(),
        status: "approved".into(),
        expiry: time("2026-11-25T12:00:00Z"),
        conditions: vec!["a".into()],
    };
    let paper = |entry: &UnsignedApproval| Paper::Unsigned { approval: entry.clone() };
    let mut scene = Scene { acknowledged: vec!["a".into()], ..Scene::new() };
    scene.refuses(&paper(&entry), "unauthenticated");
    for environment in [Environment::Staging, Environment::Sandbox] {
        scene.environment = environment;
        let holds = scene.judge(&paper(&entry)).unwrap();
        assert_eq!((holds.approver, holds.used), (None, None));
        for status in ["APPROVED", "pending", "withdrawn", "approved by telephone"] {
            let entry = UnsignedApproval { status: status.into(), ..entry.clone() };
            scene.refuses(&paper(&entry), &format!("missing: it is {status}"));
        }
    }
    scene.now = entry.expiry;
    scene.refuses(&paper(&entry), "missing: it expired");
}

/// Each way in which something can be wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Hand,
    Namespace,
    Bytes,
    Role,
    Suspended,
    KeyTime,
    Requester,
    Workspace,
    Environment,
    Status,
    Withdrawn,
    Early,
    Late,
    File,
    Uses,
    Condition,
}

const WRONGS: [Wrong; 16] = {
    use Wrong::*;
    [
        Hand,
        Namespace,
        Bytes,
        Role,
        Suspended,
        KeyTime,
        Requester,
        Workspace,
        Environment,
        Status,
        Withdrawn,
        Early,
        Late,
        File,
        Uses,
        Condition,
    ]
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Among any number of good things, one wrong thing is enough; and without one it holds.
    #[test]
    fn one_wrong_thing_is_enough(
        wrongs in proptest::sample::subsequence(WRONGS.to_vec(), 0..5),
        seed in 10u64..1000,
        count in 1u32..=10_000,
        others in 0usize..4,
    ) {
        let is = |wanted: fn(&Wrong) -> bool| wrongs.iter().any(wanted);
        let (hand, mut scene) = (Hand::new(seed), Scene::new());
        let role = if is(|w| matches!(w, Wrong::Role)) { Role::Publisher } else { Role::CabApprover };
        let mut erin: Person = person("Erin", &[role], &[&hand]);
        if is(|w| matches!(w, Wrong::KeyTime)) {
            erin.keys[0] = SigningKey { valid_from: Some(scene.now + chrono::TimeDelta::seconds(1)), ..erin.keys[0].clone() };
        }
        let people = (0..others).map(|n| (format!("p{n}@example.com"), Hand::new(2000 + n as u64)));
        let people: Vec<_> = people.map(|(name, hand)| (name, person("P", &[Role::CabApprover], &[&hand]))).collect();
        scene.roster = roster(people.iter().map(|(name, person)| (name.as_str(), person.clone())).chain([("erin@example.com", erin)]).collect());
        let mut approval = CabApproval { approver: email("erin@example.com"), count, ..good() };
        scene.uses = u64::from(count) - 1;
        for wrong in &wrongs {
            match wrong {
                Wrong::Suspended => drop(scene.suspended.insert(email("erin@example.com"))),
                Wrong::Requester => scene.requester = email("erin@example.com"),
                Wrong::Workspace => approval.workspace_id.push('x'),
                Wrong::Environment => scene.environment = Environment::Staging,
                Wrong::Status => approval.status = Status::Rejected,
                Wrong::Withdrawn => scene.is_withdrawn = true,
                Wrong::Early => approval.not_before = scene.now + chrono::TimeDelta::seconds(1),
                Wrong::Late => scene.now = approval.expiry,
                Wrong::File => approval.artifacts = [(Hash256::of(b"other"), "app.exe".to_owned())].into(),
                Wrong::Uses => scene.uses += 1,
                Wrong::Condition => scene.acknowledged.clear(),
                Wrong::Hand | Wrong::Namespace | Wrong::Bytes | Wrong::Role | Wrong::KeyTime => {}
            }
        }
        let signer = if is(|w| matches!(w, Wrong::Hand)) { Hand::new(seed + 5000) } else { hand };
        let namespace = if is(|w| matches!(w, Wrong::Namespace)) { "keyctl-request-v1" } else { "keyctl-cab-v1" };
        let mut paper = signed_by(&signer, &format!("{namespace}@example.corp/keyctl"), approval);
        if let (true, Paper::Signed { approval, .. }) = (is(|w| matches!(w, Wrong::Bytes)), &mut paper) {
            approval.ticket = None;
        }
        let judged = scene.judge(&paper);
        prop_assert_eq!(judged.is_ok(), wrongs.is_empty(), "{:?} {:?}", wrongs, judged);
    }
}
