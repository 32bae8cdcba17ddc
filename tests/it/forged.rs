//! Attacks by whoever holds the disk (governance §15): what the machine remembers is changed, in tables, in leaves, in
//! heads, and nothing that is decided rests on it.

use crate::support::{Place, real_pe_files};
use crate::team::{APPROVAL, Team};
use keyctl::clock::Clock;
use keyctl::ledger::{Ledger, NewEntry};
use serde_json::{Value, json};
use std::path::PathBuf;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";
const ERIN: &str = "erin@example.com";

fn sandbox() -> Place {
    let place = Place::with_sandbox();
    for name in ["a.exe", "b.exe"] {
        place.copy(&real_pe_files()[3], name);
    }
    place
}

/// The approval that carol needs for a key, with the signature of whoever `alice` is according to her.
fn asks(team: &Team) -> PathBuf {
    let request = team.asks(CAROL, &["keygen", "root"]);
    team.sign(ALICE, APPROVAL, &request);
    team.sign(BOB, APPROVAL, &request);
    request
}

/// Appends entries as the program itself would, without asking its gate: leaves, nodes and tables all fit.
fn forge(place: &Place, entries: impl Fn(u64) -> Vec<(&'static str, Value)>) {
    let mut ledger = Ledger::open(&place.workspace().join("ledger.db"), Clock::system()).expect("opened");
    let mut writer = ledger.writer().expect("sound until now");
    let first = writer.reader().size().expect("a size");
    for (entry_type, body) in entries(first) {
        let actor = serde_json::from_value(json!({ "email": BOB, "assurance": "proven" })).expect("an actor");
        let entry_type = entry_type.parse().expect("a type");
        let correlation_id = "c-forged".parse().expect("an id");
        writer.append(NewEntry { entry_type, actor, correlation_id, body }).expect("appended");
    }
    writer.commit().expect("committed");
}

/// An intent by nobody's leave, and its outcome.
fn act(
    first: u64,
    operation: &str,
    entry_type: &'static str,
    object: &str,
    params: &Value,
) -> Vec<(&'static str, Value)> {
    let actor = json!({ "email": BOB, "assurance": "proven" });
    let request = json!({
        "request_id": "r-forged", "correlation_id": "c-forged", "operation": operation, "object": object,
        "actor": actor, "params": params, "signatures": [], "approvals": [],
    });
    let intent = json!({ "phase": "intent", "process": "00000000-0000-4000-8000-000000000000", "request": request, "gates": [] });
    let outcome = json!({ "phase": "outcome", "intent": first, "result": "ok", "done": {} });
    vec![(entry_type, intent), (entry_type, outcome)]
}

#[test]
fn db_editor_a_roster_swapped_for_a_second_decides_nothing() {
    let team = Team::founded();
    let place = &team.place;
    let request = team.asks(CAROL, &["keygen", "root"]);
    // Carol makes a key that is to pass for Alice's, in the table and in the file beside it.
    std::fs::rename(team.key(ALICE), place.path("true.key")).expect("moved");
    let true_line = team.line(ALICE);
    std::fs::remove_file(place.path(format!("{ALICE}.key.pub"))).expect("removed");
    team.make_key(ALICE, "ed25519");
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let (old, new) = (words(&true_line), words(&team.line(ALICE)));
    team.sign(ALICE, APPROVAL, &request);
    team.sign(BOB, APPROVAL, &request);
    let roster = place.workspace().join("roster.toml");
    let before = std::fs::read_to_string(&roster).expect("a roster");
    std::fs::write(&roster, before.replace(&old, &new)).expect("written");
    place.sql(&format!("UPDATE rosters SET doc = replace(doc, '{old}', '{new}')"));

    team.run(&request).fails(4, "tables_changed").says("keyctl audit log");
    assert_eq!(place.sql("SELECT count(*) FROM requests"), "0");

    place.sql(&format!("UPDATE rosters SET doc = replace(doc, '{new}', '{old}')"));
    std::fs::write(&roster, before).expect("written");
    team.run(&request).exits(5).says("nobody's in the roster");
    team.anyone(&["audit", "log"]).ok();
}

#[test]
fn db_editor_an_environment_changed_for_a_second_waives_nobody() {
    let team = Team::founded();
    let change = |from: &str, to: &str| {
        let (from, to) = (format!("\"environment\":\"{from}\""), format!("\"environment\":\"{to}\""));
        team.place.sql(&format!("UPDATE genesis SET doc = replace(doc, '{from}', '{to}')"));
        team.place.sql(&format!("UPDATE settings SET doc = replace(doc, '{from}', '{to}')"));
    };
    let file = team.place.workspace().join("keyctl.toml");
    let before = std::fs::read_to_string(&file).expect("settings");
    std::fs::write(&file, before.replace("environment = \"staging\"", "environment = \"sandbox\"")).expect("written");
    change("staging", "sandbox");
    team.keyctl(CAROL, &["keygen", "root"]).fails(4, "tables_changed");
    change("sandbox", "staging");
    std::fs::write(&file, before).expect("written");
    team.keyctl(CAROL, &["keygen", "root"]).fails(5, "approval_needed");
}

#[test]
fn db_editor_a_suspended_or_revoked_key_is_not_made_whole_by_a_table() {
    let place = sandbox();
    place.keyctl(&["suspend", "windows", "--because", "lost", "--yes"]).ok();
    let row = place.sql("SELECT quote(key), seq, quote(reason) FROM suspensions").replace('|', ", ");
    place.sql("DELETE FROM suspensions");
    place.keyctl(&["sign", "a.exe"]).fails(4, "tables_changed");
    place.sql(&format!("INSERT INTO suspensions VALUES ({row})"));
    place.keyctl(&["sign", "a.exe"]).exits(4).says("suspended");

    let place = sandbox();
    place.keyctl(&["revoke", "windows/1", "--reason", "superseded", "--yes"]).ok();
    let doc = place.sql("SELECT quote(doc) FROM generations WHERE key = 'windows'");
    place
        .sql("UPDATE generations SET state = 'active', doc = json_set(doc, '$.state', 'active') WHERE key = 'windows'");
    place.keyctl(&["sign", "--key", "windows", "a.exe"]).fails(4, "tables_changed");
    place.sql(&format!("UPDATE generations SET state = 'revoked', doc = {doc} WHERE key = 'windows'"));
    place.keyctl(&["sign", "--key", "windows", "a.exe"]).exits(4);
    place.keyctl(&["audit", "log"]).ok();
}

/// Opens intents to sign in the table again, as if nobody had closed them.
pub fn reopen_signatures(place: &Place) {
    place.sql(
        "UPDATE intents SET outcome = NULL, result = NULL, request =
         (SELECT json_extract(CAST(leaf AS TEXT), '$.body.request') FROM entries WHERE entries.seq = intents.seq)
         WHERE type = 'PACKAGE_SIGNED'",
    );
}

#[test]
fn db_editor_a_signature_opened_again_in_the_table_is_not_closed_twice() {
    let place = sandbox();
    let unsigned = std::fs::read(place.path("a.exe")).expect("readable");
    place.keyctl(&["sign", "a.exe"]).ok();
    let signed = std::fs::read(place.path("a.exe")).expect("readable");
    let closed = place.sql("SELECT seq, outcome FROM intents WHERE type = 'PACKAGE_SIGNED'");
    let (intent, outcome) = closed.split_once('|').expect("a row");
    let before = place.entries();
    let twice = format!("entry {intent} began has its outcome in entry {outcome}");
    reopen_signatures(&place);
    // Whether its file carries the signature, or nothing is left of it.
    for bytes in [&signed, &unsigned] {
        std::fs::write(place.path("a.exe"), bytes).expect("written");
        place.keyctl(&["recover"]).fails(4, "tables_changed").says(&twice);
        assert_eq!(place.entries(), before, "nothing was written");
    }
    place.keyctl(&["audit", "log"]).exits(6);
    place.sql(&format!("UPDATE intents SET outcome = {outcome}, result = 'ok', request = NULL WHERE seq = {intent}"));
    place.keyctl(&["recover"]).ok();
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn replayed_approval_a_consumed_request_is_not_forgotten() {
    let team = Team::founded();
    let request = asks(&team);
    team.run(&request).ok();
    team.place.sql("DELETE FROM request_steps");
    team.run(&request).fails(4, "tables_changed");
    team.place.sql("DELETE FROM requests");
    team.run(&request).fails(4, "tables_changed");
}

#[test]
fn db_editor_leaves_nodes_and_tables_forged_together_are_never_checkpointed() {
    let team = Team::founded();
    let place = &team.place;
    team.keyctl(ALICE, &["roster", "suspend", ERIN, "--because", "left", "--yes"]).ok();
    let head = std::fs::read(place.published("checkpoint")).expect("a head");
    let params = json!({ "generation": "ledger/1", "email": ERIN, "reason": "back" });
    forge(place, |first| act(first, "restore-person", "PERSON_RESTORED", ERIN, &params));
    assert_eq!(place.sql("SELECT count(*) FROM roster_suspensions"), "0");

    team.keyctl(CAROL, &["keygen", "root"]).fails(4, "tail_unproven").says("by nobody's leave");
    team.keyctl(ALICE, &["roster", "suspend", DAN, "--because", "left", "--yes"]).fails(4, "tail_unproven");
    assert_eq!(std::fs::read(place.published("checkpoint")).expect("a head"), head, "nothing was signed");
    let found = team.anyone(&["audit", "log"]).exits(6);
    assert!(found.json().iter().any(|row| row["rule"] == "entry_unproven"), "{}", found.stdout);
}

#[test]
fn db_editor_a_forged_signature_is_not_laundered_by_an_honest_one() {
    let place = sandbox();
    place.keyctl(&["sign", "a.exe"]).ok();
    let entries = place.entries();
    let signed = entries.iter().find(|entry| entry["type"] == "PACKAGE_SIGNED").expect("signed");
    let mut params = signed["body"]["request"]["params"].clone();
    let object = signed["body"]["request"]["object"].as_str().expect("a hash").to_owned();
    params["artifact_id"] = "00000000-0000-4000-8000-000000000009".into();
    place.keyctl(&["suspend", "windows", "--because", "lost", "--yes"]).ok();
    let head = std::fs::read(place.published("checkpoint")).expect("a head");
    let hash_after = "11".repeat(32);
    forge(&place, |first| {
        let mut both = act(first, "sign", "PACKAGE_SIGNED", &object, &params);
        both[1].1["done"] = json!({ "hash_after": hash_after });
        both
    });
    place.keyctl(&["adopt", "--yes"]);
    place.keyctl(&["keygen", "windows", "--yes"]).fails(4, "tail_unproven").says("is suspended");
    assert_eq!(std::fs::read(place.published("checkpoint")).expect("a head"), head);
    place.keyctl(&["audit", "log"]).exits(6).says("entry_unproven");
}

#[test]
fn whole_disk_rollback_any_one_head_beside_the_ledger_stops_it() {
    let place = sandbox();
    let (db, anchors) = (place.workspace().join("ledger.db"), place.path("state/keyctl/anchors"));
    place.keyctl(&["sign", "a.exe"]).ok();
    let pin = std::fs::read_dir(&anchors).expect("pins").map(|entry| entry.expect("a pin").path());
    let pin = pin.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "json")).expect("a pin");
    let earlier = (std::fs::read(&db).expect("a ledger"), std::fs::read(&pin).expect("a pin"));
    place.keyctl(&["sign", "b.exe"]).ok();
    let good = (std::fs::read(&db).expect("a ledger"), std::fs::read(&pin).expect("a pin"));
    let restore = |(ledger, known): &(Vec<u8>, Vec<u8>)| {
        std::fs::write(&db, ledger).expect("written");
        std::fs::write(&pin, known).expect("written");
    };

    // The ledger and this user's memory of it are rolled back together.
    restore(&earlier);
    place.copy(&real_pe_files()[3], "c.exe");
    let published = place.published("checkpoint");
    let head = std::fs::read(&published).expect("a head");
    place.keyctl(&["sign", "c.exe"]).fails(4, "ledger_rolled_back").says("published/checkpoint");
    assert_eq!(std::fs::read(&published).expect("a head"), head, "it was not overwritten");
    place.keyctl(&["audit", "log"]).exits(6).says("anchor_ahead");
    std::fs::remove_file(&published).expect("removed");
    place.keyctl(&["sign", "c.exe"]).fails(4, "ledger_rolled_back").says("evidence/");
    assert!(!published.exists(), "nothing was published");

    // What is no head does no harm, and is told.
    restore(&good);
    std::fs::write(&published, b"not a note at all").expect("written");
    place.keyctl(&["sign", "c.exe"]).ok().says("is no head of this ledger");
    assert_eq!(
        std::fs::read(&published).expect("a head").split(|b| *b == b'\n').next(),
        head.split(|b| *b == b'\n').next()
    );
    place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn clock_skew_far_ahead_is_refused_and_what_restricts_works_under_any_clock() {
    let team = Team::founded();
    let place = &team.place;
    let key = |email: &str| team.key(email).to_str().expect("UTF-8").to_owned();
    let at = |days: i64, email: &str, args: &[&str]| {
        let identity = key(email);
        let all = [&["--workspace", ".keyctl-sandbox", "--identity", &identity], args].concat();
        place.keyctl_at(Clock::system().now() + chrono::TimeDelta::days(days), &all)
    };
    let request = asks(&team);
    let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id");
    let entries = place.entries().len();
    at(4000, CAROL, &["run", id]).fails(4, "clock_ahead").says("touch ledger.db");
    at(4000, CAROL, &["keygen", "root"]).fails(4, "clock_ahead");
    assert_eq!(place.entries().len(), entries, "nothing was written");

    at(4000, ALICE, &["roster", "suspend", ERIN, "--because", "left", "--yes"]).ok();
    let year = |entry: &Value| entry["time"].as_str().expect("a time")[..4].to_owned();
    assert!(place.entries().iter().all(|entry| year(entry) == year(&place.entries()[0])), "the clock is nobody's");
    team.anyone(&["audit", "log"]).ok();

    // An entry under a clock that was far ahead is there already, as an earlier version would have written it.
    at(-1, ALICE, &["roster", "suspend", DAN, "--because", "left", "--yes"]).exits(4).says("PolicySatisfiable");
    at(-1, CAROL, &["keygen", "root"]).fails(4, "clock_behind");
    team.anyone(&["audit", "log"]).ok();
}
