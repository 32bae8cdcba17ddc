//! What is done to a file that is signed, from its name to its evidence: opened, prepared by its format, admitted by the
//! gate, signed by a permitted key, verified from the written bytes, placed, closed. Plain data comes in ([`Options`]) and
//! results go out as they are done ([`Item`]), so this serves a command as well as a runbook.
//!
//! What is only bytes lives in [`crate::formats`]; what is typed and printed lives in the commands. Nothing here knows
//! an argument or writes a result.

mod admission;
pub(crate) mod adopt;
mod approval;
pub mod artifact;
pub mod authorities;
pub mod cab;
mod choose;
mod chunk;
mod conveyor;
pub mod inputs;
mod kept;
pub mod options;
mod pack;
mod re_sign;
pub mod release;
pub mod release_files;
pub mod remove;
mod replay;
pub(crate) mod repository;
mod request;
pub mod timestamps;

use crate::clock::Laps;
use crate::error::{Error, Result};
use crate::model::Purpose;
use crate::outcome::Receipt;
use crate::policy::Decision;
use crate::request::{Request, SignArtifact};
use crate::ui::Progress;
use crate::world::World;
use artifact::Stamp;
use authorities::Authorities;
use chunk::Plan;
use inputs::Job;
pub use options::Options;
use options::SignOptions;
use request::Terms;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files whose requests share a transaction. Bounds memory and open files; large enough that the ledger's syncs
/// cost little for each.
const CHUNK: usize = 64;

/// A receipt, and where its fragment is.
pub type Stored = (Receipt, PathBuf);

/// How what there is of a file came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It was signed just now.
    Signed,
    /// An earlier run signed it, and it is in its place.
    Stored,
    /// What an earlier run did was done again, without a key.
    Replayed {
        /// Where the signed file was written, if not in the place of the unsigned one.
        to: Option<PathBuf>,
    },
    /// An interrupted run signed it, and the ledger did not know until now.
    Adopted,
}

/// A file that is done, one way or the other.
#[derive(Debug)]
pub struct Finished {
    /// As it was named.
    pub file: PathBuf,
    /// What there is of it.
    pub result: Result<(Stored, How)>,
}

/// A resolved request and what the gates would say to it.
pub type Preview = (Request<SignArtifact>, Decision);

/// What there is to say, as it comes.
#[derive(Debug)]
pub enum Item {
    /// These files are done.
    Finished(Vec<Finished>),
    /// This is what would be done.
    Foreseen(Vec<Preview>),
    /// Files were signed and recorded, but their evidence has to wait, for this reason.
    NoEvidence(Error),
    /// The operator wants to stop; what was begun is finished.
    Interrupted,
}

/// Takes what there is to say.
pub type Show<'a> = dyn FnMut(&World, Item) + 'a;

/// Files that went the way together.
#[derive(Default)]
struct Batch {
    /// Each file.
    finished: Vec<Finished>,
    /// Why the fragments could not be written; `recover` writes them later.
    no_evidence: Option<Error>,
    /// A token stopped answering: whether it signed is unknown, and nothing more is asked of it.
    hung: bool,
    /// How long each stage took; stages of files are summed over all threads.
    laps: Laps,
}

/// Signs files and repositories, or foresees it on a dry run; gives how long each stage took.
///
/// # Errors
/// Nothing could be tried at all, or nothing more. What happens to single files is shown.
pub fn sign(world: &mut World, options: &Options, jobs: Vec<Job>, show: &mut Show<'_>) -> Result<Laps> {
    let settings = world.settings()?;
    let stop = crate::world::interrupts()?;
    let (folders, files): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.file.is_dir());
    inputs::sweep_folders(&files);
    // Every key and authority is found before anything is signed. Repositories are not timestamped.
    let authorities = || timestamps::authorities(&options.timestamps, world, &settings, &stop);
    let stamp = if files.is_empty() { None } else { authorities()? };
    let signer = (!files.is_empty()).then(|| signer(world, options)).transpose()?;
    let keys = (!folders.is_empty()).then(|| repository::keys(options, world)).transpose()?;
    let terms = Terms::of(options)?;
    let began = world.ledger.head()?.size;
    if let (Some(cab), false) = (&terms.cab, world.globals.dry_run) {
        cab.keep(world)?;
    }
    let (repositories, missing) = repository::expand(folders);
    let mut run = Run { show, hung: false, laps: Laps::default() };
    run.show(world, Item::Finished(missing));
    if let Some(signer) = signer {
        let (sha512, threads) = (terms.packs.want_sha512(), options.threads);
        let (shape, timestamp) = (options.shape.clone(), stamp.is_some());
        let sign_options = SignOptions { shape, follow: options.follow, sha512, timestamp };
        let trusted = stamp.as_ref().map(Authorities::roots);
        let evidence = world.dir.join("evidence");
        let progress = Progress::over(world.ui(), files.len() as u64, inputs::sizes(&files), "signing");
        let options = sign_options;
        let plan = Plan { terms: &terms, signer, options, threads, began, trusted, evidence, progress };
        run.files(world, &plan, stamp.as_ref().map(|stamp| stamp as &dyn Stamp), &files, &stop)?;
    }
    if let Some(keys) = &keys {
        let plan = repository::Plan { terms: &terms, keys, began };
        run.repositories(world, &plan, &repositories, &stop);
    }
    Ok(run.laps)
}

fn signer(world: &World, options: &Options) -> Result<options::Signer> {
    let key = choose::key(world, options.key.as_ref(), Purpose::Authenticode)?;
    choose::signer(world, &world.active(&key)?)
}

/// Signs one repository, on its own, with this key.
#[cfg(test)]
pub(crate) fn sign_repository(world: &mut World, key: crate::model::KeyName, dir: &std::path::Path) -> Result<Stored> {
    let keys = repository::Keys::of(world, key)?;
    let terms = Terms::of(&Options::default())?;
    let plan = repository::Plan { terms: &terms, keys: &keys, began: 0 };
    let mut batch = repository::sign(world, &plan, dir, &AtomicBool::new(false));
    assert!(batch.no_evidence.is_none() && !batch.hung);
    batch.finished.remove(0).result.map(|(stored, _)| stored)
}

/// What came of it so far.
struct Run<'a> {
    show: &'a mut Show<'a>,
    /// A token stopped answering; nothing more is asked of any.
    hung: bool,
    laps: Laps,
}

impl Run<'_> {
    fn show(&mut self, world: &World, item: Item) {
        (self.show)(world, item);
    }

    /// Shows what is done.
    fn take(&mut self, world: &World, batch: Batch) {
        self.laps.add(&batch.laps);
        self.show(world, Item::Finished(batch.finished));
        if let Some(error) = batch.no_evidence {
            self.show(world, Item::NoEvidence(error));
        }
        self.hung |= batch.hung;
    }

    /// Whether to go on to the next.
    fn goes_on(&mut self, world: &World, stop: &AtomicBool) -> bool {
        let stopped = stop.load(Ordering::SeqCst);
        if stopped {
            self.show(world, Item::Interrupted);
        }
        !stopped && !self.hung
    }

    fn files(
        &mut self,
        world: &mut World,
        plan: &Plan<'_>,
        stamp: Option<&dyn Stamp>,
        jobs: &[Job],
        stop: &AtomicBool,
    ) -> Result<()> {
        if !world.globals.dry_run {
            return self.sign_files(world, plan, stamp, jobs, stop);
        }
        for chunk in jobs.chunks(CHUNK) {
            let (finished, previews) = chunk::preview(world, plan, chunk.to_vec(), stop)?;
            self.show(world, Item::Finished(finished));
            self.show(world, Item::Foreseen(previews));
        }
        Ok(())
    }

    fn repositories(&mut self, world: &mut World, plan: &repository::Plan<'_>, found: &[PathBuf], stop: &AtomicBool) {
        for dir in found {
            if !self.goes_on(world, stop) {
                break;
            }
            if !world.globals.dry_run {
                let batch = repository::sign(world, plan, dir, stop);
                self.take(world, batch);
                continue;
            }
            let item = match repository::preview(world, plan, dir) {
                Ok(previews) => Item::Foreseen(previews),
                Err(error) => Item::Finished(vec![Finished { file: dir.clone(), result: Err(error) }]),
            };
            self.show(world, item);
        }
    }
}
