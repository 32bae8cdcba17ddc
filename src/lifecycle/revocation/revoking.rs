//! A revocation, worked out: of which generation, for which reason, as of when, and who tells it.

use crate::clock::Time;
use crate::config::policy::Operation as Rule;
use crate::error::Result;
use crate::gate::{Plan, step};
use crate::keys::{Generation, Revocation, RevocationReason, Terms};
use crate::ledger::query;
use crate::lifecycle::revocation::channel::{self, Channel};
use crate::lifecycle::revocation::terms;
use crate::model::GenerationId;
use crate::people::request::BreakGlass;
use crate::request::{Request, RevokeKey};
use crate::world::World;

/// A revocation, fully worked out.
pub(crate) struct Revoking {
    pub(crate) generation: Generation,
    pub(crate) terms: Terms,
    pub(crate) way: Channel,
    pub(crate) reference: Option<String>,
    /// The revocation certificate that was put aside.
    pub(crate) put_aside: Option<String>,
    /// What the register has already.
    pub(crate) recorded: Option<Revocation>,
}

impl Revoking {
    /// The register says this already.
    pub(crate) fn is_decided(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| recorded.terms == self.terms)
    }

    /// And so does everything that tells others.
    pub(crate) fn is_done(&self) -> bool {
        self.is_decided() && self.recorded.as_ref().is_some_and(|recorded| recorded.told.is_some())
    }

    /// What is going to be done. Who continues what was decided only tells it, as whoever issues a list does.
    ///
    /// # Errors
    /// Who tells it is on no token.
    pub(crate) fn plan(&self, command: Vec<String>, break_glass: Option<BreakGlass>) -> Result<Plan> {
        let object = self.generation.id.to_string();
        Ok(Plan {
            rule: if self.is_decided() { Rule::Crl } else { Rule::Revoke },
            steps: if self.is_done() { Vec::new() } else { vec![step(object.clone(), &self.params())?] },
            object,
            command,
            break_glass,
        })
    }

    /// The parameters, without what is only known when it is made.
    pub(crate) fn params(&self) -> RevokeKey {
        RevokeKey {
            generation: self.generation.id.clone(),
            issuer: match &self.way {
                Channel::List(issuer) | Channel::Keyring(issuer) => Some(issuer.id.clone()),
                Channel::Register(_) => None,
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

pub(crate) fn bare_request(world: &World, revoking: &Revoking) -> Request<RevokeKey> {
    world.request(revoking.generation.id.to_string(), revoking.params())
}

/// Whether a list of ours can say that a generation is revoked.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn can_be_listed(world: &World, generation: &Generation) -> Result<bool> {
    if generation.identities.first().is_none_or(|identity| identity.x509().is_none()) {
        return Ok(false);
    }
    Ok(matches!(channel::of(world, generation, None), Ok(Channel::List(_))))
}

/// `reference` is for an external issuer; nobody else gets it.
pub(crate) fn plain(
    world: &World,
    id: &GenerationId,
    why: (RevocationReason, Option<Time>),
    reference: Option<&str>,
    planned: Option<Terms>,
) -> Result<Revoking> {
    let generation = world.generation(id)?;
    let recorded = query::revocation(world.ledger.connection(), id)?;
    let terms = terms::resolve(world, &generation, recorded.as_ref(), why, planned)?;
    let reference = reference.filter(|_| channel::is_external(&generation));
    let way = channel::of(world, &generation, reference)?;
    Ok(Revoking { generation, terms, way, reference: reference.map(str::to_owned), put_aside: None, recorded })
}
