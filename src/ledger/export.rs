//! A ledger as one text file, and back.
//!
//! JSON lines: a header, then each leaf's exact bytes in base64 in order, then the checkpoints. Nodes and
//! projections are left out, since they follow. An import checks the same things as a writer, so what it makes
//! verifies as the original does, with the same trust and the same anchors.

use super::{Entry, Head, Ledger, Reader, Sql, checkpoint, open, sql_int, writer};
use crate::clock::Clock;
use crate::crypto::jcs;
use crate::crypto::note::SignedNote;
use crate::error::{Context, Error, Result};
use crate::ledger::read::{Leaves, bytes};
use crate::model::Hash256;
use base64ct::{Base64, Encoding};
use rusqlite::Connection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{BufRead, Read, Write};
use std::path::Path;

/// The most bytes of a line: a leaf of 1 MiB in base64, and what is around it.
const MAX_LINE: usize = 2 << 20;

#[derive(Serialize, Deserialize)]
enum Schema {
    #[serde(rename = "keyctl.ledger-export/v1")]
    V1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: Schema,
    entries: u64,
    root: Hash256,
    checkpoints: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafLine {
    seq: u64,
    leaf: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine {
    checkpoint: String,
}

/// Writes a snapshot of the ledger to `out` and says which head it has.
///
/// # Errors
/// `export_unwritable` if `out` fails; `ledger_corrupt` and other database errors.
pub fn export(ledger: &Ledger, out: &mut impl Write) -> Result<Head> {
    let snapshot = ledger.connection.unchecked_transaction().sql("taking a snapshot for the export")?;
    let head = Reader::new(&snapshot).head()?;
    let checkpoints: i64 =
        snapshot.query_row("SELECT count(*) FROM checkpoints", [], |row| row.get(0)).sql("counting checkpoints")?;
    let checkpoints = u64::try_from(checkpoints).unwrap_or(0);
    write_line(out, &Header { schema: Schema::V1, entries: head.size, root: head.root, checkpoints })?;
    for (seq, leaf) in (0..).zip(Leaves::new(&snapshot, 0, sql_int(head.size))) {
        let leaf = leaf?;
        if leaf.seq != sql_int(seq) {
            return Err(Error::failed("ledger_corrupt", format!("entry {seq} is missing")).hint("keyctl audit log"));
        }
        write_line(out, &LeafLine { seq, leaf: Base64::encode_string(&leaf.bytes) })?;
    }
    export_checkpoints(&snapshot, out)?;
    out.flush().or_failed("export_unwritable", || "the export cannot be written".into())?;
    Ok(head)
}

fn export_checkpoints(snapshot: &Connection, out: &mut impl Write) -> Result<()> {
    let doing = "reading the checkpoints";
    let mut query = snapshot.prepare("SELECT note FROM checkpoints ORDER BY size").sql(doing)?;
    let mut rows = query.query([]).sql(doing)?;
    while let Some(row) = rows.next().sql(doing)? {
        let note = String::from_utf8(bytes(row, 0).sql(doing)?);
        let checkpoint = note.or_failed("ledger_corrupt", || "a stored checkpoint is not text".into())?;
        write_line(out, &CheckpointLine { checkpoint })?;
    }
    Ok(())
}

/// Makes a new ledger at `path` from an export. Nothing is left there if it fails.
///
/// # Errors
/// `bad_export`, naming the line, if the file is not an export, or its entries do not follow each other or give
/// another root than the header says; `ledger_exists` and what [`Ledger::create`] gives.
pub fn import(path: &Path, clock: Clock, input: impl BufRead) -> Result<Ledger> {
    let mut ledger = Ledger::create(path, clock)?;
    let filled = writer::begin(&mut ledger.connection).and_then(|transaction| {
        fill(&transaction, Lines { input, number: 0 })?;
        transaction.commit().sql("committing the import")
    });
    match filled {
        Ok(()) => Ok(ledger),
        Err(error) => {
            drop(ledger);
            open::remove(path);
            Err(error)
        }
    }
}

fn fill(connection: &Connection, mut lines: Lines<impl BufRead>) -> Result<()> {
    let header: Header = lines.read()?;
    let mut newest = None;
    for seq in 0..header.entries {
        let line: LeafLine = lines.read()?;
        let leaf = Base64::decode_vec(&line.leaf).map_err(|_| lines.bad("the leaf is not base64"))?;
        let entry = Entry::from_bytes(&leaf).map_err(|error| lines.bad(&error.full()))?;
        if line.seq != seq || entry.seq != seq {
            return Err(lines.bad(&format!("this should be entry {seq}")));
        }
        if newest.is_some_and(|newest| entry.time < newest) {
            return Err(lines.bad("the entry is older than the one in front"));
        }
        newest = Some(entry.leaves_time());
        writer::insert(connection, &entry, &leaf).map_err(|error| error.about(format_args!("entry {seq}")))?;
    }
    if Reader::new(connection).head()? != (Head { size: header.entries, root: header.root }) {
        return Err(lines.bad("the entries do not give the root that the header says"));
    }
    for _ in 0..header.checkpoints {
        let line: CheckpointLine = lines.read()?;
        let note = SignedNote::parse(line.checkpoint.as_bytes()).map_err(|error| lines.bad(&error.full()))?;
        checkpoint::store(connection, &note).map_err(|error| lines.bad(&error.full()))?;
    }
    lines.end()
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> Result<()> {
    let mut bytes = jcs::to_vec(line)?;
    bytes.push(b'\n');
    out.write_all(&bytes).or_failed("export_unwritable", || "the export cannot be written".into())
}

/// Strict JSON, a value a line, of bounded length.
struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.number += 1;
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
        read.or_failed("bad_export", || "the export cannot be read".into())?;
        if line.pop() != Some(b'\n') {
            return Err(self.bad("the line is missing, cut off or too long"));
        }
        let value = jcs::parse_strict(&line, MAX_LINE).map_err(|error| self.bad(&error.full()))?;
        serde_json::from_value(value).map_err(|error| self.bad(&error.to_string()))
    }

    fn end(mut self) -> Result<()> {
        self.number += 1;
        let rest = self.input.fill_buf().or_failed("bad_export", || "the export cannot be read".into())?;
        if rest.is_empty() { Ok(()) } else { Err(self.bad("there is more than the header says")) }
    }

    fn bad(&self, what: &str) -> Error {
        Error::failed("bad_export", format!("line {} of the export: {what}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, clock};
    use crate::ledger::verify::verify;

    #[test]
    fn an_import_verifies_as_the_original_does_and_exports_the_same_bytes() {
        let mut test = testing::ledger(70);
        test.checkpoint();
        test.grow(30);
        let anchor = test.checkpoint();
        test.grow(7);
        let mut exported = Vec::new();
        let head = export(&test.ledger, &mut exported).unwrap();
        assert_eq!(head, test.ledger.head().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let copy = import(&folder.path().join("l.db"), clock(), exported.as_slice()).unwrap();
        let trust = test.trust();
        let anchors = [anchor];
        let original = verify(&test.ledger, &trust, &anchors).unwrap();
        assert_eq!(original.findings, []);
        assert_eq!((original.checkpointed_size, original.unanchored_tail), (100, 7));
        assert_eq!(verify(&copy, &trust, &anchors).unwrap(), original);
        let mut again = Vec::new();
        export(&copy, &mut again).unwrap();
        assert_eq!(again, exported);
    }

    #[test]
    fn a_changed_export_is_refused_and_leaves_no_file() {
        let mut test = testing::ledger(6);
        test.checkpoint();
        let mut exported = Vec::new();
        export(&test.ledger, &mut exported).unwrap();
        let good = String::from_utf8(exported).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let swapped: Vec<_> = [0, 1, 3, 2, 4, 5, 6, 7].iter().map(|i| lines[*i]).collect();
        let bad = [
            joined(&lines[..7]),
            joined(&lines[1..]),
            joined(&swapped),
            good.replace("\"entries\":6", "\"entries\":5"),
            good.replace("\"entries\":6", "\"entries\":9007199254740991"),
            good.replace("export/v1", "export/v2"),
            good.replace(lines[3], &lines[3].replace("\"seq\":2", "\"seq\":3")),
            good.replace(lines[3], &lines[3].replace("=\"", "\"")).replace(lines[3], ""),
            good.replace("\"leaf\":\"ey", "\"leaf\":\"e3"),
            good.replace(&test.ledger.head().unwrap().root.to_string(), &Hash256::of(b"x").to_string()),
            good.replace("keyctl\\n6", "keyctl\\n5"),
            format!("{good}{{}}\n"),
            good.trim_end().to_owned(),
            "x".repeat(MAX_LINE + 10),
            String::new(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        for text in bad {
            assert_ne!(text, good);
            assert_eq!(import(&path, clock(), text.as_bytes()).unwrap_err().code(), "bad_export", "{text:.300}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
        import(&path, clock(), good.as_bytes()).unwrap();
        assert_eq!(import(&path, clock(), good.as_bytes()).unwrap_err().code(), "ledger_exists");
        assert!(path.exists(), "an existing ledger is left alone");
    }
}
