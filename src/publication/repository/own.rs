//! What a repository's own configuration may say.
//!
//! Git runs what its configuration names: filters, file system monitors, ssh commands, credential helpers, proxies,
//! helpers of remotes. A repository that lies in a folder of ours may have come from elsewhere with its configuration, so
//! only what names remotes and describes the repository is taken, and what our own arguments overrule. With anything
//! else git is not run. What an operator needs beyond that (credentials, proxies) is in that person's own configuration.

use crate::error::{Error, Result, shown};
use crate::files::safe::{read_text, trusted_path};
use crate::files::shown_path;
use crate::publication::git::Git;
use std::path::{Component, Path, PathBuf};

/// What describes a repository, or shapes what nothing here does.
const CORE: [&str; 20] = [
    "repositoryformatversion",
    "filemode",
    "bare",
    "logallrefupdates",
    "ignorecase",
    "precomposeunicode",
    "symlinks",
    "sharedrepository",
    "quotepath",
    "compression",
    "loosecompression",
    "bigfilethreshold",
    "eol",
    "abbrev",
    "protectntfs",
    "protecthfs",
    "whitespace",
    "commentchar",
    "fsyncmethod",
    "worktree",
];

/// What every call sets for itself, so that it does not matter what stands there.
const OVERRULED: [&str; 14] = [
    "core.hookspath",
    "core.fsmonitor",
    "core.untrackedcache",
    "core.attributesfile",
    "core.excludesfile",
    "core.autocrlf",
    "core.safecrlf",
    "core.askpass",
    "core.pager",
    "core.editor",
    "core.fsync",
    "commit.gpgsign",
    "push.gpgsign",
    "push.followtags",
];

/// Sections of commands that are not called, or whose keys change nothing of what is done.
const IDLE: [&str; 12] =
    ["advice", "branch", "color", "gc", "index", "init", "maintenance", "pack", "pull", "rebase", "status", "user"];

const REMOTE: [&str; 5] = ["url", "pushurl", "fetch", "tagopt", "prune"];

/// Holds the configuration of the repository against that.
///
/// # Errors
/// `git_config` naming the first key that could have git run or reach something else; `untrusted_path`; git's.
pub(super) fn check(git: &Git, top: &Path) -> Result<()> {
    let path = common(git.dir())?.join("config");
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let real = trusted_path(&path)?;
    let file = real.to_str().ok_or_else(|| Error::usage("bad_path", format!("{}: is not UTF-8", shown_path(&real))))?;
    let said = git.run(&["config", "--file", file, "--no-includes", "--null", "--list"], b"")?;
    for entry in said.out.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let entry = String::from_utf8_lossy(entry);
        let (key, value) = entry.split_once('\n').unwrap_or((&entry, ""));
        if !may(key, value, top) {
            let message =
                format!("{}: says {}, by which git could run or reach something else", shown_path(&path), shown(key));
            return Err(Error::blocked("git_config", message)
                .hint("take it out there; what you need yourself belongs into your own: git config --global"));
        }
    }
    Ok(())
}

/// The folder with the configuration: a further work tree has it in common with the first one.
fn common(git_dir: &Path) -> Result<PathBuf> {
    let file = git_dir.join("commondir");
    if file.symlink_metadata().is_err() {
        return Ok(git_dir.to_owned());
    }
    trusted_path(&git_dir.join(read_text(&file, 4096)?.trim_end()))
}

fn may(key: &str, value: &str, top: &Path) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let (subsection, name) = rest.rsplit_once('.').map_or((None, rest), |(subsection, name)| (Some(subsection), name));
    if OVERRULED.contains(&key) || IDLE.contains(&section) {
        return true;
    }
    match (section, subsection, name) {
        ("core", None, name) => CORE.contains(&name),
        ("extensions", None, name) => matches!(name, "objectformat" | "refstorage" | "noop" | "preciousobjects"),
        ("push", None, name) => matches!(name, "default" | "autosetupremote"),
        ("remote", Some(_), "url" | "pushurl") => !is_inside(value, top),
        ("remote", Some(_), name) => REMOTE.contains(&name),
        _ => false,
    }
}

/// Whether a remote is a folder within the work tree: git would run that repository's hooks, which came with the files.
fn is_inside(url: &str, top: &Path) -> bool {
    let path = match url.strip_prefix("file://") {
        Some(path) => path,
        // As git tells a path from `host:path`.
        None if url.find(':').is_none_or(|colon| url.find('/').is_some_and(|slash| slash < colon)) => url,
        None => return false,
    };
    let path = top.join(path);
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain.starts_with(top) || path.canonicalize().is_ok_and(|real| real.starts_with(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_repository_and_names_remotes_is_taken() {
        let top = Path::new("/w/published");
        let good = [
            ("core.bare", "false"),
            ("core.hookspath", "/tmp/evil"),
            ("remote.origin.url", "git@example.com:keys.git"),
            ("remote.a.b.url", "https://example.com/x"),
            ("remote.origin.url", "/srv/git/x.git"),
            ("remote.origin.url", "../../x.git"),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
            ("branch.main.remote", "origin"),
            ("user.email", "a@b.c"),
            ("extensions.objectformat", "sha256"),
        ];
        for (key, value) in good {
            assert!(may(key, value, top), "{key}={value}");
        }
        let bad = [
            "core.sshcommand",
            "core.gitproxy",
            "core.alternaterefscommand",
            "credential.helper",
            "credential.https://x.helper",
            "filter.x.clean",
            "filter.x.process",
            "diff.external",
            "merge.x.driver",
            "include.path",
            "includeif.gitdir:/.path",
            "url.ext::sh.insteadof",
            "url.x.pushinsteadof",
            "remote.origin.receivepack",
            "remote.origin.uploadpack",
            "remote.origin.vcs",
            "remote.origin.proxy",
            "remote.pushdefault",
            "http.proxy",
            "http.sslverify",
            "protocol.ext.allow",
            "gpg.program",
            "ssh.variant",
            "alias.x",
            "extensions.worktreeconfig",
            "extensions.partialclone",
            "uploadpack.packobjectshook",
            "trace2.eventtarget",
            "push.pushoption",
            "sequence.editor",
            "",
        ];
        for key in bad {
            assert!(!may(key, "x", top), "{key}");
        }
        for inside in
            ["x.git", "./x.git", "/w/published/x.git", "a/../x.git", "file:///w/published/x.git", "../published"]
        {
            assert!(!may("remote.origin.url", inside, top), "{inside}");
        }
    }
}
