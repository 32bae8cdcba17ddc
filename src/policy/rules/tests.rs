use super::*;
use crate::model::Hash256;
use crate::policy::Verdict;
use crate::policy::testing::{facts, issued, request, settings, sign, windows};
use crate::request::{Format, PackReference};
use chrono::TimeDelta;

fn failing(decision: &Decision) -> Vec<&str> {
    let failing = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass);
    failing.map(|gate| gate.name.as_str()).collect()
}

#[test]
fn each_gate_stops_a_signature_by_itself() {
    let (settings, sandbox) = (settings(), Environment::Sandbox);
    let decide = |generation: Generation, now: Time| {
        SignArtifact::decide(&sign(None), &facts(&settings, sandbox, generation, now))
    };
    assert!(matches!(decide(windows(sandbox), issued()), Decision::Allow(_)));
    let last = issued() + TimeDelta::days(90) - TimeDelta::seconds(1);
    assert!(matches!(decide(windows(sandbox), last), Decision::Allow(_)));
    assert_eq!(failing(&decide(windows(sandbox), last + TimeDelta::seconds(1))), ["CertificateAgeDays"]);
    assert_eq!(failing(&decide(windows(sandbox), issued() - TimeDelta::seconds(1))), ["CertificateAgeDays"]);
    for state in State::ALL.iter().filter(|state| **state != State::Active) {
        let generation = Generation { state: *state, ..windows(sandbox) };
        assert_eq!(failing(&decide(generation, issued())), ["Status"], "{state}");
    }
    let quarantined = Generation { quarantined: Some("x".into()), ..windows(sandbox) };
    assert_eq!(failing(&decide(quarantined, issued())), ["Status"]);
    assert_eq!(failing(&decide(windows(Environment::Production), issued())), ["Environment"]);
    let mut leaky = windows(sandbox);
    leaky.identities[0].copies[0].attributes[0].value = Some(true);
    assert_eq!(failing(&decide(leaky, issued())), ["HSMExportLock"]);
    let mut silent = windows(sandbox);
    silent.identities[0].copies[0].attributes.clear();
    let decision = decide(silent, issued());
    let gate = decision.gates().iter().find(|gate| gate.name == "HSMExportLock").unwrap();
    assert_eq!(gate.verdict, Verdict::NotEvaluated, "what cannot be had is never a pass");
    assert!(matches!(decision, Decision::Block(_)));
}

#[test]
fn a_pack_must_name_this_file_and_this_certificate_and_production_needs_one() {
    let settings = settings();
    let production = Environment::Production;
    let decide = |pack| SignArtifact::decide(&sign(pack), &facts(&settings, production, windows(production), issued()));
    let good = PackReference {
        evidence_pack_id: "p".into(),
        hash_algorithm: HashAlgorithm::Sha256,
        hash: Hash256::of(b"file").to_string(),
        certificate: Hash256::of(b"certificate").to_string(),
    };
    assert_eq!(failing(&decide(None)), ["EvidencePack"]);
    assert!(matches!(decide(Some(good.clone())), Decision::Allow(_)));
    let by_thumbprint = PackReference { certificate: "ab".repeat(20), ..good.clone() };
    assert!(matches!(decide(Some(by_thumbprint)), Decision::Allow(_)));
    let other_file = PackReference { hash: Hash256::of(b"other").to_string(), ..good.clone() };
    assert_eq!(failing(&decide(Some(other_file))), ["EvidencePackArtifact"]);
    let other_certificate = PackReference { certificate: "cd".repeat(20), ..good };
    assert_eq!(failing(&decide(Some(other_certificate))), ["EvidencePackCertificate"]);
}

#[test]
fn only_production_insists_on_a_timestamp() {
    let settings = settings();
    for environment in [Environment::Production, Environment::Staging, Environment::Sandbox] {
        let mut plain = sign(None);
        plain.params.options.clear();
        let found = SignArtifact::decide(&plain, &facts(&settings, environment, windows(environment), issued()));
        let insists = failing(&found).contains(&"Timestamp");
        assert_eq!(insists, environment == Environment::Production, "{environment}");
    }
}

#[test]
fn repositories_have_no_timestamps_and_programs_cannot_pass_for_them() {
    let settings = settings();
    let production = Environment::Production;
    let mut plain = sign(None);
    plain.params.options.clear();
    plain.params.format = Format::Apt;
    let apt = Generation { purpose: Purpose::Apt, ..windows(production) };
    let found = SignArtifact::decide(&plain, &facts(&settings, production, apt, issued()));
    assert!(found.gates().iter().all(|gate| gate.name != "Timestamp"), "{found:?}");
    let found = SignArtifact::decide(&plain, &facts(&settings, production, windows(production), issued()));
    assert!(failing(&found).contains(&"Purpose"), "{found:?}");
}

#[test]
fn outside_a_sandbox_people_have_to_approve_what_changes_a_key() {
    let settings = settings();
    for environment in [Environment::Production, Environment::Staging, Environment::Sandbox] {
        let generation = Generation { state: State::Certified, ..windows(environment) };
        let step = ChangeState {
            generation: generation.id.clone(),
            from: State::Certified,
            to: State::Staged,
            reason: "r".into(),
        };
        let decision = ChangeState::decide(&request(step), &facts(&settings, environment, generation, issued()));
        let waits = matches!(decision, Decision::NeedsApproval(_));
        assert_eq!(waits, environment != Environment::Sandbox, "{environment}: {decision:?}");
    }
}
