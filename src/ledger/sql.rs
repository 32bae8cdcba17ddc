//! SQLite's errors in the words of this program.

use crate::error::{Error, Kind, Result};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Says what was being done when SQLite failed.
///
/// | code | when |
/// |---|---|
/// | `ledger_busy` (unavailable) | another process held the lock for longer than the timeout |
/// | `ledger_unwritable` | disk full, read-only file or file system, failed write or sync |
/// | `ledger_corrupt` | not a database, broken pages, values of the wrong type or beyond the limits |
/// | `ledger_refused` | a constraint or a trigger said no |
/// | `ledger_failed` | anything else |
pub trait Sql<T> {
    /// Turns a SQLite error into ours; `doing` completes "while …".
    ///
    /// # Errors
    /// The same error, translated.
    fn sql(self, doing: &str) -> Result<T>;
}

impl<T> Sql<T> for rusqlite::Result<T> {
    fn sql(self, doing: &str) -> Result<T> {
        self.map_err(|error| translate(error, doing))
    }
}

fn translate(error: rusqlite::Error, doing: &str) -> Error {
    let (kind, code, what) = classify(&error);
    let translated = Error::new(kind, code, format!("{what} while {doing}"));
    let translated = match code {
        "ledger_busy" => translated.hint("try again when the other keyctl process is done"),
        "ledger_corrupt" => translated.hint("keyctl audit log"),
        "disk_full" => translated.hint("nothing was written; make room, then repeat the command"),
        _ => translated,
    };
    translated.because(error)
}

fn classify(error: &rusqlite::Error) -> (Kind, &'static str, &'static str) {
    const CORRUPT: (Kind, &str, &str) = (Kind::Failed, "ledger_corrupt", "the ledger is damaged");
    const UNWRITABLE: (Kind, &str, &str) = (Kind::Failed, "ledger_unwritable", "the ledger cannot be written");
    let Some(sqlite) = error.sqlite_error() else {
        return match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => CORRUPT,
            _ => (Kind::Failed, "ledger_failed", "the ledger failed"),
        };
    };
    match sqlite.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            (Kind::Unavailable, "ledger_busy", "the ledger is locked by another process")
        }
        ErrorCode::DiskFull => (Kind::Failed, "disk_full", "the ledger cannot be written: its disk is full"),
        ErrorCode::ReadOnly => UNWRITABLE,
        ErrorCode::SystemIoFailure if is_write(sqlite.extended_code) => UNWRITABLE,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig => CORRUPT,
        ErrorCode::ConstraintViolation => (Kind::Failed, "ledger_refused", "the ledger's rules refused a row"),
        _ => (Kind::Failed, "ledger_failed", "the ledger failed"),
    }
}

fn is_write(extended_code: i32) -> bool {
    matches!(
        extended_code,
        ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_DIR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMOPEN
    )
}

/// A size or place as SQLite keeps it. Trees are smaller than 2^63, so what does not fit matches no row.
pub(crate) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
