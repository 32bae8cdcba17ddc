//! What was done to a file, kept beside its fragment, so that the same can be done to another copy of it without a key:
//! `evidence/ARTIFACT.edits` for a file, `ARTIFACT.InRelease` and `ARTIFACT.Release.gpg` for a repository.
//!
//! Nothing of it is believed. What comes out is held against the hash in the ledger, and a copy that gives another one
//! gets no name. It is written before the signed file gets its name, so that it is there whenever that is.
//!
//! A file of edits is a line of JSON, which says where each edit goes and how long it is, and then their bytes.

use crate::error::{Context, Error, Result};
use crate::files::{Edit, safe};
use crate::formats::apt::sign::Signed as SignedRelease;
use crate::formats::file::Edits;
use crate::model::Hash256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "keyctl.edits/v1";
/// The largest file of edits, in bytes: the page hashes of 4 GiB take 40 MiB.
const MAX_EDITS: u64 = 128 << 20;
/// The longest first line, in bytes.
const MAX_HEAD: usize = 1 << 20;
/// The largest signature file of a repository, in bytes.
const MAX_SIGNATURES: u64 = 128 << 20;

/// What turned an unsigned file into its signed form, and what the outcome says of it besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// The signature among them.
    pub edits: Edits,
    /// What the signed file no longer tells of the unsigned one.
    pub original: Option<Value>,
    /// What is said of the timestamp.
    pub timestamp: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: String,
    /// Length of the file afterwards.
    len: u64,
    /// Offset and length of each edit.
    edits: Vec<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    original: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    timestamp: Option<Value>,
}

impl Kept {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let head = Head {
            schema: SCHEMA.into(),
            len: self.edits.len,
            edits: self.edits.edits.iter().map(|edit| (edit.offset, edit.bytes.len() as u64)).collect(),
            original: self.original.clone(),
            timestamp: self.timestamp.clone(),
        };
        let head = serde_json::to_vec(&head).or_failed("edits_unwritable", || "edits cannot be serialised".into())?;
        let parts = [head.as_slice(), b"\n"].into_iter().chain(self.edits.edits.iter().map(|edit| &*edit.bytes));
        Ok(parts.collect::<Vec<_>>().concat())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(MAX_HEAD).position(|byte| *byte == b'\n')?;
        let (head, mut rest) = (bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?);
        let head: Head = serde_json::from_slice(head).ok().filter(|head: &Head| head.schema == SCHEMA)?;
        let mut edits = Vec::with_capacity(head.edits.len());
        for (offset, len) in head.edits {
            let (bytes, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            edits.push(Edit { offset, bytes: bytes.to_vec() });
            rest = after;
        }
        let edits = Edits { edits, len: head.len };
        rest.is_empty().then_some(Kept { edits, original: head.original, timestamp: head.timestamp })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Folder<'_>) -> Result<()> {
        safe::write_plain(&folder.file("edits"), &self.to_bytes()?)
    }

    /// What was kept; `None` where there is nothing, or nothing that can be read.
    pub fn read(folder: &Folder<'_>) -> Option<Self> {
        Self::parse(&safe::read_bounded(&folder.file("edits"), MAX_EDITS).ok()?)
    }
}

/// Where what belongs to one artifact is kept.
#[derive(Clone, Debug)]
pub struct Folder<'a> {
    evidence: &'a Path,
    artifact_id: &'a str,
}

impl<'a> Folder<'a> {
    /// In the folder of evidence.
    ///
    /// # Errors
    /// The identifier is none of ours, and could lead elsewhere.
    pub fn of(evidence: &'a Path, artifact_id: &'a str) -> Result<Self> {
        let is_ours = !artifact_id.is_empty() && artifact_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let alien = || Error::failed("bad_entry", format!("{artifact_id:?} is no identifier of an artifact"));
        is_ours.then_some(Folder { evidence, artifact_id }).ok_or_else(alien)
    }

    /// A file of this artifact.
    pub fn file(&self, suffix: &str) -> PathBuf {
        self.evidence.join(format!("{}.{suffix}", self.artifact_id))
    }

    /// Removes what was kept of an artifact that did not come to be. Only a courtesy.
    pub fn clear(&self) {
        for suffix in ["edits", "InRelease", "Release.gpg"] {
            let _ = std::fs::remove_file(self.file(suffix));
        }
    }
}

/// Keeps both signature files of a repository, whole.
///
/// # Errors
/// They cannot be written.
pub(super) fn write_release(folder: &Folder<'_>, signed: &SignedRelease) -> Result<()> {
    safe::write_new_unsynced(&folder.file("InRelease"), &signed.in_release, 0o600)?;
    safe::write_new_unsynced(&folder.file("Release.gpg"), &signed.release_gpg, 0o600)
}

/// Both signature files for this `Release`; `None` where one is gone.
pub(super) fn read_release(folder: &Folder<'_>, release: Hash256) -> Option<SignedRelease> {
    let read = |suffix| safe::read_bounded(&folder.file(suffix), MAX_SIGNATURES).ok();
    Some(SignedRelease { release, in_release: read("InRelease")?, release_gpg: read("Release.gpg")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kept() -> Kept {
        let edit = |offset, bytes: &[u8]| Edit { offset, bytes: bytes.to_vec() };
        Kept {
            edits: Edits { edits: vec![edit(3, b"abc"), edit(10, b""), edit(1 << 33, b"\n{}")], len: 1 << 34 },
            original: Some(json!({ "size": 7 })),
            timestamp: None,
        }
    }

    #[test]
    fn what_was_kept_reads_back_and_nothing_else_does() {
        let bytes = kept().to_bytes().unwrap();
        assert_eq!(Kept::parse(&bytes), Some(kept()));
        for len in 0..bytes.len() {
            assert_eq!(Kept::parse(&bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(Kept::parse(&[&bytes[..], b"x"].concat()), None);
        let other = String::from_utf8(bytes).unwrap().replace("edits/v1", "edits/v2");
        assert_eq!(Kept::parse(other.as_bytes()), None);
    }

    #[test]
    fn an_identifier_leads_nowhere_else() {
        let dir = Path::new("evidence");
        for bad in ["", "../x", "a/b", ".", "a.b"] {
            assert!(Folder::of(dir, bad).is_err(), "{bad}");
        }
        let folder = Folder::of(dir, "ab-1").unwrap();
        assert_eq!(folder.file("edits"), Path::new("evidence/ab-1.edits"));
    }
}
