//! Certificates in their published place: written, and read back before anybody counts on them.

use crate::error::{Error, Result};
use crate::files::safe;
use crate::gate::{Completes, sealed};
use crate::model::Hash256;
use crate::request::PublishMetadata;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Files by their name within `published/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The hash of each file.
pub fn hashes(files: &Files) -> BTreeMap<String, Hash256> {
    files.iter().map(|(name, bytes)| (name.clone(), Hash256::of(bytes))).collect()
}

/// Whether the file is there with these bytes.
pub fn is_in_place(dir: &Path, name: &str, bytes: &[u8]) -> bool {
    safe::read_bounded(&dir.join(name), bytes.len() as u64).is_ok_and(|found| found == bytes)
}

/// Whether every file is.
pub fn are_in_place(dir: &Path, files: &Files) -> bool {
    files.iter().all(|(name, bytes)| is_in_place(dir, name, bytes))
}

/// Files that were written and read back.
#[derive(Debug)]
pub struct InPlace(BTreeMap<String, Hash256>);

/// Writes files, each whole or not at all, readable for all; reads them back.
///
/// # Errors
/// Write errors of `dir`; `publication_changed` when a file does not read back as it was written.
pub fn put(dir: &Path, files: &Files) -> Result<InPlace> {
    for (name, bytes) in files {
        safe::write_atomic(&dir.join(name), bytes, 0o644)?;
    }
    if !are_in_place(dir, files) {
        return Err(Error::failed("publication_changed", "a published file does not read back as it was written"));
    }
    Ok(InPlace(hashes(files)))
}

impl sealed::Sealed for InPlace {}

impl Completes<PublishMetadata> for InPlace {
    fn done(&self) -> Value {
        json!({ "files": self.0 })
    }
}
