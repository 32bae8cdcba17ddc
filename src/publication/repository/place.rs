//! Where a work tree's repository is, and which branch and remote are meant.

use crate::config::{GitUse, Publication};
use crate::error::{Error, Result, shown};
use crate::files::safe::{read_text, trusted_path};
use crate::files::shown_path;
use crate::publication::git::Git;
use std::path::{Path, PathBuf};

/// What git leaves while something is under way.
pub(super) const UNFINISHED: [&str; 6] =
    ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge", "rebase-apply"];

/// The repository's own folder: `.git`, or where a file of that name leads.
pub(super) fn git_dir(dot_git: &Path) -> Result<PathBuf> {
    let real = trusted_path(dot_git)?;
    let is_link = dot_git.symlink_metadata()?.is_symlink();
    if is_link {
        let message = format!("{}: is a symbolic link", shown_path(dot_git));
        return Err(Error::usage("symlink", message).hint("a work tree elsewhere has a file here: git worktree add"));
    }
    let dir = if real.is_dir() {
        real
    } else {
        let text = read_text(&real, 4096)?;
        let target = text.trim_end().strip_prefix("gitdir: ");
        let bad = || Error::usage("no_repository", format!("{}: leads to no repository", shown_path(dot_git)));
        let target = target.ok_or_else(bad)?;
        trusted_path(&real.parent().unwrap_or(Path::new("/")).join(target))?
    };
    for part in ["config", "HEAD", "objects"] {
        let part = dir.join(part);
        if part.symlink_metadata().is_ok() {
            trusted_path(&part)?;
        }
    }
    Ok(dir)
}

pub(super) fn branch(git: &Git, top: &Path, settings: &Publication) -> Result<String> {
    let said = git.ask(&["symbolic-ref", "-q", "--short", "HEAD"], b"")?;
    let name = shown_path(top);
    if !said.status.success() {
        let message = format!("{name} has no branch checked out, but a single commit");
        return Err(Error::failed("detached_head", message).hint(format!("git -C {name} switch BRANCH")));
    }
    let branch = said.line();
    match &settings.branch {
        Some(wanted) if *wanted != branch => {
            let message = format!("{name} has {} checked out, and the settings say {wanted}", shown(&branch));
            Err(Error::failed("other_branch", message).hint(format!("git -C {name} switch {wanted}")))
        }
        _ => Ok(branch),
    }
}

pub(super) fn remote(git: &Git, top: &Path, settings: &Publication) -> Result<Option<String>> {
    if !matches!(settings.git, GitUse::Auto | GitUse::Push) {
        return Ok(None);
    }
    let listed = git.run(&["remote"], b"")?;
    let text = String::from_utf8_lossy(&listed.out).into_owned();
    if text.lines().any(|name| name == settings.remote) {
        return Ok(Some(settings.remote.clone()));
    }
    match settings.git {
        GitUse::Push => {
            let message = format!("{} has no remote {}", shown_path(top), settings.remote);
            let hint = format!("git -C {} remote add {} URL", shown_path(top), settings.remote);
            Err(Error::failed("no_remote", message).hint(hint))
        }
        _ => Ok(None),
    }
}
