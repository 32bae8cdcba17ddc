//! The runbook of a key compromise, through the binary.

use crate::apt::{FTPARCHIVE, all_accept, archive, gpgv, keyring, suite};
use crate::revoke::served::Web;
use crate::revoke::{list, openssl_reads, pull, state};
use crate::support::{Place, Ran, real_pe_files};
use crate::team::{APPROVAL, PEOPLE, ROSTER, Team, staging};
use serde_json::Value;
use std::path::PathBuf;

/// The checklist: steps with what is ticked off.
fn ticks(rows: &[Value]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row["step"].as_str().unwrap(), row["done"].as_str().unwrap())).collect()
}

fn compromise(place: &Place, generation: &str, more: &[&str]) -> Ran {
    place.keyctl(&[&["compromise", generation, "--incident", "INC-1", "--yes"], more].concat())
}

fn entries(place: &Place) -> String {
    place.sql("SELECT count(*) FROM entries")
}

const ALL: [&str; 7] = ["suspend", "rotate", "revoke", "mark", "evidence", "go on", "tell"];
/// A CA and an APT key are revoked before their successors are made.
const OF_A_CA: [&str; 7] = ["suspend", "revoke", "rotate", "mark", "evidence", "go on", "tell"];

/// No fragment is missing, and each of them holds.
fn evidence_is_whole(place: &Place) {
    let fragments = || {
        let files = std::fs::read_dir(place.workspace().join("evidence")).expect("evidence");
        files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|it| it == "json"))
    };
    let count = fragments().count();
    assert!(count > 0);
    place.keyctl(&["recover"]).ok();
    assert_eq!(fragments().count(), count, "recover had some to write");
    for fragment in fragments() {
        place.keyctl(&["verify", fragment.to_str().expect("UTF-8")]).ok();
    }
}

#[test]
fn one_command_replaces_revokes_and_tells() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let list = compromise(&place, "windows/1", &[]).ok().json();
    let mut wanted = ALL.map(|step| (step, "yes")).to_vec();
    wanted.push(("sign again", "you"));
    assert_eq!(ticks(&list), wanted);
    assert_eq!(
        (&state(&place, "windows/1")["state"], &state(&place, "windows/2")["state"]),
        (&"revoked".into(), &"active".into())
    );
    evidence_is_whole(&place);
    // The file that the old key signed has to be signed again; the new key can.
    let duties = place.keyctl(&["follow-up"]).ok().json();
    let kinds: Vec<_> = duties.iter().map(|duty| duty["follow_up"].as_str().unwrap().split('/').next_back()).collect();
    assert_eq!(kinds, [Some("review"), Some("cab-report")]);
    place.keyctl(&["sign", "--re-sign", "app.exe"]).ok();
    place.keyctl(&["audit", "log"]).ok();
    // Once more: everything is ticked off, nothing is asked, and nothing is done again.
    let before = entries(&place);
    let again = place.keyctl(&["compromise", "windows/1", "--incident", "INC-1"]).ok().json();
    assert_eq!(ticks(&again), ALL.map(|step| (step, "yes")));
    assert_eq!(entries(&place), before);
}

#[test]
fn a_dry_run_and_a_missing_confirmation_change_nothing() {
    let place = Place::with_sandbox();
    let before = entries(&place);
    place.keyctl(&["--dry-run", "compromise", "windows/1", "--incident", "INC-1"]).ok().says("re-sign required");
    place.keyctl(&["compromise", "windows/1", "--incident", "INC-1"]).fails(2, "not_confirmed");
    place.keyctl(&["compromise", "windows/1", "--incident", " ", "--yes"]).exits(2).says("plain text");
    compromise(&place, "windows/7", &[]).fails(2, "unknown_generation");
    compromise(&place, "windows/1", &["--since", "2020-01-01T00:00:00Z"]).fails(2, "bad_time");
    compromise(&place, "windows/1", &["--reference", "ticket"]).fails(2, "reference_not_wanted");
    assert_eq!(entries(&place), before);
}

#[test]
fn a_ca_is_replaced_and_the_keys_below_it_are_named() {
    let place = Place::with_sandbox();
    place.copy(&real_pe_files()[0], "app.exe");
    place.keyctl(&["sign", "app.exe"]).ok();
    let rows = compromise(&place, "windows-ca/1", &[]).ok().json();
    let mut wanted = OF_A_CA.map(|step| (step, "yes")).to_vec();
    wanted.extend([("replace", "you"), ("sign again", "you")]);
    assert_eq!(ticks(&rows), wanted);
    assert_eq!(rows[7]["command"], "keyctl rotate windows --now");
    assert!(openssl_reads(&list(&place, "root-1"), &["-text"]).contains("CA Compromise"));
    assert_eq!(state(&place, "windows-ca/2")["state"], "active");
    place.keyctl(&["verify", "app.exe"]).exits(6).says("cACompromise");
    place.copy(&real_pe_files()[0], "later.exe");
    place.keyctl(&["sign", "later.exe"]).exits(4);
    // What the checklist says is what helps.
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    place.keyctl(&["sign", "later.exe"]).ok();
    place.keyctl(&["verify", "later.exe"]).ok();
    let again = compromise(&place, "windows-ca/1", &[]).ok().json();
    assert!(again.iter().all(|row| row["step"] != "replace"), "{again:?}");
    evidence_is_whole(&place);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn nothing_vouches_for_a_compromised_root_and_it_vouches_for_nothing() {
    let place = Place::with_sandbox();
    let rows = compromise(&place, "root/1", &[]).ok().json();
    assert_eq!(ticks(&rows)[..7], OF_A_CA.map(|step| (step, "yes")));
    assert_eq!(state(&place, "root/2")["state"], "active");
    assert_eq!(place.sql("SELECT count(*) FROM intents WHERE type = 'ROOTS_LINKED'"), "0");
    // From the top down, in the order of the checklist.
    let commands: Vec<_> = rows.iter().filter(|row| row["step"] == "replace").map(|row| &row["command"]).collect();
    assert_eq!(commands, ["keyctl rotate windows-ca --now", "keyctl rotate windows --now"]);
    place.keyctl(&["rotate", "windows-ca", "--now"]).ok();
    place.keyctl(&["rotate", "windows", "--now"]).ok();
    place.copy(&real_pe_files()[0], "later.exe");
    place.keyctl(&["sign", "later.exe"]).ok();
    place.keyctl(&["verify", "later.exe"]).ok();
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn an_apt_key_is_out_of_the_keyring_that_clients_fetch() {
    let place = Place::with_sandbox();
    let archive = archive(&place, "a", FTPARCHIVE);
    place.keyctl(&["sign", archive.to_str().unwrap()]).ok();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let rows = compromise(&place, "apt/1", &[]).ok().json();
    assert_eq!(ticks(&rows)[..7], OF_A_CA.map(|step| (step, "yes")));
    let status = gpgv(&keyring(&place), &[suite(&archive).join("InRelease")]);
    assert!(status.contains("REVKEYSIG") && !status.contains("GOODSIG"), "{status}");
    place.keyctl(&["sign", archive.to_str().unwrap()]).ok();
    all_accept(&place, &archive, &keyring(&place), 1);
}

#[test]
fn a_token_that_is_away_holds_up_its_own_steps_only() {
    let place = Place::with_sandbox();
    let back = pull(&place, "issuing");
    let ran = compromise(&place, "windows/1", &[]).exits(3);
    let rows = ran.json();
    let wanted = [
        ("suspend", "yes"),
        ("rotate", "NO"),
        ("revoke", "NO"),
        ("mark", "yes"),
        ("evidence", "yes"),
        ("go on", "yes"),
        ("tell", "yes"),
    ];
    assert_eq!(ticks(&rows), wanted);
    ran.says("keyctl compromise windows/1 --incident=INC-1");
    assert_eq!(state(&place, "windows/1")["state"], "revoked");
    back();
    // Nobody has to say it twice.
    let rows = place.keyctl(&["compromise", "windows/1", "--incident", "INC-1"]).ok().json();
    assert_eq!(ticks(&rows), ALL.map(|step| (step, "yes")));
    let shown = state(&place, "windows/1");
    assert_eq!(shown["revocation"]["published"], true);
    place.copy(&real_pe_files()[0], "later.exe");
    place.keyctl(&["sign", "later.exe"]).ok();
    evidence_is_whole(&place);
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn a_revocation_that_came_first_and_a_suspension_too_are_taken_up() {
    let place = Place::with_sandbox();
    place.keyctl(&["--because", "it looks bad", "suspend", "windows"]).ok();
    place.keyctl(&["revoke", "windows/1", "--reason", "keyCompromise", "--yes"]).ok();
    let rows = place.keyctl(&["compromise", "windows/1", "--incident", "INC-1"]).ok().json();
    assert_eq!(ticks(&rows), ALL.map(|step| (step, "yes")));
    place.copy(&real_pe_files()[0], "later.exe");
    place.keyctl(&["sign", "later.exe"]).ok();
}

#[test]
fn an_external_issuer_is_left_to_people() {
    let tokens = crate::import::with_external_certificate();
    let rows = tokens.keyctl(&["compromise", "windows/1", "--incident", "INC-1", "--yes"]).exits(5).json();
    let row = |step: &str| rows.iter().find(|row| row["step"] == step).unwrap();
    // The successor's certificate comes from outside as well.
    assert_eq!(row("rotate")["error"]["code"], "certificate_needed");
    assert_eq!((&row("revoke")["done"], &row("issuer")["done"]), (&"yes".into(), &"you".into()));
    assert_eq!(tokens.place.sql("SELECT state FROM generations WHERE key = 'windows' AND number = 1"), "revoked");
}

#[test]
fn outside_a_sandbox_two_people_agree_once_to_all_of_it() {
    const ALICE: &str = "alice@example.com";
    const BOB: &str = "bob@example.com";
    let web = Web::start();
    let team = Team::new();
    let settings = staging().replace("http://pki.staging.example", &web.url).replace("[retry]\n", "")
        + "\n[retry]\nmax_attempts = 2\nbase_seconds = 1\ntimeout_seconds = 2\n";
    std::fs::write(team.place.path("keyctl.toml"), settings).unwrap();
    let request = team.begin();
    for (email, ..) in PEOPLE {
        team.sign(email, ROSTER, &request);
    }
    team.init(ALICE).ok();
    let agreed = |args: &[&str]| {
        let row = team.keyctl(BOB, args).fails(5, "approval_needed").one();
        team.sign(ALICE, APPROVAL, &PathBuf::from(row["request"].as_str().unwrap()));
        team.keyctl(BOB, &["--yes", "run", row["request_id"].as_str().unwrap()])
    };
    for key in ["root", "windows-ca", "windows"] {
        agreed(&["keygen", key]).ok();
    }
    team.anyone(&["compromise", "windows/1", "--incident", "INC-1", "--yes"]).fails(4, "identity_needed");
    let rows = agreed(&["--because", "leaked", "compromise", "windows/1", "--incident", "INC-1"]).exits(3).json();
    let wanted = ALL.map(|step| (step, if step == "revoke" { "NO" } else { "yes" }));
    assert_eq!(ticks(&rows), wanted);
    assert_eq!(rows[2]["error"]["code"], "crl_not_served");
    let shown = team.anyone(&["status"]).ok().json();
    let state = |id: &str| shown.iter().find(|row| row["generation"] == id).unwrap()["state"].clone();
    assert_eq!((state("windows/1"), state("windows/2")), ("revoked".into(), "active".into()));
    // Nothing is left to ask anybody for, but somebody has to serve the list.
    let again = team.keyctl(BOB, &["compromise", "windows/1", "--incident", "INC-1"]).exits(3).json();
    assert_eq!(ticks(&again), wanted);
    web.serve("/windows.crl", std::fs::read(team.place.published("crl/windows-ca-1.crl")).unwrap());
    let again = team.keyctl(BOB, &["compromise", "windows/1", "--incident", "INC-1"]).ok().json();
    assert_eq!(ticks(&again), ALL.map(|step| (step, "yes")));
    team.anyone(&["audit", "log"]).ok();
}
