//! The database around the entries: its pages, its schema, and the tables derived from the entries.

use super::Findings;
use crate::error::{Error, Result, shown};
use crate::ledger::{Sql, open, projection};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Checks pages, indices and constraints with SQLite's own check, and the schema against the expected one.
pub(super) fn check_structure(connection: &Connection, findings: &mut Findings) {
    let checked = (|| {
        let mut query = connection.prepare("PRAGMA integrity_check(40)")?;
        let lines = query.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect::<rusqlite::Result<Vec<_>>>()
    })();
    match checked.sql("checking the database's pages") {
        Ok(lines) => {
            for line in lines.iter().filter(|line| *line != "ok") {
                findings.add("database_corrupt", "database", shown(line));
            }
        }
        Err(error) => findings.unreadable("database", &error),
    }
    match open::schema_differences(connection) {
        Ok(differences) => {
            for (object, difference) in differences {
                findings.add("schema_changed", shown(&object), difference);
            }
        }
        Err(error) => findings.unreadable("schema", &error),
    }
}

/// Compares each projection with the one rebuilt from the entries, as sets of rows.
pub(super) fn compare_projections(connection: &Connection, rebuilt: &Connection, findings: &mut Findings) {
    for table in projection::TABLES {
        if let Err(error) = compare(connection, rebuilt, table, findings) {
            findings.unreadable(table, &error);
        }
    }
}

fn compare(connection: &Connection, rebuilt: &Connection, table: &str, findings: &mut Findings) -> Result<()> {
    let mut rows: BTreeMap<String, i64> = BTreeMap::new();
    each_row(rebuilt, table, u64::MAX, |row| *rows.entry(row).or_default() += 1)?;
    // A hostile table may be without end; this many rows too many will do.
    let most = (rows.len() as u64).saturating_add(10_000);
    each_row(connection, table, most, |row| {
        // Rows that agree go away, so that what is left at the end is the difference.
        match rows.get_mut(&row) {
            Some(1) => drop(rows.remove(&row)),
            Some(count) => *count -= 1,
            None => drop(rows.insert(row, -1)),
        }
    })?;
    for (row, count) in rows.into_iter().filter(|(_, count)| *count != 0) {
        let message =
            if count > 0 { "follows from the entries, but is not stored" } else { "does not follow from the entries" };
        let row: String = shown(&row).chars().take(400).collect();
        findings.add("projection_differs", table, format!("{row} {message}"));
    }
    Ok(())
}

fn each_row(connection: &Connection, table: &str, most: u64, mut visit: impl FnMut(String)) -> Result<()> {
    let doing = "reading a projection";
    // The name is one of our constants.
    let mut query = connection.prepare(&format!("SELECT * FROM {table}")).sql(doing)?;
    let names: Vec<String> = query.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = query.query([]).sql(doing)?;
    let mut count = 0;
    while let Some(row) = rows.next().sql(doing)? {
        count += 1;
        if count > most {
            return Err(Error::failed(
                "ledger_corrupt",
                format!("{table} has far more rows than follow from the entries"),
            ));
        }
        visit(spelled(row, &names).sql(doing)?);
    }
    Ok(())
}

/// A row as text that no other row has.
fn spelled(row: &Row<'_>, names: &[String]) -> rusqlite::Result<String> {
    let mut out = String::from("(");
    for (i, name) in names.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        let value = match row.get_ref(i)? {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => format!("{number:?} as real"),
            ValueRef::Text(text) => format!("'{}'", text.escape_ascii()),
            ValueRef::Blob(blob) => format!("x'{}'", crate::model::hex(blob)),
        };
        let _ = write!(out, "{separator}{name}={value}");
    }
    out.push(')');
    Ok(out)
}
