//! The digest over the tables that decide.
//!
//! The gate believes tables, and whoever can write the file can change one for a second and put it back. So each entry
//! says in its leaf what those tables were after it: one hash over everything that a decision looks up. The tree covers
//! the leaf, checkpoints cover the tree; and before anything is decided or written the tables are hashed again, in the
//! same transaction, and compared ([`super::proof`]).
//!
//! **What is covered**: [`SLOW`] whole, or as far as it is in force (the newest settings, the newest roster, of each CA
//! the lists since the last one that was published, intents that may still block something); and of the consumed
//! requests with their steps those that may still be run ([`by_leave`]). All of that is as large as the register of
//! keys, however much was signed.
//!
//! **What is not**: artifacts with their contents, cosigners and marks, intents to sign and their outcomes, papers of
//! the change advisory board and how often each was used. They grow with what is signed. Papers are checked row by row
//! when they are read; of the others a forged row is the audit's to find.

use super::Sql;
use super::entry::Entry;
use crate::clock::{Time, rfc3339};
use crate::crypto::sha256::Sha256;
use crate::error::Result;
use crate::model::Hash256;
use crate::request::Kind;
use chrono::TimeDelta;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params};

/// Tables that an act with people's leave or a signature does not change, each with the rows that count, in an order
/// that is theirs.
const SLOW: &[(&str, &str)] = &[
    ("genesis", "SELECT * FROM genesis ORDER BY seq"),
    ("settings", "SELECT * FROM settings ORDER BY seq DESC LIMIT 1"),
    ("tokens", "SELECT * FROM tokens ORDER BY hsm, seq"),
    ("intents", "SELECT * FROM intents WHERE outcome IS NULL AND type <> 'PACKAGE_SIGNED' ORDER BY seq"),
    ("generations", "SELECT * FROM generations ORDER BY key, number"),
    ("public_keys", "SELECT * FROM public_keys ORDER BY spki_sha256"),
    ("serials", "SELECT * FROM serials ORDER BY issuer, serial"),
    ("keyrings", "SELECT * FROM keyrings ORDER BY key, fingerprint"),
    ("touched", "SELECT * FROM touched ORDER BY subject"),
    ("follow_ups", "SELECT * FROM follow_ups ORDER BY seq, kind"),
    ("rosters", "SELECT * FROM rosters ORDER BY seq DESC LIMIT 1"),
    ("suspensions", "SELECT * FROM suspensions ORDER BY key"),
    ("roster_suspensions", "SELECT * FROM roster_suspensions ORDER BY email"),
    ("grants", "SELECT * FROM grants ORDER BY grant_id"),
    ("issuers", "SELECT * FROM issuers ORDER BY generation"),
    ("revocations", "SELECT * FROM revocations ORDER BY generation"),
    ("crl_entries", "SELECT * FROM crl_entries ORDER BY issuer, serial"),
    (
        "crls",
        "SELECT c.* FROM (SELECT DISTINCT issuer FROM crls) AS i JOIN crls AS c ON c.issuer = i.issuer AND c.number >=
         (SELECT coalesce(max(number), 0) FROM crls WHERE issuer = i.issuer AND outcome IS NOT NULL)
         ORDER BY c.issuer, c.number",
    ),
    ("cab_withdrawn", "SELECT * FROM cab_withdrawn ORDER BY approval_id"),
    ("rotations", "SELECT * FROM rotations ORDER BY seq"),
    ("rotation_failures", "SELECT * FROM rotation_failures ORDER BY seq"),
    ("key_tests", "SELECT * FROM key_tests ORDER BY generation, certificate"),
    ("root_links", "SELECT * FROM root_links ORDER BY subject, issuer"),
    ("published_files", "SELECT * FROM published_files ORDER BY name"),
    ("key_reviews", "SELECT * FROM key_reviews ORDER BY generation"),
    ("expiry_alerts", "SELECT * FROM expiry_alerts ORDER BY generation, days"),
];

/// No approval request lives longer than a day (D3), so one that was made before this cannot be run any more, nor can
/// any that was consumed before it.
const REQUESTS_LIVE: TimeDelta = TimeDelta::days(2);

/// The digest in two parts: what most entries leave as it is, and what people's leave moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register {
    slow: Hash256,
    by_leave: Hash256,
    time: Time,
}

impl Register {
    /// Of the tables as they stand, at the time of the newest entry.
    ///
    /// # Errors
    /// Database errors.
    pub fn read(conn: &Connection, time: Time) -> Result<Self> {
        Ok(Register { slow: slow(conn)?, by_leave: by_leave(conn, time)?, time })
    }

    /// The same tables, judged at another time.
    ///
    /// # Errors
    /// Database errors.
    pub fn at(&self, conn: &Connection, time: Time) -> Result<Self> {
        if self.time == time {
            return Ok(*self);
        }
        Ok(Register { by_leave: by_leave(conn, time)?, time, ..*self })
    }

    /// After `entry` was taken into the tables: only what it can have moved is read again.
    ///
    /// # Errors
    /// Database errors.
    pub fn after(&self, conn: &Connection, entry: &Entry) -> Result<Self> {
        match (Kind::of_entry(entry.entry_type.as_str()), entry.phase()) {
            (Some(_), Some("refused")) => self.at(conn, entry.time),
            (Some(Kind::SignArtifact), Some(_)) => {
                Ok(Register { by_leave: by_leave(conn, entry.time)?, time: entry.time, ..*self })
            }
            _ => Register::read(conn, entry.time),
        }
    }

    /// At which time.
    pub fn time(&self) -> Time {
        self.time
    }

    /// What the leaf says.
    pub fn digest(&self) -> Hash256 {
        let mut hasher = Sha256::new();
        hasher.update(b"keyctl.register/v1\n");
        hasher.update(&self.slow.0);
        hasher.update(&self.by_leave.0);
        hasher.finish()
    }
}

fn slow(conn: &Connection) -> Result<Hash256> {
    let mut hasher = Sha256::new();
    for (table, sql) in SLOW {
        cell(&mut hasher, b'#', table.as_bytes());
        rows(conn, &mut hasher, sql, [], |_| true)?;
    }
    Ok(hasher.finish())
}

/// Consumed requests from the newest back to the first that cannot be run any more, each with its steps, and the uses
/// of grants.
fn by_leave(conn: &Connection, time: Time) -> Result<Hash256> {
    let mut hasher = Sha256::new();
    let floor = rfc3339(time - REQUESTS_LIVE);
    // What the request says of itself is covered by its hash, which is compared when it is read.
    let sql = "SELECT request_id, seq, sha256, json_extract(doc, '$.created_at') FROM requests ORDER BY seq DESC";
    let mut live = Vec::new();
    rows(conn, &mut hasher, sql, [], |cells| {
        let text = |at: usize| cells.get(at).map(|cell: &Cell| String::from_utf8_lossy(&cell.1).into_owned());
        live.extend(text(0));
        text(3).is_some_and(|made| made >= floor)
    })?;
    for request_id in live {
        cell(&mut hasher, b'#', request_id.as_bytes());
        let sql = "SELECT step, intent, result FROM request_steps WHERE request_id = ?1 ORDER BY step";
        rows(conn, &mut hasher, sql, [request_id], |_| true)?;
    }
    cell(&mut hasher, b'#', b"grant_uses");
    rows(conn, &mut hasher, "SELECT * FROM grant_uses ORDER BY grant_id, generation", [], |_| true)?;
    Ok(hasher.finish())
}

/// A value of a row: its type and its bytes.
type Cell = (u8, Vec<u8>);

/// Takes rows in as long as `goes_on` says so; the one at which it does not is still taken in.
fn rows(
    conn: &Connection,
    hasher: &mut Sha256,
    sql: &str,
    params: impl Params,
    mut goes_on: impl FnMut(&[Cell]) -> bool,
) -> Result<()> {
    let doing = "reading the tables that decide";
    let mut query = conn.prepare_cached(sql).sql(doing)?;
    let columns = query.column_count();
    let mut rows = query.query(params).sql(doing)?;
    while let Some(row) = rows.next().sql(doing)? {
        let mut cells: Vec<Cell> = Vec::with_capacity(columns);
        for column in 0..columns {
            cells.push(match row.get_ref(column).sql(doing)? {
                ValueRef::Null => (b'n', Vec::new()),
                ValueRef::Integer(number) => (b'i', number.to_be_bytes().to_vec()),
                ValueRef::Real(number) => (b'r', number.to_be_bytes().to_vec()),
                ValueRef::Text(text) => (b't', text.to_vec()),
                ValueRef::Blob(blob) => (b'b', blob.to_vec()),
            });
        }
        cells.iter().for_each(|(kind, bytes)| cell(hasher, *kind, bytes));
        if !goes_on(&cells) {
            break;
        }
    }
    cell(hasher, b'.', b"");
    Ok(())
}

/// One value, with its type and length, so that no two lists of values give the same bytes.
fn cell(hasher: &mut Sha256, kind: u8, bytes: &[u8]) {
    hasher.update(&[kind]);
    hasher.update(&(bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}
