//! Walking a rotation edge by edge, each with an intent of its own, as far as it goes now.

use crate::error::{Error, Result};
use crate::gate::Consent;
use crate::keys::rotation::{self, Edge, Next, Wait};
use crate::ledger::query::rotation as recorded;
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::{MAX_STEPS, Options};
use crate::lifecycle::rotation::{failure, resume, steps};
use crate::model::{GenerationId, KeyName};
use crate::outcome::Receipt;
use crate::published::{certificates, keyrings, register};
use crate::request::Kind;
use crate::world::World;
use std::path::PathBuf;

/// What a run did, and what is left.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Whose rotation.
    pub name: KeyName,
    /// What was done, in order.
    pub done: Vec<Edge>,
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
pub(crate) fn advance(world: &mut World, consent: &Consent, name: &KeyName, options: &Options) -> Result<Progress> {
    let _lock = world.lock_key(name)?;
    crate::world::tidy(&world.dir);
    if let Some(done) = completed_before(world, name)? {
        return Ok(done);
    }
    let mut done = Vec::new();
    let result = walk(world, consent, (name, options), &mut done);
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

fn walk(
    world: &mut World,
    consent: &Consent,
    (name, options): (&KeyName, &Options),
    done: &mut Vec<Edge>,
) -> Result<(Next, Option<Receipt>)> {
    let mut takeover = resume::orphans(world, name, consent.request())?;
    // Early is the beginning of one rotation; the one after it waits for its time.
    let mut early = options.early && takeover.is_none();
    for _ in 0..MAX_STEPS {
        let known = Known::read(world, name)?;
        early &= rotation::successor(&known.generations).is_none();
        let next = rotation::next(&known.facts(world, early))?;
        let Next::Do(step) = next else { return Ok((next, takeover)) };
        if is_beyond(consent, name, &step) {
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
        takeover = steps::take(world, consent, &known, &step, options)?.or(takeover);
        done.push(step);
    }
    Err(Error::bug(format!("the rotation of {name} does not come to an end")))
}

/// What became due after the rest was planned is for the next time. A revocation is a plan of its own: people who agreed to
/// the rotation did not agree to that.
fn is_beyond(consent: &Consent, name: &KeyName, step: &Edge) -> bool {
    let plan = consent.plan();
    let has = |kind: Kind, id: &GenerationId| plan.find(kind, &id.to_string()).is_some();
    match step {
        Edge::Generate => !plan.steps.iter().any(|one| {
            one.operation == Kind::GenerateKey.name() && one.object.split('/').next() == Some(name.as_str())
        }),
        Edge::Certify(id) => !has(Kind::IssueCertificate, id) && !has(Kind::CertifyOpenPgp, id),
        Edge::Request(id) => !has(Kind::MakeCsr, id),
        Edge::Link(..) => !plan.steps.iter().any(|one| one.operation == Kind::LinkRoots.name()),
        Edge::Test(id) => !has(Kind::TestKey, id),
        Edge::Activate(id) => !has(Kind::ActivateKey, id),
        Edge::Stage(id) | Edge::Retire(id, _) | Edge::Discard(id) => !has(Kind::ChangeState, id),
        Edge::Publish(_) | Edge::UpdatePipelines(_) => false,
        Edge::Revoke(_) => consent.also(plan.clone()).is_none(),
    }
}

/// What every run leaves: keyrings and register published, and all of it under a checkpoint.
fn finish(world: &mut World) -> Result<()> {
    keyrings::publish(world)?;
    certificates::certificates(world)?;
    world.checkpoint()?;
    register::register(world)
}
