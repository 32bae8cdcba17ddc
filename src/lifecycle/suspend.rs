//! …

use crate::error::{Error, Result};
use crate::gate::{Completes, Recorded};
use crate::ledger::query;
use crate::model::{GenerationId, KeyName};
use crate::people::request::Step;
use crate::policy::Decide;
use crate::request::{ReinstateKey, SuspendKey};
use crate::world::authority::step;
use crate::world::{World, act};

/// The generation in use, or else the newest.
pub(crate) fn newest(world: &World, key: &KeyName) -> Result<GenerationId> {
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

/// Stops a key, as it was agreed to.
pub(crate) fn suspend_now(world: &mut World, key: &KeyName) -> Result<()> {
    let params = SuspendKey { generation: newest(world, key)?, reason: world.reason() };
    do_now(world, key, params)
}

/// Lets a key go on, as it was agreed to.
pub(crate) fn lift_now(world: &mut World, key: &KeyName) -> Result<()> {
    let params = ReinstateKey { generation: newest(world, key)?, reason: world.reason() };
    do_now(world, key, params)
}

fn do_now<O: Decide>(world: &mut World, key: &KeyName, params: O) -> Result<()>
where
    Recorded: Completes<O>,
{
    let request = act::as_planned(world, key.as_str(), params)?;
    let permit = act::admit(world, request)?;
    act::close(world, permit, Ok(Recorded::new()))
}
