//! How git names what it stores.

use crate::error::{Error, Result, shown};

/// The identifier of a git object, as git prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let hex = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bad = || Error::failed("git_answer", format!("git names an object {}", shown(text)));
        if hex { Ok(ObjectId(text.to_owned())) } else { Err(bad()) }
    }

    /// One that was computed here.
    pub(super) fn of_hex(hex: String) -> Self {
        ObjectId(hex)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
