//! Stopping a key at once, and letting it work again.

use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::gate::{Plan, step};
use crate::ledger::query;
use crate::model::{GenerationId, KeyName};
use crate::people::request::Step;
use crate::request::{ReinstateKey, SuspendKey};
use crate::world::World;

/// What is going to be done: the key is stopped, or goes on.
///
/// # Errors
/// There is no such key.
pub(crate) fn plan(world: &World, key: &KeyName, lift: bool) -> Result<Plan> {
    let step = if lift { step_to_reinstate(world, key)? } else { step_to_suspend(world, key)? };
    let mut command = vec!["suspend".to_owned(), key.to_string()];
    command.extend(lift.then(|| "--lift".to_owned()));
    Ok(Plan {
        rule: if lift { Rule::Reinstate } else { Rule::Suspend },
        object: key.to_string(),
        command,
        steps: vec![step],
        break_glass: None,
    })
}

/// The generation in use, or else the newest.
fn newest(world: &World, key: &KeyName) -> Result<GenerationId> {
    let conn = world.ledger.connection();
    if let Some(active) = query::active(conn, key)? {
        return Ok(active.id);
    }
    let mut all = query::generations(conn)?.into_iter().filter(|generation| generation.id.key == *key);
    let unknown = || Error::usage("unknown_key", format!("the register has no key {key}")).hint("keyctl status");
    all.next_back().map(|generation| generation.id).ok_or_else(unknown)
}

/// Stopping a key as a step of something larger.
pub(crate) fn step_to_suspend(world: &World, key: &KeyName) -> Result<Step> {
    let params = SuspendKey { generation: newest(world, key)?, reason: world.reason() };
    step::<SuspendKey>(key.to_string(), &params)
}

/// Letting it go on as the last step of something larger: with whichever generation is in use by then.
pub(crate) fn step_to_reinstate(world: &World, key: &KeyName) -> Result<Step> {
    let params = ReinstateKey { generation: newest(world, key)?, reason: world.reason() };
    step::<ReinstateKey>(key.to_string(), &params)
}
