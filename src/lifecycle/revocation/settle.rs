//! What an interruption left of revocations and lists. A list or keyring that was published as planned is taken over;
//! otherwise the number stays used up, and the next one is made (governance T7).

use crate::error::{Error, Result};
use crate::gate::Failure;
use crate::ledger::query::{self, OpenIntent};
use crate::pki::crl::delivery::Delivered;
use crate::pki::revoked::Revoked;
use crate::published::{keyrings, lists};
use crate::request::{IssueCrl, RevokeKey};
use crate::world::orphans::resume;
use crate::world::{World, act};

const UNKNOWN: &str = "the signature may exist; the revocation holds here, and is told anew";

/// Settles the intent of a revocation.
///
/// # Errors
/// The ledger or a published file cannot be read.
pub(crate) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = resume::<RevokeKey>(world, orphan)?;
    let params = permit.request().params.clone();
    let marks = query::resign_count(world.ledger.connection(), &params.generation)?;
    let revoked = match (&params.issuer, &params.crl, &params.plan) {
        (Some(issuer), Some(plan), _) => {
            let ca = world.generation(issuer)?;
            let path = lists::path(world, issuer);
            let found = Delivered::found(&path, &lists::certificate(&ca)?, plan, &[])?;
            found.map(|list| Revoked::listed(list, marks))
        }
        (_, _, Some(_)) => {
            let generation = world.generation(&params.generation)?;
            keyrings::published_ending(world, &generation)?.map(|ended| Revoked::in_keyring(ended, marks))
        }
        _ => Some(Revoked::registered(marks)),
    };
    if let Some(revoked) = revoked {
        act::close(world, permit, Ok(revoked))?;
        return Ok(("taken-over", format!("{} is revoked, and what tells of it is published", params.generation)));
    }
    act::close_failed::<RevokeKey, Revoked>(
        world,
        permit,
        Failure { error: Error::failed("interrupted", UNKNOWN), unknown: true },
    )?;
    Ok(("unknown", UNKNOWN.into()))
}

/// Settles the intent of a list.
///
/// # Errors
/// As [`settle`].
pub(crate) fn settle_list(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = resume::<IssueCrl>(world, orphan)?;
    let IssueCrl { generation, crl: plan, .. } = permit.request().params.clone();
    let ca = world.generation(&generation)?;
    let path = lists::path(world, &generation);
    if let Some(list) = Delivered::found(&path, &lists::certificate(&ca)?, &plan, &[])? {
        act::close(world, permit, Ok(list))?;
        return Ok(("taken-over", format!("the list {} is published", plan.number)));
    }
    let detail = format!("the list may have been signed; its number {} is used up", plan.number);
    act::close_failed::<IssueCrl, Delivered>(
        world,
        permit,
        Failure { error: Error::failed("interrupted", detail.clone()), unknown: true },
    )?;
    Ok(("unknown", detail))
}
