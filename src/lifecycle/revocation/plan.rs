//! …

use crate::clock::Time;
use crate::error::Result;
use crate::keys::{Generation, Revocation, RevocationReason, Terms};
use crate::ledger::query;
use crate::lifecycle::revocation::channel::{self, Way};
use crate::lifecycle::revocation::terms;
use crate::model::GenerationId;
use crate::request::{Request, RevokeKey};
use crate::world::World;

/// A revocation, fully worked out.
pub(crate) struct Plan {
    pub(crate) generation: Generation,
    pub(crate) terms: Terms,
    pub(crate) way: Way,
    pub(crate) reference: Option<String>,
    /// The revocation certificate that was put aside.
    pub(crate) put_aside: Option<String>,
    /// What the register has already.
    pub(crate) recorded: Option<Revocation>,
}

impl Plan {
    /// The register says this already.
    pub(crate) fn is_decided(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| recorded.terms == self.terms)
    }

    /// And so does everything that tells others.
    pub(crate) fn is_done(&self) -> bool {
        self.is_decided() && self.recorded.as_ref().is_some_and(|recorded| recorded.told.is_some())
    }

    /// The parameters, without what is only known when it is made.
    pub(crate) fn params(&self) -> RevokeKey {
        RevokeKey {
            generation: self.generation.id.clone(),
            issuer: match &self.way {
                Way::List(issuer) | Way::Keyring(issuer) => Some(issuer.id.clone()),
                Way::Register(_) => None,
            },
            reason: self.terms.reason,
            revocation_date: self.terms.revocation_date,
            invalidity_date: self.terms.invalidity_date,
            reference: self.reference.clone(),
            crl: None,
            plan: None,
        }
    }
}

pub(crate) fn bare_request(world: &World, plan: &Plan) -> Request<RevokeKey> {
    world.request(plan.generation.id.to_string(), plan.params())
}

/// Whether a list of ours can say that a generation is revoked.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn can_be_listed(world: &World, generation: &Generation) -> Result<bool> {
    if generation.identities.first().is_none_or(|identity| identity.x509().is_none()) {
        return Ok(false);
    }
    Ok(matches!(channel::of(world, generation, None), Ok(Way::List(_))))
}

/// `reference` is for an external issuer; nobody else gets it.
pub(crate) fn plain(
    world: &World,
    id: &GenerationId,
    why: (RevocationReason, Option<Time>),
    reference: Option<&str>,
) -> Result<Plan> {
    let generation = world.generation(id)?;
    let recorded = query::revocation(world.ledger.connection(), id)?;
    let terms = terms::resolve(world, &generation, recorded.as_ref(), why)?;
    let reference = reference.filter(|_| channel::is_external(&generation));
    let way = channel::of(world, &generation, reference)?;
    Ok(Plan { generation, terms, way, reference: reference.map(str::to_owned), put_aside: None, recorded })
}
