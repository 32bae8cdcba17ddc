//! Where a CA's revocation list is published.

use crate::error::{Error, Result};
use crate::keys::Generation;
use crate::model::GenerationId;
use crate::pki::certificate::Certificate;
use crate::world::World;
use std::path::PathBuf;

/// Where a CA's list is published.
pub fn path(world: &World, ca: &GenerationId) -> PathBuf {
    world.dir.join("published/crl").join(format!("{}-{}.crl", ca.key, ca.number))
}

/// The certificate of a CA.
///
/// # Errors
/// It has none.
pub fn certificate(ca: &Generation) -> Result<Certificate> {
    let none = || Error::blocked("no_certificate", format!("{} has no X.509 certificate", ca.id));
    Certificate::parse(ca.identity()?.x509().ok_or_else(none)?)
}
