//! Revocations and lists that are killed before each of their calls that a disk or a file could notice: what is left is
//! settled by whatever comes next, nothing that was decided is lost, and no number of a list is used twice.

use crate::apt::keyring;
use crate::interruption::nothing_is_left;
use crate::revoke::{burned, list, openssl_reads, state};
use crate::support::{Place, tool};
use serde_json::Value;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// A sandbox to begin with, and the library that kills.
pub struct Scene {
    pub template: Place,
    library: PathBuf,
}

impl Scene {
    pub fn new() -> Self {
        let template = Place::with_sandbox();
        let library = template.path("kill.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/killing/kill.c");
        let args = ["-shared", "-fPIC", "-O1", "-o"];
        let made = tool("gcc").args(args).arg(&library).arg(source).arg("-ldl").status().expect("gcc runs");
        assert!(made.success());
        Scene { template, library }
    }

    /// Another sandbox that is the same in all but its folder.
    fn place(&self) -> Place {
        self.template.twin()
    }

    /// How many calls a command makes.
    pub fn calls(&self, args: &[&str]) -> u32 {
        let place = self.place();
        let count = place.path("count");
        let ran = place.command(args).env("LD_PRELOAD", &self.library).env("KILL_COUNT", &count).output();
        let ran = ran.expect("the binary runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        std::fs::read_to_string(count).expect("a count").trim().parse().expect("a number")
    }

    /// Runs a command on a disk that is full from its `at`th call on, and what that gave.
    pub fn filled(&self, args: &[&str], at: u32) -> (Place, crate::support::Ran) {
        let place = self.place();
        let mut command = place.command(args);
        let output = command.env("LD_PRELOAD", &self.library).env("FULL_AT", at.to_string()).output();
        (place, crate::support::ran(output.expect("the binary runs")))
    }

    /// Kills a command before its `at`th call; `None` if it did not come as far as recording anything.
    pub fn killed(&self, args: &[&str], at: u32) -> Option<Place> {
        let place = self.place();
        let entries = "SELECT count(*) FROM entries";
        let before = place.sql(entries);
        let mut command = place.command(args);
        let output = command.env("LD_PRELOAD", &self.library).env("KILL_AT", at.to_string()).output();
        assert_eq!(output.expect("the binary runs").status.signal(), Some(9), "call {at}");
        (place.sql(entries) != before).then_some(place)
    }
}

/// What holds after every interruption, once somebody went on.
#[track_caller]
fn whole(place: &Place, at: u32) {
    place.keyctl(&["recover"]).ok();
    place.keyctl(&["audit", "log"]).ok();
    nothing_is_left(place);
    for issuer in ["root/1", "windows-ca/1"] {
        let numbers = burned(place, issuer);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "call {at}: {numbers:?}");
    }
    for entry in place.entries() {
        let told = ["KEY_REVOKED", "CRL_ISSUED", "RESIGN_REQUIRED"].contains(&entry["type"].as_str().unwrap_or(""));
        if let (true, Some(id)) = (told, entry["body"]["fragment_id"].as_str()) {
            let path = place.workspace().join("evidence").join(format!("{id}.json"));
            place.keyctl(&["verify", path.to_str().expect("UTF-8")]).ok();
        }
    }
    assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0");
    assert_eq!(place.sql("SELECT count(*) FROM generations WHERE state = 'active' AND key = 'windows'"), "0");
}

fn go_through(scene: &Scene, args: &[&str], check: impl Fn(&Place, u32)) {
    go_through_every(scene, 6, args, check);
}

fn go_through_every(scene: &Scene, some: u32, args: &[&str], check: impl Fn(&Place, u32)) {
    let calls = scene.calls(args);
    // All of them with KEYCTL_KILLS=all; else some, and others the next time.
    let all = std::env::var_os("KEYCTL_KILLS").is_some_and(|kills| kills == "all");
    let step = if all { 1 } else { some };
    let first = 1 + RandomState::new().build_hasher().finish() as u32 % step;
    let mut cut = 0;
    for at in (first..=calls).step_by(step as usize) {
        let Some(place) = scene.killed(args, at) else { continue };
        cut += 1;
        // Either way round.
        if at % 2 == 0 {
            place.keyctl(&["recover"]).ok();
        }
        place.keyctl(args).ok();
        check(&place, at);
    }
    println!("{cut} kills before every {step}th of {calls} calls came behind the intent");
    assert!(cut >= 5, "only {cut} kills came behind the intent");
}

#[test]
fn a_revocation_that_is_killed_at_any_call_is_told_by_the_next_command() {
    let scene = Scene::new();
    let args = ["revoke", "windows/1", "--reason", "keyCompromise", "--yes"];
    go_through(&scene, &args, |place, at| {
        whole(place, at);
        let shown = state(place, "windows/1");
        assert_eq!(
            (&shown["state"], &shown["revocation"]["published"]),
            (&"revoked".into(), &true.into()),
            "call {at}"
        );
        let read = openssl_reads(&list(place, "windows-ca-1"), &["-text"]);
        assert_eq!(read.matches("Serial Number: ").count(), 1, "call {at}: {read}");
        let number = shown_number(place);
        assert_eq!(
            Some(&number),
            burned(place, "windows-ca/1").last(),
            "call {at}: the newest list is the last that was begun"
        );
    });
}

/// The number of the published list, by openssl.
fn shown_number(place: &Place) -> u64 {
    let read = openssl_reads(&list(place, "windows-ca-1"), &["-crlnumber"]);
    let hex = read.trim().trim_start_matches("crlNumber=0x").trim_start_matches("crlNumber=");
    u64::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("{read}"))
}

#[test]
fn a_list_that_is_killed_at_any_call_leaves_its_number_used() {
    let scene = Scene::new();
    scene.template.keyctl(&["revoke", "windows/1", "--reason", "superseded", "--yes"]).ok();
    go_through(&scene, &["crl", "windows-ca", "--now"], |place, at| {
        whole(place, at);
        let read = openssl_reads(&list(place, "windows-ca-1"), &["-text"]);
        assert_eq!(read.matches("Serial Number: ").count(), 1, "call {at}: {read}");
        assert!(shown_number(place) >= 2, "call {at}");
    });
}

#[test]
fn an_openpgp_revocation_that_is_killed_at_any_call_is_in_the_keyring_after_the_next_command() {
    let scene = Scene::new();
    go_through(&scene, &["revoke", "apt/1", "--reason", "keyCompromise", "--yes"], |place, at| {
        place.keyctl(&["recover"]).ok();
        place.keyctl(&["audit", "log"]).ok();
        nothing_is_left(place);
        let listed = tool("gpg").args(["--show-keys", "--with-colons"]).arg(keyring(place)).output().expect("gpg runs");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("\nsub:r:"), "call {at}: {listed}");
        assert_eq!(state(place, "apt/1")["revocation"]["published"], Value::Bool(true), "call {at}");
    });
}

#[test]
fn a_compromise_that_is_killed_at_any_call_is_finished_by_saying_it_again() {
    let scene = Scene::new();
    let args = ["compromise", "windows/1", "--incident", "INC-1", "--yes"];
    go_through_every(&scene, 50, &args, |place, at| {
        place.keyctl(&["recover"]).ok();
        place.keyctl(&["audit", "log"]).ok();
        nothing_is_left(place);
        let states =
            "SELECT group_concat(state) FROM (SELECT state FROM generations WHERE key = 'windows' ORDER BY number)";
        assert_eq!(place.sql(states), "revoked,active", "call {at}: one successor, and no more");
        let numbers = burned(place, "windows-ca/1");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "call {at}: {numbers:?}");
        let read = openssl_reads(&list(place, "windows-ca-1"), &["-text"]);
        assert_eq!(read.matches("Serial Number: ").count(), 1, "call {at}: {read}");
        let count = |entry: &str| place.entries().iter().filter(|one| one["type"] == entry).count();
        assert_eq!(count("KEY_COMPROMISED"), 1, "call {at}: told once");
        assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0", "call {at}");
        // The key goes on.
        place.copy(&crate::support::real_pe_files()[0], "later.exe");
        place.keyctl(&["sign", "later.exe"]).ok().says("windows/2");
    });
}
