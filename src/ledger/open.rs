//! Making and opening the file.
//!
//! The file may come from someone hostile: an auditor opens what he is given. So the settings below narrow what
//! a crafted database can do (no views, no functions in its schema, sizes limited), reading checks cell sizes, and
//! a ledger is opened for writing only if it is ours and its schema is exactly the expected one, since an added
//! trigger would run in our transactions.

use super::{Ledger, Sql, projection};
use crate::clock::{Clock, Time};
use crate::crypto::sha256::Sha256;
use crate::error::{Context, Error, Result};
use crate::model::Hash256;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `PRAGMA application_id`: "kctl".
pub const APPLICATION_ID: i32 = 0x6b63_746c;

/// `PRAGMA user_version`: the version of the schema.
pub const SCHEMA_VERSION: i32 = 1;

/// SQL that a connection keeps ready; a signature takes some thirty, and the digest over the register as many.
const SENTENCES: usize = 128;

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);

const SCHEMA: &str = include_str!("schema.sql");

/// The hash of the schema as this program makes it: one that has it need not be compared with a model, object by
/// object, which takes longer than all else at opening. A test holds it.
const SCHEMA_HASH: &str = "7293d0f68d02e7b5dffc803a0af83e68bbadd3998a6a284b2cfdaf2aa080de3f";

impl Ledger {
    /// Makes a new ledger, readable by its owner only, with no entries yet. It is on the disk when this returns.
    ///
    /// # Errors
    /// `ledger_exists` if there is a file already; `ledger_unwritable` and other file errors. A file made here is
    /// removed again on failure.
    pub fn create(path: &Path, clock: Clock) -> Result<Self> {
        let path = located(path)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|error| {
            let (code, what) = match error.kind() {
                std::io::ErrorKind::AlreadyExists => ("ledger_exists", "exists already"),
                _ => ("ledger_unwritable", "cannot be made"),
            };
            Error::failed(code, format!("{} {what}", path.display())).because(error)
        })?;
        let made = fill(&path).and_then(|connection| sync_folder_of(&path).map(|()| connection));
        let connection = made.inspect_err(|_| remove(&path))?;
        Ok(ledger(connection, clock))
    }

    /// Opens a ledger for reading and writing.
    ///
    /// # Errors
    /// `ledger_file` if it is not a regular file of ours that only we can write, `ledger_schema` if it is not a
    /// ledger of this form, `ledger_version`, `ledger_corrupt`, `ledger_unwritable`, `ledger_busy`.
    pub fn open(path: &Path, clock: Clock) -> Result<Self> {
        let path = located(path)?;
        let written = check_file(&path, true)?;
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if connection.is_readonly("main").sql("opening the ledger")? {
            return Err(Error::failed("ledger_unwritable", format!("{} is read-only", path.display())));
        }
        check_identity(&connection).map_err(|error| error.about(path.display()))?;
        write_ahead(&connection)?;
        if let Some((object, difference)) = schema_differences(&connection)?.into_iter().next() {
            let message = format!("{}: the schema was changed: {object} {difference}", path.display());
            return Err(Error::failed("ledger_schema", message).hint("keyctl audit log"));
        }
        Ok(Ledger { written, ..ledger(connection, clock) })
    }

    /// Opens a ledger, or a copy of one, for reading only. Nobody's file is refused for its owner, nor for a changed
    /// schema, which is verification's to report. A copy without its `-wal` file shows the state of its last
    /// checkpoint into the main file, even in a folder that cannot be written.
    ///
    /// # Errors
    /// `ledger_file` if it is not a regular file, `ledger_schema` if it is not a ledger, `ledger_version`,
    /// `ledger_corrupt`.
    pub fn open_read_only(path: &Path, clock: Clock) -> Result<Self> {
        let path = located(path)?;
        check_file(&path, false)?;
        let shared = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| check_identity(&connection).map(|()| connection));
        let connection = match shared {
            // WAL wants to make its index beside the file. Where it cannot, and there is no WAL with newer pages, the
            // main file is all there is. If its owner begins to write just then, verification may see pages of two
            // states and find faults that are none; it cannot take a bad ledger for a good one.
            Err(error) if cannot_share(&error) && !with_suffix(&path, "-wal").exists() => immutable(&path)?,
            other => other.map_err(|error| error.about(path.display()))?,
        };
        connection.pragma_update(None, "query_only", true).sql("opening the ledger")?;
        Ok(ledger(connection, clock))
    }
}

fn ledger(connection: Connection, clock: Clock) -> Ledger {
    let name = rustix::system::uname();
    let name: String = name.nodename().to_string_lossy().chars().filter(|c| !c.is_control()).take(60).collect();
    let host = if name.is_empty() { "localhost".to_owned() } else { name };
    Ledger { connection, clock, host, trust: None, written: None, proven: None }
}

/// The absolute path, through a resolved parent, so that SQLite sees neither a URI nor a link.
fn located(path: &Path) -> Result<PathBuf> {
    let bad = || Error::usage("bad_path", format!("{} does not name a file", path.display()));
    let name = path.file_name().ok_or_else(bad)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent)
        .or_failed("ledger_file", || format!("the folder {} cannot be opened", parent.display()))?;
    Ok(parent.join(name))
}

/// Checks what kind of file it is, and whose; gives when it was last written.
fn check_file(path: &Path, ours: bool) -> Result<Option<Time>> {
    let refuse = |what: &str| Err(Error::failed("ledger_file", format!("{} {what}", path.display())));
    let found =
        fs::symlink_metadata(path).or_failed("ledger_file", || format!("{} cannot be opened", path.display()))?;
    if !found.file_type().is_file() {
        return refuse("is not a regular file");
    }
    if ours && found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    if ours && found.mode() & 0o022 != 0 {
        return refuse("can be written by others");
    }
    Ok(Time::from_timestamp(found.mtime(), 0))
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).sql("opening the ledger")?;
    harden(&connection).sql("opening the ledger")?;
    Ok(connection)
}

/// What SQLite says when it may not write the side files of a WAL, depending on which of them is missing.
fn cannot_share(error: &Error) -> bool {
    matches!(error.code(), "ledger_failed" | "ledger_unwritable")
}

/// Opens without locks and without looking for a WAL, promising SQLite that the file does not change.
fn immutable(path: &Path) -> Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let connection = connect(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
    check_identity(&connection).map_err(|error| error.about(path.display()))?;
    Ok(connection)
}

/// What every connection has, before the first page is read.
pub(super) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        connection.set_db_config(option, on)?;
    }
    for (limit, value) in [
        // Bytes of one value or row; a leaf has up to 1 MiB.
        (Limit::SQLITE_LIMIT_LENGTH, 2 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 64),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 64),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 4),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(SENTENCES);
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Without it, INSERT OR REPLACE would remove rows past the triggers that refuse it.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "temp_store", "memory")
}

/// Is this a ledger, and of the version we know? Also the first read, so a file that is no database shows here.
fn check_identity(connection: &Connection) -> Result<()> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id").sql("opening the ledger")?;
    if application != APPLICATION_ID {
        return Err(Error::failed("ledger_schema", "the file is a database, but not a keyctl ledger"));
    }
    let version = number("user_version").sql("opening the ledger")?;
    if version != SCHEMA_VERSION {
        let message = format!("the ledger has version {version} of the schema, this program knows {SCHEMA_VERSION}");
        return Err(Error::failed("ledger_version", message));
    }
    Ok(())
}

/// Write-ahead log, synced at every commit.
fn write_ahead(connection: &Connection) -> Result<()> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .sql("opening the ledger for writing")?;
    if mode != "wal" {
        let message = format!("the ledger's journal is in mode {mode:?}; its file system may not support WAL");
        return Err(Error::failed("ledger_unwritable", message));
    }
    connection.pragma_update(None, "synchronous", "full").sql("opening the ledger for writing")
}

fn fill(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    write_ahead(&connection)?;
    let transaction = connection.unchecked_transaction().sql("making the ledger")?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).sql("making the ledger")?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).sql("making the ledger")?;
    build(&transaction).sql("making the ledger")?;
    transaction.commit().sql("making the ledger")?;
    Ok(connection)
}

/// Runs the schema.
fn build(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(projection::SCHEMA)
}

/// Where `sqlite_schema` differs from what this program makes: the object, and how. Comments and spacing do not count.
pub(super) fn schema_differences(connection: &Connection) -> Result<Vec<(String, String)>> {
    if schema_hash(connection).sql("reading the ledger's schema")?.to_string() == SCHEMA_HASH {
        return Ok(Vec::new());
    }
    let model = Connection::open_in_memory().and_then(|model| build(&model).map(|()| model));
    let mut expected = objects(&model.sql("building the expected schema")?)?;
    let mut differences = Vec::new();
    for (object, sql) in objects(connection)? {
        match expected.remove(&object) {
            None => differences.push((object, "does not belong here".to_owned())),
            Some(known) if known != sql => differences.push((object, "is defined differently".to_owned())),
            Some(_) => {}
        }
    }
    differences.extend(expected.into_keys().map(|object| (object, "is missing".to_owned())));
    Ok(differences)
}

/// One hash over the text of all objects.
fn schema_hash(connection: &Connection) -> rusqlite::Result<Hash256> {
    let mut query =
        connection.prepare("SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema ORDER BY name")?;
    let mut rows = query.query([])?;
    let mut hasher = Sha256::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            let text = row.get_ref(column)?.as_bytes()?;
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
    }
    Ok(hasher.finish())
}

fn objects(connection: &Connection) -> Result<BTreeMap<String, (String, String)>> {
    let read = || {
        let mut query = connection.prepare("SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema")?;
        let rows = query.query_map([], |row| {
            let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
            Ok((format!("{kind} {name}"), (row.get(2)?, plain(&sql))))
        })?;
        rows.collect::<rusqlite::Result<_>>()
    };
    read().sql("reading the ledger's schema")
}

/// SQL without `--` comments and with single spaces. Text in single quotes stays as it is; our schema has no other
/// quotes and no block comments, so SQL that hides something behind those cannot come out equal to it.
fn plain(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let (mut quoted, mut chars) = (false, sql.chars().peekable());
    while let Some(c) = chars.next() {
        quoted ^= c == '\'';
        if !quoted && c == '-' && chars.peek() == Some(&'-') {
            chars.by_ref().find(|c| *c == '\n');
        } else if quoted || !c.is_ascii_whitespace() {
            out.push(c);
            continue;
        }
        if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a ledger that could not be finished, with its side files.
pub(super) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(with_suffix(path, suffix));
    }
}

fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .or_failed("ledger_unwritable", || format!("the folder {} cannot be synced", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, clock};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_new_ledger_is_private_and_is_never_made_over_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = Ledger::create(&path, clock()).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        }
        let synchronous: i32 = ledger.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synchronous, 2);
        assert_eq!(Ledger::create(&path, clock()).unwrap_err().code(), "ledger_exists");
        drop(ledger);
        assert_eq!(Ledger::open(&path, clock()).unwrap().head().unwrap().size, 0);
        assert!(Ledger::create(&folder.path().join("no/such"), clock()).is_err());
    }

    #[test]
    fn files_that_are_no_ledger_of_ours_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let code = |path: &Path| Ledger::open(path, clock()).unwrap_err().code();
        assert_eq!(code(&path), "ledger_file");
        fs::write(&path, "this is no database, but it is long enough to be taken for one ".repeat(20)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(code(&path), "ledger_corrupt");
        assert_eq!(Ledger::open_read_only(&path, clock()).unwrap_err().code(), "ledger_corrupt");
        fs::write(&path, "").unwrap();
        assert_eq!(code(&path), "ledger_schema");
        fs::remove_file(&path).unwrap();

        drop(Ledger::create(&path, clock()).unwrap());
        let raw = Connection::open(&path).unwrap();
        raw.pragma_update(None, "user_version", 2).unwrap();
        assert_eq!(code(&path), "ledger_version");
        raw.pragma_update(None, "user_version", 1).unwrap();
        raw.execute_batch("CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM intents; END").unwrap();
        assert_eq!(code(&path), "ledger_schema");
        raw.execute_batch("DROP TRIGGER evil").unwrap();
        drop(raw);
        drop(Ledger::open(&path, clock()).unwrap());

        let link = folder.path().join("link.db");
        symlink(&path, &link).unwrap();
        assert_eq!(code(&link), "ledger_file");
        assert_eq!(code(folder.path()), "ledger_file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(code(&path), "ledger_file");
        drop(Ledger::open_read_only(&path, clock()).unwrap());
    }

    #[test]
    fn a_copy_without_its_wal_can_be_read() {
        let test = testing::ledger(5);
        let head = test.ledger.head().unwrap();
        let original = test.path.clone();
        let folder = test.close();
        let copy = folder.path().join("a ?copy%#.db");
        fs::copy(&original, &copy).unwrap();
        for mode in [0o600, 0o400] {
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
            let read = Ledger::open_read_only(&copy, clock()).unwrap();
            assert_eq!(read.head().unwrap(), head);
            assert!(read.connection.execute_batch("DROP TRIGGER nodes_stay").is_err());
        }
        let alone = super::ledger(immutable(&copy).unwrap(), clock());
        assert_eq!(alone.head().unwrap(), head);
        // Where the folder cannot be written and one is not root, only the second way is open.
        let sealed = folder.path().join("sealed");
        fs::create_dir(&sealed).unwrap();
        fs::copy(&original, sealed.join("l.db")).unwrap();
        fs::set_permissions(&sealed, fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(Ledger::open_read_only(&sealed.join("l.db"), clock()).unwrap().head().unwrap(), head);
        fs::set_permissions(&sealed, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn the_schema_is_known_by_its_hash() {
        let model = Connection::open_in_memory().unwrap();
        build(&model).unwrap();
        assert_eq!(schema_hash(&model).unwrap().to_string(), SCHEMA_HASH, "SCHEMA_HASH is that of an older schema");
    }

    #[test]
    fn the_schema_can_be_compared_without_its_comments() {
        for text in [SCHEMA, projection::SCHEMA] {
            let bare: String = text.lines().map(|line| line.split("--").next().unwrap()).collect();
            assert!(!bare.contains(['"', '`', '[']) && !text.contains("/*"), "{bare}");
        }
        assert_eq!(plain("a -- x' \n  b 'c  -- d' --"), "a b 'c  -- d' ");
        assert_ne!(plain("a \"-- x\n\" b"), plain("a b"));
    }
}
