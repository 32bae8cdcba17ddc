//! What a rotation is going to do from where it stands, for people to agree to: the state machine, walked ahead.
//!
//! The plan ends where nothing can be done at once: an APT key that waits for clients, or a certificate from outside. Then
//! the command is repeated, and people agree to the rest.

use crate::commands::rotate::RotateArgs;
use crate::config::{Issuer, Key};
use crate::error::{Error, Result};
use crate::keys::rotation::{self, Link, Next, Step};
use crate::keys::{Generation, State};
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::options::{self, Options};
use crate::lifecycle::rotation::steps;
use crate::lifecycle::{certify, csr, generate};
use crate::model::{GenerationId, HsmName, KeyName, hex};
use crate::people::request::Step as Planned;
use crate::pki::certificate::Certificate;
use crate::pki::issue::Draft;
use crate::pki::link;
use crate::pki::serial::Serial;
use crate::policy::people::rotating;
use crate::request::{ActivateKey, ChangeState, LinkRoots, TestKey};
use crate::world::authority::{Intended, step};
use crate::world::{World, small};

/// What this command line will do; nothing if there is nothing to be done now.
///
/// # Errors
/// A parameter cannot be resolved.
pub(crate) fn intended(
    world: &mut World,
    args: &RotateArgs,
    key: &Key,
    review: Option<Planned>,
) -> Result<Option<Intended>> {
    let options = Options::of(args);
    let mut planned: Vec<_> = review.into_iter().collect();
    if args.keep_until.is_none() {
        planned.extend(ahead(world, &args.key, &options, !planned.is_empty())?);
    }
    if planned.is_empty() {
        return Ok(None);
    }
    let mut subjects = vec![args.key.to_string()];
    let mut tokens = vec![small::first_hsm(key)?.clone()];
    if let Issuer::Key(issuer) = &key.issuer {
        subjects.push(issuer.to_string());
        tokens.extend(tokens_of(&world.active(issuer)?)?);
    }
    let object = planned.first().map_or_else(|| args.key.to_string(), |step| step.object.clone());
    let operation = rotating(key.purpose);
    Ok(Some(Intended { operation, object, command: command(args)?, steps: planned, subjects, tokens }))
}

fn tokens_of(generation: &Generation) -> Result<Vec<HsmName>> {
    Ok(generation.identity()?.copies.iter().map(|copy| copy.hsm.clone()).collect())
}

fn command(args: &RotateArgs) -> Result<Vec<String>> {
    let mut words = vec!["rotate".to_owned(), args.key.to_string()];
    let flags = [(args.now, "--now"), (args.publisher_change, "--publisher-change")];
    words.extend(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()));
    let csr = args.csr.as_deref().map(crate::files::absolute).transpose()?;
    for (option, value) in
        [("--review", args.review.clone()), ("--keep-until", args.keep_until.clone()), ("--csr", csr)]
    {
        // In one word, so that a text which begins with a dash stays a value.
        words.extend(value.map(|value| format!("{option}={value}")));
    }
    Ok(words)
}

/// Every act from here to where the rotation has to wait.
pub(crate) fn ahead(world: &mut World, name: &KeyName, options: &Options, rolls: bool) -> Result<Vec<Planned>> {
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
        early = false;
        planned.extend(one(world, &mut known, &step, options)?);
        known.pretend(&step, world.globals.clock.now())?;
    }
    Err(Error::bug(format!("the rotation of {name} does not come to an end")))
}

/// One edge as people see it. What is published needs nobody's leave.
fn one(world: &mut World, known: &mut Known, next: &Step, options: &Options) -> Result<Option<Planned>> {
    let key = known.key.clone();
    let state = |known: &Known, id: &GenerationId, to: State, reason: &str| {
        let from = known.generation(id)?.state;
        let params = ChangeState { generation: id.clone(), from, to, reason: reason.to_owned() };
        step(id.to_string(), &params).map(Some)
    };
    match next {
        Step::Generate => {
            let request = generate::generate_request(world, &known.name, &key)?;
            known.planned_at = request.params.created;
            step(request.object, &request.params).map(Some)
        }
        Step::Certify(id) => {
            let created = known.generation(id)?.identities.first().and_then(|identity| identity.created);
            let (step, specimen) = certify::certification(world, id, &key, created.or(known.planned_at))?;
            known.specimen = specimen;
            Ok(Some(step))
        }
        Step::Request(id) => csr::request(id, &key).map(Some),
        Step::Link(id, link) => {
            let old = known.active().ok_or_else(|| Error::bug("a root without a predecessor is not linked"))?;
            let (subject, issuer) = match link {
                Link::NewWithOld => (known.generation(id)?, old),
                Link::OldWithNew => (old, known.generation(id)?),
            };
            link_step(world, known, subject, issuer).map(Some)
        }
        Step::Test(id) => {
            let nonce = hex(&small::random::<32>()?);
            let params = TestKey { generation: id.clone(), certificate: String::new(), nonce };
            step(id.to_string(), &params).map(Some)
        }
        Step::Activate(id) => {
            let params: ActivateKey = steps::activation(known, id, options, None);
            step(id.to_string(), &params).map(Some)
        }
        Step::Stage(id) => state(known, id, State::Staged, steps::STAGED),
        Step::Retire(id, to) => state(known, id, *to, steps::RETIRED),
        Step::Discard(id) => state(known, id, State::Retired, steps::DISCARDED),
        Step::Publish(_) | Step::UpdatePipelines(_) | Step::Revoke(_) => Ok(None),
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
    step(steps::link_object(&subject.id, &issuer.id), &params)
}
