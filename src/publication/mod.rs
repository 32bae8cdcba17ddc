//! What others may read, and how far it has got: `published/`, nothing secret in it (design §4), and the git work tree
//! that it may be.
//!
//! Here lives everything that speaks to git, and the look for private material before anything goes out. What a file is made
//! of (a certificate, a list, a keyring) is made elsewhere and only recognised here. Nothing here signs or writes to the
//! ledger: the caller records what became of it.
//!
//! A published file goes through three places: the folder, a commit, a remote. How far it has to go is what the
//! settings say ([`Publication`]); whether it got there is told by [`State::is_published`], which is what an activation
//! or a revocation waits for. A file counts as committed or pushed only with the very bytes that lie in the folder now.
//!
//! [`Publisher::settle`] brings everything as far as it goes. Before it does anything, it looks through every file in the
//! folder ([`private`]); one with private material stops all of it. It commits only the files that are ours and are what
//! their names say ([`known`]), makes no commit of what is missing, and asks the remote afterwards whether it has the
//! commit. A remote that cannot be reached is no failure of the command: the state says `committed, not pushed`, and the
//! next command tries again.

pub mod edited;
pub mod git;
pub mod known;
pub mod private;
pub mod repository;
mod survey;

pub use git::Author;
pub use private::Secrets;
pub use private::private_material;
pub use repository::{ObjectId, Repository};

use crate::clock::Time;
use crate::config::{Publication, Retry};
use crate::error::{Error, Kind, Result};
use crate::model::{CorrelationId, Hash256};
use crate::retry::{Waiter, backoff};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use survey::{Looking, Survey};

crate::model::words! {
    /// How far a file has got, or has to get.
    Reach: "publication" {
        /// It lies in the folder.
        Folder = "folder",
        /// It is in the last commit.
        Committed = "committed",
        /// The remote has that commit.
        Pushed = "pushed",
    }
}

/// One published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Of its bytes as they lie in the folder.
    pub sha256: Hash256,
    /// How far these very bytes have got.
    pub reach: Reach,
}

/// Where everything stands, as far as it is known here. Nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// How far files have to get.
    pub wanted: Reach,
    /// Our files, by path relative to the folder.
    pub files: BTreeMap<String, File>,
    /// Files that are not ours, or not what their names say, and are not committed as they are; with the reason.
    pub left: Vec<(String, String)>,
    /// Files of ours that are in the last commit and not in the folder.
    pub missing: Vec<String>,
    /// `origin/main`, or the branch where nothing is pushed; empty for a mere folder.
    pub goal: String,
    /// The last commit.
    pub head: Option<ObjectId>,
    /// The last commit that the remote was seen to have.
    pub pushed: Option<ObjectId>,
    /// Commits that the remote was not seen to have.
    pub unpushed: usize,
    /// Time of the oldest of those.
    pub unpushed_since: Option<Time>,
}

impl State {
    /// Whether the file with these bytes has got as far as it has to.
    pub fn is_published(&self, path: &str, sha256: &Hash256) -> bool {
        self.files.get(path).is_some_and(|file| file.sha256 == *sha256 && file.reach >= self.wanted)
    }

    /// Our files that have not got there yet.
    pub fn behind(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|(_, file)| file.reach < self.wanted).map(|(path, _)| path.as_str())
    }

    /// In words, as `status` shows it.
    pub fn words(&self) -> String {
        let uncommitted = self.files.values().filter(|file| file.reach == Reach::Folder).count();
        match self.wanted {
            Reach::Folder => "local folder".to_owned(),
            _ if uncommitted > 0 => format!("{uncommitted} files not committed"),
            Reach::Committed => "committed".to_owned(),
            Reach::Pushed if self.unpushed > 0 => {
                let since = self.unpushed_since.map(|since| format!(" since {}", crate::clock::rfc3339(since)));
                format!("committed, not pushed{}", since.unwrap_or_default())
            }
            Reach::Pushed => "pushed".to_owned(),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The new commit, if one was made.
    pub committed: Option<ObjectId>,
    /// The commit that the remote has now, if something was pushed or confirmed.
    pub pushed: Option<ObjectId>,
    /// What was not committed, with the reason.
    pub left: Vec<(String, String)>,
}

/// On whose behalf something is committed.
#[derive(Clone, Debug)]
pub struct Act {
    /// Who, and when.
    pub author: Author,
    /// Ties it to a deployment.
    pub correlation_id: CorrelationId,
    /// The workspace.
    pub workspace_id: String,
}

/// How hard a push is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Once: for commands that have other things to do.
    Once,
    /// With the pauses of the retry settings.
    Patient,
}

/// Why a file with these bytes is not what it has to be, by what is known elsewhere.
type Objection<'a> = Box<dyn Fn(&str, &[u8]) -> Option<String> + 'a>;

/// What files are held against, beside what their names say.
#[derive(Default)]
pub struct Holds<'a>(Option<Objection<'a>>);

impl<'a> Holds<'a> {
    /// By this.
    pub fn by(objection: impl Fn(&str, &[u8]) -> Option<String> + 'a) -> Self {
        Holds(Some(Box::new(objection)))
    }

    fn objection(&self, path: &str, bytes: &[u8]) -> Option<String> {
        self.0.as_ref().and_then(|objection| objection(path, bytes))
    }
}

/// A folder of published files, as the settings have it.
pub struct Publisher<'a> {
    folder: PathBuf,
    settings: Publication,
    retry: Retry,
    secrets: Secrets,
    stop: Arc<AtomicBool>,
    holds: Holds<'a>,
}

impl<'a> Publisher<'a> {
    /// `folder` is `published/`; `secrets` are the PINs that must not get there.
    pub fn new(folder: PathBuf, settings: Publication, retry: Retry, secrets: Secrets, stop: Arc<AtomicBool>) -> Self {
        Publisher { folder, settings, retry, secrets, stop, holds: Holds::default() }
    }

    /// The same, with files held against something; what does not hold is not committed, and not pushed.
    pub fn holding(self, holds: Holds<'a>) -> Self {
        Publisher { holds, ..self }
    }

    fn repository(&self) -> Result<Option<Repository>> {
        Repository::open(&self.folder, &self.settings, self.retry.timeout, self.stop.clone())
    }

    fn looking<'b>(&'b self, repository: Option<&'b Repository>) -> Looking<'b> {
        Looking { secrets: &self.secrets, repository, holds: &self.holds }
    }

    /// Where everything stands. Files with private material are listed among those that are left.
    ///
    /// # Errors
    /// The folder or its repository cannot be read.
    pub fn state(&self) -> Result<State> {
        let repository = self.repository()?;
        let survey = Survey::take(&self.folder, self.looking(repository.as_ref()))?;
        let mut state = State {
            wanted: Reach::Folder,
            files: BTreeMap::new(),
            left: survey.left(repository.as_ref())?,
            missing: Vec::new(),
            goal: String::new(),
            head: None,
            pushed: None,
            unpushed: 0,
            unpushed_since: None,
        };
        let mut reached = vec![];
        if let Some(repository) = &repository {
            state.wanted = if repository.remote().is_some() { Reach::Pushed } else { Reach::Committed };
            state.goal = repository.goal();
            state.head = repository.head()?;
            state.pushed = repository.pushed()?;
            if repository.remote().is_some() {
                (state.unpushed, state.unpushed_since) = repository.behind()?;
            }
            for (commit, reach) in [(&state.head, Reach::Committed), (&state.pushed, Reach::Pushed)] {
                reached.extend(
                    commit.as_ref().map(|commit| Ok::<_, Error>((repository.files(commit)?, reach))).transpose()?,
                );
            }
        }
        for (path, found) in &survey.ours {
            // The last one counts: what was pushed was committed.
            let has = |(files, _): &&(BTreeMap<String, ObjectId>, Reach)| files.get(path) == found.object.as_ref();
            let reach = reached.iter().rev().find(has).map_or(Reach::Folder, |(_, reach)| *reach);
            state.files.insert(path.clone(), File { sha256: found.sha256, reach });
        }
        if let Some((committed, _)) = reached.first() {
            let is_missing = |path: &&String| known::Kind::of(path).is_some() && !survey.ours.contains_key(*path);
            state.missing = committed.keys().filter(is_missing).cloned().collect();
        }
        Ok(state)
    }

    /// What was committed at a path, and what was pushed: in words where, and the bytes. Nothing where git is not used.
    ///
    /// # Errors
    /// Those of [`Repository::open`]; git's.
    pub fn committed(&self, path: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let Some(repository) = self.repository()? else { return Ok(Vec::new()) };
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for (commit, what) in [(repository.head()?, "committed"), (repository.pushed()?, "pushed")] {
            let Some(commit) = commit else { continue };
            // The first commits may be without it.
            let Ok(bytes) = repository.content(&commit, path) else { continue };
            if !found.iter().any(|(_, known)| *known == bytes) {
                found.push((format!("published/{path} as it was {what} in {}", commit.short()), bytes));
            }
        }
        Ok(found)
    }

    /// Looks through every file in the folder.
    ///
    /// # Errors
    /// `private_material` naming the first file that must not be there; `published_link`.
    pub fn examine(&self) -> Result<()> {
        Survey::take(&self.folder, self.looking(None))?.refuse()
    }

    /// Commits what changed and pushes what was not pushed yet.
    ///
    /// # Errors
    /// `private_material`, and nothing was done; those of [`Repository::open`], [`Repository::commit`] and
    /// [`Repository::push`]. After a commit that could not be pushed for now, the error is of kind
    /// [`Kind::Unavailable`].
    pub fn settle(&self, act: &Act, effort: Effort, waiter: &dyn Waiter) -> Result<Settled> {
        let Some(repository) = self.repository()? else { return Ok(Settled::default()) };
        let survey = Survey::take(&self.folder, self.looking(Some(&repository)))?;
        survey.refuse()?;
        let mut settled = Settled { left: survey.left(Some(&repository))?, ..Settled::default() };
        let before = match repository.head()? {
            Some(head) => repository.files(&head)?,
            None => BTreeMap::new(),
        };
        self.hold(&repository, &before, &survey)?;
        let mut changed = BTreeMap::new();
        for (path, found) in &survey.ours {
            if before.get(path) != found.object.as_ref() {
                changed.insert(path.clone(), self.store(&repository, path, found)?);
            }
        }
        if !changed.is_empty() {
            let message = message(changed.keys(), act);
            settled.committed = repository.commit(&changed, &message, &act.author)?;
        }
        settled.pushed = self.push(&repository, effort, waiter)?;
        Ok(settled)
    }

    /// Holds what is in the last commit as well: somebody else may have made it. What lies in the folder as it has to be takes
    /// the place of what is there.
    fn hold(&self, repository: &Repository, before: &BTreeMap<String, ObjectId>, survey: &Survey) -> Result<()> {
        let Some(head) = repository.head()? else { return Ok(()) };
        let others = before.keys().filter(|path| known::Kind::of(path).is_some() && !survey.ours.contains_key(*path));
        for path in others {
            if let Some(why) = self.holds.objection(path, &repository.content(&head, path)?) {
                let (name, top) = (crate::error::shown(path), crate::files::shown_path(repository.top()).to_string());
                let message = format!("published/{name} is in the last commit, and {why}, so nothing is published");
                return Err(Error::blocked("published_foreign", message)
                    .hint(format!("git -C {top} rm {name}; git -C {top} commit; keyctl recover")));
            }
        }
        Ok(())
    }

    /// Stores the bytes that were looked through, and no others.
    fn store(&self, repository: &Repository, path: &str, found: &survey::Found) -> Result<ObjectId> {
        let bytes = survey::read(&self.folder.join(path))?;
        if Hash256::of(&bytes) != found.sha256 {
            let message = format!("published/{path}: it was changed while it was looked through");
            return Err(Error::unavailable("source_changed", message).hint("keyctl recover"));
        }
        repository.store(&bytes)
    }

    fn push(&self, repository: &Repository, effort: Effort, waiter: &dyn Waiter) -> Result<Option<ObjectId>> {
        let Some(head) = repository.head()?.filter(|_| repository.remote().is_some()) else { return Ok(None) };
        if repository.pushed()?.as_ref() == Some(&head) {
            return Ok(None);
        }
        let attempts = if effort == Effort::Once { 1 } else { self.retry.max_attempts };
        patiently(&self.retry, attempts, waiter, || repository.push(&head, &self.secrets))?;
        Ok(Some(head))
    }

    /// Makes sure, now, that files with these bytes have got as far as they have to: the remote is asked what it has, and
    /// the files of that commit are compared byte by byte with those in the folder.
    ///
    /// # Errors
    /// `not_published` naming the first file; those of reaching the remote.
    pub fn confirm(&self, wanted: &[(&str, Hash256)], waiter: &dyn Waiter) -> Result<()> {
        let state = self.state()?;
        let behind = wanted.iter().find(|(path, sha256)| !state.is_published(path, sha256));
        if let Some((path, _)) = behind {
            return Err(not_published(path, &state.words()));
        }
        let Some(repository) = self.repository()? else { return Ok(()) };
        let commit = match repository.remote() {
            Some(_) => state.pushed,
            None => state.head,
        };
        let commit = commit.ok_or_else(|| Error::bug("files are published, and in no commit"))?;
        patiently(&self.retry, self.retry.max_attempts, waiter, || repository.confirm(&commit))?;
        for (path, sha256) in wanted {
            if Hash256::of(&repository.content(&commit, path)?) != *sha256 {
                return Err(not_published(path, "the commit holds other bytes"));
            }
        }
        Ok(())
    }
}

fn not_published(path: &str, why: &str) -> Error {
    Error::unavailable("not_published", format!("published/{path} is not published yet: {why}")).hint("keyctl recover")
}

/// Tries again what cannot be reached for now.
pub(crate) fn patiently(
    retry: &Retry,
    attempts: u32,
    waiter: &dyn Waiter,
    mut step: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut failures = 0;
    loop {
        match step() {
            Err(error) if error.kind() == Kind::Unavailable && failures + 1 < attempts => {
                failures += 1;
                waiter.wait(backoff(retry, failures))?;
            }
            ended => return ended,
        }
    }
}

/// What a commit says of itself.
fn message<'a>(paths: impl Iterator<Item = &'a String>, act: &Act) -> String {
    const NAMED: usize = 8;
    let paths: Vec<_> = paths.map(String::as_str).collect();
    let names = paths.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (id, workspace) = (&act.correlation_id, &act.workspace_id);
    format!("Publish {names}{more}\n\nCorrelation-Id: {id}\nWorkspace-Id: {workspace}\n")
}

#[cfg(test)]
mod tests;
