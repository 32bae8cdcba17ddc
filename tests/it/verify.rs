//! Verifying what others signed: Microsoft's signtool, and osslsigncode with throw-away certificates.

use crate::support::{Place, Ran, corpus, flip, real_pe_files};
use crate::tsa::{Ca, Does, Server, Tsa, must};
use keyctl::clock::{Clock, Time, rfc3339};
use keyctl::model::{Environment, HashAlgorithm, Mechanism, Signature, Tbs};
use keyctl::pki::certificate::Certificate;
use keyctl::pki::crl::{CrlDraft, CrlPlan, Reason, Revocation, Scope, rehearse};
use keyctl::pki::pem;
use serde_json::Value;
use std::path::{Path, PathBuf};

const SIGNING: &[&str] = &["extendedKeyUsage=codeSigning"];

/// A CA with a signer's certificate, an authority, and a file.
pub struct Scene {
    pub place: Place,
    pub ca: Ca,
    tsa: Tsa,
}

impl Scene {
    pub fn new() -> Self {
        let place = Place::new();
        let ca = Ca::new(&place, "ca");
        ca.issue("signer", SIGNING);
        let tsa = Tsa::new(&place, "tsa");
        place.copy(&real_pe_files()[3], "plain.exe");
        Scene { place, ca, tsa }
    }

    /// Signs `from` as `to`, with osslsigncode.
    #[track_caller]
    pub fn sign(&self, from: &str, to: &str, ca: &Ca, name: &str, more: &[&str]) -> PathBuf {
        let (pem, key) = (ca.arg(&format!("{name}.pem")), ca.arg(&format!("{name}.key")));
        let (from, out) = (self.place.path(from), self.place.path(to));
        let (from, to) = (from.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
        let args = [&["sign", "-certs", &pem, "-key", &key], more, &["-in", from, "-out", to]].concat();
        must("osslsigncode", &self.ca.folder, &args);
        out
    }

    pub fn verify(&self, file: &str, more: &[&str]) -> Ran {
        let (root, tsa) = (self.ca.arg("root.pem"), self.tsa.root());
        let args = [&["verify", file, "--roots", &root, "--timestamp-roots", &tsa], more].concat();
        self.place.keyctl(&args)
    }

    /// The verdict, which must go with its exit status.
    #[track_caller]
    pub fn verdict(&self, file: &str, more: &[&str]) -> String {
        let ran = self.verify(file, more);
        let row = ran.json().remove(0);
        let verdict = row["verdict"].as_str().expect("a verdict").to_owned();
        assert_eq!(ran.code, if verdict == "valid" { 0 } else { 6 }, "{row}");
        verdict
    }
}

fn now() -> Time {
    Clock::system().now()
}

fn after(days: i64) -> String {
    rfc3339(now() + chrono::TimeDelta::days(days))
}

#[test]
fn verdicts_are_told_apart() {
    let scene = Scene::new();
    let file = scene.sign("plain.exe", "signed.exe", &scene.ca, "signer", &["-h", "sha256"]);
    assert_eq!(scene.verdict("signed.exe", &[]), "valid");
    assert_eq!(scene.verdict("plain.exe", &[]), "unsigned");
    assert_eq!(scene.verdict("signed.exe", &["--at", &after(800)]), "expired");
    assert_eq!(scene.verdict("signed.exe", &["--at", "2020-01-01T00:00:00Z"]), "not_yet_valid");
    assert_eq!(scene.verdict("signed.exe", &["--require-timestamp"]), "untimestamped");
    let strangers = Ca::new(&scene.place, "strangers");
    let stranger = scene.place.keyctl(&["verify", "signed.exe", "--roots", &strangers.arg("root.pem")]);
    assert_eq!(stranger.exits(6).json()[0]["verdict"], "unknown_issuer");

    scene.sign("plain.exe", "weak.exe", &scene.ca, "signer", &["-h", "sha1"]);
    assert_eq!(scene.verdict("weak.exe", &[]), "weak");
    scene.ca.issue("server", &["extendedKeyUsage=serverAuth"]);
    scene.sign("plain.exe", "purpose.exe", &scene.ca, "server", &["-h", "sha256"]);
    assert_eq!(scene.verdict("purpose.exe", &[]), "wrong_purpose");

    let changed = scene.place.copy(&file, "changed.exe");
    flip(&changed, 0x400);
    assert_eq!(scene.verdict("changed.exe", &[]), "tampered");
    let bytes = std::fs::read(&file).expect("signed.exe");
    std::fs::write(scene.place.path("cut.exe"), &bytes[..bytes.len() - 64]).expect("written");
    assert_eq!(scene.verdict("cut.exe", &[]), "malformed");
    std::fs::write(scene.place.path("longer.exe"), [&bytes[..], &[0; 64]].concat()).expect("written");
    assert_eq!(scene.verdict("longer.exe", &[]), "tampered", "bytes behind the table");
    std::fs::write(scene.place.path("text.exe"), "no image").expect("written");
    assert_eq!(scene.verdict("text.exe", &[]), "unsupported");
    scene.verify("missing.exe", &[]).exits(2).says("not_found");
    scene.verify("signed.exe", &["--output", "table"]).ok().says("FILE        VERDICT  DETAIL\nsigned.exe  valid    ");
}

#[test]
fn a_timestamp_that_was_changed_is_a_finding_of_its_own() {
    let scene = Scene::new();
    let server = Server::start(&scene.tsa, &[Does::Right]);
    let file = scene.sign("plain.exe", "stamped.exe", &scene.ca, "signer", &["-h", "sha256", "-ts", &server.url]);
    let later = after(700 + 400);
    assert_eq!(scene.verdict("stamped.exe", &["--require-timestamp", "--at", &later]), "valid");
    assert_eq!(scene.verdict("stamped.exe", &["--at", "2020-01-01T00:00:00Z"]), "bad_timestamp", "from the future");
    // The minutes of genTime: GeneralizedTime, 15 characters.
    let bytes = std::fs::read(&file).expect("stamped.exe");
    let year = now().format("%Y").to_string();
    let start = [&[0x18, 0x0f], year.as_bytes()].concat();
    let at = bytes.windows(start.len()).position(|window| window == start).expect("a genTime");
    let changed = scene.place.copy(&file, "changed.exe");
    flip(&changed, at + 2 + 11);
    assert_eq!(scene.verdict("changed.exe", &[]), "bad_timestamp");
    assert_eq!(scene.verify("changed.exe", &[]).json()[0]["signatures"][0]["signature"]["verdict"], "good");
}

#[test]
fn nested_signatures_are_judged_each_and_the_worst_decides() {
    let scene = Scene::new();
    let server = Server::start(&scene.tsa, &[Does::Right]);
    let stamp = ["-h", "sha256", "-ts", &server.url];
    scene.ca.issue("second", SIGNING);
    scene.sign("plain.exe", "one.exe", &scene.ca, "signer", &stamp);
    scene.sign("one.exe", "two.exe", &scene.ca, "second", &[&stamp[..], &["-nest"]].concat());
    let later = after(1100);
    let row = scene.verify("two.exe", &["--at", &later]).ok().json().remove(0);
    let of = |value: &Value, name: &str| -> Vec<Value> {
        value["signatures"].as_array().expect("a list").iter().map(|signature| signature[name].clone()).collect()
    };
    assert_eq!(of(&row, "nested"), [false, true]);
    assert_eq!(of(&row, "verdict"), ["valid", "valid"]);
    assert!(row["detail"].as_str().expect("words").contains("CN=signer"), "{row}");
    assert!(row["detail"].as_str().expect("words").contains("CN=second"), "{row}");

    let strangers = Ca::new(&scene.place, "strangers");
    strangers.issue("stranger", SIGNING);
    scene.sign("one.exe", "mixed.exe", &strangers, "stranger", &["-h", "sha256", "-nest"]);
    let row = scene.verify("mixed.exe", &[]).exits(6).json().remove(0);
    assert_eq!(of(&row, "verdict"), ["valid", "unknown_issuer"]);
    assert_eq!(row["verdict"], "unknown_issuer");
    let said = scene.verify("mixed.exe", &["--output", "table", "-v"]).exits(6);
    for words in ["  signature 1 ", "  signature 2, nested  unknown_issuer", "    timestamp ", "    chain "] {
        assert!(said.stdout.contains(words), "{words:?} is not in\n{}", said.stdout);
    }
    // Replaced by one of ours, nothing of the stranger's is left.
    scene.sign("plain.exe", "replaced.exe", &scene.ca, "second", &stamp);
    assert_eq!(of(&scene.verify("replaced.exe", &["--at", &later]).ok().json()[0], "verdict"), ["valid"]);
}

/// A revocation list by a throw-away CA, in a file.
fn crl(scene: &Scene, ca: &Ca, serial: &str, revoked: Time, reason: Reason, scope: Scope, this_update: Time) -> String {
    let read = |name: &str| {
        let pem = std::fs::read(ca.path(name)).expect("PEM");
        Certificate::parse(&pem::decode(pem::label::CERTIFICATE, &pem, 1).expect("PEM")[0]).expect("a certificate")
    };
    let key = std::fs::read(ca.path("root.key")).expect("a key");
    let key = openssl::pkey::PKey::private_key_from_pem(&key).expect("a key");
    let revocation = Revocation {
        serial: read(serial).fields().serial.clone(),
        revocation_date: revoked,
        reason,
        invalidity_date: None,
    };
    let plan = CrlPlan {
        environment: Environment::Sandbox,
        issuer: read("root.pem"),
        number: 1,
        this_update,
        next_update: this_update + chrono::TimeDelta::days(7),
        entries: vec![revocation],
        scope,
        urls: Vec::new(),
        mechanism: Mechanism::Ecdsa(HashAlgorithm::Sha256),
    };
    let linted = rehearse(CrlDraft::new(plan).expect("a draft")).expect("a list");
    let sign = |tbs: &Tbs| {
        let mut context = openssl::pkey_ctx::PkeyCtx::new(&key).expect("a context");
        context.sign_init().expect("a context");
        let mut out = Vec::new();
        context.sign_to_vec(tbs.bytes(), &mut out).expect("a signature");
        Signature(out)
    };
    let crl = linted.assemble(&sign(&linted.tbs())).expect("a list");
    let path = scene.place.path(format!("{}-{}.crl", reason, revoked.timestamp()));
    std::fs::write(&path, crl.der()).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_revocation_counts_from_its_date_on() {
    let scene = Scene::new();
    let server = Server::start(&scene.tsa, &[Does::Right]);
    scene.sign("plain.exe", "stamped.exe", &scene.ca, "signer", &["-h", "sha256", "-ts", &server.url]);
    scene.sign("plain.exe", "bare.exe", &scene.ca, "signer", &["-h", "sha256"]);
    let hours = chrono::TimeDelta::hours;
    let users = || Scope::UserCertificates;
    let before = crl(&scene, &scene.ca, "signer.pem", now() - hours(1), Reason::KeyCompromise, users(), now());
    let since =
        crl(&scene, &scene.ca, "signer.pem", now() + hours(12), Reason::KeyCompromise, users(), now() + hours(24));
    let other = crl(&scene, &scene.ca, "root.pem", now() - hours(2), Reason::Superseded, users(), now());
    let at = after(2);

    assert_eq!(scene.verdict("stamped.exe", &["--crl", &before]), "revoked");
    assert_eq!(scene.verdict("stamped.exe", &["--crl", &since, "--at", &at]), "valid", "signed before");
    assert_eq!(scene.verdict("bare.exe", &["--crl", &since, "--at", &at]), "revoked", "nobody knows when");
    assert_eq!(scene.verdict("bare.exe", &["--crl", &since]), "valid", "not yet");
    let row = scene.verify("stamped.exe", &["--crl", &other]).ok().json().remove(0);
    assert_eq!(row["signatures"][0]["chain"]["revocation_checked"], true);
    assert_eq!(scene.verdict("bare.exe", &["--crl", &other, "--at", &after(30)]), "revocation_unknown", "too old");
    scene.verify("bare.exe", &["--crl", "plain.exe"]).exits(1).says("plain.exe");

    // PEM as openssl writes it.
    let pem = scene.place.path("before.pem");
    let pem = pem.to_str().expect("UTF-8");
    must("openssl", &scene.ca.folder, &["crl", "-inform", "DER", "-in", &before, "-out", pem]);
    assert_eq!(scene.verdict("stamped.exe", &["--crl", pem]), "revoked");
}

#[test]
fn a_compromised_authority_proves_no_time_at_all() {
    let scene = Scene::new();
    let server = Server::start(&scene.tsa, &[Does::Right]);
    scene.sign("plain.exe", "stamped.exe", &scene.ca, "signer", &["-h", "sha256", "-ts", &server.url]);
    let hours = chrono::TimeDelta::hours;
    let list = |reason| {
        crl(&scene, &scene.tsa.ca, "tsa.pem", now() + hours(12), reason, Scope::UserCertificates, now() + hours(24))
    };
    let at = after(2);
    let closed = list(Reason::CessationOfOperation);
    assert_eq!(scene.verdict("stamped.exe", &["--crl", &closed, "--at", &at, "--require-timestamp"]), "valid");
    let stolen = list(Reason::KeyCompromise);
    assert_eq!(scene.verdict("stamped.exe", &["--crl", &stolen, "--at", &at]), "bad_timestamp");
}

#[test]
fn a_workspace_adds_its_lists_and_what_it_knows_of_the_key() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let row = place.keyctl(&["verify", "app.exe"]).ok().json().remove(0);
    assert_eq!(row["signatures"][0]["register"]["generation"], "windows/1");
    assert!(row["ledger_entry"].is_number() && row["notes"].as_array().is_some_and(Vec::is_empty), "{row}");
    place.keyctl(&["verify", "app.exe", "-v", "--output", "table"]).ok().says("    register ").says("windows/1");
    std::fs::write(place.workspace().join("published/crl/windows-ca-1.crl"), b"\x30\x03abc").expect("written");
    place.keyctl(&["verify", "app.exe"]).exits(1).says("windows-ca-1.crl");
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

/// Microsoft's signtool made these, and says of the others that they are not signed.
#[test]
fn signtool_and_we_agree_on_every_pe_file() {
    let Some(corpus) = corpus("agreeing with signtool") else { return };
    let windows = corpus.join("windows");
    let root = windows.join("signtool-test-ca.crt");
    let place = Place::new();
    let verdicts = |folder: &str| -> Vec<(String, String, i32)> {
        let mut files = Vec::new();
        files_under(&windows.join(folder), &mut files);
        assert!(!files.is_empty(), "{folder} is empty");
        let verify = |file: &PathBuf| {
            let file = file.to_str().expect("UTF-8");
            // The signer's certificate is good until 2027-03-22.
            let args = ["verify", file, "--at", "2026-06-01T00:00:00Z", "--roots", root.to_str().expect("UTF-8")];
            let ran = place.keyctl(&args);
            let verdict = ran.json()[0]["verdict"].as_str().expect("a verdict").to_owned();
            (file.to_owned(), verdict, ran.code)
        };
        files.iter().map(verify).collect()
    };
    for (folder, wanted, code) in [
        ("signed-by-signtool/pe", "valid", 0),
        ("signed-by-signtool/winmd", "valid", 0),
        ("unsigned/pe", "unsigned", 6),
        ("unsigned/winmd", "unsigned", 6),
        ("unsigned/negative", "unsupported", 6),
        ("unsigned/msix-encrypted-negative", "unsupported", 6),
    ] {
        for (file, verdict, exit) in verdicts(folder) {
            assert_eq!((verdict.as_str(), exit), (wanted, code), "{file}");
        }
    }
    // After its end, an untimestamped signature is worth nothing, to signtool as to us.
    let file = windows.join("signed-by-signtool/pe/tiny32-pe-alias.exe");
    let args = ["verify", file.to_str().expect("UTF-8"), "--at", "2027-04-01T00:00:00Z", "--roots"];
    let ran = place.keyctl(&[&args[..], &[root.to_str().expect("UTF-8")]].concat()).exits(6);
    assert_eq!(ran.json()[0]["verdict"], "expired");
}
