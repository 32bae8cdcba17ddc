//! Evidence packs, one for each file, and the lines of the README that pipelines are made of.

use crate::support::{Place, osslsigncode_accepts, ran, real_pe_files, tool};
use keyctl::model::Hash256;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence-pack").join(name);
    serde_json::from_slice(&fs::read(path).expect("a fixture")).expect("JSON")
}

/// The sample with another identifier, for this file and the certificate of the sandbox.
fn pack(place: &Place, id: &str, file: &Path) -> Value {
    let mut command = tool("openssl");
    command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(place.published("certs/windows-1.pem"));
    let output = command.output().expect("openssl");
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut pack = read("pack.json");
    pack["evidence_pack_id"] = id.into();
    pack["artifact"]["hash"]["value"] = Hash256::of(&fs::read(file).expect("readable")).to_string().into();
    pack["artifact"]["signing"]["fingerprint"] = printed.rsplit('=').next().expect("a fingerprint").into();
    pack
}

fn write(folder: &Path, name: &str, pack: &Value) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join(name), pack.to_string()).expect("writable");
}

/// What `keyctl` says of a pack, and what the schema says.
#[track_caller]
fn agree(place: &Place, pack: &Value, is_good: bool) {
    let validator = jsonschema::draft202012::options().build(&read("pack.schema.json")).expect("a schema");
    assert_eq!(validator.is_valid(pack), is_good, "{pack}");
    let folder = place.path("one-pack");
    write(&folder, "pack.json", pack);
    let ran = place.keyctl(&["--dry-run", "sign", "0.exe", "--for-packs", "one-pack"]);
    assert_eq!(ran.stderr.contains("bad_pack"), !is_good, "{pack}\n{}", ran.stderr);
}

#[test]
fn the_schema_takes_what_is_read_and_refuses_what_is_not() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "0.exe");
    let good = read("pack.json");
    agree(&place, &good, true);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut pack = good.clone();
        change(&mut pack);
        pack
    };
    agree(&place, &changed(&|pack| pack["more"] = json!({ "of": "its own" })), true);
    agree(
        &place,
        &changed(&|pack| pack["artifact"]["signing"] = json!({ "certificate_thumbprint": "AB".repeat(20) })),
        true,
    );
    let sha512 = json!({ "algorithm": "sha512", "value": "AB".repeat(64) });
    agree(&place, &changed(&|pack| pack["artifact"]["hash"] = sha512.clone()), true);
    agree(&place, &changed(&|pack| pack["evidence_pack_id"] = "".into()), false);
    agree(&place, &changed(&|pack| pack["artifact"]["hash"]["algorithm"] = "sha512".into()), false);
    agree(&place, &changed(&|pack| pack["artifact"]["hash"]["value"] = "xy".into()), false);
    agree(&place, &changed(&|pack| pack["artifact"]["signing"] = json!({})), false);
    agree(&place, &changed(&|pack| pack["artifact"] = json!({})), false);
}

#[test]
fn every_file_of_a_batch_is_held_against_its_own_pack() {
    let place = Place::with_sandbox();
    let names = ["0.exe", "1.dll", "2.exe"];
    let files: Vec<_> = real_pe_files().iter().zip(names).map(|(file, name)| place.copy(file, name)).collect();
    let packs = place.path("packs");
    write(&packs, "a.json", &pack(&place, "ep-0", &files[0]));
    let sha512 = {
        let output = tool("sha512sum").arg(&files[1]).output().expect("sha512sum");
        String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a sum").to_owned()
    };
    let mut second = pack(&place, "ep-1", &files[1]);
    second["artifact"]["hash"] = json!({ "algorithm": "sha512", "value": sha512 });
    write(&packs, "b.json", &second);
    let args = ["--correlation-id", "job-1", "sign", "--for-packs", "packs", "0.exe", "1.dll", "2.exe"];
    // One has no pack, and two others are signed.
    place.keyctl(&args).fails(4, "no_pack").says("2 signed, 1 failed");
    write(&packs, "c.json", &pack(&place, "ep-2", &files[2]));
    let rows = place.keyctl(&args).ok().json();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let fragment = fs::read_to_string(row["evidence"].as_str().expect("a path")).expect("a fragment");
        let fragment: Value = serde_json::from_str(&fragment).expect("JSON");
        let number = row["file"].as_str().and_then(|name| name.get(..1)).expect("a name");
        assert_eq!(fragment["pack"]["evidence_pack_id"], format!("ep-{number}"), "{row}");
    }
    // Another pack for the same file is another request, and two for one are none.
    place.copy(&real_pe_files()[0], "0.exe");
    write(&packs, "a.json", &pack(&place, "ep-9", &files[0]));
    place.keyctl(&args).fails(4, "other_parameters");
    write(&packs, "d.json", &pack(&place, "ep-8", &files[0]));
    place.keyctl(&args).fails(2, "two_packs");
    fs::create_dir(place.path("none")).expect("a folder");
    place.keyctl(&["sign", "--for-packs", "none", "0.exe"]).fails(2, "no_packs");
    place.keyctl(&["sign", "--for-packs", "gone", "0.exe"]).fails(2, "bad_pack");
}

/// What stands in the README behind this word, in the example that has it.
fn lines_of(example: &str, word: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let block =
        readme.split("```yaml").skip(1).filter_map(|rest| rest.split("```").next()).find(|it| it.contains(example));
    let block = block.expect("an example").to_owned();
    let found = block.lines().filter_map(|line| line.trim().strip_prefix(word)).map(|rest| rest.trim().to_owned());
    found.collect()
}

/// A workspace whose PIN comes as the README says, and a folder `dist` with what a build made.
fn pipeline() -> (Place, Vec<PathBuf>) {
    let place = Place::with_sandbox();
    let config = place.workspace().join("keyctl.toml");
    let text = fs::read_to_string(&config).expect("keyctl.toml");
    fs::write(&config, text.replace("{ file = \"tokens/primary/pin\" }", "{ fd = 3 }")).expect("writable");
    let names = ["0.exe", "sub/1.exe", "sub/2.exe"];
    (place, names.iter().map(PathBuf::from).collect())
}

fn build(place: &Place, names: &[PathBuf]) {
    let _ = fs::remove_dir_all(place.path("dist"));
    fs::create_dir_all(place.path("dist/sub")).expect("a folder");
    for (number, (file, name)) in real_pe_files().iter().zip(names).enumerate() {
        let to = place.copy(file, &format!("dist/{}", name.display()));
        write(&place.path("packs"), &format!("{number}.json"), &pack(place, &format!("ep-{number}"), &to));
    }
}

/// Fails if the PIN is in the environment that a program gets.
const LOOKS: &str = "if env | grep -q '^HSM_PIN='; then echo 'the environment has the PIN' >&2; return 99; fi";

/// Runs a line as the runner does, with the environment that it gives to each attempt.
fn attempt(place: &Place, line: &str, id: &str, attempt: &str) -> crate::support::Ran {
    let pin = fs::read_to_string(place.workspace().join("tokens/primary/pin")).expect("a PIN");
    let mut shell = tool("bash");
    shell.args(["-e", "-c", &format!("keyctl() {{ {LOOKS}; {} \"$@\"; }}; {line}", env!("CARGO_BIN_EXE_keyctl"))]);
    shell.current_dir(place.path("")).env("HOME", place.path("")).env("XDG_STATE_HOME", place.path("state"));
    shell.env("KEYCTL_WORKSPACE", place.workspace()).env("KEYCTL_CORRELATION_ID", id).env("HSM_PIN", pin.trim());
    shell.env("GITHUB_RUN_ATTEMPT", attempt).env("CI_JOB_ID", attempt);
    ran(shell.output().expect("bash runs"))
}

#[track_caller]
fn is_retried(line: &str, id: &str) {
    let (place, names) = pipeline();
    let root = place.published("certs/root-1.pem");
    let dist = || names.iter().map(|name| fs::read(place.path("dist").join(name)).expect("built")).collect::<Vec<_>>();
    build(&place, &names);
    assert_eq!(attempt(&place, line, id, "1").ok().json().len(), 3);
    let signed = dist();
    assert!(names.iter().all(|name| osslsigncode_accepts(&root, &place.path("dist").join(name))));
    // The same job once more: on the same runner, and after a fresh checkout.
    attempt(&place, line, id, "2").ok();
    assert_eq!(dist(), signed);
    build(&place, &names);
    assert_ne!(dist(), signed);
    let again = attempt(&place, line, id, "3").ok();
    assert!(again.json().iter().all(|row| row["result"] == "replayed"), "{}", again.stdout);
    assert_eq!(dist(), signed, "byte for byte");
    assert_eq!(place.sql("SELECT count(*) FROM artifacts"), "3", "each was signed once");
}

#[test]
fn the_readmes_github_lines_are_retried() {
    let line = lines_of("github.run_id", "run:").remove(0);
    let id = lines_of("github.run_id", "KEYCTL_CORRELATION_ID:").remove(0);
    assert!(!id.contains("attempt"), "each attempt would be another job: {id}");
    is_retried(&line, &id.replace("${{ github.run_id }}", "4711"));
}

#[test]
fn the_readmes_gitlab_lines_are_retried() {
    let line = lines_of("CI_PIPELINE_ID", "- export").remove(0);
    let id = lines_of("CI_PIPELINE_ID", "KEYCTL_CORRELATION_ID:").remove(0);
    is_retried(&format!("export {line}"), &id.replace("$CI_PIPELINE_ID", "4711"));
}
