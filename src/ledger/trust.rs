//! What a host trusts about a workspace: a file of root's, for every user who opens it there.
//!
//! A user's own [pin](super::anchor) protects that user from the second time on. The founding, done by root, leaves
//! the same words in a folder that only root can write, so that a user's first time is no leap of faith, and so that
//! who can write the workspace cannot exchange it.

use super::anchor::Pin;
use crate::crypto::jcs;
use crate::crypto::note::VerifierKey;
use crate::error::{Context, Error, Result};
use crate::files::{safe, shown_path};
use crate::model::Hash256;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The version of the form.
pub const SCHEMA: &str = "keyctl.trust/v1";

/// Where the files are.
pub const FOLDER: &str = "/etc/keyctl/trust";

const MAX_FILE: usize = 64 << 10;
/// More files than this are not looked through for the one of a folder.
const MAX_FILES: usize = 1000;

/// What is trusted about one workspace on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostTrust {
    /// [`SCHEMA`].
    pub schema: String,
    /// The random id from the first entry.
    pub workspace_id: String,
    /// The workspace's folder, without symlinks.
    pub folder: String,
    /// The log's name.
    pub origin: String,
    /// The keys that sign its heads.
    pub ledger_keys: Vec<VerifierKey>,
    /// The leaf hash of entry 0.
    pub genesis_leaf_hash: Hash256,
}

/// The folder of trust files. Builds for tests take another absolute one from `$KEYCTL_TRUST_DIR`; a release does not,
/// since whoever sets a variable must not switch off what root wrote.
pub fn folder() -> PathBuf {
    folder_in(cfg!(debug_assertions), std::env::var_os("KEYCTL_TRUST_DIR"))
}

fn folder_in(is_for_tests: bool, named: Option<OsString>) -> PathBuf {
    let named = named.map(PathBuf::from).filter(|path| is_for_tests && path.is_absolute());
    named.unwrap_or_else(|| PathBuf::from(FOLDER))
}

impl HostTrust {
    /// The same words as a pin, for the workspace in `dir`.
    pub fn new(pin: &Pin, dir: &Path) -> Self {
        HostTrust {
            schema: SCHEMA.to_owned(),
            workspace_id: pin.workspace_id.clone(),
            folder: dir.display().to_string(),
            origin: pin.origin.clone(),
            ledger_keys: pin.ledger_keys.clone(),
            genesis_leaf_hash: pin.genesis_leaf_hash,
        }
    }

    /// A user's first pin.
    pub fn to_pin(&self) -> Pin {
        Pin {
            workspace_id: self.workspace_id.clone(),
            origin: self.origin.clone(),
            ledger_keys: self.ledger_keys.clone(),
            genesis_leaf_hash: self.genesis_leaf_hash,
            head: None,
            place: None,
        }
    }

    /// Says that the workspace is in another folder now; the file is there.
    ///
    /// # Errors
    /// As [`HostTrust::load`]; write errors.
    pub fn moved(mut self, base: &Path, dir: &Path) -> Result<()> {
        self.folder = dir.display().to_string();
        safe::write_atomic(&file(base, &self.workspace_id)?, &jcs::to_vec(&self)?, 0o644).map(drop)
    }

    /// Writes it for everyone to read.
    ///
    /// # Errors
    /// `trust_exists` if the workspace is trusted otherwise already; file errors.
    pub fn write(&self, base: &Path) -> Result<PathBuf> {
        let path = file(base, &self.workspace_id)?;
        let missing: Vec<_> = base.ancestors().take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        match HostTrust::load(base, &self.workspace_id)? {
            Some(known) if known == *self => Ok(path),
            Some(_) => Err(Error::blocked("trust_exists", format!("{} says otherwise already", shown_path(&path)))
                .hint("look into it before anything else; root wrote that file")),
            None => {
                safe::write_new(&path, &jcs::to_vec(self)?, 0o644)?;
                Ok(path)
            }
        }
    }

    /// The trust in a workspace, if root wrote any.
    ///
    /// # Errors
    /// `untrusted_trust` if somebody else could have written it; `bad_trust` if it cannot be read.
    pub fn load(base: &Path, workspace_id: &str) -> Result<Option<HostTrust>> {
        let path = file(base, workspace_id)?;
        // Root may keep the folder to itself; then it tells this user nothing.
        let Ok(found) = path.symlink_metadata() else { return Ok(None) };
        only_root(base, &base.symlink_metadata()?)?;
        only_root(&path, &found)?;
        let bad = || format!("{} cannot be used", shown_path(&path));
        let bytes = safe::read_bounded(&path, MAX_FILE as u64)?;
        let value = jcs::parse_strict(&bytes, MAX_FILE).or_failed("bad_trust", bad)?;
        let trust: HostTrust = serde_json::from_value(value).or_failed("bad_trust", bad)?;
        if trust.schema != SCHEMA || trust.workspace_id != workspace_id {
            return Err(Error::failed("bad_trust", format!("{} is of something else", shown_path(&path))));
        }
        Ok(Some(trust))
    }

    /// What is trusted about the workspace in `dir`, whatever it says its id is.
    ///
    /// # Errors
    /// `workspace_replaced` if the folder is known to hold another one; as [`HostTrust::load`].
    pub fn for_folder(base: &Path, dir: &Path, workspace_id: &str) -> Result<Option<HostTrust>> {
        let known = HostTrust::load(base, workspace_id)?;
        if known.is_some() {
            return Ok(known);
        }
        let Ok(entries) = std::fs::read_dir(base) else { return Ok(None) };
        for entry in entries.take(MAX_FILES) {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let Some(other) = HostTrust::load(base, id)? else { continue };
            if Path::new(&other.folder) == dir {
                let message = format!("{} held workspace {id}, now it holds {workspace_id}", shown_path(dir));
                let file = shown_path(&base.join(&name)).to_string();
                return Err(Error::blocked("workspace_replaced", message)
                    .hint(format!("put the ledger back; if it was moved away on purpose, root removes {file}")));
            }
        }
        Ok(None)
    }
}

fn file(base: &Path, workspace_id: &str) -> Result<PathBuf> {
    let path = Pin::path(Path::new(""), workspace_id)?;
    Ok(base.join(path.file_name().unwrap_or_default()))
}

fn only_root(path: &Path, found: &Metadata) -> Result<()> {
    let root = found.uid() == 0 && found.mode() & 0o022 == 0 && (found.is_file() || found.is_dir());
    if root {
        return Ok(());
    }
    let message = format!("{}: root alone may write here, and it is not so", shown_path(path));
    Err(Error::blocked("untrusted_trust", message).hint(format!("chown root; chmod go-w {}", shown_path(path))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing;
    use crate::ledger::verify::Trust;

    fn trust(dir: &Path) -> HostTrust {
        let Trust { workspace_id, origin, ledger_keys, genesis_leaf_hash } = testing::ledger(1).trust();
        HostTrust::new(&Pin { workspace_id, origin, ledger_keys, genesis_leaf_hash, head: None, place: None }, dir)
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn what_root_wrote_is_trusted_and_what_others_could_write_is_not() {
        let top = tempfile::tempdir().unwrap();
        let (base, dir) = (top.path().join("trust"), Path::new("/w"));
        let trust = trust(dir);
        let id = trust.workspace_id.clone();
        assert_eq!(HostTrust::load(&base, &id).unwrap(), None);
        let path = trust.write(&base).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o644);
        if !is_root() {
            assert_eq!(HostTrust::load(&base, &id).unwrap_err().code(), "untrusted_trust");
            return;
        }
        assert_eq!(HostTrust::load(&base, &id).unwrap().unwrap(), trust);
        assert_eq!(trust.write(&base).unwrap(), path, "once more is no harm");
        let other = HostTrust { genesis_leaf_hash: Hash256([9; 32]), ..trust.clone() };
        assert_eq!(other.write(&base).unwrap_err().code(), "trust_exists");
        for (what, mode, back) in [(&path, 0o664, 0o644), (&base, 0o777, 0o755)] {
            std::fs::set_permissions(what, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(HostTrust::load(&base, &id).unwrap_err().code(), "untrusted_trust");
            std::fs::set_permissions(what, std::fs::Permissions::from_mode(back)).unwrap();
        }
        rustix::fs::chown(&path, Some(rustix::process::Uid::from_raw(1000)), None).unwrap();
        assert_eq!(HostTrust::load(&base, &id).unwrap_err().code(), "untrusted_trust");
    }

    #[test]
    fn a_release_lets_nobody_name_another_folder_than_roots() {
        let named = || Some(OsString::from("/tmp/trust"));
        assert_eq!(folder_in(false, named()), Path::new(FOLDER));
        assert_eq!(folder_in(true, named()), Path::new("/tmp/trust"));
        assert_eq!(folder_in(true, Some("trust".into())), Path::new(FOLDER));
        assert_eq!(folder_in(true, None), Path::new(FOLDER));
    }

    #[test]
    fn another_workspace_in_a_known_folder_is_noticed() {
        if !is_root() {
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let trust = trust(Path::new("/w"));
        trust.write(top.path()).unwrap();
        let find = |dir: &str, id: &str| HostTrust::for_folder(top.path(), Path::new(dir), id);
        assert_eq!(find("/w", &trust.workspace_id).unwrap(), Some(trust.clone()));
        assert_eq!(find("/elsewhere", &trust.workspace_id).unwrap(), Some(trust.clone()), "it may be moved");
        assert_eq!(find("/w", "another").unwrap_err().code(), "workspace_replaced");
        assert_eq!(find("/elsewhere", "another").unwrap(), None);
        assert!(find("/w", "../x").is_err());
    }
}
