//! A git work tree: what is in it, what is committed, and what has reached the remote.
//!
//! Commits are made from bytes, by git's plumbing and on an index of our own that begins with the last commit. So what
//! somebody else staged, changed or left lying in the folder is neither committed nor lost, and no attribute or
//! filter has a say in what the bytes become.
//!
//! What was pushed is known by a reference of ours, `refs/keyctl/pushed/REMOTE/BRANCH`. It moves only after the remote
//! was asked what it has, and had this commit or one that follows it.

mod examine;
mod object;
mod own;
mod place;
mod push;

pub use object::ObjectId;

use super::git::{Author, Git};
use crate::config::{GitUse, Publication};
use crate::error::{Error, Result};
use crate::files::safe::trusted_path;
use crate::files::shown_path;
use sha2::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A git work tree that is ours to commit to.
#[derive(Debug)]
pub struct Repository {
    git: Git,
    top: PathBuf,
    branch: String,
    remote: Option<String>,
    /// Objects are named by SHA-256 instead of SHA-1.
    sha256: bool,
}

impl Repository {
    /// The work tree whose top is `folder`, if it is one and is to be used.
    ///
    /// # Errors
    /// `no_repository` where the settings say that it is one; `untrusted_path`; `detached_head`, `other_branch`,
    /// `unfinished_merge`, `no_remote`; `git_config`; git's.
    pub fn open(
        folder: &Path,
        settings: &Publication,
        patience: Duration,
        stop: Arc<AtomicBool>,
    ) -> Result<Option<Self>> {
        if settings.git == GitUse::Off {
            return Ok(None);
        }
        let dot_git = folder.join(".git");
        if dot_git.symlink_metadata().is_err() {
            let name = shown_path(folder);
            return match settings.git {
                GitUse::Commit | GitUse::Push => {
                    let message = format!("{name} is no git work tree, and the settings say that it is");
                    Err(Error::failed("no_repository", message).hint(format!("git init {name}")))
                }
                _ => Ok(None),
            };
        }
        let top = trusted_path(folder)?;
        let git_dir = place::git_dir(&dot_git)?;
        let git = Git::new(&git_dir, &top, patience, stop)?;
        own::check(&git, &top)?;
        if let Some(name) = place::UNFINISHED.iter().find(|name| git_dir.join(name).exists()) {
            let message = format!("{}: a merge, rebase or the like was not finished ({name})", shown_path(&top));
            return Err(Error::failed("unfinished_merge", message).hint(format!("git -C {} status", shown_path(&top))));
        }
        let branch = place::branch(&git, &top, settings)?;
        let format = git.ask(&["rev-parse", "--show-object-format"], b"")?;
        let sha256 = format.status.success() && format.line() == "sha256";
        let remote = place::remote(&git, &top, settings)?;
        Ok(Some(Repository { git, top, branch, remote, sha256 }))
    }

    /// The top of the work tree.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The remote that is pushed to, if any.
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// The branch, here and there.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// `origin/main`, or `main` where nothing is pushed.
    pub fn goal(&self) -> String {
        self.remote.as_ref().map_or_else(|| self.branch.clone(), |remote| format!("{remote}/{}", self.branch))
    }

    fn head_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn pushed_ref(&self, remote: &str) -> String {
        format!("refs/keyctl/pushed/{remote}/{}", self.branch)
    }

    fn resolve(&self, reference: &str) -> Result<Option<ObjectId>> {
        let said = self.git.ask(&["rev-parse", "-q", "--verify", &format!("{reference}^{{commit}}")], b"")?;
        if said.status.success() { ObjectId::parse(&said.line()).map(Some) } else { Ok(None) }
    }

    /// The last commit, if there is one.
    ///
    /// # Errors
    /// Git's.
    pub fn head(&self) -> Result<Option<ObjectId>> {
        self.resolve(&self.head_ref())
    }

    /// The last commit that the remote is known to have.
    ///
    /// # Errors
    /// Git's.
    pub fn pushed(&self) -> Result<Option<ObjectId>> {
        match &self.remote {
            Some(remote) => self.resolve(&self.pushed_ref(remote)),
            None => Ok(None),
        }
    }

    /// The files of a commit with their objects, by path from the top with `/`. Links are no files.
    ///
    /// # Errors
    /// Git's.
    pub fn files(&self, commit: &ObjectId) -> Result<BTreeMap<String, ObjectId>> {
        Ok(self.entries(commit)?.into_iter().map(|(path, (_, object))| (path, object)).collect())
    }

    /// Files with mode and object.
    fn entries(&self, commit: &ObjectId) -> Result<BTreeMap<String, (String, ObjectId)>> {
        let said = self.git.run(&["ls-tree", "-r", "-z", "--full-tree", commit.as_str()], b"")?;
        let mut files = BTreeMap::new();
        for line in said.out.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            // MODE TYPE OBJECT\tPATH; a path that is no text is not ours.
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let Some((head, path)) = line.split_once('\t') else { continue };
            if let [mode @ ("100644" | "100755"), "blob", object] = head.split(' ').collect::<Vec<_>>()[..] {
                files.insert(path.to_owned(), (mode.to_owned(), ObjectId::parse(object)?));
            }
        }
        Ok(files)
    }

    /// The name git gives to these bytes as a file's content.
    pub fn name_of(&self, bytes: &[u8]) -> ObjectId {
        let head = format!("blob {}\0", bytes.len());
        ObjectId::of_hex(match self.sha256 {
            true => crate::model::hex(&sha2::Sha256::new().chain_update(&head).chain_update(bytes).finalize()),
            false => crate::model::hex(&sha1::Sha1::new().chain_update(&head).chain_update(bytes).finalize()),
        })
    }

    /// Puts a file's content into the repository, not yet into a commit.
    ///
    /// # Errors
    /// Git's; `git_answer` if it names it otherwise than we do.
    pub fn store(&self, bytes: &[u8]) -> Result<ObjectId> {
        let said = self.git.run(&["hash-object", "-w", "--no-filters", "--stdin"], bytes)?;
        let name = ObjectId::parse(&said.line())?;
        if name != self.name_of(bytes) {
            return Err(Error::failed("git_answer", "git stored other bytes than it was given"));
        }
        Ok(name)
    }

    /// The content of a file in a commit.
    ///
    /// # Errors
    /// Git's, also when there is no such file.
    pub fn content(&self, commit: &ObjectId, path: &str) -> Result<Vec<u8>> {
        Ok(self.git.run(&["cat-file", "blob", &format!("{commit}:{path}")], b"")?.out)
    }

    /// Commits stored files on top of the last commit, each with the mode it had there. `None` if they are all in it as
    /// they are.
    ///
    /// # Errors
    /// Git's; `git_failed` if somebody else committed meanwhile.
    pub fn commit(
        &self,
        files: &BTreeMap<String, ObjectId>,
        message: &str,
        author: &Author,
    ) -> Result<Option<ObjectId>> {
        let parent = self.head()?;
        let index = self.git.dir().join("keyctl-index");
        for leftover in ["keyctl-index", "keyctl-index.lock"] {
            let _ = std::fs::remove_file(self.git.dir().join(leftover));
        }
        let aside = self.git.with_index(&index);
        let known = match &parent {
            Some(parent) => {
                aside.run(&["read-tree", parent.as_str()], b"")?;
                self.entries(parent)?
            }
            None => BTreeMap::new(),
        };
        let line = |(path, object): (&String, &ObjectId)| match known.get(path) {
            Some((_, known)) if known == object => None,
            Some((mode, _)) => Some(format!("{mode} {object}\t{path}\0")),
            None => Some(format!("100644 {object}\t{path}\0")),
        };
        let changed: String = files.iter().filter_map(line).collect();
        if changed.is_empty() {
            return Ok(None);
        }
        aside.run(&["update-index", "-z", "--index-info"], changed.as_bytes())?;
        let tree = ObjectId::parse(&aside.run(&["write-tree"], b"")?.line())?;
        let _ = std::fs::remove_file(&index);
        let mut args = vec!["commit-tree", tree.as_str(), "-F", "-"];
        if let Some(parent) = &parent {
            args.extend(["-p", parent.as_str()]);
        }
        let writer = self.git.with_author(author.clone());
        let commit = ObjectId::parse(&writer.run(&args, message.as_bytes())?.line())?;
        let nothing = "0".repeat(commit.as_str().len());
        let before = parent.as_ref().map_or(nothing.as_str(), ObjectId::as_str);
        writer.run(&["update-ref", "-m", "keyctl: publish", &self.head_ref(), commit.as_str(), before], b"")?;
        // So that `git status` does not show the old files. Somebody else may hold the index; it is theirs.
        let _ = self.git.ask(&["update-index", "-z", "--index-info"], changed.as_bytes());
        Ok(Some(commit))
    }

    /// How many commits the remote does not have, and since when.
    ///
    /// # Errors
    /// Git's.
    pub fn behind(&self) -> Result<(usize, Option<crate::clock::Time>)> {
        let Some(head) = self.head()? else { return Ok((0, None)) };
        let mut args = vec!["log", "--format=%ct", head.as_str()];
        let pushed = self.pushed()?;
        if let Some(pushed) = &pushed {
            args.extend(["--not", pushed.as_str()]);
        }
        let said = self.git.run(&args, b"")?;
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let times = text.lines().filter_map(|line| line.trim().parse::<i64>().ok());
        let oldest = times.min().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
        Ok((text.lines().count(), oldest))
    }
}
