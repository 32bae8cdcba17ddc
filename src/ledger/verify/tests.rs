//! Each way to tamper with a ledger, and the rule that finds it.

use super::*;
use crate::clock::Time;
use crate::crypto::merkle;
use crate::ledger::Entry;
use crate::ledger::testing::{self, Signer, Test, clock};
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::{Connection, params};
use serde_json::json;

/// 20 entries, 16 of them under a checkpoint, which is also the anchor.
fn sound() -> (Test, Trust, Vec<SignedNote>) {
    sound_by(Signer::fixed())
}

/// The same, with its checkpoint signed by another than the ledger's own key.
fn sound_by(signer: Signer) -> (Test, Trust, Vec<SignedNote>) {
    let mut test = testing::ledger(16);
    test.signer = signer;
    let anchor = test.checkpoint();
    test.grow(4);
    let trust = test.trust();
    (test, trust, vec![anchor])
}

fn rules(test: &Test, trust: &Trust, anchors: &[SignedNote]) -> Vec<&'static str> {
    let mut rules: Vec<_> =
        verify(&test.ledger, trust, anchors).unwrap().findings.into_iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// Sabotages a sound ledger with SQL or code and gives the rules that fired.
fn found(edit: impl FnOnce(&Connection)) -> Vec<&'static str> {
    let (test, trust, anchors) = sound();
    test.sabotage(edit);
    rules(&test, &trust, &anchors)
}

fn found_sql(sql: &str) -> Vec<&'static str> {
    found(|raw| raw.execute_batch(sql).unwrap())
}

fn entry_of(raw: &Connection, seq: i64) -> Entry {
    let leaf: Vec<u8> = raw.query_row("SELECT leaf FROM entries WHERE seq = ?1", [seq], |row| row.get(0)).unwrap();
    Entry::from_bytes(&leaf).unwrap()
}

fn set_leaf(raw: &Connection, seq: i64, leaf: &[u8]) {
    raw.execute("UPDATE entries SET leaf = ?1 WHERE seq = ?2", params![leaf, seq]).unwrap();
}

/// Replaces an entry by another and leaves no loose end that can be tied without the key.
fn forge(raw: &Connection, seq: i64, change: impl FnOnce(&mut Entry)) {
    let mut entry = entry_of(raw, seq);
    change(&mut entry);
    set_leaf(raw, seq, &entry.to_bytes().unwrap());
    Test::rehash(raw);
}

#[test]
fn a_sound_ledger_has_no_findings() {
    let (test, trust, anchors) = sound();
    let report = verify(&test.ledger, &trust, &anchors).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.is_sound());
    assert_eq!((report.entries, report.head), (20, test.ledger.head().unwrap()));
    assert_eq!((report.checkpointed_size, report.unanchored_tail), (16, 4));
    assert!(report.open_intents.is_empty());
    assert_eq!(verify(&test.ledger, &trust, &[]).unwrap().unanchored_tail, 20);
    assert_eq!(verify(&testing::ledger(2).ledger, &trust, &[]).unwrap().open_intents, [1]);
}

#[test]
fn a_changed_entry_is_found_however_much_is_recomputed() {
    assert_eq!(
        found(|raw| {
            let mut entry = entry_of(raw, 7);
            entry.body = json!({"n": 8});
            set_leaf(raw, 7, &entry.to_bytes().unwrap());
        }),
        ["anchor_root_wrong", "checkpoint_root_wrong", "leaf_hash_wrong", "node_wrong"]
    );
    let careful = found(|raw| forge(raw, 7, |entry| entry.body = json!({"n": 8})));
    assert_eq!(careful, ["anchor_root_wrong", "checkpoint_root_wrong"]);
    let without_checkpoint = found(|raw| {
        raw.execute_batch("DELETE FROM checkpoints").unwrap();
        forge(raw, 7, |entry| entry.body = json!({"n": 8}));
    });
    assert_eq!(without_checkpoint, ["anchor_root_wrong"]);
}

#[test]
fn removed_inserted_and_reordered_entries_are_found() {
    let removed = found_sql("DELETE FROM entries WHERE seq = 7");
    assert!(removed.contains(&"entry_gap") && removed.contains(&"anchor_root_wrong"), "{removed:?}");
    let renumbered = found(|raw| {
        raw.execute_batch("DELETE FROM entries WHERE seq = 7").unwrap();
        for seq in 8..20 {
            raw.execute("UPDATE entries SET seq = seq - 1 WHERE seq = ?1", [seq]).unwrap();
        }
        Test::rehash(raw);
    });
    assert!(renumbered.contains(&"seq_mismatch") && renumbered.contains(&"anchor_root_wrong"), "{renumbered:?}");
    let inserted = found(|raw| {
        for seq in (7..20).rev() {
            raw.execute("UPDATE entries SET seq = seq + 1 WHERE seq = ?1", [seq]).unwrap();
        }
        let leaf = Entry { body: json!({"forged": true}), ..entry_of(raw, 6) }.to_bytes().unwrap();
        let hash = merkle::leaf_hash(&leaf).0;
        raw.execute("INSERT INTO entries VALUES (7, ?1, ?2)", params![leaf, hash]).unwrap();
    });
    assert!(inserted.contains(&"seq_mismatch") && inserted.contains(&"node_wrong"), "{inserted:?}");
    let swapped = found_sql(
        "UPDATE entries SET seq = -1 WHERE seq = 7; UPDATE entries SET seq = 7 WHERE seq = 8;
         UPDATE entries SET seq = 8 WHERE seq = -1;",
    );
    assert_eq!(swapped.iter().filter(|rule| ["seq_mismatch", "node_wrong"].contains(rule)).count(), 2, "{swapped:?}");
    let negative = found_sql("UPDATE entries SET seq = -5 WHERE seq = 0");
    assert!(negative.contains(&"entry_gap"), "{negative:?}");
    let added = found(|raw| {
        let leaf = Entry { seq: 20, ..entry_of(raw, 19) }.to_bytes().unwrap();
        for (seq, leaf) in [(20, leaf), (21, b"{}".to_vec())] {
            let hash = merkle::leaf_hash(&leaf).0;
            raw.execute("INSERT INTO entries VALUES (?1, ?2, ?3)", params![seq, leaf, hash]).unwrap();
        }
    });
    assert_eq!(added, ["entry_invalid", "node_missing"]);
}

#[test]
fn a_cut_off_end_is_found_by_an_anchor() {
    let cut = |raw: &Connection| {
        for table in ["entries", "intents", "artifacts", "artifact_contents"] {
            raw.execute(&format!("DELETE FROM {table} WHERE seq >= 12"), []).unwrap();
        }
        Test::rehash(raw);
    };
    assert_eq!(found(cut), ["anchor_ahead", "checkpoint_ahead"]);
    let perfect = |raw: &Connection| {
        raw.execute_batch("DELETE FROM checkpoints").unwrap();
        cut(raw);
    };
    assert_eq!(found(perfect), ["anchor_ahead"]);
    let (test, trust, _) = sound();
    test.sabotage(perfect);
    assert_eq!(rules(&test, &trust, &[]), [""; 0], "without an anchor nothing shows it");
    assert!(found_sql("DELETE FROM entries WHERE seq >= 12").contains(&"node_extra"));
}

#[test]
fn a_replaced_genesis_is_found() {
    let other = |entry: &mut Entry| entry.body = json!({"workspace_id": testing::WORKSPACE, "keys": "mine"});
    let forged = found(|raw| forge(raw, 0, other));
    assert!(forged.contains(&"genesis_mismatch"), "{forged:?}");
    let (test, trust, _) = sound();
    let (stranger, _, _) = sound_by(Signer::generate());
    let rules_of = rules(&stranger, &trust, &[]);
    assert_eq!(rules_of, ["checkpoint_untrusted"], "the same entries, but a checkpoint by a stranger's key");
    let elsewhere = Trust { workspace_id: "other".into(), ..trust.clone() };
    assert_eq!(rules(&test, &elsewhere, &[]), ["genesis_mismatch"]);
    let empty = testing::ledger(0);
    assert_eq!(rules(&empty, &trust, &[]), ["genesis_mismatch"]);
}

#[test]
fn leaves_that_break_their_form_are_found() {
    let spaced = found(|raw| {
        let leaf = [entry_of(raw, 17).to_bytes().unwrap(), b" ".to_vec()].concat();
        set_leaf(raw, 17, &leaf);
        Test::rehash(raw);
    });
    assert!(spaced.contains(&"entry_not_canonical"), "{spaced:?}");
    let earlier = |time: Time| time - TimeDelta::seconds(1);
    assert_eq!(found(|raw| forge(raw, 19, |entry| entry.time = earlier(entry.time))), ["time_backwards"]);
    let twice = json!({"phase": "outcome", "intent": 17});
    let unmatched = found(|raw| forge(raw, 19, |entry| entry.body = twice));
    assert_eq!(unmatched, ["outcome_unmatched", "projection_refused"]);
    let typed = found_sql("UPDATE entries SET leaf = CAST(replace(leaf, 'SIGNED', 'signed') AS BLOB) WHERE seq = 17");
    assert!(typed.contains(&"entry_invalid"), "{typed:?}");
}

#[test]
fn forged_nodes_are_found() {
    assert_eq!(found_sql("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2 AND idx = 1"), ["node_wrong"]);
    assert_eq!(found_sql("DELETE FROM nodes WHERE level = 2 AND idx = 1"), ["node_missing"]);
    assert_eq!(found_sql("INSERT INTO nodes VALUES (5, 0, zeroblob(32))"), ["node_extra"]);
    let odd = found_sql("INSERT INTO nodes VALUES (0, 0, zeroblob(32)), (70, -1, zeroblob(32)), (62, 9e18, x'00')");
    assert!(odd.contains(&"node_extra") && odd.contains(&"database_corrupt"), "{odd:?}");
}

#[test]
fn forged_checkpoints_are_found() {
    let (test, trust, anchors) = sound();
    let forged = Signer::generate().sign(anchors[0].text()).to_string();
    test.sabotage(|raw| assert_eq!(raw.execute("UPDATE checkpoints SET note = ?1", [forged]).unwrap(), 1));
    assert_eq!(rules(&test, &trust, &anchors), ["checkpoint_untrusted"]);
    assert_eq!(verify(&test.ledger, &trust, &anchors).unwrap().checkpointed_size, 0);
    assert_eq!(found_sql("UPDATE checkpoints SET note = replace(note, '16', '17')"), ["checkpoint_untrusted"]);
    assert_eq!(found_sql("UPDATE checkpoints SET note = 'no note'"), ["checkpoint_malformed"]);
    assert_eq!(found_sql("UPDATE checkpoints SET size = 17"), ["checkpoint_malformed"]);
    assert_eq!(found_sql("UPDATE checkpoints SET root = zeroblob(32)"), ["checkpoint_malformed"]);

    let (test, trust, _) = sound();
    let strange = Signer::generate().sign(test.ledger.latest_checkpoint().unwrap().unwrap().text());
    let no_head = test.signer.sign("text\n");
    assert_eq!(rules(&test, &trust, &[strange, no_head]), ["anchor_malformed", "anchor_untrusted"]);
}

#[test]
fn forged_projections_are_found() {
    assert_eq!(
        found_sql("UPDATE intents SET outcome = NULL, result = NULL, request = '{}' WHERE seq = 5"),
        ["projection_differs"]
    );
    assert_eq!(found_sql("UPDATE intents SET object = 'other' WHERE seq = 5"), ["projection_differs"]);
    assert_eq!(found_sql("DELETE FROM intents WHERE seq = 5"), ["projection_differs"]);
    let open = "INSERT INTO intents VALUES (4, 'PACKAGE_SIGNED', 'f', 'windows/1', NULL, 'p', '{}', NULL, NULL)";
    assert_eq!(found_sql(open), ["projection_differs"]);
    for sql in [
        "UPDATE genesis SET doc = replace(doc, 'sandbox', 'staging')",
        "UPDATE settings SET doc = replace(doc, '90', '900')",
        "INSERT INTO settings SELECT 3, sha256, doc FROM settings",
        "UPDATE generations SET state = 'retired' WHERE key = 'windows'",
        "UPDATE generations SET doc = json_set(doc, '$.quarantined', 'x')",
        "DELETE FROM public_keys",
        "UPDATE intents SET result = 'unknown' WHERE seq = 5",
        "INSERT INTO serials VALUES ('windows-ca/1', '0a', 5, '2026-05-01T00:00:00Z')",
        "INSERT INTO crl_entries VALUES ('windows-ca/1', '0a', 'windows/1', 5, NULL, 5)",
        "INSERT INTO revocations VALUES ('windows/1', 5, '2026-05-01T00:00:00Z', 'superseded', '2026-05-01T00:00:00Z', NULL, NULL, 5)",
        "INSERT INTO crls VALUES ('windows-ca/1', 1, 5, '2026-05-01T00:00:00Z', '2026-05-08T00:00:00Z', 0, NULL, NULL, NULL)",
        "INSERT INTO resign VALUES (5, 5, 'windows/1', NULL, NULL)",
        "INSERT INTO issuers VALUES ('windows/1', 'windows-ca/1')",
        "INSERT INTO cosigned VALUES (5, 'windows/1')",
        "UPDATE artifacts SET hash_after = hash_before",
    ] {
        assert_eq!(found_sql(sql), ["projection_differs"], "{sql}");
    }
    let (test, trust, anchors) = sound();
    test.sabotage(|raw| raw.execute_batch("UPDATE intents SET object = 'evil' WHERE seq = 5").unwrap());
    let report = verify(&test.ledger, &trust, &anchors).unwrap();
    assert_eq!(report.findings.len(), 2, "one row too many, one too few: {:?}", report.findings);
}

#[test]
fn a_changed_schema_is_found() {
    for sql in [
        "DROP TRIGGER entries_stay",
        "CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM intents; END",
        "DROP TRIGGER nodes_stay; CREATE TRIGGER nodes_stay BEFORE UPDATE ON nodes BEGIN SELECT 1; END",
        "CREATE VIEW open_intents AS SELECT 1",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON intents(object)",
        "ANALYZE",
    ] {
        let (test, trust, anchors) = sound();
        Connection::open(&test.path).unwrap().execute_batch(sql).unwrap();
        assert_eq!(rules(&test, &trust, &anchors), ["schema_changed"], "{sql}");
        assert_eq!(Ledger::open(&test.path, clock()).unwrap_err().code(), "ledger_schema", "{sql}");
    }
    let dropped = found_sql("DROP TABLE intents");
    assert!(dropped.contains(&"schema_changed") && dropped.contains(&"database_unreadable"), "{dropped:?}");
    let (test, trust, anchors) = sound();
    Connection::open(&test.path).unwrap().execute_batch("ALTER TABLE checkpoints RENAME TO gone").unwrap();
    let dropped = rules(&test, &trust, &anchors);
    assert!(dropped.contains(&"schema_changed") && dropped.contains(&"database_unreadable"), "{dropped:?}");
}

#[test]
fn values_beyond_the_limits_are_findings() {
    let huge = found_sql("UPDATE entries SET leaf = zeroblob(3000000) WHERE seq = 7");
    assert!(huge.contains(&"database_unreadable"), "{huge:?}");
    let many = testing::ledger(1);
    many.sabotage(|raw| {
        raw.execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO nodes SELECT 40, i, zeroblob(32) FROM n;
             UPDATE entries SET leaf = x'00';",
        )
        .unwrap();
    });
    let report = verify(&many.ledger, &sound().1, &[]).unwrap();
    assert!(report.findings.len() <= MAX_FINDINGS);
    let last = report.findings.last().unwrap();
    assert_eq!((last.rule, last.message.as_str()), ("node_extra", "and 2960 more of these"));
    assert!(report.findings.iter().any(|finding| finding.rule == "leaf_hash_wrong"));
}

#[test]
fn damaged_pages_are_findings_or_errors_and_never_a_panic() {
    let (test, trust, anchors) = sound();
    let path = test.path.clone();
    let folder = test.close();
    let good = std::fs::read(&path).unwrap();
    let copy = folder.path().join("copy.db");
    let outcome = |bytes: &[u8]| {
        std::fs::write(&copy, bytes).unwrap();
        let report = Ledger::open_read_only(&copy, clock()).and_then(|ledger| verify(&ledger, &trust, &anchors));
        for side in ["copy.db-wal", "copy.db-shm"] {
            let _ = std::fs::remove_file(folder.path().join(side));
        }
        report.map(|report| report.findings.len())
    };
    assert_eq!(outcome(&good).unwrap(), 0);
    for page in 0..good.len() / 4096 {
        let mut bad = good.clone();
        bad[page * 4096 + 100 * usize::from(page == 0)..][..3000].fill(0xa5);
        assert_ne!(outcome(&bad).ok(), Some(0), "page {page} overwritten");
        // An empty database of one page, or the file cut at a page.
        assert_ne!(outcome(&good[..page * 4096]).ok(), Some(0), "cut at page {page}");
    }
    for place in (0..good.len()).step_by(211) {
        let mut bad = good.clone();
        bad[place] ^= 0x55;
        let _ = outcome(&bad);
    }
}

#[test]
fn ten_thousand_entries() {
    let mut test = testing::ledger(1);
    for _ in 0..10 {
        test.grow(1000);
        test.checkpoint();
    }
    let trust = test.trust();
    let anchor = test.ledger.latest_checkpoint().unwrap().unwrap();
    let report = verify(&test.ledger, &trust, &[anchor]).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.entries, report.checkpointed_size, report.unanchored_tail), (10_001, 10_001, 0));
    let head = test.ledger.head().unwrap();
    let proof = test.ledger.inclusion_proof(7777, head.size).unwrap();
    let leaf = merkle::leaf_hash(&test.leaf(7777));
    merkle::verify_inclusion(&leaf, 7777, head.size, &proof, &head.root).unwrap();
}

#[test]
fn any_changed_leaf_byte_is_found() {
    let (test, trust, anchors) = sound();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let tampering = (0i64..20, any::<prop::sample::Index>(), 1u8..);
    let outcome = runner.run(&tampering, |(seq, place, flip)| {
        let good = test.leaf(seq);
        let mut bad = good.clone();
        bad[place.index(good.len())] ^= flip;
        test.sabotage(|raw| set_leaf(raw, seq, &bad));
        let tampered = rules(&test, &trust, &anchors);
        test.sabotage(|raw| set_leaf(raw, seq, &good));
        prop_assert!(tampered.contains(&"leaf_hash_wrong"), "{:?}", tampered);
        prop_assert_eq!(rules(&test, &trust, &anchors), [""; 0]);
        Ok(())
    });
    outcome.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn proofs_of_random_ledgers_check(batches in prop::collection::vec(1u64..9, 1..6), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut test = testing::ledger(0);
        let mut heads = Vec::new();
        for batch in batches {
            test.grow(batch);
            heads.push(test.ledger.head().unwrap());
        }
        let head = *heads.last().unwrap();
        let old = heads[a.index(heads.len())];
        let proof = test.ledger.consistency_proof(old.size, head.size).unwrap();
        merkle::verify_consistency(old.size, &old.root, head.size, &head.root, &proof).unwrap();
        prop_assert_eq!(test.ledger.root_at(old.size).unwrap(), old.root);
        let seq = b.index(old.size as usize) as u64;
        let leaf = merkle::leaf_hash(&test.leaf(seq as i64));
        for head in [old, head] {
            let proof = test.ledger.inclusion_proof(seq, head.size).unwrap();
            merkle::verify_inclusion(&leaf, seq, head.size, &proof, &head.root).unwrap();
        }
        prop_assert_eq!(verify(&test.ledger, &test.trust(), &[]).unwrap().findings, []);
    }
}
