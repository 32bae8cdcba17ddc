//! Who may have approved, and what: as the flags and the workspace have it.

use crate::error::{Error, Result};
use crate::files::safe;
use crate::model::{Environment, Hash256};
use crate::people::{Roster, request, roster};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What approvals in fragments are held against.
#[derive(Default)]
pub(super) struct People {
    /// The text of a roster, and where it was.
    roster: Option<(PathBuf, String)>,
    /// What may have been signed, by its hash.
    documents: BTreeMap<Hash256, Vec<u8>>,
}

impl People {
    /// Reads the files that the flags name.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn read(roster: Option<&PathBuf>, documents: &[PathBuf]) -> Result<Self> {
        let roster = roster.map(|path| Ok::<_, Error>((path.clone(), safe::read_text(path, roster::MAX_FILE)?)));
        let mut people = People { roster: roster.transpose()?, documents: BTreeMap::new() };
        for path in documents {
            people.take(safe::read_bounded(path, request::MAX_REQUEST as u64)?);
        }
        Ok(people)
    }

    /// The whole is a request; the first line is what the board signs.
    pub(super) fn take(&mut self, bytes: Vec<u8>) {
        if let Some(line) = bytes.split(|byte| *byte == b'\n').next() {
            self.documents.insert(Hash256::of(line), line.to_vec());
        }
        self.documents.insert(Hash256::of(&bytes), bytes);
    }

    /// The roster, if one was given.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn roster(&self, environment: Environment) -> Result<Option<Roster>> {
        let Some((path, text)) = &self.roster else { return Ok(None) };
        match text.trim_start().starts_with('{') {
            true => Roster::from_json(text.trim().as_bytes()).map(Some),
            false => Roster::from_toml(text, path, environment).map(Some),
        }
    }

    /// What was signed, by its hash.
    pub(super) fn document(&self, sha256: &Hash256) -> Option<&[u8]> {
        self.documents.get(sha256).map(Vec::as_slice)
    }
}
