//! How a stranger sees a key: from the files in `published/`, and nothing else.

use crate::error::{Error, Result};
use crate::files::safe;
use crate::keys::rotation::{certificate_file, link_file};
use crate::keys::{Credential, Generation};
use crate::ledger::query::rotation as recorded;
use crate::lifecycle::certify;
use crate::model::{GenerationId, Purpose};
use crate::pki::certificate::MAX_CERTIFICATE;
use crate::pki::lint::Origin;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::pem;
use crate::pki::profile::ProfileName;
use crate::pki::proof::{AsPublished, Standing};
use crate::pki::published::Files;
use crate::published::{certificates, keyring_files, lists};
use crate::world::World;

/// No chain of ours is longer.
const MAX_CHAIN: usize = 8;

/// The files that verifiers need of a generation: its certificate, and for a root those between it and the active one.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn files(world: &World, generation: &Generation, active: Option<&Generation>) -> Result<Files> {
    let mut files = Files::new();
    let Some(Credential::X509 { certificate, .. }) = generation.credential() else { return Ok(files) };
    files.insert(certificate_file(&generation.id), certificates::pem(certificate)?.into_bytes());
    let Some(active) = active.filter(|_| generation.purpose == Purpose::RootCa) else { return Ok(files) };
    for link in recorded::root_links(world.ledger.connection(), &generation.id.key)? {
        let between = [&link.subject, &link.issuer];
        if let (true, Credential::X509 { certificate, .. }) =
            (between.contains(&&generation.id) && between.contains(&&active.id), &link.credential)
        {
            files.insert(link_file(&link.subject, &link.issuer), certificates::pem(certificate)?.into_bytes());
        }
    }
    Ok(files)
}

/// How verifiers see a generation that is to take over from the active one.
///
/// # Errors
/// No chain holds; a file is missing, or is not what the register has.
pub(crate) fn of(world: &World, generation: &Generation, active: Option<&Generation>) -> Result<Standing> {
    let at = world.globals.clock.now();
    match generation.credential() {
        Some(Credential::X509 { certificate, .. }) => of_certificate(world, generation, active, certificate),
        Some(Credential::OpenPgp { certificate, fingerprint, .. }) => {
            // A primary key is published with the first subkey that it binds.
            let keyring = match generation.purpose {
                Purpose::Apt => keyring_files::published_keyring(world, &generation.id.key)?,
                _ => vec![Certificate::parse(certificate)?],
            };
            Standing::of_openpgp(&keyring, fingerprint, at)
        }
        None => Err(Error::blocked("no_certificate", format!("{} has no certificate", generation.id))),
    }
}

fn of_certificate(
    world: &World,
    generation: &Generation,
    active: Option<&Generation>,
    certificate: &[u8],
) -> Result<Standing> {
    let leaf = read(world, &certificate_file(&generation.id))?;
    if leaf != certificate {
        let message = format!("the published certificate of {} is not the one in the register", generation.id);
        return Err(Error::failed("publication_changed", message));
    }
    let (candidates, roots) = around(world, generation)?;
    let crls = lists::all(&world.dir.join("published/crl"))?;
    let ours = matches!(generation.credential(), Some(Credential::X509 { issued_by: Some(_), .. }));
    let published = AsPublished {
        certificate: &leaf,
        profile: certify::profile(world, &generation.id.key, generation.purpose)?,
        candidates: &candidates,
        roots: &roots,
        crls: &crls,
        origin: if ours { Origin::Issued } else { Origin::Imported },
        environment: world.genesis.environment,
        at: world.globals.clock.now(),
    };
    let standing = Standing::of_certificate(&published)?;
    let Some(old) = active.filter(|_| generation.purpose == Purpose::RootCa) else { return Ok(standing) };
    // Who trusts only one of the two roots gets to the other one.
    let linked = |subject: &GenerationId, issuer: &GenerationId| {
        let certificate = read(world, &link_file(subject, issuer))?;
        let roots = [published_certificate(world, issuer)?];
        let link = AsPublished {
            certificate: &certificate,
            profile: ProfileName::RootLink,
            candidates: &[],
            roots: &roots,
            ..published
        };
        Standing::of_certificate(&link)
    };
    linked(&old.id, &generation.id)?;
    // The way of everyone who has not heard of the new root yet.
    Ok(standing.by_way_of(linked(&generation.id, &old.id)?))
}

/// DER certificates.
type Certificates = Vec<Vec<u8>>;

/// The certificates above a generation's, and whom to trust.
fn around(world: &World, generation: &Generation) -> Result<(Certificates, Certificates)> {
    let mut at = generation.clone();
    let mut between = Vec::new();
    for _ in 0..MAX_CHAIN {
        let Some(Credential::X509 { certificate, issued_by, chain, .. }) = at.credential() else {
            return Err(Error::blocked("no_certificate", format!("{} has no X.509 certificate", at.id)));
        };
        match issued_by {
            // An issuer outside: its root was checked when the certificate was taken in, and is not kept. What is next to
            // it is trusted in its place.
            None => {
                let anchor = chain.last().unwrap_or(certificate).clone();
                between.extend(chain.iter().cloned());
                return Ok((between, vec![anchor]));
            }
            Some(issuer) if *issuer == at.id => return Ok((between, vec![published_certificate(world, &at.id)?])),
            Some(issuer) => {
                let issuer = issuer.clone();
                between.push(published_certificate(world, &issuer)?);
                at = world.generation(&issuer)?;
            }
        }
    }
    Err(Error::failed("chain_too_complex", format!("{} has too many issuers above it", generation.id)))
}

fn published_certificate(world: &World, id: &GenerationId) -> Result<Vec<u8>> {
    read(world, &certificate_file(id))
}

/// The one certificate in a published file.
fn read(world: &World, name: &str) -> Result<Vec<u8>> {
    let path = world.dir.join("published").join(name);
    let pem = safe::read_bounded(&path, 2 * MAX_CERTIFICATE as u64)?;
    let mut list = pem::decode(pem::label::CERTIFICATE, &pem, 1).map_err(|error| error.about(name))?;
    list.pop().ok_or_else(|| Error::failed("publication_changed", format!("published/{name} holds no certificate")))
}
