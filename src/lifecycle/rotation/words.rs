//! What is said of rotations: the next command, what waits, and which keys are rotated at all.

use crate::clock::rfc3339;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::keys::Credential;
use crate::keys::rotation::{self, Edge, Next, Wait};
use crate::ledger::query;
use crate::lifecycle::rotation::facts::Known;
use crate::model::{Environment, GenerationId, KeyName, Purpose};
use crate::policy::gates;
use crate::published::keyring_files::keyring_file;
use crate::published::keyrings;
use crate::world::World;

/// The command that does a step.
pub(crate) fn command_for(name: &KeyName, step: &Edge) -> String {
    match step {
        Edge::Revoke(id) => format!("keyctl revoke {id} --reason superseded"),
        _ => format!("keyctl rotate {name}"),
    }
}

pub(crate) fn review_needed(id: &GenerationId) -> Error {
    let message = format!("{id} is due, and the settings let a review decide whether it goes on");
    Error::blocked("review_needed", message).hint(format!(
        "keyctl rotate {0} --review 'WHY', or keyctl rotate {0} --review 'WHY' --keep-until DATE",
        id.key
    ))
}

/// What clients of an APT key have to do by hand because it took over before they could have its keyring; nothing where
/// they had the time.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn clients_need(world: &World, name: &KeyName) -> Result<Option<String>> {
    let conn = world.ledger.connection();
    let Some(active) = query::active(conn, name)?.filter(|active| active.purpose == Purpose::Apt) else {
        return Ok(None);
    };
    let fingerprint = active.credential().map(Credential::fingerprint).unwrap_or_default();
    let since = query::keyring(conn, name)?.and_then(|keyring| keyring.since.get(&fingerprint).copied());
    let days = query::settings(conn)?.settings.rotation.publish_safety_days;
    let waits = active.id.number > 1 && world.genesis.environment != Environment::Sandbox;
    let had_time = since.is_some_and(|since| gates::age_days(since, world.globals.clock.now()) >= i64::from(days));
    if !waits || had_time {
        return Ok(None);
    }
    let (file, installed) = (keyring_file(name), keyrings::installed(name));
    Ok(Some(format!(
        "{} signs at once, so clients refuse updates until they have the new keyring, and no package that the old key signed \
         can bring it: published/{file} has to get to them some other way that they trust, as {installed}",
        active.id
    )))
}

/// What `status` says of a key whose rotation is due, was begun, or waits.
pub(crate) fn due_words(world: &World, settings: &Settings, name: &KeyName) -> Option<String> {
    let known = Known::read_with(world, settings, name).ok()?;
    if known.generations.is_empty() {
        return None;
    }
    match rotation::next(&known.facts(world, false)) {
        Ok(Next::Do(step)) => Some(format!("due: {step}; {}", command_for(name, &step))),
        Ok(Next::Idle(_)) => None,
        Ok(Next::Wait(Wait::Certificate(id))) => Some(format!("{id} waits for its certificate; {}", import_command())),
        Ok(Next::Wait(Wait::Review(id))) => Some(review_needed(&id).full()),
        Ok(Next::Wait(Wait::Clients(id, ready))) => Some(format!("{id} takes over from {} on", rfc3339(ready))),
        Err(error) => Some(error.full()),
    }
}

/// How the answer to a certificate signing request is taken in.
pub(crate) fn import_command() -> &'static str {
    "keyctl import CERTIFICATE.pem --roots ROOTS.pem"
}

/// The names of the keys that are rotated here, issuers before those they issue.
pub(crate) fn rotating(settings: &Settings) -> Vec<KeyName> {
    let available =
        |name: &KeyName| settings.keys.get(name).is_some_and(|key| rotation::is_available(name, key.purpose).is_ok());
    settings.by_issuer().into_iter().filter(available).collect()
}
