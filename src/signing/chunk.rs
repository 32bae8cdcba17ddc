//! A chunk of files that share a transaction for their intents, one for their outcomes, and a checkpoint.

use super::artifact::{self, Placed, Prepared, Watch};
use super::inputs::Job;
use super::options::{SignOptions, Signer};
use super::request::{Generations, Terms, covered, request};
use super::{Batch, Finished, Foretold, How, Stored, admission, approval};
use crate::error::Result;
use crate::files::shown_path;
use crate::gate::{Failure, Permit};
use crate::request::{Request, SignArtifact};
use crate::ui::Progress;
use crate::world::World;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What is the same for every file of a run.
pub(super) struct Setup<'t> {
    /// What the requests say beside the files.
    pub terms: &'t Terms,
    /// The key with its chain.
    pub signer: Signer,
    /// How each is signed.
    pub options: SignOptions,
    /// How many files at the same time.
    pub threads: usize,
    /// The ledger's size when the run began; what was signed before that may be given again.
    pub began: u64,
    /// The certificates (DER) that are trusted to say the time, if there are to be timestamps.
    pub trusted: Option<&'t [Vec<u8>]>,
    /// The folder of evidence.
    pub evidence: PathBuf,
    /// How far the run is.
    pub progress: Progress,
}

/// A chunk whose files were read and copied.
pub(super) struct Read {
    finished: Vec<Finished>,
    ready: Vec<(Job, Prepared)>,
}

/// Reads the files of a chunk that an earlier run did not sign already. The key is not touched, nor is the ledger.
pub(super) fn read(plan: &Setup<'_>, (mut finished, jobs): (Vec<Finished>, Vec<Job>), stop: &AtomicBool) -> Read {
    let ready = prepare(plan, jobs, stop, &mut finished);
    Read { finished, ready }
}

/// A file that may be signed.
pub(super) type Work = (Job, Prepared, Permit<SignArtifact>);

/// A chunk that went through the gate.
pub(super) struct Admitted {
    /// What may be signed.
    pub work: Vec<Work>,
    /// What is done: refused, or signed by an earlier run.
    pub rest: Batch,
}

/// Takes a chunk through the gate: its intents are durable then.
///
/// # Errors
/// The token waits for `recover`; the ledger cannot be written. Refusals are in the answer.
pub(super) fn admit(world: &mut World, plan: &Setup<'_>, Read { finished, mut ready }: Read) -> Result<Admitted> {
    let mut rest = Batch { finished, ..Batch::default() };
    let mut work = Vec::new();
    if ready.is_empty() {
        return Ok(Admitted { work, rest });
    }
    let requests = resolve(world, plan, &mut ready, &mut rest.finished)?;
    let files: Vec<PathBuf> = ready.iter().map(|(job, _)| job.file.clone()).collect();
    let answers = admission::admit(world, plan.terms, &files, requests, &mut rest)?;
    for ((job, prepared), answer) in ready.into_iter().zip(answers) {
        match answer {
            Ok(permit) => {
                let name = shown_path(&job.file);
                admission::marks(&permit).for_each(|mark| world.ui().warn(&format!("{name}: {mark}")));
                work.push((job, prepared, permit));
            }
            Err(error) => rest.finished.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    Ok(Admitted { work, rest })
}

/// What a dry run shows: the resolved requests, and what the gates would say.
///
/// # Errors
/// The token waits for `recover`; the ledger cannot be read.
pub(super) fn preview(
    world: &mut World,
    plan: &Setup<'_>,
    jobs: Vec<Job>,
    stop: &AtomicBool,
) -> Result<(Vec<Finished>, Vec<Foretold>)> {
    let mut finished = Vec::new();
    let mut ready = prepare(plan, jobs, stop, &mut finished);
    let requests = resolve(world, plan, &mut ready, &mut finished)?;
    let previews = admission::preview(world, plan.terms, requests)?;
    let files = ready.into_iter().map(|(job, _)| job.file);
    Ok((finished, files.zip(previews).collect()))
}

fn prepare(plan: &Setup<'_>, jobs: Vec<Job>, stop: &AtomicBool, finished: &mut Vec<Finished>) -> Vec<(Job, Prepared)> {
    let watch = Watch { stop, progress: &plan.progress };
    let prepared = in_parallel(jobs, plan.threads, |job| {
        let prepared =
            artifact::prepare(&job.file, job.destination.as_deref(), &plan.signer.chain, &plan.options, watch);
        (job, prepared)
    });
    let mut ready = Vec::new();
    for (job, prepared) in prepared {
        match prepared {
            Ok(prepared) => ready.push((job, prepared)),
            Err(error) => finished.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    ready
}

/// The requests of a chunk; files that are not what they should be drop out.
fn resolve(
    world: &World,
    plan: &Setup<'_>,
    ready: &mut Vec<(Job, Prepared)>,
    finished: &mut Vec<Finished>,
) -> Result<Vec<Request<SignArtifact>>> {
    let mut requests = Vec::new();
    for (job, prepared) in std::mem::take(ready) {
        match request_of(world, plan, &prepared) {
            Ok(request) => {
                requests.push(request);
                ready.push((job, prepared));
            }
            Err(error) => finished.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    approval::as_planned(plan.terms.agreed(), &mut requests)?;
    Ok(requests)
}

fn request_of(world: &World, plan: &Setup<'_>, prepared: &Prepared) -> Result<Request<SignArtifact>> {
    let (signer, subject) = (&plan.signer, prepared.subject());
    let generations = Generations { active: &signer.generation, cosigners: &[] };
    let known_as = subject.hash_before;
    let mut request = request(world, plan.terms, &generations, subject, &known_as)?;
    request.signatures = vec![covered(signer.identity.spki_sha256, &signer.copy, prepared.tbs())];
    Ok(request)
}

/// A file that was tried.
pub(super) type Done = (Job, Permit<SignArtifact>, Result<Placed, Failure>);

/// Writes the outcomes of a chunk down, and its evidence.
///
/// # Errors
/// The ledger cannot be written.
pub(super) fn close(world: &mut World, mut batch: Batch, done: Vec<Done>) -> Result<Batch> {
    let mut files = Vec::new();
    let mut results = Vec::new();
    for (job, permit, result) in done {
        files.push(job.file);
        result.iter().for_each(|placed| batch.laps.add(placed.laps()));
        results.push((permit, result));
    }
    let answers = admission::close(world, &mut batch, results)?;
    let signed = |result: Result<Stored>| result.map(|stored| (stored, How::Signed));
    let finished = files.into_iter().zip(answers).map(|(file, result)| Finished { file, result: signed(result) });
    batch.finished.extend(finished);
    Ok(batch)
}

/// Runs `work` over `items` on some threads; the answers come in the order of the items.
pub(super) fn in_parallel<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = std::sync::Mutex::new(items.into_iter().enumerate());
    let answers = std::sync::Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some((index, item)) = next else { break };
                    let answer = work(item);
                    answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
