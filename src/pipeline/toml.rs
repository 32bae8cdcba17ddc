//! TOML, read by the crate that reads our own settings; it keeps the place of every value.

use super::{FieldPath, Found, MAX_DEPTH, Segment, Value, malformed, missing, wrong_kind};
use crate::error::Result;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Finds a field's value. The text has no byte order mark.
pub(super) fn find(text: &str, path: &FieldPath) -> Result<Found> {
    too_deep(text)?;
    let document = DeTable::parse(text).map_err(|error| {
        let line = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text).matches('\n').count();
        // The library's long form would quote the line.
        malformed(format_args!("line {}: {}", line.saturating_add(1), error.message().replace('\n', " ")))
    })?;
    let mut here: Option<(&DeValue<'_>, Range<usize>)> = None;
    for (at, step) in path.segments().iter().enumerate() {
        let next = match (step, &here) {
            (Segment::Name(name), None) => document.get_ref().get(name.as_str()),
            (Segment::Name(name), Some((DeValue::Table(table), _))) => table.get(name.as_str()),
            (Segment::Item(index), Some((DeValue::Array(items), _))) => items.get(*index),
            _ => None,
        };
        let next = next.ok_or_else(|| missing(path, at))?;
        here = Some((next.get_ref(), next.span()));
    }
    let (value, span) = here.ok_or_else(|| missing(path, 0))?;
    let value = match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => {
            let number = number.as_str().parse().map_err(|_| wrong_kind(path, "a number out of range"))?;
            Value::Number(number)
        }
        DeValue::Integer(_) => return Err(wrong_kind(path, "a number that is not decimal")),
        DeValue::Float(_) => return Err(wrong_kind(path, "a fraction")),
        DeValue::Boolean(_) => return Err(wrong_kind(path, "a truth value")),
        DeValue::Datetime(_) => return Err(wrong_kind(path, "a date")),
        DeValue::Array(_) => return Err(wrong_kind(path, "a list")),
        DeValue::Table(_) => return Err(wrong_kind(path, "a table")),
    };
    Ok(Found { value, span })
}

/// The parser calls itself for each bracket; a line of them must not end the process.
fn too_deep(text: &str) -> Result<()> {
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH * 4 {
            return Err(malformed("it nests too deep"));
        }
    }
    Ok(())
}

/// A TOML string in the quotes that the old one had, as far as they can hold it.
pub(super) fn quoted(new: &str, old: &str) -> String {
    let plain = !new.chars().any(|c| c == '\'' || c.is_control());
    if old.starts_with('\'') && plain {
        return format!("'{new}'");
    }
    let mut out = String::from("\"");
    for c in new.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{FieldPath, Format, Value, find, replace};
    use proptest::prelude::*;

    const DOCUMENT: &str = "# Release pipeline\r\nname = 'win'   # not this one\r\n\r\n[signing]\r\ndigest = \"sha256\"\r\n\
        \t[signing.windows]  # the one below is ours\r\n\tthumbprint = \"OLD\"\t# keep\r\n\tgeneration = 3\r\n\
        inline = { \"a.b\" = 'x', n = [ 'p', 'q' ] }\r\n[[jobs]]\r\ncert='1'\r\n[[jobs]]\r\ncert = '''2'''\r\n";

    fn put(text: &str, path: &str, value: Value) -> String {
        replace(Format::Toml, text, &path.parse().unwrap(), &value).unwrap()
    }

    #[test]
    fn only_the_bytes_of_the_value_change() {
        for mark in ["", "\u{feff}"] {
            let document = format!("{mark}{DOCUMENT}");
            for (path, old, new) in [
                ("signing.windows.thumbprint", "\"OLD\"", "\"NEW\""),
                ("name", "'win'", "'NEW'"),
                ("signing.windows.inline.\"a.b\"", "'x'", "'NEW'"),
                ("signing.windows.inline.n[1]", "'q'", "'NEW'"),
                ("jobs[0].cert", "'1'", "'NEW'"),
                ("jobs[1].cert", "'''2'''", "'NEW'"),
            ] {
                assert_eq!(put(&document, path, Value::Text("NEW".into())), document.replacen(old, new, 1), "{path}");
            }
            let number = put(&document, "signing.windows.generation", Value::Number(4));
            assert_eq!(number, document.replacen("generation = 3", "generation = 4", 1));
        }
        assert_eq!(put("a='x'", "a", Value::Text("it's".into())), "a=\"it's\"");
        assert_eq!(put("a='x'", "a", Value::Text("a\n\"\\".into())), "a=\"a\\U0000000A\\\"\\\\\"");
    }

    #[test]
    fn what_is_not_there_or_not_text_is_refused() {
        let code = |text: &str, path: &str| find(Format::Toml, text, &path.parse().unwrap()).unwrap_err().code();
        for path in
            ["signing.macos", "signing.windows.thumbprint.x", "jobs[2].cert", "jobs.cert", "name[0]", "signing[0]"]
        {
            assert_eq!(code(DOCUMENT, path), "pipeline_field_missing", "{path}");
        }
        for (text, path) in [
            ("a = 1.5", "a"),
            ("a = true", "a"),
            ("a = 2026-01-01", "a"),
            ("a = []", "a"),
            ("[a]", "a"),
            ("a = 0x10", "a"),
            ("a = -1", "a"),
            ("a = 99999999999999999999", "a"),
        ] {
            assert_eq!(code(text, path), "pipeline_field_kind", "{text}");
        }
        for text in ["a = 1\na = 2", "[a]\nx=1\n[a]\ny=2", "a = ", "a = \"x", "a = {x=1,x=2}", "\0"] {
            assert_eq!(code(text, "a"), "pipeline_malformed", "{text:?}");
        }
        assert_eq!(code(&format!("a = {}", "[".repeat(100_000)), "a"), "pipeline_malformed");
        assert_eq!(code(&format!("a = {}", "{b=".repeat(100_000)), "a"), "pipeline_malformed");
        let error = replace(Format::Toml, DOCUMENT, &"name".parse().unwrap(), &Value::Number(1)).unwrap_err();
        assert_eq!(error.code(), "pipeline_field_kind");
    }

    proptest! {
        #[test]
        fn no_document_is_too_strange(text in "[\\PC\\n\\t]{0,200}", new in "\\PC{0,20}") {
            let path: FieldPath = "a".parse().unwrap();
            if let Ok(found) = find(Format::Toml, &text, &path) {
                let value = match found.value { Value::Text(_) => Value::Text(new), Value::Number(_) => Value::Number(7) };
                let changed = replace(Format::Toml, &text, &path, &value).unwrap();
                prop_assert!(changed.starts_with(&text[..found.span.start]) && changed.ends_with(&text[found.span.end..]));
            }
        }

        #[test]
        fn any_text_can_be_written(new in "\\PC{0,30}", control in prop::sample::select(vec!["", "\n", "\u{7f}", "\u{85}", "\t"])) {
            let new = format!("{new}{control}");
            for quote in ["'x'", "\"x\"", "'''x'''", "\"\"\"x\"\"\""] {
                let changed = put(&format!("a = {quote} # end"), "a", Value::Text(new.clone()));
                let reread: toml::Table = toml::from_str(&changed).unwrap();
                prop_assert_eq!(reread["a"].as_str().unwrap(), new.as_str());
            }
        }
    }
}
