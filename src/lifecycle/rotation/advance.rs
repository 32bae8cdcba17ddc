//! …

use crate::error::{Error, Result};
use crate::files::lock::NamedLock;
use crate::gate::Warrant;
use crate::keys::rotation::{self, Next, Step, Wait};
use crate::ledger::query::rotation as recorded;
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::{MAX_STEPS, Options};
use crate::lifecycle::rotation::{failure, resume, steps};
use crate::model::KeyName;
use crate::outcome::Receipt;
use crate::published::{certificates, keyrings, register};
use crate::request::{ChangeState, Operation};
use crate::world::World;
use std::path::PathBuf;
use std::time::Duration;

/// What a run did, and what is left.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Whose rotation.
    pub name: KeyName,
    /// What was done, in order.
    pub done: Vec<Step>,
    /// What comes next.
    pub next: Next,
    /// The takeover, if it happened in this run or under this correlation id before.
    pub takeover: Option<Receipt>,
    /// The certificate signing request that waits for an answer.
    pub csr: Option<PathBuf>,
}

/// Brings a key's rotation as far as it goes. A failure becomes an alert of the ledger (B24).
///
/// # Errors
/// As each step says; whatever was done stays done.
pub(crate) fn advance(world: &mut World, name: &KeyName, options: &Options) -> Result<Progress> {
    let _lock = NamedLock::acquire(&world.dir.join("locks"), name.as_str(), Duration::from_secs(10))?;
    crate::world::tidy(&world.dir);
    if let Some(done) = completed_before(world, name)? {
        return Ok(done);
    }
    let mut done = Vec::new();
    let result = walk(world, name, options, &mut done);
    if let Err(error) = &result {
        failure::record(world, name, error)?;
    }
    let finished = finish(world);
    let (next, takeover) = result?;
    finished?;
    let csr = match &next {
        Next::Wait(Wait::Certificate(id)) => Some(steps::restore_csr(world, options, id)?),
        _ => None,
    };
    Ok(Progress { name: name.clone(), done, next, takeover, csr })
}

/// The same correlation id does not rotate twice (domain §4).
fn completed_before(world: &mut World, name: &KeyName) -> Result<Option<Progress>> {
    let id = world.globals.correlation_id.clone();
    let Some(known) = recorded::completed_as(world.ledger.connection(), &id, name)? else { return Ok(None) };
    let takeover = Receipt::load(&world.ledger, known.seq)?;
    if !world.fragment_path(&takeover)?.exists() {
        world.fragments(std::slice::from_ref(&takeover))?;
    }
    let now = world.globals.clock.now();
    let (name, next) = (name.clone(), Next::Idle(now));
    Ok(Some(Progress { name, done: Vec::new(), next, takeover: Some(takeover), csr: None }))
}

fn walk(world: &mut World, name: &KeyName, options: &Options, done: &mut Vec<Step>) -> Result<(Next, Option<Receipt>)> {
    let mut takeover = resume::orphans(world, name)?;
    // Early is the beginning of one rotation; the one after it waits for its time.
    let mut early = options.early && takeover.is_none();
    for _ in 0..MAX_STEPS {
        let known = Known::read(world, name)?;
        early &= rotation::successor(&known.generations).is_none();
        let next = rotation::next(&known.facts(world, early))?;
        let Next::Do(step) = next else { return Ok((next, takeover)) };
        if is_beyond(world, &step) {
            return Ok((Next::Do(step), takeover));
        }
        if done.last() == Some(&step) {
            return Err(Error::failed(
                "no_progress",
                format!("{name}: after it was done, this is still to be done: {step}"),
            ));
        }
        early = false;
        world.ui().detail(&format!("{name}: {step}"));
        takeover = steps::take(world, &known, &step, options)?.or(takeover);
        done.push(step);
    }
    Err(Error::bug(format!("the rotation of {name} does not come to an end")))
}

/// What became due after people agreed to the rest is for the next time. A revocation is a request of its own.
fn is_beyond(world: &World, step: &Step) -> bool {
    let document = world.warrant.as_ref().and_then(Warrant::document);
    match step {
        Step::Retire(id, _) if document.is_some() => world.planned(ChangeState::NAME, &id.to_string()).is_none(),
        Step::Revoke(_) => document.is_some() || world.asks_people(),
        _ => false,
    }
}

/// What every run leaves: keyrings and register published, and all of it under a checkpoint.
fn finish(world: &mut World) -> Result<()> {
    keyrings::publish(world)?;
    certificates::certificates(world)?;
    world.checkpoint()?;
    register::register(world)
}
