//! Revocations that were decided and that verifiers were not told of.

use crate::error::{Kind, Result};
use crate::gate::Consent;
use crate::ledger::query;
use crate::lifecycle::lists::issue;
use crate::lifecycle::revocation::tell;
use crate::outcome::Receipt;
use crate::ui::Worst;
use crate::world::World;

/// Tells what was decided and not told. What keeps one revocation from being told is a warning, and exit 3.
///
/// # Errors
/// The ledger cannot be read or written.
pub(crate) fn go_on(world: &mut World, worst: &mut Worst) -> Result<Vec<Receipt>> {
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
            let told = tell::go_on(world, revocation, &stop);
            take(world, told, worst);
        }
    }
    let mut issuers: Vec<_> = query::unlisted_generations(world.ledger.connection())?;
    issuers.dedup_by(|(one, _), (other, _)| one == other);
    for (issuer, _) in issuers {
        let ca = world.generation(&issuer)?;
        if issue::can_list(&ca, world.globals.clock.now()) {
            let issued =
                world.lock_key(&issuer.key).and_then(|_lock| issue::issue(world, &Consent::of_consequence(), &ca));
            take(world, issued.map(|receipt| vec![receipt]), worst);
        }
    }
    Ok(receipts)
}
