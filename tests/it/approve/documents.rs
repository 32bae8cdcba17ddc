//! What each kind of document is signed for.

use super::*;
use crate::terminal::Screen;
use keyctl::people::Roster;
use keyctl::people::cab::{self, CabApproval};
use keyctl::people::founding::{Beginning, Earlier};

/// A roster with one person, who has this key.
fn roster_of(line: &str) -> Roster {
    roster_at(1, line)
}

fn roster_at(version: u32, line: &str) -> Roster {
    let roster = json!({"schema": "keyctl.roster/v1", "version": version, "people": {"alice@example.com": {
        "name": "Alice", "roles": ["security-reviewer"], "keys": [{"public_key": line}]}}});
    serde_json::from_value(roster).unwrap()
}

/// Approves without typing, and gives the namespaces that were signed in.
fn namespaces(scene: &Scene, file: &Path) -> Vec<String> {
    let row = scene.machine.keyctl(&without_genesis(file, &sha256_of(file))).ok().one();
    let namespaces: Vec<String> = serde_json::from_value(row["namespaces"].clone()).unwrap();
    assert_eq!(row["signature"].as_str().unwrap().matches("BEGIN SSH SIGNATURE").count(), namespaces.len());
    namespaces
}

fn without_genesis<'a>(file: &'a Path, sha256: &'a str) -> Vec<&'a str> {
    vec!["approve", file.to_str().unwrap(), "--yes", "--expect", sha256, "--identity", "id_ed25519"]
}

fn sha256_of(file: &Path) -> String {
    Hash256::of(&std::fs::read(file).unwrap()).to_string()
}

fn own_line(scene: &Scene) -> String {
    private(&std::fs::read_to_string(scene.machine.path("id_ed25519")).unwrap()).public().to_string()
}

#[test]
fn a_new_member_shows_that_their_key_is_theirs() {
    let scene = Scene::new();
    scene.approve(&scene.request(20), None).ok();
    // Each is in force after the one before it.
    let asked = |version: u32, from: &str, to: &str| {
        let mut request = scene.request(20);
        let from = roster_at(version, from);
        request.roster = from.reference().unwrap();
        (request.operation, request.object) = (Operation::Roster, format!("roster/{version}"));
        request.command = vec!["adopt".to_owned(), "--roster".to_owned()];
        request.subjects = [("roster".to_owned(), 12)].into();
        request.tokens.clear();
        request.steps[0].operation = "roster".to_owned();
        request.steps[0].object = format!("roster/{version}");
        request.steps[0].params = json!({ "generation": "ledger/1", "from": from, "to": roster_at(version, to) });
        scene.hand(&request, None)
    };
    let (mine, other) = (own_line(&scene), generate_ed25519("").unwrap().1);
    let (approval, roster) = (format!("keyctl-approval-v1@{ORIGIN}"), format!("keyctl-roster-v1@{ORIGIN}"));
    assert_eq!(namespaces(&scene, &asked(2, &mine, &mine)), std::slice::from_ref(&approval));
    assert_eq!(namespaces(&scene, &asked(2, &mine, &other)), std::slice::from_ref(&approval));
    assert_eq!(namespaces(&scene, &asked(3, &other, &mine)), std::slice::from_ref(&roster));
    // A key that goes to somebody else has to be shown by them.
    let file = asked(4, &mine, &mine);
    let text = std::fs::read_to_string(&file).unwrap();
    let (from, to) = text.split_once("\"to\":").unwrap();
    let text = format!("{from}\"to\":{}", to.replace("alice@", "anna@"));
    let moved = ApprovalRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(namespaces(&scene, &scene.hand(&moved, None)), [approval, roster]);
    let file = asked(5, &other, &other);
    scene.machine.keyctl(&without_genesis(&file, &sha256_of(&file))).fails(4, "not_in_roster");
    let shown = scene.machine.keyctl(&["approve", asked(6, &mine, &other).to_str().unwrap(), "--dry-run"]).ok();
    assert!(shown.stderr.contains("alice@example.com no longer signs with"), "{}", shown.stderr);
}

#[test]
fn a_founding_is_signed_by_those_whom_it_names() {
    let scene = Scene::new();
    let founding = |line: &str, earlier: Option<Earlier>| {
        let mut request = scene.request(20);
        let beginning = Beginning {
            settings: json!({"schema": "keyctl.settings/v1"}),
            roster: roster_of(line),
            tokens: Default::default(),
            ledger_keys: Vec::new(),
            earlier,
        };
        (request.genesis_sha256, request.workspace_id) = (None, "new".to_owned());
        (request.operation, request.object) = (Operation::Roster, "roster".to_owned());
        request.command = vec!["init".to_owned()];
        request.subjects.clear();
        request.tokens.clear();
        request.log_head = LogHead { size: 0, root: Hash256::of(b"") };
        request.roster = beginning.roster.reference().unwrap();
        request.settings_sha256 = Hash256::of(&jcs::to_vec(&beginning.settings).unwrap());
        request.steps = vec![beginning.step("new").unwrap()];
        request
    };
    let hand = |request: &ApprovalRequest| scene.hand(request, None);
    let mine = founding(&own_line(&scene), None);
    assert_eq!(namespaces(&scene, &hand(&mine)), [format!("keyctl-roster-v1@{ORIGIN}")]);
    let stranger = generate_ed25519("").unwrap().1;
    let refused = |request: &ApprovalRequest, exit, code| {
        let file = hand(request);
        scene.machine.keyctl(&without_genesis(&file, &sha256_of(&file))).fails(exit, code);
    };
    refused(&founding(&stranger, None), 4, "not_in_roster");
    // People of the workspace that had the tokens before speak for that one.
    let hash = Hash256([4; 32]);
    let earlier = || Earlier {
        workspace_id: "old".to_owned(),
        origin: "old.corp/keyctl".to_owned(),
        genesis_sha256: hash,
        roster_sha256: hash,
    };
    let consent = "keyctl-approval-v1@old.corp/keyctl".to_owned();
    assert_eq!(namespaces(&scene, &hand(&founding(&stranger, Some(earlier())))), std::slice::from_ref(&consent));
    let both = [format!("keyctl-roster-v1@{ORIGIN}"), consent];
    assert_eq!(namespaces(&scene, &hand(&founding(&own_line(&scene), Some(earlier())))), both);
    let mut other_roster = founding(&own_line(&scene), None);
    other_roster.roster.sha256 = hash;
    refused(&other_roster, 1, "bad_founding");
    assert!(!scene.machine.path("state/keyctl/witness/new.json").exists(), "there is no ledger yet");
    // The workspace's first request is the first sight of its genesis.
    let mut first = scene.request(3);
    first.workspace_id = "new".to_owned();
    let file = hand(&first);
    scene.machine.keyctl(&without_genesis(&file, &sha256_of(&file))).fails(2, "genesis_needed");
}

#[test]
fn an_approval_of_artifacts_is_signed_for_what_it_is() {
    let scene = Scene::new();
    let now = Clock::system().now();
    let approval = CabApproval {
        schema: cab::SCHEMA.to_owned(),
        approval_id: "cab-7".parse().unwrap(),
        workspace_id: scene.request(1).workspace_id,
        origin: ORIGIN.to_owned(),
        environment: Environment::Staging,
        status: cab::Status::Approved,
        approver: "alice@example.com".parse().unwrap(),
        requester: Some("carol@example.com".parse().unwrap()),
        artifacts: [(Hash256([6; 32]), "app.exe".to_owned())].into(),
        not_before: now,
        expiry: now + TimeDelta::days(2),
        count: 1,
        conditions: vec!["only after the freeze".to_owned()],
        ticket: None,
    };
    let write = |approval: &CabApproval| {
        let file = scene.machine.path("cab.json");
        std::fs::write(&file, approval.to_bytes().unwrap()).unwrap();
        file
    };
    let file = write(&approval);
    let command = scene.machine.command(&["approve", "cab.json", "--to", "cab.json.sig", "--identity", "id_ed25519"]);
    let screen = Screen::run(&scene.machine, &command);
    let text = screen.shows("to approve, type cab-7:");
    for words in ["only after the freeze", "app.exe", &Hash256([6; 32]).to_string(), "alice@example.com", "NEW HERE"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    screen.types("cab-7");
    screen.exits(0);
    let (bytes, signature) = (std::fs::read(&file).unwrap(), scene.machine.path("cab.json.sig"));
    assert!(stock_accepts(&scene.machine, &format!("keyctl-cab-v1@{ORIGIN}"), &signature, &bytes));
    assert!(!stock_accepts(&scene.machine, &format!("keyctl-approval-v1@{ORIGIN}"), &signature, &bytes));
    let read = cab::read(&bytes, Some(&std::fs::read(&signature).unwrap())).unwrap();
    assert!(matches!(read, cab::Presented::Signed(paper) if paper.is_signed()));

    let refused = |change: &dyn Fn(&mut CabApproval), code| {
        let mut other = approval.clone();
        change(&mut other);
        let file = write(&other);
        scene.machine.keyctl(&without_genesis(&file, &sha256_of(&file))).fails(4, code);
    };
    refused(&|a| (a.not_before, a.expiry) = (now - TimeDelta::days(2), now - TimeDelta::days(1)), "request_expired");
    // Of a workspace that this machine knows, it cannot say something else.
    scene.approve(&scene.request(20), None).ok();
    refused(&|a| a.environment = Environment::Production, "genesis_changed");
    refused(&|a| a.origin = "other.corp/keyctl".to_owned(), "genesis_changed");
}
