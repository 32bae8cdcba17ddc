//! Attacks that fit the tree and the tables (governance §15): the audit decides on every entry again. And the ledger's time,
//! which people set right.

use crate::support::{Place, real_pe_files, tool};
use crate::team::{APPROVAL, Team, sha256};
use chrono::{DateTime, TimeDelta, Utc};
use keyctl::clock::Clock;
use keyctl::ledger::{Ledger, NewEntry};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const ERIN: &str = "erin@example.com";

/// Appends entries as the program itself would, without asking its gate. What is given of each is its type, who asks and
/// its body, from the number of the first one on.
fn forge(place: &Place, clock: Clock, entries: impl Fn(u64) -> Vec<(String, Value, Value)>) {
    let mut ledger = Ledger::open(&place.workspace().join("ledger.db"), clock).expect("opened");
    let mut writer = ledger.writer().expect("sound until now");
    let first = writer.reader().size().expect("a size");
    for (entry_type, actor, body) in entries(first) {
        let new = NewEntry {
            entry_type: entry_type.parse().expect("a type"),
            actor: serde_json::from_value(actor).expect("an actor"),
            correlation_id: "c-forged".parse().expect("an id"),
            body,
        };
        writer.append(new).expect("appended");
    }
    writer.commit().expect("committed");
}

/// What the audit finds of a rule, in words.
fn found(place: &Place, rule: &str) -> Vec<String> {
    let ran = place.keyctl(&["audit", "log"]).exits(6);
    let rows = ran.json();
    let of_rule = rows.iter().filter(|row| row["rule"] == rule);
    of_rule.map(|row| row["message"].as_str().expect("words").to_owned()).collect()
}

/// The body of the only intent of this type, as if it were a new one.
fn intent(place: &Place, entry_type: &str) -> (Value, Value) {
    let entries = place.entries();
    let entry = entries.iter().rfind(|entry| entry["type"] == entry_type && entry["body"]["phase"] == "intent");
    let entry = entry.expect("an intent");
    let mut body = entry["body"].clone();
    body.as_object_mut().expect("an object").remove("register");
    (entry["actor"].clone(), body)
}

fn outcome(intent: u64, done: Value) -> Value {
    json!({ "phase": "outcome", "intent": intent, "result": "ok", "done": done })
}

fn signed_place() -> Place {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "a.exe");
    place.keyctl(&["sign", "a.exe"]).ok();
    place
}

#[test]
fn db_editor_a_signature_with_a_key_that_was_too_old_is_found() {
    let place = signed_place();
    let (actor, mut body) = intent(&place, "PACKAGE_SIGNED");
    let late = Clock::manual(Clock::system().now() + TimeDelta::days(95));
    body["request"]["params"]["artifact_id"] = "00000000-0000-4000-8000-000000000009".into();
    forge(&place, late, |first| {
        let done = outcome(first, json!({ "hash_after": "11".repeat(32) }));
        let entry = |body| ("PACKAGE_SIGNED".to_owned(), actor.clone(), body);
        vec![entry(body.clone()), entry(done)]
    });
    let words = found(&place, "decision_wrong");
    assert!(words.len() == 1 && words[0].contains("CertificateAgeDays"), "{words:?}");
    assert!(found(&place, "entry_unproven").is_empty());
}

#[test]
fn db_editor_gates_that_were_not_asked_are_found() {
    let place = signed_place();
    let (actor, body) = intent(&place, "PACKAGE_SIGNED");
    let mut number = 0;
    let mut forged = |edit: &dyn Fn(&mut Value)| {
        number += 1;
        let mut body = body.clone();
        body["request"]["params"]["artifact_id"] = format!("00000000-0000-4000-8000-{number:012}").into();
        edit(&mut body);
        forge(&place, Clock::system(), |first| {
            let done = outcome(first, json!({ "hash_after": "11".repeat(32) }));
            let entry = |body| ("PACKAGE_SIGNED".to_owned(), actor.clone(), body);
            vec![entry(body.clone()), entry(done)]
        });
        let words = if number == 1 { Vec::new() } else { found(&place, "decision_wrong") };
        words.last().cloned().unwrap_or_default()
    };
    // One like the gate's own is let in, and so shows what the others are found by.
    forged(&|_| {});
    place.keyctl(&["audit", "log"]).ok();
    assert!(forged(&|body| drop(body["gates"].as_array_mut().expect("gates").pop())).contains("has to pass"));
    assert!(forged(&|body| body["gates"][0]["verdict"] = "fail".into()).contains("has to pass"));
    assert!(forged(&|body| body["request"]["actor"]["email"] = "x@example.com".into()).contains("the entry is of"));
    assert!(forged(&|body| body["gates"] = 7.into()).contains("cannot be read"));
}

/// A copy of everything, to go back to.
fn keep(place: &Place, name: &str) -> PathBuf {
    let kept = place.path(name);
    std::fs::create_dir(&kept).expect("made");
    copy(place, &[".keyctl-sandbox", "state"], &place.path(""), &kept);
    kept
}

fn copy(place: &Place, names: &[&str], from: &Path, to: &Path) {
    for name in names {
        let old = to.join(name);
        if old.exists() {
            std::fs::remove_dir_all(&old).expect("removed");
        }
        let done = tool("cp").arg("-a").arg(from.join(name)).arg(to).current_dir(place.path("")).status().expect("cp");
        assert!(done.success());
    }
}

#[test]
fn replayed_approval_of_what_moved_meanwhile_is_found() {
    let team = Team::founded();
    let place = &team.place;
    let request = team.asks(CAROL, &["keygen", "root"]);
    team.sign(ALICE, APPROVAL, &request);
    team.sign(BOB, APPROVAL, &request);
    let before = keep(place, "before");
    team.run(&request).ok();
    let entries = place.entries();
    let consumed = entries.iter().position(|entry| entry["type"] == "REQUEST_CONSUMED").expect("consumed");
    let both = entries[consumed..consumed + 2].to_vec();
    assert_eq!((&both[1]["type"], &both[1]["body"]["phase"]), (&json!("KEY_GENERATED"), &json!("intent")));

    // Back to before, and the key is touched by another act: what people agreed to is not for that any more.
    copy(place, &[".keyctl-sandbox", "state"], &before, &place.path(""));
    let other = team.asks(CAROL, &["keygen", "root"]);
    team.sign(ALICE, APPROVAL, &other);
    team.sign(BOB, APPROVAL, &other);
    team.run(&other).ok();
    team.run(&request).exits(4).says("moved in entry");
    forge(place, Clock::system(), |_| {
        let entry = |entry: &Value| {
            let mut body = entry["body"].clone();
            body.as_object_mut().expect("an object").remove("register");
            if entry["type"] == "KEY_GENERATED" {
                body["request"]["params"]["generation"] = "root/2".into();
                body["request"]["object"] = "root/2".into();
            }
            (entry["type"].as_str().expect("a type").to_owned(), entry["actor"].clone(), body)
        };
        vec![entry(&both[0])]
    });
    let words = found(place, "decision_wrong");
    assert!(words.len() == 1 && words[0].contains("root moved in entry"), "{words:?}");
}

#[test]
fn clock_skew_far_ahead_is_set_right_by_quorum_and_by_nobody_alone() {
    let team = Team::founded();
    let place = &team.place;
    place.copy(&real_pe_files()[3], "a.exe");
    let year_month = |time: DateTime<Utc>| time.format("%Y-%m").to_string();
    let now = Clock::system().now();
    let newest = || place.entries().last().expect("entries")["time"].as_str().expect("a time")[..7].to_owned();
    team.keyctl(ALICE, &["set-time"]).fails(4, "time_is_right");

    // Even a refused signature is an entry.
    let key = team.key(CAROL);
    let ahead = now + TimeDelta::days(60);
    let identity = key.to_str().expect("UTF-8");
    place.keyctl_at(ahead, &["--workspace", ".keyctl-sandbox", "--identity", identity, "sign", "a.exe"]);
    if newest() != year_month(ahead) {
        let before = place.entries().len();
        forge(place, Clock::manual(ahead), |_| {
            let actor = json!({ "email": CAROL, "assurance": "proven" });
            vec![("NOTE".to_owned(), actor, json!({}))]
        });
        assert_eq!(place.entries().len(), before + 1);
    }
    assert_eq!(newest(), year_month(ahead));
    team.keyctl(CAROL, &["keygen", "root"]).fails(4, "clock_behind").says("keyctl set-time");

    // Nobody sets it alone, and a tail that says so proves nothing.
    let request = team.asks(ALICE, &["set-time", "--because", "a clock was ahead"]);
    team.run(&request).fails(5, "approval_needed");
    team.sign(BOB, APPROVAL, &request);
    team.run(&request).ok().says("the ledger's time is set from");
    let entries = place.entries();
    let set = entries.iter().rfind(|entry| entry["type"] == "TIME_SET").expect("set");
    assert_eq!(set["time"].as_str().expect("a time")[..7], year_month(ahead), "it follows what it sets right");
    team.run(&request).exits(4);

    // From then on entries have the right time, and the audit says why.
    let request = team.asks(CAROL, &["keygen", "root"]);
    team.sign(ALICE, APPROVAL, &request);
    team.sign(BOB, APPROVAL, &request);
    team.run(&request).ok();
    assert_eq!(newest(), year_month(now));
    team.anyone(&["audit", "log"]).ok().says("set the ledger's time right, from");
    team.keyctl(ALICE, &["set-time"]).fails(4, "time_is_right");
    team.keyctl(ALICE, &["roster", "suspend", ERIN, "--because", "left", "--yes"]).ok();

    // By nobody's leave it is no entry that counts.
    let generation = "ledger/1";
    let time = |time: DateTime<Utc>| keyctl::clock::rfc3339(time);
    let (from, to) = (place.entries().last().expect("entries")["time"].clone(), time(now - TimeDelta::days(9)));
    let actor = json!({ "email": BOB, "assurance": "proven" });
    let params = json!({ "generation": generation, "from": from, "to": to, "reason": "r" });
    let asked = json!({
        "request_id": "r-forged", "correlation_id": "c-forged", "operation": "set-time", "object": "time",
        "actor": actor, "params": params, "signatures": [], "approvals": [],
    });
    let process = "00000000-0000-4000-8000-000000000000";
    forge(place, Clock::system(), |first| {
        let intent = json!({ "phase": "intent", "process": process, "request": asked, "gates": [] });
        let entry = |body| ("TIME_SET".to_owned(), actor.clone(), body);
        vec![entry(intent), entry(outcome(first, json!({ "to": to })))]
    });
    team.keyctl(CAROL, &["keygen", "windows-ca"]).fails(4, "tail_unproven").says("by nobody's leave");
    assert!(!found(place, "entry_unproven").is_empty());
}

#[test]
fn whole_disk_rollback_is_seen_by_what_people_signed_and_by_their_machines() {
    let team = Team::founded();
    let place = &team.place;
    let before = keep(place, "before");
    let first = team.asks(CAROL, &["keygen", "root"]);
    team.sign(ALICE, APPROVAL, &first);
    team.sign(BOB, APPROVAL, &first);
    team.run(&first).ok();
    let request = team.asks(BOB, &["keygen", "windows-ca"]);
    let key = team.key(ALICE);
    let asked: Value = serde_json::from_slice(&std::fs::read(&request).expect("a request")).expect("JSON");
    let (file, identity) = (request.to_str().expect("UTF-8"), key.to_str().expect("UTF-8"));
    let genesis = asked["genesis_sha256"].as_str().expect("a hash");
    let approve =
        ["approve", file, "--identity", identity, "--yes", "--expect", &sha256(&request), "--genesis", genesis];
    place.keyctl(&approve).ok();
    let state = place.path("state/keyctl");
    let kept = keep(place, "after");

    // Everything of the workspace goes back, but for the request that people signed since.
    copy(place, &[".keyctl-sandbox", "state"], &before, &place.path(""));
    for entry in std::fs::read_dir(kept.join(".keyctl-sandbox/requests")).expect("requests") {
        let path = entry.expect("a file").path();
        let to = place.workspace().join("requests").join(path.file_name().expect("a name"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(&path, to).expect("copied");
    }
    team.run(&request).exits(4).says("it was rolled back");

    // And but for what an approver's machine remembers.
    let witness = kept.join("state/keyctl/witness");
    assert!(witness.exists(), "approving leaves a memory");
    assert!(tool("cp").arg("-a").arg(&witness).arg(&state).status().expect("cp").success());
    team.keyctl(CAROL, &["keygen", "root"]).fails(4, "ledger_rolled_back").says("what this machine approved last");
}

#[test]
fn whole_disk_rollback_is_seen_by_commits_and_no_older_head_follows_them() {
    let place = signed_place();
    let published = place.workspace().join("published");
    let git = |args: &[&str]| {
        let output = tool("git").current_dir(&published).args(args).output().expect("git runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    let before = keep(&place, "before");
    place.keyctl(&["keygen", "windows", "--yes"]).ok();
    let commit = git(&["rev-parse", "HEAD"]);
    let committed = git(&["show", "HEAD:checkpoint"]);
    let kept = keep(&place, "after");

    // Everything goes back, but for the repository itself.
    copy(&place, &[".keyctl-sandbox", "state"], &before, &place.path(""));
    std::fs::remove_dir_all(published.join(".git")).expect("removed");
    let repository = kept.join(".keyctl-sandbox/published/.git");
    assert!(tool("cp").arg("-a").arg(repository).arg(&published).status().expect("cp").success());
    place.keyctl(&["audit", "log"]).exits(6).says("anchor_ahead");
    place.copy(&real_pe_files()[3], "b.exe");
    place.keyctl(&["sign", "b.exe"]).exits(4).says("ledger_rolled_back").says("as it was committed in");
    assert_eq!((git(&["rev-parse", "HEAD"]), git(&["show", "HEAD:checkpoint"])), (commit, committed));
}
