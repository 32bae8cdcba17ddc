//! Ledgers that were written by earlier versions, and that every later one must still open: see `fixtures/ledger-v1`.
//!
//! The files there never change once a version that writes them was released. [`make`] is how the first one came to
//! be; every key in it follows from a constant, and every time is fixed.

use super::anchor::Pin;
use super::testing::{self, Signer, Test, acts};
use super::verify::verify;
use super::{Entry, Ledger, export, query};
use crate::crypto::note::SignedNote;
use crate::keys::{Credential, State};
use crate::model::{GenerationId, Hash256, HashAlgorithm, KeyAlgorithm, Mechanism, Purpose, hex};
use crate::request::{MakeCsr, Operation, Request, Role};
use chrono::TimeDelta;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::X509;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const ROOT: &str = "CN=Example Corp Root,C=ZZ";
const LEAF: &str = "CN=Example Corp,C=ZZ";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1")
}

/// `openssl` reads and checks what these few bytes of DER make, in the test below.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u16::try_from(content.len()).unwrap();
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        0x80..0x100 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [head, content].concat()
}

fn name(text: &str) -> Vec<u8> {
    let common_name = text.strip_prefix("CN=").unwrap().strip_suffix(",C=ZZ").unwrap();
    let part = |kind: u8, tag: u8, value: &str| {
        let value = der(tag, &[value.as_bytes()]);
        der(0x31, &[&der(0x30, &[&der(6, &[&[0x55, 4, kind]]), &value])])
    };
    der(0x30, &[&part(6, 0x13, "ZZ"), &part(3, 0x0c, common_name)])
}

/// A version 1 certificate by the root's Ed25519 key (RFC 5280 §4.1, RFC 8410), and the hash of what was signed.
fn certificate(subject: &str, serial: &[u8], key: &PKey<Private>) -> (Vec<u8>, Hash256) {
    let ed25519 = der(0x30, &[&der(6, &[&[0x2b, 0x65, 0x70]])]);
    let validity = [b"260101000000Z", b"260501000000Z"].map(|time| der(0x17, &[time]));
    let spki = key.public_key_to_der().unwrap();
    let (issuer, validity) = (name(ROOT), der(0x30, &[&validity.concat()]));
    let tbs = der(0x30, &[&der(2, &[serial]), &ed25519, &issuer, &validity, &name(subject), &spki]);
    let signature = openssl::sign::Signer::new_without_digest(&root()).unwrap().sign_oneshot_to_vec(&tbs).unwrap();
    (der(0x30, &[&tbs, &ed25519, &der(3, &[&[0], &signature])]), Hash256::of(&tbs))
}

fn root() -> PKey<Private> {
    PKey::private_key_from_raw_bytes(&acts::fixed("root key", 0).0, Id::ED25519).unwrap()
}

impl Test {
    fn ask<O: Operation>(&mut self, request: &Request<O>) -> Entry {
        self.clock.turn(TimeDelta::minutes(1));
        self.add(acts::intent(request))
    }

    fn act<O: Operation>(&mut self, request: &Request<O>, done: Value) {
        let intent = self.ask(request);
        self.clock.turn(TimeDelta::seconds(2));
        self.add(acts::done(&intent, done));
    }

    fn generate(&mut self, generation: &str, purpose: Purpose, hsm: &str, key: &PKey<Private>, holds: bool) {
        let algorithm = if key.id() == Id::ED25519 { KeyAlgorithm::Ed25519 } else { KeyAlgorithm::EcdsaP256 };
        let request = acts::keygen(generation, purpose, algorithm, hsm);
        let mut done = json!({ "identity": acts::identity(key, &request.params) });
        if !holds {
            let fact = json!({ "name": "CKA_EXTRACTABLE", "value": true, "state": "mismatch" });
            *done.pointer_mut("/identity/copies/0/attributes/1").unwrap() = fact;
        }
        self.act(&request, done);
    }

    fn issue(&mut self, generation: &str, subject: &str, key: &PKey<Private>) {
        let serial = &acts::fixed(generation, 3).0[..16];
        let serial = [&[serial[0] & 0x3f | 0x40], &serial[1..]].concat();
        let (certificate, tbs_sha256) = certificate(subject, &serial, key);
        let mut request = acts::issue(generation, "root/1", &hex(&serial));
        request.params.tbs_sha256 = tbs_sha256;
        request.signatures = vec![acts::covered(Role::Issuer, "root/1", Mechanism::Ed25519, "root", tbs_sha256)];
        let issuer = Some(request.params.issuer.clone());
        let credential = acts::credential(certificate, &hex(&serial), [subject, ROOT], issuer);
        self.act(&request, json!({ "credential": credential }));
    }

    fn import(&mut self, generation: &str, key: &PKey<Private>) {
        let serial = [0x41, 0xff];
        let (certificate, _) = certificate(LEAF, &serial, key);
        let request = acts::import(generation, &certificate, &hex(&serial));
        let credential = acts::credential(certificate, &hex(&serial), [LEAF, ROOT], None);
        self.act(&request, json!({ "credential": credential }));
    }

    fn step(&mut self, generation: &str, from: State, to: State) {
        self.act(&acts::step(generation, from, to), json!({}));
    }

    fn csr(&mut self, generation: &str) {
        let tbs_sha256 = acts::fixed(generation, 4);
        let params = MakeCsr { generation: acts::id(generation), subject: LEAF.into(), tbs_sha256 };
        let mechanism = Mechanism::Ecdsa(HashAlgorithm::Sha256);
        let covered = acts::covered(Role::Subject, generation, mechanism, "primary", tbs_sha256);
        self.act(&acts::request(generation, params, vec![covered]), json!({}));
    }
}

/// A ledger with each kind of entry, and the pin of somebody who saw its second checkpoint.
fn make() -> (Vec<u8>, Vec<u8>) {
    let mut test = testing::ledger(1);
    let keys = [1, 2, 3, 4].map(acts::p256);
    test.generate("root/1", Purpose::RootCa, "root", &root(), true);
    test.issue("root/1", ROOT, &root());
    test.step("root/1", State::Certified, State::Staged);
    test.step("root/1", State::Staged, State::Active);
    test.generate("windows/1", Purpose::Authenticode, "primary", &keys[0], true);
    test.issue("windows/1", LEAF, &keys[0]);
    test.step("windows/1", State::Certified, State::Staged);
    test.step("windows/1", State::Staged, State::Active);
    test.act(&acts::sign("windows/1", 1), acts::signed(1));
    for (n, result) in [(2, "failed"), (3, "unknown")] {
        let intent = test.ask(&acts::sign("windows/1", n));
        test.add(acts::not_done(&intent, result));
    }
    test.add(acts::refused(&acts::sign("windows/1", 4)));
    test.checkpoint();
    test.generate("windows/2", Purpose::Authenticode, "primary", &keys[1], false);
    test.generate("windows/3", Purpose::Authenticode, "primary", &keys[2], true);
    test.csr("windows/3");
    test.import("windows/3", &keys[2]);
    test.step("windows/3", State::Certified, State::Staged);
    test.step("windows/1", State::Active, State::Retiring);
    test.step("windows/3", State::Staged, State::Active);
    test.act(&acts::adopt("Example Corporation"), json!({}));
    test.act(&acts::sign("windows/3", 5), acts::signed(5));
    let note = test.checkpoint();
    test.ask(&acts::sign("windows/3", 6));
    let mut exported = Vec::new();
    export::export(&test.ledger, &mut exported).unwrap();
    (exported, pinned(&test, &note))
}

fn pinned(test: &Test, note: &SignedNote) -> Vec<u8> {
    let state = tempfile::tempdir().unwrap();
    let trust = test.trust();
    let mut pin = Pin {
        workspace_id: trust.workspace_id,
        origin: trust.origin,
        ledger_keys: trust.ledger_keys,
        genesis_leaf_hash: trust.genesis_leaf_hash,
        head: None,
        place: None,
    };
    pin.create(state.path()).unwrap();
    pin.advance(state.path(), &test.ledger, note).unwrap();
    fs::read(Pin::path(state.path(), testing::WORKSPACE).unwrap()).unwrap()
}

/// The export and the pin; with `KEYCTL_BLESS=1` they are made if they are missing. They are never written over.
fn files() -> &'static (Vec<u8>, Vec<u8>) {
    static FILES: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
        let (export, pin) = (folder().join("export.jsonl"), folder().join("pin.json"));
        if std::env::var_os("KEYCTL_BLESS").is_some_and(|bless| bless == "1") && !export.exists() && !pin.exists() {
            let (exported, pinned) = make();
            fs::write(&export, exported).unwrap();
            fs::write(&pin, pinned).unwrap();
        }
        (fs::read(export).unwrap(), fs::read(pin).unwrap())
    });
    &FILES
}

/// Puts a pin where [`Pin::load`] looks for it.
fn load_pin(json: &[u8]) -> Pin {
    let state = tempfile::tempdir().unwrap();
    let path = Pin::path(state.path(), testing::WORKSPACE).unwrap();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, json).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Pin::load(state.path(), testing::WORKSPACE).unwrap().unwrap()
}

fn open(export: &[u8]) -> (Ledger, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let clock = testing::clock();
    clock.turn(TimeDelta::days(365));
    (export::import(&place.path().join("ledger.db"), clock, export).unwrap(), place)
}

#[test]
fn making_it_again_gives_the_same_bytes() {
    assert_eq!(make(), make());
}

#[test]
fn the_ledger_of_version_1_still_verifies_and_goes_on() {
    let (exported, pin) = files();
    let pin = load_pin(pin);
    let (mut ledger, _place) = open(exported);
    pin.check(&ledger).unwrap();
    let report = verify(&ledger, &pin.trust(), &[pin.anchor().unwrap().unwrap()]).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.entries, report.checkpointed_size, report.unanchored_tail), (43, 42, 1));
    assert_eq!(report.open_intents, [42]);
    let mut again = Vec::new();
    export::export(&ledger, &mut again).unwrap();
    assert_eq!(again, *exported);

    let mut writer = ledger.writer().unwrap();
    let intent = writer.reader().entry(42).unwrap();
    let outcome = writer.append(acts::not_done(&intent, "unknown")).unwrap();
    writer.commit().unwrap();
    let forward = ledger.entry(43).unwrap();
    assert_eq!((forward.entry_type.as_str(), outcome.seq), ("LEDGER_BROUGHT_FORWARD", 44));
    assert!(intent.register.is_none() && forward.register.is_some() && outcome.register.is_some());
    ledger.checkpoint(testing::ORIGIN, |text| Ok(Signer::fixed().sign(text))).unwrap();
    let report = verify(&ledger, &pin.trust(), &[]).unwrap();
    assert_eq!((report.findings, report.open_intents, report.checkpointed_size), (vec![], vec![], 45));
}

#[test]
fn a_ledger_of_version_1_decides_only_by_tables_that_follow_from_its_entries() {
    let (exported, _) = files();
    let (mut ledger, _place) = open(exported);
    let forge = "UPDATE generations SET state = 'active', doc = json_set(doc, '$.state', 'active')
                 WHERE key = 'windows' AND number = 2";
    ledger
        .connection()
        .execute("UPDATE generations SET state = 'retired' WHERE key = 'windows' AND number = 3", [])
        .unwrap();
    ledger.connection().execute(forge, []).unwrap();
    assert_eq!(ledger.writer().unwrap_err().code(), "tables_changed");
}

#[test]
fn the_register_of_version_1_still_says_the_same() {
    let (exported, _) = files();
    let (ledger, _place) = open(exported);
    let conn = ledger.connection();
    let generations = query::generations(conn).unwrap();
    let states: Vec<_> = generations.iter().map(|found| (found.id.to_string(), found.state)).collect();
    let expected = [
        ("ledger/1", State::Active),
        ("root/1", State::Active),
        ("windows/1", State::Retiring),
        ("windows/2", State::Generated),
        ("windows/3", State::Active),
    ];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
    let quarantined: Vec<_> = generations.iter().filter(|found| found.quarantined.is_some()).collect();
    assert_eq!(quarantined.iter().map(|found| found.id.number).collect::<Vec<_>>(), [2]);

    for found in &generations {
        let identity = &found.identities[0];
        assert_eq!(query::generation_by_spki(conn, &identity.spki_sha256).unwrap().as_ref(), Some(found));
        assert_eq!(identity.public_key().unwrap().spki_hash(), identity.spki_sha256);
        let Some(Credential::X509 { certificate, issued_by, subject, .. }) = &identity.credential else { continue };
        let parsed = X509::from_der(certificate).unwrap();
        assert!(parsed.verify(&root()).unwrap());
        assert_eq!(parsed.public_key().unwrap().public_key_to_der().unwrap(), identity.spki);
        assert_eq!(
            issued_by.as_ref().map(GenerationId::to_string).as_deref(),
            (found.id.number != 3).then_some("root/1")
        );
        let common_name = parsed.subject_name().entries().last().unwrap().data().as_slice();
        assert_eq!(subject.as_bytes(), [b"CN=", common_name, b",C=ZZ"].concat());
    }

    let adopted = query::settings(conn).unwrap();
    assert_eq!(adopted.settings.organization.name, "Example Corporation");
    let counts = [("windows/1".to_owned(), 1), ("windows/3".to_owned(), 1)];
    assert_eq!(query::signed_counts(conn).unwrap(), counts);
    let signed = query::signed_into(conn, &acts::fixed("signed file", 5)).unwrap();
    assert_eq!(signed.map(|seq| ledger.entry(seq).unwrap().entry_type.to_string()).as_deref(), Some("PACKAGE_SIGNED"));
    assert_eq!(query::open_intents(conn).unwrap()[0].process, acts::PROCESS);
    assert_eq!(query::genesis(conn).unwrap().workspace_id, testing::WORKSPACE);
}
