use super::*;
use crate::error::Kind;
use crate::ledger::NewEntry;
use crate::ledger::testing::{self, Test, acts, new_entry};
use crate::model::{KeyAlgorithm, Purpose};
use serde_json::json;
use std::time::{Duration, Instant};

/// The code with which a decision is refused in a process that has proved nothing yet.
fn refused(test: &Test) -> &'static str {
    let mut fresh = test.reopen();
    let error = fresh.writer().map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Blocked, "{error}");
    assert_eq!(fresh.checkpoint(testing::ORIGIN, |_| panic!("signed")).unwrap_err().code(), error.code());
    error.code()
}

fn sql(test: &Test, sql: &str) {
    test.sabotage(|raw| raw.execute_batch(sql).unwrap());
}

#[test]
fn every_covered_table_decides_only_as_the_entries_left_it() {
    let mut test = testing::ledger(30);
    test.add(acts::intent(&acts::adopt("Other Corp")));
    test.checkpoint();
    test.add(acts::refused(&acts::sign("windows/1", 99)));
    test.reopen().writer().map(drop).unwrap();
    let time = "2026-01-01T00:00:00Z";
    for (change, back) in [
        (
            "UPDATE genesis SET doc = replace(doc, 'sandbox', 'SANDBOX')",
            "UPDATE genesis SET doc = replace(doc, 'SANDBOX', 'sandbox')",
        ),
        ("UPDATE settings SET doc = doc || ' '", "UPDATE settings SET doc = trim(doc)"),
        ("INSERT INTO settings VALUES (99, 'x', 'y')", "DELETE FROM settings WHERE seq = 99"),
        ("UPDATE tokens SET doc = doc || ' '", "UPDATE tokens SET doc = trim(doc)"),
        ("UPDATE intents SET process = process || ' ' WHERE seq = 30", "UPDATE intents SET process = trim(process)"),
        (
            "UPDATE generations SET state = 'retired' WHERE key = 'windows'",
            "UPDATE generations SET state = 'active' WHERE key = 'windows'",
        ),
        ("INSERT INTO public_keys VALUES ('x', 'windows/9')", "DELETE FROM public_keys WHERE spki_sha256 = 'x'"),
        ("INSERT INTO serials VALUES ('ca/1', '01', 3, NULL)", "DELETE FROM serials"),
        ("INSERT INTO keyrings VALUES ('apt', 'aa', 3, 'x', 'y')", "DELETE FROM keyrings"),
        ("INSERT INTO touched VALUES ('x', 3)", "DELETE FROM touched WHERE subject = 'x'"),
        ("INSERT INTO requests VALUES ('x', 3, 'y', '{}')", "DELETE FROM requests"),
        ("INSERT INTO follow_ups VALUES (3, 'x', 'y', 'z', NULL)", "DELETE FROM follow_ups"),
        ("INSERT INTO rosters VALUES (99, 99, 'x', 'y')", "DELETE FROM rosters WHERE seq = 99"),
        ("INSERT INTO suspensions VALUES ('x', 3, 'y')", "DELETE FROM suspensions"),
        ("INSERT INTO roster_suspensions VALUES ('x', 3)", "DELETE FROM roster_suspensions"),
        ("INSERT INTO grants VALUES ('x', 'y', 3, 'z', '[]', NULL)", "DELETE FROM grants"),
        ("INSERT INTO grant_uses VALUES ('x', 'y', 3)", "DELETE FROM grant_uses"),
        ("INSERT INTO issuers VALUES ('x', 'y')", "DELETE FROM issuers"),
        ("INSERT INTO crl_entries VALUES ('x', 'y', 'z', 3, NULL, NULL)", "DELETE FROM crl_entries"),
        ("INSERT INTO crls VALUES ('x', 1, 3, 'a', 'b', 0, NULL, NULL, NULL)", "DELETE FROM crls"),
        ("INSERT INTO cab_withdrawn VALUES ('x', 3)", "DELETE FROM cab_withdrawn"),
        ("INSERT INTO rotations VALUES (3, 'x', 'y', NULL, 'z', 'a')", "DELETE FROM rotations"),
        ("INSERT INTO rotation_failures VALUES (3, 'x', 'y', NULL, NULL)", "DELETE FROM rotation_failures"),
        ("INSERT INTO key_tests VALUES ('x', 'y', 3)", "DELETE FROM key_tests"),
        ("INSERT INTO root_links VALUES ('x', 'y', 3, 'z')", "DELETE FROM root_links"),
        ("INSERT INTO published_files VALUES ('x', 'y', 'z', 3)", "DELETE FROM published_files"),
        ("INSERT INTO key_reviews VALUES ('x', 3, 'keep', NULL)", "DELETE FROM key_reviews"),
        ("INSERT INTO expiry_alerts VALUES ('x', 7, 3)", "DELETE FROM expiry_alerts"),
    ] {
        sql(&test, change);
        assert_eq!(refused(&test), "tables_changed", "{change}");
        sql(&test, back);
        test.reopen().writer().map(drop).unwrap_or_else(|error| panic!("{back}: {error}"));
    }
    let revoked = format!("INSERT INTO revocations VALUES ('x', 3, '{time}', 'y', '{time}', NULL, NULL, NULL)");
    sql(&test, &revoked);
    assert_eq!(refused(&test), "tables_changed");
}

#[test]
fn a_table_is_noticed_by_the_process_that_proved_it_before() {
    let mut test = testing::ledger(30);
    test.ledger.writer().map(drop).unwrap();
    sql(&test, "INSERT INTO suspensions VALUES ('x', 3, 'y')");
    assert_eq!(test.ledger.writer().map(drop).unwrap_err().code(), "tables_changed");
}

#[test]
fn a_tail_has_to_fit_the_tree_and_the_tables() {
    let forged = |edit: &dyn Fn(&Connection)| {
        let mut test = testing::ledger(30);
        test.checkpoint();
        test.add(acts::refused(&acts::sign("windows/1", 99)));
        test.add(new_entry("NOTE", json!({})));
        test.reopen().writer().map(drop).unwrap();
        test.sabotage(edit);
        refused(&test)
    };
    let node =
        |raw: &Connection| drop(raw.execute("UPDATE nodes SET hash = randomblob(32) WHERE level = 1 AND idx = 15", []));
    assert_eq!(forged(&node), "tail_unproven");
    let rewrite = |raw: &Connection, seq: i64, change: &dyn Fn(&mut Entry)| {
        let leaf: Vec<u8> = raw.query_row("SELECT leaf FROM entries WHERE seq = ?1", [seq], |row| row.get(0)).unwrap();
        let mut entry = Entry::from_bytes(&leaf).unwrap();
        change(&mut entry);
        let leaf = entry.to_bytes().unwrap();
        raw.execute("UPDATE entries SET leaf = ?1 WHERE seq = ?2", rusqlite::params![leaf, seq]).unwrap();
        Test::rehash(raw);
    };
    // The newest leaf says nothing of the tables, so they are built anew, and have to follow.
    let silent = |raw: &Connection| {
        rewrite(raw, 31, &|entry| entry.register = None);
        raw.execute("INSERT INTO suspensions VALUES ('x', 3, 'y')", []).unwrap();
    };
    assert_eq!(forged(&silent), "tables_changed");
    // The newest leaf says what the tables are, but the entries do not.
    let agreed = |raw: &Connection| {
        raw.execute("INSERT INTO suspensions VALUES ('x', 3, 'y')", []).unwrap();
        let time = crate::clock::parse("2026-01-02T03:04:05Z").unwrap();
        let said = Register::read(raw, time).unwrap().digest();
        rewrite(raw, 31, &|entry| entry.register = Some(said));
    };
    assert_eq!(forged(&agreed), "tables_changed");
    // What the checkpoint covers is not what it was.
    let covered = |raw: &Connection| rewrite(raw, 20, &|entry| entry.body = json!({ "phase": "refused" }));
    assert_eq!(forged(&covered), "ledger_forked");
}

#[test]
fn a_checkpoint_by_a_stranger_proves_nothing_and_hides_nothing() {
    let mut test = testing::ledger(30);
    test.checkpoint();
    test.add(new_entry("NOTE", json!({})));
    let head = test.ledger.head().unwrap();
    let text =
        crate::crypto::note::Checkpoint { origin: testing::ORIGIN.into(), size: head.size, root: head.root }.text();
    test.ledger.store_checkpoint(&testing::Signer::generate().sign(&text)).unwrap();
    test.reopen().writer().map(drop).unwrap();
    sql(&test, "INSERT INTO suspensions VALUES ('x', 3, 'y')");
    assert_eq!(refused(&test), "tables_changed");
    let mut fresh = test.reopen();
    fresh.trusting(Trust { genesis_leaf_hash: Hash256::of(b"another"), ..test.trust() });
    assert_eq!(fresh.writer().map(drop).unwrap_err().code(), "ledger_forked");
}

/// The best of some openings for a decision, in a process that has proved nothing before.
fn opening(test: &Test) -> Duration {
    let rounds = (0..7).map(|_| {
        let mut fresh = test.reopen();
        let start = Instant::now();
        fresh.writer().map(drop).unwrap();
        start.elapsed()
    });
    rounds.min().unwrap()
}

fn sign(test: &mut Test, from: u64, to: u64) {
    let mut writer = test.ledger.writer().unwrap();
    for n in from..to {
        let intent = writer.append(acts::intent(&acts::sign("windows/1", n))).unwrap();
        writer.append(acts::done(&intent, acts::signed(n))).unwrap();
    }
    writer.commit().unwrap();
}

#[test]
fn opening_for_a_decision_does_not_grow_with_what_was_signed() {
    let mut test = testing::ledger(12);
    for n in 2..51 {
        let request = acts::keygen(&format!("windows/{n}"), Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary");
        let intent = test.add(acts::intent(&request));
        let done = json!({ "identity": acts::identity(&acts::p256(n), &request.params) });
        test.add(NewEntry { ..acts::done(&intent, done) });
    }
    sign(&mut test, 1000, 1400);
    test.checkpoint();
    let small = opening(&test);
    sign(&mut test, 2000, 11_600);
    test.checkpoint();
    assert!(test.ledger.head().unwrap().size > 20_000);
    let large = opening(&test);
    println!("opening for a decision: {small:?} with 900 entries, {large:?} with 20,000");
    assert!(large < small * 3, "{small:?}, then {large:?}");
    assert!(cfg!(debug_assertions) || large < Duration::from_millis(10), "{large:?}");
}
