//! How far `published/` has got, and the way further: for every command that changes it, and for those that wait.

use crate::config::Retry;
use crate::error::{Error, Kind, Result};
use crate::files::lock::NamedLock;
use crate::files::{safe, shown_path};
use crate::hsm::PinSource;
use crate::ledger::{Ledger, query};
use crate::model::Hash256;
use crate::publication::{Act, Author, Effort, Holds, Publisher, Repository, Secrets, Settled, State, patiently};
use crate::published::compare::{self, Difference, Truth};
use crate::retry::Sleeper;
use crate::ui::Worst;
use crate::world::{World, remote_clock, token_specs};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One process at a time commits and pushes. No key can have this name.
const LOCK: &str = "_publication";

/// The published head of the ledger.
const HEAD: &str = "checkpoint";

const PATIENCE: Duration = Duration::from_secs(30);

/// The publisher of this workspace, by its adopted settings.
fn publisher(world: &World) -> Result<Publisher<'_>> {
    let settings = query::settings(world.ledger.connection())?.settings.publication;
    let (folder, retry) = (world.dir.join("published"), world.config.retry);
    let truth = Truth::of(world)?;
    let holds = Holds::by(move |path, bytes| truth.objection(world, path, bytes));
    Ok(Publisher::new(folder, settings, retry, secrets(world), crate::world::interrupts()?).holding(holds))
}

/// Every PIN that lies in a file which we may read: none of them may be published.
fn secrets(world: &World) -> Secrets {
    let mut secrets = Secrets::default();
    let mut files = Vec::new();
    for spec in token_specs(&world.config, &world.dir, 1) {
        gather(&spec.pin, &mut secrets, &mut files);
        let folder = world.dir.join("tokens").join(spec.name.as_str());
        files.extend([folder.join("pin"), folder.join("so-pin")]);
    }
    for file in files {
        if let Ok(content) = safe::read_bounded(&file, 4096) {
            secrets.add(&zeroize::Zeroizing::new(content));
        }
    }
    secrets
}

fn gather(source: &PinSource, secrets: &mut Secrets, files: &mut Vec<PathBuf>) {
    match source {
        PinSource::File(path) => files.push(path.clone()),
        PinSource::Env(name) => {
            if let Ok(value) = std::env::var(name).map(zeroize::Zeroizing::new) {
                secrets.add(value.as_bytes());
            }
        }
        PinSource::FirstOf(sources) => sources.iter().for_each(|source| gather(source, secrets, files)),
        PinSource::None | PinSource::Fd(_) | PinSource::Command(_) | PinSource::Prompt => {}
    }
}

/// The heads that were committed and pushed, each with where it is, for an audit: by settings of a ledger that is not
/// trusted yet.
///
/// # Errors
/// The repository cannot be read.
pub fn committed_heads(dir: &Path, ledger: &Ledger) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = dir.join("published");
    if folder.join(".git").symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let settings = query::settings(ledger.connection())?.settings.publication;
    let stop = crate::world::interrupts()?;
    Publisher::new(folder, settings, Retry::default(), Secrets::default(), stop).committed(HEAD)
}

/// Whether there is a work tree, or the settings say so; else there is nothing to do beyond the folder.
fn is_tree(world: &World) -> Result<bool> {
    let settings = query::settings(world.ledger.connection())?.settings.publication;
    Ok(match settings.git {
        crate::config::GitUse::Off => false,
        crate::config::GitUse::Commit | crate::config::GitUse::Push => true,
        crate::config::GitUse::Auto => world.dir.join("published/.git").symlink_metadata().is_ok(),
    })
}

/// Where everything in `published/` stands, as far as it is known here; nobody is asked. Whether a file has got as far as
/// it has to is [`State::is_published`].
///
/// # Errors
/// The folder or its repository cannot be read.
pub fn publication_state(world: &World) -> Result<State> {
    publisher(world)?.state()
}

/// Makes sure, now, that these files of `published/`, with these bytes, are where others can read them: a remote is asked
/// what it has.
///
/// # Errors
/// `not_published` naming the first file that is not; those of reaching the remote.
pub fn confirm(world: &World, files: &[(&str, Hash256)]) -> Result<()> {
    let publisher = publisher(world)?;
    publisher.confirm(files, &sleeper()?)
}

/// Commits what changed in `published/` and pushes it, as far as the settings say; for commands that count on it. A
/// remote that is away is waited for as the retry settings say.
///
/// # Errors
/// `private_material` and other reasons why nothing may be published; git's; of kind [`Kind::Unavailable`] when
/// everything is committed and could not be pushed for now.
pub fn publish_now(world: &World) -> Result<Settled> {
    settle(world, Effort::Patient)
}

fn sleeper() -> Result<Sleeper> {
    Ok(Sleeper::new(crate::world::interrupts()?))
}

fn settle(world: &World, effort: Effort) -> Result<Settled> {
    if !is_tree(world)? {
        return Ok(Settled::default());
    }
    world.settings()?;
    let _lock = NamedLock::acquire(&world.dir.join("locks"), LOCK, PATIENCE)?;
    compare::restore(world)?;
    let act = Act {
        author: author(world),
        correlation_id: world.globals.correlation_id.clone(),
        workspace_id: world.genesis.workspace_id.clone(),
    };
    let publisher = publisher(world)?;
    world.hold_against(&publisher.committed(HEAD)?)?;
    let settled = publisher.settle(&act, effort, &sleeper()?);
    remember(world, &settled);
    settled
}

/// By whom commits of this run are.
pub(crate) fn author(world: &World) -> Author {
    Author { email: world.globals.actor().email, time: world.globals.clock.now() }
}

/// Pushes somebody else's work tree that we committed to, looking through what is pushed.
///
/// # Errors
/// Those of [`Repository::push`].
pub(crate) fn push(world: &World, repository: &Repository) -> Result<()> {
    let Some(head) = repository.head()?.filter(|_| repository.remote().is_some()) else { return Ok(()) };
    if repository.pushed()?.as_ref() == Some(&head) {
        return Ok(());
    }
    let (secrets, retry) = (secrets(world), world.config.retry);
    patiently(&retry, retry.max_attempts, &sleeper()?, || repository.push(&head, &secrets))
}

/// A push that failed for now, so that commands in a row do not each wait for a remote that is away.
#[derive(Serialize, Deserialize)]
struct Failed {
    #[serde(with = "crate::clock::serde_rfc3339")]
    at: crate::clock::Time,
    message: String,
}

fn failed_path(world: &World) -> PathBuf {
    world.dir.join("locks/push-failed")
}

fn remember(world: &World, settled: &Result<Settled>) {
    let path = failed_path(world);
    // Only a courtesy to the next command.
    let _ = match settled {
        Err(error) if error.kind() == Kind::Unavailable => {
            let failed = Failed { at: world.globals.clock.now(), message: error.full() };
            let text = serde_json::to_vec(&failed).unwrap_or_default();
            safe::write_atomic(&path, &text, 0o600).map(drop)
        }
        _ if path.exists() => safe::remove(&path),
        _ => Ok(()),
    };
}

/// The failure of a push that is not old enough to try again for a command that has other things to do.
fn failed_just_now(world: &World) -> Option<String> {
    let text = safe::read_bounded(&failed_path(world), 64 << 10).ok()?;
    let failed: Failed = serde_json::from_slice(&text).ok()?;
    let age = (world.globals.clock.now() - failed.at).to_std().ok()?;
    (age < world.config.retry.circuit_breaker_pause).then_some(failed.message)
}

/// What follows every command that may have changed `published/`, also one that failed half-way: what it wrote is
/// committed and pushed. A remote that is away is a warning, since the next command tries again; what has to be put
/// right by somebody is an error of its own, beside the command's result.
///
/// # Errors
/// The command's own.
pub fn after(world: &World, result: Result<Worst>) -> Result<Worst> {
    follow(world, result, Effort::Patient)
}

/// [`after`] for a command that signs: one try, none right after a failure, and never more than a warning.
pub fn after_signing(world: &World, result: Result<Worst>) -> Result<Worst> {
    follow(world, result, Effort::Once)
}

fn follow(world: &World, result: Result<Worst>, effort: Effort) -> Result<Worst> {
    remote_clock::remember(world);
    // An edit of the settings that was not adopted yet may be about this.
    if world.globals.dry_run || world.settings().is_err() {
        return result;
    }
    if !is_tree(world).unwrap_or(true) {
        return if effort == Effort::Once { result } else { in_folder(world, result) };
    }
    if effort == Effort::Once && failed_just_now(world).is_some() {
        world.ui().detail("published/ is not pushed: the last try failed a moment ago; keyctl recover tries again");
        return result;
    }
    let error = match settle(world, effort) {
        Ok(settled) => {
            report(world, &settled);
            return result;
        }
        Err(error) => error,
    };
    // That the ledger is not the one that was published is nothing to go on with.
    let is_grave = ["ledger_rolled_back", "ledger_forked"].contains(&error.code());
    if !is_grave && (error.kind() == Kind::Unavailable || effort == Effort::Once) {
        let words = format!("published/: {}; the next command tries again, and so does keyctl recover", error.full());
        world.ui().warn(&words);
        return result;
    }
    world.ui().error(&error);
    let mut worst = result?;
    worst.add(error.kind());
    Ok(worst)
}

/// A folder that is no work tree is served as it lies there.
fn in_folder(world: &World, result: Result<Worst>) -> Result<Worst> {
    let held = compare::restore(world).and_then(|truth| truth.differences(world));
    match held {
        Ok(differences) => {
            for Difference { path, why, .. } in differences.iter().filter(|difference| difference.is_foreign) {
                world.ui().warn(&format!("published/{}: {why}", crate::error::shown(path)));
            }
            result
        }
        Err(error) => {
            world.ui().error(&error);
            let mut worst = result?;
            worst.add(error.kind());
            Ok(worst)
        }
    }
}

fn report(world: &World, settled: &Settled) {
    if settled.committed.is_none() {
        return;
    }
    for (path, why) in &settled.left {
        world.ui().warn(&format!("published/{} was left uncommitted: {why}", crate::error::shown(path)));
    }
}

/// For `recover`: brings everything as far as it goes, and says what was done.
///
/// # Errors
/// As [`publish_now`].
pub(crate) fn recover(world: &World) -> Result<()> {
    if !is_tree(world)? {
        return compare::restore(world).map(drop);
    }
    let settled = publish_now(world)?;
    report(world, &settled);
    let done = match (&settled.committed, &settled.pushed) {
        (_, Some(commit)) => format!("published/ was pushed, at commit {}", commit.short()),
        (Some(commit), None) => format!("published/ was committed as {}", commit.short()),
        (None, None) => return Ok(()),
    };
    world.ui().say(&done);
    Ok(())
}

/// For `status`: one line, and a warning for each thing that somebody has to see to.
pub(crate) fn show(world: &World) {
    match is_tree(world) {
        Ok(false) => return,
        Ok(true) => {}
        Err(error) => return world.ui().warn(&error.full()),
    }
    match publication_state(world) {
        Ok(state) => words(world, &state),
        Err(error) => world.ui().warn(&format!("published/: {}", error.full())),
    }
}

fn words(world: &World, state: &State) {
    let ui = world.ui();
    let at = state.head.as_ref().map(|head| format!(", commit {}", head.short())).unwrap_or_default();
    ui.say(&format!("published: {} ({}{at})", state.words(), state.goal));
    if state.behind().next().is_some() {
        let paths: Vec<_> = state.behind().take(8).collect();
        ui.warn(&format!("published/ has not got there yet: {}; keyctl recover", paths.join(", ")));
    }
    if let Some(message) = failed_just_now(world) {
        ui.warn(&format!("the last push failed: {message}"));
    }
    for path in &state.missing {
        ui.warn(&format!("published/{path} is in the last commit and not in the folder; keyctl recover"));
    }
}

/// For `doctor`: whether anything in `published/` must not be there.
///
/// # Errors
/// `private_material`, `published_link`; the folder cannot be read.
pub(crate) fn examine(world: &World) -> Result<String> {
    let publisher = publisher(world)?;
    publisher.examine()?;
    if let Some(Difference { path, why, hint, .. }) = Truth::of(world)?.differences(world)?.into_iter().next() {
        let message = format!("published/{}: {why}", crate::error::shown(&path));
        return Err(Error::finding("published_changed", message).hint(hint.unwrap_or("keyctl recover".to_owned())));
    }
    let state = publisher.state()?;
    let left = state.left.len();
    let left = if left > 0 { format!(", {left} files of others") } else { String::new() };
    Ok(format!("{} files, {}{left}", state.files.len(), state.words()))
}

/// The work tree that a file of somebody else's lies in, looked for upwards.
///
/// # Errors
/// `no_repository`.
pub(crate) fn tree_above(file: &Path) -> Result<PathBuf> {
    let found = file.ancestors().skip(1).find(|folder| folder.join(".git").symlink_metadata().is_ok());
    found.map(Path::to_owned).ok_or_else(|| {
        let message = format!("{} lies in no git work tree, and the settings say that it does", shown_path(file));
        Error::failed("no_repository", message)
    })
}
