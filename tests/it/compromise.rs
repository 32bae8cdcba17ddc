//! The runbook of a key compromise, through the binary.

use crate::support::{Place, real_pe_files};
use serde_json::Value;

fn rows(place: &Place, args: &[&str]) -> Vec<Value> {
    place.keyctl(args).ok().json()
}

#[test]
fn one_command_replaces_revokes_and_tells() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let compromise = ["compromise", "windows/1", "--incident", "INC-1", "--yes"];
    let list = rows(&place, &compromise);
    let steps: Vec<_> = list.iter().map(|row| (row["step"].as_str().unwrap(), row["done"].as_str().unwrap())).collect();
    let wanted = ["suspend", "rotate", "revoke", "mark", "go on", "tell"];
    assert_eq!(steps, wanted.map(|step| (step, "yes")));
    let status = rows(&place, &["status"]);
    let state = |id: &str| status.iter().find(|row| row["generation"] == id).unwrap()["state"].clone();
    assert_eq!((state("windows/1"), state("windows/2")), ("revoked".into(), "active".into()));
    // The file that the old key signed has to be signed again; the new key can.
    let duties = rows(&place, &["follow-up"]);
    let kinds: Vec<_> = duties.iter().map(|duty| duty["follow_up"].as_str().unwrap().split('/').next_back()).collect();
    assert_eq!(kinds, [Some("review"), Some("cab-report")]);
    place.keyctl(&["sign", "--re-sign", "app.exe"]).ok();
    place.keyctl(&["audit", "log"]).ok();
    // Once more: everything is ticked off, and nothing is done again.
    let entries = place.keyctl(&["audit", "log"]).ok().one()["entries"].clone();
    let again = rows(&place, &compromise);
    assert!(again.iter().all(|row| row["done"] == "yes"), "{again:?}");
    assert_eq!(place.keyctl(&["audit", "log"]).ok().one()["entries"], entries);
}

#[test]
fn a_dry_run_and_a_missing_confirmation_change_nothing() {
    let place = Place::with_sandbox();
    let entries = place.keyctl(&["audit", "log"]).ok().one()["entries"].clone();
    place.keyctl(&["--dry-run", "compromise", "windows/1", "--incident", "INC-1"]).ok().says("re-sign required");
    place.keyctl(&["compromise", "windows/1", "--incident", "INC-1"]).fails(2, "not_confirmed");
    place.keyctl(&["compromise", "windows/7", "--incident", "INC-1", "--yes"]).fails(2, "unknown_generation");
    assert_eq!(place.keyctl(&["audit", "log"]).ok().one()["entries"], entries);
}
