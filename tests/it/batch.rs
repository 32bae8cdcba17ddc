//! Many files in one call, the same call again, a call that changes nothing, and a call that is interrupted.

use crate::support::{Place, osslsigncode_accepts, real_pe_files, tool};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

fn with_files(count: usize) -> (Place, Vec<String>) {
    let place = Place::with_sandbox();
    let files = real_pe_files();
    let names = (0..count).map(|number| format!("{number:03}.exe")).collect::<Vec<_>>();
    for (number, name) in names.iter().enumerate() {
        place.copy(&files[number % files.len()], name);
    }
    (place, names)
}

#[test]
fn a_list_from_standard_input_is_signed_and_one_bad_file_stops_nothing() {
    let (place, mut names) = with_files(150);
    std::fs::write(place.path("bad.exe"), b"MZ, and nothing else").expect("writable");
    names.insert(70, "bad.exe".into());
    let mut command = place.command(&["sign", "--files-from", "-", "--jobs", "4"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(names.join("\0").as_bytes()).expect("written");
    let ran = crate::support::ran(child.wait_with_output().expect("it ends")).exits(1);
    let rows: BTreeMap<_, _> =
        ran.json().into_iter().map(|row| (row["file"].as_str().expect("a name").to_owned(), row)).collect();
    assert_eq!(rows.len(), 151, "one line for each file");
    for name in &names {
        let wanted = if name == "bad.exe" { "failed" } else { "signed" };
        assert_eq!(rows[name]["result"], wanted, "{name}");
    }
    // Many of the files have the same bytes; each of them was signed all the same.
    let files = real_pe_files();
    for (number, name) in names.iter().filter(|name| *name != "bad.exe").enumerate() {
        let original = std::fs::read(&files[number % files.len()]).expect("readable");
        assert_ne!(std::fs::read(place.path(name)).expect("readable"), original, "{name} is as it was");
    }
    let root = place.published("certs/root-1.pem");
    for name in names.iter().filter(|name| *name != "bad.exe").step_by(29) {
        assert!(osslsigncode_accepts(&root, &place.path(name)), "{name}");
    }
    assert_eq!(std::fs::read(place.path("bad.exe")).expect("readable"), b"MZ, and nothing else");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn the_same_correlation_id_gives_the_same_bytes_and_signs_nothing() {
    let (place, _) = with_files(2);
    let args = ["--correlation-id", "dp-20261123-abcd", "sign", "000.exe", "001.exe"];
    let first = place.keyctl(&args).ok();
    let entries = place.entries().len();
    let files = place.files();
    let again = place.keyctl(&args).ok();
    assert_eq!(first.stdout, again.stdout, "byte for byte");
    assert_eq!(place.entries().len(), entries, "nothing was asked of the gate");
    assert_eq!(place.files(), files);
    // A lost fragment is a view of the ledger and comes back.
    let fragment = first.json()[0]["evidence"].as_str().expect("a path").to_owned();
    let bytes = std::fs::read(&fragment).expect("readable");
    std::fs::remove_file(&fragment).expect("removable");
    assert_eq!(place.keyctl(&args).ok().stdout, first.stdout);
    let checked = place.keyctl(&["verify", &fragment]).ok();
    assert_eq!(checked.json()[0]["verdict"], "valid");
    assert_eq!(std::fs::read(&fragment).expect("readable").len(), bytes.len());
    // Other parameters for the same file are no replay.
    let other = ["--correlation-id", "dp-20261123-abcd", "sign", "--hash", "sha384", "000.exe"];
    place.keyctl(&other).exits(4).says("other_parameters");
    assert_eq!(place.files(), files);
}

#[test]
fn a_dry_run_shows_request_and_gates_and_changes_nothing() {
    let (place, _) = with_files(1);
    let (files, entries) = (place.files(), place.entries().len());
    let plan = place.keyctl(&["--dry-run", "sign", "000.exe"]).ok().one();
    assert_eq!((&plan["schema"], &plan["operation"]), (&"keyctl.plan/v1".into(), &"sign".into()));
    assert_eq!(plan["steps"][0]["params"]["name"], "000.exe");
    assert_eq!((&plan["verdicts"][0]["step"], &plan["verdicts"][0]["result"]), (&0.into(), &"allow".into()));
    assert_eq!(plan["verdicts"][0]["gates"][0]["name"], "Status");
    assert_eq!((place.files(), place.entries().len()), (files, entries));
}

#[test]
fn a_dry_founding_and_a_dry_recovery_leave_everything_as_it_is() {
    let place = Place::new();
    let rows = place.keyctl(&["--dry-run", "init", "--sandbox"]).ok().json();
    assert!(rows.iter().any(|row| row["key"] == "windows" && row["issuer"] == "windows-ca"), "{rows:?}");
    assert!(!place.workspace().exists() && place.files().is_empty());
    let (place, _) = with_files(1);
    place.keyctl(&["sign", "000.exe"]).ok();
    let evidence = place.workspace().join("evidence");
    for fragment in std::fs::read_dir(&evidence).expect("evidence") {
        std::fs::remove_file(fragment.expect("an entry").path()).expect("removable");
    }
    place.keyctl(&["--dry-run", "recover"]).ok();
    assert_eq!(std::fs::read_dir(&evidence).expect("evidence").count(), 0);
    place.keyctl(&["recover"]).ok().says("wrote 1 fragments");
}

#[test]
fn an_evidence_pack_for_another_file_or_certificate_blocks() {
    let (place, _) = with_files(1);
    let before = place.files();
    for (hash, thumbprint, gate) in [
        ("0".repeat(64), "A".repeat(40), "EvidencePackArtifact"),
        ("0".repeat(64), "b".repeat(64), "EvidencePackCertificate"),
    ] {
        let pack = serde_json::json!({ "evidence_pack_id": "ep-1", "artifact": {
            "hash": { "algorithm": "sha256", "value": hash }, "signing": { "certificate_thumbprint": thumbprint } } });
        std::fs::write(place.workspace().join("pack.json"), pack.to_string()).expect("writable");
        let pack = place.workspace().join("pack.json");
        let ran = place.keyctl(&["sign", "000.exe", "--for-pack", pack.to_str().expect("UTF-8")]).exits(4).says(gate);
        assert!(ran.stderr.contains("policy_violation"), "{}", ran.stderr);
    }
    std::fs::write(place.workspace().join("pack.json"), "{}").expect("writable");
    let pack = place.workspace().join("pack.json");
    place.keyctl(&["sign", "000.exe", "--for-pack", pack.to_str().expect("UTF-8")]).fails(2, "bad_pack");
    assert_eq!(place.files(), before);
}

#[test]
fn an_interruption_ends_with_130_and_leaves_whole_files() {
    let (place, names) = with_files(400);
    let before = place.files();
    let mut command = place.command(&["sign", "--files-from", "list"]);
    std::fs::write(place.path("list"), names.join("\n")).expect("writable");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    std::thread::sleep(Duration::from_millis(700));
    let id = child.id().to_string();
    assert!(tool("kill").args(["-INT", &id]).status().expect("kill").success());
    let ran = crate::support::ran(child.wait_with_output().expect("it ends"));
    // A quick machine may be done by then.
    assert!(ran.code == 130 || ran.code == 0, "exit {}\n{}", ran.code, ran.stderr);
    let signed: Vec<_> = ran.json().into_iter().filter(|row| row["result"] == "signed").collect();
    let after = place.files();
    for row in &signed {
        let name = row["file"].as_str().expect("a name");
        assert_ne!(after[name], before[name], "{name}");
        place.keyctl(&["verify", name]).ok();
        if signed.len() > 20 {
            break;
        }
    }
    let changed = names.iter().filter(|name| after[*name] != before[*name]).count();
    assert_eq!(changed, signed.len(), "what changed is what was reported");
    place.keyctl(&["audit", "log"]).ok();
    place.keyctl(&["status"]).ok();
    let extra: Vec<_> = after.keys().filter(|name| !before.contains_key(*name) && *name != "list").collect();
    assert!(extra.is_empty(), "left behind: {extra:?}");
}
