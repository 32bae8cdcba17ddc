//! Which key signs, and which certificates go along.

use super::options::Signer;
use crate::error::{Error, Result};
use crate::keys::{Credential, Generation, State};
use crate::ledger::query;
use crate::ledger::query::rotation::RootLink;
use crate::model::{GenerationId, KeyName, Purpose};
use crate::world::World;

/// The named key, or the only active one for this purpose.
///
/// # Errors
/// None fits, or several.
pub(super) fn key(world: &World, asked: Option<&KeyName>, purpose: Purpose) -> Result<KeyName> {
    if let Some(key) = asked {
        return Ok(key.clone());
    }
    let fitting: Vec<_> = query::generations(world.ledger.connection())?
        .into_iter()
        .filter(|generation| generation.purpose == purpose && generation.state == State::Active)
        .map(|generation| generation.id.key)
        .collect();
    match fitting.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            Err(Error::blocked("no_active_key", format!("there is no active key for {purpose}")).hint("keyctl status"))
        }
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Error::usage("several_keys", format!("several active keys are for {purpose}: {}", names.join(", ")))
                .hint(format!("keyctl sign --key {}", names.first().map_or("", String::as_str))))
        }
    }
}

/// A generation with the certificate chain that goes into the signature: the leaf and its intermediates, without the
/// root.
///
/// # Errors
/// It has no X.509 certificate.
pub(super) fn signer(world: &World, generation: &Generation) -> Result<Signer> {
    let mut chain = Vec::new();
    let mut at = generation.clone();
    for _ in 0..8 {
        let identity = at.identity()?;
        let Some(Credential::X509 { certificate, issued_by, chain: handed_in, .. }) = &identity.credential else {
            return Err(Error::blocked("no_certificate", format!("{} has no X.509 certificate", at.id)));
        };
        let own = issued_by.as_ref() == Some(&at.id);
        if !own {
            chain.push(certificate.clone());
            chain.extend(handed_in.iter().cloned());
        }
        match issued_by {
            Some(issuer) if !own => at = world.generation(issuer)?,
            _ => break,
        }
    }
    chain.extend(older_roots(world, &at.id)?);
    let identity = generation.identity()?.clone();
    let copy = generation.copy()?.clone();
    Ok(Signer { generation: generation.id.clone(), identity, copy, chain })
}

/// The way from a root to those it took over from, for verifiers that trust only one of them: a certificate for its
/// public key by each, as long as that is valid.
fn older_roots(world: &World, root: &GenerationId) -> Result<Vec<Vec<u8>>> {
    let links = query::rotation::root_links(world.ledger.connection(), &root.key)?;
    let (now, mut at, mut chain) = (world.globals.clock.now(), root.clone(), Vec::new());
    for _ in 0..4 {
        let link = links.iter().find(|link| link.subject == at && link.issuer.number < at.number);
        let Some(RootLink { issuer, credential: Credential::X509 { certificate, not_after, .. }, .. }) = link else {
            break;
        };
        if *not_after < now {
            break;
        }
        chain.push(certificate.clone());
        at = issuer.clone();
    }
    Ok(chain)
}
