//! A git work tree: what is in it, what is committed, and what has reached the remote.
//!
//! Commits are made from bytes, by git's plumbing and on an index of our own that begins with the last commit. So what
//! somebody else staged, changed or left lying in the folder is neither committed nor lost, and no attribute or
//! filter has a say in what the bytes become.
//!
//! What was pushed is known by a reference of ours, `refs/keyctl/pushed/REMOTE/BRANCH`. It moves only after the remote
//! was asked what it has, and had this commit or one that follows it.

use super::git::{Author, Git, Said};
use super::private::{self, Secrets};
use crate::config::{GitUse, Publication};
use crate::error::{Error, Result, shown};
use crate::files::safe::{read_text, trusted_path};
use crate::files::shown_path;
use sha2::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The largest single object that is looked through before it is pushed, in bytes.
const MAX_BLOB: u64 = 64 << 20;
/// How much is looked through at a time.
const BATCH: u64 = 64 << 20;
/// The most objects in what is pushed at once.
const MAX_OBJECTS: usize = 1_000_000;

/// The identifier of a git object, as git prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    fn parse(text: &str) -> Result<Self> {
        let hex = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bad = || Error::failed("git_answer", format!("git names an object {}", shown(text)));
        if hex { Ok(ObjectId(text.to_owned())) } else { Err(bad()) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

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

/// What to look through before anything is pushed, and what with.
pub type Sieve<'a> = &'a Secrets;

impl Repository {
    /// The work tree whose top is `folder`, if it is one and is to be used.
    ///
    /// # Errors
    /// `no_repository` where the settings say that it is one; `untrusted_path`; `detached_head`, `other_branch`,
    /// `unfinished_merge`, `no_remote`; git's.
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
        let git_dir = git_dir(&dot_git)?;
        let git = Git::new(&git_dir, &top, patience, stop)?;
        if let Some(name) = UNFINISHED.iter().find(|name| git_dir.join(name).exists()) {
            let message = format!("{}: a merge, rebase or the like was not finished ({name})", shown_path(&top));
            return Err(Error::failed("unfinished_merge", message).hint(format!("git -C {} status", shown_path(&top))));
        }
        let branch = branch(&git, &top, settings)?;
        let format = git.ask(&["rev-parse", "--show-object-format"], b"")?;
        let sha256 = format.status.success() && format.line() == "sha256";
        let remote = remote(&git, &top, settings)?;
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
        ObjectId(match self.sha256 {
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

    /// Pushes a commit, and asks the remote whether it has it. Everything that the remote does not have yet is looked
    /// through first, also what others committed.
    ///
    /// # Errors
    /// `private_material`; `push_rejected`, `push_refused`, `push_denied` (permanent); `remote_unreachable`, `git_late`
    /// (transient); `push_unconfirmed`.
    pub fn push(&self, commit: &ObjectId, sieve: Sieve<'_>) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let known = match self.pushed()? {
            Some(pushed) => Some(pushed),
            None => self.remote_head(remote)?,
        };
        if known.as_ref() != Some(commit) {
            self.examine(commit, known.as_ref(), sieve)?;
            let refspec = format!("{commit}:{}", self.head_ref());
            let said =
                self.git.reach(&["push", "--porcelain", "--no-verify", "--no-signed", "--", remote, &refspec])?;
            if !said.status.success() {
                return Err(self.unpushed(remote, &said));
            }
        }
        self.confirm(commit)
    }

    /// Asks the remote whether it has this commit, or one that follows it, and remembers that.
    ///
    /// # Errors
    /// `push_unconfirmed`; those of reaching it.
    pub fn confirm(&self, commit: &ObjectId) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let has = self.remote_head(remote)?;
        let follows = match &has {
            Some(has) if has == commit => true,
            Some(_) => {
                let fetched = format!("refs/keyctl/remote/{remote}/{}", self.branch);
                let refspec = format!("+{}:{fetched}", self.head_ref());
                let args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", remote, &refspec];
                let said = self.git.reach(&args)?;
                if !said.status.success() {
                    return Err(self.unreached(remote, &said));
                }
                self.git.ask(&["merge-base", "--is-ancestor", commit.as_str(), &fetched], b"")?.status.success()
            }
            None => false,
        };
        if !follows {
            let has = has.as_ref().map_or("nothing", ObjectId::short);
            let message = format!("{} has {has}, which does not contain {}", self.goal(), commit.short());
            return Err(Error::failed("push_unconfirmed", message).hint(self.pull_hint(remote)));
        }
        let reference = self.pushed_ref(remote);
        self.git.run(&["update-ref", "-m", "keyctl: confirmed", &reference, commit.as_str()], b"").map(drop)
    }

    fn remote_head(&self, remote: &str) -> Result<Option<ObjectId>> {
        let said = self.git.reach(&["ls-remote", "--", remote, &self.head_ref()])?;
        if !said.status.success() {
            return Err(self.unreached(remote, &said));
        }
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let wanted = self.head_ref();
        let line = text.lines().find_map(|line| line.split_once('\t').filter(|(_, name)| *name == wanted));
        line.map(|(object, _)| ObjectId::parse(object)).transpose()
    }

    /// Looks through every file in the commits that lead to this one and not to `known`.
    fn examine(&self, commit: &ObjectId, known: Option<&ObjectId>, sieve: Sieve<'_>) -> Result<()> {
        let mut args = vec!["rev-list", "--objects", commit.as_str()];
        if let Some(known) = known {
            // What somebody else pushed may not be here; then nothing is left out.
            let is_here = self.git.ask(&["cat-file", "-e", known.as_str()], b"")?.status.success();
            args.extend(is_here.then_some(["--not", known.as_str()]).into_iter().flatten());
        }
        let listed = self.git.run(&args, b"")?.out;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let names: BTreeMap<&str, &str> =
            listed.lines().take(MAX_OBJECTS).map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
        if listed.lines().count() > MAX_OBJECTS {
            return Err(Error::failed(
                "too_much_to_push",
                format!("more than {MAX_OBJECTS} objects were never pushed"),
            )
            .hint("push the repository once by hand, after looking through it"));
        }
        let asked: String = names.keys().map(|name| format!("{name}\n")).collect();
        let kinds = self.git.run(&["cat-file", "--batch-check"], asked.as_bytes())?.out;
        let kinds = String::from_utf8_lossy(&kinds).into_owned();
        let (mut batch, mut size) = (Vec::new(), 0u64);
        for line in kinds.lines() {
            let [object, "blob", length] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let length: u64 = length.parse().unwrap_or(u64::MAX);
            let path = names.get(object).copied().unwrap_or_default();
            if length > MAX_BLOB {
                let message = format!("{}: {length} bytes are too many to look through", shown(path));
                return Err(Error::failed("too_large", message));
            }
            if size.saturating_add(length) > BATCH {
                self.examine_batch(&batch, sieve)?;
                (batch, size) = (Vec::new(), 0);
            }
            batch.push((object, path));
            size = size.saturating_add(length);
        }
        self.examine_batch(&batch, sieve)
    }

    fn examine_batch(&self, batch: &[(&str, &str)], sieve: Sieve<'_>) -> Result<()> {
        let asked: String = batch.iter().map(|(object, _)| format!("{object}\n")).collect();
        let said = self.git.run(&["cat-file", "--batch"], asked.as_bytes())?;
        let mut rest = said.out.as_slice();
        for (object, path) in batch {
            // OBJECT blob LENGTH\nBYTES\n
            let cut = || Error::failed("git_answer", format!("git does not show {}", shown(path)));
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
            let (head, after) = rest.split_at(end);
            let head = String::from_utf8_lossy(head).into_owned();
            let length = match head.split(' ').collect::<Vec<_>>()[..] {
                [name, "blob", length] if name == *object => length.parse::<usize>().map_err(|_| cut())?,
                _ => return Err(cut()),
            };
            let after = after.get(1..).ok_or_else(cut)?;
            let (bytes, after) = after.split_at_checked(length).ok_or_else(cut)?;
            if let Some(what) = private::found_in(bytes, sieve) {
                return Err(private_material(path, what).hint(
                    "it is in a commit that was not pushed yet: take the file out of the history, and make another key",
                ));
            }
            rest = after.get(1..).ok_or_else(cut)?;
        }
        Ok(())
    }

    fn pull_hint(&self, remote: &str) -> String {
        format!("git -C {} pull --rebase {remote} {}; keyctl recover", shown_path(&self.top), self.branch)
    }

    /// The error for a push that failed.
    fn unpushed(&self, remote: &str, said: &Said) -> Error {
        let report = String::from_utf8_lossy(&said.out).into_owned();
        let line = report.lines().find(|line| line.starts_with('!')).unwrap_or_default();
        let reason = shown(line.rsplit('\t').next().unwrap_or_default());
        let goal = self.goal();
        if line.contains("[rejected]") {
            let message = format!("{goal} has commits that are not in {}: {reason}", shown_path(&self.top));
            return Error::failed("push_rejected", message).hint(self.pull_hint(remote));
        }
        if line.contains("[remote rejected]") {
            return Error::failed("push_refused", format!("{goal} does not take the push: {reason}"));
        }
        self.unreached(remote, said)
    }

    /// The error for a remote that cannot be reached: for want of a permit, or for now.
    fn unreached(&self, remote: &str, said: &Said) -> Error {
        let words = said.words.to_lowercase();
        let denied = [
            "authentication failed",
            "permission denied",
            "could not read username",
            "could not read password",
            "host key verification failed",
            "repository not found",
            "error: 403",
            "error: 404",
            "no such remote",
        ];
        let word = said.last_word();
        if denied.iter().any(|denied| words.contains(denied)) {
            let hint =
                format!("git -C {} push {remote} {} shows what git is missing", shown_path(&self.top), self.branch);
            return Error::failed("push_denied", format!("{} cannot be reached: {word}", self.goal())).hint(hint);
        }
        Error::unavailable("remote_unreachable", format!("{} cannot be reached now: {word}", self.goal()))
    }
}

/// What git leaves while something is under way.
const UNFINISHED: [&str; 6] =
    ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge", "rebase-apply"];

/// The refusal of a file with private material. It names the file and never what is in it.
pub fn private_material(path: &str, what: &str) -> Error {
    Error::blocked("private_material", format!("{}: holds {what}, so nothing is published", shown(path)))
}

/// The repository's own folder: `.git`, or where a file of that name leads.
fn git_dir(dot_git: &Path) -> Result<PathBuf> {
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

fn branch(git: &Git, top: &Path, settings: &Publication) -> Result<String> {
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

fn remote(git: &Git, top: &Path, settings: &Publication) -> Result<Option<String>> {
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
