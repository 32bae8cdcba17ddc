//! Every file in the folder, looked through.

use super::Holds;
use super::known::Kind;
use super::private::{self, Secrets, private_material};
use super::repository::{ObjectId, Repository};
use crate::error::{Error, Result, shown};
use crate::files::safe::{read_bounded, trusted_entry};
use crate::files::shown_path;
use crate::model::Hash256;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest published file: a CRL at its limit.
const MAX_FILE: u64 = 128 << 20;
/// The most files, and the deepest folder. Both are far beyond what we publish.
const MAX_FILES: usize = 100_000;
const MAX_DEPTH: usize = 16;

/// A file of ours.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Of its bytes.
    pub sha256: Hash256,
    /// What git calls these bytes, where there is a repository.
    pub object: Option<ObjectId>,
}

/// The folder's files, in three parts.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Ours, and what their names say.
    pub ours: BTreeMap<String, Found>,
    /// Others, with the reason and what git calls them.
    others: Vec<(String, String, Option<ObjectId>)>,
    /// What must not be there.
    refused: Option<Error>,
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Looking<'a> {
    /// PINs that must not be there.
    pub secrets: &'a Secrets,
    /// The repository, where there is one.
    pub repository: Option<&'a Repository>,
    /// What files are held against.
    pub holds: &'a Holds<'a>,
}

impl Survey {
    /// Reads every file once. Where there is a repository, its own folder is passed over.
    ///
    /// # Errors
    /// A file or folder cannot be read; `published_too_much`.
    pub fn take(folder: &Path, looking: Looking<'_>) -> Result<Self> {
        let mut survey = Survey::default();
        survey.walk(folder, "", 0, looking)?;
        Ok(survey)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize, looking: Looking<'_>) -> Result<()> {
        self.only_ours(folder);
        let total = self.ours.len().saturating_add(self.others.len());
        if depth > MAX_DEPTH || total > MAX_FILES {
            let message = format!("{}: more files or folders than can be looked through", shown_path(folder));
            return Err(Error::failed("published_too_much", message));
        }
        let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if prefix.is_empty() && name == ".git" {
                continue;
            }
            // A name that is no text is nobody's of ours; it is shown and looked through like others.
            let path = format!("{prefix}{}", name.to_string_lossy());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"), depth.saturating_add(1), looking)?;
            } else if kind.is_file() {
                self.file(&entry.path(), path, looking)?;
            } else {
                let message =
                    format!("published/{} is a link or a device, and may lead to what is private", shown(&path));
                let error = Error::blocked("published_link", message).hint("put a file in its place, or remove it");
                self.refused.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// A folder or file of ours that others could change is as bad as a top that they could.
    fn only_ours(&mut self, path: &Path) {
        if let Err(error) = trusted_entry(path).map_err(|error| error.about("published/")) {
            self.refused.get_or_insert(error);
        }
    }

    fn file(&mut self, file: &Path, path: String, looking: Looking<'_>) -> Result<()> {
        if Kind::of(&path).is_some() && file.symlink_metadata().is_ok() {
            self.only_ours(file);
        }
        let bytes = match read(file) {
            // Another command replaced or removed it just now.
            Err(error) if error.code() == "not_found" => return Ok(()),
            read => read?,
        };
        if let Some(what) = private::found_in(&bytes, looking.secrets) {
            let hint = "take it out of published/; whoever could read it has it";
            self.refused.get_or_insert(private_material(&format!("published/{path}"), what).hint(hint));
        }
        let object = looking.repository.map(|repository| repository.name_of(&bytes));
        let objection = match Kind::of(&path) {
            None => Some("not a file that keyctl publishes".to_owned()),
            Some(kind) => kind.objection(&bytes).or_else(|| looking.holds.objection(&path, &bytes)),
        };
        match objection {
            None => drop(self.ours.insert(path, Found { sha256: Hash256::of(&bytes), object })),
            Some(why) => self.others.push((path, why, object)),
        }
        Ok(())
    }

    /// Stops at what must not be there.
    ///
    /// # Errors
    /// `private_material`, `published_link`, `untrusted_path`.
    pub fn refuse(&self) -> Result<()> {
        match &self.refused {
            None => Ok(()),
            Some(error) => {
                let again = Error::blocked(error.code(), error.message());
                Err(again.maybe_hint(error.advice()))
            }
        }
    }

    /// What is not committed as it is, with the reason.
    pub fn left(&self, repository: Option<&Repository>) -> Result<Vec<(String, String)>> {
        let Some(repository) = repository else { return Ok(Vec::new()) };
        let committed = match repository.head()? {
            Some(head) => repository.files(&head)?,
            None => BTreeMap::new(),
        };
        let is_left = |(path, _, object): &&(String, String, Option<ObjectId>)| committed.get(path) != object.as_ref();
        let left = self.others.iter().filter(is_left);
        Ok(left.map(|(path, why, _)| (path.clone(), why.clone())).collect())
    }
}

/// A whole file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    read_bounded(file, MAX_FILE)
}
