//! Revocation from end to end: what the register, the lists, the keyrings, the evidence and other people's programs say.

#[path = "revoke/served.rs"]
pub mod served;

use crate::apt::{FTPARCHIVE, all_accept, apt_update, archive, founded, gpgv, keyring, sqv, suite};
use crate::support::{Place, Ran, flip, real_pe_files, tool};
use crate::tsa::{Does, Server, Tsa};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The time of day, of the machine.
fn now() -> DateTime<Utc> {
    keyctl::clock::Clock::system().now()
}

fn revoke(place: &Place, generation: &str, reason: &str, more: &[&str]) -> Ran {
    place.keyctl(&[&["revoke", generation, "--reason", reason, "--yes"], more].concat())
}

pub fn list(place: &Place, name: &str) -> PathBuf {
    place.published(&format!("crl/{name}.crl"))
}

/// A sandbox that signed some files: `app-1.exe`, …
fn with_files(count: usize) -> Place {
    let place = Place::with_sandbox();
    for n in 1..=count {
        let name = format!("app-{n}.exe");
        place.copy(&real_pe_files()[3], &name);
        place.keyctl(&["sign", &name]).ok();
    }
    place
}

pub fn state(place: &Place, generation: &str) -> Value {
    let rows = place.keyctl(&["status"]).ok().json();
    rows.into_iter().find(|row| row["generation"] == generation).expect("the generation")
}

/// The rows of `status` about artifacts to be signed again.
fn marks(place: &Place) -> Vec<Value> {
    let rows = place.keyctl(&["status"]).ok().json();
    rows.into_iter().filter(|row| row.get("resign_required").is_some()).collect()
}

/// The entries of a type whose act went well.
fn outcomes(place: &Place, entry_type: &str) -> Vec<Value> {
    let entries = place.entries();
    entries.into_iter().filter(|entry| entry["type"] == entry_type && entry["body"]["result"] == "ok").collect()
}

/// Every number that a list was to have, in order: the intents burn them.
pub fn burned(place: &Place, issuer: &str) -> Vec<u64> {
    let numbers = place.entries().into_iter().filter(|entry| entry["body"]["phase"] == "intent").filter_map(|entry| {
        let params = &entry["body"]["request"]["params"];
        let by = if entry["type"] == "CRL_ISSUED" { &params["generation"] } else { &params["issuer"] };
        (by == issuer).then(|| params["crl"]["number"].as_u64()).flatten()
    });
    numbers.collect()
}

/// A list as PEM, for programs that read nothing else.
fn as_pem(place: &Place, list: &Path) -> PathBuf {
    let pem = place.path(format!("{}.pem", list.file_name().expect("a name").to_string_lossy()));
    let output = tool("openssl").args(["crl", "-inform", "DER", "-in"]).arg(list).arg("-out").arg(&pem).output();
    assert!(output.expect("openssl runs").status.success());
    pem
}

/// What `openssl crl` reads in a list.
pub fn openssl_reads(path: &Path, args: &[&str]) -> String {
    let output = tool("openssl").args(["crl", "-inform", "DER", "-noout", "-in"]).arg(path).args(args).output();
    let output = output.expect("openssl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// `openssl verify -crl_check` of a certificate under these lists.
fn openssl_verifies(place: &Place, certificate: &str, lists: &[PathBuf]) -> Result<(), String> {
    let certs = |name: &str| place.published(&format!("certs/{name}.pem"));
    let mut command = tool("openssl");
    command.args(["verify", "-x509_strict", "-crl_check", "-CAfile"]).arg(certs("root-1"));
    command.arg("-untrusted").arg(certs("windows-ca-1"));
    for list in lists {
        command.arg("-CRLfile").arg(as_pem(place, list));
    }
    let output = command.arg(certs(certificate)).output().expect("openssl runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn gnutls_verifies(place: &Place, list: &Path, ca: &str) -> bool {
    let ca = place.published(&format!("certs/{ca}.pem"));
    let list = as_pem(place, list);
    let args = ["--verify-crl", "--load-ca-certificate"];
    let output = tool("certtool").args(args).arg(ca).arg("--infile").arg(list).output().expect("certtool runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    said.contains("Verified.") && !said.contains("Not verified")
}

/// pkilint's word on a list.
fn pkilint(place: &Place, list: &Path) -> Result<(), String> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/keyctl-tools"));
    let tools = std::env::var_os("KEYCTL_TOOLS").map(PathBuf::from).or_else(home).expect("a home");
    let program = tools.join("bin/lint_crl");
    assert!(program.is_file(), "lint_crl is not installed: run tests/setup first");
    let pem = as_pem(place, list);
    let args = ["lint", "-t", "CRL", "-p", "PKIX", "-s", "NOTICE"];
    let output = std::process::Command::new(program).args(args).arg(pem).output().expect("lint_crl runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
}

#[test]
fn a_revoked_key_is_on_its_list_for_everyone() {
    let place = with_files(2);
    let row = revoke(&place, "windows/1", "keyCompromise", &[]).ok().one();
    let list = list(&place, "windows-ca-1");
    assert_eq!((&row["state"], &row["published"]), (&"revoked".into(), &true.into()));
    assert_eq!((&row["crl_number"], &row["resign_required"]), (&1.into(), &2.into()));
    let sha256 = keyctl::model::Hash256::of(&std::fs::read(&list).expect("the list")).to_string();
    assert_eq!(row["crl_sha256"], sha256);

    let root = list.with_file_name("root-1.crl");
    assert!(!root.exists());
    place.keyctl(&["crl", "root"]).ok();
    let certificate = place.published("certs/windows-1.pem");
    let serial = tool("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(certificate).output().expect("openssl");
    let serial = String::from_utf8_lossy(&serial.stdout).trim().replace("serial=", "");
    let read = openssl_reads(&list, &["-text"]);
    assert!(read.contains(&format!("Serial Number: {serial}")) && read.contains("Key Compromise"), "{read}");
    let ca = place.published("certs/windows-ca-1.pem");
    let ca = ca.to_str().expect("UTF-8");
    assert!(openssl_reads(&list, &["-CAfile", ca]).contains("verify OK"));
    let refused = openssl_verifies(&place, "windows-1", &[list.clone(), root.clone()]).unwrap_err();
    assert!(refused.contains("certificate revoked"), "{refused}");
    openssl_verifies(&place, "windows-ca-1", std::slice::from_ref(&root)).unwrap();
    for (list, ca) in [(&list, "windows-ca-1"), (&root, "root-1")] {
        assert!(gnutls_verifies(&place, list, ca), "{ca}");
        pkilint(&place, list).unwrap();
    }
    // One byte of what was signed, and nobody believes it.
    let changed = place.copy(&list, "changed.crl");
    let number = keyctl::model::unhex(&serial.to_lowercase()).expect("hex");
    let bytes = std::fs::read(&changed).expect("a list");
    let at = bytes.windows(number.len()).position(|window| window == number).expect("the serial number");
    flip(&changed, at + 5);
    assert!(!openssl_reads(&changed, &["-CAfile", ca]).contains("verify OK"));
    assert!(!gnutls_verifies(&place, &changed, "windows-ca-1"));

    let refused = place.keyctl(&["verify", "app-1.exe"]).exits(6).one();
    assert_eq!(refused["verdict"], "revoked");
    place.copy(&real_pe_files()[3], "later.exe");
    place.keyctl(&["sign", "later.exe", "--key", "windows"]).fails(4, "no_active_generation");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn an_empty_list_is_no_news_for_anyone() {
    let place = Place::with_sandbox();
    let rows = place.keyctl(&["crl"]).ok().json();
    let issued: Vec<_> = rows.iter().map(|row| (row["issuer"].as_str(), row["entries"].as_u64())).collect();
    assert_eq!(issued, [(Some("root/1"), Some(0)), (Some("windows-ca/1"), Some(0))]);
    let lists = ["windows-ca-1", "root-1"].map(|name| list(&place, name));
    openssl_verifies(&place, "windows-1", &lists).unwrap();
    for (list, ca) in lists.iter().zip(["windows-ca-1", "root-1"]) {
        assert!(gnutls_verifies(&place, list, ca));
        pkilint(&place, list).unwrap();
        assert!(openssl_reads(list, &["-text"]).contains("No Revoked Certificates"));
    }
    place.copy(&real_pe_files()[3], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let row = place.keyctl(&["verify", "app.exe"]).ok().one();
    assert_eq!(row["signatures"][0]["chain"]["revocation_checked"], true, "{row}");
    let rows = place.keyctl(&["crl"]).ok().json();
    assert!(rows.iter().all(|row| row["result"] == "not due"), "{rows:?}");
    let rows = place.keyctl(&["crl", "windows-ca", "--now"]).ok().json();
    assert_eq!((rows.len(), &rows[0]["result"], &rows[0]["number"]), (1, &"issued".into(), &2.into()));
    place.keyctl(&["crl", "windows"]).fails(2, "unknown_ca");
    assert_eq!(place.keyctl(&["crl", "--now", "--dry-run"]).ok().json()[0]["operation"], "crl");
    assert_eq!(burned(&place, "windows-ca/1"), [1, 2]);
}

#[test]
fn what_was_timestamped_before_the_compromise_stays_good_and_osslsigncode_sees_it_otherwise() {
    let place = Place::with_sandbox();
    let tsa = Tsa::new(&place, "tsa");
    let server = Server::start(&tsa, &[Does::Right]);
    let root = tsa.root();
    let sign = |name: &str| {
        place.copy(&real_pe_files()[3], name);
        place.keyctl(&["sign", name, "--timestamp", &server.url, "--timestamp-roots", &root]).ok().one()
    };
    sign("before.exe");
    place.copy(&real_pe_files()[1], "bare.dll");
    place.keyctl(&["sign", "bare.dll"]).ok();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let since = keyctl::clock::rfc3339(now());
    std::thread::sleep(std::time::Duration::from_secs(1));
    let after = sign("after.exe");
    let row = revoke(&place, "windows/1", "keyCompromise", &["--compromised-since", &since]).ok().one();
    assert_eq!((&row["revocation_date"], &row["invalidity_date"]), (&since.clone().into(), &since.clone().into()));
    let read = openssl_reads(&list(&place, "windows-ca-1"), &["-text"]);
    assert!(read.contains("Invalidity Date"), "{read}");

    let verdict = |name: &str| place.keyctl(&["verify", name, "--timestamp-roots", &root]).json()[0]["verdict"].clone();
    assert_eq!(["before.exe", "bare.dll", "after.exe"].map(verdict), ["valid", "revoked", "revoked"]);
    // Who depends on the key from that time on, or nobody can say when, has to be signed again.
    let marked: Vec<_> = marks(&place).iter().map(|mark| mark["resign_required"].clone()).collect();
    assert_eq!(marked.len(), 2);
    assert!(marked.contains(&after["artifact_id"]));

    // OpenSSL ignores revocationDate, and with it osslsigncode: both are revoked for it.
    let chain = place.path("roots.pem");
    let certs = ["root-1", "windows-ca-1"]
        .map(|name| std::fs::read(place.published(&format!("certs/{name}.pem"))).expect("PEM"));
    std::fs::write(&chain, certs.concat()).expect("written");
    let pem = as_pem(&place, &list(&place, "windows-ca-1"));
    for name in ["before.exe", "after.exe"] {
        let mut command = tool("osslsigncode");
        command.arg("verify").arg("-CAfile").arg(&chain).arg("-CRLfile").arg(&pem).arg("-TSA-CAfile").arg(&root);
        let output = command.arg("-in").arg(place.path(name)).output().expect("osslsigncode runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && said.contains("certificate revoked"), "{name}: {said}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::with_sandbox();
    let tomorrow = keyctl::clock::rfc3339(now() + TimeDelta::days(1));
    let yesterday = keyctl::clock::rfc3339(now() - TimeDelta::days(1));
    let refuse = |args: &[&str], exit, code: &str| {
        revoke(&place, args[0], args[1], &args[2..]).fails(exit, code);
    };
    for never in ["certificateHold", "removeFromCRL", "keycompromise", "because"] {
        revoke(&place, "windows/1", never, &[]).exits(2);
    }
    refuse(&["windows/1", "superseded", "--compromised-since", &yesterday], 2, "date_not_wanted");
    refuse(&["windows/1", "keyCompromise", "--compromised-since", &tomorrow], 2, "bad_time");
    refuse(&["windows/1", "keyCompromise", "--compromised-since", &yesterday], 2, "bad_time");
    refuse(&["windows/1", "keyCompromise", "--compromised-since", "yesterday"], 2, "bad_time");
    refuse(&["windows/1", "cACompromise"], 4, "gate_failed");
    refuse(&["windows/9", "superseded"], 2, "unknown_generation");
    refuse(&["ledger/1", "superseded"], 4, "nothing_to_revoke");
    refuse(&["windows/1", "superseded", "--reference", "ticket"], 2, "reference_not_wanted");
    refuse(&["apt/1", "affiliationChanged"], 2, "reason_without_openpgp");
    place.keyctl(&["revoke", "windows/1", "--reason", "superseded"]).fails(2, "not_confirmed");
    place.keyctl(&["revoke", "windows", "--reason", "superseded", "--yes"]).exits(2);
    let before = place.entries().len();
    let shown = place.keyctl(&["revoke", "windows/1", "--reason", "superseded", "--dry-run"]).ok();
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!((&shown["operation"], &shown["steps"][0]["params"]["reason"]), (&"revoke".into(), &"superseded".into()));
    assert_eq!(place.entries().len(), before, "a dry run writes nothing");
    assert_eq!(state(&place, "windows/1")["state"], "active");
}

#[test]
fn a_revocation_is_repeated_without_effect_and_sharpened_but_never_taken_back() {
    let place = with_files(1);
    let first = revoke(&place, "windows/1", "superseded", &[]).ok().one();
    let entries = place.entries().len();
    let again = revoke(&place, "windows/1", "superseded", &[]).ok().one();
    assert_eq!((&again["revocation_date"], &again["crl_number"]), (&first["revocation_date"], &first["crl_number"]));
    assert_eq!(place.entries().len(), entries, "nothing was done");
    revoke(&place, "windows/1", "cessationOfOperation", &[]).fails(4, "revoked_already").says("superseded");
    let sharp = revoke(&place, "windows/1", "keyCompromise", &[]).ok().one();
    assert_eq!((&sharp["crl_number"], &sharp["revocation_date"]), (&2.into(), &first["revocation_date"]));
    assert!(openssl_reads(&list(&place, "windows-ca-1"), &["-text"]).contains("Key Compromise"));
    revoke(&place, "windows/1", "superseded", &[]).fails(4, "revoked_already");
    let issued = state(&place, "windows/1")["issued"].as_str().expect("a time").to_owned();
    let row = revoke(&place, "windows/1", "keyCompromise", &["--compromised-since", &issued]).ok().one();
    assert_eq!((&row["invalidity_date"], &row["crl_number"]), (&issued.into(), &3.into()));
    assert_eq!(marks(&place).len(), 1);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn the_root_revokes_an_intermediate_and_what_is_below_it_stops() {
    let place = with_files(1);
    revoke(&place, "windows-ca/1", "cACompromise", &[]).ok();
    let root = list(&place, "root-1");
    let read = openssl_reads(&root, &["-text"]);
    assert!(read.contains("CA Compromise") && read.contains("Only CA Certificates"), "{read}");
    let refused = openssl_verifies(&place, "windows-ca-1", std::slice::from_ref(&root)).unwrap_err();
    assert!(refused.contains("certificate revoked"), "{refused}");
    pkilint(&place, &root).unwrap();
    place.keyctl(&["verify", "app-1.exe"]).exits(6);
    assert_eq!(marks(&place)[0]["because"], "windows-ca/1");
    place.copy(&real_pe_files()[3], "later.exe");
    place.keyctl(&["sign", "later.exe"]).fails(4, "gate_failed").says("windows-ca/1, which certified it, is revoked");
    // Its lists are worth nothing any more, so the register is all there is.
    let row = revoke(&place, "windows/1", "cessationOfOperation", &[]).ok().one();
    assert!(row["told_by"].as_str().expect("words").contains("revoked itself"), "{row}");
    assert!(!list(&place, "windows-ca-1").exists());
    let row = revoke(&place, "root/1", "cACompromise", &[]).ok().one();
    assert!(row["told_by"].as_str().expect("words").contains("removed from wherever it is trusted"), "{row}");
    let rows = place.keyctl(&["crl"]).ok();
    assert!(rows.json().is_empty(), "a revoked CA signs no lists");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn evidence_tells_of_the_revocation_and_of_what_depends_on_it() {
    let place = with_files(3);
    let row = revoke(&place, "windows/1", "keyCompromise", &[]).ok().one();
    let schema: Value = serde_json::from_str(keyctl::evidence::SCHEMA).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let mut events = Vec::new();
    for entry in std::fs::read_dir(place.workspace().join("evidence")).expect("a folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        place.keyctl(&["verify", path.to_str().expect("UTF-8")]).ok();
        let fragment: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
        let errors: Vec<_> = validator.iter_errors(&fragment).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        for name in ["revocation_event", "resign_event"] {
            if let Some(event) = fragment.get(name) {
                events.push((name, event.clone(), fragment.clone()));
            }
        }
    }
    events.sort_by_key(|(name, ..)| *name);
    let [(_, marks, told), (_, revocation, fragment)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&fragment["event_type"], &told["event_type"]), (&"KEY_REVOKED".into(), &"RESIGN_REQUIRED".into()));
    assert_eq!(
        (&revocation["revocation_reason"], &revocation["issuer"]),
        (&"keyCompromise".into(), &"windows-ca/1".into())
    );
    assert_eq!(revocation["rotated_by"], fragment["actor"]["email"]);
    assert_eq!(revocation["crl"]["sha256"], row["crl_sha256"]);
    assert_eq!((&revocation["resign_required"], &revocation["crl"]["entries"]), (&3.into(), &1.into()));
    assert_eq!(fragment["key"]["state"], "revoked");
    assert_eq!((&marks["status"], &marks["because"]), (&"re-sign required".into(), &"windows/1".into()));
    assert_eq!(marks["artifacts"].as_array().expect("a list").len(), 3);
    // The schema knows what belongs into an event.
    for (event, name) in [("revocation_event", "revocation_reason"), ("revocation_event", "rotated_by")] {
        let mut without = fragment.clone();
        without[event].as_object_mut().expect("an object").remove(name);
        assert!(!validator.is_valid(&without), "{name} may be missing");
    }
    let mut never = fragment.clone();
    never["revocation_event"]["revocation_reason"] = "certificateHold".into();
    assert!(!validator.is_valid(&never));
}

/// Takes a token away, as if somebody had pulled it.
pub fn pull(place: &Place, token: &str) -> impl FnOnce() {
    let folder = place.workspace().join("tokens").join(token);
    let away = place.path(format!("{token}.pulled"));
    std::fs::rename(&folder, &away).expect("pulled");
    move || {
        // A token that is asked for and not there leaves nothing.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::rename(&away, &folder).expect("back");
    }
}

#[test]
fn a_key_is_revoked_although_its_ca_is_away_and_told_when_it_is_back() {
    let place = with_files(1);
    let back = pull(&place, "issuing");
    let row = revoke(&place, "windows/1", "keyCompromise", &[]).fails(3, "revoked_unpublished");
    assert_eq!((&row.one()["state"], &row.one()["published"]), (&"revoked".into(), &false.into()));
    let shown = state(&place, "windows/1");
    assert_eq!((&shown["state"], &shown["revocation"]["published"]), (&"revoked".into(), &false.into()));
    assert!(shown["revocation"]["unpublished_minutes"].is_number());
    let said = place.keyctl(&["status", "--output", "table"]).ok();
    said.says(
        "windows/1 is revoked, and verifiers cannot know it for 0 min; keyctl revoke windows/1 --reason keyCompromise",
    );
    place.copy(&real_pe_files()[3], "later.exe");
    place.keyctl(&["sign", "later.exe", "--key", "windows"]).fails(4, "no_active_generation");
    assert_eq!(marks(&place).len(), 1, "what depends on it is marked already");
    // Neither another try nor recover changes that.
    revoke(&place, "windows/1", "keyCompromise", &[]).fails(3, "revoked_unpublished");
    place.keyctl(&["recover"]).exits(3);
    place.keyctl(&["crl", "windows-ca"]).exits(3);
    assert!(!list(&place, "windows-ca-1").exists());
    back();
    let row = revoke(&place, "windows/1", "keyCompromise", &[]).ok().one();
    assert_eq!(row["published"], true);
    let numbers = burned(&place, "windows-ca/1");
    assert!(numbers.len() >= 4 && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert_eq!(row["crl_number"].as_u64(), numbers.last().copied());
    assert_eq!(outcomes(&place, "KEY_REVOKED").len(), 1);
    assert!(state(&place, "windows/1")["revocation"].get("unpublished_minutes").is_none());
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_list_or_recover_tells_what_a_revocation_could_not() {
    for command in [&["crl"][..], &["recover"]] {
        let place = Place::with_sandbox();
        let back = pull(&place, "issuing");
        revoke(&place, "windows/1", "superseded", &[]).fails(3, "revoked_unpublished");
        back();
        place.keyctl(command).ok();
        assert_eq!(state(&place, "windows/1")["revocation"]["published"], true);
        assert!(openssl_reads(&list(&place, "windows-ca-1"), &["-text"]).contains("Superseded"));
        place.keyctl(&["audit", "log"]).ok();
    }
}

#[test]
fn a_damaged_or_foreign_file_in_the_place_of_a_list_is_written_over_and_nothing_is_lost() {
    let place = Place::with_sandbox();
    revoke(&place, "windows/1", "superseded", &[]).ok();
    let list = list(&place, "windows-ca-1");
    let good = std::fs::read(&list).expect("a list");
    for bad in [&b"no list"[..], &good[..good.len() - 1], b""] {
        std::fs::write(&list, bad).expect("written");
        let row = place.keyctl(&["crl", "windows-ca"]).ok().one();
        assert_eq!((&row["result"], &row["entries"]), (&"issued".into(), &1.into()));
    }
    std::fs::remove_file(&list).expect("removed");
    assert_eq!(place.keyctl(&["crl", "windows-ca"]).ok().one()["number"], 5);
    // An older list of ours is older: the numbers go on after the greatest that the ledger knows.
    std::fs::write(&list, &good).expect("written");
    assert_eq!(place.keyctl(&["crl", "windows-ca"]).ok().one()["number"], 6);
}

#[test]
fn a_ledger_that_went_back_in_time_forgets_nothing_that_is_published() {
    let place = Place::with_sandbox();
    let files = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];
    let old: Vec<_> = files.map(|name| std::fs::read(place.workspace().join(name)).ok()).into();
    revoke(&place, "windows/1", "superseded", &[]).ok();
    for (name, bytes) in files.iter().zip(old) {
        let path = place.workspace().join(name);
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).expect("written"),
            None => drop(std::fs::remove_file(path)),
        }
    }
    std::fs::remove_dir_all(place.path("state")).expect("nobody remembers");
    std::fs::remove_file(place.published("checkpoint")).expect("nor does the folder");
    std::fs::remove_dir_all(place.workspace().join("evidence")).expect("nor evidence");
    place.keyctl(&["trust", ".keyctl-sandbox", "--yes"]).ok();
    let row = place.keyctl(&["crl", "windows-ca", "--now"]).exits(4).one();
    assert_eq!(row["result"], "crl_rollback", "{row}");
    assert!(openssl_reads(&list(&place, "windows-ca-1"), &["-text"]).contains("Superseded"), "it is still there");
}

#[test]
fn an_external_certificate_is_revoked_in_the_register_with_its_issuers_word() {
    let tokens = crate::import::with_external_certificate();
    let args = ["revoke", "windows/1", "--reason", "keyCompromise", "--yes"];
    tokens.keyctl(&args).fails(2, "reference_needed").says("no list of ours can revoke");
    let row = tokens.keyctl(&[&args[..], &["--reference", "ticket 4711"]].concat()).ok().one();
    assert_eq!((&row["state"], &row["published"]), (&"revoked".into(), &true.into()));
    assert!(row["told_by"].as_str().expect("words").contains("only the external issuer"), "{row}");
    let outcome = outcomes(&tokens.place, "KEY_REVOKED").remove(0);
    let path = std::fs::read(row["evidence"].as_str().expect("a path")).expect("readable");
    let fragment: Value = serde_json::from_slice(&path).expect("JSON");
    assert_eq!(fragment["revocation_event"]["external_reference"], "ticket 4711");
    assert!(outcome["body"]["done"].get("crl").is_none());
}

#[test]
fn apt_gpgv_and_sqv_refuse_a_revoked_key() {
    for (reason, words) in [("keyCompromise", "compromised"), ("superseded", "superseded")] {
        let place = Place::with_sandbox();
        let archive = archive(&place, "a", FTPARCHIVE);
        let suite = suite(&archive);
        place.keyctl(&["sign", archive.to_str().expect("UTF-8")]).ok();
        all_accept(&place, &archive, &keyring(&place), 1);
        let before = place.copy(&keyring(&place), "before.pgp");
        std::thread::sleep(std::time::Duration::from_secs(2));
        revoke(&place, "apt/1", reason, &[]).ok();
        let after = keyring(&place);
        let status = gpgv(&after, &[suite.join("InRelease")]);
        assert!(status.contains("REVKEYSIG") && !status.contains("GOODSIG"), "{reason}: {status}");
        assert!(apt_update(&place, &archive, &after).is_err(), "{reason}");
        // A soft revocation leaves what was signed before it good, for who knows the difference.
        let soft = reason == "superseded";
        assert_eq!(sqv(&after, &suite.join("Release.gpg"), &suite.join("Release")), soft, "{reason}");
        apt_update(&place, &archive, &before).unwrap();
        let listed = tool("gpg").args(["--show-keys", "--with-colons"]).arg(&after).output().expect("gpg runs");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("\nsub:r:"), "{words}: {listed}");
        place.keyctl(&["sign", archive.to_str().expect("UTF-8")]).exits(4);
        assert_eq!(marks(&place).len(), 1, "{reason}");
        // The next key's signature takes the place of the revoked one's.
        place.keyctl(&["keygen", "apt"]).ok();
        place.keyctl(&["sign", archive.to_str().expect("UTF-8")]).ok();
        all_accept(&place, &archive, &after, 1);
        assert!(marks(&place).is_empty(), "{reason}");
        place.keyctl(&["audit", "log"]).ok();
    }
}

#[test]
fn a_primary_key_ends_by_itself_or_by_what_was_put_aside_and_takes_its_subkeys_with_it() {
    for aside in [false, true] {
        let place = Place::with_sandbox();
        let archive = archive(&place, "a", FTPARCHIVE);
        place.keyctl(&["sign", archive.to_str().expect("UTF-8")]).ok();
        let kept = place.workspace().join("revocations/apt-root-1.asc");
        let back = aside.then(|| pull(&place, "root"));
        let certificate = ["--certificate", kept.to_str().expect("UTF-8")];
        revoke(&place, "apt-root/1", "keyCompromise", if aside { &certificate } else { &[] }).ok();
        if let Some(back) = back {
            back();
        }
        let listed =
            tool("gpg").args(["--show-keys", "--with-colons"]).arg(keyring(&place)).output().expect("gpg runs");
        assert!(String::from_utf8_lossy(&listed.stdout).contains("pub:r:"));
        assert!(apt_update(&place, &archive, &keyring(&place)).is_err());
        let suite = suite(&archive);
        assert!(!sqv(&keyring(&place), &suite.join("Release.gpg"), &suite.join("Release")));
        place.keyctl(&["sign", archive.to_str().expect("UTF-8")]).exits(4);
        assert!(state(&place, "apt/1")["state"].as_str().expect("a state").contains("quarantined"));
        let row = revoke(&place, "apt/1", "keyCompromise", &[]).ok().one();
        assert!(row["told_by"].as_str().expect("words").contains("revoked itself"), "{row}");
        place.keyctl(&["audit", "log"]).ok();
    }
    let place = Place::with_sandbox();
    let other = Place::with_sandbox();
    let foreign = other.workspace().join("revocations/apt-root-1.asc");
    let foreign = foreign.to_str().expect("UTF-8");
    revoke(&place, "apt-root/1", "keyCompromise", &["--certificate", foreign]).fails(1, "bad_revocation");
    revoke(&place, "windows/1", "keyCompromise", &["--certificate", foreign]).fails(2, "certificate_not_wanted");
    assert_eq!(state(&place, "apt-root/1")["state"], "active");
}

#[test]
fn an_openpgp_key_is_revoked_although_its_primary_key_is_away() {
    let place = Place::with_sandbox();
    let back = pull(&place, "root");
    revoke(&place, "apt/1", "keyCompromise", &[]).fails(3, "revoked_unpublished");
    let listed = || {
        let output =
            tool("gpg").args(["--show-keys", "--with-colons"]).arg(keyring(&place)).output().expect("gpg runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!listed().contains("\nsub:r:"));
    back();
    place.keyctl(&["recover"]).ok();
    assert!(listed().contains("\nsub:r:"), "{}", listed());
    assert_eq!(state(&place, "apt/1")["revocation"]["published"], true);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn dates_are_written_as_the_century_and_the_calendar_demand() {
    // (today, what thisUpdate, nextUpdate and revocationDate begin with, as UTCTime or GeneralizedTime)
    let cases = [
        ("2049-12-28T12:00:00Z", "UTCTIME", "491228", "GENERALIZEDTIME", "20500104"),
        ("2050-01-01T00:00:00Z", "GENERALIZEDTIME", "20500101", "GENERALIZEDTIME", "20500108"),
        ("2028-02-28T23:59:59Z", "UTCTIME", "280228", "UTCTIME", "280306"),
        ("2032-02-29T00:00:00Z", "UTCTIME", "320229", "UTCTIME", "320307"),
    ];
    for (today, this_type, this, next_type, next) in cases {
        let today = keyctl::clock::parse(today).expect("a time");
        let place = Place::new();
        place.keyctl_at(today - TimeDelta::hours(1), &["init", "--sandbox"]).ok();
        let args = ["revoke", "windows/1", "--reason", "superseded", "--yes"];
        place.keyctl_at(today, &args).ok();
        let parsed = tool("openssl")
            .args(["asn1parse", "-inform", "DER", "-in"])
            .arg(list(&place, "windows-ca-1"))
            .output()
            .expect("openssl runs");
        let parsed = String::from_utf8_lossy(&parsed.stdout).into_owned();
        let times: Vec<_> = parsed.lines().filter(|line| line.contains("TIME")).collect();
        let [first, second, third] = times.as_slice() else { panic!("{parsed}") };
        for (line, kind, date) in [(first, this_type, this), (second, next_type, next), (third, this_type, this)] {
            let right = line.contains(&format!("{kind} ")) && line.contains(&format!(":{date}"));
            assert!(right, "{today}: {line} is not {kind} {date}");
        }
        // A week later to the second it is over, and long before it is due again.
        let rows = place.keyctl_at(today + TimeDelta::days(2), &["crl", "windows-ca"]).ok().json();
        assert_eq!(rows[0]["result"], "not due", "{today}");
        let rows =
            place.keyctl_at(today + TimeDelta::days(2) + TimeDelta::hours(8), &["crl", "windows-ca"]).ok().json();
        assert_eq!((&rows[0]["result"], &rows[0]["number"]), (&"issued".into(), &2.into()), "{today}");
    }
}

#[test]
fn an_old_ca_goes_on_signing_its_lists_until_its_certificate_ends() {
    let place = Place::with_sandbox();
    place.keyctl(&["crl"]).ok();
    let ends = |generation: &str| {
        keyctl::clock::parse(state(&place, generation)["expires"].as_str().expect("a time")).expect("a time")
    };
    let (ca, day) = (ends("windows-ca/1"), TimeDelta::days(1));
    // Far beyond the age at which it stops issuing.
    let rows = place.keyctl_at(now() + TimeDelta::days(400), &["crl"]).ok().json();
    let issued: Vec<_> = rows.iter().map(|row| row["result"].as_str().expect("a word")).collect();
    assert_eq!(issued, ["issued", "issued"]);
    // The last list ends with the certificate, and is not made again and again.
    let row = place.keyctl_at(ca - day * 3, &["crl", "windows-ca"]).ok().one();
    assert_eq!(row["next_update"], keyctl::clock::rfc3339(ca));
    let row = place.keyctl_at(ca - TimeDelta::seconds(1), &["crl", "windows-ca"]).ok().one();
    assert_eq!(row["result"], "not due");
    place.keyctl_at(ca + day, &["crl", "windows-ca"]).ok().says("there is no CA that signs lists");
    let args = ["revoke", "windows/1", "--reason", "superseded", "--yes"];
    let row = place.keyctl_at(ca + day, &args).ok().one();
    assert!(row["told_by"].as_str().expect("words").contains("has expired"), "{row}");
}

/// A sandbox whose certificates name a list at this address.
fn with_url(url: &str) -> Place {
    let change = |toml: String| {
        let toml = toml.replace("[retry]\n", "");
        let line = format!("[keys.windows]\ncrl_url = \"{url}/{{issuer}}.crl\"\n");
        toml.replace("[keys.windows]\n", &line) + "\n[retry]\nmax_attempts = 2\nbase_seconds = 1\ntimeout_seconds = 2\n"
    };
    founded(change, |place, args| place.keyctl(args))
}

#[test]
fn a_list_counts_as_told_only_when_it_is_where_verifiers_look() {
    let web = served::Web::start();
    let place = with_url(&web.url);
    // Nobody serves it yet: the list is made and published here, and the command says what is missing.
    let ran = revoke(&place, "windows/1", "keyCompromise", &[]).fails(3, "crl_not_served");
    assert_eq!((&ran.one()["published"], &ran.one()["served"]), (&true.into(), &false.into()));
    let list = list(&place, "windows-ca-1");
    let read = openssl_reads(&list, &["-text"]);
    assert!(read.contains(&format!("URI:{}/windows-ca-1.crl", web.url)), "{read}");
    assert_eq!(state(&place, "windows-ca/1")["crl"]["served"], false);
    let revoked = place.entries().len();
    revoke(&place, "windows/1", "keyCompromise", &[]).fails(3, "crl_not_served");
    revoke(&place, "windows/1", "keyCompromise", &["--no-fetch"]).ok();
    assert_eq!(place.entries().len(), revoked, "looking again signs nothing");
    // An older list there is no better than none, nor is anything else.
    web.serve("/windows-ca-1.crl", b"no list".to_vec());
    revoke(&place, "windows/1", "keyCompromise", &[]).fails(3, "crl_not_served");
    let first = std::fs::read(&list).expect("a list");
    place.keyctl(&["crl", "windows-ca", "--now", "--no-fetch"]).ok();
    web.serve("/windows-ca-1.crl", first);
    let row = place.keyctl(&["crl", "windows-ca"]).exits(3).one();
    assert!(row["detail"].as_str().expect("words").contains("an older list (number 1) is there"), "{row}");

    web.serve("/windows-ca-1.crl", std::fs::read(&list).expect("a list"));
    let row = revoke(&place, "windows/1", "keyCompromise", &[]).ok().one();
    assert_eq!((&row["served"], &row["crl_number"]), (&true.into(), &2.into()));
    assert_eq!(outcomes(&place, "CRL_SERVED").len(), 1);
    let asked = web.asked();
    revoke(&place, "windows/1", "keyCompromise", &[]).ok();
    assert_eq!(web.asked(), asked, "seen once is enough");
    // OpenSSL finds the list by the name in the certificate.
    let lists = [list.clone()];
    assert!(openssl_verifies(&place, "windows-1", &lists).unwrap_err().contains("certificate revoked"));
    pkilint(&place, &list).unwrap();
    place.keyctl(&["audit", "log"]).ok();
}
