//! What no gate would have let in is found by whoever reads the ledger: entries that somebody wrote past the gate, each
//! wrong in one thing.

use super::*;
use crate::ledger::NewEntry;
use crate::model::{Environment, Hash256};
use crate::people::approval::Participant;
use crate::people::quorum::{self, Ballot, InForce};
use crate::request::{AdoptSettings, PublishMetadata, Resigns, SignArtifact, SuspendKey};

/// Appends these past the gate, and gives what is said against each of them.
fn unproven(scene: &mut Scene, entries: Vec<NewEntry>) -> Vec<String> {
    let first = scene.ledger.head().unwrap().size;
    let mut writer = scene.ledger.writer().unwrap();
    entries.into_iter().for_each(|entry| drop(writer.append(entry).unwrap()));
    writer.commit().unwrap();
    let report = crate::ledger::verify::verify(&scene.ledger, &trust(scene), &[]).unwrap();
    let new = |object: &str| object.strip_prefix("entry ").is_some_and(|seq| seq.parse::<u64>().unwrap() >= first);
    let found = report.findings.into_iter().filter(|one| one.rule == "entry_unproven" && new(&one.object));
    found.map(|one| one.message).collect()
}

#[track_caller]
fn finds(found: &[String], words: &str) {
    assert_eq!(found.len(), 1, "{words}: {found:?}");
    assert!(found[0].contains(words), "{words}: {found:?}");
}

/// The entry that consumes a request that these people approved, and who counted.
fn consumption(scene: &Scene, document: &ApprovalRequest, approvers: &[&str]) -> (NewEntry, Vec<Participant>) {
    let bytes = document.to_bytes().unwrap();
    let origin = &document.origin;
    let requester = scene.sign(document.requester.email.as_str(), Namespace::Request, &bytes, origin);
    let approvals: Vec<_> = approvers.iter().map(|who| scene.sign(who, Namespace::Approval, &bytes, origin)).collect();
    let ballot = Ballot { bytes: &bytes, requester: Some(&requester), approvals: &approvals };
    let in_force = InForce {
        workspace_id: &document.workspace_id,
        origin,
        environment: document.environment,
        genesis_sha256: document.genesis_sha256,
        settings_sha256: document.settings_sha256,
        roster: &scene.roster,
        suspended: &Default::default(),
        now: scene.clock.now(),
    };
    let people = quorum::count(&ballot, &document.rule().default_rule(), &in_force).unwrap().participants;
    (consumed(&bytes, &people), people)
}

fn consumed(bytes: &[u8], people: &[Participant]) -> NewEntry {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = json!({ "request": text, "sha256": Hash256::of(bytes), "approvals": people });
    crate::ledger::testing::new_entry("REQUEST_CONSUMED", body)
}

fn by(request: Request<ChangeState>, step: u32, people: &[Participant]) -> Request<ChangeState> {
    let request_id = "0123456789abcdef0123456789abcdef".to_owned();
    Request { authority: Some(Authority::Request { request_id, step }), approvals: people.to_vec(), ..request }
}

#[test]
fn who_agreed_is_counted_again() {
    let staging = || scene_in(Environment::Staging);
    let mut scene = staging();
    let (entry, people) = consumption(&scene, &scene.document(), &[REVIEWER]);
    let intent = acts::intent(&by(retire(), 0, &people));
    assert_eq!(unproven(&mut scene, vec![entry, intent]), Vec::<String>::new());

    for (approvers, missing) in [(&[][..], "a security-reviewer"), (&[ADMIN][..], "a security-reviewer")] {
        let mut scene = staging();
        let (entry, _) = consumption(&scene, &scene.document(), approvers);
        finds(&unproven(&mut scene, vec![entry]), &format!("consumed without {missing}"));
    }
    // The requester alone is no one to agree, and those who agree are no one to ask.
    for (part, missing) in [(0, "the requester's own signature"), (1, "a security-reviewer")] {
        let mut scene = staging();
        let document = scene.document();
        let (_, mut people) = consumption(&scene, &document, &[REVIEWER]);
        people.remove(part);
        let entry = consumed(&document.to_bytes().unwrap(), &people);
        finds(&unproven(&mut scene, vec![entry]), missing);
    }
    let changes: [fn(&mut Vec<Participant>); 3] = [
        |people| people[1].user_verified = true,
        |people| people[1].email = ADMIN.parse().unwrap(),
        |people| {
            people[1].roles.insert(PersonRole::PlatformAdmin);
        },
    ];
    for change in changes {
        let mut scene = staging();
        let document = scene.document();
        let (_, mut people) = consumption(&scene, &document, &[REVIEWER]);
        change(&mut people);
        let entry = consumed(&document.to_bytes().unwrap(), &people);
        finds(&unproven(&mut scene, vec![entry]), "other people agreed than it says");
    }
}

#[test]
fn only_what_waits_for_people_needs_their_leave() {
    let tells = || {
        let params = PublishMetadata { generation: acts::id("windows/1"), files: BTreeMap::new() };
        acts::intent(&acts::request("windows/1", params, Vec::new()))
    };
    let suspend = || {
        let params = SuspendKey { generation: acts::id("windows/1"), reason: "r".into() };
        acts::intent(&acts::request("windows/1", params, Vec::new()))
    };
    for environment in [Environment::Staging, Environment::Sandbox] {
        let mut scene = scene_in(environment);
        let found = unproven(&mut scene, vec![tells(), suspend(), acts::intent(&retire())]);
        match environment {
            Environment::Sandbox => assert_eq!(found, Vec::<String>::new()),
            _ => finds(&found, "state of windows/1 by nobody's leave"),
        }
    }
}

#[test]
fn what_is_refused_or_done_needs_nobodys_leave_again() {
    let mut scene = scene_in(Environment::Staging);
    let (entry, people) = consumption(&scene, &scene.document(), &[REVIEWER]);
    let mut writer = scene.ledger.writer().unwrap();
    writer.append(entry).unwrap();
    let intent = writer.append(acts::intent(&by(retire(), 0, &people))).unwrap();
    writer.commit().unwrap();
    let more = vec![acts::done(&intent, json!({})), acts::refused(&back())];
    assert_eq!(unproven(&mut scene, more), Vec::<String>::new());
    // An entry of the name that is an intent's is none of a request.
    let mut other = crate::ledger::testing::new_entry("REQUEST_NOTED", json!({}));
    other.body["request"] = "x".into();
    assert_eq!(unproven(&mut scene, vec![other]), Vec::<String>::new());
}

/// A file that the engineer has signed.
fn file(n: u64) -> Request<SignArtifact> {
    let mut request = acts::sign("windows/1", n);
    request.actor.email = ENGINEER.parse().unwrap();
    request
}

#[test]
fn who_has_a_file_signed_may_and_the_key_is_in_use() {
    let write = |environment, change: &dyn Fn(&mut Request<SignArtifact>)| {
        let mut scene = scene_in(environment);
        let mut request = file(1);
        change(&mut request);
        unproven(&mut scene, vec![acts::intent(&request)])
    };
    let (staging, sandbox) = (Environment::Staging, Environment::Sandbox);
    assert_eq!(write(staging, &|_| {}), Vec::<String>::new());
    let reviewer = |request: &mut Request<SignArtifact>| request.actor.email = REVIEWER.parse().unwrap();
    finds(&write(staging, &reviewer), "reviewer@example.corp has a file signed without the leave");
    let stranger = |request: &mut Request<SignArtifact>| request.actor.email = "x@example.corp".parse().unwrap();
    finds(&write(staging, &stranger), "x@example.corp has a file signed without the leave");
    assert_eq!(write(sandbox, &stranger), Vec::<String>::new());
    // To sign again takes two.
    let again = |request: &mut Request<SignArtifact>| {
        request.params.resigns = Some(Resigns {
            artifact_id: "old".into(),
            hash: Hash256([1; 32]),
            entry: 1,
            generation: acts::id("windows/1"),
            evidence_pack_id: None,
            pack_revision: 2,
        });
    };
    finds(&write(staging, &again), "engineer@example.corp has a file signed without the leave");
    for environment in [staging, sandbox] {
        let mut scene = scene_in(environment);
        let mut writer = scene.ledger.writer().unwrap();
        let intent = writer.append(acts::intent(&retire())).unwrap();
        writer.append(acts::done(&intent, json!({}))).unwrap();
        writer.commit().unwrap();
        finds(&unproven(&mut scene, vec![acts::intent(&file(1))]), "windows/1 signs, and is retiring");
    }
}

#[test]
fn a_suspended_key_signs_nothing_after_it() {
    for key in ["windows/1", "ledger/1"] {
        let mut scene = scene_in(Environment::Staging);
        let mut writer = scene.ledger.writer().unwrap();
        writer.append(acts::intent(&file(1))).unwrap();
        let params = SuspendKey { generation: acts::id(key), reason: "r".into() };
        let intent = writer.append(acts::intent(&acts::request(key, params, Vec::new()))).unwrap();
        writer.append(acts::done(&intent, json!({}))).unwrap();
        writer.commit().unwrap();
        let found = unproven(&mut scene, vec![acts::intent(&file(2))]);
        match key {
            "windows/1" => finds(&found, "windows/1 signs, and is suspended"),
            _ => assert_eq!(found, Vec::<String>::new()),
        }
    }
}

#[test]
fn where_the_settings_want_a_proof_nobody_signs_without() {
    let mut scene = scene_in(Environment::Staging);
    let mut adoption: Request<AdoptSettings> = acts::adopt("Example Corp");
    let mut settings = acts::settings().clone();
    let mut rule = settings.policy.rule(policy::Operation::Sign);
    rule.asserted = false;
    settings.policy.set(policy::Operation::Sign, rule);
    adoption.params.to_sha256 = settings.sha256().unwrap();
    adoption.params.settings = serde_json::to_value(&settings).unwrap();
    let mut writer = scene.ledger.writer().unwrap();
    writer.append(acts::intent(&file(1))).unwrap();
    let intent = writer.append(acts::intent(&adoption)).unwrap();
    writer.append(acts::done(&intent, json!({}))).unwrap();
    writer.commit().unwrap();
    finds(&unproven(&mut scene, vec![acts::intent(&file(2))]), "without the leave that takes");
}
