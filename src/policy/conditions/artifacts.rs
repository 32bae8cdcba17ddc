//! What a signature asks besides people: the key, the keyring, the pack, the timestamp.

use super::{allows, open, stops, words};
use crate::keys::{Credential, Generation, PublishedKeyring, State};
use crate::ledger::query::Suspension;
use crate::model::{Environment, Hash256, HashAlgorithm, Purpose};
use crate::policy::facts::{OpenFailure, People};
use crate::policy::rules::KEYRING_OPTION;
use crate::policy::testing::{facts, issued, settings, sign, windows};
use crate::policy::{Decide, Decision, Facts};
use crate::request::{Format, PackReference, SignArtifact};
use chrono::TimeDelta;

const ENVIRONMENT: Environment = Environment::Staging;

/// A subkey that clients have had for a month.
fn subkey(name: &str, state: State, fingerprint: &str) -> Generation {
    let mut generation = Generation { id: name.parse().unwrap(), purpose: Purpose::Apt, state, ..windows(ENVIRONMENT) };
    generation.identities[0].credential = Some(Credential::OpenPgp {
        certificate: Vec::new(),
        fingerprint: fingerprint.repeat(20),
        created: issued(),
        expires: issued() + TimeDelta::days(120),
    });
    generation
}

/// A repository is to be signed by `apt/3`, and by `apt/2` beside it.
fn release(change: impl FnOnce(&mut Facts<'_>, &mut SignArtifact)) -> Decision {
    let settings = settings();
    let keyring = PublishedKeyring {
        sha256: Hash256::of(b"keyring"),
        since: [("ab".repeat(20), issued()), ("cd".repeat(20), issued())].into(),
    };
    let mut request = sign(None);
    request.params.generation = "apt/3".parse().unwrap();
    request.params.cosigners = vec!["apt/2".parse().unwrap()];
    request.params.format = Format::Apt;
    request.params.options = [(KEYRING_OPTION.to_owned(), keyring.sha256.to_string())].into();
    let now = issued() + TimeDelta::days(40);
    let mut facts = facts(&settings, ENVIRONMENT, subkey("apt/3", State::Active, "ab"), now);
    facts.cosigners = vec![subkey("apt/2", State::Retiring, "cd")];
    facts.keyring = Some(keyring);
    change(&mut facts, &mut request.params);
    SignArtifact::decide(&request, &facts)
}

#[test]
fn each_key_of_a_repository_passes_its_own_gates() {
    let elsewhere = Environment::Production;
    allows(&release(|_, _| {}));
    stops(&release(|facts, _| facts.cosigners.clear()), "Status");
    stops(&release(|facts, _| facts.cosigners[0].id = "apt/1".parse().unwrap()), "Status");
    // Another key's generation signs nothing beside this one, known as it may be.
    let other = |facts: &mut Facts<'_>, params: &mut SignArtifact| {
        facts.cosigners[0].id = "other/2".parse().unwrap();
        params.cosigners = vec!["other/2".parse().unwrap()];
    };
    stops(&release(other), "Status");
    stops(&release(|facts, _| facts.cosigners[0].state = State::Retired), "Status");
    stops(&release(|facts, _| facts.cosigners[0].state = State::Active), "Status");
    stops(&release(|facts, _| facts.cosigners[0].quarantined = Some("x".into())), "Status");
    stops(&release(|facts, _| facts.cosigners[0].environment = elsewhere), "Environment");
    stops(&release(|facts, _| facts.cosigners[0].identities[0].copies.clear()), "HSMExportLock");
    let published = |facts: &mut Facts<'_>, fingerprint: &str, day: i64| {
        let since = issued() + TimeDelta::days(day);
        facts.keyring.as_mut().unwrap().since.insert(fingerprint.repeat(20), since);
    };
    for fingerprint in ["ab", "cd"] {
        // How long clients had was judged when it took over.
        allows(&release(|facts, _| published(facts, fingerprint, 40)));
        stops(&release(|facts, _| published(facts, fingerprint, 41)), "KeyringPublished");
    }
    assert_eq!(open(&release(|_, params| params.options.clear())), ["KeyringPublished"; 2]);
    assert_eq!(open(&release(|facts, _| facts.keyring = None)), ["KeyringPublished"; 2]);
    // Without others beside it the active one is still looked at.
    let alone = |file: &'static [u8]| {
        release(move |facts, params| {
            params.cosigners.clear();
            facts.keyring.as_mut().unwrap().sha256 = Hash256::of(file);
        })
    };
    allows(&alone(b"keyring"));
    stops(&alone(b"other"), "KeyringPublished");
    assert_eq!(open(&release(|facts, _| facts.now = issued() + TimeDelta::days(90))), ["CertificateAgeDays"; 2]);
}

#[test]
fn each_gate_before_a_signature_stops_it_by_itself() {
    let settings = settings();
    let production = Environment::Production;
    let decide = |change: fn(&mut Facts<'_>, &mut SignArtifact)| {
        let mut request = sign(Some(PackReference {
            evidence_pack_id: "p".into(),
            hash_algorithm: HashAlgorithm::Sha256,
            hash: Hash256::of(b"file").to_string(),
            certificate: Hash256::of(b"certificate").to_string(),
        }));
        let mut facts = facts(&settings, production, windows(production), issued());
        change(&mut facts, &mut request.params);
        SignArtifact::decide(&request, &facts)
    };
    allows(&decide(|_, _| {}));
    stops(
        &decide(|facts, _| {
            facts.suspended_keys = [("windows".parse().unwrap(), Suspension { seq: 3, reason: "x".into() })].into();
        }),
        "Suspended",
    );
    allows(&decide(|facts, _| {
        facts.suspended_keys = [("apt".parse().unwrap(), Suspension { seq: 3, reason: "x".into() })].into();
    }));
    stops(&decide(|facts, _| facts.generation.as_mut().unwrap().purpose = Purpose::Installer), "Purpose");
    stops(
        &decide(|facts, _| {
            let (seq, deadline, is_validated) = (9, issued(), false);
            facts.rotation.failure = Some(OpenFailure { seq, deadline, is_validated });
        }),
        "SigningKeyRotationComplete",
    );
    let decision = decide(|_, params| params.options.clear());
    stops(&decision, "Timestamp");
    assert_eq!(words(&decision, "Timestamp").1, "required");
    assert_eq!(words(&decide(|_, _| {}), "Timestamp"), ("rfc3161".to_owned(), "required".to_owned()));
    stops(&decide(|_, params| params.pack = None), "EvidencePack");
    let unknown = decide(|facts, _| facts.generation = None);
    stops(&unknown, "Status");
    assert_eq!(open(&decide(|facts, _| facts.signing = None)), ["Actor not evaluated"]);

    let staging = Facts { people: People::Missing, ..facts(&settings, ENVIRONMENT, windows(ENVIRONMENT), issued()) };
    let decision = SignArtifact::decide(&sign(None), &staging);
    allows(&decision);
    assert_eq!(words(&decision, "Timestamp").1, "as asked");
}

#[test]
fn a_pack_counts_in_the_hash_and_the_certificate_that_it_names() {
    let settings = settings();
    let production = Environment::Production;
    let decide = |hash: &str, certificate: &str, generation: Generation| {
        let mut request = sign(Some(PackReference {
            evidence_pack_id: "p".into(),
            hash_algorithm: HashAlgorithm::Sha512,
            hash: hash.into(),
            certificate: certificate.into(),
        }));
        request.params.sha512_before = Some("512".into());
        SignArtifact::decide(&request, &facts(&settings, production, generation, issued()))
    };
    let certificate = Hash256::of(b"certificate").to_string();
    allows(&decide("512", &certificate, windows(production)));
    stops(&decide(&Hash256::of(b"file").to_string(), &certificate, windows(production)), "EvidencePackArtifact");
    let mut bare = windows(production);
    bare.identities[0].credential = None;
    assert_eq!(open(&decide("512", "", bare)), ["CertificateAgeDays", "EvidencePackCertificate"]);
}
