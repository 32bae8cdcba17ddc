//! Certificates as others get them: PEM files in `published/certs`.

use crate::error::Result;
use crate::files::safe;
use crate::keys::rotation::{certificate_file, link_file};
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::pki::pem;
use crate::pki::published::{self, Files};
use crate::world::World;

/// Publishes a generation's certificate.
pub(crate) fn certificate(world: &World, generation: &Generation) -> Result<()> {
    let Some(Credential::X509 { certificate, .. }) = generation.credential() else {
        return Ok(());
    };
    let path = world.dir.join("published").join(certificate_file(&generation.id));
    safe::write_atomic(&path, pem(certificate)?.as_bytes(), 0o644).map(drop)
}

/// A certificate as it is published.
pub(crate) fn pem(certificate: &[u8]) -> Result<String> {
    pem::encode(pem::label::CERTIFICATE, certificate)
}

/// Writes the published certificates again that are not there, or are not what the register has.
pub(crate) fn certificates(world: &World) -> Result<()> {
    let mut files = Files::new();
    for generation in query::generations(world.ledger.connection())? {
        if let Some(Credential::X509 { certificate, .. }) = generation.credential() {
            files.insert(certificate_file(&generation.id), pem(certificate)?.into_bytes());
        }
    }
    for link in query::rotation::all_root_links(world.ledger.connection())? {
        if let Credential::X509 { certificate, .. } = &link.credential {
            files.insert(link_file(&link.subject, &link.issuer), pem(certificate)?.into_bytes());
        }
    }
    let dir = world.dir.join("published");
    files.retain(|name, bytes| !published::is_in_place(&dir, name, bytes));
    for name in files.keys().filter(|name| dir.join(name).symlink_metadata().is_ok()) {
        world
            .ui()
            .warn(&format!("published/{name}: it is not what the ledger says; it was put back as the ledger has it"));
    }
    published::put(&dir, &files).map(drop)
}
