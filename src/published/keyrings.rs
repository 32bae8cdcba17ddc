//! The keyrings that clients of APT repositories get, with everything that belongs to them.

use crate::config::{Archive, Issuer, Key};
use crate::error::{Error, Result};
use crate::files::safe;
use crate::formats::apt::package::Package;
use crate::formats::apt::published::{self, SignedBy, Source};
use crate::gate::Consent;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::model::{GenerationId, Hash256, KeyName};
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::pki::openpgp::ending::{self, Ended};
use crate::published::keyring_files::{KeyringFiles, apt_keys, in_keyring, keyring_path, merged, published_keyrings};
use crate::request::PublishKeyring;
use crate::world::{World, act};

/// `common_name <email>`.
pub(crate) fn user_id(name: &KeyName, key: &Key) -> Result<String> {
    let missing = |what: &str| Error::usage("no_user_id", format!("keys.{name}.subject has no {what}"));
    let subject = key.subject.as_ref().ok_or_else(|| missing("common_name"))?;
    let email = subject.email.as_ref();
    let email = email.ok_or_else(|| missing("email").hint("a User ID is common_name <email>"))?;
    Ok(format!("{} <{email}>", subject.common_name))
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
        if generations.is_empty() {
            continue;
        }
        let certificates = merged(world, &all, &generations)?;
        let mut concerned = false;
        for certificate in &certificates {
            concerned |= ending::is_revoked(certificate, &fingerprint, now)?;
        }
        if !concerned {
            continue;
        }
        with_publication(world, &key, &certificates, |publication| {
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

/// What is published for an APT key, as the register has it.
pub(crate) struct Expected {
    pub keyring: published::Keyring,
    /// The keyring package's name, and its control file.
    pub package: String,
    pub control: String,
    pub sources: Option<String>,
}

/// What has to be published for an APT key; `None` if nothing is certified.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn expected(world: &World, key: &KeyName) -> Result<Option<Expected>> {
    let all = query::generations(world.ledger.connection())?;
    let generations = in_keyring(&all, key);
    if generations.is_empty() {
        return Ok(None);
    }
    let certificates = merged(world, &all, &generations)?;
    let expected = with_publication(world, key, &certificates, |files| {
        Ok(Expected {
            keyring: files.keyring.clone(),
            package: files.package.name.to_owned(),
            control: files.package.control()?,
            sources: files.sources.clone(),
        })
    });
    expected.map(Some)
}

/// Writes the keyring files of the key that a published file belongs to again, as they were recorded. Says whether that
/// could be done: not while the register and what was recorded differ.
///
/// # Errors
/// `published/apt` cannot be written.
pub(crate) fn put_back(world: &World, path: &str) -> Result<bool> {
    let all = query::generations(world.ledger.connection())?;
    for key in apt_keys(&all) {
        let generations = in_keyring(&all, &key);
        let recorded = query::keyring(world.ledger.connection(), &key)?;
        let Some(recorded) = recorded.map(|it| it.sha256).filter(|_| !generations.is_empty()) else { continue };
        if unfinished_revocation(world, &generations)?.is_some() {
            continue;
        }
        let certificates = merged(world, &all, &generations)?;
        let done = with_publication(world, &key, &certificates, |files| {
            let is_its =
                path.starts_with(&format!("apt/{key}.")) || path.starts_with(&format!("apt/{}/", files.package.name));
            if !is_its || Hash256::of(&files.keyring.binary) != recorded {
                return Ok(false);
            }
            files.publish(&world.dir.join("published/apt")).map(|_| true)
        })?;
        if done {
            return Ok(true);
        }
    }
    Ok(false)
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
    let (sha256, in_place) = with_publication(world, key, certificates, |publication| {
        Ok((Hash256::of(&publication.keyring.binary), publication.is_in_place(&dir)))
    })?;
    if recorded == Some(sha256) && in_place {
        return Ok(false);
    }
    let params = PublishKeyring { generation: newest.id.clone(), sha256, fingerprints };
    let request = world.request(key.to_string(), params);
    let permit = act::admit(world, &Consent::of_consequence(), request)?;
    let written = with_publication(world, key, certificates, |publication| publication.publish(&dir));
    act::close(world, permit, written.map_err(Into::into))?;
    Ok(true)
}

/// Puts together what is published for a key, and does something with it.
fn with_publication<T>(
    world: &World,
    key: &KeyName,
    certificates: &[Certificate],
    then: impl FnOnce(&KeyringFiles<'_>) -> Result<T>,
) -> Result<T> {
    let maintainer = match world.config.keys.get(key).map(|key| &key.issuer) {
        Some(Issuer::Key(primary)) => user_id(primary, &world.config.adopted().key(primary)?.clone())?,
        _ => return Err(Error::usage("unknown_key", format!("there is no [keys.{key}] with an issuer"))),
    };
    // Both only grow, so what is published later has the higher version, whatever it is that changed.
    let (package, date) = (package(key), world.now()?);
    then(&KeyringFiles {
        name: key.as_str(),
        keyring: published::keyring(certificates)?,
        package: Package {
            name: &package,
            version: &format!("{}.{}", date.format("%Y.%m.%d"), world.ledger.head()?.size),
            maintainer: &maintainer,
            description: &format!("OpenPGP keys of {}", world.config.organization.name),
            date,
        },
        sources: sources(world, key)?,
    })
}

/// What clients put into `/etc/apt/sources.list.d`, where the settings say where the archive is.
fn sources(world: &World, key: &KeyName) -> Result<Option<String>> {
    let archive = world.config.keys.get(key).and_then(|key| key.archive.as_ref());
    let Some(Archive { uri, suite, components }) = archive else { return Ok(None) };
    let components: Vec<_> = components.iter().map(String::as_str).collect();
    let source =
        Source { types: &["deb"], uris: &[uri], suites: &[suite], components: &components, architectures: &[] };
    published::sources(&source, SignedBy::Path(&installed(key))).map(Some)
}

/// The name of the keyring package.
fn package(key: &KeyName) -> String {
    format!("{}-keyring", key.as_str().replace('_', "-"))
}

/// Where clients have the keyring.
pub(crate) fn installed(key: &KeyName) -> String {
    format!("/usr/share/keyrings/{}.pgp", package(key))
}
