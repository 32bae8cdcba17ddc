//! What every command makes of a key in every state, as the tables in `src/keys/state.rs` say it.
//!
//! A sandbox is put into each state by a process that may write its ledger and sign its checkpoints (gates believe the
//! register then; only an audit would notice), it is copied for each cell, and the real command is run.

use crate::support::{Place, Ran, real_pe_files, tool};
use keyctl::clock::Clock;
use keyctl::ledger::NewEntry;
use keyctl::model::CorrelationId;
use keyctl::ui::{Output, Ui};
use keyctl::world::{Globals, World};
use std::collections::BTreeMap;
use std::process::Command;

/// The commands of a table, and what each state says to them.
type Table = (Vec<String>, BTreeMap<String, Vec<String>>);

/// The tables, by their first column's name: columns, then rows by state.
fn tables() -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    let mut name = String::new();
    for line in include_str!("../../src/keys/state.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.trim_end_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned());
        let first = cells.next().expect("a first cell");
        let rest: Vec<_> = cells.collect();
        if first.starts_with("a ") || first.starts_with("an ") {
            name.clone_from(&first);
            tables.insert(first, (rest, BTreeMap::new()));
        } else if let Some((_, rows)) = tables.get_mut(&name) {
            rows.insert(first, rest);
        }
    }
    tables
}

/// Has the register say that a generation is in this state, with what belongs to it.
fn put(place: &Place, key: &str, state: &str) {
    let generation = format!("{key}/1");
    let by_command: &[&str] = match state {
        "suspended" => &["--because", "a test", "suspend", key],
        "revoked" => &["--yes", "revoke", &generation, "--reason", "superseded"],
        _ => &[],
    };
    if !by_command.is_empty() {
        return drop(place.keyctl(by_command).ok());
    }
    let (state, more) = match state {
        "planned" => ("planned", "'$.identities', json('[]')"),
        "generated" => ("generated", "'$.identities[0].credential', NULL"),
        "quarantined" => ("active", "'$.quarantined', 'a test'"),
        other => (other, "'$.custody', 'bound'"),
    };
    let set = format!("json_set(doc, '$.state', '{state}', {more})");
    let doc = if state == "generated" {
        "json_remove(doc, '$.identities[0].credential')".to_owned()
    } else {
        "doc".to_owned()
    };
    let set =
        set.replace("json_set(doc,", &format!("json_set({doc},")).replace(", '$.identities[0].credential', NULL", "");
    if state == "planned" {
        // Its pair was never made.
        let field = "json_extract(doc, '$.identities[0].copies[0].cka_id')";
        let id = place.sql(&format!("SELECT {field} FROM generations WHERE key = '{key}' AND number = 1"));
        for token in ["primary", "issuing"] {
            let database = place.workspace().join("tokens").join(token).join("token.sql");
            // CKA_ID.
            let gone =
                format!("DELETE FROM objects WHERE id IN (SELECT id FROM objects WHERE attr = 258 AND val = x'{id}')");
            assert!(tool("sqlite3").arg(database).arg(gone).status().expect("sqlite3").success());
        }
    }
    let sql = format!("UPDATE generations SET state = '{state}', doc = {set} WHERE key = '{key}' AND number = 1");
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "life::tells_the_register", "--ignored"]).env("KEYCTL_TEST_SQL", sql);
    let output = place.as_if(command).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn tells_the_register() {
    let sql = std::env::var("KEYCTL_TEST_SQL").expect("run by the tests below");
    let correlation_id = CorrelationId::generate();
    let ui = Ui { output: Output::Json, quiet: true, verbose: false, correlation_id: correlation_id.clone() };
    let globals = Globals {
        workspace: Some(std::env::var_os("KEYCTL_WORKSPACE").expect("run by the tests below").into()),
        actor: None,
        identity: None,
        because: None,
        ticket: None,
        yes: false,
        correlation_id,
        dry_run: false,
        sessions: 1,
        clock: Clock::system(),
        ui,
    };
    let mut world = World::open(globals).expect("a sandbox");
    let actor = world.globals.actor();
    let mut writer = world.ledger.writer().expect("sound until now");
    writer.connection().execute_batch(&sql).expect("a statement");
    let entry_type = "LEDGER_BROUGHT_FORWARD".parse().expect("a type");
    let correlation_id = "the-register-is-told".parse().expect("an id");
    let body = serde_json::json!({});
    writer.append(NewEntry { entry_type, actor, correlation_id, body }).expect("appended");
    writer.commit().expect("committed");
    world.checkpoint().expect("signed");
}

fn state(place: &Place, key: &str, number: u32) -> String {
    place.sql(&format!("SELECT state FROM generations WHERE key = '{key}' AND number = {number}"))
}

/// What a run came to, in the words of the tables.
fn outcome(place: &Place, column: &str, key: &str, before: &str, ran: &Ran) -> String {
    if ran.code == 0 {
        let (after, next) = (state(place, key, 1), state(place, key, 2));
        let mut parts = Vec::new();
        if !next.is_empty() {
            parts.push(format!("next one {next}"));
        }
        if after != before {
            parts.push(format!("now {after}"));
        }
        let row = ran.stdout.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let result = row.and_then(|row| row["result"].as_str().map(str::to_owned));
        match column {
            "sign" if place.keyctl(&["verify", "app.exe"]).code == 0 => parts.push("signs".into()),
            "crl" => parts.extend(result.map(|result| format!("list {result}"))),
            "suspend" if is_suspended(place, key) => parts.push("suspended".into()),
            "revoke" if after == before && is_revoked_now(place, key) => parts.push("revoked as well".into()),
            _ => {}
        }
        return if parts.is_empty() { "nothing to do".into() } else { parts.join(", ") };
    }
    let errors = ran.stdout.lines().chain(ran.stderr.lines());
    let mut errors = errors.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let error = errors.find(|line| line["error"]["code"].is_string()).map(|line| line["error"].clone());
    let error = error.unwrap_or_else(|| panic!("no error in\n{}{}", ran.stdout, ran.stderr));
    let (code, message) = (error["code"].as_str().expect("a code"), error["message"].as_str().expect("words"));
    let word = match ran.code {
        2 => "no",
        4 => "refused",
        other => panic!("exit {other} in\n{}{}", ran.stdout, ran.stderr),
    };
    if code != "gate_failed" {
        return format!("{word}: {}", code.replace('_', " "));
    }
    let (_, gates) = message.split_once(": ").expect("gates");
    let names = gates.split("; ").filter_map(|gate| gate.split(' ').next());
    format!("{word} by {}", names.collect::<Vec<_>>().join(", "))
}

fn is_suspended(place: &Place, key: &str) -> bool {
    let ran = place.keyctl(&["--because", "a test", "suspend", key]);
    ran.code == 4 && ran.stderr.contains("Suspended")
}

/// Whether the ledger has a revocation of the generation that came with this run.
fn is_revoked_now(place: &Place, key: &str) -> bool {
    let newest = place
        .entries()
        .into_iter()
        .rfind(|entry| entry["type"] == "KEY_REVOKED" && entry["body"]["phase"] == "outcome");
    let at = newest.map(|entry| entry["correlation_id"].clone());
    let revoked = place.sql(&format!("SELECT count(*) FROM revocations WHERE generation = '{key}/1'"));
    revoked == "1" && at == Some(CORRELATION.into())
}

/// The correlation id of the run in question.
const CORRELATION: &str = "the-run-in-question";

/// The command of a column, for a signing key or a CA.
fn command(column: &str, key: &str) -> Vec<String> {
    let generation = format!("{key}/1");
    let certificate = format!(".keyctl-sandbox/published/certs/{key}-1.pem");
    let words: &[&str] = match column {
        "keygen" => &["keygen", key],
        "import" => &[
            "import",
            &certificate,
            "--roots",
            ".keyctl-sandbox/published/certs/root-1.pem",
            "--chain",
            ".keyctl-sandbox/published/certs/windows-ca-1.pem",
        ],
        "sign" => &["sign", "app.exe"],
        "destroy" => &["--yes", "destroy", &generation],
        "rotate" => &["rotate", key, "--now"],
        "revoke" => &["--yes", "revoke", &generation, "--reason", "superseded"],
        "crl" => &["crl", key, "--now"],
        "suspend" => &["--because", "a test", "suspend", key],
        other => panic!("no command is known for the column {other}"),
    };
    let head = ["--correlation-id", CORRELATION];
    head.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn holds(table: &str, key: &str) {
    let (columns, rows) = tables().remove(table).unwrap_or_else(|| panic!("there is no table of {table}"));
    let mut states: Vec<_> = keyctl::keys::State::ALL.iter().map(|state| state.as_str().to_owned()).collect();
    states.extend(["quarantined".to_owned(), "suspended".to_owned()]);
    let template = Place::with_sandbox();
    template.copy(&real_pe_files()[3], "app.exe");
    let mut wrong = Vec::new();
    for name in &states {
        let prepared = template.twin();
        put(&prepared, key, name);
        let said = rows.get(name).unwrap_or_else(|| panic!("the table of {table} says nothing of {name}"));
        let found: Vec<_> = columns
            .iter()
            .map(|column| {
                let place = prepared.twin();
                let before = state(&place, key, 1);
                let words = command(column, key);
                let ran = place.keyctl(&words.iter().map(String::as_str).collect::<Vec<_>>());
                outcome(&place, column, key, &before, &ran)
            })
            .collect();
        if found != *said {
            wrong.push(format!("//! | `{name}` | {} |", found.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "the table of {table} in src/keys/state.rs should say\n{}", wrong.join("\n"));
    assert_eq!(rows.keys().filter(|name| !name.starts_with('-')).count(), states.len(), "a row for each state");
}

#[test]
fn a_signing_key_in_every_state_under_every_command() {
    holds("a signing key that is", "windows");
}

#[test]
fn a_ca_in_every_state_under_every_command() {
    holds("a CA that is", "windows-ca");
}
