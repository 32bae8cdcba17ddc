//! Appending: one transaction, one time, any number of entries.

use super::entry::{Entry, NewEntry, Schema};
use super::judge::{only_restricts, sets_time};
use super::proof::{Proven, prove};
use super::register::Register;
use super::{Before, Head, Ledger, Reader, Sql, projection, query, sql_int};
use crate::clock::{Time, rfc3339};
use crate::crypto::merkle;
use crate::error::{Error, Result};
use crate::model::{Environment, Hash256};
use crate::people::ApprovalRequest;
use crate::request::Kind;
use chrono::TimeDelta;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::json;

/// How far the clock may lie behind the newest entry before writing stops.
const MAX_BEHIND: TimeDelta = TimeDelta::minutes(5);

/// How far the clock may lie ahead of the newest entry, and of the time at which the file was last written: a workspace
/// in use has an entry at least as often as its keys are rotated. An entry from then would stop all writing until then.
const MAX_AHEAD: TimeDelta = TimeDelta::days(100);

/// The entry that brings a ledger of an earlier version forward: from it on each leaf says what the tables are.
pub const BROUGHT_FORWARD: &str = "LEDGER_BROUGHT_FORWARD";

/// The write lock of a ledger. Nothing is kept unless [`Self::commit`] is reached.
#[derive(Debug)]
pub struct Writer<'l> {
    transaction: Transaction<'l>,
    host: &'l str,
    now: Time,
    /// When the file was last written.
    written: Option<Time>,
    /// Only what restricts is written, whatever the clock says.
    restricts: bool,
    /// The ledger's time is set.
    sets_time: bool,
    /// The newest entry's time, or what it was set to.
    newest: Option<Time>,
    size: u64,
    /// The digest over the tables that decide.
    register: Option<Register>,
    /// No entry says that digest yet.
    is_old: bool,
    /// What the process will know when this is durable.
    proven: &'l mut Option<Proven>,
    /// An append failed half-way.
    spoiled: bool,
}

impl Ledger {
    /// Takes the write lock, waiting up to ten seconds, [proves](super::proof) what will be decided by, and reads the
    /// clock once for all entries to come.
    ///
    /// # Errors
    /// `ledger_busy`, `ledger_unwritable`, `ledger_corrupt` if the newest entry is not what was written;
    /// `tables_changed`, `tail_unproven`, `ledger_forked` (blocked).
    pub fn writer(&mut self) -> Result<Writer<'_>> {
        let transaction = begin(&mut self.connection)?;
        // After the lock, so that the time is not that of a wait before other writers' entries.
        let now = self.clock.now();
        let reader = Reader::new(&transaction);
        let size = reader.size()?;
        let newest = size.checked_sub(1).map(|seq| reader.entry(seq)).transpose()?.map(|entry| entry.leaves_time());
        let standing = prove(&transaction, self.trust.as_ref(), self.proven.as_ref())?;
        let (host, register, is_old) = (self.host.as_str(), standing.register, standing.is_old);
        Ok(Writer {
            transaction,
            host,
            now,
            written: self.written,
            restricts: false,
            sets_time: false,
            newest,
            size,
            register,
            is_old,
            proven: &mut self.proven,
            spoiled: false,
        })
    }
}

/// `BEGIN IMMEDIATE`.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).sql("taking the write lock")
}

impl Writer<'_> {
    /// Appends an entry and takes it into the projections.
    ///
    /// # Errors
    /// `clock_behind` (blocked) if the clock is more than five minutes behind the newest entry, `clock_ahead` if it is
    /// months ahead of it and of the file; what [`Entry::to_bytes`] and [`projection::apply`] refuse; database errors. If the database or the projection
    /// refused, the writer can no longer commit.
    pub fn append(&mut self, new: NewEntry) -> Result<Entry> {
        if self.is_old {
            self.bring_forward(&new)?;
        }
        let mut entry = Entry {
            schema: Schema::V1,
            seq: self.size,
            entry_type: new.entry_type,
            time: self.time()?,
            actor: new.actor,
            host: self.host.to_owned(),
            correlation_id: new.correlation_id,
            body: new.body,
            register: None,
        };
        // Asked for before anything is written.
        let mut form = entry.form()?;
        form.bytes(Some(Hash256([0; 32])))?;
        self.spoiled = true;
        projection::apply(&self.transaction, &entry)?;
        let register = match self.register {
            Some(before) => before.after(&self.transaction, &entry)?,
            None => Register::read(&self.transaction, entry.time)?,
        };
        entry.register = Some(register.digest());
        grow(&self.transaction, &entry, &form.bytes(entry.register)?)?;
        self.spoiled = false;
        self.register = Some(register);
        self.size += 1;
        self.newest = Some(entry.leaves_time());
        Ok(entry)
    }

    /// The first entry in a ledger whose entries say nothing of the tables yet. They were built anew just now.
    fn bring_forward(&mut self, next: &NewEntry) -> Result<()> {
        self.is_old = false;
        let by_hand = NewEntry {
            entry_type: BROUGHT_FORWARD.parse()?,
            actor: next.actor.clone(),
            correlation_id: next.correlation_id.clone(),
            body: json!({ "entries": self.size, "from": "keyctl.entry/v1 without a register" }),
        };
        self.append(by_hand).map(drop)
    }

    /// For reads within the transaction, projections included.
    pub fn connection(&self) -> &Connection {
        &self.transaction
    }

    /// What can be read, with the entries appended so far.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.transaction)
    }

    /// The newest entry's time, or what people set it to.
    pub fn newest(&self) -> Option<Time> {
        self.newest
    }

    /// What is decided by, with the entries appended so far.
    pub fn before(&self) -> Before<'_> {
        Before { tables: &self.transaction, entries: self.reader() }
    }

    /// Says what will be written. An act that only restricts works whatever the clock says: its entry has the time of
    /// the one before, so that a wrong clock stops nobody and is not made everybody's.
    pub fn is_for(&mut self, kind: Kind) {
        (self.restricts, self.sets_time) = (kind.only_restricts(), kind.sets_time());
    }

    /// As [`Self::is_for`], for the acts of an approval request.
    pub fn is_for_steps(&mut self, request: &ApprovalRequest) {
        (self.restricts, self.sets_time) = (only_restricts(request), sets_time(request));
    }

    /// The time to decide by: that of the next entry; for what only restricts the clock's, or the newest entry's if that
    /// is later, which is when the request for it was made; for what sets the ledger's time the clock's.
    ///
    /// # Errors
    /// As [`Self::time`].
    pub fn deciding_time(&self) -> Result<Time> {
        let latest = self.newest.map_or(self.now, |newest| self.now.max(newest));
        match (self.sets_time, self.restricts) {
            (true, _) => Ok(self.now),
            (_, true) => Ok(latest),
            _ => self.time(),
        }
    }

    /// The time that the next entry will have.
    ///
    /// # Errors
    /// `clock_behind` and `clock_ahead`, as in [`Self::append`].
    pub fn time(&self) -> Result<Time> {
        let Some(newest) = self.newest else { return Ok(self.now) };
        match self.check_clock(newest) {
            // Until it is set, the ledger's time is what it was.
            _ if self.sets_time => Ok(newest),
            Err(_) if self.restricts => Ok(newest),
            // Clocks are slewed and differ a little; times in the ledger still never go back.
            checked => checked.map(|()| self.now.max(newest)),
        }
    }

    fn check_clock(&self, newest: Time) -> Result<()> {
        let (now, of) = (rfc3339(self.now), rfc3339(newest));
        if self.now < newest - MAX_BEHIND {
            let message = format!("the clock says {now}, but the newest entry is of {of}");
            return Err(
                Error::blocked("clock_behind", message).hint("set the clock right; if it is right: keyctl set-time")
            );
        }
        let last = self.written.map_or(newest, |written| newest.max(written));
        // In a sandbox people try what comes later.
        if self.now <= last + MAX_AHEAD || query::genesis(&self.transaction)?.environment == Environment::Sandbox {
            return Ok(());
        }
        let days = MAX_AHEAD.num_days();
        let message = format!("the clock says {now}, more than {days} days after the newest entry ({of})");
        Err(Error::blocked("clock_ahead", message)
            .hint("set the clock right; if it is right: touch ledger.db in the workspace, which says so"))
    }

    /// Makes the entries durable and releases the lock.
    ///
    /// # Errors
    /// `ledger_unwritable` and other database errors, and a bug if an append failed before. Nothing was kept then.
    pub fn commit(self) -> Result<()> {
        if self.spoiled {
            return Err(Error::bug("a transaction of the ledger was to be committed after a failed append"));
        }
        let head = Head { size: self.size, root: merkle::root(&self.reader(), self.size)? };
        let now = self.register.map(|register| Proven { head, register });
        self.check_register()?;
        self.transaction.commit().sql("committing to the ledger")?;
        *self.proven = now;
        Ok(())
    }

    /// While it is being developed, what was kept up entry by entry is compared with the tables.
    fn check_register(&self) -> Result<()> {
        let Some(register) = self.register.filter(|_| cfg!(debug_assertions)) else { return Ok(()) };
        match Register::read(&self.transaction, register.time())? == register {
            true => Ok(()),
            false => Err(Error::bug("an entry moved a table that the digest over the register says it did not")),
        }
    }
}

/// Adds the leaf and the nodes it completes, and takes the entry into the projections.
pub(super) fn insert(connection: &Connection, entry: &Entry, leaf: &[u8]) -> Result<()> {
    grow(connection, entry, leaf)?;
    projection::apply(connection, entry)
}

/// Adds the leaf and the nodes it completes.
fn grow(connection: &Connection, entry: &Entry, leaf: &[u8]) -> Result<()> {
    let hash = merkle::leaf_hash(leaf);
    let new = merkle::append(&Reader::new(connection), entry.seq, hash)?;
    connection
        .prepare_cached("INSERT INTO entries (seq, leaf, leaf_hash) VALUES (?1, ?2, ?3)")
        .and_then(|mut insert| insert.execute(params![sql_int(entry.seq), leaf, hash.0]))
        .sql("appending an entry")?;
    for node in new.iter().filter(|node| node.level > 0) {
        connection
            .prepare_cached("INSERT INTO nodes (level, idx, hash) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute(params![node.level, sql_int(node.index), node.hash.0]))
            .sql("storing a node of the tree")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::ledger::testing::{self, new_entry};
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn entries_are_durable_after_the_commit_and_only_then() {
        let mut test = testing::ledger(3);
        let before = test.ledger.head().unwrap();
        let mut writer = test.ledger.writer().unwrap();
        writer.append(new_entry("NOTE", json!({"n": 1}))).unwrap();
        assert_eq!(writer.reader().head().unwrap().size, 4);
        drop(writer);
        assert_eq!(test.ledger.head().unwrap(), before);
        let mut writer = test.ledger.writer().unwrap();
        let entry = writer.append(new_entry("NOTE", json!({"n": 2}))).unwrap();
        writer.commit().unwrap();
        let other = test.reopen();
        assert_eq!((other.entry(3).unwrap(), other.head().unwrap().size), (entry, 4));
        assert_eq!(other.entries(1..9).map(|entry| entry.unwrap().seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(other.entry(4).unwrap_err().code(), "no_such_entry");
        assert_eq!(other.root_at(5).unwrap_err().code(), "no_such_entry");
        assert_eq!(other.inclusion_proof(0, 5).unwrap_err().code(), "no_such_entry");
    }

    #[test]
    fn times_never_go_back_and_a_clock_far_behind_stops_writing() {
        let mut test = testing::ledger(1);
        let first = test.ledger.entry(0).unwrap().time;
        test.clock.turn(TimeDelta::minutes(-5));
        assert_eq!(test.append("NOTE", json!({})).time, first);
        test.clock.turn(TimeDelta::seconds(-1));
        let mut writer = test.ledger.writer().unwrap();
        let refused = writer.append(new_entry("NOTE", json!({}))).unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (Kind::Blocked, "clock_behind"));
        drop(writer);
        test.clock.turn(TimeDelta::minutes(6));
        assert_eq!(test.append("NOTE", json!({})).time, first + TimeDelta::seconds(59));
    }

    #[test]
    fn what_only_restricts_is_written_under_any_clock_and_at_no_other_time() {
        let mut test = testing::ledger(9);
        let first = test.ledger.entry(8).unwrap().time;
        for turn in [TimeDelta::days(-2000), TimeDelta::days(4000)] {
            test.clock.turn(turn);
            let mut writer = test.ledger.writer().unwrap();
            writer.is_for(crate::request::Kind::SuspendKey);
            assert_eq!(writer.deciding_time().unwrap(), first.max(test.clock.now()));
            // In a sandbox the clock may go ahead.
            let expected = if test.clock.now() < first { first } else { test.clock.now() };
            assert_eq!(writer.append(new_entry("NOTE", json!({}))).unwrap().time, expected);
        }
    }

    #[test]
    fn a_transaction_has_one_time() {
        let mut test = testing::ledger(1);
        let clock = test.clock.clone();
        let mut writer = test.ledger.writer().unwrap();
        let first = writer.append(new_entry("NOTE", json!({}))).unwrap();
        clock.turn(TimeDelta::minutes(1));
        assert_eq!(writer.append(new_entry("NOTE", json!({}))).unwrap().time, first.time);
    }

    #[test]
    fn a_refused_entry_leaves_nothing_half_written() {
        let mut test = testing::ledger(2);
        let mut writer = test.ledger.writer().unwrap();
        assert_eq!(writer.append(new_entry("NOTE", json!([]))).unwrap_err().code(), "bad_entry");
        assert_eq!(writer.append(new_entry("NOTE", json!({"x": 1.5}))).unwrap_err().code(), "bad_json");
        let big = json!({"x": "x".repeat(super::super::MAX_LEAF)});
        assert_eq!(writer.append(new_entry("NOTE", big)).unwrap_err().code(), "entry_too_large");
        writer.append(new_entry("NOTE", json!({}))).unwrap();
        let orphan = writer.append(new_entry("NOTE", json!({"phase": "outcome", "intent": 77}))).unwrap_err();
        assert_eq!((orphan.kind(), orphan.code()), (Kind::Failed, "unknown_operation"));
        assert_eq!(writer.commit().unwrap_err().kind(), Kind::Bug);
        assert_eq!(test.ledger.head().unwrap().size, 2);
        test.append("NOTE", json!({}));
    }

    #[test]
    fn there_is_one_writer_at_a_time() {
        let mut test = testing::ledger(1);
        let mut other = test.reopen();
        other.connection.busy_timeout(Duration::from_millis(1)).unwrap();
        let writer = test.ledger.writer().unwrap();
        let busy = other.writer().unwrap_err();
        assert_eq!((busy.kind(), busy.code()), (Kind::Unavailable, "ledger_busy"));
        assert_eq!(other.head().unwrap().size, 1, "readers are not in the way");
        drop(writer);
        other.writer().unwrap();
    }

    #[test]
    fn a_full_disk_and_a_read_only_file_are_told_apart() {
        let mut test = testing::ledger(1);
        let pages: i64 = test.ledger.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let limit = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        test.ledger.connection.pragma_update_and_check(None, "max_page_count", pages, limit).unwrap();
        let mut writer = test.ledger.writer().unwrap();
        let full = writer.append(new_entry("NOTE", json!({"x": "x".repeat(100_000)}))).unwrap_err();
        assert_eq!((full.kind(), full.code()), (Kind::Failed, "disk_full"));
        drop(writer);
        let mut read_only = Ledger::open_read_only(&test.path, test.clock.clone()).unwrap();
        assert_eq!(read_only.writer().unwrap_err().code(), "ledger_unwritable");
        assert_eq!(read_only.head().unwrap().size, 1);
    }
}
