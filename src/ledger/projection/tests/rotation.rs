//! What the acts and alerts of rotations do to the register, and what is refused.

use super::*;
use crate::clock::parse;
use crate::ledger::alerts::{CertificateExpiry, RotationFailed};
use crate::ledger::query::rotation as recorded;
use crate::model::KeyName;
use crate::request::{ActivateKey, LinkRoots, PublishMetadata, ReviewDecision, ReviewKey, TestKey};

fn windows() -> KeyName {
    "windows".parse().unwrap()
}

/// `windows/1` active, `windows/2` staged.
fn ready() -> Log {
    let mut log = Log::founded();
    for (number, last) in [(1, State::Active), (2, State::Staged)] {
        let id = format!("windows/{number}");
        log.make(&id, number);
        log.act(&acts::step(&id, State::Generated, State::Staged), json!({}));
        if last == State::Active {
            log.act(&acts::step(&id, State::Staged, State::Active), json!({}));
        }
    }
    log
}

fn activate(new: &str, old: Option<&str>) -> Request<ActivateKey> {
    let params = ActivateKey {
        generation: acts::id(new),
        predecessor: old.map(acts::id),
        publisher_change: false,
        keyring_sha256: None,
        reason: "rotation".into(),
    };
    acts::request(new, params, Vec::new())
}

#[test]
fn a_takeover_moves_both_in_one_step() {
    let mut log = ready();
    log.act(&activate("windows/2", Some("windows/1")), json!({}));
    assert_eq!((log.state("windows/1"), log.state("windows/2")), (State::Retiring, State::Active));
    let takeovers = recorded::takeovers(&log.tables, &windows()).unwrap();
    assert_eq!(takeovers.len(), 1);
    assert_eq!((takeovers[0].seq, &takeovers[0].generation), (log.entries.len() as u64 - 1, &acts::id("windows/2")));
    assert_eq!(takeovers[0].predecessor, Some(acts::id("windows/1")));
    let id = "c-1".parse().unwrap();
    assert_eq!(recorded::completed_as(&log.tables, &id, &windows()).unwrap().unwrap(), takeovers[0]);
    assert_eq!(recorded::completed_as(&log.tables, &id, &"apt".parse().unwrap()).unwrap(), None);
    assert_eq!(recorded::completed_as(&log.tables, &"c-2".parse().unwrap(), &windows()).unwrap(), None);
    assert_eq!(recorded::all_takeovers(&log.tables).unwrap(), [takeovers[0].seq]);
}

#[test]
fn a_takeover_that_would_leave_two_or_nobody_changes_nothing() {
    for (new, old, code) in [
        ("windows/2", None, "one_active"),
        ("windows/2", Some("windows/2"), "bad_transition"),
        ("windows/2", Some("ledger/1"), "one_active"),
        ("windows/1", Some("windows/2"), "bad_transition"),
        ("windows/9", Some("windows/1"), "unknown_generation"),
        ("windows/2", Some("windows/9"), "unknown_generation"),
    ] {
        let mut log = ready();
        let intent = log.add(acts::intent(&activate(new, old)));
        assert_eq!(log.refuses(acts::done(&intent, json!({}))), code, "{new} from {old:?}");
    }
}

fn failed() -> RotationFailed {
    RotationFailed {
        key: windows(),
        generation: Some(acts::id("windows/2")),
        active: Some(acts::id("windows/1")),
        state: Some(State::Staged),
        error_class: "transient".into(),
        code: "token_not_present".into(),
        message: "gone".into(),
        deadline: parse("2026-01-03T03:04:05Z").unwrap(),
    }
}

fn test_of(id: &str) -> Request<TestKey> {
    let params = TestKey { generation: acts::id(id), certificate: "ab".repeat(32), nonce: "00".repeat(32) };
    acts::request(id, params, Vec::new())
}

#[test]
fn a_failure_is_open_until_a_rotation_is_completed_and_validated_by_a_test() {
    let mut log = ready();
    log.add(new_entry(RotationFailed::ENTRY, serde_json::to_value(failed()).unwrap()));
    let open = |log: &Log| recorded::open_failures(&log.tables, &windows()).unwrap();
    let failure = open(&log).remove(0);
    assert_eq!((failure.alert.clone(), failure.is_validated), (failed(), false));
    assert!(recorded::open_failures(&log.tables, &"apt".parse().unwrap()).unwrap().is_empty());
    log.act(&test_of("windows/2"), json!({}));
    assert!(open(&log)[0].is_validated);
    log.add(new_entry(RotationFailed::ENTRY, serde_json::to_value(failed()).unwrap()));
    assert_eq!(open(&log).iter().map(|failure| failure.is_validated).collect::<Vec<_>>(), [true, false]);
    log.act(&activate("windows/2", Some("windows/1")), json!({}));
    assert!(open(&log).is_empty(), "a completed rotation closes them all");
}

#[test]
fn a_test_counts_for_the_certificate_that_it_was_made_with() {
    let mut log = ready();
    log.act(&test_of("windows/2"), json!({}));
    let tested = |certificate: &str| recorded::tested(&log.tables, &acts::id("windows/2"), certificate).unwrap();
    assert_eq!(tested(&"ab".repeat(32)), Some(log.entries.len() as u64 - 1));
    assert_eq!(tested(&"cd".repeat(32)), None);
}

fn link(subject: &str, issuer: &str, serial: &str) -> Request<LinkRoots> {
    let params = LinkRoots {
        generation: acts::id(subject),
        issuer: acts::id(issuer),
        serial: serial.into(),
        tbs_sha256: Hash256([1; 32]),
        template_sha256: Hash256([2; 32]),
        not_after: crate::clock::parse("2046-01-01T00:00:00Z").unwrap(),
    };
    acts::request(format!("{subject} with {issuer}"), params, Vec::new())
}

#[test]
fn links_reserve_their_serials_and_are_kept_by_subject_and_issuer() {
    let mut log = ready();
    let credential = acts::credential(vec![1], "0a", ["CN=x", "CN=x"], Some(acts::id("windows/1")));
    log.act(&link("windows/2", "windows/1", "0a"), json!({ "credential": credential }));
    let found = recorded::root_links(&log.tables, &windows()).unwrap();
    assert_eq!((&found[0].subject, &found[0].issuer), (&acts::id("windows/2"), &acts::id("windows/1")));
    assert_eq!(found[0].credential, credential);
    assert!(recorded::root_links(&log.tables, &"root".parse().unwrap()).unwrap().is_empty());
    assert_eq!(log.refuses(acts::intent(&link("windows/1", "windows/1", "0a"))), "serial_taken");
    log.add(acts::intent(&link("windows/1", "windows/2", "0a")));
}

#[test]
fn the_newest_publication_and_the_newest_review_count() {
    let mut log = ready();
    let publish = |hash: u8| {
        let files = [("certs/windows-2.pem".to_owned(), Hash256([hash; 32]))].into();
        acts::request("windows/2", PublishMetadata { generation: acts::id("windows/2"), files }, Vec::new())
    };
    log.act(&publish(1), json!({}));
    log.act(&publish(2), json!({}));
    let files = recorded::published_files(&log.tables, &acts::id("windows/2")).unwrap();
    assert_eq!(files, [("certs/windows-2.pem".to_owned(), Hash256([2; 32]))].into());

    let review = |decision, keep_until| {
        let params = ReviewKey { generation: acts::id("windows/1"), decision, keep_until, text: "because".into() };
        acts::request("windows/1", params, Vec::new())
    };
    let until = parse("2027-01-31T00:00:00Z");
    log.act(&review(ReviewDecision::Keep, until), json!({}));
    let found = |log: &Log| recorded::review(&log.tables, &acts::id("windows/1")).unwrap().unwrap();
    assert_eq!((found(&log).decision, found(&log).keep_until), (ReviewDecision::Keep, until));
    log.act(&review(ReviewDecision::Roll, None), json!({}));
    assert_eq!((found(&log).decision, found(&log).keep_until), (ReviewDecision::Roll, None));
    for (decision, day) in [(ReviewDecision::Keep, None), (ReviewDecision::Roll, until)] {
        let intent = log.add(acts::intent(&review(decision, day)));
        assert_eq!(log.refuses(acts::done(&intent, json!({}))), "bad_entry");
    }
}

#[test]
fn an_alert_about_expiry_is_given_once_for_each_threshold() {
    let mut log = ready();
    let alert = |id: &str, days| {
        let expires = parse("2026-05-01T00:00:00Z").unwrap();
        let body = serde_json::to_value(CertificateExpiry { generation: acts::id(id), expires, days }).unwrap();
        new_entry(CertificateExpiry::ENTRY, body)
    };
    log.add(alert("windows/1", 30));
    log.add(alert("windows/1", 14));
    assert_eq!(log.refuses(alert("windows/1", 30)), "alert_given");
    assert_eq!(log.refuses(alert("windows/7", 30)), "unknown_generation");
    assert_eq!(log.refuses(new_entry(CertificateExpiry::ENTRY, json!({}))), "bad_entry");
    assert_eq!(log.refuses(new_entry(RotationFailed::ENTRY, json!({ "key": "windows" }))), "bad_entry");
    let given = recorded::expiry_alerts(&log.tables, &acts::id("windows/1")).unwrap();
    assert_eq!(given.into_iter().collect::<Vec<_>>(), [14, 30]);
}
