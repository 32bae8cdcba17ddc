//! Where a value stands in a document: names with dots between them, and places in lists.

use super::MAX_DEPTH;
use crate::error::{Error, Result};
use crate::model::serde_by_text;
use std::fmt;
use std::str::FromStr;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The member of a table or object with this name.
    Name(String),
    /// The item of a list, from 0.
    Item(usize),
}

/// A dotted path such as `signing.windows.thumbprint`, `jobs[0].env.THUMBPRINT` or `signing."a.b".thumbprint`: names of
/// letters, digits, `-` and `_` stand bare, all others in double quotes with JSON's escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The steps, outermost first; never empty, and the first is a name.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path as far as the step with this index, for messages.
    pub fn upto(&self, last: usize) -> String {
        FieldPath(self.0.iter().take(last.saturating_add(1)).cloned().collect()).to_string()
    }
}

fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Segment::Item(index) => write!(f, "[{index}]")?,
                Segment::Name(name) => {
                    let dot = if i == 0 { "" } else { "." };
                    match is_bare(name) {
                        true => write!(f, "{dot}{name}")?,
                        false => write!(f, "{dot}{}", serde_json::Value::from(name.as_str()))?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl FromStr for FieldPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::usage("bad_field", format!("{text:?} is no field: {why}"));
        if text.len() > 512 {
            return Err(Error::usage("bad_field", "a field has at most 512 bytes"));
        }
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(_) => quoted(rest).ok_or_else(|| bad("a quoted name does not end, or has a bad escape"))?,
                None => {
                    let end = rest.find(['.', '[']).unwrap_or(rest.len());
                    let (name, after) = rest.split_at(end);
                    if !is_bare(name) {
                        return Err(bad("names have letters, digits, '-' and '_', or stand in double quotes"));
                    }
                    (name.to_owned(), after)
                }
            };
            steps.push(Segment::Name(name));
            rest = after;
            while let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = inner.split_once(']').ok_or_else(|| bad("a '[' without ']'"))?;
                let number = index.parse().ok().filter(|n: &usize| n.to_string() == index && *n <= 1_000_000);
                steps.push(Segment::Item(number.ok_or_else(|| bad("[N] counts from 0"))?));
                rest = after;
            }
            if steps.len() > MAX_DEPTH {
                return Err(bad("it goes too deep"));
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(FieldPath(steps)),
                None => return Err(bad("names have dots between them")),
            }
        }
    }
}

/// A JSON string at the start of the text, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => {
                let (name, after) = text.split_at_checked(i.checked_add(1)?)?;
                return Some((serde_json::from_str(name).ok()?, after));
            }
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

serde_by_text!(FieldPath);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_read_and_written_alike() {
        let name = |text: &str| Segment::Name(text.into());
        let path: FieldPath = "signing.windows.thumbprint".parse().unwrap();
        assert_eq!(path.segments(), [name("signing"), name("windows"), name("thumbprint")]);
        let path: FieldPath = r#"jobs[0][12]."a.b \"c\""."".x-y_1"#.parse().unwrap();
        let steps = [name("jobs"), Segment::Item(0), Segment::Item(12), name("a.b \"c\""), name(""), name("x-y_1")];
        assert_eq!(path.segments(), steps);
        assert_eq!(path.to_string(), r#"jobs[0][12]."a.b \"c\""."".x-y_1"#);
        assert_eq!((path.upto(1), path.upto(3)), ("jobs[0]".into(), r#"jobs[0][12]."a.b \"c\"""#.into()));
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "[0]",
            "a[",
            "a[]",
            "a[-1]",
            "a[01]",
            "a[0",
            "a]",
            "\"a",
            "\"a\"b",
            "a[0]b",
            "\"\\x\"",
            "é",
            "a[99999999999999999999]",
        ] {
            assert_eq!(bad.parse::<FieldPath>().unwrap_err().code(), "bad_field", "{bad}");
        }
        assert!(format!("a{}", "[0]".repeat(80)).parse::<FieldPath>().is_err());
    }

    proptest! {
        #[test]
        fn any_names_survive(names in prop::collection::vec("\\PC{0,12}", 1..6)) {
            let path = FieldPath(names.into_iter().map(Segment::Name).collect());
            prop_assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            if let Ok(path) = text.parse::<FieldPath>() {
                prop_assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path);
            }
        }
    }
}
