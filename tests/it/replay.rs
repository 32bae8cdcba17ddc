//! A job that is run again: on the files that it left, on a fresh checkout, after it was killed, after its key was found
//! to be in other hands. It ends with signed files and evidence for them, or it says why not.

use crate::apt::{FTPARCHIVE, all_accept, archive, keyring, suite, text};
use crate::killing::Scene;
use crate::support::{Place, Ran, osslsigncode_accepts, ran, real_pe_files, tool};
use crate::tsa::{Server, Tsa};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

const JOB: [&str; 2] = ["--correlation-id", "job-1"];

/// A sandbox with three files.
fn with_files() -> (Place, Vec<&'static str>) {
    let place = Place::with_sandbox();
    let names = vec!["0.exe", "1.dll", "2.exe"];
    checkout(&place, &names);
    (place, names)
}

/// The unsigned files, as a version control system would bring them.
fn checkout(place: &Place, names: &[&str]) {
    for (file, name) in real_pe_files().iter().zip(names) {
        let _ = fs::remove_file(place.path(name));
        place.copy(file, name);
    }
}

fn again(place: &Place, args: &[&str]) -> Ran {
    place.keyctl(&[&JOB, args].concat())
}

fn root(place: &Place) -> PathBuf {
    place.published("certs/root-1.pem")
}

/// Nothing can be signed from here on.
fn without_tokens(place: &Place) {
    fs::rename(place.workspace().join("tokens"), place.workspace().join("no-tokens")).expect("renamed");
}

fn edits_of(place: &Place, row: &serde_json::Value) -> PathBuf {
    let id = row["artifact_id"].as_str().expect("an identifier");
    place.workspace().join("evidence").join(format!("{id}.edits"))
}

#[test]
fn a_fresh_checkout_gets_the_bytes_of_then_and_no_key_is_used() {
    let (place, names) = with_files();
    let sign = [&["sign"], &names[..]].concat();
    let first = again(&place, &sign).ok();
    let (files, entries) = (place.files(), place.entries().len());
    checkout(&place, &names);
    without_tokens(&place);
    let ran = again(&place, &sign).ok().says("3 replayed").says("job-1");
    assert_eq!(place.files(), files, "byte for byte");
    assert_eq!(place.entries().len(), entries);
    for (row, then) in ran.json().iter().zip(first.json()) {
        assert_eq!((&row["result"], &row["sha256"]), (&"replayed".into(), &then["sha256"]));
        assert_eq!((&row["evidence"], &row["entry"]), (&then["evidence"], &then["entry"]));
        assert_eq!(row["replayed"], "the kept signature was put in place again");
    }
    for name in &names {
        assert!(osslsigncode_accepts(&root(&place), &place.path(name)), "{name}");
    }
    // On what it left there is nothing to do, and the stored result is printed as it was.
    assert_eq!(again(&place, &sign).ok().stdout, first.stdout);
    // Some are fresh and some are not.
    checkout(&place, &names[..1]);
    let ran = again(&place, &sign).ok().says("2 signed before, 1 replayed");
    let results: Vec<_> = ran.json().iter().map(|row| (row["file"].clone(), row["result"].clone())).collect();
    assert!(results.contains(&("0.exe".into(), "replayed".into())), "{results:?}");
    assert_eq!(place.files(), files);
}

#[test]
fn a_target_is_there_afterwards_or_the_job_fails() {
    let (place, names) = with_files();
    fs::create_dir(place.path("out")).expect("a folder");
    let sign = [&["sign", "--to", "out"], &names[..]].concat();
    let first = again(&place, &sign).ok();
    let read = || names.iter().map(|name| fs::read(place.path("out").join(name)).ok()).collect::<Vec<_>>();
    let signed = read();
    assert!(signed.iter().all(Option::is_some));
    assert_eq!(again(&place, &sign).ok().stdout, first.stdout);
    without_tokens(&place);
    fs::remove_file(place.path("out/1.dll")).expect("removable");
    let rows = again(&place, &sign).ok().json();
    let row = rows.iter().find(|row| row["file"] == "1.dll").expect("a row");
    assert_eq!((&row["result"], &row["to"]), (&"replayed".into(), &"out/1.dll".into()));
    assert_eq!(read(), signed);
    // The signed file itself, to another place.
    let elsewhere = again(&place, &["sign", "out/1.dll", "--to", "copy.dll"]).ok().one();
    assert_eq!(elsewhere["result"], "replayed");
    assert_eq!(fs::read(place.path("copy.dll")).ok(), signed[1]);
    // Something else in its place stays.
    fs::write(place.path("out/2.exe"), "mine").expect("writable");
    again(&place, &sign).fails(1, "target_exists");
    assert_eq!(fs::read(place.path("out/2.exe")).expect("readable"), b"mine");
    // In a folder that is gone.
    fs::remove_dir_all(place.path("out")).expect("removable");
    assert_ne!(again(&place, &sign).code, 0);
}

#[test]
fn without_the_kept_edits_the_job_fails_and_says_the_command_that_signs() {
    let (place, _) = with_files();
    let row = again(&place, &["sign", "--hash", "sha384", "0.exe"]).ok().one();
    let edits = edits_of(&place, &row);
    let bytes = fs::read(&edits).expect("kept");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&edits).expect("kept").permissions().mode() & 0o777, 0o600);
    checkout(&place, &["0.exe"]);
    let unsigned = place.files();
    let mut damaged = bytes.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    let shortened = &bytes[..bytes.len() - 1];
    for wrong in [Some(&damaged[..]), Some(shortened), Some(b"{}\n"), None] {
        match wrong {
            Some(bytes) => fs::write(&edits, bytes).expect("writable"),
            None => fs::remove_file(&edits).expect("removable"),
        }
        let ran = again(&place, &["sign", "--hash", "sha384", "0.exe"]).fails(1, "edits_gone");
        assert_eq!(place.files(), unsigned, "nothing was placed");
        if wrong.is_none() {
            let hint = ran.one()["error"]["hint"].as_str().expect("a hint").to_owned();
            let script = format!("keyctl() {{ {} \"$@\"; }}; {hint}", env!("CARGO_BIN_EXE_keyctl"));
            let mut shell = tool("bash");
            shell.args(["-c", &script]).current_dir("/").env("XDG_STATE_HOME", place.path("state"));
            shell.env("KEYCTL_WORKSPACE", place.workspace()).env("HOME", place.path("")).stdin(Stdio::null());
            crate::support::ran(shell.output().expect("bash runs")).ok();
        }
    }
    assert!(osslsigncode_accepts(&root(&place), &place.path("0.exe")));
}

#[test]
fn what_a_compromised_key_signed_is_not_given_out_again() {
    let (place, _) = with_files();
    again(&place, &["sign", "0.exe"]).ok();
    let signed = fs::read(place.path("0.exe")).expect("readable");
    place.keyctl(&["compromise", "windows/1", "--incident", "INC-1", "--yes"]).ok();
    again(&place, &["sign", "0.exe"]).fails(4, "key_compromised");
    assert_eq!(fs::read(place.path("0.exe")).expect("readable"), signed);
    checkout(&place, &["0.exe"]);
    again(&place, &["sign", "0.exe"]).fails(4, "key_compromised");
    assert_ne!(fs::read(place.path("0.exe")).expect("readable"), signed);
}

#[test]
fn a_repository_that_was_checked_out_afresh_gets_its_signatures_back() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    let first = suite(&archive);
    let files = |suite: &PathBuf| ["InRelease", "Release.gpg"].map(|name| fs::read(suite.join(name)).ok());
    let printed = again(&place, &["sign", text(&first)]).ok();
    let signed = files(&first);
    assert_eq!(again(&place, &["sign", text(&first)]).ok().stdout, printed.stdout);
    // The time of a signature is in it, so a new one would be another.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    without_tokens(&place);
    let elsewhere = place.path("b");
    let copied = tool("cp").arg("-a").arg(&archive).arg(&elsewhere).status().expect("cp runs");
    assert!(copied.success());
    for (suite, gone) in [(suite(&elsewhere), vec!["InRelease", "Release.gpg"]), (first.clone(), vec!["Release.gpg"])] {
        gone.iter().for_each(|name| fs::remove_file(suite.join(name)).expect("removable"));
        let row = again(&place, &["sign", text(&suite)]).ok().one();
        assert_eq!(row["result"], "replayed");
        assert_eq!(files(&suite), signed);
    }
    all_accept(&place, &elsewhere, &keyring(&place), 1);
    // Kept no more.
    let evidence = place.workspace().join("evidence");
    let id = printed.one()["artifact_id"].as_str().expect("an identifier").to_owned();
    fs::remove_file(evidence.join(format!("{id}.InRelease"))).expect("kept");
    fs::remove_file(first.join("InRelease")).expect("removable");
    let ran = again(&place, &["sign", text(&first)]).fails(1, "edits_gone");
    assert!(ran.one()["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--correlation-id job-1-2 sign")));
    assert!(!first.join("InRelease").exists());
}

/// Every file is signed, `verify` and osslsigncode agree, and the ledger has evidence for each.
#[track_caller]
fn all_signed(place: &Place, names: &[&str], at: u32) {
    for name in names {
        assert!(osslsigncode_accepts(&root(place), &place.path(name)), "call {at}: {name}");
        let row = place.keyctl(&["verify", name]).ok().one();
        let entry = row["ledger_entry"].as_u64().unwrap_or_else(|| panic!("call {at}: {name} is in no entry"));
        let entry = &place.entries()[entry as usize];
        let fragment = entry["body"]["fragment_id"].as_str().expect("a fragment");
        let fragment = place.workspace().join("evidence").join(format!("{fragment}.json"));
        place.keyctl(&["verify", text(&fragment)]).ok();
    }
}

#[test]
fn a_batch_that_is_killed_at_any_call_is_finished_by_the_same_command() {
    let scene = Scene::new();
    let names = ["0.exe", "1.dll", "2.exe", "3.exe"];
    checkout(&scene.template, &names);
    let sign = [&JOB[..], &["sign"], &names].concat();
    let calls = scene.calls(&sign);
    let (mut adopted, mut recovered) = (0, 0);
    // All of them with KEYCTL_KILLS=all; else every other one, from the last backwards.
    let all = std::env::var_os("KEYCTL_KILLS").is_some_and(|kills| kills == "all");
    for (round, at) in (1..=calls).rev().step_by(if all { 1 } else { 2 }).enumerate() {
        let Some(place) = scene.killed(&sign, at) else { break };
        let there: Vec<_> = names.iter().filter(|name| place.keyctl(&["verify", name]).code == 0).collect();
        let open = place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL");
        if there.is_empty() && adopted > 0 {
            // Earlier than that nothing was signed.
            break;
        }
        if there.is_empty() || open == "0" {
            continue;
        }
        if round % 2 == 0 {
            let rows = place.keyctl(&["recover"]).ok().json();
            for name in &there {
                let path = place.path(name);
                let row = rows.iter().find(|row| row["file"] == text(&path)).unwrap_or_else(|| panic!("{rows:?}"));
                assert_eq!(row["result"], "adopted", "call {at}: {row}");
            }
            recovered += there.len();
        }
        let rows = place.keyctl(&sign).ok().json();
        adopted += rows.iter().filter(|row| row["result"] == "adopted").count();
        all_signed(&place, &names, at);
        // What the signatures hid comes back.
        let row = place.keyctl(&["sign", "--remove", "0.exe"]).ok().one();
        assert_eq!(row["result"], "restored", "call {at}");
        place.keyctl(&["recover"]).ok();
        place.keyctl(&["audit", "log"]).ok();
        assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0", "call {at}");
    }
    println!("{adopted} files were adopted by sign, {recovered} by recover");
    assert!(adopted >= 3 && recovered >= 3, "{adopted} {recovered}");
}

#[test]
fn a_batch_on_a_full_disk_fails_and_is_finished_by_the_same_command() {
    let scene = Scene::new();
    let names = ["0.exe", "1.dll", "2.exe", "3.exe"];
    checkout(&scene.template, &names);
    let sign = [&JOB[..], &["sign"], &names].concat();
    let calls = scene.calls(&sign);
    let mut adopted = 0;
    for at in (1..=calls).rev().step_by(3).take(20) {
        let (place, ran) = scene.filled(&sign, at);
        let open = place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL");
        assert!(ran.code != 0 || open == "0", "call {at}: nothing is called good without its outcome\n{}", ran.stdout);
        let rows = place.keyctl(&sign).ok().json();
        adopted += rows.iter().filter(|row| row["result"] == "adopted").count();
        all_signed(&place, &names, at);
        if adopted >= 8 {
            break;
        }
    }
    assert!(adopted >= 4, "{adopted}");
}

/// An interrupted run: the outcome of this signature never came to be, though its file is in place.
fn forget_outcome(place: &Place, template: &Place, names: &[&str]) {
    for name in names {
        let _ = fs::remove_file(place.path(name));
        fs::copy(template.path(name), place.path(name)).expect("copied");
    }
}

#[test]
fn only_a_good_signature_over_the_digest_of_the_intent_is_adopted() {
    let scene = Scene::new();
    let names = ["0.exe"];
    checkout(&scene.template, &names);
    let tsa = Tsa::new(&scene.template, "tsa");
    let server = Server::start(&tsa, &[crate::tsa::Does::Right]);
    let root = tsa.root();
    let stamped = ["sign", "0.exe", "--timestamp", &server.url, "--timestamp-roots", &root];
    let sign = [&JOB[..], &stamped].concat();
    let calls = scene.calls(&sign);
    let found = (1..=calls).rev().find_map(|at| {
        let place = scene.killed(&sign, at)?;
        let open = place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL") == "1";
        (open && place.keyctl(&["verify", "0.exe"]).code == 0).then_some(place)
    });
    let place = found.expect("a moment between the file and its outcome");
    let signed = fs::read(place.path("0.exe")).expect("readable");
    // The authority is not trusted by the settings: the intent stays open, and says so.
    let row = place.keyctl(&["recover"]).ok().one();
    assert_eq!((&row["result"], &row["type"]), (&"open".into(), &"PACKAGE_SIGNED".into()), "{row}");
    // One byte more, which no signature covers, is another file.
    let mut other = signed.clone();
    other.extend_from_slice(&[1; 8]);
    fs::write(place.path("0.exe"), &other).expect("writable");
    assert_ne!(place.keyctl(&sign).code, 0);
    assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "1");
    fs::write(place.path("0.exe"), &signed).expect("writable");
    let asked = server.asked();
    let row = place.keyctl(&sign).ok().one();
    assert_eq!(row["result"], "adopted");
    assert!(row["timestamp"].is_string());
    assert_eq!(server.asked(), asked, "nobody was asked again");
    assert_eq!(fs::read(place.path("0.exe")).expect("readable"), signed);
    let row = place.keyctl(&sign).ok().one();
    assert_eq!((&row["result"], &row["sha256"].as_str().map(str::len)), (&"signed".into(), &Some(64)));
    forget_outcome(&place, &scene.template, &names);
    assert_eq!(place.keyctl(&sign).ok().one()["result"], "replayed");
    assert_eq!(fs::read(place.path("0.exe")).expect("readable"), signed);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_hangup_ends_as_an_interruption_does() {
    let place = Place::with_sandbox();
    let names: Vec<_> = (0..200).map(|number| format!("{number:03}.exe")).collect();
    for name in &names {
        // Each is another file: equal ones would come to the same end under one correlation id.
        let bytes = fs::read(&real_pe_files()[1]).expect("readable");
        fs::write(place.path(name), [&bytes, name.as_bytes()].concat()).expect("writable");
    }
    fs::write(place.path("list"), names.join("\n")).expect("writable");
    let mut command = place.command(&[&JOB[..], &["sign", "--files-from", "list"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let is_begun = || place.sql("SELECT count(*) FROM intents WHERE type = 'PACKAGE_SIGNED'") != "0";
    while !is_begun() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(tool("kill").args(["-HUP", &id]).status().expect("kill").success());
    let stopped = ran(child.wait_with_output().expect("it ends")).exits(130);
    assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0");
    let signed = stopped.json().iter().filter(|row| row["result"] == "signed").count();
    let left = 200 - signed;
    stopped.says(&format!("{left} not tried; to go on, run it again with --correlation-id job-1"));
    let ran = again(&place, &["sign", "--files-from", "list"]).ok();
    ran.says(&format!("{left} signed, {signed} signed before; correlation id job-1"));
}

#[test]
fn one_cause_is_said_once() {
    let place = Place::with_sandbox();
    let names: Vec<_> = (0..128).map(|number| format!("{number:03}.exe")).collect();
    names.iter().for_each(|name| drop(place.copy(&real_pe_files()[1], name)));
    fs::write(place.path("list"), names.join("\n")).expect("writable");
    place.keyctl(&["suspend", "windows", "--because", "a drill"]).ok();
    let ran = again(&place, &["sign", "--files-from", "list"]).exits(4);
    assert_eq!(ran.json().iter().filter(|row| row["error"]["code"] == "gate_failed").count(), 128);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert!(lines.len() < 6, "{} lines\n{}", lines.len(), ran.stderr);
    ran.says("the same of 127 more files: ").says("128 failed; to go on, run it again with --correlation-id job-1");
}

#[test]
fn a_large_file_shows_how_many_bytes_are_done() {
    let place = Place::with_sandbox();
    let file = place.copy(&real_pe_files()[1], "large.exe");
    let large = fs::OpenOptions::new().write(true).open(file).expect("writable");
    large.set_len(96 << 20).expect("sparse");
    let screen = crate::terminal::Screen::run(&place, &place.command(&["sign", "large.exe"]));
    screen.shows("/192.00 MiB");
    screen.shows("[exit 0]");
}
