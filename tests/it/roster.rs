//! Rosters that change, people and keys that are suspended. Signatures are made by `ssh-keygen`.

use crate::support::{Place, Ran};
use crate::team::{APPROVAL, ROSTER, Team, sha256};
use std::path::PathBuf;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";
const ERIN: &str = "erin@example.com";
const FRANK: &str = "frank@example.com";

/// The workspace's roster file with another text.
fn edit(team: &Team, change: impl FnOnce(String) -> String) {
    let file = team.place.workspace().join("roster.toml");
    let text = std::fs::read_to_string(&file).expect("roster.toml");
    std::fs::write(&file, change(text)).expect("written");
}

/// Frank joins as a platform admin.
fn frank_joins(team: &Team) {
    team.make_key(FRANK, "ed25519");
    edit(team, |text| {
        let key = team.line(FRANK);
        text.replace("version = 1", "version = 2")
            + &format!(
                "\n[people.\"{FRANK}\"]\nname = \"Frank\"\nroles = [\"platform-admin\"]\nkeys = [{{ public_key = \"{key}\" }}]\n"
            )
    });
}

fn roster_version(team: &Team) -> String {
    team.place.sql("SELECT max(version) FROM rosters")
}

#[test]
fn a_changed_roster_takes_both_quorums_and_a_proof_of_each_new_key() {
    let team = Team::founded();
    frank_joins(&team);
    team.keyctl(ALICE, &["keygen", "root"]).fails(4, "roster_changed").says("frank@example.com joins");
    team.anyone(&["status"]).ok().says("roster.toml differs");
    let ran = team.anyone(&["adopt", "--dry-run"]).ok();
    ran.says("frank@example.com joins: Frank, platform-admin");

    let request = team.asks(ALICE, &["adopt"]);
    team.run(&request).fails(5, "approval_needed").says("1 more person");
    // Frank is in the new roster only: he proves his key, but is none of the old roster's two.
    let proof = team.sign(FRANK, ROSTER, &request);
    team.run(&request).fails(5, "approval_needed");
    team.sign(BOB, APPROVAL, &request);
    std::fs::rename(&proof, team.place.path("proof")).expect("moved");
    let ran = team.run(&request).fails(5, "approval_needed");
    ran.says("proof that frank@example.com has the key SHA256:");
    // Approving with the key is not the same as showing that it is his: the meaning is another.
    team.sign(FRANK, APPROVAL, &request);
    team.run(&request).fails(5, "approval_needed");
    assert_eq!(roster_version(&team), "1");
    std::fs::rename(team.place.path("proof"), &proof).expect("moved");
    team.run(&request).ok().says("roster/2 is in force");
    assert_eq!(roster_version(&team), "2");

    let entries = team.place.entries();
    let consumed = entries.iter().find(|entry| entry["type"] == "REQUEST_CONSUMED").expect("consumed");
    assert_eq!(consumed["body"]["succession"]["proofs"].as_array().map(Vec::len), Some(1));
    let adopted = entries.iter().find(|entry| entry["type"] == "ROSTER_ADOPTED").expect("adopted");
    assert_eq!(adopted["actor"]["email"], ALICE);
    team.run(&request).fails(4, "request_consumed");
    team.anyone(&["audit", "log"]).ok();
    team.anyone(&["adopt"]).ok().says("as they were adopted");

    // From now on Frank's approval counts, with the words that he reads himself.
    edit(&team, |text| text.replace("version = 2", "version = 3").replace("\"Frank\"", "\"Frank F.\""));
    let request = team.asks(ALICE, &["adopt"]);
    let file = request.to_str().expect("UTF-8");
    let genesis = team.place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0");
    let approve = ["approve", file, "--yes", "--expect", &sha256(&request), "--genesis", &genesis];
    team.keyctl(FRANK, &approve).ok().says("frank@example.com is called Frank F., no longer Frank");
    team.run(&request).ok();
    assert_eq!(roster_version(&team), "3");
}

#[test]
fn a_roster_that_is_no_good_is_not_asked_for() {
    let team = Team::founded();
    let good = std::fs::read_to_string(team.place.workspace().join("roster.toml")).expect("roster.toml");
    let attempt = |change: &dyn Fn(&str) -> String| -> Ran {
        edit(&team, |_| change(&good));
        team.keyctl(ALICE, &["adopt"])
    };
    let next = |text: &str| text.replace("version = 1", "version = 2");
    attempt(&|text| next(text).replace("version = 2", "version = 3")).fails(4, "gate_failed").says("RosterVersion");
    attempt(&|text| text.replace("\"dan@example.com\"\nroles", "\"Dan\"\nroles"))
        .fails(4, "gate_failed")
        .says("RosterVersion");
    attempt(&|text| next(text).replace("cab-approver", "publisher"))
        .fails(4, "gate_failed")
        .says("re-sign must include a cab-approver");
    attempt(&|text| next(text).replace(&team.line(BOB), &team.line(ALICE))).fails(2, "bad_roster").says("key too");
    attempt(&|text| next(text).replace("[\"cab-approver\"]", "[\"cab-approver\", \"auditor\"]"))
        .fails(2, "bad_roster")
        .says("an auditor only reads");
    assert_eq!(team.place.entries().len(), 1, "nobody was asked, and nothing happened");
    std::fs::remove_file(team.place.workspace().join("roster.toml")).expect("removed");
    team.keyctl(ALICE, &["keygen", "root"]).fails(4, "roster_missing").says("keyctl roster show");
    let shown = team.anyone(&["roster", "show"]).ok().stdout;
    std::fs::write(team.place.workspace().join("roster.toml"), shown).expect("written");
    team.anyone(&["adopt"]).ok().says("as they were adopted");
}

#[test]
fn what_is_edited_after_people_signed_gets_nowhere() {
    let team = Team::founded();
    frank_joins(&team);
    let request = team.asks(ALICE, &["adopt"]);
    team.sign(FRANK, ROSTER, &request);
    team.sign(BOB, APPROVAL, &request);
    let approved = std::fs::read_to_string(team.place.workspace().join("roster.toml")).expect("roster.toml");
    edit(&team, |text| {
        text.replace(
            "name = \"Frank\"\nroles = [\"platform-admin\"]",
            "name = \"Frank\"\nroles = [\"security-reviewer\"]",
        )
    });
    team.run(&request).fails(4, "gate_failed").says("ApprovedStep");
    assert_eq!(roster_version(&team), "1");
    // The request itself, edited, is another one.
    let bytes = std::fs::read_to_string(&request).expect("read");
    std::fs::write(&request, bytes.replace("\"Frank\"", "\"Frunk\"")).expect("written");
    team.run(&request).fails(5, "approval_needed");
    std::fs::write(&request, bytes).expect("written");
    // And so is the ledger's copy of the roster: the audit finds it.
    edit(&team, |_| approved);
    team.run(&request).ok();
    team.place.sql("UPDATE rosters SET doc = replace(doc, 'Frank', 'Frunk') WHERE version = 2");
    team.anyone(&["audit", "log"]).exits(6).says("projection_differs");
}

#[test]
fn one_other_person_suspends_and_the_quorum_restores() {
    let team = Team::founded();
    team.keyctl(BOB, &["roster", "suspend", BOB]).fails(4, "gate_failed").says("AnotherPerson");
    team.anyone(&["roster", "suspend", BOB]).fails(4, "identity_needed");
    team.keyctl(ALICE, &["roster", "suspend", "nobody@example.com"]).fails(4, "gate_failed").says("is unknown");
    // Without Carol nobody could sign, without Dan nothing could be signed again.
    team.keyctl(ALICE, &["roster", "suspend", CAROL]).fails(4, "gate_failed").says("sign takes 1 person");
    team.keyctl(ALICE, &["roster", "suspend", DAN]).fails(4, "gate_failed").says("re-sign must include a cab-approver");

    frank_joins(&team);
    let request = team.asks(ALICE, &["adopt"]);
    team.sign(FRANK, ROSTER, &request);
    team.sign(BOB, APPROVAL, &request);
    team.keyctl(CAROL, &["roster", "suspend", "Bob@Example.com", "--because", "his laptop is gone"]).ok();
    team.anyone(&["status"]).ok().says("the signatures of bob@example.com count for nothing");
    // What he signed before counts as little as what he signs now; and what was asked about the roster has moved.
    team.run(&request).fails(5, "approval_needed").says("bob@example.com is suspended");
    team.keyctl(BOB, &["adopt"]).fails(4, "person_suspended");
    team.keyctl(ALICE, &["roster", "suspend", BOB]).fails(4, "gate_failed").says("suspended already");
    // Erin is the only platform admin left.
    team.keyctl(ALICE, &["roster", "suspend", ERIN]).fails(4, "gate_failed").says("PolicySatisfiable");

    let restore = team.asks(ALICE, &["roster", "restore", BOB]);
    team.sign(BOB, APPROVAL, &restore);
    team.sign(CAROL, APPROVAL, &restore);
    team.run(&restore).fails(5, "approval_needed");
    team.sign(ERIN, APPROVAL, &restore);
    team.run(&restore).ok().says("count again");
    assert_eq!(team.place.sql("SELECT count(*) FROM roster_suspensions"), "0");
    team.run(&request).fails(4, "gate_failed").says("roster moved in entry");
    team.anyone(&["audit", "log"]).ok();
}

/// The sandbox's people, with whose keys one person tries every flow.
fn person(place: &Place, user: &str) -> String {
    let file = place.workspace().join("people").join(format!("{user}@sandbox.invalid"));
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_suspended_key_signs_nothing_until_the_quorum_lifts_it() {
    let place = Place::with_sandbox();
    let files = crate::support::real_pe_files();
    place.copy(&files[1], "a.dll");
    place.copy(&files[1], "b.dll");
    place.keyctl(&["sign", "a.dll"]).ok();
    let (linux, reviewer, admin) = (person(&place, "linux"), person(&place, "reviewer"), person(&place, "admin"));
    let stop = ["--identity", &linux, "suspend", "windows", "--because", "a host is under suspicion"];
    place.keyctl(&["suspend", "no-such-key"]).fails(2, "unknown_key");
    place.keyctl(&stop).ok();
    place.keyctl(&stop).fails(4, "gate_failed");
    place.keyctl(&["sign", "b.dll"]).fails(4, "gate_failed").says("a host is under suspicion");
    place.keyctl(&["status", "--check", "windows"]).exits(4).says("Suspended");
    let ran = place.keyctl(&["status"]).ok().says("windows is suspended since entry");
    let state = ran.json().into_iter().find(|row| row["generation"] == "windows/1").expect("the key")["state"].clone();
    assert_eq!(state, "active, suspended");
    // The next generation is of the same key.
    place.keyctl(&["keygen", "windows"]).ok();

    let ran = place.keyctl(&["--identity", &linux, "suspend", "windows", "--lift"]).fails(5, "approval_needed");
    let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
    let request = PathBuf::from(row["request"].as_str().expect("a path"));
    let genesis = place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0");
    let approve = |key: &str| {
        let file = request.to_str().expect("UTF-8");
        let yes = ["--yes", "--expect", &sha256(&request), "--genesis", &genesis];
        place.keyctl(&[&["--identity", key, "approve", file], &yes[..]].concat()).ok();
    };
    let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id").to_owned();
    approve(&admin);
    place.keyctl(&["run", &id]).fails(5, "approval_needed").says("a security-reviewer");
    approve(&reviewer);
    place.keyctl(&["run", &id]).ok().says("windows goes on");
    place.keyctl(&["sign", "b.dll"]).ok();
    place.keyctl(&["suspend", "windows", "--lift"]).fails(4, "gate_failed").says("windows is not suspended");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_suspended_ca_issues_nothing() {
    let place = Place::with_sandbox();
    place.keyctl(&["suspend", "windows-ca"]).ok();
    place.keyctl(&["keygen", "windows"]).fails(4, "gate_failed").says("Suspended");
    place.keyctl(&["suspend", "windows-ca", "--lift"]).ok();
    place.keyctl(&["keygen", "windows"]).ok();
}
