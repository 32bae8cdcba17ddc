//! Issuing a CA's next list, because it is due or because something was revoked.

use crate::clock::Time;
use crate::error::{Kind, Result};
use crate::gate::Consent;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::lifecycle::lists::list;
use crate::lifecycle::marks;
use crate::model::GenerationId;
use crate::outcome::Receipt;
use crate::policy::revocation::{LISTING, list_life, refresh_after};
use crate::published::{lists, register};
use crate::request::IssueCrl;
use crate::ui::Worst;
use crate::world::{World, act};

/// Whether a CA generation signs lists: by its state, and as long as its certificate is valid.
pub(crate) fn can_list(ca: &Generation, now: Time) -> bool {
    let valid = ca.credential().is_some_and(|credential| now < credential.validity().1);
    LISTING.contains(&ca.state) && ca.quarantined.is_none() && valid
}

/// Why a list is issued now, if it is.
pub(crate) fn due(world: &World, ca: &Generation) -> Result<Option<&'static str>> {
    let conn = world.ledger.connection();
    if query::unlisted_generations(conn)?.iter().any(|(issuer, _)| *issuer == ca.id) {
        return Ok(Some("something revoked is not on it"));
    }
    let Some(newest) = query::published_crl(conn, &ca.id)? else { return Ok(Some("there is none")) };
    let file = crate::pki::crl::delivery::read(&lists::path(world, &ca.id));
    if !file.is_ok_and(|file| file.is_some_and(|crl| crl.sha256() == newest.sha256)) {
        return Ok(Some("the published file is not the recorded one"));
    }
    let after = newest.this_update.checked_add_signed(refresh_after(list_life(ca.purpose)));
    let is_old = after.is_none_or(|after| world.globals.clock.now() >= after);
    // The last list before the CA's own end cannot be made to last longer.
    let is_last = ca.credential().map(Credential::validity).is_some_and(|(_, end)| newest.next_update >= end);
    Ok((is_old && !is_last).then_some("it is due"))
}

/// Issues every list that is due, for timers: the CA, and why or what kept it from being issued. A dry run only says why.
/// Nobody is asked: a list says what the ledger says, and nothing else.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn refresh(world: &mut World, worst: &mut Worst) -> Result<Vec<(GenerationId, Result<&'static str>)>> {
    let mut done = Vec::new();
    let mut receipts = Vec::new();
    let mut all = query::generations(world.ledger.connection())?;
    let now = world.globals.clock.now();
    all.retain(|g| g.purpose.is_ca() && can_list(g, now));
    for ca in &all {
        let issued = match due(world, ca) {
            Ok(None) => continue,
            Ok(Some(why)) if world.globals.dry_run => Ok(why),
            Ok(Some(why)) => world
                .lock_key(&ca.id.key)
                .and_then(|_lock| issue(world, &Consent::of_consequence(), ca))
                .map(|receipt| {
                    receipts.push(receipt);
                    why
                }),
            Err(error) => Err(error),
        };
        done.push((ca.id.clone(), issued));
    }
    if !world.globals.dry_run {
        finish(world, &receipts, worst)?;
    }
    Ok(done)
}

/// Issues a CA's next list. The caller holds the CA's lock.
///
/// # Errors
/// As planning, the gate, the token and publishing say; the number is used up then.
pub(crate) fn issue(world: &mut World, consent: &Consent, ca: &Generation) -> Result<Receipt> {
    let mut list = list::plan(world, ca, None)?;
    let waiting = query::unlisted_generations(world.ledger.connection())?;
    let tells: Vec<GenerationId> =
        waiting.into_iter().filter(|(issuer, _)| *issuer == ca.id).map(|(_, generation)| generation).collect();
    let params = IssueCrl { generation: ca.id.clone(), crl: list.crl.clone(), tells };
    let mut request = world.request(ca.id.to_string(), params);
    request.signatures = vec![list.covered.clone()];
    let permit = act::admit(world, consent, request)?;
    let published = list.sign(&world.store, &permit);
    world.ui().detail(&format!("time of the list: {}", list.laps()));
    act::close_for_evidence(world, permit, published)
}

/// What follows lists and revocations: evidence, marks that are told of, the public register, a checkpoint. All of it is
/// made again by `recover` if the ledger key cannot be reached now, so that is a warning.
///
/// # Errors
/// `published/` cannot be written.
pub(crate) fn finish(world: &mut World, receipts: &[Receipt], worst: &mut Worst) -> Result<()> {
    let told = marks::tell(world)?;
    let receipts: Vec<_> = receipts.iter().chain(&told).cloned().collect();
    let evidence = world.fragments(&receipts).map(drop).and_then(|()| world.checkpoint().map(drop));
    if let Err(error) = evidence {
        worst.add(if error.kind() == Kind::Bug { Kind::Bug } else { Kind::Unavailable });
        world.ui().error(&error.about("done and recorded, but there is no evidence yet").hint("keyctl recover"));
    }
    register::register(world)
}
