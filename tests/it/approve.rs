//! The approver's machine: what it shows, what it signs, what it refuses, and what it remembers.

use crate::support::{Place, Ran, ran, tool};
use chrono::TimeDelta;
use keyctl::clock::Clock;
use keyctl::config::policy::Operation;
use keyctl::crypto::jcs;
use keyctl::crypto::merkle::{self, Nodes, leaf_hash, node_hash};
use keyctl::crypto::ssh::{PrivateFile, PrivateKey, generate_ed25519};
use keyctl::model::{Environment, Hash256, Tool};
use keyctl::people::ApprovalRequest;
use keyctl::people::bundle::Bundle;
use keyctl::people::request::{LogHead, Requester, RosterReference, SCHEMA, Step, TokenSummary};
use keyctl::people::sidecar::{self, ConsistencyProof, Proofs};
use keyctl::world::grouped;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

#[path = "approve/documents.rs"]
mod documents;
#[path = "approve/typed.rs"]
mod typed;
#[path = "approve/workspace.rs"]
mod workspace;

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

fn token(serial: &str) -> TokenSummary {
    serde_json::from_value(json!({
        "serial": serial, "label": "signing", "manufacturer": "m", "model": "m", "firmware": "1",
    }))
    .expect("a token")
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
        object: "windows/3".to_owned(),
        command: vec!["rotate".to_owned(), "windows".to_owned()],
        steps: vec![Step {
            operation: "keygen".to_owned(),
            object: "windows/3".to_owned(),
            params: json!({
                "algorithm": "rsa-3072", "cka_id": "0a", "custody": "bound", "destroyable": true,
                "environment": "staging", "generation": "windows/3", "hsm": "primary", "label": "windows/3",
                "nonce": "0b", "purpose": "authenticode", "token_serial": "1234",
            }),
        }],
        subjects: [("windows".to_owned(), 12)].into(),
        tokens: [("primary".parse().expect("a name"), token("1234"))].into(),
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
