//! Idempotent replay (design §6): the same correlation id, operation and file come to the same end, and no key is used
//! for it. A signed file is left alone; on a copy from before the signature the same edits are made that were made then.

use super::artifact::{self, Paths};
use super::chunk::{Setup, in_parallel};
use super::earlier::{Known, Wanted, stored};
use super::inputs::{Job, hash_with};
use super::kept::{Folder, Kept};
use super::request::Terms;
use super::{Finished, How, Stored, adopt};
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result};
use crate::files::copy::copy_while;
use crate::files::{absolute, shown_path};
use crate::formats::feed;
use crate::gate::command_line;
use crate::ledger::query;
use crate::model::{CorrelationId, Hash256};
use crate::world::World;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What an earlier run means for a file.
enum Met {
    /// Nothing.
    New(Job),
    /// There is nothing to do, or it cannot be done.
    Done(Box<Finished>),
    /// What was done then is to be done again.
    Again(Box<Again>),
}

/// Takes out the files that were signed already: under this correlation id, or by a run that was interrupted before it
/// could say so. Files are only read for this if the ledger knows of either.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn split(
    world: &mut World,
    plan: &Setup<'_>,
    jobs: Vec<Job>,
    stop: &AtomicBool,
) -> Result<(Vec<Finished>, Vec<Job>)> {
    let (mut finished, jobs) = adopt::split(world, plan, jobs)?;
    if !query::knows_correlation(world.ledger.connection(), &world.globals.correlation_id, "sign")? {
        return Ok((finished, jobs));
    }
    let mut left = Vec::new();
    let mut again = Vec::new();
    for job in jobs {
        match meet(world, plan, job)? {
            Met::New(job) => left.push(job),
            Met::Done(one) => finished.push(*one),
            Met::Again(one) => again.push(*one),
        }
    }
    let follow = plan.options.follow;
    finished.extend(in_parallel(again, plan.threads, |one| one.finish(follow, stop)));
    Ok((finished, left))
}

fn meet(world: &mut World, plan: &Setup<'_>, job: Job) -> Result<Met> {
    // A file that cannot be read is the later stages' to report.
    let Ok(hash) = hash_with(&job.file, plan.options.follow) else { return Ok(Met::New(job)) };
    let Some(known) = known(world, plan, &job, &hash)? else { return Ok(Met::New(job)) };
    Ok(match decide(world, plan, &job, &hash, known) {
        Ok(Decided::Stored(stored)) => {
            Met::Done(Box::new(Finished { file: job.file, result: Ok((stored, How::Stored)) }))
        }
        Ok(Decided::Again(stored, known)) => {
            let way_on = plan.terms.anew(&world.globals.correlation_id, &job.file);
            Met::Again(Box::new(Again { evidence: world.dir.join("evidence"), job, stored, known, way_on }))
        }
        Err(error) => Met::Done(Box::new(Finished { file: job.file, result: Err(error) })),
    })
}

/// Only what an earlier run signed: within one run, two files with the same bytes are two files. Of several artifacts
/// that began with the same bytes, the one that this file is, or that was put where it goes, or that had its name.
fn known(world: &World, plan: &Setup<'_>, job: &Job, hash: &Hash256) -> Result<Option<Known>> {
    let id = &world.globals.correlation_id;
    let found = query::all_signed_as(world.ledger.connection(), id, "sign", hash, plan.began)?;
    let mut known = Vec::new();
    for seq in found {
        known.push(Known::load(world, seq)?.1);
    }
    if known.len() < 2 {
        return Ok(known.pop());
    }
    let target = job.destination.as_ref().unwrap_or(&job.file);
    let (there, path) = (hash_with(target, plan.options.follow).ok(), absolute(target).ok());
    let name = job.file.file_name().map(|name| crate::error::shown(&name.to_string_lossy()));
    let far = |one: &Known| {
        (
            one.hash_after != *hash,
            Some(one.hash_after) != there,
            one.params.file() != path.as_deref(),
            Some(&one.params.name) != name.as_ref(),
        )
    };
    Ok(known.into_iter().min_by_key(far))
}

enum Decided {
    Stored(Stored),
    Again(Stored, Box<Known>),
}

fn decide(world: &mut World, plan: &Setup<'_>, job: &Job, hash: &Hash256, known: Known) -> Result<Decided> {
    let options = plan.options.words();
    let wanted = Wanted { key: &plan.signer.generation.key, options: &options, terms: plan.terms };
    let stored = stored(world, &wanted, &known)?;
    let is_there = match &job.destination {
        None => *hash == known.hash_after,
        Some(to) => match artifact::free(to) {
            Ok(()) => false,
            Err(_) if hash_with(to, false).is_ok_and(|there| there == known.hash_after) => true,
            Err(error) => return Err(error),
        },
    };
    Ok(if is_there { Decided::Stored(stored) } else { Decided::Again(stored, Box::new(known)) })
}

/// A file on which the same is to be done as then.
struct Again {
    job: Job,
    stored: Stored,
    known: Box<Known>,
    evidence: std::path::PathBuf,
    way_on: String,
}

impl Again {
    fn finish(self, follow: bool, stop: &AtomicBool) -> Finished {
        let result = self.make(follow, stop).map_err(|error| match error.code() {
            "edits_gone" => error.hint(self.way_on.clone()),
            _ => error,
        });
        let how = How::Replayed { to: self.job.destination.clone() };
        Finished { file: self.job.file, result: result.map(|()| (self.stored, how)) }
    }

    /// No key, no format: a copy, the edits, and a hash that has to be that of then.
    fn make(&self, follow: bool, stop: &AtomicBool) -> Result<()> {
        let to = self.job.destination.as_deref();
        let mut file = Paths::new(artifact::source(&self.job.file, to, follow)?, to)?;
        let mut whole = Sha256::new();
        copy_while(&file.source, &mut file.target, &mut [&mut |bytes: &[u8]| whole.update(bytes)], stop)?;
        if whole.finish() == self.known.params.hash_before {
            let folder = Folder::of(&self.evidence, &self.known.params.artifact_id)?;
            let kept = Kept::read(&folder).ok_or_else(|| gone(&self.job.file, &folder.file("edits")))?;
            let applied = file.target.apply(&kept.edits.edits, kept.edits.len);
            applied.map_err(|error| gone(&self.job.file, &folder.file("edits")).because(error))?;
            let mut whole = Sha256::new();
            feed(file.target.file(), &mut [&mut whole])?;
            if whole.finish() != self.known.hash_after {
                return Err(gone(&self.job.file, &folder.file("edits")));
            }
        }
        // Else it is the signed file itself, and goes elsewhere as it is; `meet` saw no third.
        file.place().map(drop)
    }
}

/// What was done then is not known any more, or what is said of it does not give the signed file.
pub(super) fn gone(file: &Path, kept: &Path) -> Error {
    let (name, kept) = (shown_path(file), shown_path(kept));
    let message = format!(
        "{name}: signed before under this correlation id; this copy is the unsigned one, and {kept} does not bring the \
         signature back"
    );
    Error::failed("edits_gone", message)
}

impl Terms {
    /// The command line that signs a file anew: under another correlation id.
    pub(super) fn anew(&self, id: &CorrelationId, file: &Path) -> String {
        let next = format!("{id}-2").parse().unwrap_or_else(|_| CorrelationId::generate());
        let mut words = vec!["--correlation-id".to_owned(), next.to_string()];
        words.extend(self.command.iter().cloned());
        words.extend(self.is_sandboxed.then(|| "--sandbox".to_owned()));
        words.push("--".to_owned());
        words.push(absolute(file).unwrap_or_else(|_| shown_path(file)));
        command_line(&words)
    }
}
