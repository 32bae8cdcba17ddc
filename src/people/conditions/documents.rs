//! Requests, foundings, approvals and blocks of text.

use crate::config::policy::Operation;
use crate::crypto::jcs;
use crate::crypto::ssh::MAX_SIGNATURE;
use crate::model::{Hash256, KeyAlgorithm};
use crate::people::approval::armours;
use crate::people::bundle::{self, Bundle};
use crate::people::founding::{Beginning, LedgerKeyPlan, signatures};
use crate::people::request::tests::example;
use crate::people::request::{ApprovalRequest, BreakGlass, LogHead, Step};
use crate::people::roster::testing::{Hand, email, four};
use chrono::TimeDelta;
use serde_json::json;
use std::collections::BTreeMap;

/// Why it is refused, if it is.
fn refused(change: impl FnOnce(&mut ApprovalRequest)) -> Option<String> {
    let mut request = example();
    change(&mut request);
    request.to_bytes().err().map(|error| error.full())
}

#[track_caller]
fn takes(change: impl FnOnce(&mut ApprovalRequest)) {
    assert_eq!(refused(change), None);
}

#[track_caller]
fn says(words: &str, change: impl FnOnce(&mut ApprovalRequest)) {
    let why = refused(change).expect("refused");
    assert!(why.contains(words), "{why}");
}

#[test]
fn each_limit_of_a_request_is_kept_to_the_last() {
    let text = |count: usize| "x".repeat(count);
    takes(|r| r.reason = text(1000));
    says("reason has 1 to 1000", |r| r.reason = text(1001));
    says("reason has 1 to 1000", |r| r.reason = "due ".into());
    for (name, set) in [
        ("workspace_id", (|r, text| r.workspace_id = text) as fn(&mut ApprovalRequest, String)),
        ("object", |r, text| r.object = text),
        ("tool.version", |r, text| r.tool.version = text),
        ("ticket", |r, text| r.ticket = Some(text)),
    ] {
        takes(|r| set(r, text(200)));
        for bad in [text(201), String::new(), " x".into()] {
            says(&format!("{name} has 1 to 200"), |r| set(r, bad));
        }
    }
    takes(|r| r.command = vec!["x".into(); 64]);
    says("command has 1 to 64", |r| r.command = vec!["x".into(); 65]);
    says("command has 1 to 64", |r| r.command.clear());
    let step = example().steps.remove(0);
    takes(|r| r.steps = vec![step.clone(); 64]);
    says("steps has 1 to 64", |r| r.steps = vec![step.clone(); 65]);
    says("steps has 1 to 64", |r| r.steps.clear());
    takes(|r| r.steps[0].operation = text(200));
    takes(|r| r.steps[0].object = text(200));
    says("a step has", |r| r.steps[0].operation = text(201));
    says("a step has", |r| r.steps[0].operation = String::new());
    says("a step has", |r| r.steps[0].object = text(201));
    says("a step has", |r| r.steps[0].object = String::new());
    says("a step has", |r| r.steps[0].params = json!("x"));
    // One good step does not make up for another.
    says("a step has", |r| r.steps.push(Step { object: String::new(), ..step.clone() }));
    says("32 lower-case hex", |r| r.request_id = "g".repeat(32));
    says("32 lower-case hex", |r| r.request_id = "a".repeat(34));
}

#[test]
fn each_condition_on_a_requests_times_stops_it_by_itself() {
    let (made, second) = (example().created_at, TimeDelta::seconds(1));
    takes(|r| r.not_after = made + TimeDelta::hours(24));
    says("24 hours", |r| r.not_after = made + TimeDelta::hours(24) + second);
    takes(|r| (r.not_before, r.not_after) = (made + second, made + second + second));
    says("follow each other", |r| (r.not_before, r.not_after) = (made + second, made + second));
    says("follow each other", |r| r.not_before = made - second);
}

#[test]
fn break_glass_says_what_happened_and_why_and_is_for_keys() {
    let glass = |incident: &str, why: &str, operation: Operation| {
        let broken = BreakGlass { incident: incident.into(), justification: why.into() };
        move |r: &mut ApprovalRequest| {
            r.break_glass = Some(broken);
            r.operation = operation;
            r.not_after = r.created_at + TimeDelta::hours(4);
        }
    };
    for &operation in Operation::ALL {
        use Operation::{Compromise, Keygen, KeygenCa, Revoke, Rotate, RotateCa};
        let why = refused(glass("INC-1", "it is out", operation));
        let allowed = matches!(operation, KeygenCa | Keygen | RotateCa | Rotate | Revoke | Compromise);
        assert_eq!(why.is_none(), allowed, "{operation}: {why:?}");
    }
    let (long, longer) = ("x".repeat(200), "x".repeat(201));
    takes(glass(&long, &"x".repeat(1000), Operation::Rotate));
    says("an incident and a justification", glass(&longer, "it is out", Operation::Rotate));
    says("an incident and a justification", glass("INC-1", "", Operation::Rotate));
    says("an incident and a justification", glass("INC-1", &"x".repeat(1001), Operation::Rotate));
}

fn founding() -> ApprovalRequest {
    let roster = four().0;
    let settings = json!({ "schema": "keyctl.settings/v1" });
    let mut request = example();
    request.genesis_sha256 = None;
    request.operation = Operation::Roster;
    request.subjects.clear();
    request.log_head = LogHead { size: 0, root: Hash256::of(b"") };
    request.roster = roster.reference().unwrap();
    request.settings_sha256 = Hash256::of(&jcs::to_vec(&settings).unwrap());
    let plan = LedgerKeyPlan {
        generation: "ledger/1".parse().unwrap(),
        algorithm: KeyAlgorithm::Ed25519,
        hsm: "root".parse().unwrap(),
        token_serial: "01".into(),
    };
    let beginning = Beginning { settings, roster, tokens: BTreeMap::new(), ledger_keys: vec![plan], earlier: None };
    request.steps = vec![beginning.step(&request.workspace_id).unwrap()];
    request
}

#[test]
fn a_founding_founds_its_workspace_on_nothing() {
    Beginning::of(&founding()).unwrap();
    let refused = |words: &str, change: fn(&mut ApprovalRequest)| {
        let mut request = founding();
        change(&mut request);
        let error = Beginning::of(&request).unwrap_err();
        assert_eq!(error.code(), "bad_founding");
        assert!(error.message().contains(words), "{error}");
    };
    refused("does not found its workspace", |r| r.steps[0].operation = "keygen".into());
    refused("does not found its workspace", |r| r.steps[0].object = "another".into());
    refused("has not the one step", |r| r.steps.clear());
    refused("contradicts itself", |r| r.log_head.root = Hash256::of(b"x"));
    refused("contradicts itself", |r| r.roster.sha256 = Hash256::of(b"x"));
    refused("contradicts itself", |r| r.genesis_sha256 = Some(Hash256::of(b"x")));
}

#[test]
fn a_key_of_two_people_founds_nothing() {
    let (mut roster, hands) = four();
    let sign = |hand: &Hand| hand.sign("keyctl-roster-v1@o/k", b"founding");
    let all: Vec<_> = hands.iter().map(sign).collect();
    let (proofs, missing) = signatures(b"founding", "o/k", &roster, &all).unwrap();
    assert_eq!((proofs.len(), missing), (4, Vec::new()));
    let (_, missing) = signatures(b"founding", "o/k", &roster, &all[1..]).unwrap();
    assert_eq!(missing.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["alice@example.com"]);
    let line = hands[0].line();
    roster.people.get_mut(&email("bob@example.com")).unwrap().keys[0].public_key = line;
    let error = signatures(b"founding", "o/k", &roster, &all[2..]).unwrap_err();
    assert_eq!(error.code(), "bad_roster", "nobody could be named for it");
}

#[test]
fn an_approval_that_is_longer_than_a_signature_is_cut_short() {
    let (begin, end) = ("-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n");
    let of_length = |length: usize| {
        let body = length - begin.len() - end.len();
        format!("{begin}{}\n{end}", "A".repeat(body - 1))
    };
    assert_eq!(armours(&of_length(MAX_SIGNATURE)).unwrap().len(), 1);
    let error = armours(&of_length(MAX_SIGNATURE + 1)).unwrap_err();
    assert!(error.message().contains("does not end"), "{error}");
}

#[test]
fn a_block_that_nobody_could_read_back_is_not_written() {
    let block = |length: usize| Bundle::new("x".repeat(length), None, None).to_armour();
    let fits = block(1 << 20).unwrap();
    assert!(Bundle::find(&fits).unwrap().is_some());
    assert_eq!(block(bundle::MAX_TEXT).unwrap_err().code(), "bad_bundle");
}
