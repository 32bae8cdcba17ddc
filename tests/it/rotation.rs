//! Rotation through the binary, and what verifiers that are not ours make of what comes out.

use crate::support::{Place, flip, osslsigncode_accepts, real_pe_files, tool};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The state of each generation of a key.
pub fn states(place: &Place, key: &str) -> BTreeMap<String, String> {
    let rows = place.sql(&format!("SELECT number || ' ' || state FROM generations WHERE key = '{key}'"));
    let pair = |line: &str| line.split_once(' ').map(|(number, state)| (format!("{key}/{number}"), state.to_owned()));
    rows.lines().filter_map(pair).collect()
}

#[track_caller]
pub fn are(place: &Place, key: &str, expected: &[&str]) {
    let found: Vec<_> = states(place, key).into_values().collect();
    assert_eq!(found, expected, "{key}");
}

/// The words of the steps in a row.
pub fn steps(row: &Value) -> Vec<&str> {
    row["steps"].as_array().expect("steps").iter().map(|step| step.as_str().expect("a word")).collect()
}

fn openssl(args: &[&str], files: &[&Path]) -> (bool, String) {
    let output = tool("openssl").args(args).args(files).output().expect("openssl");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn cat(place: &Place, name: &str, files: &[&Path]) -> PathBuf {
    let text: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).expect("PEM")).collect();
    let path = place.path(name);
    std::fs::write(&path, text.concat()).expect("written");
    path
}

fn certificate(place: &Place, name: &str) -> PathBuf {
    place.published("certs").join(format!("{name}.pem"))
}

#[test]
fn a_signing_key_is_rotated_and_both_generations_verify() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[3], "before.exe");
    place.keyctl(&["sign", "before.exe"]).ok();
    let row = place.keyctl(&["rotate", "windows", "--now"]).ok().one();
    assert_eq!(row["result"], "rotated");
    assert_eq!((&row["generation"], &row["predecessor"]), (&"windows/2".into(), &"windows/1".into()));
    assert_eq!(steps(&row), ["generate", "certify", "publish", "test", "stage", "activate"]);
    are(&place, "windows", &["retiring", "active"]);
    let signed = place.keyctl(&["sign", place.copy(&real_pe_files()[3], "after.exe").to_str().expect("UTF-8")]).ok();
    assert_eq!(signed.one()["generation"], "windows/2");
    for file in ["before.exe", "after.exe"] {
        assert!(osslsigncode_accepts(&certificate(&place, "root-1"), &place.path(file)), "{file}");
        place.keyctl(&["verify", file]).ok();
    }
    // Another public key, and the same name byte for byte.
    let text = |name: &str, what: &str| openssl(&["x509", "-noout", what, "-in"], &[&certificate(&place, name)]).1;
    assert_eq!(text("windows-1", "-subject"), text("windows-2", "-subject"));
    assert_ne!(text("windows-1", "-pubkey"), text("windows-2", "-pubkey"));
    // Repeated, it has nothing to do; and nothing was planned twice.
    let again = place.keyctl(&["rotate", "windows"]).ok().says("nothing is due before").one();
    assert_eq!((&again["result"], &again["active"]), (&"not-due".into(), &"windows/2".into()));
    assert_eq!(
        place.sql("SELECT count(*) FROM intents WHERE type = 'KEY_GENERATED' AND generation = 'windows/2'"),
        "1"
    );
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn every_edge_has_its_own_intent_and_outcome_and_the_takeover_is_one() {
    let place = Place::with_sandbox();
    let before = place.entries().len();
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    let entries = place.entries().split_off(before);
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            format!("{} {}", entry["type"].as_str().expect("a type"), entry["body"]["phase"].as_str().expect("a phase"))
        })
        .collect();
    let edges = [
        "KEY_GENERATED",
        "CERTIFICATE_ISSUED",
        "METADATA_PUBLISHED",
        "KEY_TESTED",
        "KEY_STATE_CHANGED",
        "KEY_ACTIVATED",
    ];
    let expected: Vec<_> =
        edges.iter().flat_map(|edge| [format!("{edge} intent"), format!("{edge} outcome")]).collect();
    assert_eq!(seen, expected);
    let takeover = &entries[entries.len() - 2]["body"]["request"]["params"];
    assert_eq!((&takeover["generation"], &takeover["predecessor"]), (&"windows/2".into(), &"windows/1".into()));
    let gates = entries[entries.len() - 2]["body"]["gates"].as_array().expect("gates").clone();
    let names: Vec<_> = gates.iter().map(|gate| gate["name"].as_str().expect("a name")).collect();
    for name in ["OneActive", "KeyTested", "MetadataPublished", "SubjectContinuity", "CertificateAgeDays"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[test]
fn the_evidence_of_a_rotation_proves_itself_and_its_test_verifies_elsewhere() {
    let place = Place::with_sandbox();
    let row = place.keyctl(&["--correlation-id", "dp-20261125-0001", "rotate", "windows", "--now"]).ok().one();
    let path = PathBuf::from(row["evidence"].as_str().expect("a path"));
    let fragment: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    let schema: Value = serde_json::from_str(keyctl::evidence::SCHEMA).expect("JSON");
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&fragment).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let event = &fragment["rotation_event"];
    assert_eq!((&event["key"], &event["correlation_id"]), (&"windows".into(), &"dp-20261125-0001".into()));
    for (side, name) in [("old", "windows-1"), ("new", "windows-2")] {
        let print = |algorithm: &str| {
            let args = ["x509", "-noout", "-fingerprint", algorithm, "-in"];
            let text = openssl(&args, &[&certificate(&place, name)]).1;
            text.trim().split_once('=').expect("a fingerprint").1.replace(':', "")
        };
        assert_eq!(event[side]["fingerprint"], print("-sha256").to_lowercase());
        assert_eq!(event[side]["certificate_thumbprint"], print("-sha1"));
    }
    assert_eq!(event["verification"]["chain"]["certificates"].as_array().expect("a list").len(), 3);
    assert_eq!(event["verification"]["lint"]["codes"][0], "subject_common_name");

    // openssl checks the recorded test signature with the published certificate.
    let entry = |path: &str| {
        let seq = event["verification"][path]["entry"].as_u64().expect("an entry");
        place.entries()[seq as usize].clone()
    };
    let outcome = entry("test_signature");
    let intent = place.entries()[outcome["body"]["intent"].as_u64().expect("an intent") as usize].clone();
    let params = &intent["body"]["request"]["params"];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let message = format!(
        "keyctl-test-signature-v1\n{}\n{}\n{}\n",
        text(&params["generation"]),
        text(&params["certificate"]),
        text(&params["nonce"])
    );
    assert_eq!(params["certificate"], event["new"]["fingerprint"]);
    let signature = text(&outcome["body"]["done"]["test_signature"]["signature"]);
    std::fs::write(place.path("message"), &message).expect("written");
    std::fs::write(place.path("signature.b64"), signature).expect("written");
    let script = "set -e; openssl base64 -d -A -in signature.b64 -out signature; \
        openssl x509 -in \"$0\" -pubkey -noout > key.pem; openssl dgst -sha256 -verify key.pem -signature signature message";
    let check = |certificate: &Path| {
        let output = tool("sh").args(["-c", script]).arg(certificate).current_dir(place.path("")).output().expect("sh");
        output.status.success()
    };
    assert!(check(&certificate(&place, "windows-2")));
    assert!(!check(&certificate(&place, "windows-1")));
    std::fs::write(place.path("message"), message.replacen("windows/2", "windows/3", 1)).expect("written");
    assert!(!check(&certificate(&place, "windows-2")));

    let elsewhere = Place::new();
    let copy = elsewhere.copy(&path, "evidence.json");
    elsewhere.copy(&place.published("ledger.pub"), "ledger.pub");
    let verify = ["verify", "evidence.json", "--ledger-key", "ledger.pub"];
    elsewhere.keyctl(&verify).ok().says("KEY_ACTIVATED");
    flip(&copy, 400);
    elsewhere.keyctl(&verify).exits(6);

    // The same correlation id gives the stored result and rotates nothing.
    let again = place.keyctl(&["--correlation-id", "dp-20261125-0001", "rotate", "windows", "--now"]).ok().one();
    let without = |row: &Value| {
        let mut row = row.clone();
        row.as_object_mut().expect("an object").remove("steps");
        row
    };
    assert_eq!(without(&again), without(&row));
    std::fs::remove_file(&path).expect("removed");
    place.keyctl(&["--correlation-id", "dp-20261125-0001", "rotate", "windows"]).ok();
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).expect("again")).expect("JSON"), fragment);
    are(&place, "windows", &["retiring", "active"]);
}

#[test]
fn a_rolled_root_is_linked_both_ways_and_verifiers_get_across_by_the_links_alone() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "old.exe");
    place.keyctl(&["sign", "old.exe"]).ok();
    let row = place.keyctl(&["rotate", "root", "--now"]).ok().one();
    assert_eq!(steps(&row), ["generate", "certify", "link", "link", "publish", "test", "stage", "activate"]);
    // What the old root issued goes on; what is below it is issued anew by its own rotation.
    for key in ["windows-ca", "windows"] {
        place.keyctl(&["rotate", key, "--now"]).ok();
    }
    place.copy(&real_pe_files()[0], "new.exe");
    assert_eq!(place.keyctl(&["sign", "new.exe"]).ok().one()["generation"], "windows/2");
    let named = |name: &str| certificate(&place, name);
    let (new_with_old, old_with_new) = (named("root-2-with-root-1"), named("root-1-with-root-2"));
    let verifies = |root: &str, between: &[&Path], leaf: &str| {
        let untrusted = cat(&place, "untrusted.pem", between);
        let args = ["verify", "-x509_strict", "-CAfile"];
        openssl(&args, &[&named(root), Path::new("-untrusted"), &untrusted, &named(leaf)]).0
    };
    let (old_ca, new_ca) = (named("windows-ca-1"), named("windows-ca-2"));
    assert!(verifies("root-1", &[&old_ca], "windows-1") && verifies("root-2", &[&new_ca], "windows-2"));
    assert!(verifies("root-1", &[&new_ca, &new_with_old], "windows-2"));
    assert!(verifies("root-2", &[&old_ca, &old_with_new], "windows-1"));
    assert!(!verifies("root-1", &[&new_ca], "windows-2") && !verifies("root-2", &[&old_ca], "windows-1"));
    assert!(!verifies("root-1", &[&new_ca, &old_with_new], "windows-2"), "the other way round leads nowhere");

    // GnuTLS too; and one changed byte ends it.
    let chain = |between: &[&Path]| {
        let file = cat(&place, "chain.pem", between);
        let output = tool("certtool").args(["--verify-chain", "--infile"]).arg(file).output().expect("certtool");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        text.contains("Chain verification output: Verified")
    };
    let (leaf, root) = (named("windows-2"), named("root-1"));
    assert!(chain(&[&leaf, &new_ca, &new_with_old, &root]));
    let text = std::fs::read_to_string(&new_with_old).expect("PEM");
    let at = text.len() - 60;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    let spoilt = place.path("spoilt.pem");
    std::fs::write(&spoilt, format!("{}{other}{}", &text[..at], &text[at + 1..])).expect("written");
    assert!(!chain(&[&leaf, &new_ca, &spoilt, &root]));
    assert!(!verifies("root-1", &[&new_ca, &spoilt], "windows-2"));

    // A file carries the link, so that whoever trusts the old root alone accepts it, and a stranger does not.
    for root in ["root-1", "root-2"] {
        assert!(osslsigncode_accepts(&named(root), &place.path("new.exe")), "{root}");
    }
    assert!(osslsigncode_accepts(&named("root-1"), &place.path("old.exe")));
    assert!(!osslsigncode_accepts(&named("root-2"), &place.path("old.exe")), "it was signed before there was a link");
    let stranger = Place::with_sandbox();
    assert!(!osslsigncode_accepts(&certificate(&stranger, "root-1"), &place.path("new.exe")));
    for file in ["old.exe", "new.exe"] {
        place.keyctl(&["verify", file]).ok();
        place.keyctl(&["verify", file, "--roots", named("root-1").to_str().expect("UTF-8")]).ok();
    }
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn pkilint_finds_nothing_about_links() {
    let place = Place::with_sandbox();
    place.keyctl(&["rotate", "root", "--now"]).ok();
    let tools = std::env::var_os("KEYCTL_TOOLS")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/keyctl-tools"));
    for name in ["root-2-with-root-1", "root-1-with-root-2"] {
        let lint = tools.join("bin/lint_pkix_cert");
        let output =
            std::process::Command::new(&lint).args(["lint", "-s", "NOTICE"]).arg(certificate(&place, name)).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}: run tests/setup first", lint.display()));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn keygen_and_rotate_go_hand_in_hand() {
    let place = Place::with_sandbox();
    place.keyctl(&["keygen", "windows"]).ok();
    are(&place, "windows", &["active", "certified"]);
    let plan = place.keyctl(&["--dry-run", "rotate", "windows"]).ok().one();
    let planned: Vec<_> = plan["steps"].as_array().expect("a plan").iter().map(|step| &step["operation"]).collect();
    assert_eq!(planned, ["test", "state", "activate"]);
    let row = place.keyctl(&["rotate", "windows"]).ok().one();
    assert_eq!(steps(&row), ["publish", "test", "stage", "activate"]);
    are(&place, "windows", &["retiring", "active"]);
    place.keyctl(&["rotate", "ledger"]).fails(2, "rotation_unavailable");
    place.keyctl(&["rotate", "nothing"]).fails(2, "unknown_key");
}

/// Changes the settings and adopts them.
pub fn adopt(place: &Place, from: &str, to: &str) {
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).expect("keyctl.toml");
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
    place.keyctl(&["adopt"]).ok();
}

#[test]
fn another_publisher_is_refused_unless_it_is_wanted() {
    let place = Place::with_sandbox();
    let subject = "common_name = \"Example Corp Sandbox\" }";
    adopt(&place, subject, "common_name = \"Example Corp Trial\" }");
    let ran = place.keyctl(&["rotate", "windows", "--now"]).fails(4, "gate_failed").says("SubjectContinuity");
    ran.says("--publisher-change");
    are(&place, "windows", &["active", "staged"]);
    assert_eq!(place.sql("SELECT count(*) FROM rotation_failures"), "0", "a decision is no failure");
    place.copy(&real_pe_files()[3], "app.exe");
    assert_eq!(place.keyctl(&["sign", "app.exe"]).ok().one()["generation"], "windows/1");
    let row = place.keyctl(&["rotate", "windows", "--publisher-change"]).ok().one();
    assert_eq!((&row["generation"], steps(&row)), (&"windows/2".into(), vec!["activate"]));
    let path = row["evidence"].as_str().expect("a path");
    let fragment: Value = serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON");
    assert_eq!(fragment["rotation_event"]["publisher_change"], true);
    // A CA may change its name: nobody knows it by that alone.
    adopt(&place, "common_name = \"Example Corp Sandbox Windows CA\"", "common_name = \"Example Corp Other CA\"");
    place.keyctl(&["rotate", "windows-ca", "--now"]).ok();
}

#[test]
fn a_review_keeps_a_root_or_rolls_it() {
    let place = Place::with_sandbox();
    place.keyctl(&["rotate", "root", "--review", "looked at"]).fails(2, "no_review_wanted");
    adopt(&place, "[keys.root]\n", "[keys.root]\nrotation = \"review\"\n");
    place.keyctl(&["rotate", "root", "--now"]).fails(4, "review_needed").says("--keep-until");
    place.keyctl(&["rotate", "root", "--review", "short"]).fails(4, "gate_failed").says("ReviewText");
    let until = (keyctl::clock::Clock::system().now() + chrono::TimeDelta::days(60)).format("%Y-%m-%d").to_string();
    let keep = ["rotate", "root", "--review", "seen with the auditors", "--keep-until"];
    place.keyctl(&[&keep[..], &["2099-01-01"]].concat()).fails(4, "gate_failed").says("KeepUntil");
    place.keyctl(&[&keep[..], &["soon"]].concat()).fails(2, "bad_time");
    let row = place.keyctl(&[&keep[..], &[until.as_str()]].concat()).ok().one();
    assert_eq!((&row["result"], &row["active"]), (&"kept".into(), &"root/1".into()));
    assert_eq!(row["until"], format!("{until}T00:00:00Z"));
    let reviews = "SELECT count(*) FROM intents WHERE type = 'KEY_REVIEWED'";
    place.keyctl(&[&keep[..], &[until.as_str()]].concat()).ok();
    assert_eq!(place.sql(reviews), "1", "repeated, it is the same review");
    are(&place, "root", &["active"]);
    let row = place.keyctl(&["rotate", "root", "--review", "time for another"]).ok().one();
    assert_eq!((&row["result"], &row["generation"]), (&"rotated".into(), &"root/2".into()));
    assert_eq!(place.sql(reviews), "2");
    place.keyctl(&["rotate", "root", "--now"]).fails(4, "review_needed");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_published_file_that_was_spoilt_is_put_right_before_the_takeover_and_a_spoilt_chain_is_no_chain() {
    let place = Place::with_sandbox();
    place.keyctl(&["keygen", "windows"]).ok();
    let leaf = certificate(&place, "windows-2");
    let good = std::fs::read(&leaf).expect("PEM");
    std::fs::write(&leaf, "").expect("written");
    place.keyctl(&["rotate", "windows"]).ok();
    assert_eq!(std::fs::read(&leaf).expect("PEM"), good);

    // The issuer's file is another's: the new key is not trusted, and the old one goes on.
    place.keyctl(&["keygen", "windows"]).ok();
    let ca = certificate(&place, "windows-ca-1");
    let stranger = Place::with_sandbox();
    std::fs::copy(certificate(&stranger, "windows-ca-1"), &ca).expect("copied");
    let ran = place.keyctl(&["rotate", "windows"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    ran.says("unknown_issuer").says("the rotation of windows failed");
    are(&place, "windows", &["retiring", "active", "certified"]);
    // Every run leaves the published certificates as the register has them.
    place.keyctl(&["rotate", "windows"]).ok();
    are(&place, "windows", &["retiring", "retiring", "active"]);
    assert_eq!(place.sql("SELECT count(*) FROM rotation_failures WHERE closed IS NULL"), "0");
}

#[test]
fn several_rotations_of_a_root_leave_a_way_from_the_first_one() {
    let place = Place::with_sandbox();
    for _ in 0..2 {
        place.keyctl(&["rotate", "root", "--now"]).ok();
    }
    for key in ["windows-ca", "windows"] {
        place.keyctl(&["rotate", key, "--now"]).ok();
    }
    place.copy(&real_pe_files()[0], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    for root in ["root-1", "root-2", "root-3"] {
        assert!(osslsigncode_accepts(&certificate(&place, root), &place.path("app.exe")), "{root}");
    }
    are(&place, "root", &["retiring", "retiring", "active"]);
}
