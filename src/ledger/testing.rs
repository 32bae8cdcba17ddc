//! What the tests of this folder share: a small ledger in a temporary folder, a key, a clock to turn, and a
//! second connection for sabotage. Its entries come from [`acts`].

pub mod acts;

use super::verify::Trust;
use super::{Entry, Ledger, NewEntry};
use crate::clock::{self, Clock};
use crate::crypto::merkle;
use crate::crypto::note::{SignedNote, VerifierKey};
use crate::crypto::verify::PublicKey;
use crate::keys::State;
use crate::model::{Actor, Assurance, Hash256, KeyAlgorithm, Purpose};
use openssl::pkey::{Id, PKey, Private};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

pub const ORIGIN: &str = "example.corp/keyctl";
pub const WORKSPACE: &str = "6f1c2b8e-0000-4000-8000-000000000001";

pub fn clock() -> Clock {
    Clock::manual(clock::parse("2026-01-02T03:04:05Z").unwrap())
}

pub fn actor() -> Actor {
    Actor { email: "a@example.corp".parse().unwrap(), role: None, assurance: Assurance::Asserted }
}

pub fn new_entry(entry_type: &str, body: Value) -> NewEntry {
    NewEntry { entry_type: entry_type.parse().unwrap(), actor: actor(), correlation_id: "c-1".parse().unwrap(), body }
}

/// A key in memory where there would be a token.
#[derive(Clone)]
pub struct Signer(PKey<Private>);

impl Signer {
    pub fn generate() -> Self {
        Signer(PKey::generate_ed25519().unwrap())
    }

    /// The key that every test ledger's genesis names. It is thrown away in the sense that it protects nothing.
    pub fn fixed() -> Self {
        Signer(PKey::private_key_from_raw_bytes(&acts::fixed("ledger key", 0).0, Id::ED25519).unwrap())
    }

    pub fn keys(&self) -> Vec<VerifierKey> {
        let key = PublicKey::from_spki(&self.0.public_key_to_der().unwrap()).unwrap();
        vec![VerifierKey::new(ORIGIN, key).unwrap()]
    }

    pub fn sign(&self, text: &str) -> SignedNote {
        let mut signer = openssl::sign::Signer::new_without_digest(&self.0).unwrap();
        let signature = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        SignedNote::new(text.into(), vec![(ORIGIN.into(), self.keys()[0].id(), signature)]).unwrap()
    }
}

pub struct Test {
    pub ledger: Ledger,
    pub path: PathBuf,
    pub clock: Clock,
    pub signer: Signer,
    folder: TempDir,
}

/// A ledger with `n` entries. Entry 0 is a genesis; then an intent, its outcome, a note and a refusal take turns. The
/// first three acts make `windows/1` and bring it to `active`; all further ones sign a file with it, some in vain.
pub fn ledger(n: u64) -> Test {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = clock();
    let mut ledger = Ledger::create(&path, clock.clone()).unwrap();
    ledger.host = "signer".into();
    let mut test = Test { ledger, path, clock, signer: Signer::fixed(), folder };
    test.grow(n);
    test
}

/// The intent of the `n`th act.
fn intent(n: u64) -> NewEntry {
    match n {
        0 => acts::intent(&windows()),
        1 => acts::intent(&acts::step("windows/1", State::Generated, State::Staged)),
        2 => acts::intent(&acts::step("windows/1", State::Staged, State::Active)),
        _ => acts::intent(&acts::sign("windows/1", n)),
    }
}

fn outcome(n: u64, intent: &Entry) -> NewEntry {
    match n {
        0 => acts::done(intent, json!({ "identity": acts::identity(&acts::p256(1), &windows().params) })),
        1 | 2 => acts::done(intent, json!({})),
        _ if n.is_multiple_of(5) => acts::not_done(intent, "failed"),
        _ if n.is_multiple_of(7) => acts::not_done(intent, "unknown"),
        _ => acts::done(intent, acts::signed(n)),
    }
}

/// What was asked before the `n`th act and refused.
fn refusal(n: u64) -> NewEntry {
    match n % 3 {
        0 => acts::refused(&acts::keygen("windows/2", Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary")),
        1 => acts::refused(&acts::step("windows/1", State::Active, State::Revoked)),
        _ => acts::refused(&acts::sign("windows/1", n)),
    }
}

fn windows() -> crate::request::Request<crate::request::GenerateKey> {
    acts::keygen("windows/1", Purpose::Authenticode, KeyAlgorithm::EcdsaP256, "primary")
}

impl Test {
    pub fn append(&mut self, entry_type: &str, body: Value) -> Entry {
        self.add(new_entry(entry_type, body))
    }

    pub fn add(&mut self, new: NewEntry) -> Entry {
        let mut writer = self.ledger.writer().unwrap();
        let entry = writer.append(new).unwrap();
        writer.commit().unwrap();
        entry
    }

    /// Appends `n` entries in one transaction.
    pub fn grow(&mut self, n: u64) {
        let genesis = acts::genesis(&self.signer);
        let mut writer = self.ledger.writer().unwrap();
        let size = writer.reader().size().unwrap();
        for seq in size..size + n {
            let new = match seq % 4 {
                _ if seq == 0 => acts::founding(&genesis),
                0 => refusal(seq / 4),
                1 => intent(seq / 4),
                2 => outcome(seq / 4, &writer.reader().entry(seq - 1).unwrap()),
                _ => new_entry("NOTE", json!({"n": seq})),
            };
            writer.append(new).unwrap();
        }
        writer.commit().unwrap();
    }

    pub fn checkpoint(&mut self) -> SignedNote {
        let signer = self.signer.clone();
        self.ledger.checkpoint(ORIGIN, |text| Ok(signer.sign(text))).unwrap()
    }

    pub fn reopen(&self) -> Ledger {
        Ledger::open(&self.path, self.clock.clone()).unwrap()
    }

    pub fn trust(&self) -> Trust {
        let genesis = self.leaf(0);
        Trust {
            workspace_id: WORKSPACE.into(),
            origin: ORIGIN.into(),
            ledger_keys: self.signer.keys(),
            genesis_leaf_hash: merkle::leaf_hash(&genesis),
        }
    }

    pub fn leaf(&self, seq: i64) -> Vec<u8> {
        self.ledger.connection.query_row("SELECT leaf FROM entries WHERE seq = ?1", [seq], |row| row.get(0)).unwrap()
    }

    /// Edits the file behind the program's back, past the triggers, and puts the triggers back.
    pub fn sabotage(&self, edit: impl FnOnce(&Connection)) {
        let raw = Connection::open(&self.path).unwrap();
        raw.execute_batch("PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON; BEGIN").unwrap();
        let triggers: Vec<(String, String)> = raw
            .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (name, _) in &triggers {
            raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        edit(&raw);
        for (_, sql) in &triggers {
            raw.execute_batch(sql).unwrap();
        }
        raw.execute_batch("COMMIT").unwrap();
    }

    /// Makes every stored leaf hash and node fit the stored leaves, as a careful forger would.
    pub fn rehash(raw: &Connection) {
        let leaves: Vec<(i64, Vec<u8>)> = raw
            .prepare("SELECT seq, leaf FROM entries ORDER BY seq")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        raw.execute_batch("DELETE FROM nodes").unwrap();
        let mut frontier = merkle::Frontier::default();
        for (seq, leaf) in leaves {
            let hash: Hash256 = merkle::leaf_hash(&leaf);
            raw.execute("UPDATE entries SET leaf_hash = ?1 WHERE seq = ?2", rusqlite::params![hash.0, seq]).unwrap();
            for node in frontier.push(hash) {
                let row = rusqlite::params![node.level, i64::try_from(node.index).unwrap(), node.hash.0];
                raw.execute("INSERT INTO nodes VALUES (?1, ?2, ?3)", row).unwrap();
            }
        }
    }

    /// Closes the ledger, which leaves the main file alone in the folder.
    pub fn close(self) -> TempDir {
        self.folder
    }
}
