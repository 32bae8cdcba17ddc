//! Sabotage with the sqlite3 program, and what the audit says of it.

use crate::support::{Place, real_pe_files};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A sandbox that signed two files one after the other, with its ledger as it should be.
struct Scene {
    place: Place,
    /// The ledger before the second file, and after it.
    earlier: Vec<u8>,
    good: Vec<u8>,
    /// SQL that makes the triggers again.
    triggers: String,
}

impl Scene {
    fn new() -> Self {
        let place = Place::with_sandbox();
        for name in ["a.exe", "b.exe", "c.exe", "d.exe"] {
            place.copy(&real_pe_files()[3], name);
        }
        place.keyctl(&["sign", "a.exe"]).ok();
        let earlier = std::fs::read(db(&place)).expect("readable");
        place.keyctl(&["sign", "b.exe"]).ok();
        let good = std::fs::read(db(&place)).expect("readable");
        assert!(!db(&place).with_extension("db-wal").exists(), "the whole ledger is in its main file");
        let triggers = place.sql("SELECT group_concat(sql || ';', char(10)) FROM sqlite_schema WHERE type = 'trigger'");
        Scene { place, earlier, good, triggers }
    }

    fn restore(&self, ledger: &[u8]) {
        for suffix in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(db(&self.place).with_extension(suffix));
        }
        std::fs::write(db(&self.place), ledger).expect("writable");
    }

    /// Runs SQL on the good ledger with its triggers away, and puts them back, as a forger who knows them would.
    fn forge(&self, sql: &str) {
        self.restore(&self.good);
        self.forge_more(sql);
    }

    fn forge_more(&self, sql: &str) {
        let names = self.place.sql("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
        let drops: String = names.lines().map(|name| format!("DROP TRIGGER {name};")).collect();
        self.place.sql(&format!("{drops} {sql}; {}", self.triggers));
    }

    /// Makes leaf hashes and inner nodes fit the leaves again.
    fn mend_tree(&self) {
        let leaves = self.place.sql("SELECT hex(leaf) FROM entries ORDER BY seq");
        let unhex = |text: &str| keyctl::model::unhex(&text.to_lowercase()).expect("hex");
        let mut level: Vec<Vec<u8>> = leaves.lines().map(|leaf| hash(&[&[0], &unhex(leaf)])).collect();
        // First something that no leaf has, since the hashes are unique.
        let mut sql = String::from("DELETE FROM nodes; UPDATE entries SET leaf_hash = randomblob(32);");
        for (seq, hash) in level.iter().enumerate() {
            sql += &format!("UPDATE entries SET leaf_hash = x'{}' WHERE seq = {seq};", keyctl::model::hex(hash));
        }
        for height in 1.. {
            level = level.chunks_exact(2).map(|pair| hash(&[&[1], &pair[0], &pair[1]])).collect();
            for (at, hash) in level.iter().enumerate() {
                sql += &format!("INSERT INTO nodes VALUES ({height}, {at}, x'{}');", keyctl::model::hex(hash));
            }
            if level.len() < 2 {
                break;
            }
        }
        self.forge_more(&sql);
    }

    /// What the audit finds: rules, each with its objects.
    #[track_caller]
    fn findings(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.place.keyctl(&["audit", "log"]).exits(6).json() {
            let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
            assert!(!text("message").is_empty());
            found.entry(text("rule")).or_default().insert(text("object"));
        }
        found
    }

    /// The audit finds at least these.
    #[track_caller]
    fn found(&self, what: &str, expected: &[(&str, &str)]) {
        let found = self.findings();
        println!("{what}: {found:?}");
        for (rule, object) in expected {
            assert!(
                found.get(*rule).is_some_and(|all| all.contains(*object)),
                "{what}: no {rule} of {object}: {found:?}"
            );
        }
    }

    /// The audit finds these rules and no others.
    #[track_caller]
    fn found_only(&self, what: &str, expected: &[(&str, &str)]) {
        self.found(what, expected);
        let rules: BTreeSet<_> = expected.iter().map(|(rule, _)| (*rule).to_owned()).collect();
        assert_eq!(self.findings().into_keys().collect::<BTreeSet<_>>(), rules, "{what}");
    }

    fn size(&self) -> usize {
        self.place.entries().len()
    }
}

fn db(place: &Place) -> PathBuf {
    place.workspace().join("ledger.db")
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part)).finalize().to_vec()
}

#[test]
fn an_untouched_ledger_is_whole() {
    let scene = Scene::new();
    let row = scene.place.keyctl(&["audit", "log"]).ok().one();
    assert_eq!((&row["ledger"], &row["entries"]), (&"whole".into(), &scene.size().into()));
    // The tools of the sabotage alone change nothing.
    scene.forge("SELECT 1");
    scene.mend_tree();
    scene.place.keyctl(&["audit", "log"]).ok();
    scene.place.keyctl(&["audit"]).ok();
    // Triggers hold off a careless hand.
    let refused = |sql: &str| {
        let output = crate::support::tool("sqlite3").arg(db(&scene.place)).arg(sql).output().expect("sqlite3");
        assert!(!output.status.success(), "{sql}");
    };
    refused("UPDATE entries SET leaf = x'7b7d' WHERE seq = 3");
    refused("DELETE FROM entries WHERE seq = 3");
    refused("DELETE FROM checkpoints");
    refused("UPDATE nodes SET hash = zeroblob(32)");
    scene.place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn changed_leaves_are_found_however_far_the_forger_goes() {
    let scene = Scene::new();
    let change = "UPDATE entries SET leaf = cast(replace(cast(leaf AS TEXT), 'b.exe', 'x.exe') AS BLOB)
        WHERE cast(leaf AS TEXT) LIKE '%\"phase\":\"intent\"%b.exe%'";
    scene.forge(change);
    let intent = scene.size() - 2;
    scene.found("a leaf", &[("leaf_hash_wrong", &format!("entry {intent}"))]);
    let leaf = scene.place.sql(&format!("SELECT hex(leaf) FROM entries WHERE seq = {intent}"));
    let right = hash(&[&[0], &keyctl::model::unhex(&leaf.to_lowercase()).expect("hex")]);
    let right = keyctl::model::hex(&right);
    scene.forge_more(&format!("UPDATE entries SET leaf_hash = x'{right}' WHERE seq = {intent}"));
    scene.found("and its hash", &[("node_wrong", &format!("node 1/{}", intent / 2))]);
    scene.mend_tree();
    let newest = format!("checkpoint {}", scene.size());
    // The intent's request is nowhere but in its leaf and its outcome's hash of it, so only heads show it now.
    scene.found_only("and all nodes", &[("checkpoint_root_wrong", &newest), ("anchor_root_wrong", "anchor 0")]);
    scene.forge_more(&format!("DELETE FROM checkpoints WHERE size > {intent}"));
    scene.found_only("and the checkpoints away", &[("anchor_root_wrong", "anchor 0")]);

    // The first entry is pinned.
    scene.forge("UPDATE entries SET leaf = cast(replace(cast(leaf AS TEXT), '\"sandbox\"', '\"staging\"') AS BLOB) WHERE seq = 0");
    scene.mend_tree();
    scene.found("the genesis", &[("genesis_mismatch", "entry 0"), ("anchor_root_wrong", "anchor 0")]);
    scene.place.keyctl(&["sign", "c.exe"]).exits(4).says("ledger_forked");
}

#[test]
fn removed_inserted_and_swapped_entries_are_found() {
    let scene = Scene::new();
    scene.forge("DELETE FROM entries WHERE seq = 5");
    scene.found("one removed", &[("entry_gap", "entry 6")]);
    scene.forge(
        "DELETE FROM entries WHERE seq = 5; UPDATE entries SET seq = seq + 999 WHERE seq > 5;
        UPDATE entries SET seq = seq - 1000 WHERE seq > 999",
    );
    scene.mend_tree();
    scene.found("one removed, the rest renumbered", &[("seq_mismatch", "entry 5"), ("anchor_ahead", "anchor 0")]);

    scene.forge(
        "CREATE TEMP TABLE t AS SELECT * FROM entries WHERE seq IN (7, 8);
        DELETE FROM entries WHERE seq IN (7, 8); INSERT INTO entries SELECT 15 - seq, leaf, leaf_hash FROM t",
    );
    scene.found("two swapped", &[("seq_mismatch", "entry 7"), ("seq_mismatch", "entry 8")]);
    scene.mend_tree();
    scene.found("and the tree", &[("seq_mismatch", "entry 7"), ("anchor_root_wrong", "anchor 0")]);

    let size = scene.size();
    let copy = format!(
        "SELECT cast(replace(replace(cast(leaf AS TEXT), '\"seq\":{0}', '\"seq\":{1}'), '\"intent\":{2}', '\"intent\":{0}') AS BLOB) AS leaf",
        size - 1,
        size,
        size - 2
    );
    scene.forge(&format!(
        "INSERT INTO entries SELECT {size}, leaf, randomblob(32) FROM ({copy} FROM entries WHERE seq = {})",
        size - 1
    ));
    scene.mend_tree();
    scene.found("an outcome at the end", &[("outcome_unmatched", &format!("entry {size}"))]);
    scene.forge(&format!("INSERT INTO entries VALUES ({size}, x'7b7d', randomblob(32))"));
    scene.mend_tree();
    scene.found("no entry at the end", &[("entry_invalid", &format!("entry {size}"))]);

    scene.forge("UPDATE entries SET seq = seq + 1001 WHERE seq > 9; UPDATE entries SET seq = seq - 1000 WHERE seq > 999;
        INSERT INTO entries SELECT 10, cast(replace(cast(leaf AS TEXT), '\"seq\":9', '\"seq\":10') AS BLOB), randomblob(32)
        FROM entries WHERE seq = 9");
    scene.mend_tree();
    scene.found("one inserted", &[("seq_mismatch", "entry 11"), ("anchor_root_wrong", "anchor 0")]);
}

#[test]
fn a_cut_tail_is_found_by_the_anchor_alone() {
    let scene = Scene::new();
    let (size, cut) = (scene.size(), scene.size() - 2);
    scene.forge(&format!("DELETE FROM entries WHERE seq >= {cut}"));
    scene.found("carelessly", &[("anchor_ahead", "anchor 0"), ("checkpoint_ahead", &format!("checkpoint {size}"))]);
    scene.mend_tree();
    scene.forge_more(&format!(
        "DELETE FROM checkpoints WHERE size > {cut}; DELETE FROM artifacts WHERE seq >= {cut}; DELETE FROM artifact_contents WHERE seq >= {cut}; DELETE FROM intents WHERE seq >= {cut}"
    ));
    scene.found_only("perfectly", &[("anchor_ahead", "anchor 0")]);
    scene.place.keyctl(&["sign", "c.exe"]).fails(4, "ledger_rolled_back");
}

#[test]
fn every_forged_table_is_found() {
    let scene = Scene::new();
    let cases = [
        (
            "generations",
            "UPDATE generations SET state = 'retired', doc = replace(doc, '\"active\"', '\"retired\"') WHERE key = 'windows'",
        ),
        (
            "generations",
            "UPDATE generations SET doc = replace(doc, '\"windows/1\"', '\"windows/2\"'), number = 2 WHERE key = 'windows'",
        ),
        ("generations", "DELETE FROM generations WHERE key = 'root'"),
        ("artifacts", "UPDATE artifacts SET hash_after = printf('%064d', 7)"),
        ("artifacts", "DELETE FROM artifacts WHERE seq = (SELECT max(seq) FROM artifacts)"),
        ("settings", "UPDATE settings SET doc = replace(doc, '90', '900')"),
        ("settings", "INSERT INTO settings SELECT 5, sha256, doc FROM settings"),
        ("intents", "DELETE FROM intents WHERE seq = (SELECT max(seq) FROM intents)"),
        (
            "intents",
            "UPDATE intents SET outcome = NULL, result = NULL, request = '{}' WHERE seq = (SELECT max(seq) FROM intents)",
        ),
        ("public_keys", "DELETE FROM public_keys WHERE generation = 'windows/1'"),
        ("public_keys", "UPDATE public_keys SET generation = 'root/1' WHERE generation = 'windows/1'"),
        ("serials", "DELETE FROM serials"),
        ("serials", "UPDATE serials SET serial = '01' WHERE issuer = 'windows-ca/1'"),
        ("genesis", "UPDATE genesis SET doc = replace(doc, '\"sandbox\"', '\"production\"')"),
    ];
    for (table, sql) in cases {
        scene.forge(sql);
        assert_ne!(std::fs::read(db(&scene.place)).expect("readable"), scene.good, "{sql} does nothing");
        scene.found_only(sql, &[("projection_differs", table)]);
    }
    scene.restore(&scene.good);
    scene.place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn forged_heads_nodes_and_schemas_are_found() {
    let scene = Scene::new();
    let newest = scene.size();
    let object = format!("checkpoint {newest}");
    let last = format!("WHERE size = {newest}");
    scene.forge(&format!("UPDATE checkpoints SET root = zeroblob(32) {last}"));
    scene.found_only("its root", &[("checkpoint_malformed", &object)]);
    scene.forge(&format!("UPDATE checkpoints SET note = replace(note, char(10) || '{newest}' || char(10), char(10) || '{}' || char(10)) {last}", newest - 1));
    scene.found("its size", &[("checkpoint_untrusted", &object)]);
    scene.forge(&format!("UPDATE checkpoints SET note = 'trust me' {last}"));
    scene.found_only("its note", &[("checkpoint_malformed", &object)]);

    // A checkpoint by another key, which has the same name.
    let stranger = Place::with_sandbox();
    let note = stranger.sql("SELECT hex(note) FROM checkpoints ORDER BY size DESC LIMIT 1");
    let size = stranger.sql("SELECT max(size) FROM checkpoints");
    let root = stranger.sql("SELECT hex(root) FROM checkpoints ORDER BY size DESC LIMIT 1");
    scene.forge(&format!("DELETE FROM checkpoints WHERE size = {size}; INSERT INTO checkpoints VALUES ({size}, x'{root}', cast(x'{note}' AS TEXT))"));
    scene.found_only("a stranger's", &[("checkpoint_untrusted", &format!("checkpoint {size}"))]);

    scene.forge("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2 AND idx = 1");
    scene.found_only("a node", &[("node_wrong", "node 2/1")]);
    scene.forge("DELETE FROM nodes WHERE level = 1 AND idx = 0");
    scene.found_only("no node", &[("node_missing", "node 1/0")]);
    scene.forge("INSERT INTO nodes VALUES (9, 0, zeroblob(32))");
    scene.found_only("one node more", &[("node_extra", "node 9/0")]);

    scene.restore(&scene.good);
    scene.place.sql("DROP TRIGGER entries_stay");
    scene.found_only("a trigger less", &[("schema_changed", "trigger entries_stay")]);
    scene.place.keyctl(&["sign", "c.exe"]).fails(1, "ledger_schema");
    scene.restore(&scene.good);
    scene.place.sql("CREATE TRIGGER more AFTER INSERT ON intents BEGIN DELETE FROM artifacts; END");
    scene.found_only("a trigger more", &[("schema_changed", "trigger more")]);
    scene.place.keyctl(&["sign", "c.exe"]).fails(1, "ledger_schema");
}

#[test]
fn an_older_copy_stops_everything_that_would_change_something() {
    let scene = Scene::new();
    let files = scene.place.files();
    scene.restore(&scene.earlier);
    scene.found_only("an older copy", &[("anchor_ahead", "anchor 0")]);
    let commands: [&[&str]; 6] = [
        &["sign", "c.exe"],
        &["sign", "--sandbox", "c.exe"],
        &["keygen", "windows"],
        &["recover"],
        &["adopt"],
        &["init", "--sandbox"],
    ];
    for command in commands {
        println!("{command:?}");
        scene.place.keyctl(command).fails(4, "ledger_rolled_back");
    }
    assert!(scene.place.files() == files, "a file was changed");
    assert_eq!(std::fs::read(db(&scene.place)).expect("readable"), scene.earlier, "nothing was written");

    // Somebody with another state folder goes on from the older copy, past the heads beside it: another history.
    let other = |args: &[&str]| {
        let mut other = scene.place.command(args);
        other.env("XDG_STATE_HOME", scene.place.path("other-state"));
        crate::support::ran(other.output().expect("runs"))
    };
    let trust = ["trust", ".keyctl-sandbox", "--yes"];
    other(&trust).fails(6, "ledger_unsound");
    let (published, evidence) = (scene.place.published("checkpoint"), scene.place.workspace().join("evidence"));
    std::fs::rename(&published, scene.place.path("head")).expect("moved");
    std::fs::rename(&evidence, scene.place.path("evidence")).expect("moved");
    std::fs::create_dir(&evidence).expect("made");
    other(&trust).ok();
    for name in ["c.exe", "d.exe"] {
        other(&["sign", name]).ok();
    }
    scene.found_only("another history", &[("anchor_root_wrong", "anchor 0")]);
    scene.place.copy(&real_pe_files()[3], "e.exe");
    scene.place.keyctl(&["sign", "e.exe"]).fails(4, "ledger_forked");
    scene.restore(&scene.good);
    scene.place.keyctl(&["sign", "e.exe"]).fails(4, "ledger_rolled_back");
    std::fs::rename(scene.place.path("head"), &published).expect("moved");
    scene.place.keyctl(&["sign", "e.exe"]).fails(4, "ledger_rolled_back");
    std::fs::remove_dir_all(&evidence).expect("removed");
    std::fs::rename(scene.place.path("evidence"), &evidence).expect("moved");
    scene.place.keyctl(&["sign", "e.exe"]).ok();
    scene.place.keyctl(&["audit", "log"]).ok();
}

#[test]
fn another_ledger_altogether_is_not_trusted_on_first_use() {
    let scene = Scene::new();
    let stranger = Place::with_sandbox();
    scene.restore(&std::fs::read(db(&stranger)).expect("readable"));
    scene.place.keyctl(&["audit", "log"]).fails(6, "workspace_replaced");
}

#[test]
fn a_checkpoint_kept_elsewhere_is_an_anchor_too() {
    let scene = Scene::new();
    let kept = std::fs::read(scene.place.published("checkpoint")).expect("readable");
    std::fs::write(scene.place.path("kept"), &kept).expect("writable");
    scene.place.keyctl(&["audit", "log", "--anchor", "kept"]).ok();
    // This user's own pin is lost with the newest entries: only the kept one remembers.
    scene.restore(&scene.earlier);
    let pins = scene.place.path("state/keyctl/anchors");
    std::fs::remove_dir_all(&pins).expect("pins");
    std::fs::remove_file(scene.place.published("checkpoint")).expect("a head");
    std::fs::remove_dir_all(scene.place.workspace().join("evidence")).expect("evidence");
    scene.place.keyctl(&["status"]).fails(1, "pin_missing");
    scene.place.keyctl(&["trust", ".keyctl-sandbox", "--yes"]).ok();
    scene.place.keyctl(&["status"]).ok();
    scene.place.keyctl(&["audit", "log"]).ok();
    scene.place.keyctl(&["audit", "log", "--anchor", "kept"]).exits(6).says("anchor_ahead");
    std::fs::write(scene.place.path("kept"), b"something").expect("writable");
    scene.place.keyctl(&["audit", "log", "--anchor", "kept"]).fails(6, "bad_note");
}

#[test]
fn an_edited_setting_waits_for_adopt() {
    let scene = Scene::new();
    let place = &scene.place;
    let path = place.workspace().join("keyctl.toml");
    let text = std::fs::read_to_string(&path).expect("readable");
    // The interval of `windows`, which is the third of the keys.
    let at = text.find("[keys.windows]").expect("windows");
    let edited = text[..at].to_owned() + &text[at..].replacen("rotation_days    = 90", "rotation_days    = 60", 1);
    assert_ne!(edited, text);
    std::fs::write(&path, edited).expect("writable");
    let (entries, files) = (scene.size(), place.files());
    for command in [&["sign", "c.exe"][..], &["keygen", "windows"]] {
        let error = place.keyctl(command).fails(4, "settings_changed");
        error.says("\"hint\":\"keyctl adopt\"").says("rotation_days");
    }
    assert_eq!(scene.size(), entries);
    assert!(place.files() == files);
    place.keyctl(&["status"]).ok().says("rotation_days");

    let dry = place.keyctl(&["--dry-run", "adopt"]).ok().says("rotation_days  90  60");
    assert_eq!((&dry.one()["operation"], &dry.one()["object"]), (&"adopt".into(), &"settings".into()));
    assert_eq!(scene.size(), entries, "a dry run changes nothing");
    let row = place.keyctl(&["adopt"]).ok().one();
    assert!(row["setting"].as_str().expect("a name").contains("rotation_days"), "{row}");
    assert_eq!((&row["from"], &row["to"]), (&"90".into(), &"60".into()), "{row}");
    place.keyctl(&["sign", "c.exe"]).ok();
    place.keyctl(&["adopt"]).ok().says("as they were adopted");
    place.keyctl(&["audit", "log"]).ok();
    // And it is in force.
    let now = keyctl::clock::Clock::system().now() + chrono::TimeDelta::days(60);
    place.keyctl_at(now, &["sign", "d.exe"]).fails(4, "gate_failed").says("< 60");

    // What does not bear on security needs no adoption, and what cannot be read is named.
    let text = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, text.clone() + "\n# a word\n").expect("writable");
    place.keyctl(&["status"]).ok();
    std::fs::write(&path, text.replacen("environment = \"sandbox\"", "environment = \"production\"", 1))
        .expect("writable");
    assert_ne!(place.keyctl_at(now, &["sign", "d.exe"]).code, 0);
    std::fs::write(&path, "nonsense = 1\n".to_owned() + &text).expect("writable");
    place.keyctl_at(now, &["sign", "d.exe"]).exits(2).says("nonsense");
}
