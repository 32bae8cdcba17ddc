//! One error type for the whole program. It answers the operator's question "whose turn is it?":
//! its [`Kind`] picks the exit code (design §6), its `code` is for programs, its hint is the literal
//! next command.
//!
//! Messages are lower case and without a full stop. They never contain secrets; names that come from
//! outside are escaped by [`shown`] before they get here.

use std::fmt;

/// The result of nearly every function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble, and so whose turn it is. The order is the precedence of exit codes in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bug of ours (exit 70).
    Bug,
    /// Failed, and trying again will not help (exit 1).
    Failed,
    /// A token, a network service or a lock was not available after retries (exit 3).
    Unavailable,
    /// A gate or policy said no (exit 4).
    Blocked,
    /// People have to approve first (exit 5).
    ApprovalNeeded,
    /// Something does not verify, or an audit or a drill found something (exit 6).
    Findings,
    /// Wrong usage or configuration (exit 2).
    Usage,
    /// Interrupted by the operator (exit 130).
    Interrupted,
}

impl Kind {
    /// The process exit code of design §6.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Unavailable => 3,
            Kind::Blocked => 4,
            Kind::ApprovalNeeded => 5,
            Kind::Findings => 6,
            Kind::Bug => 70,
            Kind::Interrupted => 130,
        }
    }

    /// `transient`, `permanent` or `policy_violation` (domain §4).
    pub fn class(self) -> &'static str {
        match self {
            Kind::Unavailable | Kind::Interrupted => "transient",
            Kind::Blocked | Kind::ApprovalNeeded => "policy_violation",
            _ => "permanent",
        }
    }

    /// Which of two kinds decides the exit code of a batch: the first of 70, 1, 3, 4, 5, 6, then the rest.
    pub fn worse(self, other: Kind) -> Kind {
        let rank = |kind: Kind| match kind {
            Kind::Bug => 0,
            Kind::Failed => 1,
            Kind::Unavailable => 2,
            Kind::Blocked => 3,
            Kind::ApprovalNeeded => 4,
            Kind::Findings => 5,
            Kind::Usage => 6,
            Kind::Interrupted => 7,
        };
        if rank(other) < rank(self) { other } else { self }
    }
}

/// An error as operators and programs see it.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    code: &'static str,
    message: String,
    hint: Option<String>,
    source: Option<anyhow::Error>,
}

impl Error {
    /// An error of this kind. `code` is a stable snake_case word for programs.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Error { inner: Box::new(Inner { kind, code, message: message.into(), hint: None, source: None }) }
    }

    /// Failed for good (exit 1).
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, code, message)
    }

    /// Usage or configuration (exit 2).
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, message)
    }

    /// Not available right now (exit 3).
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, code, message)
    }

    /// Refused by a gate or policy (exit 4).
    pub fn blocked(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Blocked, code, message)
    }

    /// Does not verify (exit 6).
    pub fn finding(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Findings, code, message)
    }

    /// A broken invariant of our own (exit 70).
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, "internal", message)
    }

    /// Adds the literal next command or a word of advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Adds a hint if there is one and none was given yet.
    pub fn maybe_hint(self, hint: Option<&str>) -> Self {
        match (hint, &self.inner.hint) {
            (Some(hint), None) => self.hint(hint),
            _ => self,
        }
    }

    /// Adds the underlying error.
    pub fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Puts words before the message, such as the object it is about.
    pub fn about(mut self, object: impl fmt::Display) -> Self {
        self.inner.message = format!("{object}: {}", self.inner.message);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        self.inner.code
    }

    /// The message without hint and causes.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What to do next, if we know.
    pub fn advice(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The message with its causes, in one line.
    pub fn full(&self) -> String {
        match &self.inner.source {
            Some(source) => format!("{}: {source:#}", self.inner.message),
            None => self.inner.message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

impl std::error::Error for Error {}

/// Says what was being done when an outside error came up.
pub trait Context<T> {
    /// Turns an error into a `Failed` one with this code and message.
    fn or_failed(self, code: &'static str, message: impl FnOnce() -> String) -> Result<T>;
    /// Turns an error into one of the given kind.
    fn or_kind(self, kind: Kind, code: &'static str, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Context<T> for std::result::Result<T, E> {
    fn or_failed(self, code: &'static str, message: impl FnOnce() -> String) -> Result<T> {
        self.or_kind(Kind::Failed, code, message)
    }
    fn or_kind(self, kind: Kind, code: &'static str, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(kind, code, message()).because(error))
    }
}

/// A name from outside (file, token label, certificate subject) made safe to print: control, bidi and
/// other invisible characters become `\u{…}` escapes, so that a terminal shows what is there.
pub fn shown(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let invisible = c.is_control()
            || matches!(c, '\u{00ad}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if invisible {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_with_the_first_of_70_1_3_4_5_6() {
        let order = [Kind::Bug, Kind::Failed, Kind::Unavailable, Kind::Blocked, Kind::ApprovalNeeded, Kind::Findings];
        for (i, worse) in order.iter().enumerate() {
            for better in &order[i..] {
                assert_eq!(worse.worse(*better), *worse);
                assert_eq!(better.worse(*worse), *worse);
            }
        }
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(shown("grüße.exe"), "grüße.exe");
    }
}
