//! What [`apply`] does with each kind of entry, and what it refuses. That a replay gives the same tables is in
//! [`replay`]; approvals of artifacts and artifacts signed again are in [`cab`].

mod cab;
mod people;
mod register;
mod replay;
mod revocation;
mod rotation;

use super::*;
use crate::error::Kind;
use crate::keys::{Credential, State};
use crate::ledger::genesis::Genesis;
use crate::ledger::projection::register::find;
use crate::ledger::testing::{Signer, acts, clock, new_entry};
use crate::ledger::{NewEntry, Schema, query};
use crate::model::{GenerationId, Hash256, KeyAlgorithm, Purpose};
use rusqlite::types::Value as Cell;
use serde_json::json;
use std::collections::BTreeMap;

/// The tables in memory, with the entries that made them.
struct Log {
    tables: Connection,
    entries: Vec<Entry>,
}

/// The rows of each table, in any order.
type Rows = BTreeMap<&'static str, Vec<String>>;

fn empty() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    conn
}

fn rows(conn: &Connection) -> Rows {
    let table = |name: &&'static str| {
        let mut query = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = query.column_count();
        let spelled = query.query_map([], |row| {
            Ok((0..columns).map(|i| format!("{:?} ", row.get::<_, Cell>(i).unwrap())).collect::<String>())
        });
        let mut rows: Vec<_> = spelled.unwrap().map(Result::unwrap).collect();
        rows.sort();
        (*name, rows)
    };
    TABLES.iter().map(table).collect()
}

fn without_intents(mut rows: Rows) -> Rows {
    rows.remove("intents");
    rows
}

impl Log {
    fn empty() -> Self {
        Log { tables: empty(), entries: Vec::new() }
    }

    /// With its genesis.
    fn founded() -> Self {
        let mut log = Log::empty();
        log.add(acts::founding(&acts::genesis(&Signer::fixed())));
        log
    }

    fn entry(&self, new: NewEntry) -> Entry {
        let seq = self.entries.len() as u64;
        Entry {
            schema: Schema::V1,
            seq,
            entry_type: new.entry_type,
            time: clock().now() + chrono::TimeDelta::seconds(seq as i64),
            actor: new.actor,
            host: "signer".into(),
            correlation_id: new.correlation_id,
            body: new.body,
            register: None,
        }
    }

    fn add(&mut self, new: NewEntry) -> Entry {
        let entry = self.entry(new);
        apply(&self.tables, &entry).unwrap();
        self.entries.push(entry.clone());
        entry
    }

    /// The code with which an entry is refused; the tables must not have changed.
    fn refuses(&self, new: NewEntry) -> &'static str {
        let before = rows(&self.tables);
        let refused = apply(&self.tables, &self.entry(new)).unwrap_err();
        assert_eq!(rows(&self.tables), before, "{refused}");
        assert_eq!(refused.kind(), Kind::Failed);
        refused.code()
    }

    /// Asks for an act and does it.
    fn act<O: Operation>(&mut self, request: &Request<O>, done: Value) -> Entry {
        let intent = self.add(acts::intent(request));
        self.add(acts::done(&intent, done))
    }

    /// Makes a generation with the `n`th key.
    fn make(&mut self, generation: &str, n: u64) {
        self.act(&keygen(generation), made(generation, n));
    }

    fn state(&self, generation: &str) -> State {
        find(&self.tables, &acts::id(generation)).unwrap().state
    }

    fn force(&self, generation: &str, state: State) {
        let mut record = find(&self.tables, &acts::id(generation)).unwrap();
        record.state = state;
        store(&self.tables, &record).unwrap();
    }
}

fn keygen(generation: &str) -> Request<GenerateKey> {
    acts::keygen(generation, Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary")
}

fn made(generation: &str, n: u64) -> Value {
    json!({ "identity": acts::identity(&acts::p256(n), &keygen(generation).params) })
}

/// Whether a state needs nothing but its record.
fn declarable(state: State) -> bool {
    !matches!(state, State::Generated | State::Certified | State::Revoked)
}

fn certificate(serial: &str) -> Value {
    let names = ["CN=Example Corp,C=ZZ", "CN=Example Corp Issuing,C=ZZ"];
    json!({ "credential": acts::credential(serial.into(), serial, names, Some(acts::id("windows-ca/1"))) })
}

#[test]
fn the_list_of_tables_is_that_of_the_schema() {
    let conn = empty();
    let mut query = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let made: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut listed = TABLES.to_vec();
    listed.sort_unstable();
    assert_eq!(made, listed);
}

#[test]
fn the_genesis_comes_first_and_only_once() {
    let genesis = acts::genesis(&Signer::fixed());
    let log = Log::founded();
    assert_eq!(query::genesis(&log.tables).unwrap(), genesis);
    assert_eq!(query::settings(&log.tables).unwrap().settings, *acts::settings());
    let ledger = query::active(&log.tables, &"ledger".parse().unwrap()).unwrap().unwrap();
    assert_eq!(ledger.identities, [genesis.ledger_keys[0].identity.clone()]);
    assert_eq!(query::generation_by_spki(&log.tables, &ledger.identities[0].spki_sha256).unwrap(), Some(ledger));
    assert_eq!(log.refuses(acts::founding(&genesis)), "second_genesis");
}

#[test]
fn a_genesis_that_does_not_fulfil_its_intent_is_refused() {
    let code = |change: &dyn Fn(&mut Genesis)| {
        let mut genesis = acts::genesis(&Signer::fixed());
        change(&mut genesis);
        Log::empty().refuses(acts::founding(&genesis))
    };
    assert_eq!(code(&|genesis| genesis.workspace_id = "another".into()), "bad_genesis");
    assert_eq!(code(&|genesis| genesis.ledger_keys.clear()), "bad_genesis");
    assert_eq!(code(&|genesis| genesis.intent.ledger_keys.clear()), "bad_genesis");
    assert_eq!(code(&|genesis| genesis.ledger_keys[0].generation = acts::id("ledger/2")), "bad_genesis");
    assert_eq!(code(&|genesis| genesis.settings["environment"] = "production".into()), "bad_settings_hash");
    let founded = acts::founding(&acts::genesis(&Signer::fixed()));
    let body = json!({ "workspace_id": founded.body["workspace_id"] });
    assert_eq!(Log::empty().refuses(NewEntry { body, ..founded }), "bad_entry");
}

#[test]
fn two_ledger_keys_are_two_lines_with_two_public_keys() {
    let with = |second: &str, signer: &Signer| {
        let mut genesis = acts::genesis(&Signer::fixed());
        let mut more = acts::genesis(signer);
        more.ledger_keys[0].generation = acts::id(second);
        more.intent.ledger_keys[0].params.generation = acts::id(second);
        genesis.ledger_keys.append(&mut more.ledger_keys);
        genesis.intent.ledger_keys.append(&mut more.intent.ledger_keys);
        let log = Log::empty();
        apply(&log.tables, &log.entry(acts::founding(&genesis))).map_err(|error| error.code())
    };
    let other = Signer::generate();
    assert_eq!(with("ledger-b/1", &other), Ok(()));
    assert_eq!(with("ledger-b/1", &Signer::fixed()), Err("public_key_seen"));
    assert_eq!(with("ledger/2", &other), Err("one_active"));
    assert_eq!(with("ledger/1", &other), Err("generation_exists"));
}

#[test]
fn an_outcome_needs_its_own_open_intent() {
    let mut log = Log::founded();
    let intent = log.add(acts::intent(&acts::sign("windows/1", 1)));
    let done = acts::done(&intent, acts::signed(1));
    let with = |name: &str, value: Value| {
        let mut other = done.clone();
        other.body[name] = value;
        other
    };
    let other_type = NewEntry { entry_type: "KEY_GENERATED".parse().unwrap(), ..done.clone() };
    assert_eq!(log.refuses(other_type), "bad_outcome");
    for intent in [json!(0), json!(2), json!(77), json!(u64::MAX), json!(-1), json!("1"), Value::Null] {
        assert_eq!(log.refuses(with("intent", intent)), "bad_outcome");
    }
    for result in [json!("maybe"), json!(true), Value::Null] {
        assert_eq!(log.refuses(with("result", result)), "bad_outcome");
    }
    for hash in [json!("ABCD"), json!(7), Value::Null] {
        assert_eq!(log.refuses(with("done", json!({ "hash_after": hash }))), "bad_entry");
    }
    assert_eq!(log.refuses(with("done", json!({}))), "bad_entry");
    assert_eq!(query::open_intents(&log.tables).unwrap().len(), 1);
    log.add(done.clone());
    assert_eq!(query::open_intents(&log.tables).unwrap().len(), 0);
    assert_eq!(log.refuses(done), "bad_outcome");
    assert_eq!(log.refuses(acts::not_done(&intent, "unknown")), "bad_outcome");
}

#[test]
fn an_intent_has_what_closing_it_will_need() {
    let mut log = Log::founded();
    log.make("windows/1", 1);
    let cases = [
        acts::intent(&keygen("windows/2")),
        acts::intent(&acts::issue("windows/1", "windows-ca/1", "0a")),
        acts::intent(&acts::import("windows/1", b"certificate", "0a")),
        acts::intent(&acts::step("windows/1", State::Generated, State::Staged)),
        acts::intent(&acts::sign("windows/1", 1)),
        acts::intent(&acts::adopt("Other Corp")),
        acts::intent(&acts::certify("apt/1", "apt-root/1")),
        acts::intent(&acts::publish("apt/1", &["ab"])),
    ];
    for intent in cases {
        for (place, value) in [
            ("/process", Value::Null),
            ("/request", Value::Null),
            ("/request/object", json!(7)),
            ("/request/params", Value::Null),
            ("/request/params/generation", json!("windows")),
            ("/request/actor", json!("someone")),
        ] {
            let mut bad = intent.clone();
            *bad.body.pointer_mut(place).unwrap() = value;
            assert_eq!(log.refuses(bad), "bad_entry", "{} {place}", intent.entry_type);
        }
        log.add(intent);
    }
    assert_eq!(query::open_intents(&log.tables).unwrap().len(), 8);
}

#[test]
fn failed_and_unknown_outcomes_close_their_intent_and_no_more() {
    let mut log = Log::founded();
    log.make("windows/1", 1);
    let asked = [
        acts::intent(&keygen("windows/2")),
        acts::intent(&acts::issue("windows/1", "windows-ca/1", "0a")),
        acts::intent(&acts::import("windows/1", b"certificate", "0a")),
        acts::intent(&acts::step("windows/1", State::Generated, State::Staged)),
        acts::intent(&acts::sign("windows/1", 1)),
        acts::intent(&acts::adopt("Other Corp")),
    ];
    for (i, new) in asked.into_iter().enumerate() {
        let intent = log.add(new);
        let before = rows(&log.tables);
        let closed = log.add(acts::not_done(&intent, if i % 2 == 0 { "failed" } else { "unknown" }));
        let after = rows(&log.tables);
        assert_ne!(after["intents"], before["intents"]);
        assert_eq!(without_intents(after), without_intents(before), "{}", intent.entry_type);
        let sql = "SELECT outcome FROM intents WHERE seq = ?1 AND request IS NULL";
        assert_eq!(first(&log.tables, sql, [sql_int(intent.seq)]).unwrap(), Some(sql_int(closed.seq)));
    }
    assert_eq!(query::open_intents(&log.tables).unwrap().len(), 0);
}

#[test]
fn refusals_and_notes_change_nothing() {
    let mut log = Log::founded();
    let before = rows(&log.tables);
    log.add(acts::refused(&keygen("windows/1")));
    log.add(acts::refused(&acts::issue("windows/1", "windows-ca/1", "0a")));
    log.add(acts::refused(&acts::sign("windows/1", 1)));
    log.add(new_entry("NOTE", json!({ "n": 1 })));
    assert_eq!(rows(&log.tables), before);
}

#[test]
fn a_signed_artifact_is_found_by_its_hashes() {
    let mut log = Log::founded();
    let seq = log.act(&acts::sign("windows/1", 1), acts::signed(1)).seq;
    let again = log.add(acts::intent(&acts::sign("windows/1", 1)));
    assert_eq!(log.refuses(acts::done(&again, acts::signed(1))), "artifact_id_taken");
    let (before, after) = (acts::fixed("file", 1), acts::fixed("signed file", 1));
    let id = "c-1".parse().unwrap();
    for hash in [before, after] {
        assert_eq!(query::all_signed_as(&log.tables, &id, "sign", &hash, seq + 1).unwrap(), [seq]);
        assert_eq!(
            query::all_signed_as(&log.tables, &id, "sign", &hash, seq).unwrap(),
            [0u64; 0],
            "it is not in front of itself"
        );
        assert_eq!(
            query::all_signed_as(&log.tables, &"c-2".parse().unwrap(), "sign", &hash, seq + 1).unwrap(),
            [0u64; 0]
        );
    }
    assert_eq!(query::signed_into(&log.tables, &after).unwrap(), Some(seq));
    assert_eq!(query::signed_into(&log.tables, &before).unwrap(), None);
    assert_eq!(query::signed_counts(&log.tables).unwrap(), [("windows/1".to_owned(), 1)]);
}

#[test]
fn adopted_settings_have_the_hash_they_are_named_by() {
    let mut log = Log::founded();
    let mut lie = acts::adopt("Other Corp");
    lie.params.settings["organization"]["name"] = "Evil Corp".into();
    let intent = log.add(acts::intent(&lie));
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "bad_settings_hash");
    let seq = log.act(&acts::adopt("Other Corp"), json!({})).seq;
    let adopted = query::settings(&log.tables).unwrap();
    assert_eq!((adopted.seq, adopted.settings.organization.name.as_str()), (seq, "Other Corp"));
    assert_eq!(adopted.sha256, adopted.settings.sha256().unwrap());
}

#[test]
fn an_openpgp_key_is_certified_once_and_only_after_it_was_made() {
    let mut log = Log::founded();
    let request = acts::certify("apt/1", "apt-root/1");
    let early = log.add(acts::intent(&request));
    assert_eq!(log.refuses(acts::done(&early, acts::certified(&request))), "unknown_generation");
    log.make("apt/1", 1);
    log.add(acts::done(&early, acts::certified(&request)));
    let apt = find(&log.tables, &acts::id("apt/1")).unwrap();
    assert_eq!(apt.state, State::Certified);
    assert!(matches!(apt.credential(), Some(Credential::OpenPgp { .. })));
    let again = log.add(acts::intent(&request));
    assert_eq!(log.refuses(acts::done(&again, acts::certified(&request))), "bad_transition");
}

#[test]
fn a_keyring_remembers_since_when_it_has_each_key() {
    let mut log = Log::founded();
    log.make("apt/1", 1);
    log.make("other/1", 2);
    let publish = |log: &mut Log, generation: &str, keys: &[&str]| {
        let request = acts::publish(generation, keys);
        let time = log.act(&request, json!({})).time;
        let keyring = query::keyring(&log.tables, &acts::id(generation).key).unwrap().unwrap();
        assert_eq!(keyring.sha256, request.params.sha256);
        let since: Vec<_> = keyring.since.into_iter().collect();
        (time, since)
    };
    let of = |key: &str, time| (key.to_owned(), time);
    let (first, since) = publish(&mut log, "apt/1", &["aa"]);
    assert_eq!(since, [of("aa", first)]);
    let (second, since) = publish(&mut log, "apt/1", &["aa", "bb"]);
    assert_eq!(since, [of("aa", first), of("bb", second)]);
    let (_, since) = publish(&mut log, "apt/1", &["bb"]);
    assert_eq!(since, [of("bb", second)]);
    let (fourth, since) = publish(&mut log, "apt/1", &["aa", "bb"]);
    assert_eq!(since, [of("aa", fourth), of("bb", second)], "a key that left begins anew");
    let (_, since) = publish(&mut log, "other/1", &["cc"]);
    assert_eq!(since.len(), 1, "each key has a keyring of its own");
    assert_eq!(query::keyring(&log.tables, &acts::id("apt/1").key).unwrap().unwrap().since.len(), 2);

    let stranger = log.add(acts::intent(&acts::publish("apt/9", &["aa"])));
    assert_eq!(log.refuses(acts::done(&stranger, json!({}))), "unknown_generation");
}

#[test]
fn an_act_that_is_not_known_is_refused_whatever_is_said_of_it() {
    let mut log = Log::founded();
    for phase in ["intent", "outcome", "refused"] {
        assert_eq!(log.refuses(new_entry("KEY_PAINTED", json!({ "phase": phase }))), "unknown_operation", "{phase}");
    }
    log.add(new_entry("KEY_PAINTED", json!({})));
}
