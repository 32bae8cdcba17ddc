//! Where a CA's revocation list is published, and the lists that are there.

use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::keys::Generation;
use crate::model::GenerationId;
use crate::pki::certificate::Certificate;
use crate::pki::crl::{Crl, MAX_CRL};
use crate::pki::pem;
use crate::world::World;
use std::path::{Path, PathBuf};

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

/// One list, as DER or PEM.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<Crl> {
    let read = || {
        let blocks = pem::decode(pem::label::CRL, &safe::read_bounded(path, MAX_CRL as u64)?, 1)?;
        Crl::parse(&blocks.concat())
    };
    read().map_err(|error| error.about(shown_path(path)))
}

/// Every `*.crl` of the folder, by name.
///
/// # Errors
/// One of them is no list.
pub fn all(folder: &Path) -> Result<Vec<Crl>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "crl"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}
