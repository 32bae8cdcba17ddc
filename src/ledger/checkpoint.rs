//! Checkpoints: signed tree heads, kept in the order in which they grew.
//!
//! A checkpoint is made under the ledger's write lock, so that two processes never have different ideas of the
//! newest one, and no key signs two heads of one size. Whether the signature verifies is known to whoever asked
//! the token for it; [`verify`](super::verify::verify()) checks all of them against pinned keys.

use super::proof::prove;
use super::writer::begin;
use super::{Ledger, Reader, Sql, sql_int};
use crate::crypto::note::{Checkpoint, SignedNote};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension, params};

impl Ledger {
    /// Has the current head signed and keeps the checkpoint, holding the write lock while `sign` talks to the token.
    /// `sign` is given the note text. If the newest checkpoint covers the head already, that one is returned and
    /// `sign` is not called.
    ///
    /// # Errors
    /// `ledger_empty`; `tables_changed` and `tail_unproven` as for a writer; `checkpoint_refused` if the newest checkpoint is of another log or covers more than there is;
    /// whatever `sign` returns, and then nothing was kept; a bug if it signed another text.
    pub fn checkpoint(&mut self, origin: &str, sign: impl FnOnce(&str) -> Result<SignedNote>) -> Result<SignedNote> {
        let transaction = begin(&mut self.connection)?;
        let reader = Reader::new(&transaction);
        let head = reader.head()?;
        if head.size == 0 {
            return Err(Error::failed("ledger_empty", "the ledger has no entries to make a checkpoint of"));
        }
        // What is signed here is believed everywhere.
        prove(&transaction, self.trust.as_ref(), self.proven.as_ref())?;
        let text = Checkpoint { origin: origin.to_owned(), size: head.size, root: head.root }.text();
        if let Some(newest) = reader.latest_checkpoint()? {
            if newest.text() == text {
                return Ok(newest);
            }
            if newest.text().parse::<Checkpoint>()?.size >= head.size {
                let message = format!("there is another checkpoint over {} entries or more", head.size);
                return Err(Error::failed("checkpoint_refused", message).hint("keyctl audit log"));
            }
        }
        let note = sign(&text)?;
        if note.text() != text {
            return Err(Error::bug("another text was signed than the ledger's head"));
        }
        store(&transaction, &note)?;
        transaction.commit().sql("keeping a checkpoint")?;
        Ok(note)
    }

    /// Keeps a checkpoint that was made elsewhere, for instance on another machine that holds the log.
    ///
    /// # Errors
    /// `bad_checkpoint` if the note is none; `checkpoint_refused` if it covers less than the newest one, more than
    /// there is, or has another root than these entries. One of the newest's size with the same root is not kept
    /// again.
    pub fn store_checkpoint(&mut self, note: &SignedNote) -> Result<()> {
        let transaction = begin(&mut self.connection)?;
        store(&transaction, note)?;
        transaction.commit().sql("keeping a checkpoint")
    }
}

/// The rules of [`Ledger::store_checkpoint`], within a transaction that can write.
pub(super) fn store(connection: &Connection, note: &SignedNote) -> Result<()> {
    let refused = |why: String| Err(Error::failed("checkpoint_refused", why));
    let reader = Reader::new(connection);
    let checkpoint: Checkpoint = note.text().parse()?;
    let (size, have) = (checkpoint.size, reader.size()?);
    if size == 0 || size > have {
        return refused(format!("the checkpoint covers {size} entries, the ledger has {have}"));
    }
    let root = reader.root_at(size)?;
    if root != checkpoint.root {
        return refused(format!("the checkpoint's root over {size} entries is not that of this ledger"));
    }
    let newest: Option<i64> = connection
        .query_row("SELECT max(size) FROM checkpoints", [], |row| row.get(0))
        .optional()
        .sql("reading the newest checkpoint")?
        .flatten();
    match newest {
        Some(newest) if newest > sql_int(size) => {
            return refused(format!("the checkpoint covers {size} entries, the newest one {newest}"));
        }
        Some(newest) if newest == sql_int(size) => return Ok(()),
        _ => {}
    }
    connection
        .execute(
            "INSERT INTO checkpoints (size, root, note) VALUES (?1, ?2, ?3)",
            params![sql_int(size), root.0, note.to_string()],
        )
        .sql("keeping a checkpoint")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, ORIGIN};
    use crate::model::Hash256;
    use serde_json::json;

    #[test]
    fn the_head_is_signed_once() {
        let mut test = testing::ledger(3);
        let signer = test.signer.clone();
        let first = test.ledger.checkpoint(ORIGIN, |text| Ok(signer.sign(text))).unwrap();
        let read = first.verify_checkpoint(&signer.keys(), ORIGIN).unwrap();
        assert_eq!((read.size, read.root), (3, test.ledger.root_at(3).unwrap()));
        let again = test.ledger.checkpoint(ORIGIN, |_| panic!("signed twice")).unwrap();
        assert_eq!(again, first);
        test.append("NOTE", json!({}));
        test.ledger.checkpoint(ORIGIN, |_| Err(Error::unavailable("token_gone", "gone"))).unwrap_err();
        assert_eq!(test.ledger.latest_checkpoint().unwrap().unwrap(), first);
        assert!(test.ledger.checkpoint(ORIGIN, |_| Ok(first.clone())).is_err(), "an old head for the new one");
        assert_eq!(test.ledger.head().unwrap().size, 4);
        let second = test.ledger.checkpoint(ORIGIN, |text| Ok(signer.sign(text))).unwrap();
        assert_eq!(test.ledger.latest_checkpoint().unwrap().unwrap(), second);
        let other_log = test.ledger.checkpoint("other.example/log", |_| panic!("signed a second head of one size"));
        assert_eq!(other_log.unwrap_err().code(), "checkpoint_refused");
    }

    #[test]
    fn checkpoints_only_grow_and_fit_the_entries() {
        let mut test = testing::ledger(5);
        let signer = test.signer.clone();
        let note = |size, root| signer.sign(&Checkpoint { origin: ORIGIN.into(), size, root }.text());
        let root = |size| test.ledger.root_at(size).unwrap();
        let (three, four) = (note(3, root(3)), note(4, root(4)));
        let bad = [note(4, root(3)), note(6, root(5)), note(0, Hash256::of(b"")), note(u64::MAX, root(1))];
        for note in &bad {
            assert_eq!(test.ledger.store_checkpoint(note).unwrap_err().code(), "checkpoint_refused");
        }
        test.ledger.store_checkpoint(&four).unwrap();
        let again = SignedNote::new(four.text().into(), vec![("witness".into(), 7, vec![1])]).unwrap();
        test.ledger.store_checkpoint(&again).unwrap();
        assert_eq!(test.ledger.latest_checkpoint().unwrap().unwrap(), four, "the first one of a size stays");
        assert_eq!(test.ledger.store_checkpoint(&three).unwrap_err().code(), "checkpoint_refused");
        assert_eq!(test.ledger.store_checkpoint(&signer.sign("text\n")).unwrap_err().code(), "bad_checkpoint");
    }
}
