//! Chunks on the road one behind the other, so that the token does not wait for the disk nor the disk for the token:
//! while one is signed, the next is read and goes through the gate, and the one before is put in place and written down.
//!
//! The ledger is written by one thread, in the order of the chunks. A file that is signed is put in place by another
//! thread than the one that asks the token, and by more of them, since most of that is waiting for the disk.

use super::chunk::{self, Admitted, Done, Plan, Rest, Work, in_parallel};
use super::inputs::Job;
use super::{CHUNK, Run, leave, replay};
use crate::error::{Error, Result};
use crate::formats::artifact::{Signed, Stamp};
use crate::gate::Failure;
use crate::hsm::store::Store;
use crate::request::Role;
use crate::world::World;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// How many files of a chunk get their names at the same time.
const PLACERS: usize = 8;

/// A chunk in the hands of the token and of the disk.
struct Signing<'s> {
    signers: ScopedJoinHandle<'s, ()>,
    placers: ScopedJoinHandle<'s, Vec<Done>>,
    rest: Rest,
}

impl Run {
    /// Signs the files, chunk by chunk.
    ///
    /// # Errors
    /// The token waits for `recover`; the ledger cannot be written. What happens to single files is shown.
    pub(super) fn sign_files(
        &mut self,
        world: &mut World,
        plan: &Plan,
        stamp: Option<&dyn Stamp>,
        jobs: &[Job],
        stop: &AtomicBool,
    ) -> Result<()> {
        let bar = world.ui().progress(jobs.len() as u64, "signing");
        // What one person answers for in one request is not endless.
        let size = if world.globals.identity.is_some() { leave::FILES } else { CHUNK };
        let mut chunks = jobs.chunks(size);
        let mut failed = None;
        std::thread::scope(|scope| {
            let read = |world: &mut World, jobs: &[Job]| {
                let left = replay::split(world, plan, jobs.to_vec())?;
                Ok(scope.spawn(move || chunk::read(plan, left, stop)))
            };
            let mut next = chunks.next().map(|jobs| read(world, jobs)).transpose()?;
            let mut signing: Option<Signing<'_>> = None;
            loop {
                let mut admitted = None;
                if let Some(reading) = next.take().filter(|_| failed.is_none() && self.goes_on(stop)) {
                    let ready = join(reading)?;
                    match chunk::admit(world, plan, ready) {
                        Ok(chunk) => admitted = Some(chunk),
                        Err(error) => failed = Some(error),
                    }
                    match chunks.next().filter(|_| failed.is_none()).map(|jobs| read(world, jobs)).transpose() {
                        Ok(reading) => next = reading,
                        Err(error) => failed = Some(error),
                    }
                }
                let before = signing.take();
                let before = before.map(|Signing { signers, placers, rest }| join(signers).map(|()| (placers, rest)));
                let before = before.transpose()?;
                signing = admitted.map(|chunk| start(scope, &world.store, plan, stamp, chunk));
                let Some((placers, rest)) = before else {
                    if signing.is_none() {
                        break;
                    }
                    continue;
                };
                let signed = chunk::close(world, rest, join(placers)?)?;
                bar.inc(signed.finished.len() as u64);
                bar.suspend(|| self.take(world, signed));
            }
            failed.take().map_or(Ok(()), Err)
        })?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// Has a chunk signed and put in place by threads of its own.
fn start<'s>(
    scope: &'s Scope<'s, '_>,
    store: &Arc<Store>,
    plan: &'s Plan,
    stamp: Option<&'s dyn Stamp>,
    Admitted { work, rest }: Admitted,
) -> Signing<'s> {
    let (store, count) = (Arc::clone(store), work.len());
    let (give, take) = crossbeam_channel::unbounded();
    let signers = scope.spawn(move || {
        in_parallel(
            work.into_iter().enumerate().collect(),
            plan.threads,
            |(index, (job, prepared, permit)): (_, Work)| {
                let signed = store.open(&permit, Role::Artifact, &plan.signer.identity);
                let signed = signed.and_then(|key| prepared.sign_and_stamp(&key, stamp));
                // Who places has gone only if it panicked, and the scope passes that on.
                let _ = give.send((index, job, permit, signed));
            },
        );
    });
    let placers = scope.spawn(move || {
        let done = Mutex::new(Vec::with_capacity(count));
        let place = |signed: Result<Signed, Failure>| signed.and_then(|signed| Ok(signed.place()?));
        std::thread::scope(|scope| {
            for _ in 0..PLACERS.min(count) {
                scope.spawn(|| {
                    for (index, job, permit, signed) in &take {
                        let placed = (index, (job, permit, place(signed)));
                        done.lock().unwrap_or_else(PoisonError::into_inner).push(placed);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, done)| done).collect()
    });
    Signing { signers, placers, rest }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| Error::bug("a thread that signs panicked"))
}
