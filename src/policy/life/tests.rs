//! Each gate by itself, in every state.

use super::*;
use crate::clock::parse;
use crate::config::{Config, PipelineValue, Settings};
use crate::keys::{AttributeFact, AttributeState, Copy, Credential, Identity, TokenFacts};
use crate::ledger::query::LastFacts;
use crate::model::{CkaId, Custody, Environment, Hash256, KeyAlgorithm, Purpose};
use crate::policy::Verdict;
use crate::policy::facts::People;
use crate::policy::testing::{self, request};
use chrono::TimeDelta;
use std::path::Path;

const PIPELINE: &str =
    "\n[pipelines.build]\nfile = \"/p/build.toml\"\nfield = \"a.b\"\nkey = \"windows\"\nvalue = \"thumbprint\"\n";

fn settings() -> Settings {
    let text = Config::render_default("Example Corp", "example.invalid/keyctl") + PIPELINE;
    Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
}

fn now() -> Time {
    parse("2026-06-01T12:00:00Z").unwrap()
}

fn generation(name: &str, purpose: Purpose, state: State, destroyable: Option<bool>) -> Generation {
    let token = TokenFacts {
        label: "primary".into(),
        manufacturer: "M".into(),
        model: "m".into(),
        serial: "1".into(),
        firmware: "1.0".into(),
        software: false,
    };
    let attributes = vec![AttributeFact {
        name: DESTROYABLE.into(),
        value: destroyable,
        state: if destroyable.is_some() { AttributeState::Asserted } else { AttributeState::Unavailable },
    }];
    let credential = Credential::X509 {
        certificate: vec![0x30],
        fingerprint: Hash256::of(b"certificate"),
        thumbprint: "AB".repeat(20),
        subject: "CN=x".into(),
        issuer: "CN=y".into(),
        serial: "01".into(),
        not_before: now(),
        not_after: now() + TimeDelta::days(120),
        issued_by: None,
        chain: Vec::new(),
    };
    let copies = vec![Copy { hsm: "primary".parse().unwrap(), token, cka_id: CkaId::new([1]).unwrap(), attributes }];
    Generation {
        id: name.parse().unwrap(),
        purpose,
        environment: Environment::Production,
        custody: Custody::Bound,
        state,
        quarantined: None,
        identities: vec![Identity {
            algorithm: KeyAlgorithm::EcdsaP256,
            spki_sha256: Hash256::of(b"key"),
            spki: vec![0x30],
            created: None,
            credential: Some(credential),
            copies,
        }],
    }
}

fn windows(state: State) -> Generation {
    generation("windows/1", Purpose::Authenticode, state, Some(true))
}

fn facts(settings: &Settings, generation: Generation, destruction: LastFacts) -> Facts<'_> {
    let facts = testing::facts(settings, Environment::Production, generation, now());
    Facts { people: People::Waived, signing: None, destruction, ..facts }
}

fn failing(decision: &Decision) -> Vec<&str> {
    let failing = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass);
    failing.map(|gate| gate.name.as_str()).collect()
}

fn destroy(generation: &Generation, last: &LastFacts) -> DestroyKey {
    DestroyKey { generation: generation.id.clone(), from: generation.state, copies: all_copies(generation, last) }
}

fn decide(generation: Generation, last: LastFacts) -> Decision {
    let settings = settings();
    let request = request(destroy(&generation, &last));
    DestroyKey::decide(&request, &facts(&settings, generation, last))
}

#[test]
fn only_what_never_served_or_serves_no_more_is_destroyed() {
    for state in State::ALL {
        let decision = decide(windows(*state), LastFacts::default());
        let expected: &[&str] = match state {
            State::Staged | State::Active | State::Retiring | State::Destroyed => &["Status"],
            State::CrlOnly => &["RevocationLists"],
            State::Planned | State::Generated | State::Certified | State::Retired | State::Revoked => &[],
        };
        assert_eq!(failing(&decision), expected, "{state}");
        assert_eq!(matches!(decision, Decision::Allow(_)), expected.is_empty(), "{state}");
    }
    let quarantined = Generation { quarantined: Some("x".into()), ..windows(State::Generated) };
    assert!(matches!(decide(quarantined, LastFacts::default()), Decision::Allow(_)), "what must not be used may go");
}

#[test]
fn the_request_names_this_state_and_every_copy() {
    let (settings, last) = (settings(), LastFacts::default());
    let retired = windows(State::Retired);
    let ask = |change: fn(&mut DestroyKey)| {
        let mut params = destroy(&retired, &last);
        change(&mut params);
        let decision = DestroyKey::decide(&request(params), &facts(&settings, retired.clone(), last.clone()));
        failing(&decision).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(ask(|_| {}).is_empty());
    assert_eq!(ask(|params| params.from = State::Revoked), ["Status"]);
    assert_eq!(ask(|params| params.copies.clear()), ["Copies"]);
    assert_eq!(ask(|params| params.copies[0].token_serial = "2".into()), ["Copies"]);
    assert_eq!(ask(|params| params.copies[0].cka_id = CkaId::new([2]).unwrap()), ["Copies"]);
    assert_eq!(ask(|params| params.copies[0].spki_sha256 = Some(Hash256::of(b"other"))), ["Copies"]);
    assert_eq!(ask(|params| params.copies[0].spki_sha256 = None), ["Copies"]);
    assert_eq!(ask(|params| params.copies.push(params.copies[0].clone())), ["Copies"]);
    let other = Generation { environment: Environment::Sandbox, ..retired.clone() };
    let decision = DestroyKey::decide(&request(destroy(&other, &last)), &facts(&settings, other, last.clone()));
    assert_eq!(failing(&decision), ["Environment"]);
}

#[test]
fn a_pair_that_was_only_planned_is_named_by_its_plan() {
    let planned = Generation { identities: Vec::new(), ..windows(State::Planned) };
    let pair = Doomed {
        hsm: "primary".parse().unwrap(),
        token_serial: "1".into(),
        cka_id: CkaId::new([9]).unwrap(),
        spki_sha256: None,
    };
    let last = LastFacts { planned: vec![pair], ..LastFacts::default() };
    assert!(matches!(decide(planned.clone(), last.clone()), Decision::Allow(_)));
    let settings = settings();
    let nothing = DestroyKey { copies: Vec::new(), ..destroy(&planned, &last) };
    let decision = DestroyKey::decide(&request(nothing), &facts(&settings, planned, last));
    assert_eq!(failing(&decision), ["Copies"]);
}

#[test]
fn a_ca_stays_as_long_as_its_lists_are_needed() {
    let issued_until = now() - TimeDelta::days(3653);
    let ca = |state| generation("windows-ca/1", Purpose::IntermediateCa, state, Some(true));
    let until = |end: Time| LastFacts { issued_until: Some(end), ..LastFacts::default() };
    let ask = |state, end| failing(&decide(ca(state), until(end))).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert!(ask(State::Retired, issued_until).is_empty());
    let (last_second, first) = (retention_end(), retention_end() - TimeDelta::seconds(1));
    assert_eq!(ask(State::Retired, last_second), ["RevocationLists"]);
    assert!(ask(State::Retired, first).is_empty());
    assert!(ask(State::Revoked, now()).is_empty(), "a revoked CA's lists say nothing");
    assert_eq!(ask(State::CrlOnly, issued_until), ["RevocationLists"]);
    assert!(matches!(decide(ca(State::Retired), LastFacts::default()), Decision::Allow(_)), "it never issued");
    let leaf = decide(windows(State::Retired), until(now()));
    assert!(failing(&leaf).is_empty(), "a leaf signs no lists");
}

/// The end of validity whose retention ends now.
fn retention_end() -> Time {
    parse("2016-06-01T12:00:00Z").unwrap()
}

#[test]
fn a_key_that_was_made_to_stay_is_told() {
    for (value, fails) in [(Some(false), true), (Some(true), false), (None, false)] {
        let ca = generation("root/1", Purpose::RootCa, State::Retired, value);
        let decision = decide(ca, LastFacts::default());
        assert_eq!(failing(&decision).contains(&INDESTRUCTIBLE), fails, "{value:?}");
    }
}

#[test]
fn people_have_to_agree() {
    let (settings, last) = (settings(), LastFacts::default());
    let retired = windows(State::Retired);
    let mut facts = facts(&settings, retired.clone(), last.clone());
    facts.people = People::Missing;
    let decision = DestroyKey::decide(&request(destroy(&retired, &last)), &facts);
    assert!(matches!(decision, Decision::NeedsApproval(_)));
}

fn update(change: impl FnOnce(&mut UpdatePipeline)) -> Request<UpdatePipeline> {
    let mut params = UpdatePipeline {
        generation: "windows/1".parse().unwrap(),
        pipeline: "build".parse().unwrap(),
        file: "/p/build.toml".into(),
        field: "a.b".parse().unwrap(),
        value: PipelineValue::Thumbprint,
        from: "CD".repeat(20),
        to: "AB".repeat(20),
        before_sha256: Hash256::of(b"before"),
        after_sha256: Hash256::of(b"after"),
    };
    change(&mut params);
    request(params)
}

#[test]
fn a_pipeline_names_what_serves_or_is_about_to_and_only_as_the_settings_say() {
    let settings = settings();
    let ask = |request: Request<UpdatePipeline>, state| {
        let mut facts = facts(&settings, windows(state), LastFacts::default());
        facts.people = People::Missing;
        UpdatePipeline::decide(&request, &facts)
    };
    for state in State::ALL {
        let allowed = matches!(ask(update(|_| {}), *state), Decision::Allow(_));
        assert_eq!(allowed, matches!(state, State::Staged | State::Active), "{state}");
    }
    let changes: [fn(&mut UpdatePipeline); 5] = [
        |p| p.pipeline = "other".parse().unwrap(),
        |p| p.file = "p/other.toml".into(),
        |p| p.field = "a.c".parse().unwrap(),
        |p| p.value = PipelineValue::Fingerprint,
        |p| p.to = "EF".repeat(20),
    ];
    for change in changes {
        let decision = ask(update(change), State::Active);
        assert!(matches!(decision, Decision::Block(_)), "{decision:?}");
    }
}
