//! Signing again: new artifacts in place of old ones, whose marks are closed by them.

use crate::apt::{FTPARCHIVE, archive, gpgv, keyring, suite};
use crate::interruption::{duration, killed, moments};
use crate::support::{Place, osslsigncode_accepts, real_pe_files};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// A sandbox that signed these files (each another one) with a key that was compromised since.
fn compromised(files: usize) -> (Place, Vec<Value>) {
    let place = Place::with_sandbox();
    let names: Vec<_> = (0..files).map(name).collect();
    for (number, name) in names.iter().enumerate() {
        let file = place.copy(&real_pe_files()[3], name);
        let mut bytes = std::fs::read(&file).expect("readable");
        bytes.extend_from_slice(&[number as u8; 8]);
        std::fs::write(file, bytes).expect("writable");
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let rows = place.keyctl(&[&["sign"], &names[..]].concat()).ok().json();
    revoked(&place, "windows");
    (place, rows)
}

fn revoked(place: &Place, key: &str) {
    place.keyctl(&["--yes", "revoke", &format!("{key}/1"), "--reason", "keyCompromise"]).ok();
    place.keyctl(&["keygen", key]).ok();
}

fn name(number: usize) -> String {
    format!("{number}.exe")
}

fn open_marks(place: &Place) -> String {
    place.sql("SELECT count(*) FROM resign WHERE closed IS NULL")
}

fn fragment(place: &Place, row: &Value) -> Value {
    let path = row["evidence"].as_str().expect("a path");
    assert_eq!(place.keyctl(&["verify", path]).ok().one()["verdict"], "valid");
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[test]
fn a_file_that_is_signed_again_is_a_new_artifact_in_place_of_the_old_one() {
    let (place, old) = compromised(2);
    assert_eq!(open_marks(&place), "2");
    let dry = place.keyctl(&["--dry-run", "sign", "--re-sign", "0.exe"]).ok().one();
    assert_eq!(dry["steps"][0]["params"]["resigns"]["artifact_id"], old[0]["artifact_id"]);
    assert_eq!(open_marks(&place), "2");

    let args = ["--correlation-id", "dp-20261125-abcd", "sign", "--re-sign", "0.exe"];
    let first = place.keyctl(&args).ok();
    let row = first.one();
    assert_eq!((row["generation"].as_str(), &row["supersedes"]), (Some("windows/2"), &old[0]["artifact_id"]));
    assert_ne!(row["artifact_id"], old[0]["artifact_id"]);
    assert_eq!(open_marks(&place), "1");
    assert!(osslsigncode_accepts(&place.published("certs/root-1.pem"), &place.path("0.exe")));
    let evidence = fragment(&place, &row);
    assert_eq!(
        evidence["artifact"]["supersedes"],
        json!({
            "artifact_id": old[0]["artifact_id"],
            "hash": { "algorithm": "sha256", "value": old[0]["sha256"] },
            "entry": old[0]["entry"],
            "generation": "windows/1",
        })
    );
    assert_eq!(evidence["pack_revision"], 2);
    let schema: Value = serde_json::from_str(keyctl::evidence::SCHEMA).expect("JSON");
    let validator = jsonschema::draft202012::options().build(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&evidence).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for at in ["/artifact/supersedes/entry", "/artifact/supersedes/hash"] {
        let mut other = evidence.clone();
        *other.pointer_mut(at).expect("it is there") = "x".into();
        assert!(!validator.is_valid(&other), "{at} may be anything");
    }

    // The same call again gives the same words and signs nothing; as plain signing it would be another.
    let entries = place.entries().len();
    assert_eq!(place.keyctl(&args).ok().stdout, first.stdout);
    assert_eq!(place.entries().len(), entries);
    let plain = ["--correlation-id", "dp-20261125-abcd", "sign", "--replace", "0.exe"];
    place.keyctl(&plain).fails(4, "other_parameters");

    // Once more takes the place of the second.
    let third = place.keyctl(&["sign", "--re-sign", "0.exe"]).ok().one();
    assert_eq!(third["supersedes"], row["artifact_id"]);
    assert_eq!(fragment(&place, &third)["pack_revision"], 3);
    assert_eq!(place.sql("SELECT count(*) FROM resigned"), "2");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn the_pack_that_is_replaced_is_named() {
    let place = Place::with_sandbox();
    let app = place.copy(&real_pe_files()[3], "app.exe");
    let pack = |id: &str, generation: u64| {
        let keys = std::fs::read(place.published("keys.json")).expect("keys");
        let keys: Value = serde_json::from_slice(&keys).expect("JSON");
        let mut all = keys["keys"].as_array().expect("keys").iter();
        let key = all.find(|key| key["name"] == "windows" && key["generation"] == generation).expect("the key");
        let hash = keyctl::model::Hash256::of(&std::fs::read(&app).expect("readable")).to_string();
        let pack = json!({ "evidence_pack_id": id, "artifact": {
            "hash": { "algorithm": "sha256", "value": hash },
            "signing": { "certificate_thumbprint": key["certificate_thumbprint"] } } });
        std::fs::write(place.path("pack.json"), pack.to_string()).expect("writable");
    };
    pack("ep-1", 1);
    place.keyctl(&["sign", "--for-pack", "pack.json", "app.exe"]).ok();
    revoked(&place, "windows");
    pack("ep-2", 2);
    let row = place.keyctl(&["sign", "--re-sign", "--for-pack", "pack.json", "app.exe"]).ok().one();
    let evidence = fragment(&place, &row);
    assert_eq!(evidence["supersedes_evidence_pack_id"], "ep-1");
    assert_eq!(evidence["pack"]["evidence_pack_id"], "ep-2");
}

#[test]
fn a_marked_file_that_is_signed_as_any_other_is_talked_about() {
    let (place, old) = compromised(1);
    let ran = place.keyctl(&["sign", "--replace", "0.exe"]).ok();
    let id = old[0]["artifact_id"].as_str().expect("an id");
    assert!(ran.stderr.contains(&format!("warning: 0.exe: artifact {id} of entry")), "{}", ran.stderr);
    let row = ran.one();
    assert!(row["re_sign_required"].as_str().expect("words").contains(id), "{row}");
    assert_eq!(row.get("supersedes"), None);
    assert_eq!(open_marks(&place), "1", "it took nobody's place");
    // Its content is still that of the marked one, whose place is taken now.
    let row = place.keyctl(&["sign", "--re-sign", "0.exe"]).ok().one();
    assert_eq!(row["supersedes"], old[0]["artifact_id"]);
    assert_eq!(open_marks(&place), "0");
}

#[test]
fn the_unsigned_file_will_do_and_a_strange_one_will_not() {
    let (place, old) = compromised(2);
    place.keyctl(&["sign", "--remove", "0.exe"]).ok();
    let hash = keyctl::model::Hash256::of(&std::fs::read(place.path("0.exe")).expect("readable")).to_string();
    assert_eq!(hash, old[0]["sha256_before"].as_str().expect("a hash"));
    place.copy(&real_pe_files()[0], "strange.exe");
    let before = place.files();
    let args = ["sign", "--re-sign", "0.exe", "strange.exe", "1.exe", "gone.exe"];
    let rows = place.keyctl(&args).fails(2, "unknown_artifact").json();
    let of = |file: &str| rows.iter().find(|row| row["file"] == file).expect("a row");
    assert_eq!(of("0.exe")["supersedes"], old[0]["artifact_id"]);
    assert_eq!(of("1.exe")["supersedes"], old[1]["artifact_id"]);
    assert_eq!(of("strange.exe")["error"]["code"], "unknown_artifact");
    assert_eq!(place.files()["strange.exe"], before["strange.exe"]);
    assert_eq!(open_marks(&place), "0");
    for flag in ["--replace", "--append", "--remove"] {
        place.keyctl(&["sign", "--re-sign", flag, "0.exe"]).exits(2);
    }
}

#[test]
fn a_whole_list_is_signed_again() {
    let (place, old) = compromised(70);
    let names: Vec<_> = (0..70).map(name).collect();
    let mut command = place.command(&["sign", "--re-sign", "--files-from", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("a pipe").write_all(names.join("\n").as_bytes()).expect("written");
    let rows = crate::support::ran(child.wait_with_output().expect("it ends")).ok().json();
    assert_eq!(rows.len(), 70);
    for row in &rows {
        let before = old.iter().find(|old| old["file"] == row["file"]).expect("a row");
        assert_eq!(row["supersedes"], before["artifact_id"]);
    }
    assert_eq!(open_marks(&place), "0");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn killed_at_any_moment_it_converges_and_nothing_is_lost() {
    const ROUNDS: u32 = 10;
    let (place, old) = compromised(ROUNDS as usize + 1);
    let whole = duration(&place, &["sign", "--re-sign", "10.exe"]);
    for (number, moment) in moments(whole, ROUNDS).enumerate() {
        let file = name(number);
        killed(&place, &["sign", "--re-sign", &file], moment);
        place.keyctl(&["recover"]).ok();
        let entry = &old[number]["entry"];
        let closed = format!("SELECT count(*) FROM resign WHERE artifact = {entry} AND closed IS NOT NULL");
        if place.sql(&closed) == "0" {
            // Whatever the file is by now, it is known for what it is.
            let row = place.keyctl(&["sign", "--re-sign", &file]).ok().one();
            assert_eq!(row["supersedes"], old[number]["artifact_id"], "after {moment:?}");
        }
        assert_eq!(place.sql(&closed), "1", "after {moment:?}");
        assert!(osslsigncode_accepts(&place.published("certs/root-1.pem"), &place.path(&file)), "after {moment:?}");
    }
    assert_eq!(open_marks(&place), "0");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_repository_is_signed_again_with_the_new_key() {
    let place = Place::with_sandbox();
    let dir = archive(&place, "archive", FTPARCHIVE);
    let suite = suite(&dir);
    let suite = suite.to_str().expect("UTF-8");
    place.keyctl(&["sign", "--re-sign", suite]).fails(2, "unknown_artifact");
    let old = place.keyctl(&["sign", suite]).ok().one();
    revoked(&place, "apt");
    assert_eq!(open_marks(&place), "1");
    let row = place.keyctl(&["sign", "--re-sign", suite]).ok().one();
    assert_eq!((row["generation"].as_str(), &row["supersedes"]), (Some("apt/2"), &old["artifact_id"]));
    assert_eq!(open_marks(&place), "0");
    let evidence = fragment(&place, &row);
    assert_eq!(evidence["artifact"]["supersedes"]["hash"]["value"], old["sha256"]);
    let said = gpgv(&keyring(&place), &[std::path::Path::new(suite).join("InRelease")]);
    assert!(said.contains("GOODSIG"), "{said}");
    place.keyctl(&["audit", "log"]).ok();
}
