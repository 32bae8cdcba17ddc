//! Fragments, checked by whoever has `ledger.pub` and nothing else.

use crate::support::{Place, real_pe_files, tool};
use keyctl::crypto::note::VerifierKey;
use keyctl::evidence::{self, fragment};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A sandbox that signed a file for an evidence pack and from a pipeline, and the fragment of it.
fn signed() -> (Place, PathBuf) {
    let place = Place::with_sandbox();
    let app = place.copy(&real_pe_files()[3], "app.exe");
    let keys: Value = json(&place.published("keys.json"));
    let windows = keys["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "windows").expect("windows");
    let hash = keyctl::model::Hash256::of(&std::fs::read(app).expect("readable"));
    let pack = serde_json::json!({
        "evidence_pack_id": "ep-01234567",
        "artifact": {
            "hash": { "algorithm": "sha256", "value": hash.to_string() },
            "signing": { "certificate_thumbprint": windows["certificate_thumbprint"] },
        },
    });
    std::fs::write(place.path("pack.json"), pack.to_string()).expect("writable");
    let args = ["sign", "app.exe", "--for-pack", "pack.json", "--builder", "b", "--pipeline-run", "7"];
    let row = place.keyctl(&args).ok().one();
    (place, row["evidence"].as_str().expect("a path").into())
}

/// Somebody else's machine: an empty home, the fragment, the ledger key.
fn elsewhere(place: &Place, fragment: &Path) -> Place {
    let other = Place::new();
    other.copy(fragment, "evidence.json");
    other.copy(&place.published("ledger.pub"), "ledger.pub");
    other
}

const CHECK: &[&str] = &["verify", "evidence.json", "--ledger-key", "ledger.pub"];

fn keys(place: &Place) -> Vec<VerifierKey> {
    let lines = std::fs::read_to_string(place.published("ledger.pub")).expect("readable");
    lines.lines().map(|line| line.parse().expect("a verifier key")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[test]
fn a_fragment_fits_its_schema_and_the_schema_refuses_others() {
    let (_place, path) = signed();
    let schema: Value = serde_json::from_str(evidence::SCHEMA).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let validator = options.build(&schema).expect("a schema");
    let fragment = json(&path);
    let errors: Vec<_> = validator.iter_errors(&fragment).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    // Each required member, at any depth, is missed.
    for (at, name) in required(&schema, "") {
        let mut without = fragment.clone();
        let parent = without.pointer_mut(&at).unwrap_or_else(|| panic!("the fragment has no {at}"));
        parent.as_object_mut().expect("an object").remove(&name);
        assert!(!validator.is_valid(&without), "{at}/{name} may be missing");
    }
    let wrong = [
        ("/schema", "keyctl.evidence/v2"),
        ("/fragment_id", "7"),
        ("/environment", "prod"),
        ("/created_at", "2026-11-23 12:00"),
        ("/artifact/hash/value", "abc"),
        ("/signing/certificate_thumbprint", "not a thumbprint"),
        ("/gates/0/verdict", "maybe"),
        ("/actor/assurance", "sworn"),
    ];
    for (at, value) in wrong {
        let mut other = fragment.clone();
        *other.pointer_mut(at).unwrap_or_else(|| panic!("the fragment has no {at}")) = value.into();
        assert!(!validator.is_valid(&other), "{at} may be {value}");
    }
}

/// Every required member with the JSON pointer of its object, through `properties` but not through `$ref`.
fn required(schema: &Value, at: &str) -> Vec<(String, String)> {
    let names = schema["required"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<_> = names.iter().map(|name| (at.to_owned(), name.as_str().expect("a name").to_owned())).collect();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        all.extend(required(inner, &format!("{at}/{name}")));
    }
    all
}

#[test]
fn anyone_with_the_ledger_key_can_check_it() {
    let (place, path) = signed();
    let other = elsewhere(&place, &path);
    let row = other.keyctl(CHECK).ok().one();
    assert_eq!((&row["verdict"], &row["fragment_id"]), (&"valid".into(), &json(&path)["fragment_id"]));
    assert!(!other.path("state").exists(), "a check leaves nothing");
    other.keyctl(&["verify", "evidence.json"]).exits(2).says("--ledger-key");

    // The workspace finds its keys itself.
    place.keyctl(&["verify", path.to_str().expect("a path")]).ok();
    // Another ledger's key is not to be fooled, nor one of the same name.
    let stranger = Place::with_sandbox();
    other.copy(&stranger.published("ledger.pub"), "stranger.pub");
    other.keyctl(&["verify", "evidence.json", "--ledger-key", "stranger.pub"]).fails(6, "checkpoint_not_signed");
    stranger.keyctl(&["verify", path.to_str().expect("a path")]).fails(6, "checkpoint_not_signed");
}

#[test]
fn both_sets_of_names_are_there_and_right() {
    let (place, path) = signed();
    let fragment = json(&path);
    let certificate = place.published("certs/windows-1.pem");
    let openssl = |args: &[&str]| {
        let output = tool("openssl").args(["x509", "-noout", "-in"]).arg(&certificate).args(args).output();
        let text = String::from_utf8(output.expect("openssl runs").stdout).expect("text");
        text.trim().split_once('=').map_or(text.clone(), |(_, value)| value.trim().to_owned())
    };
    let plain = |text: String| text.replace(':', "");
    let signing = &fragment["signing"];
    assert_eq!(signing["signed"], true);
    assert_eq!(signing["certificate_thumbprint"], plain(openssl(&["-fingerprint", "-sha1"])));
    assert_eq!(signing["fingerprint"], plain(openssl(&["-fingerprint", "-sha256"])).to_lowercase());
    assert_eq!(signing["certificate_issued"], iso(&openssl(&["-startdate", "-dateopt", "iso_8601"])));
    assert_eq!(signing["certificate_expiry"], iso(&openssl(&["-enddate", "-dateopt", "iso_8601"])));
    let rfc2253 = ["-nameopt", "RFC2253"];
    assert_eq!(signing["certificate_subject"], openssl(&["-subject", rfc2253[0], rfc2253[1]]));
    assert_eq!(signing["certificate_issuer"], openssl(&["-issuer", rfc2253[0], rfc2253[1]]));
    assert_eq!(signing["signing_time"], fragment["created_at"]);

    let file = std::fs::read(place.path("app.exe")).expect("readable");
    let before = std::fs::read(&real_pe_files()[3]).expect("readable");
    let artifact = &fragment["artifact"];
    assert_eq!(artifact["hash"]["value"], keyctl::model::Hash256::of(&file).to_string());
    assert_eq!(artifact["hash_before"]["value"], keyctl::model::Hash256::of(&before).to_string());
    assert_eq!((&artifact["size_bytes"], &artifact["name"]), (&file.len().into(), &"app.exe".into()));
    assert_eq!((&artifact["platform"], &fragment["environment"]), (&"windows".into(), &"sandbox".into()));
    let digest = tool("osslsigncode").args(["verify", "-in"]).arg(place.path("app.exe")).output().expect("runs");
    let digest = String::from_utf8_lossy(&digest.stdout).into_owned();
    let digest = digest.lines().find_map(|line| line.strip_prefix("Calculated message digest : ")).expect("a digest");
    assert_eq!(artifact["content_digest"], format!("sha256:{}", digest.trim().to_lowercase()));

    let key = &fragment["key"];
    assert_eq!((&key["name"], &key["generation"], &key["custody"]), (&"windows".into(), &1.into(), &"bound".into()));
    assert_eq!(key["token"]["software"], true, "a software token says so");
    let gates: Vec<_> = fragment["gates"].as_array().expect("gates").iter().map(|gate| &gate["name"]).collect();
    assert_eq!(
        gates,
        [
            "Status",
            "CertificateAgeDays",
            "HSMExportLock",
            "Environment",
            "Suspended",
            "Purpose",
            "SigningKeyRotationComplete",
            "EvidencePackArtifact",
            "EvidencePackCertificate",
            "Timestamp",
            "Actor"
        ]
    );
}

/// `2026-11-23 12:00:00Z` as RFC 3339.
fn iso(text: &str) -> String {
    text.replace(' ', "T")
}

#[test]
fn any_changed_byte_is_refused() {
    let (place, path) = signed();
    let (good, keys) = (std::fs::read(&path).expect("readable"), keys(&place));
    fragment::check(&good, &keys).expect("the fragment checks");
    let parts = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for part in 0..parts {
            let (good, keys) = (&good, &keys);
            scope.spawn(move || {
                let mut bad = good.clone();
                for at in (part..good.len()).step_by(parts) {
                    for flip in [0x01, 0x20, 0x80] {
                        bad[at] ^= flip;
                        let checked = fragment::check(&bad, keys);
                        let kind = checked.expect_err(&format!("byte {at} xor {flip:#x}")).kind();
                        assert_eq!(kind, keyctl::error::Kind::Findings, "byte {at} xor {flip:#x}");
                        bad[at] ^= flip;
                    }
                }
            });
        }
    });
}

#[test]
fn the_binary_refuses_changed_fragments() {
    let (place, path) = signed();
    let good = std::fs::read(&path).expect("readable");
    let other = elsewhere(&place, &path);
    let value = json(&path);
    let text = String::from_utf8(good.clone()).expect("text");
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut case = |what: &str, bytes: &[u8]| cases.push((what.to_owned(), bytes.to_vec()));
    case("without its newline", good.strip_suffix(b"\n").expect("a newline"));
    case("another newline", format!("{text}\n").as_bytes());
    case("a blank before", format!(" {text}").as_bytes());
    case("a mark before", format!("\u{feff}{text}").as_bytes());
    case("half of it", &good[..good.len() / 2]);
    case("all but its brace", &good[..good.len() - 2]);
    case("twice", &good.repeat(2));
    case("pretty", &serde_json::to_vec_pretty(&value).expect("JSON"));
    case("an escape that says the same", text.replacen("keyctl.evidence", "\\u006beyctl.evidence", 1).as_bytes());
    case("a member twice", text.replacen('{', "{\"schema\":\"keyctl.evidence/v1\",", 1).as_bytes());
    let mut change = |what: &str, at: &str, to: Value| {
        let mut other = value.clone();
        *other.pointer_mut(at).unwrap_or_else(|| panic!("no {at}")) = to;
        case(what, &[serde_json::to_vec(&other).expect("JSON"), b"\n".to_vec()].concat());
    };
    change("another file", "/artifact/hash/value", "ab".repeat(32).into());
    change("another person", "/actor/email", "someone@example.com".into());
    change("another time", "/signing/signing_time", "2020-01-01T00:00:00Z".into());
    change("production", "/environment", "production".into());
    change("a gate that passed", "/gates/1/input", "1".into());
    change("no proof", "/ledger/inclusion_proof", Value::Array(Vec::new()));
    change("another place", "/ledger/seq", 3.into());
    let mut more = value.clone();
    more["note"] = "and approved by everyone".into();
    case("one more member", &[serde_json::to_vec(&more).expect("JSON"), b"\n".to_vec()].concat());
    case("an empty object", b"{}\n");
    for (at, byte) in good.iter().enumerate().step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad[at] = byte ^ 0x01;
        case(&format!("byte {at}"), &bad);
    }
    for (what, bytes) in cases {
        assert_ne!(bytes, good, "{what}");
        std::fs::write(other.path("evidence.json"), bytes).expect("writable");
        println!("{what}");
        other.keyctl(CHECK).exits(6);
    }
    std::fs::write(other.path("evidence.json"), good).expect("writable");
    other.keyctl(CHECK).ok();
}

/// The fragment of one file does not vouch for another that was signed in the same batch.
#[test]
fn fragments_of_a_batch_are_each_their_own() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "a.exe");
    place.copy(&real_pe_files()[3], "b.exe");
    let rows = place.keyctl(&["sign", "a.exe", "b.exe"]).ok().json();
    let paths: Vec<PathBuf> = rows.iter().map(|row| row["evidence"].as_str().expect("a path").into()).collect();
    let (a, b) = (json(&paths[0]), json(&paths[1]));
    assert_eq!(a["ledger"]["checkpoint"], b["ledger"]["checkpoint"], "one checkpoint for the batch");
    assert_eq!((&a["artifact"]["name"], &b["artifact"]["name"]), (&"a.exe".into(), &"b.exe".into()));
    for part in ["leaf", "intent_leaf", "inclusion_proof", "seq", "leaf_hash"] {
        let mut mixed = a.clone();
        mixed["ledger"][part] = b["ledger"][part].clone();
        let bytes = [serde_json::to_vec(&mixed).expect("JSON"), b"\n".to_vec()].concat();
        fragment::check(&bytes, &keys(&place)).expect_err(part);
    }
    let mut mixed = a.clone();
    mixed["ledger"] = b["ledger"].clone();
    let bytes = [serde_json::to_vec(&mixed).expect("JSON"), b"\n".to_vec()].concat();
    fragment::check(&bytes, &keys(&place)).expect_err("the other's ledger part");
}
