//! What is said of rotations: the next command, what waits, and which keys are rotated at all.

use crate::clock::rfc3339;
use crate::config::Settings;
use crate::error::Error;
use crate::keys::rotation::{self, Edge, Next, Wait};
use crate::lifecycle::rotation::facts::Known;
use crate::model::{GenerationId, KeyName};
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
