//! What belongs to a revocation because others may have the key: since when, and which artifacts depend on it.

use crate::clock::Time;
use crate::error::Result;
use crate::gate::{Consent, step};
use crate::keys::{Generation, RevocationReason, Terms};
use crate::ledger::query;
use crate::lifecycle::revocation::revoking::{Revoking, plain};
use crate::lifecycle::revocation::tell::carry_out;
use crate::lifecycle::revocation::terms;
use crate::model::GenerationId;
use crate::people::request::Step;
use crate::world::World;

/// A compromise, as a step of the runbook says it.
pub(crate) struct Compromise<'a> {
    /// Since when, if that is known.
    pub since: Option<Time>,
    /// How the external issuer was told, if there is one.
    pub reference: &'a str,
    /// What was planned, once it is consented to.
    pub planned: Option<Terms>,
}

/// How far a revocation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The register does not say so yet.
    Open,
    /// It does, and others cannot know yet.
    Decided,
    /// They can.
    Announced,
}

impl Compromise<'_> {
    /// Revokes a generation; says how verifiers learn of it.
    ///
    /// # Errors
    /// As [`run`].
    pub fn revoke(&self, world: &mut World, consent: &Consent, id: &GenerationId) -> Result<String> {
        let _lock = world.lock_key(&id.key)?;
        let revoking = self.resolve(world, id)?;
        // Once more where it is done already: a list counts when it is where verifiers look.
        carry_out(world, consent, &revoking, true)?;
        Ok(format!("{id} for {}: {}", revoking.terms.reason, revoking.way.explain()))
    }

    /// How far it has come.
    ///
    /// # Errors
    /// The register has it revoked with words that this does not sharpen; the time cannot be.
    pub fn check(&self, world: &World, id: &GenerationId) -> Result<Stage> {
        let generation = world.generation(id)?;
        let recorded = query::revocation(world.ledger.connection(), id)?;
        let terms = terms::resolve(world, &generation, recorded.as_ref(), self.why(&generation), self.planned)?;
        Ok(match recorded.filter(|recorded| recorded.terms == terms) {
            None => Stage::Open,
            Some(recorded) if recorded.told.is_none() => Stage::Decided,
            Some(_) => Stage::Announced,
        })
    }

    /// That step as people see it.
    ///
    /// # Errors
    /// As [`run`], before anything is done.
    pub fn step(&self, world: &World, id: &GenerationId) -> Result<Step> {
        step(id.to_string(), &self.resolve(world, id)?.params())
    }

    fn resolve(&self, world: &World, id: &GenerationId) -> Result<Revoking> {
        let why = self.why(&world.generation(id)?);
        plain(world, id, why, Some(self.reference), self.planned)
    }

    fn why(&self, generation: &Generation) -> (RevocationReason, Option<Time>) {
        let is_ca = generation.purpose.is_ca();
        (if is_ca { RevocationReason::CaCompromise } else { RevocationReason::KeyCompromise }, self.since)
    }
}
