//! What a rotation is going to do from where it stands, for people to agree to: the state machine, walked ahead.
//!
//! The plan ends where nothing can be done at once: an APT key that waits for clients, or a certificate from outside. Then
//! the command is repeated, and people agree to the rest.

use crate::config::Issuer;
use crate::crypto;
use crate::error::{Error, Result};
use crate::gate::{Plan, step};
use crate::keys::rotation::{self, Edge, Link, Next};
use crate::keys::{Generation, State};
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::{self, Options};
use crate::lifecycle::rotation::{failure, steps};
use crate::lifecycle::{certify, csr, generate};
use crate::model::{GenerationId, KeyName, hex};
use crate::people::request::{BreakGlass, Step as Planned};
use crate::pki::certificate::Certificate;
use crate::pki::issue::Draft;
use crate::pki::link;
use crate::pki::serial::Serial;
use crate::policy::people::rotating;
use crate::request::{ActivateKey, ChangeState, LinkRoots, ReviewKey, TestKey};
use crate::request::{GenerateKey, Operation};
use crate::world::World;

/// What somebody wants of a key's rotation.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Whose.
    pub name: KeyName,
    /// How it is to be gone about.
    pub options: Options,
    /// What a review decided, if that is still to be recorded.
    pub review: Option<ReviewKey>,
    /// A review lets the key go on: nothing else is done.
    pub keeps: bool,
    /// The words that do it.
    pub command: Vec<String>,
    /// A declared incident.
    pub break_glass: Option<BreakGlass>,
}

/// Everything that will be done from where the rotation stands; no steps if there is nothing to be done now.
///
/// # Errors
/// A parameter cannot be resolved.
pub(crate) fn plan(world: &World, wanted: Wanted) -> Result<Plan> {
    let Wanted { name, options, review, keeps, command, break_glass } = wanted;
    let key = world.settings()?.key(&name)?.clone();
    let review = review.map(|review| step(review.generation.to_string(), &review)).transpose()?;
    let mut steps: Vec<_> = review.into_iter().collect();
    if !keeps {
        steps.extend(ahead(world, &name, &options, !steps.is_empty())?);
    }
    if let (Issuer::Key(issuer), false) = (&key.issuer, steps.is_empty()) {
        world.active(issuer)?;
    }
    let object = steps.first().map_or_else(|| name.to_string(), |step| step.object.clone());
    Ok(Plan { rule: rotating(key.purpose), object, command, steps, break_glass })
}

/// [`plan`], for whoever goes on with it: what keeps it from being planned is a failed rotation (B24).
///
/// # Errors
/// As [`plan`].
pub(crate) fn or_alert(world: &mut World, wanted: Wanted) -> Result<Plan> {
    let name = wanted.name.clone();
    let planned = plan(world, wanted);
    if let (Err(error), false) = (&planned, world.globals.dry_run) {
        failure::record(world, &name, error)?;
    }
    planned
}

/// Every act from here to where the rotation has to wait.
pub(crate) fn ahead(world: &World, name: &KeyName, options: &Options, rolls: bool) -> Result<Vec<Planned>> {
    let mut known = Known::read(world, name)?;
    if rolls {
        known.decide_to_roll();
    }
    if let Some(revoked) = &options.revoked {
        known.pretend_revoked(revoked)?;
    }
    let mut early = options.early && rotation::successor(&known.generations).is_none();
    let mut planned = Vec::new();
    for _ in 0..options::MAX_STEPS {
        let Next::Do(step) = rotation::next(&known.facts(world, early))? else { return Ok(planned) };
        // One successor at a time: the one after it waits for its own day.
        if matches!(step, Edge::Generate) && planned.iter().any(|one| one.operation == GenerateKey::NAME) {
            return Ok(planned);
        }
        early = false;
        planned.extend(one(world, &mut known, &step, options)?);
        known.pretend(&step, world.globals.clock.now())?;
        // The first one that ever served has none before it to look after.
        if matches!(step, Edge::Activate(_)) && known.active().is_none_or(|active| active.credential().is_none()) {
            return Ok(planned);
        }
    }
    Err(Error::bug(format!("the rotation of {name} does not come to an end")))
}

/// One edge as people see it. What is published needs nobody's leave.
fn one(world: &World, known: &mut Known, next: &Edge, options: &Options) -> Result<Option<Planned>> {
    let key = known.key.clone();
    let state = |known: &Known, id: &GenerationId, to: State, reason: &str| {
        let from = known.generation(id)?.state;
        let params = ChangeState { generation: id.clone(), from, to, reason: reason.to_owned() };
        step(id.to_string(), &params).map(Some)
    };
    match next {
        Edge::Generate => {
            let pair = generate::next_pair(world, &known.name, &key)?;
            known.planned_at = pair.created;
            step(pair.generation.to_string(), &pair).map(Some)
        }
        Edge::Certify(id) => {
            let created = known.generation(id)?.identities.first().and_then(|identity| identity.created);
            let (step, specimen) = certify::certification(world, id, &key, created.or(known.planned_at))?;
            known.specimen = specimen;
            Ok(Some(step))
        }
        Edge::Request(id) => csr::request(id, &key).map(Some),
        Edge::Link(id, link) => {
            let old = known.active().ok_or_else(|| Error::bug("a root without a predecessor is not linked"))?;
            let (subject, issuer) = match link {
                Link::NewWithOld => (known.generation(id)?, old),
                Link::OldWithNew => (old, known.generation(id)?),
            };
            link_step(world, known, subject, issuer).map(Some)
        }
        Edge::Test(id) => {
            let nonce = hex(&crypto::random::<32>()?);
            let params = TestKey { generation: id.clone(), certificate: String::new(), nonce };
            step(id.to_string(), &params).map(Some)
        }
        Edge::Activate(id) => {
            let params: ActivateKey = steps::activation(known, id, options, None);
            step(id.to_string(), &params).map(Some)
        }
        Edge::Stage(id) => state(known, id, State::Staged, steps::STAGED),
        Edge::Retire(id, to) => state(known, id, *to, steps::RETIRED),
        Edge::Discard(id) => state(known, id, State::Retired, steps::DISCARDED),
        Edge::Publish(_) | Edge::UpdatePipelines(_) | Edge::Revoke(_) => Ok(None),
    }
}

/// The link in all but the public key that is yet to be made, and both key identifiers.
fn link_step(world: &World, known: &Known, subject: &Generation, issuer: &Generation) -> Result<Planned> {
    let none = || Error::bug("a root is linked before its certificate is planned");
    let certificate = |generation: &Generation| match generation.identities.first().and_then(|it| it.x509()) {
        Some(der) => Certificate::parse(der),
        None => known.specimen.clone().ok_or_else(none),
    };
    let (serial, environment) = (Serial::random()?, world.genesis.environment);
    let draft = Draft::new(link::plan(&certificate(subject)?, &certificate(issuer)?, serial, environment)?)?;
    let params = LinkRoots {
        generation: subject.id.clone(),
        issuer: issuer.id.clone(),
        serial: draft.serial_hex(),
        tbs_sha256: draft.tbs_hash(),
        template_sha256: draft.template_hash(),
        not_after: draft.validity().not_after,
    };
    step(LinkRoots::object(&subject.id, &issuer.id), &params)
}
