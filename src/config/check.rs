//! Gathers what is wrong in a text, each with its line.

use crate::error::{Error, Result, shown};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// Gathers what is wrong in one text.
pub(crate) struct Check<'a> {
    text: &'a str,
    path: &'a Path,
    code: &'static str,
    problems: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl<'a> Check<'a> {
    /// For the text of the file at `path`; `code` is that of the errors.
    pub(crate) fn new(text: &'a str, path: &'a Path, code: &'static str) -> Self {
        Check { text, path, code, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Notes that the value at `span`, called `field`, is wrong.
    pub(crate) fn bad(&mut self, span: Range<usize>, field: &str, why: impl AsRef<str>) {
        let line = self.line(span.start);
        self.problems.push((line, format!("{field}: {}", why.as_ref())));
    }

    /// Notes that it is wrong if `why` says so.
    pub(crate) fn bad_if(&mut self, span: Range<usize>, field: &str, why: Option<String>) {
        if let Some(why) = why {
            self.bad(span, field, why);
        }
    }

    pub(super) fn warn(&mut self, span: Range<usize>, field: &str, why: &str) {
        let line = self.line(span.start);
        self.warnings.push((line, format!("{field}: {why}")));
    }

    /// The value if it lies in `range`; a problem and the least value if not.
    pub(crate) fn number(&mut self, value: &Spanned<u64>, field: &str, range: std::ops::RangeInclusive<u32>) -> u32 {
        match u32::try_from(*value.get_ref()) {
            Ok(n) if range.contains(&n) => n,
            _ => {
                let why = format!("{} to {}, not {}", range.start(), range.end(), value.get_ref());
                self.bad(value.span(), field, why);
                *range.start()
            }
        }
    }

    /// The error for text that is not TOML, or not this TOML. Only the library's message is used: its long form quotes
    /// the line, which may hold a secret.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> Error {
        let line = self.line(error.span().map_or(0, |span| span.start));
        self.error(line, &error.message().replace('\n', " "))
    }

    /// The first problem, if there is one.
    pub(crate) fn verdict(&mut self) -> Result<()> {
        self.problems.sort();
        match self.problems.first() {
            Some((line, message)) => Err(self.error(*line, message)),
            None => Ok(()),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn into_warnings(mut self) -> Vec<String> {
        self.warnings.sort();
        self.warnings.iter().map(|(line, message)| format!("{}:{line}: {message}", self.file())).collect()
    }

    fn error(&self, line: usize, message: &str) -> Error {
        Error::usage(self.code, format!("{}:{line}: {}", self.file(), shown(message)))
    }

    fn file(&self) -> String {
        self.path.file_name().map_or_else(|| "keyctl.toml".to_owned(), |name| shown(&name.to_string_lossy()))
    }

    /// The line, from 1, of a byte offset.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }
}
