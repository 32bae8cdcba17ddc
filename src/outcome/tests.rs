//! Approval requests at the gate and behind it: what is consumed, when, and what gets nowhere.

mod conditions;
mod judge;

use super::*;
use crate::clock::Clock;
use crate::config::policy::{self, Role as PersonRole};
use crate::crypto::ssh::{PrivateFile, Signer, generate_ed25519};
use crate::files::lock::ProcessLock;
use crate::gate::{Consent, Presented, Refusal, StateChanged, admit, resume};
use crate::keys::State;
use crate::ledger::genesis::LedgerKey;
use crate::ledger::testing::{Signer as LedgerSigner, acts};
use crate::model::Purpose;
use crate::people::founding::{Beginning, Founded, LedgerKeyPlan};
use crate::people::request::{ApprovalRequest, LogHead, Requester, SCHEMA, Step};
use crate::people::roster::{self, Person, SigningKey};
use crate::people::{Namespace, Roster};
use crate::policy::Verdict;
use crate::request::{Authority, ChangeState};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use tempfile::TempDir;

const ENGINEER: &str = "engineer@example.corp";
const REVIEWER: &str = "reviewer@example.corp";
const ADMIN: &str = "admin@example.corp";

struct Scene {
    ledger: Ledger,
    clock: Clock,
    keys: BTreeMap<&'static str, Signer>,
    roster: Roster,
    /// Is there as long as the ledger in it.
    _folder: TempDir,
}

fn person(signer: &Signer, role: PersonRole) -> Person {
    let key = SigningKey { public_key: signer.public().to_string(), valid_from: None, valid_to: None };
    Person { name: role.to_string(), roles: [role].into(), keys: vec![key], encryption_key: None }
}

/// A workspace with people in its genesis, and `windows/1` active.
fn scene() -> Scene {
    scene_in(crate::model::Environment::Sandbox)
}

fn scene_in(environment: crate::model::Environment) -> Scene {
    let roles = [
        (ENGINEER, PersonRole::PackagingEngineer),
        (REVIEWER, PersonRole::SecurityReviewer),
        (ADMIN, PersonRole::PlatformAdmin),
    ];
    let (mut keys, mut people) = (BTreeMap::new(), BTreeMap::new());
    for (email, role) in roles {
        let (private, _) = generate_ed25519(email).unwrap();
        let signer = Signer::of(PrivateFile::parse(private.as_bytes()).unwrap().open(None).unwrap());
        people.insert(email.parse().unwrap(), person(&signer, role));
        keys.insert(email, signer);
    }
    let roster = Roster { schema: roster::SCHEMA.into(), version: 1, people };
    let mut genesis = acts::genesis(&LedgerSigner::fixed());
    genesis.environment = environment;
    genesis.roster_sha256 = Some(roster.sha256().unwrap());
    genesis.roster = Some(roster.clone());
    genesis.intent.founding = Some(founded(&genesis, &roster, &keys));
    let folder = tempfile::tempdir().unwrap();
    let clock = crate::ledger::testing::clock();
    let mut ledger = Ledger::create(&folder.path().join("ledger.db"), clock.clone()).unwrap();
    let mut writer = ledger.writer().unwrap();
    writer.append(acts::founding(&genesis)).unwrap();
    let keygen = acts::keygen("windows/1", Purpose::Authenticode, crate::model::KeyAlgorithm::EcdsaP256, "primary");
    let intent = writer.append(acts::intent(&keygen)).unwrap();
    let identity = acts::identity(&acts::p256(1), &keygen.params);
    writer.append(acts::done(&intent, json!({ "identity": identity }))).unwrap();
    for (from, to) in [(State::Generated, State::Staged), (State::Staged, State::Active)] {
        let intent = writer.append(acts::intent(&acts::step("windows/1", from, to))).unwrap();
        writer.append(acts::done(&intent, json!({}))).unwrap();
    }
    writer.commit().unwrap();
    Scene { ledger, clock, keys, roster, _folder: folder }
}

/// The founding request of this genesis, signed by everyone.
fn founded(genesis: &Genesis, roster: &Roster, keys: &BTreeMap<&'static str, Signer>) -> Founded {
    let plan = |key: &LedgerKey| {
        let copy = &key.identity.copies[0];
        LedgerKeyPlan {
            generation: key.generation.clone(),
            algorithm: key.identity.algorithm,
            hsm: copy.hsm.clone(),
            token_serial: copy.token.serial.clone(),
        }
    };
    let beginning = Beginning {
        settings: genesis.settings.clone(),
        roster: roster.clone(),
        tokens: genesis.tokens.clone(),
        ledger_keys: genesis.ledger_keys.iter().map(plan).collect(),
        earlier: None,
    };
    let now = crate::ledger::testing::clock().now();
    let request = ApprovalRequest {
        schema: SCHEMA.into(),
        request_id: "ab".repeat(16),
        workspace_id: genesis.workspace_id.clone(),
        origin: genesis.origin.clone(),
        environment: genesis.environment,
        genesis_sha256: None,
        operation: policy::Operation::Roster,
        object: "roster".into(),
        command: vec!["init".into()],
        steps: vec![beginning.step(&genesis.workspace_id).unwrap()],
        subjects: BTreeMap::new(),
        tokens: BTreeMap::new(),
        log_head: LogHead { size: 0, root: crate::model::Hash256::of(b"") },
        roster: roster.reference().unwrap(),
        settings_sha256: genesis.settings_sha256,
        requester: Requester { email: ADMIN.parse().unwrap(), key_sha256: keys[ADMIN].public().fingerprint() },
        reason: "test".into(),
        ticket: None,
        break_glass: None,
        tool: crate::model::Tool { version: "0".into(), sha256: None },
        created_at: now,
        not_before: now,
        not_after: now + TimeDelta::hours(24),
    };
    let bytes = request.to_bytes().unwrap();
    let namespace = Namespace::Roster.of(&request.origin);
    let signatures = keys.values().map(|key| key.sign(&namespace, &bytes).unwrap().to_string()).collect();
    Founded { request: String::from_utf8(bytes).unwrap(), signatures, earlier: Vec::new() }
}

fn retire() -> Request<ChangeState> {
    acts::step("windows/1", State::Active, State::Retiring)
}

fn back() -> Request<ChangeState> {
    acts::step("windows/1", State::Retiring, State::Active)
}

impl Scene {
    /// A request to retire `windows/1` and take that back.
    fn document(&self) -> ApprovalRequest {
        let conn = self.ledger.connection();
        let genesis = query::genesis(conn).unwrap();
        let head = self.ledger.head().unwrap();
        let now = self.clock.now();
        let step = |request: &Request<ChangeState>| Step {
            operation: "state".into(),
            object: request.object.clone(),
            params: serde_json::to_value(&request.params).unwrap(),
        };
        ApprovalRequest {
            schema: SCHEMA.into(),
            request_id: "0123456789abcdef0123456789abcdef".into(),
            workspace_id: genesis.workspace_id,
            origin: genesis.origin,
            environment: genesis.environment,
            genesis_sha256: Some(self.ledger.entry(0).unwrap().leaf_hash().unwrap()),
            operation: policy::Operation::Rotate,
            object: "windows/1".into(),
            command: vec!["rotate".into(), "windows".into()],
            steps: vec![step(&retire()), step(&back())],
            subjects: BTreeMap::from([("windows".into(), query::touched(conn, "windows").unwrap())]),
            tokens: BTreeMap::new(),
            log_head: LogHead { size: head.size, root: head.root },
            roster: self.roster.reference().unwrap(),
            settings_sha256: query::settings(conn).unwrap().sha256,
            requester: Requester {
                email: ENGINEER.parse().unwrap(),
                key_sha256: self.keys[ENGINEER].public().fingerprint(),
            },
            reason: "test".into(),
            ticket: None,
            break_glass: None,
            tool: crate::model::Tool { version: "0".into(), sha256: None },
            created_at: now,
            not_before: now,
            not_after: now + TimeDelta::hours(24),
        }
    }

    fn sign(&self, email: &str, namespace: Namespace, bytes: &[u8], origin: &str) -> String {
        self.keys[email].sign(&namespace.of(origin), bytes).unwrap().to_string()
    }

    fn consent(&self, document: &ApprovalRequest, approvers: &[&str]) -> Consent {
        let bytes = document.to_bytes().unwrap();
        let requester = self.sign(document.requester.email.as_str(), Namespace::Request, &bytes, &document.origin);
        let approvals: Vec<_> =
            approvers.iter().map(|who| self.sign(who, Namespace::Approval, &bytes, &document.origin)).collect();
        // What the gate asks itself is asked here; whether the request fits its steps is the policy's to ask.
        Consent::of_people(Box::new(Presented::by_form(bytes, Some(requester), approvals).unwrap()))
    }

    fn admit(&mut self, consent: &Consent, request: Request<ChangeState>) -> Result<Permit<ChangeState>, Refusal> {
        let mut answers = admit(&mut self.ledger, acts::PROCESS, consent, vec![request]).unwrap();
        answers.remove(0)
    }

    /// The gates that stopped a request; nothing was consumed.
    #[track_caller]
    fn stopped(&mut self, consent: &Consent, request: Request<ChangeState>) -> Vec<String> {
        let before = query::consumed(self.ledger.connection(), "0123456789abcdef0123456789abcdef").unwrap().is_some();
        let refusal = self.admit(consent, request).expect_err("refused");
        let after = query::consumed(self.ledger.connection(), "0123456789abcdef0123456789abcdef").unwrap().is_some();
        assert_eq!(before, after, "a refusal consumes nothing");
        let failed = refusal.gates.iter().filter(|gate| gate.verdict != Verdict::Pass);
        failed.map(|gate| gate.name.clone()).collect()
    }

    fn close(&mut self, permit: Permit<ChangeState>) {
        let tool = crate::model::Tool { version: "0".into(), sha256: None };
        let answers = crate::outcome::close(&mut self.ledger, &tool, vec![(permit, Ok(StateChanged::new()))]).unwrap();
        answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

#[test]
fn an_approved_request_is_consumed_with_its_first_act_and_each_step_is_taken_once() {
    let mut scene = scene();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    let permit = scene.admit(&consent, retire()).unwrap();
    let consumed = query::consumed(scene.ledger.connection(), &document.request_id).unwrap().unwrap();
    let intent = permit.intent().unwrap().clone();
    assert_eq!(consumed.seq + 1, intent.seq, "one transaction, the request first");
    assert_eq!(intent.actor.email.as_str(), ENGINEER);
    assert_eq!(intent.actor.assurance, crate::model::Assurance::Proven);
    let request = permit.request();
    assert_eq!(request.authority, Some(Authority::Request { request_id: document.request_id.clone(), step: 0 }));
    assert_eq!(request.approvals.len(), 2);
    assert_eq!(scene.stopped(&consent, retire()), ["ApprovedStep"], "the step is under way");
    scene.close(permit);
    let second = scene.admit(&consent, back()).unwrap();
    scene.close(second);
    // The state would allow both again; the request does not.
    assert_eq!(scene.stopped(&consent, retire()), ["ApprovedStep"]);
    let steps = query::steps(scene.ledger.connection(), &document.request_id).unwrap();
    assert_eq!(steps, BTreeMap::from([(0, "ok".into()), (1, "ok".into())]));
    let report = crate::ledger::verify::verify(&scene.ledger, &trust(&scene), &[]).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

fn trust(scene: &Scene) -> crate::ledger::verify::Trust {
    crate::ledger::verify::Trust {
        workspace_id: crate::ledger::testing::WORKSPACE.into(),
        origin: crate::ledger::testing::ORIGIN.into(),
        ledger_keys: LedgerSigner::fixed().keys(),
        genesis_leaf_hash: scene.ledger.entry(0).unwrap().leaf_hash().unwrap(),
    }
}

#[test]
fn a_step_that_failed_may_be_taken_again_and_one_that_nobody_knows_about_may_not() {
    for (unknown, again) in [(false, true), (true, false)] {
        let mut scene = scene();
        let consent = scene.consent(&scene.document(), &[REVIEWER]);
        let permit = scene.admit(&consent, retire()).unwrap();
        let tool = crate::model::Tool { version: "0".into(), sha256: None };
        let failure = Failure { error: Error::unavailable("token_gone", "the token is gone"), unknown };
        let results: Vec<(_, Result<StateChanged, _>)> = vec![(permit, Err(failure))];
        crate::outcome::close(&mut scene.ledger, &tool, results).unwrap();
        assert_eq!(scene.admit(&consent, retire()).is_ok(), again, "unknown {unknown}");
    }
}

#[test]
fn what_is_not_approved_as_it_is_gets_nowhere() {
    let mut scene = scene();
    let good = scene.document();
    let alone = scene.consent(&good, &[]);
    assert_eq!(scene.stopped(&alone, retire()), ["Approvals"]);
    let by_itself = scene.consent(&good, &[ENGINEER]);
    assert_eq!(scene.stopped(&by_itself, retire()), ["Approvals"], "the requester does not approve");
    let no_reviewer = scene.consent(&good, &[ADMIN]);
    assert_eq!(scene.stopped(&no_reviewer, retire()), ["Approvals"], "a security reviewer has to be among them");
    let consent = scene.consent(&good, &[REVIEWER]);
    let mut other = retire();
    other.params.reason = "another".into();
    assert_eq!(scene.stopped(&consent, other), ["ApprovedStep"]);
    let mut rule = scene.document();
    rule.operation = policy::Operation::RotateCa;
    let as_ca = scene.consent(&rule, &[REVIEWER, ADMIN]);
    assert_eq!(scene.stopped(&as_ca, retire()), ["ApprovalRule"], "a rule for CAs moves no signing key");
    rule.operation = policy::Operation::Crl;
    assert_eq!(Presented::new(rule.to_bytes().unwrap(), None, Vec::new()).unwrap_err().code(), "bad_request");
    // Approved bytes, then changed.
    let (bytes, mut changed) = (good.to_bytes().unwrap(), scene.document());
    changed.reason = "changed".into();
    let approval = scene.sign(REVIEWER, Namespace::Approval, &bytes, &good.origin);
    let bytes = changed.to_bytes().unwrap();
    let requester = scene.sign(ENGINEER, Namespace::Request, &bytes, &good.origin);
    let edited = Consent::of_people(Box::new(Presented::new(bytes, Some(requester), vec![approval]).unwrap()));
    assert_eq!(scene.stopped(&edited, retire()), ["Approvals"]);
}

#[test]
fn an_approval_ends_with_its_time_and_with_what_it_was_about() {
    let mut scene = scene();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    scene.clock.turn(TimeDelta::hours(24));
    assert_eq!(scene.stopped(&consent, retire()), ["Approvals"], "expired");
    let fresh = scene.document();
    let consent = scene.consent(&fresh, &[REVIEWER]);
    // The key moves: somebody else's request is done first.
    let mut other = scene.document();
    other.request_id = "f".repeat(32);
    let first = scene.consent(&other, &[REVIEWER]);
    for request in [retire(), back()] {
        let permit = scene.admit(&first, request).unwrap();
        scene.close(permit);
    }
    assert_eq!(scene.stopped(&consent, retire()), ["ApprovedRequest"], "the same state, and yet it moved");
}

#[test]
fn a_request_is_consumed_once_even_by_two_at_a_time() {
    let mut scene = scene();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    let mut again = document.clone();
    again.reason = "the same identifier, other words".into();
    let twin = scene.consent(&again, &[REVIEWER]);
    let permit = scene.admit(&consent, retire()).unwrap();
    scene.close(permit);
    assert_eq!(scene.stopped(&twin, back()), ["ApprovedRequest"]);
}

#[test]
fn breaking_the_glass_leaves_duties() {
    let mut scene = scene();
    let mut document = scene.document();
    document.requester.email = ADMIN.parse().unwrap();
    document.requester.key_sha256 = scene.keys[ADMIN].public().fingerprint();
    document.break_glass =
        Some(crate::people::request::BreakGlass { incident: "INC-1".into(), justification: "the key is out".into() });
    let long = scene
        .consent(&ApprovalRequest { not_after: document.created_at + TimeDelta::hours(4), ..document }, &[REVIEWER]);
    let permit = scene.admit(&long, retire()).unwrap();
    let now = scene.clock.now();
    let duties = query::follow_ups(scene.ledger.connection()).unwrap();
    let due: Vec<_> = duties.iter().map(|duty| (duty.kind.as_str(), (duty.due - now).num_hours())).collect();
    assert_eq!(due, [("rotate", 1), ("review", 24), ("cab-report", 48)]);
    scene.close(permit);
}

#[test]
fn an_interrupted_act_keeps_its_authority() {
    let mut scene = scene();
    let locks = tempfile::tempdir().unwrap();
    let process = ProcessLock::acquire(locks.path()).unwrap();
    let id = process.id().to_string();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    let mut answers = admit(&mut scene.ledger, &id, &consent, vec![retire()]).unwrap();
    let seq = answers.remove(0).unwrap().intent().unwrap().seq;
    drop(process);
    let again = resume::<ChangeState>(&scene.ledger, locks.path(), seq).unwrap();
    assert_eq!(again.request().approvals.len(), 2);
    scene.close(again);
    assert_eq!(query::steps(scene.ledger.connection(), &document.request_id).unwrap().len(), 1);
}
