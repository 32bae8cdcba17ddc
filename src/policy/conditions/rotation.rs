//! What a rotation does: its acts, and what it asks of issuers.

use super::{allows, open, stops, words};
use crate::clock::Time;
use crate::keys::rotation::{Link, Review};
use crate::keys::{Credential, Generation, PublishedKeyring, State};
use crate::model::{Environment, GenerationId, Hash256, Purpose};
use crate::policy::facts::{OpenFailure, People, RotationFacts};
use crate::policy::rotation::{issuer_age, rotation_complete};
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::policy::{Decide, Decision, Facts, Gate, Verdict};
use crate::request::{ActivateKey, LinkRoots, PublishMetadata, ReviewDecision, ReviewKey, TestKey};
use chrono::TimeDelta;

const ENVIRONMENT: Environment = Environment::Staging;

fn id(text: &str) -> GenerationId {
    text.parse().unwrap()
}

fn key(name: &str, purpose: Purpose, state: State) -> Generation {
    Generation { id: id(name), purpose, state, ..windows(ENVIRONMENT) }
}

/// The same with an OpenPGP certificate.
fn open_pgp(name: &str, purpose: Purpose, state: State) -> Generation {
    let mut generation = key(name, purpose, state);
    generation.identities[0].credential = Some(Credential::OpenPgp {
        certificate: Vec::new(),
        fingerprint: "ab".repeat(20),
        created: issued(),
        expires: issued() + TimeDelta::days(120),
    });
    generation
}

#[test]
fn a_failed_rotation_is_said_with_what_came_of_it() {
    let failure = OpenFailure { seq: 9, deadline: issued(), is_validated: false };
    let input = |failure, environment| rotation_complete(Some(failure), environment).input;
    let start = "entry 9: a rotation failed, to be put right by 2026-03-01T12:00:00Z";
    assert_eq!(input(failure, Environment::Production), start);
    assert_eq!(input(failure, ENVIRONMENT), format!("{start} (stops nothing in a staging workspace)"));
    for &environment in Environment::ALL {
        let validated = OpenFailure { is_validated: true, ..failure };
        assert_eq!(input(validated, environment), format!("{start}; the new certificate was validated"));
    }
}

/// The gate about an issuer of this age in days.
fn aged(days: Option<u32>, age: i64, keep: Option<i64>, is_successor: bool) -> Gate {
    let settings = settings();
    let issuer = key("windows-ca/1", Purpose::IntermediateCa, State::Active);
    let now = issued() + TimeDelta::days(age);
    let mut facts = facts(&settings, ENVIRONMENT, issuer.clone(), now);
    let keep_until = keep.map(|days| issued() + TimeDelta::days(days));
    facts.rotation.review = Some(Review { decision: ReviewDecision::Keep, keep_until });
    issuer_age(&issuer, days, &facts, is_successor)
}

#[test]
fn what_lets_an_old_issuer_go_on_lets_no_other_go_on() {
    let verdict = |days, age, keep, is_successor| aged(days, age, keep, is_successor).verdict;
    assert_eq!(verdict(Some(90), 90, None, false), Verdict::Fail);
    assert_eq!(verdict(Some(90), 90, None, true), Verdict::Pass);
    assert_eq!(verdict(Some(90), 90, Some(100), false), Verdict::Pass);
    assert_eq!(verdict(Some(90), 100, Some(100), false), Verdict::Fail);
    for (keep, is_successor) in [(Some(300), false), (None, true)] {
        assert_eq!(verdict(None, 90, keep, is_successor), Verdict::NotEvaluated, "a key that is in no settings");
        assert_eq!(verdict(Some(90), -1, keep, is_successor), Verdict::Fail, "not yet valid");
        assert_eq!(verdict(Some(90), 121, keep, is_successor), Verdict::Fail, "expired");
    }
    // What is young enough needs no exemption, and none is said of it.
    assert_eq!(aged(Some(90), 89, Some(100), true).input, "89");
    assert_eq!(aged(Some(90), 91, None, true).input, "91 (exempt: a successor is certified)");
    assert_eq!(aged(Some(90), 91, Some(100), true).input, "91 (kept until 2026-06-09T12:00:00Z by a review)");
    // The certificate's last second counts, and no later one does.
    let settings = settings();
    let issuer = key("windows-ca/1", Purpose::IntermediateCa, State::Active);
    let at =
        |now: Time| issuer_age(&issuer, Some(90), &facts(&settings, ENVIRONMENT, issuer.clone(), now), true).verdict;
    let end = issued() + TimeDelta::days(120);
    assert_eq!(at(end), Verdict::Pass);
    assert_eq!(at(end + TimeDelta::seconds(1)), Verdict::Fail);
}

#[test]
fn a_test_is_of_a_key_that_has_a_certificate() {
    let settings = settings();
    let decide = |change: fn(&mut Generation), certificate: &str| {
        let mut generation = key("windows/1", Purpose::Authenticode, State::Staged);
        change(&mut generation);
        let params = TestKey { generation: id("windows/1"), certificate: certificate.into(), nonce: "00".into() };
        let facts = facts(&settings, ENVIRONMENT, generation, issued());
        TestKey::decide(&request(params), &Facts { people: People::Waived, ..facts })
    };
    let right = Hash256::of(b"certificate").to_string();
    allows(&decide(|_| {}, &right));
    stops(&decide(|_| {}, &Hash256::of(b"other").to_string()), "Certificate");
    stops(&decide(|key| key.identities[0].credential = None, ""), "Certificate");
    stops(&decide(|key| key.environment = Environment::Production, &right), "Environment");
    stops(&decide(|key| key.identities[0].copies.clear(), &right), "HSMExportLock");
    stops(&decide(|key| key.state = State::Generated, &right), "Status");
}

/// The decision to certify one root by another.
fn link(subject: Generation, issuer: Generation) -> Decision {
    let settings = settings();
    let params = LinkRoots {
        generation: subject.id.clone(),
        issuer: issuer.id.clone(),
        serial: "01".into(),
        tbs_sha256: Hash256::of(b"tbs"),
        template_sha256: Hash256::of(b"template"),
        not_after: issued(),
    };
    let facts = facts(&settings, ENVIRONMENT, subject, issued());
    LinkRoots::decide(&request(params), &Facts { issuer: Some(issuer), people: People::Waived, ..facts })
}

#[test]
fn roots_are_linked_both_ways_the_older_one_being_in_use() {
    let root = |name: &str, state| key(name, Purpose::RootCa, state);
    let (old, new) = (|| root("root/1", State::Active), || root("root/2", State::Staged));
    for swapped in [false, true] {
        let decide = |old, new| if swapped { link(old, new) } else { link(new, old) };
        allows(&decide(old(), new()));
        allows(&decide(old(), root("root/2", State::Certified)));
        stops(&decide(old(), root("root/2", State::Generated)), "Status");
        stops(&decide(root("root/1", State::Staged), new()), "Status");
        assert_eq!(open(&decide(root("root/1", State::Staged), root("root/2", State::Active))), ["Status"; 2]);
        stops(&decide(key("root/1", Purpose::IntermediateCa, State::Active), new()), "Purpose");
        stops(&decide(old(), key("root/2", Purpose::IntermediateCa, State::Staged)), "Purpose");
        stops(&decide(old(), root("other/2", State::Staged)), "SameKey");
        let elsewhere = |generation| Generation { environment: Environment::Production, ..generation };
        let loose = |mut generation: Generation| {
            generation.identities[0].copies.clear();
            generation
        };
        // Whose key signs is the issuer: the older, or the newer one.
        let decide = |change: &dyn Fn(Generation) -> Generation| {
            if swapped { link(old(), change(new())) } else { link(new(), change(old())) }
        };
        stops(&decide(&elsewhere), "Environment");
        stops(&decide(&loose), "HSMExportLock");
    }
    // One generation is not in use and about to be so at once.
    assert!(open(&link(old(), old())).contains(&"SameKey".to_owned()));
    let settings = settings();
    let params = LinkRoots {
        generation: id("root/2"),
        issuer: id("root/1"),
        serial: "01".into(),
        tbs_sha256: Hash256::of(b"tbs"),
        template_sha256: Hash256::of(b"template"),
        not_after: issued(),
    };
    let alone = facts(&settings, ENVIRONMENT, new(), issued());
    stops(&LinkRoots::decide(&request(params), &alone), "Status");
}

#[test]
fn what_has_a_certificate_is_published_in_every_state() {
    let settings = settings();
    let decide = |generation: Generation| {
        let params = PublishMetadata { generation: generation.id.clone(), files: Default::default() };
        PublishMetadata::decide(&request(params), &facts(&settings, ENVIRONMENT, generation, issued()))
    };
    for &state in State::ALL {
        let decision = decide(key("windows/1", Purpose::Authenticode, state));
        match state {
            State::Planned | State::Generated => stops(&decision, "Status"),
            _ => allows(&decision),
        }
    }
    stops(&decide(windows(Environment::Production)), "Environment");
}

/// `windows/2` takes over from `windows/1`, both with the same garbage for a certificate.
fn activate(new: Generation, change: impl FnOnce(&mut ActivateKey, &mut Facts<'_>)) -> Decision {
    let settings = settings();
    let mut params = ActivateKey {
        generation: new.id.clone(),
        predecessor: None,
        publisher_change: false,
        keyring_sha256: None,
        reason: "rotation".into(),
    };
    let mut facts = facts(&settings, ENVIRONMENT, new, issued() + TimeDelta::days(31));
    facts.people = People::Waived;
    facts.rotation = RotationFacts { tested: Some(7), is_published: true, ..RotationFacts::default() };
    change(&mut params, &mut facts);
    ActivateKey::decide(&request(params), &facts)
}

#[test]
fn a_takeover_wants_the_certificates_published_and_of_an_apt_key_the_keyring() {
    let x509 = || key("windows/2", Purpose::Authenticode, State::Staged);
    let published = activate(x509(), |_, _| {});
    allows(&published);
    assert_eq!(words(&published, "MetadataPublished").0, "recorded");
    let missing = activate(x509(), |_, facts| facts.rotation.is_published = false);
    stops(&missing, "MetadataPublished");
    assert_eq!(words(&missing, "MetadataPublished").0, "not recorded");

    let subkey = || open_pgp("apt/2", Purpose::Apt, State::Staged);
    let keyring = PublishedKeyring { sha256: Hash256::of(b"keyring"), since: [("ab".repeat(20), issued())].into() };
    let with = |file: Option<Hash256>, recorded: Option<PublishedKeyring>| {
        activate(subkey(), |params, facts| {
            // Its certificates are the keyring, so nobody asks for them besides.
            facts.rotation.is_published = false;
            facts.keyring = recorded;
            params.keyring_sha256 = file;
        })
    };
    allows(&with(Some(keyring.sha256), Some(keyring.clone())));
    stops(&with(None, Some(keyring.clone())), "KeyringPublished");
    stops(&with(Some(Hash256::of(b"other")), Some(keyring.clone())), "KeyringPublished");
    stops(&with(Some(keyring.sha256), None), "KeyringPublished");
    // Clients had no time to fetch it: that matters only where another generation may sign meanwhile.
    let young = PublishedKeyring { since: [("ab".repeat(20), issued() + TimeDelta::days(2))].into(), ..keyring };
    allows(&with(Some(young.sha256), Some(young.clone())));
    let beside = activate(subkey(), |params, facts| {
        let older = open_pgp("apt/1", Purpose::Apt, State::Active);
        params.predecessor = Some(older.id.clone());
        facts.rotation.active = Some(older);
        (params.keyring_sha256, facts.keyring) = (Some(young.sha256), Some(young.clone()));
    });
    stops(&beside, "KeyringPublished");
    // A primary key is in no keyring by its own.
    allows(&activate(open_pgp("apt-root/1", Purpose::OpenpgpPrimary, State::Staged), |_, _| {}));
}

#[test]
fn two_subjects_that_cannot_be_read_are_not_the_same() {
    let old = || key("windows/1", Purpose::Authenticode, State::Active);
    let new = || key("windows/2", Purpose::Authenticode, State::Staged);
    let decide = |publisher_change| {
        activate(new(), |params, facts| {
            params.predecessor = Some(old().id);
            params.publisher_change = publisher_change;
            facts.rotation.active = Some(old());
        })
    };
    stops(&decide(false), "SubjectContinuity");
    assert_eq!(words(&decide(false), "SubjectContinuity").0, "CN=x", "nobody approved anything");
    allows(&decide(true));
}

#[test]
fn an_approved_change_is_said_only_where_there_is_one() {
    let der = {
        use openssl::asn1::Asn1Time;
        use openssl::x509::{X509, X509NameBuilder};
        let key = crate::ledger::testing::acts::p256(1);
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "Example Corp").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(120).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, openssl::hash::MessageDigest::sha256()).unwrap();
        builder.build().to_der().unwrap()
    };
    let with = |name: &str, state| {
        let mut generation = key(name, Purpose::Authenticode, state);
        let Some(Credential::X509 { certificate, .. }) = &mut generation.identities[0].credential else { panic!() };
        *certificate = der.clone();
        generation
    };
    let (old, new) = (with("windows/1", State::Active), with("windows/2", State::Staged));
    for publisher_change in [false, true] {
        let decision = activate(new.clone(), |params, facts| {
            params.predecessor = Some(old.id.clone());
            params.publisher_change = publisher_change;
            facts.rotation.active = Some(old.clone());
        });
        allows(&decision);
        assert_eq!(words(&decision, "SubjectContinuity").0, "CN=x");
    }
}

#[test]
fn a_root_without_a_predecessor_needs_no_links() {
    let root = || key("root/2", Purpose::RootCa, State::Staged);
    allows(&activate(root(), |_, _| {}));
    let active = key("root/1", Purpose::RootCa, State::Active);
    let with = |links: &[Link]| {
        activate(root(), |params, facts| {
            params.predecessor = Some(active.id.clone());
            facts.rotation.active = Some(active.clone());
            facts.rotation.links = links.iter().copied().collect();
        })
    };
    allows(&with(Link::ALL));
    stops(&with(&Link::ALL[..1]), "RootsLinked");
}

#[test]
fn a_review_is_of_an_active_key_here() {
    let mut settings = settings();
    settings.keys.get_mut(&"root".parse().unwrap()).unwrap().rotation = crate::config::RotationMode::Review;
    let decide = |generation: Generation, keep_until: Option<Time>, text: &str| {
        let decision = if keep_until.is_some() { ReviewDecision::Keep } else { ReviewDecision::Roll };
        let params = ReviewKey { generation: generation.id.clone(), decision, keep_until, text: text.into() };
        let facts = facts(&settings, ENVIRONMENT, generation, issued() + TimeDelta::days(100));
        ReviewKey::decide(&request(params), &Facts { people: People::Waived, ..facts })
    };
    let root = || key("root/1", Purpose::RootCa, State::Active);
    let text = "looked at with the auditors";
    allows(&decide(root(), None, text));
    stops(&decide(key("root/1", Purpose::RootCa, State::Staged), None, text), "Status");
    stops(&decide(Generation { environment: Environment::Production, ..root() }, None, text), "Environment");
    stops(&decide(key("windows-ca/1", Purpose::IntermediateCa, State::Active), None, text), "RotationMode");
    stops(&decide(key("unknown/1", Purpose::RootCa, State::Active), None, text), "RotationMode");
    for (length, fits) in [(9, false), (10, true), (2000, true), (2001, false)] {
        let decision = decide(root(), None, &"é".repeat(length));
        assert_eq!(open(&decision).is_empty(), fits, "{length}: {decision:?}");
    }
    // The certificate ends before the interval does.
    let end = issued() + TimeDelta::days(120);
    allows(&decide(root(), Some(end), text));
    stops(&decide(root(), Some(end + TimeDelta::seconds(1)), text), "KeepUntil");
}
