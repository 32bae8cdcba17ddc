//! What an interruption left of revocations and lists. A list or keyring that was published as planned is taken over;
//! otherwise the number stays used up, and the next one is made (governance T7).

use super::{close_with_error, resume};
use crate::commands::{act, crl, openpgp, revoke};
use crate::error::{Error, Kind, Result};
use crate::ledger::query::{self, OpenIntent};
use crate::outcome::Receipt;
use crate::pki::crl::delivery::Published;
use crate::pki::revoked::Revoked;
use crate::request::{IssueCrl, RevokeKey};
use crate::ui::Worst;
use crate::world::World;

const UNKNOWN: &str = "the signature may exist; the revocation holds here, and is told anew";

/// Settles the intent of a revocation.
///
/// # Errors
/// The ledger or a published file cannot be read.
pub(in crate::commands) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = resume::<RevokeKey>(world, orphan)?;
    let params = permit.request().params.clone();
    let marks = query::resign_count(world.ledger.connection(), &params.generation)?;
    let revoked = match (&params.issuer, &params.crl, &params.plan) {
        (Some(issuer), Some(plan), _) => {
            let ca = world.generation(issuer)?;
            let path = crl::list::path(world, issuer);
            let found = Published::found(&path, &crl::list::certificate(&ca)?, plan, &[])?;
            found.map(|list| Revoked::listed(list, marks))
        }
        (_, _, Some(_)) => {
            let generation = world.generation(&params.generation)?;
            openpgp::published_ending(world, &generation)?.map(|ended| Revoked::in_keyring(ended, marks))
        }
        _ => Some(Revoked::registered(marks)),
    };
    if let Some(revoked) = revoked {
        act::close(world, permit, Ok(revoked))?;
        return Ok(("taken-over", format!("{} is revoked, and what tells of it is published", params.generation)));
    }
    close_with_error::<RevokeKey, Revoked>(world, permit, Error::failed("interrupted", UNKNOWN), true)?;
    Ok(("unknown", UNKNOWN.into()))
}

/// Settles the intent of a list.
///
/// # Errors
/// As [`settle`].
pub(super) fn settle_list(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = resume::<IssueCrl>(world, orphan)?;
    let IssueCrl { generation, crl: plan, .. } = permit.request().params.clone();
    let ca = world.generation(&generation)?;
    let path = crl::list::path(world, &generation);
    if let Some(list) = Published::found(&path, &crl::list::certificate(&ca)?, &plan, &[])? {
        act::close(world, permit, Ok(list))?;
        return Ok(("taken-over", format!("the list {} is published", plan.number)));
    }
    let detail = format!("the list may have been signed; its number {} is used up", plan.number);
    close_with_error::<IssueCrl, Published>(world, permit, Error::failed("interrupted", detail.clone()), true)?;
    Ok(("unknown", detail))
}

/// Tells what was decided and not told. What keeps one revocation from being told is a warning, and exit 3.
///
/// # Errors
/// The ledger cannot be read or written.
pub(super) fn go_on(world: &mut World, worst: &mut Worst) -> Result<Vec<Receipt>> {
    let stop = crate::world::interrupts()?;
    let mut receipts = Vec::new();
    let mut take = |world: &World, told: Result<Vec<Receipt>>, worst: &mut Worst| match told {
        Ok(told) => receipts.extend(told),
        Err(error) => {
            worst.add(if error.kind() == Kind::Bug { Kind::Bug } else { Kind::Unavailable });
            world.ui().error(&error);
        }
    };
    for revocation in query::revocations(world.ledger.connection())? {
        if revocation.told.is_none() {
            let told = revoke::go_on(world, revocation, &stop);
            take(world, told, worst);
        }
    }
    let mut issuers: Vec<_> = query::unlisted_generations(world.ledger.connection())?;
    issuers.dedup_by(|(one, _), (other, _)| one == other);
    for (issuer, _) in issuers {
        let ca = world.generation(&issuer)?;
        if crl::can_list(&ca, world.globals.clock.now()) {
            let issued = crl::lock(world, &issuer.key).and_then(|_lock| crl::issue(world, &ca));
            take(world, issued.map(|receipt| vec![receipt]), worst);
        }
    }
    Ok(receipts)
}
