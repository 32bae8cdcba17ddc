use super::*;
use crate::clock::parse;
use crate::config::{Config, Settings};
use crate::keys::rotation::Review;
use crate::keys::{AttributeFact, AttributeState, Copy, Identity, TokenFacts};
use crate::model::{CkaId, Custody, Hash256, KeyAlgorithm};
use crate::policy::facts::People;
use crate::policy::testing::{self, request};
use crate::policy::{Decide, Verdict};
use crate::request::IssueCertificate;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};
use std::path::Path;

fn settings(change: impl Fn(String) -> String) -> Settings {
    let text = change(Config::render_default("Example Corp", "example.invalid/keyctl"));
    Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
}

fn issued() -> Time {
    parse("2026-03-01T12:00:00Z").unwrap()
}

/// A certificate by another program, whose subject is of this string type.
fn certificate(common_name: &str, nid: openssl::asn1::Asn1Type) -> Vec<u8> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid_with_type(Nid::COMMONNAME, common_name, nid).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(120).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

fn generation(id: &str, purpose: Purpose, state: State, certificate: Vec<u8>) -> Generation {
    let fact =
        |name: &str, value| AttributeFact { name: name.into(), value: Some(value), state: AttributeState::Asserted };
    let word = |text: &str| text.to_owned();
    let token = TokenFacts {
        label: word("primary"),
        manufacturer: word("M"),
        model: word("m"),
        serial: word("1"),
        firmware: word("1.0"),
        software: false,
    };
    let credential = Credential::X509 {
        fingerprint: Hash256::of(&certificate),
        certificate,
        thumbprint: "AB".repeat(20),
        subject: word("CN=x"),
        issuer: word("CN=y"),
        serial: word("01"),
        not_before: issued(),
        not_after: issued() + TimeDelta::days(120),
        issued_by: None,
        chain: Vec::new(),
    };
    Generation {
        id: id.parse().unwrap(),
        purpose,
        environment: Environment::Sandbox,
        custody: Custody::Bound,
        state,
        quarantined: None,
        identities: vec![Identity {
            algorithm: KeyAlgorithm::EcdsaP256,
            spki_sha256: Hash256::of(id.as_bytes()),
            spki: vec![0x30],
            created: None,
            credential: Some(credential),
            copies: vec![Copy {
                hsm: "primary".parse().unwrap(),
                token,
                cka_id: CkaId::new([1]).unwrap(),
                attributes: vec![fact("CKA_EXTRACTABLE", false), fact("CKA_NEVER_EXTRACTABLE", true)],
            }],
        }],
    }
}

fn facts(settings: &Settings, generation: Generation, now: Time) -> Facts<'_> {
    let facts = testing::facts(settings, Environment::Sandbox, generation, now);
    Facts { has_active: true, next_number: 3, signing: None, ..facts }
}

fn failing(decision: &Decision) -> Vec<&str> {
    let failing = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass);
    failing.map(|gate| gate.name.as_str()).collect()
}

/// Everything right for `NEW` to take over from `OLD`, both with these certificates.
struct Case {
    settings: Settings,
    new: Generation,
    rotation: RotationFacts,
    params: ActivateKey,
}

impl Case {
    fn new(key: &str, purpose: Purpose) -> Self {
        let der = certificate("Example Corp", openssl::asn1::Asn1Type::UTF8STRING);
        let again = certificate("Example Corp", openssl::asn1::Asn1Type::UTF8STRING);
        let old = generation(&format!("{key}/1"), purpose, State::Active, der);
        let new = generation(&format!("{key}/2"), purpose, State::Staged, again);
        let params = ActivateKey {
            generation: new.id.clone(),
            predecessor: Some(old.id.clone()),
            publisher_change: false,
            keyring_sha256: None,
            reason: "rotation".into(),
        };
        let rotation =
            RotationFacts { active: Some(old), tested: Some(7), is_published: true, ..RotationFacts::default() };
        Case { settings: settings(|text| text), new, rotation, params }
    }

    fn decide(&self) -> Decision {
        let mut facts = facts(&self.settings, self.new.clone(), issued() + TimeDelta::days(1));
        facts.rotation = self.rotation.clone();
        ActivateKey::decide(&request(self.params.clone()), &facts)
    }
}

#[test]
fn each_gate_stops_a_takeover_by_itself() {
    let good = || Case::new("windows", Purpose::Authenticode);
    assert!(matches!(good().decide(), Decision::Allow(_)), "{:?}", good().decide());
    type Change = fn(&mut Case);
    let cases: [(Change, &str); 9] = [
        (|case| case.new.state = State::Certified, "Status"),
        (|case| case.new.quarantined = Some("x".into()), "Status"),
        (|case| case.params.predecessor = None, "OneActive"),
        (|case| case.rotation.active = None, "OneActive"),
        (|case| case.params.predecessor = Some("windows/9".parse().unwrap()), "OneActive"),
        (|case| case.rotation.tested = None, "KeyTested"),
        (|case| case.rotation.is_published = false, "MetadataPublished"),
        (|case| case.new.environment = Environment::Production, "Environment"),
        (|case| case.new.identities[0].copies[0].attributes[0].value = Some(true), "HSMExportLock"),
    ];
    for (change, gate) in cases {
        let mut case = good();
        change(&mut case);
        assert_eq!(failing(&case.decide()), [gate]);
    }
    let stale = good();
    let mut facts = facts(&stale.settings, stale.new.clone(), issued() + TimeDelta::days(90));
    facts.rotation = stale.rotation.clone();
    assert_eq!(failing(&ActivateKey::decide(&request(stale.params.clone()), &facts)), ["CertificateAgeDays"]);
}

#[test]
fn windows_knows_a_publisher_by_the_bytes_of_its_subject() {
    use openssl::asn1::Asn1Type;
    let mut case = Case::new("windows", Purpose::Authenticode);
    for other in [
        certificate("Example Corp.", Asn1Type::UTF8STRING),
        // The same to read, and other bytes.
        certificate("Example Corp", Asn1Type::PRINTABLESTRING),
        vec![0x30, 0],
    ] {
        case.new = generation("windows/2", Purpose::Authenticode, State::Staged, other);
        case.params.publisher_change = false;
        assert_eq!(failing(&case.decide()), ["SubjectContinuity"]);
        case.params.publisher_change = true;
        let Decision::Allow(gates) = case.decide() else { panic!() };
        let gate = gates.iter().find(|gate| gate.name == "SubjectContinuity").unwrap();
        assert!(gate.input.contains("another publisher"), "{gate:?}");
    }
    let mut ca = Case::new("windows-ca", Purpose::IntermediateCa);
    let der = certificate("Another CA", Asn1Type::UTF8STRING);
    ca.new = generation("windows-ca/2", Purpose::IntermediateCa, State::Staged, der);
    assert!(matches!(ca.decide(), Decision::Allow(_)), "nobody knows a CA by its name alone");
}

#[test]
fn a_root_takes_over_only_with_both_links() {
    let mut case = Case::new("root", Purpose::RootCa);
    for links in [vec![], vec![Link::NewWithOld], vec![Link::OldWithNew]] {
        case.rotation.links = links.into_iter().collect();
        assert_eq!(failing(&case.decide()), ["RootsLinked"]);
    }
    case.rotation.links = Link::ALL.iter().copied().collect();
    assert!(matches!(case.decide(), Decision::Allow(_)));
}

#[test]
fn a_failed_rotation_stops_production_until_a_certificate_was_validated() {
    let failure = OpenFailure { seq: 9, deadline: issued() + TimeDelta::hours(24), is_validated: false };
    for environment in Environment::ALL.iter().copied() {
        let stops = environment == Environment::Production;
        let gate = rotation_complete(Some(failure), environment);
        assert_eq!(gate.name, "SigningKeyRotationComplete");
        assert_eq!(gate.verdict == Verdict::Fail, stops, "{environment}");
        assert!(gate.input.contains("entry 9") && gate.input.contains("2026-03-02T12:00:00Z"), "{gate:?}");
        let validated = OpenFailure { is_validated: true, ..failure };
        assert_eq!(rotation_complete(Some(validated), environment).verdict, Verdict::Pass);
        assert_eq!(rotation_complete(None, environment).verdict, Verdict::Pass);
    }
}

#[test]
fn an_old_issuer_certifies_successors_and_nothing_new_unless_a_review_lets_it() {
    let settings = settings(|text| text);
    let issuer = generation("windows-ca/1", Purpose::IntermediateCa, State::Active, vec![0x30]);
    let decide = |number: u32, has_active: bool, days: i64, keep: Option<i64>| {
        let leaf = generation(&format!("windows/{number}"), Purpose::Authenticode, State::Generated, vec![0x30]);
        let now = issued() + TimeDelta::days(days);
        let mut facts = facts(&settings, leaf.clone(), now);
        facts.issuer = Some(issuer.clone());
        facts.has_active = has_active;
        let until = keep.map(|days| issued() + TimeDelta::days(days));
        facts.rotation.review = Some(Review { decision: ReviewDecision::Keep, keep_until: until });
        let params = IssueCertificate {
            generation: leaf.id,
            issuer: issuer.id.clone(),
            profile: "authenticode".into(),
            serial: "01".into(),
            tbs_sha256: Hash256([0; 32]),
            template_sha256: Hash256([0; 32]),
            not_before: now,
            not_after: now,
        };
        IssueCertificate::decide(&request(params), &facts)
    };
    let blocked = |decision: Decision| failing(&decision) == ["CertificateAgeDays"];
    assert!(matches!(decide(1, false, 89, None), Decision::Allow(_)));
    assert!(blocked(decide(1, false, 90, None)), "the first of a new line waits for a younger issuer");
    let exempt = decide(2, true, 90, None);
    assert!(matches!(exempt, Decision::Allow(_)), "the gate stops no rotation: {exempt:?}");
    assert!(exempt.gates().iter().any(|gate| gate.input.contains("exempt")));
    assert!(blocked(decide(2, true, 121, None)), "an expired issuer certifies nobody");
    assert!(matches!(decide(1, false, 99, Some(100)), Decision::Allow(_)));
    assert!(blocked(decide(1, false, 100, Some(100))), "strictly");
}

#[test]
fn a_review_keeps_a_key_for_one_more_interval_at_most() {
    let review = |text: String| text.replacen("[keys.root]\n", "[keys.root]\nrotation = \"review\"\n", 1);
    let (with, without) = (settings(review), settings(|text| text));
    let root = generation("root/1", Purpose::RootCa, State::Active, vec![0x30]);
    let now = issued() + TimeDelta::days(20);
    let decide = |settings: &Settings, decision, keep_until: Option<Time>, text: &str| {
        let params = ReviewKey { generation: root.id.clone(), decision, keep_until, text: text.into() };
        ReviewKey::decide(&request(params), &facts(settings, root.clone(), now))
    };
    let text = "looked at with the auditors";
    let keep = |days: i64| decide(&with, ReviewDecision::Keep, Some(now + TimeDelta::days(days)), text);
    assert!(matches!(keep(90), Decision::Allow(_)));
    assert_eq!(failing(&keep(91)), ["KeepUntil"]);
    assert_eq!(failing(&keep(0)), ["KeepUntil"]);
    assert!(matches!(decide(&with, ReviewDecision::Roll, None, text), Decision::Allow(_)));
    assert_eq!(failing(&decide(&with, ReviewDecision::Keep, None, text)), ["KeepUntil"]);
    assert_eq!(failing(&decide(&with, ReviewDecision::Roll, Some(now + TimeDelta::days(1)), text)), ["KeepUntil"]);
    assert_eq!(failing(&decide(&with, ReviewDecision::Roll, None, "fine")), ["ReviewText"]);
    assert_eq!(failing(&decide(&without, ReviewDecision::Roll, None, text)), ["RotationMode"]);
}

#[test]
fn a_test_is_of_the_certificate_that_the_key_has() {
    let settings = settings(|text| text);
    let decide = |state: State, certificate: &str| {
        let key = generation("windows/2", Purpose::Authenticode, state, vec![0x30]);
        let params = TestKey { generation: key.id.clone(), certificate: certificate.into(), nonce: "00".into() };
        TestKey::decide(&request(params), &facts(&settings, key, issued()))
    };
    let right = Hash256::of(&[0x30]).to_string();
    assert!(matches!(decide(State::Certified, &right), Decision::Allow(_)));
    assert_eq!(failing(&decide(State::Certified, "")), ["Certificate"]);
    assert_eq!(failing(&decide(State::Active, &right)), ["Status"]);
}

#[test]
fn outside_a_sandbox_people_have_to_approve_each_of_these() {
    let settings = settings(|text| text);
    let mut case = Case::new("windows", Purpose::Authenticode);
    case.new.environment = Environment::Staging;
    let mut facts = facts(&settings, case.new.clone(), issued());
    facts.environment = Environment::Staging;
    facts.people = People::Missing;
    facts.rotation = case.rotation.clone();
    assert!(matches!(ActivateKey::decide(&request(case.params.clone()), &facts), Decision::NeedsApproval(_)));
    facts.generation = None;
    assert_eq!(failing(&ActivateKey::decide(&request(case.params), &facts)), ["Status"], "it is not in the register");
}
