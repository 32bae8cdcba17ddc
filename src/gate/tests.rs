//! Permits, consents, plans and foundings by themselves. What people sign is tested behind the gate, with `outcome`.

mod rotation;

use super::*;
use crate::config::policy::Operation as Rule;
use crate::crypto::jcs;
use crate::files::lock::ProcessLock;
use crate::keys::{RevocationReason, State};
use crate::ledger::testing::{self, Signer, acts};
use crate::model::{CorrelationId, HashAlgorithm, KeyAlgorithm, Mechanism};
use crate::people::request::{BreakGlass, Step};
use crate::request::{GenerateKey, IssueCrl, PublishMetadata, RevokeKey, SignArtifact};
use std::path::Path;
use tempfile::TempDir;

const SHA256: Mechanism = Mechanism::Ecdsa(HashAlgorithm::Sha256);

fn listed(role: Role, message: &str, count: u32) -> Covered {
    let content = crate::model::Hash256::of(message.as_bytes());
    Covered { count, ..acts::covered(role, "windows/1", SHA256, "primary", content) }
}

fn permit(signatures: Vec<Covered>) -> Permit<SignArtifact> {
    Permit::new(Request { signatures, ..acts::sign("windows/1", 1) }, Vec::new(), None)
}

#[test]
fn a_permit_is_spent_on_what_it_lists_and_as_often() {
    let over = |message: &str| Tbs::message(SHA256, message.as_bytes());
    let artifact = |message, count| listed(Role::Artifact, message, count);
    let mut signatures = vec![artifact("one", 1), artifact("twice", 2), listed(Role::Issuer, "issuer", 1)];
    signatures.extend([artifact("again", 1), artifact("again", 1)]);
    let permit = permit(signatures);
    for (role, message, times) in [
        (Role::Artifact, "one", 1),
        (Role::Artifact, "twice", 2),
        (Role::Issuer, "issuer", 1),
        (Role::Artifact, "again", 2),
        (Role::Artifact, "other", 0),
        (Role::Artifact, "issuer", 0),
        (Role::Issuer, "one", 0),
    ] {
        for _ in 0..times {
            permit.spend(role, &over(message)).unwrap();
        }
        assert!(permit.spend(role, &over(message)).is_err(), "{role} {message}");
    }
    let otherwise = Tbs::message(Mechanism::Ecdsa(HashAlgorithm::Sha384), b"one");
    assert!(permit.spend(Role::Artifact, &otherwise).is_err());
    let of = |role| permit.covered(role).map(|covered| covered.count).collect::<Vec<_>>();
    assert_eq!((of(Role::Artifact), of(Role::Issuer)), (vec![1, 2, 1, 1], vec![1]));
    assert_eq!(of(Role::ProofOfPossession), Vec::<u32>::new());
}

#[test]
fn an_intent_is_taken_up_by_its_own_operation_and_when_nobody_works_on_it() {
    let mut test = testing::ledger(13);
    let locks = tempfile::tempdir().unwrap();
    let lock = ProcessLock::acquire(locks.path()).unwrap();
    let mut intent = acts::intent(&acts::sign("windows/1", 20));
    intent.body["process"] = lock.id().to_string().into();
    let first = test.add(intent).seq;
    let second = test.add(acts::intent(&acts::sign("windows/1", 21))).seq;
    let resume = |seq| resume::<SignArtifact>(&test.ledger, locks.path(), seq);
    assert_eq!(resume(first).unwrap_err().code(), "intent_in_progress");
    let permit = resume(second).unwrap();
    assert_eq!(permit.intent().unwrap().seq, second);
    assert_eq!(permit.request().object, acts::sign("windows/1", 21).object);
    assert_eq!(resume(second + 1).unwrap_err().code(), "no_open_intent");
    assert_eq!(resume(0).unwrap_err().code(), "no_open_intent", "an entry, and no open intent");
    let other = super::resume::<ChangeState>(&test.ledger, locks.path(), second).unwrap_err();
    assert!(other.message().contains("is no KEY_STATE_CHANGED"), "{other}");
    drop(lock);
    assert_eq!(resume(first).unwrap().intent().unwrap().seq, first);
}

/// A sandbox with `root/1`, `windows-ca/1` by it, and `windows/1` by that, which is active.
fn hierarchy() -> testing::Test {
    let mut test = testing::ledger(1);
    for (n, name, purpose, issuer) in [
        (1, "root/1", Purpose::RootCa, "root/1"),
        (2, "windows-ca/1", Purpose::IntermediateCa, "root/1"),
        (3, "windows/1", Purpose::Authenticode, "windows-ca/1"),
    ] {
        let keygen = acts::keygen(name, purpose, KeyAlgorithm::EcdsaP256, "primary");
        let intent = test.add(acts::intent(&keygen));
        let identity = acts::identity(&acts::p256(n), &keygen.params);
        test.add(acts::done(&intent, json!({ "identity": identity })));
        let serial = format!("0{n}");
        let intent = test.add(acts::intent(&acts::issue(name, issuer, &serial)));
        let by = Some(acts::id(issuer));
        let credential = acts::credential(format!("certificate {n}").into(), &serial, ["CN=x", "CN=y"], by);
        test.add(acts::done(&intent, json!({ "credential": credential })));
        for (from, to) in [(State::Certified, State::Staged), (State::Staged, State::Active)] {
            let intent = test.add(acts::intent(&acts::step(name, from, to)));
            test.add(acts::done(&intent, json!({})));
        }
    }
    test
}

/// What the gate would decide a request on.
fn facts<O: Decide, T>(test: &mut testing::Test, request: &Request<O>, look: impl FnOnce(&Facts<'_>) -> T) -> T {
    let writer = test.ledger.writer().unwrap();
    let ground = Ground::read(&writer).unwrap();
    look(&ground.facts(writer.before(), request, People::Waived).unwrap())
}

#[test]
fn facts_are_about_the_request() {
    let mut test = hierarchy();
    // Another generation than the one that is asked about is the active one.
    let step = |id| acts::step(id, State::Staged, State::Active);
    assert!(!facts(&mut test, &step("windows/1"), |facts| facts.has_active));
    assert!(facts(&mut test, &step("windows/2"), |facts| facts.has_active));
    // What a destruction has to know, and nothing else.
    let issued = |facts: &Facts<'_>| facts.destruction.issued_until.is_some();
    assert!(!facts(&mut test, &step("windows-ca/1"), issued));
    let doomed = DestroyKey { generation: acts::id("windows-ca/1"), from: State::Active, copies: Vec::new() };
    assert!(facts(&mut test, &acts::request("windows-ca/1", doomed, Vec::new()), issued));
}

#[test]
fn a_list_counts_what_the_act_itself_revokes() {
    let mut test = hierarchy();
    let entries = |facts: &Facts<'_>| facts.list.unwrap().entries;
    let revoke: Request<RevokeKey> =
        acts::revoke("windows/1", RevocationReason::Superseded, "01-02", Some(("windows-ca/1", 1)));
    assert_eq!(facts(&mut test, &revoke, entries), 1);
    for ca in ["root/1", "windows-ca/1"] {
        let list: Request<IssueCrl> = acts::crl(ca, 1);
        assert_eq!(facts(&mut test, &list, entries), 0, "{ca}: to list what was revoked revokes nothing");
    }
}

#[test]
fn a_refusal_names_the_gates_that_said_no() {
    let gate = |name: &str, holds| crate::policy::gates::holds(name, "in", "out", holds);
    let error = blocked("windows/1", &[gate("One", true), gate("Two", false), gate("Three", true)]);
    assert_eq!(error.message(), "windows/1: Two fail: in (limit out)");
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { steps, ..Plan::empty() }
}

#[test]
fn a_consent_covers_what_its_plan_has_and_what_only_follows() {
    let retire = acts::step("windows/1", State::Active, State::Retiring);
    let file = acts::sign("windows/1", 1);
    let planned = || plan(vec![step(retire.object.clone(), &retire.params).unwrap(), sign_step(&file)]);
    let tells = PublishMetadata { generation: acts::id("windows/1"), files: BTreeMap::new() };
    let tells = acts::request("windows/1", tells, Vec::new());
    let consents = [
        (Consent::of_grant(planned(), "g".into()), true, true),
        (Consent::of_intent(planned(), 7), true, true),
        // Roles sign files, and do nothing else.
        (Consent::of_role(planned()), false, true),
        (Consent::of_consequence(), false, false),
    ];
    for (number, (consent, moves, signs)) in consents.iter().enumerate() {
        assert_eq!(consent.covers(&retire).is_ok(), *moves, "{number}");
        assert_eq!(consent.covers(&file).is_ok(), *signs, "{number}");
        // What follows from what was decided is in no plan.
        consent.covers(&tells).unwrap();
        let others = [
            acts::step("windows/1", State::Active, State::Revoked),
            acts::step("windows/2", State::Active, State::Retiring),
        ];
        for other in others {
            assert_eq!(consent.covers(&other).unwrap_err().code(), "not_planned", "{number}");
        }
        assert_eq!(consent.covers(&acts::sign("windows/1", 2)).unwrap_err().code(), "not_planned", "{number}");
        let again = consent.also(plan(Vec::new()));
        assert_eq!(again.is_some(), number == 0, "only what was agreed to without looking is agreed to again");
        assert!(again.is_none_or(|again| again.covers(&retire).is_err()));
    }
}

fn sign_step(request: &Request<SignArtifact>) -> Step {
    step(request.object.clone(), &request.params).unwrap()
}

#[test]
fn a_sandbox_is_the_only_one_that_waives_people() {
    let mut test = testing::ledger(1);
    let consent = Consent::of_sandbox(plan(Vec::new()), &test.ledger).unwrap();
    let request = acts::step("windows/1", State::Active, State::Retiring);
    let error = admit(&mut test.ledger, acts::PROCESS, &consent, vec![request]).unwrap_err();
    assert_eq!(error.code(), "not_planned");
}

#[test]
fn what_is_recovered_was_begun_by_that_entry() {
    let mut test = testing::ledger(13);
    let file = acts::sign("windows/1", 20);
    let begun = test.add(acts::intent(&file)).seq;
    let retire = acts::step("windows/1", State::Active, State::Retiring);
    let planned = || plan(vec![sign_step(&file), sign_step(&acts::sign("windows/1", 21)), state_step(&retire)]);
    let mut admit = |seq, request| {
        let consent = Consent::of_intent(planned(), seq);
        super::admit(&mut test.ledger, acts::PROCESS, &consent, vec![request]).map(drop)
    };
    admit(begun, file.clone()).unwrap();
    for (seq, request) in [(begun, acts::sign("windows/1", 21)), (begun - 1, file.clone()), (0, file.clone())] {
        let error = admit(seq, request).unwrap_err();
        assert!(error.message().contains("did not begin"), "{error}");
    }
    // Another act on the same object.
    let consent = Consent::of_intent(planned(), begun);
    let error = super::admit(&mut test.ledger, acts::PROCESS, &consent, vec![retire]).unwrap_err();
    assert!(error.message().contains("did not begin"), "{error}");
}

fn state_step(request: &Request<ChangeState>) -> Step {
    step(request.object.clone(), &request.params).unwrap()
}

#[test]
fn a_plan_is_looked_up_by_kind_and_object() {
    let steps = ["windows/1", "windows/2"].map(|id| state_step(&acts::step(id, State::Active, State::Retiring)));
    let plan = plan(steps.to_vec());
    use crate::request::Kind::{ChangeState as Change, DestroyKey as Destroy};
    assert_eq!(plan.find(Change, "windows/2"), Some(&steps[1]));
    assert_eq!(plan.find(Change, "windows/3"), None);
    assert_eq!(plan.find(Destroy, "windows/1"), None);
    assert_eq!(plan.params::<ChangeState>("windows/2").unwrap().generation, acts::id("windows/2"));
    assert_eq!(plan.params::<ChangeState>("windows/3").unwrap_err().code(), "not_planned");
    assert_eq!(plan.rule_in_force(), Rule::Crl);
    let broken = BreakGlass { incident: "INC-1".into(), justification: "x".into() };
    assert_eq!(Plan { break_glass: Some(broken), ..plan }.rule_in_force(), Rule::BreakGlass);
    // What can only be known when it is done is not planned.
    let issue = acts::issue("windows/1", "windows-ca/1", "01");
    let planned = step("windows/1", &issue.params).unwrap().params;
    assert!(planned.get("tbs_sha256").is_none() && planned.get("serial").is_some(), "{planned}");
}

#[test]
fn a_command_line_can_be_typed() {
    let line = |words: &[&str]| command_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(line(&["rotate", "windows", "--reason=x,y"]), "keyctl rotate windows --reason=x,y");
    assert_eq!(line(&["sign", "a b", "", "it's"]), r"keyctl sign 'a b' '' 'it'\''s'");
    assert_eq!(line(&["x;y", "é"]), "keyctl 'x;y' 'é'");
}

#[test]
fn what_is_open_cannot_be_foreseen() {
    let mut test = hierarchy();
    let (actor, id): (_, CorrelationId) = (testing::actor(), "c-1".parse().unwrap());
    let mut foresee = |step: &Step| super::foresee(&mut test.ledger, step, (&actor, &id), false).unwrap();
    let retire = state_step(&acts::step("windows/1", State::Active, State::Retiring));
    assert!(matches!(foresee(&retire), Some(Decision::Allow(_))));
    let back = state_step(&acts::step("windows/1", State::Retiring, State::Active));
    let Some(decision) = foresee(&back) else { panic!("it is known") };
    assert_eq!(refusal("windows/1", &decision).unwrap().code(), "gate_failed");
    // All of its parameters are there, and yet they will be others.
    let issue = acts::issue("windows/1", "windows-ca/1", "09");
    let whole = Step {
        operation: "issue".into(),
        object: "windows/1".into(),
        params: serde_json::to_value(&issue.params).unwrap(),
    };
    assert!(foresee(&whole).is_none());
    assert!(foresee(&Step { operation: "unknown".into(), ..retire.clone() }).is_none());
    assert!(foresee(&Step { params: json!({}), ..retire }).is_none());
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.path().join(crate::ledger::FILE)
    }

    fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// With entry 0, or without.
    fn create(&self, founded: bool) {
        let mut ledger = Ledger::create(&self.ledger(), testing::clock()).unwrap();
        if founded {
            let mut writer = ledger.writer().unwrap();
            writer.append(acts::founding(&acts::genesis(&Signer::fixed()))).unwrap();
            writer.commit().unwrap();
        }
    }

    fn found(&self, workspace_id: &str) -> Result<Founding> {
        let intent = acts::genesis(&Signer::fixed()).intent;
        found(self.path(), crate::ledger::genesis::GenesisIntent { workspace_id: workspace_id.into(), ..intent })
    }
}

#[test]
fn a_founding_goes_on_where_it_stopped_and_never_over_a_workspace() {
    let place = Place::new();
    let founding = place.found("first").unwrap();
    assert_eq!(founding.permits().len(), 1);
    assert!(founding.permits().iter().all(|permit: &Permit<GenerateKey>| permit.intent().is_none()));
    // Whoever comes back goes on with the same identifiers.
    assert_eq!(place.found("second").unwrap().intent().workspace_id, "first");
    // A ledger without an entry holds nothing, and goes with what SQLite left beside it.
    place.create(false);
    std::fs::write(place.path().join(format!("{}-wal", crate::ledger::FILE)), b"").unwrap();
    assert_eq!(place.found("third").unwrap().intent().workspace_id, "first");
    assert!(!place.ledger().exists() && !place.has(&format!("{}-wal", crate::ledger::FILE)));
    std::fs::write(place.ledger(), b"").unwrap();
    drop(place.found("fourth").unwrap());
    assert!(!place.ledger().exists());
    // With its entry 0 it is a workspace, whether or not the intent is still there.
    place.create(true);
    assert_eq!(place.found("fifth").unwrap_err().code(), "workspace_exists");
    assert!(place.ledger().exists());
    std::fs::remove_file(place.path().join(GENESIS_INTENT)).unwrap();
    assert_eq!(place.found("sixth").unwrap_err().code(), "workspace_exists");
    assert!(!place.has(GENESIS_INTENT));
    // What cannot be taken away is said.
    let stuck = Place::new();
    drop(stuck.found("first").unwrap());
    std::fs::write(stuck.ledger(), b"").unwrap();
    std::fs::create_dir(stuck.path().join(format!("{}-shm", crate::ledger::FILE))).unwrap();
    assert_eq!(stuck.found("first").unwrap_err().code(), "ledger_unwritable");
}

#[test]
fn a_workspace_is_founded_when_it_has_its_first_entry() {
    let founded = |intent: bool, ledger: Option<bool>| {
        let place = Place::new();
        let text = jcs::to_vec(&acts::genesis(&Signer::fixed()).intent).unwrap();
        intent.then(|| std::fs::write(place.path().join(GENESIS_INTENT), &text).unwrap());
        ledger.into_iter().for_each(|founded| place.create(founded));
        (is_founded(place.path()).unwrap(), place.has(GENESIS_INTENT))
    };
    assert_eq!(founded(false, None), (false, false));
    assert_eq!(founded(true, None), (false, true));
    assert_eq!(founded(false, Some(true)), (true, false));
    assert_eq!(founded(true, Some(true)), (true, false), "what is left of the founding goes");
    assert_eq!(founded(true, Some(false)), (false, true), "the intent is still needed");
    let place = Place::new();
    std::fs::write(place.path().join(GENESIS_INTENT), b"{}").unwrap();
    std::fs::write(place.ledger(), b"").unwrap();
    assert!(!is_founded(place.path()).unwrap(), "its making was interrupted");
    std::fs::write(place.ledger(), vec![b'x'; 8192]).unwrap();
    assert!(is_founded(place.path()).is_err(), "something else lies there");
}
