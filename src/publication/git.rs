//! The `git` program, run so that nothing but our own arguments decides what it does.
//!
//! - It gets a new environment: of ours only what finding keys and servers needs ([`NEEDED`]), no `GIT_*`.
//! - No hook runs, no filter, no file system monitor, no maintenance in the background, no signature by somebody's own key.
//!   Files go in as bytes on standard input, so neither `.gitattributes` nor a changed file comes between what was looked
//!   through and what is committed.
//! - It asks nobody: no terminal, no window. What needs a password it does not have fails.
//! - It ends in time. It runs in a process group of its own; what is late gets a signal to end, and then one that it
//!   cannot refuse.
//! - Its repository is named, so it never goes looking for one in the folders above.
//!
//! The user's own configuration holds all the same: that is where credentials and proxies are. Of the repository's own only
//! what names remotes and describes the repository is taken; see `repository/own.rs`.

use crate::child::NEEDED;
use crate::clock::Time;
use crate::error::{Context, Error, Kind, Result, shown};
use crate::model::Email;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What holds for every call, against any configuration.
const SETTINGS: [&str; 19] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.askPass=",
    "core.pager=cat",
    "core.fsync=committed,reference",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "push.followTags=false",
    "push.recurseSubmodules=no",
    "fetch.recurseSubmodules=no",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
];

/// How long a call may take that reaches no server.
const LOCAL: Duration = Duration::from_secs(60);
/// How long a late process has between the two signals.
const GRACE: Duration = Duration::from_secs(2);
/// The most that is read of what it prints.
const MAX_OUTPUT: u64 = 256 << 20;
/// The most that is read of what it says.
const MAX_WORDS: u64 = 16 << 10;

/// Who a commit is by, and when.
#[derive(Clone, Debug)]
pub struct Author {
    /// By e-mail address, which is the name as well.
    pub email: Email,
    /// From the one clock.
    pub time: Time,
}

/// The program, for one repository.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    git_dir: PathBuf,
    work_tree: PathBuf,
    index: Option<PathBuf>,
    author: Option<Author>,
    /// How long a call may take that reaches a server.
    patience: Duration,
    stop: Arc<AtomicBool>,
}

/// What a call gave.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub out: Vec<u8>,
    /// What it said beside that.
    pub words: String,
}

impl Said {
    /// The output as one line of text.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(self.out.trim_ascii()).into_owned()
    }

    /// The last thing it said, made safe to print.
    pub fn last_word(&self) -> String {
        let mut lines = self.words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
        let line = lines.clone().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
        shown(line.or(lines.next_back()).unwrap_or("it does not say why"))
    }
}

impl Git {
    /// The program for the repository in `git_dir` with its files in `work_tree`. Both are real paths that were found to
    /// be trusted.
    ///
    /// # Errors
    /// `git_missing`.
    pub fn new(git_dir: &Path, work_tree: &Path, patience: Duration, stop: Arc<AtomicBool>) -> Result<Self> {
        Ok(Git {
            program: program()?,
            git_dir: git_dir.to_owned(),
            work_tree: work_tree.to_owned(),
            index: None,
            author: None,
            patience,
            stop,
        })
    }

    /// The same with another index file.
    pub fn with_index(&self, index: &Path) -> Self {
        Git { index: Some(index.to_owned()), ..self.clone() }
    }

    /// The same with somebody whom commits are by.
    pub fn with_author(&self, author: Author) -> Self {
        Git { author: Some(author), ..self.clone() }
    }

    /// The repository's own folder.
    pub fn dir(&self) -> &Path {
        &self.git_dir
    }

    /// Runs a call that has to succeed.
    ///
    /// # Errors
    /// `git_failed`, and those of [`Git::ask`].
    pub fn run(&self, args: &[&str], input: &[u8]) -> Result<Said> {
        let said = self.ask(args, input)?;
        if said.status.success() { Ok(said) } else { Err(failed(args, &said)) }
    }

    /// Runs a call whose ending is an answer.
    ///
    /// # Errors
    /// `git_missing`, `git_late`, `interrupted`; it was ended by a signal.
    pub fn ask(&self, args: &[&str], input: &[u8]) -> Result<Said> {
        self.call(args, input, LOCAL)
    }

    /// Runs a call that reaches a server.
    ///
    /// # Errors
    /// As [`Git::ask`].
    pub fn reach(&self, args: &[&str]) -> Result<Said> {
        self.call(args, b"", self.patience)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // A remote may be named by a path from the work tree.
        command.env_clear().process_group(0).current_dir(&self.work_tree);
        for name in NEEDED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "false"),
            ("SSH_ASKPASS", "false"),
            ("SSH_ASKPASS_REQUIRE", "force"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_PAGER", "cat"),
            ("GIT_EDITOR", "false"),
        ] {
            command.env(name, value);
        }
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        if let Some(author) = &self.author {
            let date = format!("@{} +0000", author.time.timestamp());
            for role in ["AUTHOR", "COMMITTER"] {
                command.env(format!("GIT_{role}_NAME"), author.email.as_str());
                command.env(format!("GIT_{role}_EMAIL"), author.email.as_str());
                command.env(format!("GIT_{role}_DATE"), &date);
            }
        }
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        // The folder was found to be trusted, which is more than git asks for.
        let mut safe = OsString::from("safe.directory=");
        safe.push(&self.work_tree);
        command.arg("-c").arg(safe).arg("--git-dir").arg(&self.git_dir).arg("--work-tree").arg(&self.work_tree);
        command
    }

    fn call(&self, args: &[&str], input: &[u8], time: Duration) -> Result<Said> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(interrupted());
        }
        // Files and no pipes: whatever stays behind holding its end of a pipe cannot make us wait.
        let (mut stdin, out, words) = (scratch()?, scratch()?, scratch()?);
        stdin.write_all(input)?;
        stdin.seek(SeekFrom::Start(0))?;
        let mut command = self.command();
        command.args(args).stdin(stdin).stdout(Stdio::from(out.try_clone()?)).stderr(Stdio::from(words.try_clone()?));
        let mut child = command.spawn().map_err(|error| missing().because(error))?;
        let status = self.wait(&mut child, time, args)?;
        let said = Said {
            status,
            out: read(out, MAX_OUTPUT)?,
            words: String::from_utf8_lossy(&read(words, MAX_WORDS)?).into_owned(),
        };
        match said.status.code() {
            Some(_) => Ok(said),
            None => Err(failed(args, &said)),
        }
    }

    fn wait(&self, child: &mut Child, time: Duration, args: &[&str]) -> Result<ExitStatus> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let (late, stopped) = (start.elapsed() > time, self.stop.load(Ordering::SeqCst));
            if late || stopped {
                end(child);
                let words = || format!("git {} took longer than {} s", verb(args), time.as_secs());
                return Err(if stopped { interrupted() } else { Error::unavailable("git_late", words()) });
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(Duration::from_millis(20));
        }
    }
}

/// Ends a process and what it started: first so that it can tidy up.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    // It may have ended by itself meanwhile.
    let _ = signal(Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = signal(Signal::KILL);
    let _ = child.wait();
}

/// A file without a name.
fn scratch() -> Result<File> {
    tempfile::tempfile().or_failed("no_scratch", || "no temporary file can be made".into())
}

fn read(mut file: File, limit: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first `git` on the absolute folders of `PATH`: a relative one would make the current folder choose the program.
fn program() -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(OsStr::new("git"))).find(is_program).ok_or_else(missing)
}

fn missing() -> Error {
    Error::failed("git_missing", "the program git cannot be run, and published/ is a git work tree")
        .hint("install git, or set [publication] git = false and keyctl adopt")
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted", "interrupted while git was running")
}

/// The subcommand, for messages.
fn verb<'a>(args: &[&'a str]) -> &'a str {
    args.first().copied().unwrap_or_default()
}

fn failed(args: &[&str], said: &Said) -> Error {
    Error::failed("git_failed", format!("git {} failed ({}): {}", verb(args), said.status, said.last_word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, patience: Duration) -> Git {
        let mut init = Command::new("git");
        init.args(["init", "-q"]).arg(folder).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        assert!(init.status().unwrap().success());
        Git::new(&folder.join(".git"), folder, patience, Arc::default()).unwrap()
    }

    #[test]
    fn only_the_named_repository_and_environment_count() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let git = git(folder.path(), LOCAL);
        let top = git.run(&["rev-parse", "--show-toplevel"], b"").unwrap().line();
        assert_eq!(Path::new(&top), folder.path().canonicalize().unwrap());
        let names: Vec<_> = git.command().get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let allowed = |name: &String| name.starts_with("GIT_") || name.starts_with("SSH_ASKPASS") || name == "LC_ALL";
        assert!(names.iter().all(|name| allowed(name) || NEEDED.contains(&name.as_str())), "{names:?}");
        // A folder below is not taken for a part of the repository above it.
        std::fs::remove_dir_all(folder.path().join(".git")).unwrap();
        let nothing = Git { git_dir: other.path().join("none"), ..git };
        let error = nothing.run(&["rev-parse", "HEAD"], b"").unwrap_err();
        assert!(error.code() == "git_failed" && error.message().contains("not a git repository"), "{error}");
    }

    #[test]
    fn a_late_call_ends_with_everything_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let git = git(folder.path(), Duration::from_millis(300));
        let alias = ["-c", "alias.wait=!sleep 300 & echo $! > pid; wait"];
        std::fs::write(folder.path().join(".git/config"), "[alias]\n\twait = \"!sleep 300 & echo $! > pid; wait\"\n")
            .unwrap();
        let start = Instant::now();
        let error = git.reach(&["wait"]).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("git_late", Kind::Unavailable), "{alias:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let gone = || !Path::new("/proc").join(pid.trim()).join("exe").exists();
        while !gone() && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(gone(), "the sleeper it started still runs");
    }

    #[test]
    fn an_interruption_ends_it_and_starts_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let git = git(folder.path(), LOCAL);
        std::fs::write(folder.path().join(".git/config"), "[alias]\n\twait = \"!sleep 300\"\n").unwrap();
        let stop = git.stop.clone();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| git.reach(&["wait"]));
            std::thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::SeqCst);
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), Kind::Interrupted);
        });
        assert_eq!(git.ask(&["version"], b"").unwrap_err().kind(), Kind::Interrupted);
    }
}
