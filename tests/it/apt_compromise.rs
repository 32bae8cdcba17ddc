//! An APT key that others may have, where people have to agree: security updates go on at once.

use crate::apt::{FTPARCHIVE, apt_update, archive, gpgv, keyring, suite, text};
use crate::support::Ran;
use crate::team::{APPROVAL, Team, typed};
use serde_json::Value;
use std::path::{Path, PathBuf};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// Asks, has Alice agree, and does it.
#[track_caller]
fn agreed(team: &Team, asks: &str, args: &[&str]) -> Ran {
    let request = team.asks(asks, args);
    team.sign(ALICE, APPROVAL, &request);
    team.anyone(&["--yes", "run", request.file_stem().and_then(|stem| stem.to_str()).expect("an id")])
}

/// A workspace with an APT key, and an archive that it signed.
fn published() -> (Team, PathBuf) {
    let team = Team::founded();
    agreed(&team, BOB, &["keygen", "apt-root"]).ok();
    agreed(&team, CAROL, &["keygen", "apt"]).ok();
    let archive = archive(&team.place, "a", FTPARCHIVE);
    team.keyctl(CAROL, &["sign", text(&archive)]).ok();
    (team, archive)
}

/// Who has the new keyring gets updates; who has the old one only is not told that a stranger's are good.
#[track_caller]
fn clients_take_it(team: &Team, archive: &Path, old: &Path) {
    let signed = [suite(archive).join("InRelease")];
    team.keyctl(CAROL, &["sign", text(archive)]).ok();
    let status = gpgv(&keyring(&team.place), &signed);
    assert!(status.contains("GOODSIG"), "{status}");
    apt_update(&team.place, archive, &keyring(&team.place)).expect("apt accepts it");
    let status = gpgv(old, &signed);
    assert!(status.contains("NO_PUBKEY"), "{status}");
    team.keyctl(CAROL, &["status", "--check", "apt"]).ok().says("judged when it took over");
}

fn before(team: &Team) -> PathBuf {
    let old = team.place.path("before.pgp");
    std::fs::copy(keyring(&team.place), &old).expect("copied");
    old
}

fn row<'a>(rows: &'a [Value], step: &str) -> &'a Value {
    rows.iter().find(|row| row["step"] == step).unwrap_or_else(|| panic!("no {step} in {rows:?}"))
}

/// Every command of a checklist runs as it stands, or asks people, who agree.
fn follow(team: &Team, rows: &[Value]) {
    for command in rows.iter().filter_map(|row| row["command"].as_str()) {
        let ran = typed(team, CAROL, command);
        assert!([0, 5].contains(&ran.code), "{command}: {} {}", ran.code, ran.stderr);
        if let Some(asked) = ran.json().into_iter().find(|row| row["request"].is_string()) {
            let request = PathBuf::from(asked["request"].as_str().expect("a path"));
            team.sign(ALICE, APPROVAL, &request);
            typed(team, CAROL, &format!("keyctl run {}", asked["request_id"].as_str().expect("an id"))).ok();
        }
    }
}

#[test]
fn the_successor_of_a_compromised_apt_key_signs_at_once_and_clients_are_thought_of() {
    let (team, archive) = published();
    let old = before(&team);
    let rows = agreed(&team, BOB, &["--because", "leaked", "compromise", "apt/1", "--incident", "INC-1"]).ok().json();
    for step in ["suspend", "revoke", "rotate", "go on"] {
        assert_eq!(row(&rows, step)["done"], "yes", "{rows:?}");
    }
    let clients = row(&rows, "clients");
    let detail = clients["detail"].as_str().expect("words");
    for words in ["apt/2", "published/apt/apt.pgp", "/usr/share/keyrings/apt-keyring.pgp", "refuse"] {
        assert!(detail.contains(words), "{words} is not in {detail}");
    }
    clients_take_it(&team, &archive, &old);
    follow(&team, &rows);
    team.anyone(&["audit", "log"]).ok();
}

#[test]
fn after_a_plain_revocation_too_nobody_waits_and_break_glass_is_no_longer_way() {
    for break_glass in [false, true] {
        let (team, archive) = published();
        let old = before(&team);
        agreed(&team, BOB, &["--because", "leaked", "revoke", "apt/1", "--reason", "keyCompromise"]).ok();
        let incident: &[&str] =
            if break_glass { &["--break-glass", "INC-1", "--justification", "updates stop"] } else { &[] };
        let (asks, rotate) = if break_glass { (BOB, incident) } else { (CAROL, incident) };
        let ran = agreed(&team, asks, &[&["rotate", "apt"], rotate].concat()).ok();
        ran.says("clients").says("/usr/share/keyrings/apt-keyring.pgp");
        clients_take_it(&team, &archive, &old);
        team.anyone(&["audit", "log"]).ok();
    }
}

#[test]
fn under_a_compromised_primary_key_the_signing_key_is_replaced_at_once_too() {
    let (team, archive) = published();
    let old = before(&team);
    let declared = ["--because", "leaked", "compromise", "apt-root/1", "--incident", "INC-1"];
    let rows = agreed(&team, BOB, &declared).ok().json();
    assert_eq!(row(&rows, "replace")["command"], "keyctl rotate apt --now", "{rows:?}");
    follow(&team, &rows);
    clients_take_it(&team, &archive, &old);
    team.anyone(&["audit", "log"]).ok();
}
