//! Chunks one behind the other, so that the token does not wait for the disk nor the disk for the token: while one is
//! signed, the next is read and goes through the gate, and the one before is put in place and written down.
//!
//! The ledger is written by one thread, in the order of the chunks. A file that is signed is put in place by another
//! thread than the one that asks the token, and by more of them, since most of that is waiting for the disk.

use super::artifact::{Signed, Stamp};
use super::chunk::{self, Admitted, Done, Read, Setup, Work, in_parallel};
use super::inputs::Job;
use super::kept::Folder;
use super::{Batch, CHUNK, Run, approval, replay};
use crate::error::{Error, Result};
use crate::gate::{Failure, Permit};
use crate::hsm::store::Store;
use crate::request::{Role, SignArtifact};
use crate::world::World;
use std::slice::Chunks;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// How many files of a chunk get their names at the same time.
const PLACERS: usize = 8;

/// What is the same for every chunk.
#[derive(Clone, Copy)]
struct Shared<'s> {
    plan: &'s Setup<'s>,
    stamp: Option<&'s dyn Stamp>,
    stop: &'s AtomicBool,
}

/// A chunk in the hands of the token and of the disk.
struct Signing<'s> {
    signers: ScopedJoinHandle<'s, ()>,
    placers: ScopedJoinHandle<'s, Vec<Done>>,
    rest: Batch,
}

/// Chunks that are still to come, and the one that is read at the moment.
struct Coming<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    shared: Shared<'s>,
    chunks: Chunks<'s, Job>,
    reading: Option<ScopedJoinHandle<'s, Read>>,
    failed: Option<Error>,
}

impl<'s> Coming<'s, '_> {
    /// Has the next chunk read.
    fn read(&mut self, world: &mut World) -> Result<()> {
        let Some(jobs) = self.chunks.next() else { return Ok(()) };
        let left = replay::split(world, self.shared.plan, jobs.to_vec(), self.shared.stop)?;
        let Shared { plan, stop, .. } = self.shared;
        self.reading = Some(self.scope.spawn(move || chunk::read(plan, left, stop)));
        Ok(())
    }

    /// Takes the chunk that was read through the gate, and has the next one read meanwhile. After a failure no more
    /// chunks come.
    ///
    /// # Errors
    /// A thread panicked.
    fn admit(&mut self, world: &mut World, run: &mut Run<'_>) -> Result<Option<Admitted>> {
        let Some(reading) = self.reading.take() else { return Ok(None) };
        if self.failed.is_some() || !run.goes_on(world, self.shared.stop) {
            return Ok(None);
        }
        let ready = join(reading)?;
        let admitted = match chunk::admit(world, self.shared.plan, ready) {
            Ok(chunk) => chunk,
            Err(error) => {
                self.failed = Some(error);
                return Ok(None);
            }
        };
        self.failed = self.read(world).err();
        Ok(Some(admitted))
    }
}

impl Run<'_> {
    /// Signs the files, chunk by chunk.
    ///
    /// # Errors
    /// The token waits for `recover`; the ledger cannot be written. What happens to single files is shown.
    pub(super) fn sign_files(
        &mut self,
        world: &mut World,
        plan: &Setup<'_>,
        stamp: Option<&dyn Stamp>,
        jobs: &[Job],
        stop: &AtomicBool,
    ) -> Result<()> {
        let bar = &plan.progress;
        // What one person answers for in one request is not endless.
        let size = if world.globals.identity.is_some() { approval::MAX_FILES } else { CHUNK };
        let shared = Shared { plan, stamp, stop };
        std::thread::scope(|scope| {
            let mut coming = Coming { scope, shared, chunks: jobs.chunks(size), reading: None, failed: None };
            coming.read(world)?;
            let mut signing: Option<Signing<'_>> = None;
            loop {
                let admitted = coming.admit(world, self)?;
                let before = signing.take();
                let before = before.map(|Signing { signers, placers, rest }| join(signers).map(|()| (placers, rest)));
                let before = before.transpose()?;
                signing = admitted.map(|chunk| start(scope, &world.store, shared, chunk));
                let Some((placers, rest)) = before else {
                    if signing.is_none() {
                        break;
                    }
                    continue;
                };
                let signed = chunk::close(world, rest, join(placers)?)?;
                bar.files(signed.finished.len() as u64);
                bar.beside(|| self.take(world, signed));
            }
            coming.failed.take().map_or(Ok(()), Err)
        })?;
        bar.end();
        Ok(())
    }
}

/// Has a chunk signed and put in place by threads of its own.
fn start<'s>(
    scope: &'s Scope<'s, '_>,
    store: &Arc<Store>,
    Shared { plan, stamp, .. }: Shared<'s>,
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
        let place = |signed: Result<Signed, Failure>, permit: &Permit<SignArtifact>| {
            signed.and_then(|signed| {
                let folder = Folder::of(&plan.evidence, &permit.request().params.artifact_id)?;
                Ok(signed.place(&folder)?)
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..PLACERS.min(count) {
                scope.spawn(|| {
                    for (index, job, permit, signed) in &take {
                        let placed = place(signed, &permit);
                        let placed = (index, (job, permit, placed));
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
