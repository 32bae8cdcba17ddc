//! Where a workspace is: its folder and its machine.
//!
//! Two copies of a ledger that both go on are two histories, and no head can join them again. So a workspace says in
//! `place.json` where it is, and a user's pin says where that user knows it. If either says something else than what
//! is found, the workspace was moved or copied, and somebody has to say which before it is used.

use crate::crypto::jcs;
use crate::error::{Context, Error, Result};
use crate::files::{safe, shown_path};
use crate::model::Hash256;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file's name in a workspace.
pub const FILE: &str = "place.json";

/// The version of its form.
pub const SCHEMA: &str = "keyctl.place/v1";

const MAX_FILE: usize = 16 << 10;

/// What names a machine on Linux (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// A folder on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The folder, without symlinks.
    pub folder: String,
    /// A hash of the machine's own identifier, which is not to be passed on; none where a machine has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<Hash256>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    schema: String,
    workspace_id: String,
    place: Place,
}

impl Place {
    /// This folder on this machine.
    pub fn here(dir: &Path) -> Self {
        let id = safe::read_text(Path::new(MACHINE_ID), 256).unwrap_or_default();
        Place { folder: dir.to_string_lossy().into_owned(), machine: machine(&id) }
    }

    /// Whether both are one place, as far as the machines can be told apart.
    pub fn is(&self, other: &Place) -> bool {
        let machines = self.machine.zip(other.machine);
        self.folder == other.folder && machines.is_none_or(|(one, other)| one == other)
    }

    /// In words.
    pub fn words(&self, here: &Place) -> String {
        let folder = shown_path(Path::new(&self.folder));
        match self.machine.zip(here.machine) {
            Some((one, other)) if one != other => format!("{folder} on another machine"),
            _ => folder.to_string(),
        }
    }

    /// Where the workspace in `dir` says that it is; `None` if it does not say.
    ///
    /// # Errors
    /// `bad_place` if the file cannot be read, or is another workspace's.
    pub fn read(dir: &Path, workspace_id: &str) -> Result<Option<Place>> {
        let path = dir.join(FILE);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let hint = || format!("keyctl trust --moved {}", shown_path(dir));
        let bad = || format!("{} does not say where the workspace is", shown_path(&path));
        let read = || -> Result<Said> {
            let value = jcs::parse_strict(&safe::read_bounded(&path, MAX_FILE as u64)?, MAX_FILE)?;
            serde_json::from_value(value).or_failed("bad_place", bad)
        };
        let said = read().map_err(|error| Error::blocked("bad_place", bad()).because(error).hint(hint()))?;
        match said.schema == SCHEMA && said.workspace_id == workspace_id {
            true => Ok(Some(said.place)),
            false => Err(Error::blocked("bad_place", bad()).hint(hint())),
        }
    }

    /// Has the workspace in `dir` say that it is here.
    ///
    /// # Errors
    /// Write errors.
    pub fn write(&self, dir: &Path, workspace_id: &str) -> Result<()> {
        let said = Said { schema: SCHEMA.to_owned(), workspace_id: workspace_id.to_owned(), place: self.clone() };
        safe::write_atomic(&dir.join(FILE), &jcs::to_vec(&said)?, 0o600).map(drop)
    }
}

fn machine(id: &str) -> Option<Hash256> {
    let id = id.trim();
    let is_one = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| Hash256::of(format!("{SCHEMA}\0{id}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_on_a_machine() {
        let place = |folder: &str, id: &str| Place { folder: folder.into(), machine: machine(id) };
        let (one, two) = ("0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef");
        assert!(place("/a", one).is(&place("/a", &format!("{one}\n"))));
        assert!(!place("/a", one).is(&place("/b", one)) && !place("/a", one).is(&place("/a", two)));
        for unknown in ["", "uninitialized\n", "0123"] {
            assert!(place("/a", one).is(&place("/a", unknown)), "{unknown:?}");
            assert!(!place("/a", one).is(&place("/b", unknown)), "{unknown:?}");
        }
        assert_eq!(place("/a", one).words(&place("/a", two)), "/a on another machine");
    }

    #[test]
    fn what_a_workspace_says_of_its_place_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Place::read(dir.path(), "w").unwrap(), None);
        let here = Place::here(dir.path());
        here.write(dir.path(), "w").unwrap();
        assert_eq!(Place::read(dir.path(), "w").unwrap(), Some(here));
        assert_eq!(Place::read(dir.path(), "another").unwrap_err().code(), "bad_place");
        for text in ["", "{}", "{\"folder\":1}"] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Place::read(dir.path(), "w").unwrap_err().code(), "bad_place", "{text}");
        }
    }
}
