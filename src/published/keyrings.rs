//! The keyrings that clients of APT repositories get, with everything that belongs to them.

use crate::config::{Archive, Issuer, Key, Settings};
use crate::error::{Error, Result};
use crate::files::safe;
use crate::formats::apt::published::{self, Package, Publication, SignedBy, Source};
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::model::{GenerationId, Hash256, KeyName, Purpose};
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::pki::openpgp::ending::{self, Ended};
use crate::pki::openpgp::road;
use crate::policy::{Gate, gates};
use crate::request::PublishKeyring;
use crate::world::{World, act, small};
use std::path::PathBuf;

/// `common_name <email>`.
pub(crate) fn user_id(name: &KeyName, key: &Key) -> Result<String> {
    let missing = |what: &str| Error::usage("no_user_id", format!("keys.{name}.subject has no {what}"));
    let subject = key.subject.as_ref().ok_or_else(|| missing("common_name"))?;
    let email = subject.email.as_ref();
    let email = email.ok_or_else(|| missing("email").hint("a User ID is common_name <email>"))?;
    Ok(format!("{} <{email}>", subject.common_name))
}

/// The generations of an APT key that belong into its keyring: all that were ever certified. Old ones stay, since
/// what they signed is still out there.
fn in_keyring(all: &[Generation], key: &KeyName) -> Vec<Generation> {
    let certified = |generation: &&Generation| generation.id.key == *key && generation.purpose == Purpose::Apt;
    all.iter().filter(certified).filter(|generation| generation.credential().is_some()).cloned().collect()
}

/// The certificates of an APT key, as they are published.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn certificates(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
    let all = query::generations(world.ledger.connection())?;
    merged(world, &all, &in_keyring(&all, key))
}

/// What the register knows of these generations' certificates. The primary keys' own records are part of it: they say
/// whether the whole certificate is revoked.
fn merged(world: &World, all: &[Generation], generations: &[Generation]) -> Result<Vec<Certificate>> {
    let mut known: Vec<&Generation> = generations.iter().collect();
    for generation in generations {
        let primary = query::issuer(world.ledger.connection(), &generation.id)?;
        known.extend(all.iter().filter(|other| Some(&other.id) == primary.as_ref()));
    }
    road::merged(known.into_iter().filter_map(Generation::credential))
}

/// The name of the keyring file within `published/`.
pub(crate) fn keyring_file(key: &KeyName) -> String {
    format!("apt/{key}.pgp")
}

fn keyring_path(world: &World, key: &KeyName) -> PathBuf {
    world.dir.join("published").join(keyring_file(key))
}

/// SHA-256 of the published keyring file as it is; `None` when there is none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn keyring_hash(world: &World, key: &KeyName) -> Result<Option<Hash256>> {
    let path = keyring_path(world, key);
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => Ok(Some(Hash256::of(&safe::read_bounded(&path, MAX_KEYRING as u64)?))),
    }
}

/// The certificates in the published keyring of an APT key.
///
/// # Errors
/// It cannot be read.
pub(crate) fn published_keyring(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
    Certificate::parse_all(&safe::read_bounded(&keyring_path(world, key), MAX_KEYRING as u64)?)
}

/// Every published keyring of this workspace.
///
/// # Errors
/// One cannot be read.
pub(crate) fn published_keyrings(world: &World) -> Result<Vec<Certificate>> {
    let mut all = Vec::new();
    for key in apt_keys(&query::generations(world.ledger.connection())?) {
        let path = keyring_path(world, &key);
        if path.try_exists().unwrap_or(true) {
            all.extend(Certificate::parse_all(&safe::read_bounded(&path, MAX_KEYRING as u64)?)?);
        }
    }
    Ok(all)
}

fn apt_keys(all: &[Generation]) -> Vec<KeyName> {
    let mut names: Vec<_> =
        all.iter().filter(|generation| generation.purpose == Purpose::Apt).map(|g| g.id.key.clone()).collect();
    names.dedup();
    names
}

/// The gate `KeyringPublished`, as it stands now.
///
/// # Errors
/// The ledger or the published file cannot be read.
pub(crate) fn keyring_gate(world: &World, generation: &Generation, settings: &Settings) -> Result<Gate> {
    let recorded = query::keyring(world.ledger.connection(), &generation.id.key)?;
    let file = keyring_hash(world, &generation.id.key)?.map(|hash| hash.to_string());
    let days = settings.rotation.publish_safety_days;
    let now = world.globals.clock.now();
    Ok(gates::keyring_published(generation, recorded.as_ref(), file.as_deref(), days, now))
}

/// Publishes the keyrings that are not in place as they should be, and records it: the waiting time of their keys
/// counts from then. Says whether there were any.
///
/// # Errors
/// `published/apt` cannot be written; the gate refuses.
pub(crate) fn publish(world: &mut World) -> Result<bool> {
    let all = query::generations(world.ledger.connection())?;
    let mut any = false;
    for key in apt_keys(&all) {
        let generations = in_keyring(&all, &key);
        let Some(newest) = generations.last() else { continue };
        if let Some(id) = unfinished_revocation(world, &generations)? {
            // The published keyring may say so already, and must not be made to forget it.
            world.ui().warn(&format!("the keyring of {key} waits for the revocation of {id}; keyctl recover"));
            continue;
        }
        any |= publish_one(world, &key, newest, &merged(world, &all, &generations)?)?;
    }
    Ok(any)
}

/// A revocation that is decided and that the register's certificates do not have yet.
fn unfinished_revocation(world: &World, generations: &[Generation]) -> Result<Option<GenerationId>> {
    let conn = world.ledger.connection();
    for generation in generations {
        for id in [Some(generation.id.clone()), query::issuer(conn, &generation.id)?].into_iter().flatten() {
            if query::revocation(conn, &id)?.is_some_and(|revocation| revocation.told.is_none()) {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

/// Publishes every keyring that has the certificate of a revoked key, with the revocation in it, and reads it back. The
/// register learns of the revocation afterwards, and then [`publish`] records the keyring.
///
/// # Errors
/// The keyring cannot be written, or does not say what it should.
pub(crate) fn publish_ended(world: &World, revoked: &Generation, ended: &Ended) -> Result<()> {
    let mut all = query::generations(world.ledger.connection())?;
    for generation in all.iter_mut().filter(|generation| generation.id == revoked.id) {
        for identity in generation.identities.iter_mut().take(1) {
            identity.credential = Some(ended.credential().clone());
        }
    }
    let Credential::OpenPgp { fingerprint, .. } = ended.credential() else {
        return Err(Error::bug("an X.509 certificate is in no keyring"));
    };
    let (fingerprint, now) = (fingerprint.to_uppercase(), world.globals.clock.now());
    for key in apt_keys(&all) {
        let generations = in_keyring(&all, &key);
        let Some(newest) = generations.last() else { continue };
        let certificates = merged(world, &all, &generations)?;
        let mut concerned = false;
        for certificate in &certificates {
            concerned |= ending::is_revoked(certificate, &fingerprint, now)?;
        }
        if !concerned {
            continue;
        }
        with_publication(world, &key, newest, &certificates, |publication| {
            publication.publish(&world.dir.join("published/apt"))
        })?;
        let mut says = false;
        for certificate in Certificate::parse_all(&safe::read_bounded(&keyring_path(world, &key), MAX_KEYRING as u64)?)?
        {
            says |= ending::is_revoked(&certificate, &fingerprint, now)?;
        }
        if !says {
            let message = format!("the published keyring of {key} does not say that {} is revoked", revoked.id);
            return Err(Error::failed("keyring_changed", message));
        }
    }
    Ok(())
}

/// The certificate of a published keyring that says that this key is revoked, if one does: what a process that was
/// killed behind the writing left.
///
/// # Errors
/// A published keyring cannot be read.
pub(crate) fn published_ending(world: &World, revoked: &Generation) -> Result<Option<Ended>> {
    let Some(credential @ Credential::OpenPgp { certificate, .. }) = revoked.credential() else { return Ok(None) };
    let (known, now) = (Certificate::parse(certificate)?, world.globals.clock.now());
    for published in published_keyrings(world)? {
        if published.fingerprint() == known.fingerprint() {
            match Ended::of(&known.clone().merge(published)?, credential, now) {
                Ok(ended) => return Ok(Some(ended)),
                Err(error) if error.code() == "not_revoked" => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

fn publish_one(world: &mut World, key: &KeyName, newest: &Generation, certificates: &[Certificate]) -> Result<bool> {
    let now = world.globals.clock.now();
    let mut fingerprints = Vec::new();
    for certificate in certificates {
        let description = certificate.describe(now)?;
        fingerprints.extend(description.keys.iter().map(|key| key.fingerprint.to_lowercase()));
    }
    let dir = world.dir.join("published/apt");
    let recorded = query::keyring(world.ledger.connection(), key)?.map(|recorded| recorded.sha256);
    let (sha256, in_place) = with_publication(world, key, newest, certificates, |publication| {
        Ok((Hash256::of(&publication.keyring.binary), publication.is_in_place(&dir)))
    })?;
    if recorded == Some(sha256) && in_place {
        return Ok(false);
    }
    let params = PublishKeyring { generation: newest.id.clone(), sha256, fingerprints };
    let request = world.request(key.to_string(), params);
    let permit = act::admit(world, request)?;
    let written = with_publication(world, key, newest, certificates, |publication| publication.publish(&dir));
    act::close(world, permit, written.map_err(Into::into))?;
    Ok(true)
}

/// Puts together what is published for a key, and does something with it.
fn with_publication<T>(
    world: &World,
    key: &KeyName,
    newest: &Generation,
    certificates: &[Certificate],
    then: impl FnOnce(&Publication<'_>) -> Result<T>,
) -> Result<T> {
    let maintainer = match world.config.keys.get(key).map(|key| &key.issuer) {
        Some(Issuer::Key(primary)) => user_id(primary, &small::setting(&world.config.adopted(), primary)?)?,
        _ => return Err(Error::usage("unknown_key", format!("there is no [keys.{key}] with an issuer"))),
    };
    let package = format!("{}-keyring", key.as_str().replace('_', "-"));
    then(&Publication {
        name: key.as_str(),
        keyring: published::keyring(certificates)?,
        package: Package {
            name: &package,
            version: &format!("{}.{}", world.globals.clock.now().format("%Y.%m.%d"), newest.id.number),
            maintainer: &maintainer,
            description: &format!("OpenPGP keys of {}", world.config.organization.name),
        },
        sources: sources(world, key, &package)?,
    })
}

/// What clients put into `/etc/apt/sources.list.d`, where the settings say where the archive is.
fn sources(world: &World, key: &KeyName, package: &str) -> Result<Option<String>> {
    let archive = world.config.keys.get(key).and_then(|key| key.archive.as_ref());
    let Some(Archive { uri, suite, components }) = archive else { return Ok(None) };
    let components: Vec<_> = components.iter().map(String::as_str).collect();
    let source =
        Source { types: &["deb"], uris: &[uri], suites: &[suite], components: &components, architectures: &[] };
    let keyring = format!("/usr/share/keyrings/{package}.pgp");
    published::sources(&source, SignedBy::Path(&keyring)).map(Some)
}
