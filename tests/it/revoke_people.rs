//! Revocations and lists where people have to agree: a staging workspace.

use crate::revoke::{burned, list, openssl_reads};
use crate::support::Ran;
use crate::team::{APPROVAL, Team};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";

fn windows() -> Team {
    let team = Team::founded();
    for (asks, key) in [(BOB, "root"), (BOB, "windows-ca"), (CAROL, "windows")] {
        let request = team.asks(asks, &["keygen", key]);
        team.sign(ALICE, APPROVAL, &request);
        team.run(&request).ok();
    }
    team
}

fn document(request: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(request).expect("a request")).expect("JSON")
}

fn confirmed(team: &Team, request: &Path) -> Ran {
    let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    team.anyone(&["--yes", "run", id])
}

fn state(team: &Team, number: u32) -> String {
    team.place.sql(&format!("SELECT state FROM generations WHERE key = 'windows' AND number = {number}"))
}

#[test]
fn a_revocation_is_agreed_to_with_its_reason_and_its_dates() {
    let team = windows();
    let since = keyctl::clock::rfc3339(keyctl::clock::Clock::system().now());
    let revoke =
        ["revoke", "windows/1", "--reason", "keyCompromise", "--compromised-since", since.as_str(), "--no-fetch"];
    let before = team.place.entries().len();
    team.anyone(&revoke).fails(4, "identity_needed");
    let request = team.asks(CAROL, &revoke);
    let asked = document(&request);
    assert_eq!((&asked["operation"], &asked["object"]), (&json!("revoke"), &json!("windows/1")));
    let step = &asked["steps"][0];
    assert_eq!((&step["operation"], &step["object"]), (&json!("revoke"), &json!("windows/1")));
    assert_eq!(step["params"]["reason"], "keyCompromise");
    assert_eq!(
        (&step["params"]["invalidity_date"], &step["params"]["revocation_date"]),
        (&json!(since), &json!(since))
    );

    // Two packagers are not enough, nor is somebody who has no say in it.
    team.sign(DAN, APPROVAL, &request);
    confirmed(&team, &request).fails(5, "approval_needed");
    assert_eq!((team.place.entries().len(), state(&team, 1)), (before, "active".into()));
    team.sign(ALICE, APPROVAL, &request);
    let row = confirmed(&team, &request).ok().json().pop().expect("a row");
    assert_eq!((&row["state"], &row["published"]), (&json!("revoked"), &json!(true)));
    let read = openssl_reads(&list(&team.place, "windows-ca-1"), &["-text"]);
    assert!(read.contains("Key Compromise") && read.contains("Invalidity Date"), "{read}");
    // The evidence of it names who agreed.
    let path = row["evidence"].as_str().expect("a path");
    let fragment = document(Path::new(path));
    let people: Vec<_> = fragment["approvals"].as_array().expect("people").iter().map(|one| &one["email"]).collect();
    assert_eq!(people, [&json!(CAROL), &json!(ALICE)]);
    team.anyone(&["verify", path]).ok().says("the signatures of its 2 approvals, over a request that is not in it");
    approvals_of_a_fragment_are_checked(&team, Path::new(path), &request);
    confirmed(&team, &request).fails(4, "request_consumed");
    team.anyone(&["audit", "log"]).ok();
}

/// With a roster and what was signed, here or on a machine that has nothing but these files.
fn approvals_of_a_fragment_are_checked(team: &Team, path: &Path, request: &Path) {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (fragment, request) = (text(path), text(request));
    let (key, roster) = (text(&team.place.published("ledger.pub")), text(&team.place.workspace().join("roster.toml")));
    let agreed = |who: &str, what: &str| format!("{who} {what}, by their signature over");
    let row = team.anyone(&["verify", &fragment, "--roster", &roster]).ok().one();
    let checked = row["checked"].as_str().expect("words").to_owned();
    assert!(checked.contains(&agreed(ALICE, "approves")) && checked.contains(&agreed(CAROL, "asks")), "{checked}");
    let open = row["not_checked"].as_str().expect("words");
    assert!(open.contains("who was suspended then") && !open.contains("--request"), "{open}");

    let elsewhere = |more: &[&str]| {
        let args = [&["--workspace", "nowhere", "verify", &fragment, "--ledger-key", &key], more].concat();
        team.place.keyctl(&args)
    };
    let row = elsewhere(&["--roster", &roster]).ok().one();
    assert!(row["not_checked"].as_str().expect("words").contains("--request FILE"), "{row}");
    assert!(row["checked"].as_str().expect("words").contains("the key of alice@example.com is theirs in roster 1"));
    let row = elsewhere(&["--roster", &roster, "--request", &request]).ok().one();
    assert_eq!(row["checked"].as_str(), Some(checked.as_str()));
    assert!(elsewhere(&[]).ok().one()["not_checked"].as_str().expect("words").contains("--roster FILE"));

    // A roster in which one key is another's, or that is not the one of then.
    let other = text(&team.place.path("other.toml"));
    let original = std::fs::read_to_string(&roster).expect("a roster");
    std::fs::write(&other, original.replace(ALICE, "mallory@example.com")).expect("written");
    elsewhere(&["--roster", &other]).fails(6, "approval_not_proven").says("mallory@example.com");
    std::fs::write(&other, original.replace("version = 1", "version = 2")).expect("written");
    elsewhere(&["--roster", &other, "--request", &request]).fails(6, "other_roster");
}

#[test]
fn an_approved_revocation_is_for_that_generation_and_that_reason() {
    let team = windows();
    let request = team.asks(CAROL, &["revoke", "windows/1", "--reason", "superseded", "--no-fetch"]);
    team.sign(ALICE, APPROVAL, &request);
    // Edited after it was signed, it is another document, which nobody signed.
    let text = std::fs::read_to_string(&request).expect("a request");
    for (from, to) in [("superseded", "keyCompromise"), ("windows/1", "windows/2")] {
        std::fs::write(&request, text.replace(from, to)).expect("written");
        let ran = confirmed(&team, &request);
        assert!(ran.code != 0 && state(&team, 1) == "active", "{from}: {}", ran.stderr);
    }
    std::fs::write(&request, text).expect("written");
    confirmed(&team, &request).ok();
    assert_eq!(state(&team, 1), "revoked");
}

#[test]
fn a_list_takes_one_person_who_may_issue_it_and_no_time_is_lost_over_it() {
    let team = windows();
    let crl = ["crl", "windows-ca", "--now", "--no-fetch"];
    team.anyone(&crl).fails(4, "identity_needed");
    // Packagers may not, whoever they are.
    let ran = team.keyctl(CAROL, &crl);
    assert!([4, 5].contains(&ran.code), "{}", ran.stderr);
    assert!(burned(&team.place, "windows-ca/1").is_empty());
    team.keyctl(BOB, &crl).ok();
    team.keyctl(ALICE, &crl).ok();
    assert_eq!(burned(&team.place, "windows-ca/1"), [1, 2]);
    let file: PathBuf = list(&team.place, "windows-ca-1");
    assert!(
        openssl_reads(&file, &["-crlnumber"]).contains("0x02") || openssl_reads(&file, &["-crlnumber"]).contains("=2")
    );
    team.anyone(&["audit", "log"]).ok();
}
