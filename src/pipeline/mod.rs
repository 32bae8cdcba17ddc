//! Changing one value in a file that is somebody else's: a pipeline's configuration (B9).
//!
//! Here lives the reading and changing of one field in TOML and JSON. No file is opened and no repository touched here, and
//! which value belongs into a field is not known ([`crate::config::Pipeline`] says which, a key's record what).
//!
//! Bytes in, bytes out. A [`FieldPath`] leads to the value; [`toml`] and [`json`] find the bytes it stands in, without
//! writing the document anew: comments, order, spaces, byte order mark, line ends and everything else stay as they are.
//! The result is read once more, and must say what the old text said but for that one value.

pub mod field;
pub mod json;
pub mod toml;

pub use field::{FieldPath, Segment};

use crate::error::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// The largest pipeline file, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

/// How deep a document may nest.
const MAX_DEPTH: usize = 64;

/// The UTF-8 byte order mark. Windows editors put it in front; neither format has a place for it.
const MARK: &str = "\u{feff}";

crate::model::words! {
    /// The form of a pipeline file, told by its ending.
    Format: "pipeline file format" {
        Toml = "toml",
        Json = "json",
    }
}

impl Format {
    /// By the file's ending; `None` for any other.
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
    }
}

/// A value that can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number that is not negative.
    Number(u64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Text(text) => f.pad(text),
            Value::Number(number) => number.fmt(f),
        }
    }
}

/// A value, and the bytes it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub value: Value,
    /// Where, quotes included.
    pub span: Range<usize>,
}

/// Finds the value of a field.
///
/// # Errors
/// `pipeline_malformed` for a document that is not of its format, has a name twice or nests too deep;
/// `pipeline_field_missing`; `pipeline_field_kind` for a value that is neither text nor a whole number.
pub fn find(format: Format, text: &str, path: &FieldPath) -> Result<Found> {
    let (skipped, body) = match text.strip_prefix(MARK) {
        Some(body) => (MARK.len(), body),
        None => (0, text),
    };
    let mut found = match format {
        Format::Toml => toml::find(body, path)?,
        Format::Json => json::find(body, path)?,
    };
    found.span = found.span.start.saturating_add(skipped)..found.span.end.saturating_add(skipped);
    Ok(found)
}

/// The text with another value in the field, and nothing else changed. Text replaces text and a number a number.
///
/// # Errors
/// Those of [`find`]; a bug if the result does not say what it should.
pub fn replace(format: Format, text: &str, path: &FieldPath, value: &Value) -> Result<String> {
    let found = find(format, text, path)?;
    let kind = |value: &Value| matches!(value, Value::Text(_));
    if kind(&found.value) != kind(value) {
        let message = format!("{path} holds {}, and would get {value}", found.value);
        return Err(Error::failed("pipeline_field_kind", message));
    }
    let (Some(before), Some(old), Some(after)) =
        (text.get(..found.span.start), text.get(found.span.clone()), text.get(found.span.end..))
    else {
        return Err(Error::bug("a value's place is not in the text"));
    };
    let written = match (format, value) {
        (_, Value::Number(number)) => number.to_string(),
        (Format::Toml, Value::Text(new)) => toml::quoted(new, old),
        (Format::Json, Value::Text(new)) => json::quoted(new),
    };
    let new = format!("{before}{written}{after}");
    // Read afresh: the value is the new one, it stands where it was put, and what is around it is untouched.
    let again = find(format, &new, path)?;
    let end = found.span.start.saturating_add(written.len());
    if again.value != *value || again.span != (found.span.start..end) {
        return Err(Error::bug("a changed pipeline file does not say what it should"));
    }
    Ok(new)
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::failed("pipeline_malformed", what.to_string())
}

fn missing(path: &FieldPath, at: usize) -> Error {
    Error::failed("pipeline_field_missing", format!("there is no {}", path.upto(at)))
        .hint("the field has to be there already; keyctl changes values and adds none")
}

fn wrong_kind(path: &FieldPath, what: &str) -> Error {
    Error::failed("pipeline_field_kind", format!("{path} is {what}, not text or a whole number"))
}
