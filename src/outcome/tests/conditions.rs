//! Each condition of the gate that is about people by itself.

use super::*;
use crate::gate::{HandedIn, Plan, foresee, preview, step};
use crate::keys::TokenRecord;
use crate::ledger::testing::actor;
use crate::model::{Environment, Hash256, KeyAlgorithm};
use crate::people::cab::{Paper, UnsignedApproval};
use crate::policy::{Decision, Gate};
use crate::request::{GenerateKey, GiveGrant, Resigns, SignArtifact};

fn staging() -> Scene {
    scene_in(Environment::Staging)
}

#[test]
fn only_a_sandbox_waives_people_and_only_they_are_foreseen() {
    let decide = |scene: &mut Scene| preview(&mut scene.ledger, &[retire()]).unwrap().remove(0);
    assert!(matches!(decide(&mut scene()), Decision::Allow(_)));
    let mut scene = staging();
    assert!(matches!(decide(&mut scene), Decision::NeedsApproval(_)));
    let planned = step("windows/1", &retire().params).unwrap();
    let mut foresee = |agreed| {
        let id = "c-1".parse().unwrap();
        foresee(&mut scene.ledger, &planned, (&actor(), &id), agreed).unwrap().unwrap()
    };
    assert!(matches!(foresee(false), Decision::NeedsApproval(_)));
    assert!(matches!(foresee(true), Decision::Allow(_)), "as if people had agreed");
    let error = Consent::of_sandbox(Plan::of(&scene.document()), &scene.ledger).unwrap_err();
    assert!(error.message().contains("somebody has to agree"), "{error}");
}

/// The gate of this name, of what was allowed or refused.
fn gate_of<O: crate::policy::Decide>(scene: &mut Scene, consent: &Consent, request: Request<O>, name: &str) -> Gate {
    let mut answers = admit(&mut scene.ledger, acts::PROCESS, consent, vec![request]).unwrap();
    let gates = match answers.remove(0) {
        Ok(permit) => permit.gates().to_vec(),
        Err(refusal) => refusal.gates,
    };
    gates.into_iter().find(|gate| gate.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_token_that_is_another_than_planned_undoes_the_approval() {
    let approved = |change: fn(&mut crate::keys::token::TokenSummary)| {
        let mut scene = staging();
        let tokens = query::tokens(scene.ledger.connection()).unwrap();
        let hsm = "primary".parse::<crate::model::HsmName>().unwrap();
        let mut document = scene.document();
        // A step that uses the key, and so the token that it is on.
        let generation = acts::id("windows/1");
        let params = crate::request::TestKey { generation, certificate: "ab".into(), nonce: "cd".into() };
        document.steps.push(crate::gate::step("windows/1", &params).unwrap());
        let mut planned = TokenRecord::summary(&tokens[&hsm]);
        change(&mut planned);
        document.tokens = BTreeMap::from([(hsm, planned)]);
        let consent = scene.consent(&document, &[REVIEWER]);
        gate_of(&mut scene, &consent, retire(), "ApprovedRequest")
    };
    let good = approved(|_| {});
    assert_eq!((good.verdict, good.input.as_str()), (Verdict::Pass, "nothing moved"));
    let changes: [fn(&mut crate::keys::token::TokenSummary); 3] = [
        |token| token.serial = "another".into(),
        |token| token.firmware = "another".into(),
        |token| token.module_sha256 = Some(Hash256([9; 32])),
    ];
    for change in changes {
        let bad = approved(change);
        assert_eq!(bad.verdict, Verdict::Fail);
        assert!(bad.input.ends_with("is another one"), "{bad:?}");
    }
    // One that is in no table is another one too.
    let mut scene = staging();
    let tokens = query::tokens(scene.ledger.connection()).unwrap();
    let planned = tokens.values().next().unwrap().summary();
    let mut document = scene.document();
    document.tokens = BTreeMap::from([("unknown".parse().unwrap(), planned)]);
    let consent = scene.consent(&document, &[REVIEWER]);
    assert_eq!(scene.stopped(&consent, retire()), ["ApprovedRequest"]);
}

#[test]
fn what_moved_since_is_named() {
    let mut scene = staging();
    let mut document = scene.document();
    document.subjects = BTreeMap::from([("windows".into(), 3)]);
    let consent = scene.consent(&document, &[REVIEWER]);
    let gate = gate_of(&mut scene, &consent, retire(), "ApprovedRequest");
    assert_eq!(gate.verdict, Verdict::Fail);
    assert!(gate.input.starts_with("windows moved in entry "), "{gate:?}");
}

#[test]
fn the_gate_says_who_agreed_and_what_is_missing() {
    let approvals = |operation, approvers: &[&str]| {
        let mut scene = staging();
        let document = ApprovalRequest { operation, ..scene.document() };
        let consent = scene.consent(&document, approvers);
        let gate = gate_of(&mut scene, &consent, retire(), "Approvals");
        (gate.verdict, gate.input, gate.limit)
    };
    let (asks, approves) = ("engineer@example.corp asks", "reviewer@example.corp approves as security-reviewer");
    let among = "2 people, among them security-reviewer".to_owned();
    let rotate = approvals(policy::Operation::Rotate, &[REVIEWER]);
    assert_eq!(rotate, (Verdict::Pass, format!("{asks} as packaging-engineer; {approves}"), among.clone()));
    let alone = approvals(policy::Operation::Rotate, &[]);
    let missing = format!("{asks} as packaging-engineer; missing: a security-reviewer");
    assert_eq!(alone, (Verdict::Fail, missing, among.clone()));
    // Whoever asks without a role for it asks, and is not counted.
    let adopt = approvals(policy::Operation::Adopt, &[REVIEWER]);
    let missing = format!("{asks} without counting; {approves}; missing: 1 more person");
    assert_eq!(adopt, (Verdict::Fail, missing, among));
    let sign = approvals(policy::Operation::Sign, &[]);
    assert_eq!(sign, (Verdict::Pass, format!("{asks} as packaging-engineer"), "1 people".to_owned()));
}

#[test]
fn to_sign_again_is_approved_as_that_and_not_as_signing() {
    let rule = |operation, again: bool| {
        let mut scene = staging();
        let document = ApprovalRequest { operation, ..scene.document() };
        let consent = scene.consent(&document, &[]);
        let mut file: Request<SignArtifact> = acts::sign("windows/1", 1);
        file.params.resigns = again.then(|| Resigns {
            artifact_id: "old".into(),
            hash: Hash256([1; 32]),
            entry: 3,
            generation: acts::id("windows/1"),
            evidence_pack_id: None,
            pack_revision: 2,
        });
        gate_of(&mut scene, &consent, file, "ApprovalRule").verdict
    };
    use policy::Operation::{ReSign, Sign};
    assert_eq!(rule(Sign, false), Verdict::Pass);
    assert_eq!(rule(ReSign, true), Verdict::Pass);
    assert_eq!(rule(Sign, true), Verdict::Fail);
    assert_eq!(rule(ReSign, false), Verdict::Fail);
}

#[test]
fn each_step_is_taken_by_the_act_that_it_says() {
    let mut scene = staging();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    let permit = scene.admit(&consent, retire()).unwrap();
    assert_eq!(permit.request().authority.as_ref().map(step_of), Some(0));
    scene.close(permit);
    let permit = scene.admit(&consent, back()).unwrap();
    assert_eq!(permit.request().authority.as_ref().map(step_of), Some(1));
    // What is under way is not begun a second time.
    assert_eq!(scene.stopped(&consent, back()), ["ApprovedStep"]);
}

fn step_of(authority: &Authority) -> u32 {
    match authority {
        Authority::Request { step, .. } => *step,
        Authority::Grant { .. } => panic!("people agreed"),
    }
}

#[test]
fn a_grant_waits_for_the_newest_other_generation_of_its_own_key() {
    let mut scene = staging();
    let now = scene.clock.now();
    let ids: Vec<(&str, Option<i64>)> = vec![("windows/2", Some(40)), ("windows/3", Some(31)), ("apt/1", Some(1))];
    let given = GiveGrant {
        generation: acts::id("windows/2"),
        grant_id: "g".into(),
        settings_sha256: query::settings(scene.ledger.connection()).unwrap().sha256,
        purpose: Purpose::Authenticode,
        subject: "CN=x".into(),
        tokens: BTreeMap::new(),
        generations: 4,
        interval_days: 30,
        not_after: now + TimeDelta::days(100),
    };
    let mut entries = Vec::new();
    for (n, (id, days)) in ids.into_iter().enumerate() {
        let mut keygen: Request<GenerateKey> =
            acts::keygen(id, Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary");
        keygen.params.created = days.map(|days| now - TimeDelta::days(days));
        entries.push((keygen, n as u64 + 10));
    }
    let mut writer = scene.ledger.writer().unwrap();
    let intent = writer.append(acts::intent(&acts::request("windows", given, Vec::new()))).unwrap();
    writer.append(acts::done(&intent, json!({}))).unwrap();
    for (keygen, n) in &entries {
        let intent = writer.append(acts::intent(keygen)).unwrap();
        let identity = acts::identity(&acts::p256(*n), &keygen.params);
        writer.append(acts::done(&intent, json!({ "identity": identity }))).unwrap();
    }
    writer.commit().unwrap();
    let mut interval = |id: &str| {
        let next: Request<GenerateKey> = acts::keygen(id, Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary");
        let mut plan = Plan::of(&scene.document());
        plan.steps = vec![step(id, &next.params).unwrap()];
        let gate = gate_of(&mut scene, &Consent::of_grant(plan, "g".into()), next, "GrantInterval");
        (gate.input, gate.verdict)
    };
    assert_eq!(interval("windows/4"), ("31 days".to_owned(), Verdict::Pass), "another key's is younger");
    assert_eq!(interval("windows/3"), ("40 days".to_owned(), Verdict::Pass), "it does not wait for itself");
}

#[test]
fn an_approval_of_the_board_is_kept_once() {
    let mut scene = staging();
    let approval = UnsignedApproval {
        approval_id: "cab-1".parse().unwrap(),
        status: "approved".into(),
        expiry: scene.clock.now(),
        conditions: Vec::new(),
    };
    let handed_in =
        HandedIn { paper: Paper::Unsigned { approval }, actor: actor(), correlation_id: "c-1".parse().unwrap() };
    let before = scene.ledger.head().unwrap().size;
    assert_eq!(handed_in.keep(&mut scene.ledger).unwrap().unwrap().seq, before);
    assert_eq!(scene.ledger.head().unwrap().size, before + 1);
    assert!(handed_in.keep(&mut scene.ledger).unwrap().is_none());
    assert_eq!(scene.ledger.head().unwrap().size, before + 1);
}

#[test]
fn evidence_is_made_of_what_went_well() {
    let mut scene = staging();
    let document = scene.document();
    let consent = scene.consent(&document, &[REVIEWER]);
    let tool = crate::model::Tool { version: "0".into(), sha256: None };
    let close = |scene: &mut Scene, request, result: Result<StateChanged, Failure>| {
        let permit = scene.admit(&consent, request).unwrap();
        let intent = permit.intent().unwrap().seq;
        crate::outcome::close(&mut scene.ledger, &tool, vec![(permit, result)]).unwrap();
        (intent, scene.ledger.head().unwrap().size - 1)
    };
    let failure = Failure { error: Error::unavailable("token_gone", "the token is gone"), unknown: false };
    let (_, failed) = close(&mut scene, retire(), Err(failure));
    let (intent, done) = close(&mut scene, retire(), Ok(StateChanged::new()));
    let result = |seq: u64| scene.ledger.entry(seq).unwrap().body["result"].as_str().map(str::to_owned);
    assert_eq!((result(failed), result(done)), (Some("failed".into()), Some("ok".into())));
    let receipt = Receipt::load(&scene.ledger, done).unwrap();
    assert_eq!((receipt.intent().seq, receipt.outcome().seq), (intent, done));
    for seq in [failed, intent, 0] {
        assert_eq!(Receipt::load(&scene.ledger, seq).unwrap_err().code(), "no_outcome", "{seq}");
    }
    let failure = Failure { error: Error::unavailable("token_gone", "the token is gone"), unknown: true };
    let (_, unknown) = close(&mut scene, back(), Err(failure));
    assert_eq!(scene.ledger.entry(unknown).unwrap().body["result"], "unknown");
}

#[test]
fn who_only_approves_does_not_become_who_asks() {
    let mut scene = staging();
    let document = scene.document();
    let bytes = document.to_bytes().unwrap();
    let approval = scene.sign(REVIEWER, Namespace::Approval, &bytes, &document.origin);
    let unasked = Consent::of_people(Box::new(Presented::new(bytes, None, vec![approval]).unwrap()));
    assert_eq!(scene.stopped(&unasked, retire()), ["Approvals"]);
    let last = scene.ledger.head().unwrap().size - 1;
    assert_eq!(scene.ledger.entry(last).unwrap().actor, actor(), "as they said, and no more");
}
