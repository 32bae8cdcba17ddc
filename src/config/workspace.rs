//! Which workspace a command works in, and whether it can be trusted (design §4).
//!
//! Named by the caller, else `/etc/keyctl`, else the nearest one upwards from the current folder. The last only if this
//! user knows it already: otherwise a `keyctl.toml` in a downloaded source tree could decide what a command does.

use crate::error::{Error, Result};
use crate::files::safe::{local_filesystem, trusted_path};
use crate::files::shown_path;
use std::path::{Path, PathBuf};

/// The file that makes a folder a workspace.
pub const CONFIG: &str = "keyctl.toml";
/// The workspace of the whole host.
pub const SYSTEM: &str = "/etc/keyctl";

/// What in a workspace decides about signatures, besides [`CONFIG`]; looked at if it is there.
const PARTS: [&str; 13] = [
    "roster.toml",
    "ledger.db",
    "ledger.db-wal",
    "ledger.db-shm",
    "evidence",
    "requests",
    "published",
    "published/certs",
    "published/crl",
    "published/apt",
    "tokens",
    "locks",
    "place.json",
];

/// A workspace that was found and can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The folder, without symlinks.
    pub dir: PathBuf,
    /// Its `keyctl.toml`, without symlinks.
    pub config: PathBuf,
}

impl Workspace {
    /// Finds it. `named` is what `--workspace` or `$KEYCTL_WORKSPACE` say; `is_pinned` tells whether this user's state
    /// folder pins the ledger key of the workspace in a folder, and is asked only about trusted ones.
    ///
    /// # Errors
    /// `no_workspace`, `unknown_workspace` (found upwards, but not pinned), and those of [`Workspace::open`].
    pub fn find(named: Option<&Path>, current: &Path, is_pinned: &dyn Fn(&Path) -> bool) -> Result<Workspace> {
        find_from(named, Path::new(SYSTEM), current, is_pinned)
    }

    /// Takes the workspace in `dir`.
    ///
    /// # Errors
    /// `no_workspace` if there is no `keyctl.toml`; `untrusted_path` if strangers own or others may write the folder,
    /// a folder above it, or a file in it; `network_filesystem`.
    pub fn open(dir: &Path) -> Result<Workspace> {
        if !holds(dir) {
            return Err(Error::usage("no_workspace", format!("{}: holds no {CONFIG}", shown_path(dir)))
                .hint(format!("keyctl --workspace {} init", shown_path(dir))));
        }
        let dir = trusted_path(dir)?;
        local_filesystem(&dir)?;
        let config = trusted_path(&dir.join(CONFIG))?;
        for part in PARTS.map(|part| dir.join(part)) {
            if part.symlink_metadata().is_ok() {
                trusted_path(&part)?;
            }
        }
        Ok(Workspace { dir, config })
    }
}

fn find_from(
    named: Option<&Path>,
    system: &Path,
    current: &Path,
    is_pinned: &dyn Fn(&Path) -> bool,
) -> Result<Workspace> {
    if let Some(dir) = named {
        return Workspace::open(dir);
    }
    if holds(system) {
        return Workspace::open(system);
    }
    let Some(nearest) = current.ancestors().find(|dir| holds(dir)) else {
        return Err(Error::usage("no_workspace", format!("no workspace named, none in {SYSTEM}, none here or above"))
            .hint("keyctl init --sandbox"));
    };
    let workspace = Workspace::open(nearest)?;
    match is_pinned(&workspace.dir) {
        true => Ok(workspace),
        false => {
            let name = shown_path(&workspace.dir);
            Err(Error::usage("unknown_workspace", format!("{name}: a workspace that neither you nor root pinned"))
                .hint(format!("if it is yours: keyctl trust {name}")))
        }
    }
}

/// Whether there is something called `keyctl.toml`, whatever it is.
fn holds(dir: &Path) -> bool {
    dir.join(CONFIG).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn workspace(dir: &Path) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(CONFIG), "").unwrap();
        chmod(dir, 0o755);
        chmod(&dir.join(CONFIG), 0o644);
        fs::canonicalize(dir).unwrap()
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn named_then_system_then_upwards_if_pinned() {
        let top = tempfile::tempdir().unwrap();
        let (named, system, above) = (top.path().join("named"), top.path().join("etc"), top.path().join("above"));
        let inside = above.join("a/b");
        fs::create_dir_all(&inside).unwrap();
        let find = |name: Option<&Path>, pinned: bool| find_from(name, &system, &inside, &|_| pinned);

        assert_eq!(find(None, true).unwrap_err().code(), "no_workspace");
        assert_eq!(find(Some(&named), true).unwrap_err().code(), "no_workspace");
        let above = workspace(&above);
        assert_eq!(find(None, true).unwrap(), Workspace { config: above.join(CONFIG), dir: above.clone() });
        let error = find(None, false).unwrap_err();
        assert_eq!(error.code(), "unknown_workspace");
        assert_eq!(error.advice().unwrap(), format!("if it is yours: keyctl trust {}", above.display()));
        let system_dir = workspace(&system);
        assert_eq!(find(None, false).unwrap().dir, system_dir);
        let named_dir = workspace(&named);
        assert_eq!(find(Some(&named), false).unwrap().dir, named_dir);
    }

    #[test]
    fn what_others_may_write_is_no_workspace_and_is_not_asked_about() {
        let top = tempfile::tempdir().unwrap();
        let dir = workspace(&top.path().join("w"));
        fs::create_dir(dir.join("tokens")).unwrap();
        fs::write(dir.join("ledger.db"), "").unwrap();
        chmod(&dir.join("tokens"), 0o700);
        chmod(&dir.join("ledger.db"), 0o600);
        Workspace::open(&dir).unwrap();
        for (part, bad, good) in
            [("", 0o777, 0o755), (CONFIG, 0o666, 0o644), ("tokens", 0o770, 0o700), ("ledger.db", 0o620, 0o600)]
        {
            chmod(&dir.join(part), bad);
            let found =
                find_from(None, Path::new("/nonexistent"), &dir, &|_| panic!("asked about an untrusted folder"));
            assert_eq!(found.unwrap_err().code(), "untrusted_path", "{part}");
            chmod(&dir.join(part), good);
        }
    }
}
