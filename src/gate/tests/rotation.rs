//! What the gate looks up about rotations.

use super::*;
use crate::keys::rotation::{Link, certificate_file, link_file};
use crate::ledger::alerts::RotationFailed;
use crate::model::Hash256;
use crate::policy::facts::RotationFacts;
use crate::request::{ActivateKey, LinkRoots, TestKey};

fn alert() -> NewEntry {
    let alert = RotationFailed {
        key: "windows".parse().unwrap(),
        generation: None,
        active: Some(acts::id("windows/1")),
        state: None,
        error_class: "transient".into(),
        code: "token_not_present".into(),
        message: "gone".into(),
        deadline: crate::clock::parse("2026-01-03T03:04:05Z").unwrap(),
    };
    testing::new_entry(RotationFailed::ENTRY, serde_json::to_value(alert).unwrap())
}

fn act<O: Operation>(test: &mut testing::Test, request: &Request<O>, done: Value) {
    let intent = test.add(acts::intent(request));
    test.add(acts::done(&intent, done));
}

#[test]
fn the_failure_that_nothing_was_validated_after_counts_first() {
    let mut test = testing::ledger(13);
    let failure =
        |test: &testing::Test| rotation_failure(test.ledger.connection(), &"windows".parse().unwrap()).unwrap();
    assert_eq!(failure(&test), None);
    let first = test.add(alert()).seq;
    let known = failure(&test).unwrap();
    assert_eq!((known.seq, known.is_validated), (first, false));
    let validates = TestKey { generation: acts::id("windows/1"), certificate: "ab".repeat(32), nonce: "00".into() };
    act(&mut test, &acts::request("windows/1", validates, Vec::new()), json!({}));
    let known = failure(&test).unwrap();
    assert_eq!((known.seq, known.is_validated), (first, true));
    let second = test.add(alert()).seq;
    let known = failure(&test).unwrap();
    assert_eq!((known.seq, known.is_validated), (second, false), "one that was validated hides no other");
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

/// `root/1` is active, `root/2` and `root/3` have certificates.
fn roots() -> testing::Test {
    let mut test = hierarchy();
    for (n, name) in [(4, "root/2"), (5, "root/3")] {
        let keygen = acts::keygen(name, Purpose::RootCa, KeyAlgorithm::EcdsaP256, "primary");
        let identity = acts::identity(&acts::p256(n), &keygen.params);
        act(&mut test, &keygen, json!({ "identity": identity }));
        let serial = format!("0{n}");
        let certificate = format!("certificate {n}").into();
        let credential = acts::credential(certificate, &serial, ["CN=x", "CN=x"], Some(acts::id(name)));
        act(&mut test, &acts::issue(name, name, &serial), json!({ "credential": credential }));
    }
    test
}

/// What the takeover by `root/2` would be decided on.
fn takeover(test: &mut testing::Test) -> RotationFacts {
    let params = ActivateKey {
        generation: acts::id("root/2"),
        predecessor: Some(acts::id("root/1")),
        publisher_change: false,
        keyring_sha256: None,
        reason: "r".into(),
    };
    facts(test, &acts::request("root/2", params, Vec::new()), |facts| facts.rotation.clone())
}

#[test]
fn only_links_between_these_two_roots_count() {
    let mut test = roots();
    let add = |test: &mut testing::Test, subject: &str, issuer: &str, serial: &str| {
        let credential =
            acts::credential(format!("link {serial}").into(), serial, ["CN=x", "CN=x"], Some(acts::id(issuer)));
        act(test, &link(subject, issuer, serial), json!({ "credential": credential }));
    };
    for (n, (subject, issuer)) in
        [("root/3", "root/1"), ("root/1", "root/3"), ("root/3", "root/2"), ("root/2", "root/3")].into_iter().enumerate()
    {
        add(&mut test, subject, issuer, &format!("1{n}"));
        assert!(takeover(&mut test).links.is_empty(), "{subject} by {issuer}");
    }
    add(&mut test, "root/2", "root/1", "20");
    assert_eq!(takeover(&mut test).links, [Link::NewWithOld].into());
    add(&mut test, "root/1", "root/2", "21");
    assert_eq!(takeover(&mut test).links, [Link::NewWithOld, Link::OldWithNew].into());
}

#[test]
fn a_root_is_published_with_both_of_its_links() {
    let mut test = roots();
    let (new, old) = (acts::id("root/2"), acts::id("root/1"));
    let publish = |test: &mut testing::Test, name: String| {
        let files = BTreeMap::from([(name, Hash256([1; 32]))]);
        let params = PublishMetadata { generation: acts::id("root/2"), files };
        act(test, &acts::request("root/2", params, Vec::new()), json!({}));
        takeover(test).is_published
    };
    assert!(!takeover(&mut test).is_published);
    assert!(!publish(&mut test, certificate_file(&new)));
    assert!(!publish(&mut test, link_file(&new, &old)));
    assert!(publish(&mut test, link_file(&old, &new)));
}
