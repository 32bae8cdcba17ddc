//! What people are shown who agree to changed rules or found a workspace (threat "the UI lies to the approver"): what
//! changes, what weakens first, on one screen, and worked out on their own machine.

use crate::team::{APPROVAL, ORIGIN, PEOPLE, Team, sha256};
use keyctl::crypto::jcs;
use serde_json::{Value, json};
use std::path::Path;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const ERIN: &str = "erin@example.com";

/// What `approve` shows.
fn shown(team: &Team, request: &Path, more: &[&str]) -> Vec<String> {
    let args = [&["--dry-run"], more, &["approve", request.to_str().expect("UTF-8")]].concat();
    let ran = team.keyctl(ERIN, &args).ok();
    ran.stderr.lines().map(str::to_owned).collect()
}

fn place(lines: &[String], word: &str) -> usize {
    lines.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} is not in {lines:#?}"))
}

#[test]
fn adopt_hides_no_weaker_rule_among_others() {
    let team = Team::founded();
    let file = team.place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&file).expect("keyctl.toml");
    let lead = "rotate_lead_days = 14\n";
    assert!(text.contains(lead), "{text}");
    let text = text
        .replacen("name   = \"Example Corp\"", "name   = \"Example Corporation\"", 1)
        .replace(lead, "rotate_lead_days = 20\n")
        + "\n[policy.keygen]\nthreshold = 2\nmust_include = []\n\n[policy.destroy]\nthreshold = 3\n";
    std::fs::write(&file, text).expect("written");
    let request = team.asks(ALICE, &["adopt"]);

    let lines = shown(&team, &request, &[]);
    assert!(lines.len() <= 24, "one screen: {lines:#?}");
    let weaker = place(&lines, "WEAKER       policy.keygen.must_include: security-reviewer → (empty)");
    assert!(lines[weaker].ends_with("(a role is not needed)"), "{}", lines[weaker]);
    for (at, word) in ["policy.destroy.threshold: 2 → 3", "keys.windows.rotate_lead_days: 14 → 20"].iter().enumerate()
    {
        let at = (place(&lines, word), at);
        assert!(at.0 > weaker && lines[at.0].starts_with("change "), "{lines:#?}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("WEAKER")).count(), 1, "{lines:#?}");
    let whole = shown(&team, &request, &["-v"]);
    assert!(whole.len() > 150 && place(&whole, "settings.policy.keygen.threshold: 2") > 0);

    // A request that leaves a change out, or says that it was so before, is none: not for the approver, not for the gate.
    let genesis = team.place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0");
    let lies: &[fn(&mut Value)] = &[
        |changes| drop(changes.as_object_mut().expect("changes").remove("/policy/keygen/must_include")),
        |changes| changes["/policy/keygen/must_include"]["from"] = json!(["platform-admin"]),
        |changes| changes["/policy/keygen/must_include"]["to"] = json!(["security-reviewer"]),
        |changes| *changes = json!({}),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut document: Value = serde_json::from_slice(&std::fs::read(&request).expect("read")).expect("JSON");
        lie(&mut document["steps"][0]["params"]["changes"]);
        document["request_id"] = json!(format!("{number:032}"));
        let path = request.with_file_name(format!("{number:032}.json"));
        std::fs::write(&path, jcs::to_vec(&document).expect("canonical")).expect("written");
        let signature = team.signature(ALICE, &format!("keyctl-request-v1@{ORIGIN}"), &path);
        std::fs::write(path.with_extension("request.sig"), signature).expect("written");
        let file = path.to_str().expect("UTF-8");
        let approve = ["approve", file, "--yes", "--expect", &sha256(&path), "--genesis", &genesis];
        team.keyctl(ERIN, &approve).fails(1, "bad_request").says("the changes do not lead to them");
        team.sign(BOB, APPROVAL, &path);
        team.run(&path).fails(1, "bad_request");
    }
    team.sign(BOB, APPROVAL, &request);
    team.run(&request).ok();
    team.anyone(&["adopt"]).ok().says("as they were adopted");
    team.anyone(&["audit", "log"]).ok();
}

#[test]
fn a_founding_is_read_on_one_screen() {
    let team = Team::new();
    let file = team.place.path("keyctl.toml");
    let text = std::fs::read_to_string(&file).expect("keyctl.toml");
    std::fs::write(&file, text + "\n[policy.keygen]\nthreshold = 2\nmust_include = []\n").expect("written");
    let request = team.begin();
    let lines = shown(&team, &request, &[]);
    assert!(lines.len() <= 50, "{} lines: {lines:#?}", lines.len());
    let first = place(&lines, "WEAKER       policy.keygen.must_include");
    for word in ["asked        found a staging workspace of staging.example/keyctl", "THIS FOUNDS A WORKSPACE"] {
        place(&lines, word);
    }
    for (email, roles, _) in PEOPLE {
        assert!(place(&lines, &format!("{email} joins: {email}, {}", roles[0])) > first);
        place(&lines, &format!("{email} signs with "));
    }
    for word in ["root: root-ca, ", "windows: authenticode, ", "apt: apt, ", "ledger/1 ", "primary: ", "issuing: "] {
        place(&lines, word);
    }
    let whole = shown(&team, &request, &["-v"]);
    assert!(whole.len() > 150, "{} lines", whole.len());
    place(&whole, "settings.policy.keygen.threshold: 2");
}

#[test]
fn who_gets_power_by_a_new_roster_stands_first() {
    let team = Team::founded();
    let file = team.place.workspace().join("roster.toml");
    let text = std::fs::read_to_string(&file).expect("roster.toml");
    let text = text
        .replace("version = 1", "version = 2")
        .replace("name = \"alice@example.com\"", "name = \"Alice\"")
        .replace("roles = [\"cab-approver\"]", "roles = [\"cab-approver\", \"security-reviewer\"]");
    std::fs::write(&file, text).expect("written");
    let request = team.asks(ALICE, &["adopt"]);
    let lines = shown(&team, &request, &[]);
    let weaker = place(&lines, "WEAKER       dan@example.com becomes security-reviewer");
    assert!(place(&lines, "change       alice@example.com is called Alice") > weaker, "{lines:#?}");
    assert!(lines.len() <= 24, "{lines:#?}");
    // What is said to be in force is what the request is made on.
    let mut document: Value = serde_json::from_slice(&std::fs::read(&request).expect("read")).expect("JSON");
    document["steps"][0]["params"]["from"]["people"]["dan@example.com"]["roles"] =
        json!(["cab-approver", "security-reviewer"]);
    std::fs::write(&request, jcs::to_vec(&document).expect("canonical")).expect("written");
    team.run(&request).fails(1, "bad_request").says("not the one that it names");
}
