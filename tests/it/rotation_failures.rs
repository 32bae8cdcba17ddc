//! Rotations that fail: the alert, its deadline, the old key, and the way on.

use crate::rotation::{are, steps};
use crate::support::{Place, real_pe_files};
use crate::tokens::{FROM_ENV, Tokens, hsm, p256_hierarchy, softhsm_module};
use serde_json::Value;
use std::path::Path;

/// One try only, so that nobody waits for a token that stays away.
fn impatient(workspace: &Path) {
    let path = workspace.join("keyctl.toml");
    let text = std::fs::read_to_string(&path).expect("keyctl.toml");
    std::fs::write(&path, format!("{text}\n[retry]\nmax_attempts = 1\n")).expect("written");
}

fn alerts(place: &Place) -> Vec<Value> {
    place.entries().into_iter().filter(|entry| entry["type"] == "ROTATION_FAILED").collect()
}

#[test]
fn a_token_that_is_taken_away_in_mid_rotation_leaves_the_old_key_signing_and_repeating_continues() {
    let place = Place::with_sandbox();
    impatient(&place.workspace());
    place.keyctl(&["keygen", "windows"]).ok();
    let (here, away) = (place.workspace().join("tokens/primary"), place.path("away"));
    std::fs::rename(&here, &away).expect("taken");
    let ran = place.keyctl(&["rotate", "windows"]);
    assert!([1, 2, 3].contains(&ran.code), "{}", ran.stderr);
    let ran = ran.says("primary").says("the rotation of windows failed");
    assert!(!ran.stderr.contains("bug"), "{}", ran.stderr);
    are(&place, "windows", &["active", "certified"]);
    let alert = alerts(&place).remove(0);
    assert_eq!(alert["body"]["key"], "windows");
    assert_eq!((&alert["body"]["active"], &alert["body"]["generation"]), (&"windows/1".into(), &"windows/2".into()));
    let time = |value: &Value| keyctl::clock::parse(value.as_str().expect("a time")).expect("RFC 3339");
    assert_eq!(time(&alert["body"]["deadline"]) - time(&alert["time"]), chrono::TimeDelta::hours(24));
    // Tried again in vain, the deadline stays the first one's.
    assert_ne!(place.keyctl(&["rotate", "windows"]).code, 0);
    assert_eq!(alerts(&place).len(), 1);
    std::fs::rename(&away, &here).expect("back");
    place.keyctl(&["status"]).ok().says("the rotation of windows failed").says("min left");
    place.keyctl(&["due", "--dry-run"]).exits(6).says("failed rotation");
    let gate = |place: &Place| {
        let rows = place.keyctl(&["status", "--check", "windows"]).ok().json();
        rows.into_iter().find(|row| row["gate"] == "SigningKeyRotationComplete").expect("the gate")
    };
    assert!(gate(&place)["input"].as_str().expect("words").contains("stops nothing in a sandbox"), "{}", gate(&place));
    place.copy(&real_pe_files()[3], "app.exe");
    assert_eq!(place.keyctl(&["sign", "app.exe"]).ok().one()["generation"], "windows/1");
    let row = place.keyctl(&["rotate", "windows"]).ok().one();
    assert_eq!((&row["generation"], steps(&row)), (&"windows/2".into(), vec!["test", "stage", "activate"]));
    are(&place, "windows", &["retiring", "active"]);
    let ran = place.keyctl(&["status"]).ok();
    assert!(!ran.stderr.contains("failed"), "a completed rotation closes it: {}", ran.stderr);
    assert_eq!(gate(&place)["input"], "no failed rotation");
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_that_is_away_from_the_beginning_is_asked_for_nothing() {
    let place = Place::with_sandbox();
    impatient(&place.workspace());
    let (here, away) = (place.workspace().join("tokens/primary"), place.path("away"));
    std::fs::rename(&here, &away).expect("taken");
    assert_ne!(place.keyctl(&["rotate", "windows", "--now"]).code, 0);
    assert_eq!(place.sql("SELECT count(*) FROM intents WHERE outcome IS NULL"), "0", "nothing was planned on it");
    are(&place, "windows", &["active"]);
    std::fs::rename(&away, &here).expect("back");
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    are(&place, "windows", &["retiring", "active"]);
}

#[test]
fn softhsm_is_taken_away_and_comes_back() {
    let labels = ["root", "issuing", "signing"];
    let tokens = Tokens::softhsm(&labels);
    let module = softhsm_module();
    let hsms = labels.map(|label| hsm(label, &module, FROM_ENV));
    tokens.init(&p256_hierarchy(&hsms, labels)).ok();
    impatient(&tokens.place.workspace());
    tokens.keyctl(&["keygen", "windows"]).ok();
    let (here, away) = (tokens.path("softhsm/tokens"), tokens.path("away"));
    std::fs::rename(&here, &away).expect("taken");
    std::fs::create_dir(&here).expect("empty");
    let ran = tokens.keyctl(&["rotate", "windows"]);
    assert!([3, 4].contains(&ran.code), "{} {}", ran.code, ran.stderr);
    std::fs::remove_dir(&here).expect("empty");
    std::fs::rename(&away, &here).expect("back");
    tokens.pe("app.exe");
    assert_eq!(tokens.keyctl(&["sign", "app.exe"]).ok().one()["generation"], "windows/1");
    let row = tokens.keyctl(&["rotate", "windows"]).ok().one();
    assert_eq!(steps(&row), ["test", "stage", "activate"]);
    are(&tokens.place, "windows", &["retiring", "active"]);
    let pairs = tokens.objects("signing").matches("Private Key Object").count();
    assert_eq!(pairs, 2, "one for each generation");
    tokens.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_token_that_lies_about_its_new_key_gets_it_quarantined() {
    let tokens = Tokens::lying(&["hsm"]);
    let module = crate::tokens::lying_module();
    tokens.init(&p256_hierarchy(&[hsm("hsm", module, FROM_ENV)], ["hsm"; 3])).ok();
    tokens.tell("extractable");
    let ran = tokens.keyctl(&["rotate", "windows", "--now"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    ran.says("quarantined").says("keyctl destroy windows/2");
    assert_eq!(alerts(&tokens.place).len(), 1);
    are(&tokens.place, "windows", &["active", "generated"]);
    tokens.tell("honest");
    tokens.pe("app.exe");
    assert_eq!(tokens.keyctl(&["sign", "app.exe"]).ok().one()["generation"], "windows/1");
    assert_eq!(tokens.keyctl(&["rotate", "windows"]).code, 4, "it stays quarantined");
    assert_eq!(alerts(&tokens.place).len(), 1);
}
