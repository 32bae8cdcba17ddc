//! Requests whose words are not those of their steps, made by hand and signed by whoever asks (threat "the UI lies to the
//! approver"): neither the approver's machine nor the workspace takes them.

use crate::team::{APPROVAL, ORIGIN, Team, sha256};
use keyctl::crypto::jcs;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const ERIN: &str = "erin@example.com";

/// The same request with a change, under another identifier, signed by `asks` as if it had always been so.
fn forged(team: &Team, request: &Path, asks: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut document: Value = serde_json::from_slice(&std::fs::read(request).expect("read")).expect("JSON");
    change(&mut document);
    let id = format!("{:0>32}", team.place.workspace().join("requests").read_dir().expect("a folder").count());
    document["request_id"] = json!(id);
    let path = request.with_file_name(format!("{id}.json"));
    std::fs::write(&path, jcs::to_vec(&document).expect("canonical")).expect("written");
    let signature = team.signature(asks, &format!("keyctl-request-v1@{ORIGIN}"), &path);
    std::fs::write(path.with_extension("request.sig"), signature).expect("written");
    path
}

/// Both the approver and the workspace say what does not fit.
fn refused(team: &Team, request: &Path, word: &str) {
    let (file, genesis) = (request.to_str().expect("UTF-8"), genesis(team));
    let approve = ["approve", file, "--yes", "--expect", &sha256(request), "--genesis", &genesis];
    let ran = team.keyctl(ERIN, &approve).fails(1, "bad_request").says(word);
    assert!(!ran.stdout.contains("BEGIN SSH SIGNATURE"));
    // Somebody may have signed it with another program.
    for email in [ERIN, BOB] {
        team.sign(email, APPROVAL, request);
    }
    let before = team.place.entries().len();
    team.run(request).fails(1, "bad_request").says(word);
    assert_eq!(team.place.entries().len(), before);
}

fn genesis(team: &Team) -> String {
    team.place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0")
}

#[test]
fn ui_lies_to_the_approver_about_subjects_and_tokens() {
    let team = Team::founded();
    let keygen = team.asks(BOB, &["keygen", "root"]);
    refused(&team, &forged(&team, &keygen, BOB, |it| it["subjects"] = json!({})), "subjects");
    refused(&team, &forged(&team, &keygen, BOB, |it| it["subjects"] = json!({ "windows": 0 })), "subjects");
    refused(&team, &forged(&team, &keygen, BOB, |it| it["tokens"] = json!({})), "the token root");
    team.sign(ALICE, APPROVAL, &keygen);
    team.run(&keygen).ok();

    // To lift the suspension that is there is asked for; nothing in the request would see a later one.
    team.keyctl(ALICE, &["--because", "first", "suspend", "root"]).ok();
    let lift = team.asks(BOB, &["suspend", "root", "--lift"]);
    let blind = forged(&team, &lift, BOB, |it| it["subjects"] = json!({}));
    team.sign(ALICE, APPROVAL, &lift);
    team.run(&lift).ok();
    team.keyctl(ERIN, &["--because", "second", "suspend", "root"]).ok();
    refused(&team, &blind, "subjects");
    assert_eq!(team.place.sql("SELECT count(*) FROM suspensions"), "1");

    // A token that signs, and is left out: which they are, the register says.
    let list = team.keyctl(ALICE, &["--dry-run", "crl", "root", "--now"]).ok().one();
    assert_eq!((&list["tokens"], &list["subjects"]), (&json!(["root"]), &json!([])));
}

#[test]
fn ui_lies_to_the_approver_about_what_is_done() {
    let team = Team::founded();
    let keygen = team.asks(BOB, &["keygen", "root"]);
    refused(&team, &forged(&team, &keygen, BOB, |it| it["object"] = json!("apt/1")), "object");
    refused(&team, &forged(&team, &keygen, BOB, |it| it["operation"] = json!("crl")), "operation");
    refused(&team, &forged(&team, &keygen, BOB, |it| it["command"] = json!(["keygen", "apt"])), "command");
    refused(&team, &forged(&team, &keygen, BOB, |it| it["command"] = json!(["keygen", "root", "--now"])), "explain");
    let other_object = forged(&team, &keygen, BOB, |it| it["steps"][1]["object"] = json!("root/2"));
    refused(&team, &other_object, "said to be");
    team.sign(ALICE, APPROVAL, &keygen);
    team.run(&keygen).ok();

    // "Suspend apt" is said, and the root is what goes on.
    let lift = {
        team.keyctl(ALICE, &["suspend", "root"]).ok();
        team.asks(BOB, &["suspend", "root", "--lift"])
    };
    let lie = |it: &mut Value| {
        it["object"] = json!("apt");
        it["command"] = json!(["suspend", "apt", "--lift"]);
    };
    refused(&team, &forged(&team, &lift, BOB, lie), "its steps are about");
    // Nothing of it hides behind a headline that fits and one more step.
    let more = |it: &mut Value| {
        let step = json!({ "operation": "suspend", "object": "windows",
            "params": { "generation": "windows/1", "reason": "x" } });
        it["steps"].as_array_mut().expect("steps").push(step);
        it["subjects"]["windows"] = json!(0);
    };
    refused(&team, &forged(&team, &lift, BOB, more), "several");
    team.sign(ALICE, APPROVAL, &lift);
    team.run(&lift).ok();
}
