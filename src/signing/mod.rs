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
mod earlier;
pub mod inputs;
pub mod kept;
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
use crate::files::shown_path;
use crate::model::Purpose;
use crate::outcome::Receipt;
use crate::policy::Decision;
use crate::request::{Request, SignArtifact};
use crate::ui::Progress;
use crate::world::World;
use crate::world::authority::{Foreseen, Pending, Planned};
use artifact::Stamp;
use authorities::Authorities;
use chunk::Setup;
use inputs::Job;
use options::SignOptions;
use request::Terms;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

pub use options::Options;

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
pub(crate) type Preview = (Request<SignArtifact>, Decision);

/// A file of a dry run, and what would be done to it.
type Foretold = (PathBuf, Preview);

/// What there is to say, as it comes.
#[derive(Debug)]
pub enum Item {
    /// These files are done.
    Finished(Vec<Finished>),
    /// This is what would be done.
    Foreseen(Box<Foreseen>),
    /// This was written for others to agree to.
    Waits(Box<Pending>),
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
    /// The request that was written for others instead.
    waits: Option<Box<Pending>>,
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
    let also = other_names(world, &jobs);
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
    let mut run = Run { show, also, hung: false, laps: Laps::default(), foreseen: Vec::new() };
    run.show(world, Item::Finished(missing));
    if let Some(signer) = signer {
        let (sha512, threads) = (terms.packs.want_sha512(), options.threads);
        let (shape, timestamp) = (options.shape.clone(), stamp.is_some());
        let sign_options = SignOptions { shape, follow: options.follow, sha512, timestamp };
        let trusted = stamp.as_ref().map(Authorities::roots);
        let evidence = world.dir.join("evidence");
        let progress = Progress::over(world.ui(), files.len() as u64, inputs::sizes(&files), "signing");
        let options = sign_options;
        let plan = Setup { terms: &terms, signer, options, threads, began, trusted, evidence, progress };
        run.files(world, &plan, stamp.as_ref().map(|stamp| stamp as &dyn Stamp), &files, &stop)?;
    }
    if let Some(keys) = &keys {
        let plan = repository::Setup { terms: &terms, keys, began };
        run.repositories(world, &plan, &repositories, &stop);
    }
    run.foresee(world, &terms)?;
    Ok(run.laps)
}

/// The other names of files, each of which is said once.
fn other_names(world: &World, jobs: &[Job]) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let several = jobs.iter().filter(|job| !job.also.is_empty());
    let say = |job: &Job| {
        for name in &job.also {
            let (name, first) = (shown_path(name), shown_path(&job.file));
            world.ui().warn(&format!("{name}: the same file as {first}, and signed once"));
        }
        (job.file.clone(), job.also.clone())
    };
    several.map(say).collect()
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
    let plan = repository::Setup { terms: &terms, keys: &keys, began: 0 };
    let mut batch = repository::sign(world, &plan, dir, &AtomicBool::new(false));
    assert!(batch.no_evidence.is_none() && !batch.hung);
    batch.finished.remove(0).result.map(|(stored, _)| stored)
}

/// What came of it so far.
struct Run<'a> {
    show: &'a mut Show<'a>,
    /// Other names of files, by the name that is used.
    also: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// A token stopped answering; nothing more is asked of any.
    hung: bool,
    laps: Laps,
    /// In a dry run, what would be done to each file.
    foreseen: Vec<Foretold>,
}

impl Run<'_> {
    /// A file that has other names is shown under each.
    fn show(&mut self, world: &World, mut item: Item) {
        if let Item::Finished(finished) = &mut item {
            let others: Vec<_> = finished.iter().flat_map(|one| self.under_other_names(one)).collect();
            finished.extend(others);
        }
        (self.show)(world, item);
    }

    fn under_other_names(&self, one: &Finished) -> Vec<Finished> {
        let names = self.also.get(&one.file).into_iter().flatten();
        let again = |error: &Error| Error::new(error.kind(), error.code(), error.full()).maybe_hint(error.advice());
        let result = || one.result.as_ref().map(Clone::clone).map_err(again);
        names.map(|name| Finished { file: name.clone(), result: result() }).collect()
    }

    /// Shows what is done.
    fn take(&mut self, world: &World, batch: Batch) {
        self.laps.add(&batch.laps);
        if let Some(pending) = batch.waits {
            self.show(world, Item::Waits(pending));
        }
        self.show(world, Item::Finished(batch.finished));
        if let Some(error) = batch.no_evidence {
            self.show(world, Item::NoEvidence(error));
        }
        self.hung |= batch.hung;
    }

    /// Shows the plan of all that would be done, once.
    fn foresee(&mut self, world: &mut World, terms: &Terms) -> Result<()> {
        if self.foreseen.is_empty() {
            return Ok(());
        }
        let (mut files, mut requests, mut judged) = (Vec::new(), Vec::new(), Vec::new());
        for (step, (file, (request, decision))) in std::mem::take(&mut self.foreseen).into_iter().enumerate() {
            files.push(file);
            requests.push(request);
            judged.push((step, decision));
        }
        let plan = approval::plan(terms, &files, &requests)?;
        let is_asked = approval::is_asked(world)?;
        let foreseen = world.foresee(Planned { plan, judged }, is_asked)?;
        self.show(world, Item::Foreseen(Box::new(foreseen)));
        Ok(())
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
        plan: &Setup<'_>,
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
            self.foreseen.extend(previews);
        }
        Ok(())
    }

    fn repositories(&mut self, world: &mut World, plan: &repository::Setup<'_>, found: &[PathBuf], stop: &AtomicBool) {
        for dir in found {
            if !self.goes_on(world, stop) {
                break;
            }
            if !world.globals.dry_run {
                let batch = repository::sign(world, plan, dir, stop);
                self.take(world, batch);
                continue;
            }
            match repository::preview(world, plan, dir) {
                Ok(preview) => self.foreseen.push((dir.clone(), preview)),
                Err(error) => {
                    let finished = Finished { file: dir.clone(), result: Err(error) };
                    self.show(world, Item::Finished(vec![finished]));
                }
            }
        }
    }
}
