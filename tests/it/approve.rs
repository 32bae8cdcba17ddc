//! The approver's machine: what it shows, what it signs, what it refuses, and what it remembers.

use crate::support::{Place, Ran, ran, tool};
use crate::team::Team;
use crate::terminal::Screen;
use chrono::TimeDelta;
use keyctl::clock::Clock;
use keyctl::config::policy::Operation;
use keyctl::crypto::jcs;
use keyctl::crypto::merkle::{self, Nodes, leaf_hash, node_hash};
use keyctl::crypto::ssh::{PrivateFile, PrivateKey, generate_ed25519};
use keyctl::model::{Environment, Hash256, Tool};
use keyctl::people::bundle::Bundle;
use keyctl::people::cab::{self, CabApproval};
use keyctl::people::founding::{Beginning, Earlier};
use keyctl::people::request::{BreakGlass, LogHead, Requester, RosterReference, SCHEMA, Step};
use keyctl::people::sidecar::{self, ConsistencyProof, Proofs};
use keyctl::people::{ApprovalRequest, Roster};
use keyctl::world::grouped;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const ORIGIN: &str = "example.corp/keyctl";

fn private(text: &str) -> PrivateKey {
    PrivateFile::parse(text.as_bytes()).expect("a key file").open(None).expect("a key")
}

/// A ledger somewhere else, of which only hashes are known.
#[derive(Clone)]
struct Log(Vec<Hash256>);

impl Nodes for Log {
    fn node(&self, level: u8, index: u64) -> keyctl::error::Result<Hash256> {
        if level == 0 {
            return Ok(self.0[index as usize]);
        }
        Ok(node_hash(&self.node(level - 1, 2 * index)?, &self.node(level - 1, 2 * index + 1)?))
    }
}

impl Log {
    /// The entries of one history, which differs from that of another seed from its fifth entry on.
    fn new(seed: u8) -> Self {
        Log((0..40u8).map(|n| leaf_hash(&[if n < 5 { 0 } else { seed }, n])).collect())
    }

    fn head(&self, size: u64) -> LogHead {
        LogHead { size, root: merkle::root(self, size).expect("a root") }
    }

    fn proofs(&self, from: &[u64], to: u64) -> Proofs {
        let proof = |from: &u64| ConsistencyProof {
            from: *from,
            hashes: merkle::consistency_proof(self, *from, to).expect("a proof"),
        };
        Proofs { schema: sidecar::SCHEMA.to_owned(), proofs: from.iter().map(proof).collect() }
    }
}

/// Somebody who asks, and somebody who approves on a machine of their own.
struct Scene {
    machine: Place,
    requester: PrivateKey,
    log: Log,
}

impl Scene {
    fn new() -> Self {
        let machine = Place::new();
        approver_key(&machine);
        let requester = private(&generate_ed25519("carol@example.com").expect("a key").0);
        Scene { machine, requester, log: Log::new(0) }
    }

    fn request(&self, size: u64) -> ApprovalRequest {
        request(&self.requester, self.log.head(size), self.log.0[0])
    }

    /// Puts a request on the machine, as it comes from the workspace.
    fn hand(&self, request: &ApprovalRequest, proofs: Option<Proofs>) -> PathBuf {
        hand(&self.machine.path(""), request, &self.requester, proofs)
    }

    /// Approves without typing.
    fn approve(&self, request: &ApprovalRequest, proofs: Option<Proofs>) -> Ran {
        let file = self.hand(request, proofs);
        self.machine.keyctl(&yes(&file, &Hash256::of(&std::fs::read(&file).unwrap()).to_string(), &self.genesis()))
    }

    fn genesis(&self) -> String {
        self.log.0[0].to_string()
    }

    fn memory(&self) -> PathBuf {
        self.machine.path(format!("state/keyctl/witness/{}.json", self.request(1).workspace_id))
    }
}

fn yes<'a>(file: &'a Path, sha256: &'a str, genesis: &'a str) -> Vec<&'a str> {
    let file = file.to_str().unwrap();
    vec!["approve", file, "--yes", "--expect", sha256, "--genesis", genesis, "--identity", "id_ed25519"]
}

fn approver_key(place: &Place) {
    let (file, line) = generate_ed25519("alice@example.com").expect("a key");
    std::fs::write(place.path("id_ed25519"), file.as_bytes()).unwrap();
    std::fs::set_permissions(place.path("id_ed25519"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(place.path("id_ed25519.pub"), format!("{line}\n")).unwrap();
}

fn request(requester: &PrivateKey, head: LogHead, genesis: Hash256) -> ApprovalRequest {
    let now = Clock::system().now();
    ApprovalRequest {
        schema: SCHEMA.to_owned(),
        request_id: format!("{:032x}", head.size),
        workspace_id: "5f0c0f9e-6a35-4a3e-8a53-111111111111".to_owned(),
        origin: ORIGIN.to_owned(),
        environment: Environment::Staging,
        genesis_sha256: Some(genesis),
        operation: Operation::Rotate,
        object: "windows".to_owned(),
        command: vec!["rotate".to_owned(), "windows".to_owned()],
        steps: vec![Step {
            operation: "keygen".to_owned(),
            object: "windows/3".to_owned(),
            params: json!({"cka_id": "0a", "algorithm": "rsa-3072"}),
        }],
        subjects: [("windows".to_owned(), 12)].into(),
        tokens: Default::default(),
        log_head: head,
        roster: RosterReference { version: 1, sha256: Hash256([2; 32]) },
        settings_sha256: Hash256([3; 32]),
        requester: Requester {
            email: "carol@example.com".parse().unwrap(),
            key_sha256: requester.public().fingerprint(),
        },
        reason: "it is due".to_owned(),
        ticket: None,
        break_glass: None,
        tool: Tool { version: "0.1.0".to_owned(), sha256: None },
        created_at: now,
        not_before: now,
        not_after: now + TimeDelta::hours(4),
    }
}

fn hand(folder: &Path, request: &ApprovalRequest, requester: &PrivateKey, proofs: Option<Proofs>) -> PathBuf {
    let bytes = request.to_bytes().expect("a good request");
    let file = folder.join(format!("{}.json", request.request_id));
    std::fs::write(&file, &bytes).unwrap();
    let signature = requester.sign(&format!("keyctl-request-v1@{}", request.origin), &bytes).unwrap();
    std::fs::write(file.with_extension("request.sig"), signature.to_string()).unwrap();
    let sidecar = file.with_extension("proofs.json");
    match proofs {
        Some(proofs) => std::fs::write(sidecar, jcs::to_vec(&proofs).unwrap()).unwrap(),
        None => drop(std::fs::remove_file(sidecar)),
    }
    file
}

/// For the examples of the help: a request and a key that can approve it.
pub fn example(place: &Place) {
    approver_key(place);
    let requester = private(&generate_ed25519("carol@example.com").expect("a key").0);
    let log = Log::new(0);
    let file = hand(&place.path(""), &request(&requester, log.head(20), log.0[0]), &requester, None);
    for (from, to) in [("json", "request.json"), ("request.sig", "request.request.sig")] {
        std::fs::rename(file.with_extension(from), place.path(to)).unwrap();
    }
    let bundle = Bundle::new(
        std::fs::read_to_string(place.path("request.json")).unwrap(),
        Some(std::fs::read_to_string(place.path("request.request.sig")).unwrap()),
        None,
    );
    std::fs::write(place.path("block.txt"), bundle.to_armour().unwrap()).unwrap();
}

/// What stock `ssh-keygen -Y verify` says of an approval.
fn stock_accepts(place: &Place, namespace: &str, signature: &Path, message: &[u8]) -> bool {
    let line = std::fs::read_to_string(place.path("id_ed25519.pub")).unwrap();
    std::fs::write(place.path("signers"), format!("alice@example.com {line}")).unwrap();
    let mut verify = tool("ssh-keygen");
    verify.args(["-Y", "verify", "-n", namespace, "-I", "alice@example.com", "-f"]).arg(place.path("signers"));
    verify.arg("-s").arg(signature).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = verify.spawn().expect("ssh-keygen");
    let _ = child.stdin.take().unwrap().write_all(message);
    child.wait().unwrap().success()
}

#[test]
fn an_approver_reads_compares_types_and_signs() {
    let scene = Scene::new();
    let mut request = scene.request(20);
    request.break_glass = Some(BreakGlass { incident: "INC-7".to_owned(), justification: "stolen".to_owned() });
    let file = scene.hand(&request, None);
    let bytes = std::fs::read(&file).unwrap();
    let mut command = scene.machine.command(&["approve", "--identity", "id_ed25519", "--to", "alice.sig"]);
    command.arg(&file);
    let screen = Screen::run(&scene.machine, &command);
    let text = screen.shows("its last two groups:");
    for words in [
        "BREAK-GLASS  THIS GOES AROUND THE ORDINARY WAY",
        "INC-7",
        "asked        replace the key windows",
        "by           carol@example.com",
        "because      it is due",
        "command      keyctl rotate windows",
        "cka_id: 0a",
        "NEW HERE",
        &grouped(&Hash256::of(&bytes).to_string()),
        &format!("genesis      {}", grouped(&scene.genesis())),
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    screen.types("0000 0000");
    let genesis = scene.genesis();
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types(&format!(" {} {}", &genesis[56..60], genesis[60..].to_uppercase()));
    screen.shows("to approve, type windows:");
    assert!(!scene.memory().exists() && !scene.machine.path("alice.sig").exists());
    screen.types("windows");
    let text = screen.exits(0);
    assert!(text.contains("-----BEGIN SSH SIGNATURE-----") && text.contains("-----END SSH SIGNATURE-----"), "{text}");
    let signature = scene.machine.path("alice.sig");
    let namespace = format!("keyctl-approval-v1@{ORIGIN}");
    assert!(stock_accepts(&scene.machine, &namespace, &signature, &bytes));
    assert!(!stock_accepts(&scene.machine, &format!("keyctl-request-v1@{ORIGIN}"), &signature, &bytes));
    let mut changed = bytes.clone();
    changed[30] ^= 1;
    assert!(!stock_accepts(&scene.machine, &namespace, &signature, &changed));
    assert!(std::fs::read_to_string(scene.memory()).unwrap().contains("\"size\": 20"));

    // The workspace is known by now, so its genesis is not asked for again.
    let mut command = scene.machine.command(&["approve", "--identity", "id_ed25519"]);
    command.arg(scene.hand(&scene.request(33), Some(scene.log.proofs(&[20], 33))));
    let screen = Screen::run(&scene.machine, &command);
    let text = screen.shows("to approve, type windows:");
    assert!(text.contains("continues    the ledger of 20 entries") && !text.contains("last two groups"), "{text}");
    for wrong in ["", "yes", "windows/3"] {
        screen.types(wrong);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let text = screen.exits(4);
    assert!(text.contains("nothing was signed") && !text.contains("BEGIN SSH SIGNATURE"), "{text}");
    assert!(std::fs::read_to_string(scene.memory()).unwrap().contains("\"size\": 20"), "remembers what it signed only");
}

#[test]
fn what_is_pasted_cannot_confirm_itself() {
    let scene = Scene::new();
    let file = scene.hand(&scene.request(20), None);
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let block = Bundle::new(text(&file), Some(text(&file.with_extension("request.sig"))), None).to_armour().unwrap();
    let genesis = scene.genesis();
    let command = scene.machine.command(&["approve", "-", "--identity", "id_ed25519", "--genesis", &genesis]);
    let screen = Screen::run(&scene.machine, &command);
    screen.shows("paste the request block");
    screen.pastes(&format!("Hello Alice, please\n{block}windows\nwindows\nwindows\nwindows\n"));
    screen.shows("to approve, type windows ");
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        screen.types("windows");
    }
    assert!(screen.exits(4).contains("nothing was signed"));

    let screen = Screen::run(&scene.machine, &command);
    screen.shows("paste the request block");
    screen.pastes(&block);
    let shown = screen.shows("to approve, type windows ");
    let (_, wanted) = shown.rsplit_once("to approve, type ").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types(wanted.trim().trim_end_matches(':'));
    assert!(screen.exits(0).contains("BEGIN SSH SIGNATURE"));
}

#[test]
fn a_locked_key_asks_for_its_passphrase_after_the_confirmation() {
    let scene = Scene::new();
    let mut make = tool("ssh-keygen");
    make.args(["-q", "-t", "ecdsa", "-N", "correct horse", "-a", "4", "-f"]).arg(scene.machine.path("locked"));
    assert!(make.status().unwrap().success());
    let genesis = scene.genesis();
    let mut command = scene.machine.command(&["approve", "--identity", "locked", "--genesis", &genesis]);
    command.arg(scene.hand(&scene.request(20), None)).env_remove("SSH_AUTH_SOCK");
    let screen = Screen::run(&scene.machine, &command);
    screen.shows("to approve, type windows:");
    screen.types("windows");
    screen.shows("passphrase of locked");
    std::thread::sleep(std::time::Duration::from_millis(200));
    screen.types("correct horse");
    let text = screen.exits(0);
    assert!(text.contains("BEGIN SSH SIGNATURE") && !text.contains("correct horse"), "{text}");
}

#[test]
fn a_key_in_the_agent_is_named_by_its_public_half() {
    let scene = Scene::new();
    let socket = scene.machine.path("agent");
    let mut agent = tool("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut add = tool("ssh-add");
    let added = add.arg("-q").arg(scene.machine.path("id_ed25519")).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    assert!(added.success());
    std::fs::remove_file(scene.machine.path("id_ed25519")).unwrap();
    let file = scene.hand(&scene.request(20), None);
    let bytes = std::fs::read(&file).unwrap();
    let (sha256, genesis) = (Hash256::of(&bytes).to_string(), scene.genesis());
    let mut command = scene.machine.command(&yes(&file, &sha256, &genesis)[..7]);
    command.args(["--identity", "id_ed25519.pub", "--to", "alice.sig"]).env("SSH_AUTH_SOCK", &socket);
    let signed = ran(command.output().unwrap());
    let _ = agent.kill();
    let _ = agent.wait();
    signed.ok();
    let namespace = format!("keyctl-approval-v1@{ORIGIN}");
    assert!(stock_accepts(&scene.machine, &namespace, &scene.machine.path("alice.sig"), &bytes));
}

#[test]
fn a_ledger_that_does_not_continue_is_refused() {
    let scene = Scene::new();
    let first = scene.approve(&scene.request(20), None).ok().one();
    let namespaces = json!([format!("keyctl-approval-v1@{ORIGIN}")]);
    assert_eq!((&first["first_sight"], &first["namespaces"]), (&json!(true), &namespaces));
    let before = std::fs::read(scene.memory()).unwrap();
    let refused = |request: &ApprovalRequest, proofs: Option<Proofs>, code: &str| {
        let ran = scene.approve(request, proofs).fails(4, code);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("BEGIN SSH"));
        assert_eq!(std::fs::read(scene.memory()).unwrap(), before, "{code} moves nothing");
    };
    let good = || scene.log.proofs(&[1, 20], 33);
    // No proof, a proof from somewhere else, and one that proves something else.
    refused(&scene.request(33), None, "no_proof");
    refused(&scene.request(33), Some(scene.log.proofs(&[1, 19], 33)), "no_proof");
    let mut bent = good();
    bent.proofs[1].hashes[0].0[0] ^= 1;
    refused(&scene.request(33), Some(bent), "ledger_forked");
    // A head that was made up; a history that went another way; one that was cut; one that began otherwise.
    let mut forged = scene.request(33);
    forged.log_head.root = Hash256([9; 32]);
    refused(&forged, Some(good()), "ledger_forked");
    let mut same_size = scene.request(20);
    same_size.log_head.root = Log::new(1).head(20).root;
    refused(&same_size, None, "ledger_forked");
    let other = Log::new(1);
    let forked = request(&scene.requester, other.head(33), other.0[0]);
    refused(&forked, Some(other.proofs(&[20], 33)), "ledger_forked");
    refused(&scene.request(12), Some(scene.log.proofs(&[1], 12)), "ledger_rolled_back");
    let mut elsewhere = scene.request(33);
    elsewhere.genesis_sha256 = Some(Hash256([8; 32]));
    refused(&elsewhere, Some(good()), "genesis_changed");
    let mut roster = scene.request(33);
    roster.roster.sha256 = Hash256([7; 32]);
    refused(&roster, Some(good()), "roster_forked");
    let next = scene.approve(&scene.request(33), Some(good())).ok().one();
    assert_eq!((&next["first_sight"], &next["ledger_size"]), (&json!(false), &json!(33)));
    assert_ne!(std::fs::read(scene.memory()).unwrap(), before);
}

#[test]
fn what_its_requester_did_not_sign_is_refused() {
    let scene = Scene::new();
    let file = scene.hand(&scene.request(20), None);
    let sidecar = file.with_extension("request.sig");
    let good = std::fs::read(&sidecar).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let sha256 = Hash256::of(&bytes).to_string();
    let genesis = scene.genesis();
    let approve = || scene.machine.keyctl(&yes(&file, &sha256, &genesis));
    std::fs::remove_file(&sidecar).unwrap();
    approve().fails(2, "no_requester_signature");
    let other = private(&generate_ed25519("mallory").unwrap().0);
    let request = format!("keyctl-request-v1@{ORIGIN}");
    let bad = [
        (other.sign(&request, &bytes).unwrap().to_string(), "wrong_requester"),
        (scene.requester.sign(&format!("keyctl-approval-v1@{ORIGIN}"), &bytes).unwrap().to_string(), "wrong_namespace"),
        (scene.requester.sign("keyctl-request-v1@other", &bytes).unwrap().to_string(), "wrong_namespace"),
        (scene.requester.sign(&request, b"{}").unwrap().to_string(), "bad_signature"),
        ("nonsense".to_owned(), "bad_ssh_signature"),
    ];
    for (signature, code) in bad {
        std::fs::write(&sidecar, signature).unwrap();
        approve().fails(6, code);
    }
    std::fs::write(&sidecar, &good).unwrap();
    // A changed byte, in words that read as well.
    let changed = String::from_utf8(bytes.clone()).unwrap().replace("it is due", "it is dye");
    std::fs::write(&file, &changed).unwrap();
    approve().fails(4, "other_request");
    let sha256 = Hash256::of(changed.as_bytes()).to_string();
    scene.machine.keyctl(&yes(&file, &sha256, &genesis)).fails(6, "bad_signature");
    assert!(!scene.memory().exists());
    std::fs::write(&file, &bytes).unwrap();
    approve().ok();
}

#[test]
fn anything_odd_in_the_bytes_is_refused() {
    let scene = Scene::new();
    let good = String::from_utf8(scene.request(20).to_bytes().unwrap()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let odd = [
        (changed("it is due", "it is \u{202e}eud"), "bad_request"),
        (changed("it is due", "it is\\u001b[2Jdue"), "bad_request"),
        (changed("it is due", "it is \u{200b}due"), "bad_request"),
        (changed("it is due", "e\u{301}"), "bad_request"),
        (changed(r#""reason":"it is due""#, r#""reason":"it is due","reason":"it is due""#), "bad_document"),
        (changed(r#""reason":"#, r#""reason": "#), "bad_request"),
        (changed(r#""reason":"#, r#""reasons":"#), "bad_request"),
        (changed("it is due", &"due ".repeat(20_000)), "bad_request"),
        (changed("keyctl.request/v1", "keyctl.request/v2"), "unknown_document"),
        (changed(r#""size":20"#, r#""size":2e1"#), "bad_document"),
        (format!("{good}\n\n"), "bad_request"),
        (format!("{good}{{}}"), "bad_document"),
        ("{}".to_owned(), "unknown_document"),
        (String::new(), "bad_document"),
        ("x".repeat(300_000), "bad_document"),
        ("x".repeat(5_000_000), "too_large"),
        ("-----BEGIN KEYCTL REQUEST-----\nAAAA\n".to_owned(), "bad_bundle"),
    ];
    for (i, (text, code)) in odd.iter().enumerate() {
        let file = scene.machine.path(format!("{i}.json"));
        std::fs::write(&file, text).unwrap();
        // Signed by its requester all the same.
        let signature = scene.requester.sign(&format!("keyctl-request-v1@{ORIGIN}"), text.as_bytes()).unwrap();
        std::fs::write(file.with_extension("request.sig"), signature.to_string()).unwrap();
        let sha256 = Hash256::of(text.as_bytes()).to_string();
        scene.machine.keyctl(&yes(&file, &sha256, &scene.genesis())).fails(1, code);
        let mut piped = scene.machine.command(&yes(Path::new("-"), &sha256, &scene.genesis()));
        piped.stdin(std::fs::File::open(&file).unwrap());
        ran(piped.output().unwrap()).fails(1, code);
    }
    assert!(!scene.memory().exists());
}

#[test]
fn it_takes_the_right_time_and_another_person() {
    let scene = Scene::new();
    let old = |hours: i64| {
        let mut request = scene.request(20);
        request.created_at -= TimeDelta::hours(hours);
        request.not_before -= TimeDelta::hours(hours);
        request.not_after -= TimeDelta::hours(hours);
        request
    };
    scene.approve(&old(5), None).fails(4, "request_expired");
    scene.approve(&old(-1), None).fails(4, "request_future");
    let mut own = scene.request(20);
    let mine = std::fs::read_to_string(scene.machine.path("id_ed25519")).unwrap();
    own.requester.key_sha256 = private(&mine).public().fingerprint();
    let file = hand(&scene.machine.path(""), &own, &private(&mine), None);
    let sha256 = Hash256::of(&std::fs::read(&file).unwrap()).to_string();
    scene.machine.keyctl(&yes(&file, &sha256, &scene.genesis())).fails(4, "own_request");
    scene.approve(&old(3), None).ok();
}

#[test]
fn without_typing_the_command_line_has_to_say_what_is_meant() {
    let scene = Scene::new();
    let file = scene.hand(&scene.request(20), None);
    let (sha256, genesis) = (Hash256::of(&std::fs::read(&file).unwrap()).to_string(), scene.genesis());
    let file = file.to_str().unwrap();
    let run = |args: &[&str]| scene.machine.keyctl(&[&["approve", file, "--identity", "id_ed25519"], args].concat());
    run(&[]).fails(2, "no_terminal");
    run(&["--yes"]).fails(2, "expect_needed");
    run(&["--yes", "--expect", &sha256]).fails(2, "genesis_needed");
    let other = Hash256([1; 32]).to_string();
    run(&["--yes", "--expect", &other, "--genesis", &genesis]).fails(4, "other_request");
    run(&["--yes", "--expect", &sha256, "--genesis", &other]).fails(4, "genesis_changed");
    scene.machine.keyctl(&["approve", file, "--yes", "--expect", &sha256]).fails(2, "identity_needed");
    let seen = run(&["--dry-run"]).ok();
    assert!(seen.stderr.contains("by           carol@example.com") && seen.one().get("signature").is_none());
    assert!(!scene.memory().exists());
    // As it is read aloud.
    run(&["--yes", "--expect", &grouped(&sha256), "--genesis", &grouped(&genesis)]).ok();
    run(&["--yes", "--expect", &sha256]).ok();
}

/// A request about the ledger of a sandbox, in its `requests/` folder.
fn from_sandbox(place: &Place, requester: &PrivateKey, id: u8) -> PathBuf {
    let ledger = place.workspace().join("ledger.db");
    let ledger = keyctl::ledger::Ledger::open_read_only(&ledger, Clock::system()).unwrap();
    let head = ledger.head().unwrap();
    let genesis = keyctl::ledger::query::genesis(ledger.connection()).unwrap();
    let head = LogHead { size: head.size, root: head.root };
    let mut request = request(requester, head, ledger.entry(0).unwrap().leaf_hash().unwrap());
    (request.workspace_id, request.origin) = (genesis.workspace_id, genesis.origin);
    request.environment = genesis.environment;
    request.request_id = format!("{id:032x}");
    hand(&place.workspace().join("requests"), &request, requester, None)
}

#[test]
fn a_request_is_packed_with_the_proof_that_an_approver_lacks() {
    let place = Place::with_sandbox();
    let scene = Scene::new();
    let file = from_sandbox(&place, &scene.requester, 1);
    let packed = place.keyctl(&["approve", file.to_str().unwrap(), "--pack", "--output", "table"]).ok();
    assert!(packed.stdout.starts_with("-----BEGIN KEYCTL REQUEST-----\n"));
    let approve = |block: &str, id: u8| {
        let bytes = std::fs::read(place.workspace().join(format!("requests/{id:032x}.json"))).unwrap();
        let request = ApprovalRequest::parse(&bytes).unwrap();
        let (sha256, genesis) = (Hash256::of(&bytes).to_string(), request.genesis_sha256.unwrap().to_string());
        let mut command = scene.machine.command(&yes(Path::new("-"), &sha256, &genesis));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(format!("> Hi!\n> \n{block}\nBye\n").as_bytes());
        (ran(child.wait_with_output().unwrap()), request.log_head.size)
    };
    let (first, size) = approve(&packed.stdout, 1);
    first.ok();

    place.keyctl(&["keygen", "windows"]).ok();
    let file = from_sandbox(&place, &scene.requester, 2);
    let file = file.to_str().unwrap();
    let packed = place.keyctl(&["approve", file, "--pack"]).ok().one();
    let (refused, _) = approve(packed["bundle"].as_str().unwrap(), 2);
    refused.fails(4, "no_proof").says(&format!("--pack --prove-from {size}"));
    place.keyctl(&["approve", file, "--pack", "--prove-from", "0"]).fails(2, "bad_range");
    place.keyctl(&["approve", file, "--pack", "--prove-from", "100000"]).fails(2, "bad_range");
    let proven = place.keyctl(&["approve", file, "--pack", "--prove-from", &size.to_string()]).ok().one();
    approve(proven["bundle"].as_str().unwrap(), 2).0.ok();
    // The proof lies beside the request by now, for those who reach the folder.
    let again = place.keyctl(&["approve", file, "--pack"]).ok().one();
    assert_eq!(again["bundle"], proven["bundle"]);

    let elsewhere = scene.hand(&scene.request(20), None);
    let elsewhere = scene.machine.copy(&elsewhere, "elsewhere.json");
    std::fs::copy(scene.machine.path(format!("{:032x}.request.sig", 20)), elsewhere.with_extension("request.sig"))
        .unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    place.keyctl(&["approve", elsewhere, "--pack", "--prove-from", "3"]).fails(2, "not_in_workspace");
}

#[test]
fn an_approval_in_a_workspace_lands_beside_its_request() {
    let place = Place::with_sandbox();
    let scene = Scene::new();
    approver_key(&place);
    let file = from_sandbox(&place, &scene.requester, 1);
    let bytes = std::fs::read(&file).unwrap();
    let request = ApprovalRequest::parse(&bytes).unwrap();
    let sha256 = Hash256::of(&bytes).to_string();
    // This user founded the workspace, so its genesis is known here.
    let arguments = ["approve", file.to_str().unwrap(), "--yes", "--expect", &sha256, "--identity", "id_ed25519"];
    let row = place.keyctl(&arguments).ok().one();
    let fingerprint = row["key_sha256"].as_str().unwrap();
    let signature = file.with_file_name(format!("{}.{}.sig", request.request_id, &fingerprint[..16]));
    assert_eq!(row["files"], json!([signature.to_str().unwrap()]));
    assert_eq!(row["signature"].as_str().unwrap(), std::fs::read_to_string(&signature).unwrap());
    assert!(stock_accepts(&place, &format!("keyctl-approval-v1@{}", request.origin), &signature, &bytes));
    // Approving again changes nothing, and a genesis that this user's pin does not have is refused.
    place.keyctl(&arguments).ok();
    assert_eq!(row["signature"].as_str().unwrap(), std::fs::read_to_string(&signature).unwrap());
    let mut other = request.clone();
    other.genesis_sha256 = Some(Hash256([8; 32]));
    other.request_id = format!("{:032x}", 9);
    std::fs::remove_dir_all(place.path("state/keyctl/witness")).unwrap();
    let file = hand(&place.path(""), &other, &scene.requester, None);
    let sha256 = Hash256::of(&std::fs::read(&file).unwrap()).to_string();
    let genesis = Hash256([8; 32]).to_string();
    place.keyctl(&yes(&file, &sha256, &genesis)).fails(4, "genesis_changed");
}

/// A roster with one person, who has this key.
fn roster_of(line: &str) -> Roster {
    let roster = json!({"schema": "keyctl.roster/v1", "version": 1, "people": {"alice@example.com": {
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
    let asked = |from: &str, to: &str| {
        let mut request = scene.request(20);
        (request.operation, request.object) = (Operation::Roster, "roster/2".to_owned());
        request.steps[0].operation = "roster".to_owned();
        request.steps[0].params = json!({ "generation": "ledger/1", "from": roster_of(from), "to": roster_of(to) });
        scene.hand(&request, None)
    };
    let (mine, other) = (own_line(&scene), generate_ed25519("").unwrap().1);
    let (approval, roster) = (format!("keyctl-approval-v1@{ORIGIN}"), format!("keyctl-roster-v1@{ORIGIN}"));
    assert_eq!(namespaces(&scene, &asked(&mine, &mine)), [approval.clone()]);
    assert_eq!(namespaces(&scene, &asked(&mine, &other)), [approval.clone()]);
    assert_eq!(namespaces(&scene, &asked(&other, &mine)), [roster.clone()]);
    // A key that goes to somebody else has to be shown by them.
    let file = asked(&mine, &mine);
    let text = std::fs::read_to_string(&file).unwrap();
    let (from, to) = text.split_once("\"to\":").unwrap();
    let text = format!("{from}\"to\":{}", to.replace("alice@", "anna@"));
    let moved = ApprovalRequest::parse(text.as_bytes()).unwrap();
    assert_eq!(namespaces(&scene, &scene.hand(&moved, None)), [approval, roster]);
    let file = asked(&other, &other);
    scene.machine.keyctl(&without_genesis(&file, &sha256_of(&file))).fails(4, "not_in_roster");
    let shown = scene.machine.keyctl(&["approve", asked(&mine, &other).to_str().unwrap(), "--dry-run"]).ok();
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
        request.subjects.clear();
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
    assert_eq!(namespaces(&scene, &hand(&founding(&stranger, Some(earlier())))), [consent.clone()]);
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

/// From request to key: asked for in one place, approved in another, done once.
#[test]
fn what_was_approved_elsewhere_is_done_once() {
    let team = Team::founded();
    let machine = Place::new();
    machine.copy(&team.key("alice@example.com"), "id_ed25519");
    std::fs::set_permissions(machine.path("id_ed25519"), PermissionsExt::from_mode(0o600)).unwrap();
    let genesis =
        keyctl::crypto::merkle::leaf_hash(team.place.sql("SELECT leaf FROM entries WHERE seq = 0").as_bytes());
    let genesis = genesis.to_string();
    for key in ["root", "windows-ca"] {
        let asked = team.keyctl("bob@example.com", &["keygen", key]).fails(5, "approval_needed").one();
        let (file, id) = (asked["request"].as_str().unwrap(), asked["request_id"].as_str().unwrap());
        let packed = team.place.keyctl(&["approve", file, "--pack", "--output", "table"]).ok();
        std::fs::write(machine.path("mail.txt"), format!("Hello Alice\n\n{}", packed.stdout)).unwrap();
        let run = |more: &[&str]| team.keyctl("bob@example.com", &[&["run", id], more].concat());
        run(&[]).fails(5, "approval_needed");
        let sha256 = asked["aloud"].as_str().unwrap();
        let to = format!("{key}.sig");
        let arguments = [&yes(Path::new("mail.txt"), sha256, &genesis)[..], &["--to", &to]].concat();
        let row = machine.keyctl(&arguments).ok().one();
        assert_eq!((&row["object"], &row["kind"]), (&json!(format!("{key}/1")), &json!("request")), "{row}");
        let signature = team.place.copy(&machine.path(&to), &to);
        run(&["--approval", signature.to_str().unwrap()]).ok();
        assert_eq!(team.place.sql(&format!("SELECT count(*) FROM generations WHERE key = '{key}'")), "1");
        run(&["--approval", signature.to_str().unwrap()]).fails(4, "request_consumed");
    }
}
