//! JSON (RFC 8259), read by a scanner of our own that keeps the place of every value. It takes what the grammar takes
//! and no more: no comments, no trailing commas, and no name twice in one object, since two readers could then disagree
//! about which one counts.

use super::{FieldPath, Found, MAX_DEPTH, Segment, Value, malformed, missing, wrong_kind};
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::ops::Range;

/// Finds a field's value. The text has no byte order mark.
pub(super) fn find(text: &str, path: &FieldPath) -> Result<Found> {
    let mut scanner = Scanner { text, at: 0, path, found: None, reached: 0 };
    scanner.space();
    scanner.value(Some(0), 0)?;
    scanner.space();
    if scanner.at != text.len() {
        return Err(scanner.bad("something follows the document"));
    }
    let Some(span) = scanner.found else { return Err(missing(path, scanner.reached)) };
    let written = text.get(span.clone()).unwrap_or_default();
    let value = match written.as_bytes().first() {
        Some(b'"') => Value::Text(unquoted(written).ok_or_else(|| malformed("a string that cannot be read"))?),
        Some(b'0'..=b'9') if !written.contains(['.', 'e', 'E']) => {
            Value::Number(written.parse().map_err(|_| wrong_kind(path, "a number out of range"))?)
        }
        Some(b'-' | b'0'..=b'9') => return Err(wrong_kind(path, "a negative number or a fraction")),
        Some(b'{') => return Err(wrong_kind(path, "an object")),
        Some(b'[') => return Err(wrong_kind(path, "a list")),
        _ => return Err(wrong_kind(path, "a truth value or null")),
    };
    Ok(Found { value, span })
}

/// A JSON string.
pub(super) fn quoted(new: &str) -> String {
    serde_json::Value::from(new).to_string()
}

fn unquoted(written: &str) -> Option<String> {
    serde_json::from_str(written).ok()
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    path: &'t FieldPath,
    found: Option<Range<usize>>,
    /// How many steps of the path were found; the next one is what is missing.
    reached: usize,
}

impl Scanner<'_> {
    fn bad(&self, what: &str) -> Error {
        let line = self.text.get(..self.at).unwrap_or(self.text).matches('\n').count();
        malformed(format_args!("line {}: {what}", line.saturating_add(1)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.bad(what));
        }
        self.step();
        Ok(())
    }

    /// A value. `matched` is how many steps of the path lead here, if they do.
    fn value(&mut self, matched: Option<usize>, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.bad("it nests too deep"));
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(matched, depth)?,
            Some(b'[') => self.list(matched, depth)?,
            Some(b'"') => drop(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        }
        if let Some(matched) = matched {
            self.reached = self.reached.max(matched);
            if matched == self.path.segments().len() {
                self.found = Some(start..self.at);
            }
        }
        Ok(())
    }

    fn object(&mut self, matched: Option<usize>, depth: usize) -> Result<()> {
        let mut names = HashSet::new();
        self.step();
        self.space();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.expect(b':', "a ':' is missing")?;
            self.space();
            let here = matched.filter(|&n| self.path.segments().get(n) == Some(&Segment::Name(name.clone())));
            self.value(here.map(|n| n.saturating_add(1)), depth.saturating_add(1))?;
            if !names.insert(name) {
                return Err(self.bad("a name stands twice in one object"));
            }
            self.space();
            match self.peek() {
                Some(b',') => self.step(),
                _ => return self.expect(b'}', "a ',' or '}' is missing"),
            }
        }
    }

    fn list(&mut self, matched: Option<usize>, depth: usize) -> Result<()> {
        self.step();
        self.space();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(());
        }
        let mut index = 0usize;
        loop {
            self.space();
            let here = matched.filter(|&n| self.path.segments().get(n) == Some(&Segment::Item(index)));
            self.value(here.map(|n| n.saturating_add(1)), depth.saturating_add(1))?;
            index = index.saturating_add(1);
            self.space();
            match self.peek() {
                Some(b',') => self.step(),
                _ => return self.expect(b']', "a ',' or ']' is missing"),
            }
        }
    }

    /// A string; gives what it says.
    fn string(&mut self) -> Result<String> {
        let start = self.at;
        self.expect(b'"', "a string is missing")?;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.step();
                    self.step();
                }
                Some(0..=0x1f) => return Err(self.bad("a control character in a string")),
                Some(_) => self.step(),
                None => return Err(self.bad("a string does not end")),
            }
        }
        self.step();
        let written = self.text.get(start..self.at);
        written.and_then(unquoted).ok_or_else(|| self.bad("a string with a bad escape"))
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.step();
        }
        match self.peek() {
            Some(b'0') => self.step(),
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.bad("a digit is missing"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.step();
        }
        Ok(())
    }

    fn word(&mut self) -> Result<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
        let word = word.ok_or_else(|| self.bad("a value is missing"))?;
        self.at = self.at.saturating_add(word.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{FieldPath, Format, Segment, Value, find, replace};
    use proptest::prelude::*;

    const DOCUMENT: &str = "{\r\n  \"name\" : \"win\",\r\n\t\"signing\":{\"windows\" :\r\n {\"thumbprint\":   \"OLD\" , \"generation\":3},\
        \"a.b\":[ [\"p\"], {\"\\u0071\":\"q\"} ] },\r\n  \"x\": [1.50e+3, -0, true, null, {}, [], \"OLD\"]\r\n}\r\n\r\n";

    fn put(text: &str, path: &str, value: Value) -> String {
        replace(Format::Json, text, &path.parse().unwrap(), &value).unwrap()
    }

    #[test]
    fn only_the_bytes_of_the_value_change() {
        for mark in ["", "\u{feff}"] {
            let document = format!("{mark}{DOCUMENT}");
            for (path, old) in [
                ("signing.windows.thumbprint", "\"OLD\""),
                ("name", "\"win\""),
                ("signing.\"a.b\"[0][0]", "\"p\""),
                ("signing.\"a.b\"[1].q", "\"q\""),
            ] {
                let new = put(&document, path, Value::Text("NEW".into()));
                assert_eq!(new, document.replacen(old, "\"NEW\"", 1), "{path}");
            }
            assert_eq!(
                put(&document, "signing.windows.generation", Value::Number(44)),
                document.replacen(":3}", ":44}", 1)
            );
            let last = put(&document, "x[6]", Value::Text("N".into()));
            assert_eq!(last, document.replace("{}, [], \"OLD\"", "{}, [], \"N\""));
        }
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        let code = |text: &str| find(Format::Json, text, &"a".parse().unwrap()).unwrap_err().code();
        for text in [
            "",
            " ",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":1}{}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"b\":{\"c\":1,\"c\":2},\"a\":1}",
            "{\"a\":01}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":\"\t\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"x}",
            "{\"a\":\"\\",
            "{\"a\":1 // no\n}",
            "{\"a\":tru}",
            "\u{feff}\u{feff}{}",
        ] {
            assert_eq!(code(text), "pipeline_malformed", "{text:?}");
        }
        assert_eq!(code(&format!("{{\"a\":{}", "[".repeat(100_000))), "pipeline_malformed");
        for (text, expected) in [
            ("{}", "pipeline_field_missing"),
            ("[]", "pipeline_field_missing"),
            ("{\"b\":{\"a\":1}}", "pipeline_field_missing"),
            ("{\"a\":1.5}", "pipeline_field_kind"),
            ("{\"a\":-1}", "pipeline_field_kind"),
            ("{\"a\":1e3}", "pipeline_field_kind"),
            ("{\"a\":99999999999999999999}", "pipeline_field_kind"),
            ("{\"a\":{}}", "pipeline_field_kind"),
            ("{\"a\":[]}", "pipeline_field_kind"),
            ("{\"a\":null}", "pipeline_field_kind"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        let error = find(Format::Json, DOCUMENT, &"signing.windows.nothing.x".parse().unwrap()).unwrap_err();
        assert!(error.message().contains("no signing.windows.nothing"), "{error}");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Every string and every number that is not negative, with its path.
    fn leaves(value: &serde_json::Value, path: &mut Vec<Segment>, found: &mut Vec<(Vec<Segment>, Value)>) {
        match value {
            serde_json::Value::String(text) => found.push((path.clone(), Value::Text(text.clone()))),
            serde_json::Value::Number(n) if n.is_u64() => {
                found.push((path.clone(), Value::Number(n.as_u64().unwrap())))
            }
            serde_json::Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    path.push(Segment::Item(i));
                    leaves(item, path, found);
                    path.pop();
                }
            }
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    path.push(Segment::Name(name.clone()));
                    leaves(member, path, found);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn each_value_of_any_document_is_found_and_can_be_changed(inner in json(), pretty: bool, new in "\\PC{0,8}") {
            let document = serde_json::json!({ "root": inner });
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
            let text = text.unwrap();
            let mut all = Vec::new();
            leaves(&document, &mut Vec::new(), &mut all);
            for (steps, value) in all {
                let words: Vec<String> = steps.iter().map(|step| match step {
                    Segment::Name(name) => format!(".{}", serde_json::Value::from(name.as_str())),
                    Segment::Item(index) => format!("[{index}]"),
                }).collect();
                let path: FieldPath = words.concat()[1..].parse().unwrap();
                let found = find(Format::Json, &text, &path).unwrap();
                prop_assert_eq!(&found.value, &value);
                let new = match value { Value::Text(_) => Value::Text(new.clone()), Value::Number(_) => Value::Number(7) };
                let changed = replace(Format::Json, &text, &path, &new).unwrap();
                // Another parser agrees that this value changed and no other.
                let mut expected = document.clone();
                let pointer: Vec<String> = steps.iter().map(|step| match step {
                    Segment::Name(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                    Segment::Item(index) => format!("/{index}"),
                }).collect();
                *expected.pointer_mut(&pointer.concat()).unwrap() = match &new {
                    Value::Text(text) => text.as_str().into(),
                    Value::Number(number) => (*number).into(),
                };
                let reread: serde_json::Value = serde_json::from_str(&changed).unwrap();
                prop_assert_eq!(reread, expected);
            }
        }

        #[test]
        fn whatever_it_takes_serde_takes_too(text in "[\\PC\\n]{0,60}") {
            let path: FieldPath = "a".parse().unwrap();
            if find(Format::Json, &text, &path).is_ok() {
                let body = text.strip_prefix(crate::pipeline::MARK).unwrap_or(&text);
                prop_assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{text:?}");
            }
        }
    }
}
