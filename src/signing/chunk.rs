//! A chunk of files on the road together: one transaction for their intents, one for their outcomes, one checkpoint.

use super::cab::Cab;
use super::inputs::Job;
use super::{again, leave};
use crate::clock::Laps;
use crate::commands::recover;
use crate::error::{Error, Kind, Result};
use crate::formats::artifact::{self, Placed, Prepared, SignOptions, Signer};
use crate::gate::{self, Failure, Permit};
use crate::model::hex;
use crate::outcome::{self, Receipt};
use crate::policy::Decision;
use crate::policy::signing::RE_SIGN_REQUIRED;
use crate::request::{Covered, PackReference, Provenance, Request, Role, SignArtifact};
use crate::world::World;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What is the same for every file of a run.
pub(super) struct Plan {
    /// The key with its chain.
    pub signer: Signer,
    /// What shapes the signatures.
    pub options: SignOptions,
    /// The evidence pack that was given.
    pub pack: Option<PackReference>,
    /// Who built the files.
    pub provenance: Option<Provenance>,
    /// How many files at the same time.
    pub threads: usize,
    /// The ledger's size when the run began; what was signed before that may be printed again.
    pub began: u64,
    /// Whether each file takes the place of one in the ledger.
    pub again: bool,
    /// The approval that the signatures rest on.
    pub cab: Option<Cab>,
    /// The command line without the files.
    pub command: Vec<String>,
}

/// A file that is done, one way or the other.
pub(super) struct Finished {
    /// As it was named.
    pub file: PathBuf,
    /// The receipt and its fragment, whether new or from an earlier run.
    pub result: Result<(Receipt, PathBuf)>,
}

/// A chunk that is done.
pub(super) struct Signed {
    /// Each file.
    pub finished: Vec<Finished>,
    /// Why the fragments could not be written; `recover` writes them later.
    pub no_evidence: Option<Error>,
    /// A token stopped answering: whether it signed is unknown, and nothing more is asked of it.
    pub hung: bool,
    /// How long each stage took; stages of files are summed over all threads.
    pub laps: Laps,
}

/// A chunk whose files were read and copied.
pub(super) struct Read {
    finished: Vec<Finished>,
    ready: Vec<(Job, Prepared)>,
}

/// Reads the files of a chunk that an earlier run did not sign already. The key is not touched, nor is the ledger.
pub(super) fn read(plan: &Plan, (mut finished, jobs): (Vec<Finished>, Vec<Job>), stop: &AtomicBool) -> Read {
    let ready = prepare(plan, jobs, stop, &mut finished);
    Read { finished, ready }
}

/// A file with leave to be signed.
pub(super) type Work = (Job, Prepared, Permit<SignArtifact>);

/// A chunk that went through the gate.
pub(super) struct Admitted {
    /// What may be signed.
    pub work: Vec<Work>,
    /// What is done: refused, or signed by an earlier run.
    pub rest: Rest,
}

/// What a chunk has to say beside its signatures.
pub(super) struct Rest {
    finished: Vec<Finished>,
    laps: Laps,
}

/// Takes a chunk through the gate: its intents are durable then.
///
/// # Errors
/// The token waits for `recover`; the ledger cannot be written. Refusals are in the answer.
pub(super) fn admit(world: &mut World, plan: &Plan, Read { mut finished, mut ready }: Read) -> Result<Admitted> {
    let mut laps = Laps::default();
    let mut work = Vec::new();
    if !ready.is_empty() {
        recover::refuse_orphans(world, [&plan.signer.copy.hsm])?;
        let requests = resolve(world, plan, &mut ready, &mut finished)?;
        let files: Vec<_> = ready.iter().map(|(job, _)| job.file.clone()).collect();
        let process = world.process()?;
        let leave = match leave::ask(world, &plan.command, &files, &requests) {
            Ok(leave) => leave,
            Err(error) if error.kind() == Kind::ApprovalNeeded => {
                finished.extend(files.into_iter().map(|file| Finished { file, result: Err(leave::again(&error)) }));
                return Ok(Admitted { work, rest: Rest { finished, laps } });
            }
            Err(error) => return Err(error),
        };
        let warrant = leave.as_ref().or(world.warrant.as_ref());
        let answers = laps.lap("gate", || gate::admit(&mut world.ledger, &process, warrant, requests))?;
        for ((job, prepared), answer) in ready.into_iter().zip(answers) {
            match answer {
                Ok(permit) => {
                    warn_if_marked(world, &job, &permit);
                    work.push((job, prepared, permit));
                }
                Err(refusal) => {
                    finished.push(Finished { file: job.file, result: Err(leave::advised(refusal.error)) });
                }
            }
        }
    }
    Ok(Admitted { work, rest: Rest { finished, laps } })
}

/// A resolved request and what the gates would say to it.
pub(super) type Preview = (Request<SignArtifact>, Decision);

/// What a dry run shows: the resolved requests, and what the gates would say.
///
/// # Errors
/// The token waits for `recover`; the ledger cannot be read.
pub(super) fn preview(
    world: &mut World,
    plan: &Plan,
    jobs: Vec<Job>,
    stop: &AtomicBool,
) -> Result<(Vec<Finished>, Vec<Preview>)> {
    recover::refuse_orphans(world, [&plan.signer.copy.hsm])?;
    let mut finished = Vec::new();
    let mut ready = prepare(plan, jobs, stop, &mut finished);
    let mut requests = resolve(world, plan, &mut ready, &mut finished)?;
    leave::as_if_proven(world, &mut requests)?;
    let handed_in = plan.cab.as_ref().and_then(|cab| cab.handed_in(world));
    let decisions = gate::preview_on(&mut world.ledger, handed_in.as_ref(), &requests)?;
    Ok((finished, requests.into_iter().zip(decisions).collect()))
}

fn prepare(plan: &Plan, jobs: Vec<Job>, stop: &AtomicBool, finished: &mut Vec<Finished>) -> Vec<(Job, Prepared)> {
    let prepared = in_parallel(jobs, plan.threads, |job| {
        let prepared =
            artifact::prepare(&job.file, job.destination.as_deref(), &plan.signer.chain, &plan.options, stop);
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
    plan: &Plan,
    ready: &mut Vec<(Job, Prepared)>,
    finished: &mut Vec<Finished>,
) -> Result<Vec<Request<SignArtifact>>> {
    let mut requests = Vec::new();
    for (job, prepared) in std::mem::take(ready) {
        match request(world, plan, &prepared) {
            Ok(request) => {
                requests.push(request);
                ready.push((job, prepared));
            }
            Err(error) => finished.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    leave::as_planned(world, &mut requests)?;
    Ok(requests)
}

/// The file is signed as if it were any other, and that is said.
fn warn_if_marked(world: &World, job: &Job, permit: &Permit<SignArtifact>) {
    for gate in permit.gates().iter().filter(|gate| gate.name == RE_SIGN_REQUIRED) {
        let name = crate::files::shown_path(&job.file);
        world.ui().warn(&format!("{name}: {}; {}", gate.input, gate.limit));
    }
}

fn request(world: &World, plan: &Plan, prepared: &Prepared) -> Result<Request<SignArtifact>> {
    let (signer, tbs) = (&plan.signer, prepared.tbs());
    let mut params = prepared.params(&signer.generation);
    params.pack.clone_from(&plan.pack);
    params.provenance.clone_from(&plan.provenance);
    params.cab = plan.cab.as_ref().map(|cab| cab.reference.clone());
    if plan.again {
        params.resigns = Some(again::found(world, &params.hash_before, &params.content_digest)?);
    }
    let mut request = world.request(prepared.hash_before().to_string(), params);
    request.signatures = vec![Covered {
        role: Role::Artifact,
        spki_sha256: Some(signer.identity.spki_sha256),
        hsm: signer.copy.hsm.clone(),
        cka_id: signer.copy.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }];
    Ok(request)
}

/// A file that was tried.
pub(super) type Done = (Job, Permit<SignArtifact>, Result<Placed, Failure>);

/// Writes the outcomes of a chunk down, and its evidence.
///
/// # Errors
/// The ledger cannot be written.
pub(super) fn close(world: &mut World, Rest { mut finished, mut laps }: Rest, done: Vec<Done>) -> Result<Signed> {
    if done.is_empty() {
        return Ok(Signed { finished, no_evidence: None, hung: false, laps });
    }
    let mut files = Vec::new();
    let mut results = Vec::new();
    for (job, permit, result) in done {
        files.push(job.file);
        result.iter().for_each(|placed| laps.add(placed.laps()));
        results.push((permit, result));
    }
    let hung = results.iter().any(|(_, result)| result.as_ref().is_err_and(|failure| failure.unknown));
    let answers = laps.lap("outcome", || outcome::close(&mut world.ledger, crate::world::tool(), results))?;
    let receipts: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok().cloned()).collect();
    // The signatures are made and recorded; if the ledger key cannot be reached, only their evidence waits.
    let no_evidence = laps.lap("evidence", || world.fragments(&receipts)).err();
    for (file, answer) in files.into_iter().zip(answers) {
        let result = answer.and_then(|receipt| world.fragment_path(&receipt).map(|path| (receipt, path)));
        finished.push(Finished { file, result });
    }
    Ok(Signed { finished, no_evidence, hung, laps })
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
