//! People: founding by everyone, rosters that change, and who is suspended. Their signatures are made by `ssh-keygen`.

use crate::support::tool;
use crate::team::{APPROVAL, ORIGIN, PEOPLE, ROSTER, Team, private, sha256, staging};
use serde_json::Value;
use std::path::PathBuf;

/// Whether `ssh-keygen` takes a signature for this person's, with their line of the roster as the only allowed signer.
fn ssh_keygen_accepts(team: &Team, email: &str, signature: &str, bytes: &[u8]) -> bool {
    let (signers, file) = (team.place.path("signers"), team.place.path("signature"));
    let input = team.place.path("signed");
    std::fs::write(&signers, format!("{email} namespaces=\"{ROSTER}@{ORIGIN}\" {}\n", team.line(email)))
        .expect("written");
    std::fs::write(&file, signature).expect("written");
    std::fs::write(&input, bytes).expect("written");
    let namespace = format!("{ROSTER}@{ORIGIN}");
    let output = tool("ssh-keygen")
        .args(["-Y", "verify", "-n", &namespace, "-I", email, "-f"])
        .arg(&signers)
        .arg("-s")
        .arg(&file)
        .stdin(std::fs::File::open(&input).expect("input"))
        .output();
    output.expect("ssh-keygen").status.success()
}

#[test]
fn everyone_in_the_first_roster_signs_the_founding() {
    let team = Team::new();
    let request = team.begin();
    assert!(!team.place.workspace().join("ledger.db").exists());
    let again = team.begin();
    assert_eq!(request, again, "what was asked stays the same until it is over");
    let document: Value = serde_json::from_slice(&std::fs::read(&request).expect("read")).expect("JSON");
    let beginning = &document["steps"][0]["params"];
    assert_eq!(beginning["roster"]["people"].as_object().expect("people").len(), PEOPLE.len());
    assert_eq!(beginning["settings"]["environment"], "staging");

    for (email, ..) in &PEOPLE[..3] {
        team.sign(email, ROSTER, &request);
    }
    // Dan has this program on his machine, and is told what he signs.
    let file = request.to_str().expect("UTF-8");
    let ran = team.keyctl("dan@example.com", &["approve", file, "--yes", "--expect", &sha256(&request)]).ok();
    assert!(ran.stderr.contains("THIS FOUNDS A WORKSPACE"), "{}", ran.stderr);
    // Erin's is missing, and nothing stands in for it: not what she approves, not what another signs, not other bytes.
    let elsewhere = team.place.path("other.json");
    std::fs::write(&elsewhere, b"{}").expect("written");
    let wrong = [
        team.signature("erin@example.com", &format!("{APPROVAL}@{ORIGIN}"), &request),
        team.signature("erin@example.com", &format!("{ROSTER}@other.example/keyctl"), &request),
        team.signature("erin@example.com", &format!("{ROSTER}@{ORIGIN}"), &elsewhere),
        team.signature("alice@example.com", &format!("{ROSTER}@{ORIGIN}"), &request),
    ];
    for (number, signature) in wrong.iter().enumerate() {
        std::fs::write(request.with_extension(format!("wrong{number}.sig")), signature).expect("written");
    }
    let ran = team.anyone(&["init"]).fails(5, "approval_needed");
    let waits: Vec<_> = ran.one()["waits_for"].as_array().expect("a list").clone();
    assert_eq!(waits.len(), 1);
    assert!(waits[0].as_str().expect("words").starts_with("erin@example.com with SHA256:"), "{waits:?}");

    // She runs it herself, with her key.
    let ran = team.keyctl("erin@example.com", &["init"]).ok().says("genesis ").says("keygen root");
    let genesis = &team.place.entries()[0];
    let hash = team.place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0");
    let spoken = ran.stderr.lines().find_map(|line| line.strip_prefix("genesis ")).expect("the hash").replace(' ', "");
    assert_eq!(spoken, hash);
    let body = &genesis["body"];
    assert_eq!(body["roster"]["people"]["erin@example.com"]["roles"][1], "platform-admin");
    let founding = &body["intent"]["founding"];
    let bytes = founding["request"].as_str().expect("the request").as_bytes();
    assert_eq!(bytes, std::fs::read(&request).expect("read"));
    let signatures: Vec<_> = founding["signatures"].as_array().expect("a list").clone();
    assert_eq!(signatures.len(), PEOPLE.len());
    for (email, ..) in PEOPLE {
        let accepted =
            signatures.iter().filter(|it| ssh_keygen_accepts(&team, email, it.as_str().expect("armour"), bytes));
        assert_eq!(accepted.count(), 1, "{email}");
        let mut changed = bytes.to_vec();
        changed[10] ^= 1;
        assert!(!signatures.iter().any(|it| ssh_keygen_accepts(&team, email, it.as_str().expect("armour"), &changed)));
    }
    team.anyone(&["audit", "log"]).ok();
    assert_eq!(team.place.sql("SELECT version, seq FROM rosters"), "1|0");
    // Once more is no harm, and makes nothing new.
    team.anyone(&["init"]).ok();
    assert_eq!(team.place.entries().len(), 1);
}

#[test]
fn a_founding_is_for_the_files_and_people_that_were_signed() {
    let team = Team::new();
    team.anyone(&["init", "--from", "keyctl.toml"]).fails(2, "identity_needed");
    team.make_key("eve@example.com", "ed25519");
    team.init("eve@example.com").fails(4, "not_in_roster");
    let request = team.begin();
    for (email, ..) in PEOPLE {
        team.sign(email, ROSTER, &request);
    }
    // Somebody edits the roster after everyone signed: it is another request, which nobody signed.
    team.write_roster("roster.toml", 1, |email, entry| {
        if email.starts_with("carol") {
            *entry = entry.replace("\"packaging-engineer\"", "\"packaging-engineer\", \"security-reviewer\"");
        }
    });
    let other = team.begin();
    assert_ne!(request, other);
    assert!(!team.place.workspace().join("ledger.db").exists());
    // Edited in place, it is no request of ours any more.
    team.write_roster("roster.toml", 1, |_, _| {});
    let text = std::fs::read_to_string(&request).expect("read").replace("platform-admin", "publisher");
    std::fs::write(&request, text).expect("written");
    assert_ne!(team.begin(), request);
}

#[test]
fn a_roster_that_cannot_do_what_the_policy_asks_founds_nothing() {
    let team = Team::new();
    team.write_roster("roster.toml", 2, |_, _| {});
    team.init("alice@example.com").fails(2, "roster_version");
    team.write_roster("roster.toml", 1, |email, entry| {
        if email.starts_with("dan") {
            *entry = entry.replace("cab-approver", "publisher");
        }
    });
    team.init("alice@example.com").fails(2, "policy_unsatisfiable").says("re-sign must include a cab-approver");
    team.write_roster("roster.toml", 1, |email, entry| {
        if email > "b" {
            entry.clear();
        }
    });
    team.init("alice@example.com").fails(2, "bad_roster").says("roster.toml:1: people: 3 to 100 people, not 1");
    std::fs::remove_file(team.place.path("roster.toml")).expect("removed");
    std::fs::remove_dir_all(team.place.workspace()).expect("removed");
    team.init("alice@example.com").fails(2, "no_roster");
}

#[test]
fn keys_of_different_power_have_tokens_with_different_pins() {
    let team = Team::new();
    let (roster, aside) = (team.place.path("roster.toml"), team.place.path("aside.toml"));
    std::fs::rename(&roster, &aside).expect("moved");
    team.init("alice@example.com").fails(2, "no_roster");
    std::fs::rename(&aside, &roster).expect("moved");
    // Other files, other sources, but the same PIN in them.
    for token in ["root", "issuing"] {
        let folder = team.place.workspace().join("tokens").join(token);
        for made in [team.place.workspace(), team.place.workspace().join("tokens"), folder.clone()] {
            if !made.exists() {
                std::fs::create_dir(&made).expect("a folder");
            }
            private(&made, 0o700);
        }
        std::fs::write(folder.join("pin"), "0123456789abcdef").expect("a PIN");
        private(&folder.join("pin"), 0o600);
    }
    let ran = team.init("alice@example.com").fails(2, "same_pin").says("[hsm.root]").says("[hsm.issuing]");
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("0123456789abcdef"));
    let shared = staging().replace("hsm              = [\"issuing\"]", "hsm              = [\"root\"]");
    std::fs::remove_dir_all(team.place.workspace()).expect("removed");
    std::fs::write(team.place.path("keyctl.toml"), shared).expect("written");
    team.init("alice@example.com").fails(2, "shared_token");
}

#[test]
fn a_second_founding_on_the_same_tokens_takes_the_first_ones_people() {
    let team = Team::founded();
    let (workspace, earlier) = (team.place.workspace(), team.place.path("earlier"));
    assert!(tool("cp").arg("-a").arg(&workspace).arg(&earlier).status().expect("cp").success());
    // Somebody removes the ledger, and founds anew with people of their own on the tokens that have keys.
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "roster.toml"] {
        let _ = std::fs::remove_file(workspace.join(file));
    }
    std::fs::remove_dir_all(workspace.join("requests")).expect("removed");
    team.write_roster("roster.toml", 1, |email, entry| {
        if email.starts_with("bob") {
            *entry = entry.replace("platform-admin", "security-reviewer\", \"platform-admin");
        }
    });
    team.init("carol@example.com").fails(4, "token_in_use").says("ledger/");
    let all = ["init", "--from", "keyctl.toml", "--earlier", "earlier"];
    let ran = team
        .keyctl("carol@example.com", &all)
        .fails(5, "approval_needed")
        .says("the earlier workspace's people: 2 more people");
    let request = PathBuf::from(ran.one()["request"].as_str().expect("a request"));
    for (email, ..) in PEOPLE {
        team.sign(email, ROSTER, &request);
    }
    team.anyone(&all).fails(5, "approval_needed").says("the earlier workspace's people");
    team.sign("bob@example.com", APPROVAL, &request);
    team.sign("carol@example.com", APPROVAL, &request);
    team.anyone(&all).fails(5, "approval_needed").says("a security-reviewer");
    team.sign("alice@example.com", APPROVAL, &request);
    team.anyone(&all).ok();
    let consent = team.place.entries()[0]["body"]["intent"]["founding"]["earlier"].clone();
    let emails: Vec<_> = consent.as_array().expect("a list").iter().map(|it| it["email"].clone()).collect();
    assert_eq!(emails.len(), 2, "{emails:?}");
    assert!(emails.contains(&"alice@example.com".into()) && emails.contains(&"bob@example.com".into()), "{emails:?}");
}

/// In a sandbox one person plays everyone, and must not thereby get at keys that other people made.
#[test]
fn a_sandbox_takes_no_tokens_over() {
    let team = Team::founded();
    let (workspace, earlier) = (team.place.workspace(), team.place.path("earlier"));
    assert!(tool("cp").arg("-a").arg(&workspace).arg(&earlier).status().expect("cp").success());
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "roster.toml", "keyctl.toml"] {
        let _ = std::fs::remove_file(workspace.join(file));
    }
    std::fs::remove_file(team.place.path("roster.toml")).expect("removed");
    let sandbox = staging().replace("environment = \"staging\"", "environment = \"sandbox\"");
    std::fs::write(team.place.path("keyctl.toml"), sandbox).expect("written");
    let init = ["init", "--from", "keyctl.toml"];
    team.anyone(&init).fails(4, "token_in_use").says("which another keyctl workspace made");
    let with_earlier = [&init[..], &["--earlier", "earlier"]].concat();
    team.anyone(&with_earlier).fails(4, "token_in_use").says("a sandbox takes tokens of its own");
    assert!(!workspace.join("ledger.db").exists());
}

#[test]
fn the_host_knows_its_workspace() {
    let team = Team::founded();
    if !rustix_is_root() {
        eprintln!("skipped: only root leaves a file of trust");
        return;
    }
    let id = team.place.sql("SELECT json_extract(doc, '$.workspace_id') FROM genesis");
    let file = team.place.path("trust").join(format!("{id}.json"));
    let trust: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(trust["genesis_leaf_hash"], team.place.sql("SELECT lower(hex(leaf_hash)) FROM entries WHERE seq = 0"));
    // Another user's first time is no leap of faith, and nobody has to be asked.
    std::fs::rename(team.place.path("state"), team.place.path("mine")).expect("moved");
    team.anyone(&["status"]).fails(1, "pin_missing");
    team.anyone(&["trust", ".keyctl-sandbox"]).ok().says("\"root_trusts_it\":true");
    team.anyone(&["status"]).ok();
    // What root wrote is not contradicted, neither by the ledger nor by a file that others may write.
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, text.replace(trust["genesis_leaf_hash"].as_str().expect("hex"), &"0".repeat(64)))
        .expect("written");
    team.anyone(&["status"]).fails(4, "ledger_forked");
    std::fs::write(&file, text).expect("written");
    private(&file, 0o666);
    team.anyone(&["status"]).fails(4, "untrusted_trust");
    private(&file, 0o644);
    team.anyone(&["status"]).ok();
}

fn rustix_is_root() -> bool {
    let output = tool("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}
