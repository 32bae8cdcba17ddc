//! Where rotation meets its neighbours. Each function is the whole of what it asks of them.

use super::{pipeline, revoke};
use crate::config::{Issuer, RevokeRetired, Settings};
use crate::error::Result;
use crate::keys::{Generation, State};
use crate::model::GenerationId;
use crate::world::World;

/// Whether a pipeline's configuration still names the predecessor although it should name the successor.
///
/// # Errors
/// A configuration file cannot be read.
pub(super) fn pipelines_pending(
    world: &World,
    successor: &Generation,
    predecessor: Option<&Generation>,
) -> Result<bool> {
    // What a pipeline names is a certificate; before there is one, nothing can be named.
    if successor.credential().is_none() {
        return Ok(false);
    }
    pipeline::is_pending(world, successor, predecessor)
}

/// Names the successor in the pipelines' configuration.
///
/// # Errors
/// A configuration file cannot be edited.
pub(super) fn update_pipelines(
    world: &mut World,
    successor: &Generation,
    predecessor: Option<&Generation>,
) -> Result<()> {
    pipeline::update(world, successor, predecessor).map(drop)
}

/// Retired generations whose certificates are still to be revoked as superseded, by `rotation.revoke_retired`: those
/// that a CA of this workspace has a list for.
///
/// # Errors
/// The register cannot be read.
pub(super) fn superseded(world: &World, generations: &[Generation], settings: &Settings) -> Result<Vec<GenerationId>> {
    let mut found = Vec::new();
    if settings.rotation.revoke_retired == RevokeRetired::Never {
        return Ok(found);
    }
    for generation in generations.iter().filter(|generation| generation.state == State::Retired) {
        let is_ours = settings.keys.get(&generation.id.key).is_some_and(|key| matches!(key.issuer, Issuer::Key(_)));
        if is_ours && revoke::can_be_listed(world, generation)? {
            found.push(generation.id.clone());
        }
    }
    Ok(found)
}

/// Revokes one as superseded, as of its retirement. The caller holds the key's lock.
///
/// # Errors
/// As revocation.
pub(super) fn revoke_superseded(world: &mut World, id: &GenerationId) -> Result<()> {
    revoke::supersede(world, id)
}
