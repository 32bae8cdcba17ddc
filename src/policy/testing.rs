//! A key, requests about it and facts, for the tests of rules.

use super::facts::{Facts, People, RotationFacts};
use super::signing;
use crate::clock::{Time, parse};
use crate::config::{Config, Settings};
use crate::keys::{AttributeFact, AttributeState, Copy, Credential, Generation, Identity, State, TokenFacts};
use crate::ledger::query::LastFacts;
use crate::model::{Actor, Assurance, CkaId, Custody, Environment, Hash256, KeyAlgorithm, Purpose};
use crate::request::{Format, Operation, PackReference, Request, SignArtifact, TIMESTAMP};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) fn settings() -> Settings {
    let text = Config::render_default("Example Corp", "example.invalid/keyctl");
    Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
}

pub(crate) fn issued() -> Time {
    parse("2026-03-01T12:00:00Z").unwrap()
}

pub(crate) fn windows(environment: Environment) -> Generation {
    let fact =
        |name: &str, value| AttributeFact { name: name.into(), value: Some(value), state: AttributeState::Asserted };
    let token = TokenFacts {
        label: "primary".into(),
        manufacturer: "M".into(),
        model: "m".into(),
        serial: "1".into(),
        firmware: "1.0".into(),
        software: false,
    };
    let credential = Credential::X509 {
        certificate: vec![0x30],
        fingerprint: Hash256::of(b"certificate"),
        thumbprint: "AB".repeat(20),
        subject: "CN=x".into(),
        issuer: "CN=y".into(),
        serial: "01".into(),
        not_before: issued(),
        not_after: issued() + TimeDelta::days(120),
        issued_by: None,
        chain: Vec::new(),
    };
    Generation {
        id: "windows/1".parse().unwrap(),
        purpose: Purpose::Authenticode,
        environment,
        custody: Custody::Bound,
        state: State::Active,
        quarantined: None,
        identities: vec![Identity {
            algorithm: KeyAlgorithm::EcdsaP256,
            spki_sha256: Hash256::of(b"key"),
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

pub(crate) fn sign(pack: Option<PackReference>) -> Request<SignArtifact> {
    let params = SignArtifact {
        generation: "windows/1".parse().unwrap(),
        cosigners: Vec::new(),
        artifact_id: "a".into(),
        name: "app.exe".into(),
        format: Format::Pe,
        hash_before: Hash256::of(b"file"),
        size_before: 4,
        content_digest: "sha256:00".into(),
        pack,
        sha512_before: None,
        provenance: None,
        options: BTreeMap::from([(TIMESTAMP.to_owned(), "rfc3161".to_owned())]),
        cab: None,
        resigns: None,
    };
    request(params)
}

pub(crate) fn request<O: Operation>(params: O) -> Request<O> {
    Request {
        request_id: "r".into(),
        correlation_id: "c".parse().unwrap(),
        operation: O::KIND,
        object: "o".into(),
        actor: Actor { email: "a@b.invalid".parse().unwrap(), role: None, assurance: Assurance::Asserted },
        params,
        signatures: Vec::new(),
        approvals: Vec::new(),
        authority: None,
    }
}

pub(crate) fn facts(settings: &Settings, environment: Environment, generation: Generation, now: Time) -> Facts<'_> {
    Facts {
        now,
        newest: None,
        environment,
        settings,
        generation: Some(generation),
        issuer: None,
        cosigners: Vec::new(),
        keyring: None,
        has_active: false,
        next_number: 2,
        revocation: None,
        list: None,
        rotation: RotationFacts::default(),
        people: if environment == Environment::Sandbox { People::Waived } else { People::Missing },
        signing: Some(signing::testing::nobody(environment, now)),
        suspended_keys: BTreeMap::new(),
        roster: None,
        destruction: LastFacts::default(),
        equipment: None,
    }
}
