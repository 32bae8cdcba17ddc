//! OpenPGP keys: their certification, which follows `keygen`, and the keyrings that clients get.

use super::{act, keygen};
use crate::clock::{Time, rfc3339};
use crate::config::{Archive, Issuer, Key, Settings};
use crate::error::{Error, Result};
use crate::files::lock::NamedLock;
use crate::files::safe;
use crate::formats::apt::published::{self, Package, Publication, SignedBy, Source};
use crate::gate::{Failure, Permit};
use crate::keys::rotation::OVERLAP_DAYS;
use crate::keys::{Credential, Generation, Identity};
use crate::ledger::query;
use crate::model::{GenerationId, Hash256, KeyName, Purpose};
use crate::people::request::Step;
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::pki::openpgp::certification::{self, Certification, Certified};
use crate::pki::openpgp::ending::{self, Ended};
use crate::pki::openpgp::key::DatedKey;
use crate::pki::openpgp::make::{NewCertificate, NewSubkey, Revocation};
use crate::pki::openpgp::plan::Plan;
use crate::policy::{Gate, gates};
use crate::request::{CertifyOpenPgp, Operation, PublishKeyring, Role};
use crate::world::World;
use chrono::TimeDelta;
use std::path::PathBuf;
use std::time::Duration;

/// Certifies a generated OpenPGP key: a primary key by itself, a signing subkey by its active primary key.
///
/// # Errors
/// As each stage of the road says.
pub(super) fn certify(world: &mut World, generation: &Generation, key: &Key) -> Result<Generation> {
    let (issuer, _lock) = issuer_of(world, generation, key)?;
    let created = dated(generation.identity()?)?.created;
    let (at, expires) = (world.globals.clock.now().max(created), expiry(created, key, issuer.credential())?);
    let draft = draft(world, generation, key, &issuer, (at, expires))?;
    let params = CertifyOpenPgp {
        generation: generation.id.clone(),
        issuer: issuer.id.clone(),
        fingerprint: draft.fingerprint(),
        created,
        expires,
        plan: keygen::to_value(&draft.plan())?,
    };
    let mut request = world.request(generation.id.to_string(), params);
    for unsigned in draft.unsigned() {
        let role = Certification::role(unsigned);
        let signer = if role == Role::Subject { generation } else { &issuer };
        let spki = signer.identity()?.spki_sha256;
        request.signatures.push(act::covered(role, spki, signer.copy()?, unsigned.tbs()));
    }
    let permit = act::admit(world, request)?;
    certify_with(world, permit, &draft, generation, &issuer)
}

/// Goes on with a certification that was admitted and interrupted: the same signatures once more. `None` if they cannot
/// be had any more, because something that they cover has changed; its permit is closed then.
///
/// # Errors
/// As [`certify`].
pub(super) fn certify_again(
    world: &mut World,
    permit: Permit<CertifyOpenPgp>,
    generation: &Generation,
    key: &Key,
) -> Result<Option<Generation>> {
    let (issuer, _lock) = issuer_of(world, generation, key)?;
    let params = &permit.request().params;
    let plan: Option<Plan> = serde_json::from_value(params.plan.clone()).ok();
    let at = plan.and_then(|plan| plan.signatures.first().map(|signing| signing.created));
    let again = at.and_then(|at| draft(world, generation, key, &issuer, (at, params.expires)).ok());
    let same = |draft: &Certification| keygen::to_value(&draft.plan()).is_ok_and(|plan| plan == params.plan);
    match again.filter(|draft| same(draft) && params.issuer == issuer.id) {
        Some(draft) => certify_with(world, permit, &draft, generation, &issuer).map(Some),
        None => {
            let error = Error::failed("interrupted", "the signatures may exist; nothing was published");
            act::close_failed::<_, Certified>(world, permit, Failure { error, unknown: true }).map(|()| None)
        }
    }
}

/// Who certifies a key, and for a subkey the lock on its primary key.
fn issuer_of(world: &World, generation: &Generation, key: &Key) -> Result<(Generation, Option<NamedLock>)> {
    match &key.issuer {
        Issuer::Itself => Ok((generation.clone(), None)),
        Issuer::Key(name) => {
            // Two subkeys bound at once would each leave the other out.
            let lock = NamedLock::acquire(&world.dir.join("locks"), name.as_str(), Duration::from_secs(10))?;
            Ok((world.active(name)?, Some(lock)))
        }
        Issuer::External => Err(Error::bug("an OpenPGP key has no external issuer")),
    }
}

fn certify_with(
    world: &mut World,
    permit: Permit<CertifyOpenPgp>,
    draft: &Certification,
    generation: &Generation,
    issuer: &Generation,
) -> Result<Generation> {
    let store = &world.store;
    let path = world.dir.join("revocations").join(format!("{}-{}.asc", generation.id.key, generation.id.number));
    let certified = (|| {
        let mut keys = Vec::new();
        for (role, signer) in [(Role::Issuer, issuer), (Role::Subject, generation)] {
            let identity = signer.identity()?;
            if role == Role::Issuer || issuer.id != generation.id {
                keys.push((identity.spki_sha256, store.open(&permit, role, identity)?));
            }
        }
        let signatures = certification::sign(draft.unsigned(), &keys)?;
        Ok(draft.finish(&signatures, |revocation| keep(&path, revocation))?)
    })();
    act::close(world, permit, certified)?;
    world.generation(&generation.id)
}

/// Puts a revocation certificate where only its owner reads it, in a form that nothing imports by accident.
fn keep(path: &std::path::Path, revocation: &Revocation) -> Result<Hash256> {
    if let Some(folder) = path.parent() {
        safe::create_private_dir(folder)?;
    }
    let text = revocation.guarded();
    safe::write_atomic(path, text.as_bytes(), 0o600)?;
    Ok(Hash256::of(text.as_bytes()))
}

fn dated(identity: &Identity) -> Result<DatedKey> {
    let created = identity.created.ok_or_else(|| {
        Error::blocked(
            "no_creation_time",
            "the register does not say when the key was made, which its fingerprint needs",
        )
    });
    Ok(DatedKey { public: identity.public_key()?, created: created? })
}

/// A key lasts for its interval and the overlap behind it, and no longer than the key that binds it: verifiers take
/// the earlier of both ends anyway, and so the binding says what is true.
fn expiry(created: Time, key: &Key, issuer: Option<&Credential>) -> Result<Time> {
    let days = i64::from(key.rotation_days.saturating_add(OVERLAP_DAYS));
    let end = TimeDelta::try_days(days).and_then(|days| created.checked_add_signed(days));
    let end = end.ok_or_else(|| Error::usage("openpgp_time", "rotation_days leads out of the calendar"))?;
    Ok(issuer.map_or(end, |credential| credential.validity().1.min(end)))
}

/// What people agree to before the key is made: who binds it, and when it was made and expires.
///
/// # Errors
/// Its primary key is not active.
pub(super) fn certification_step(world: &World, id: &GenerationId, key: &Key, created: Option<Time>) -> Result<Step> {
    let created = created.ok_or_else(|| Error::bug("an OpenPGP key is planned without a creation time"))?;
    let issuer = match &key.issuer {
        Issuer::Key(name) => Some(world.active(name)?),
        _ => None,
    };
    let expires = expiry(created, key, issuer.as_ref().and_then(Generation::credential))?;
    let params = serde_json::json!({
        "generation": id,
        "issuer": issuer.map_or_else(|| id.clone(), |issuer| issuer.id),
        "created": rfc3339(created),
        "expires": rfc3339(expires),
    });
    Ok(Step { operation: CertifyOpenPgp::NAME.into(), object: id.to_string(), params })
}

fn draft(
    world: &World,
    generation: &Generation,
    key: &Key,
    issuer: &Generation,
    (at, expires): (Time, Time),
) -> Result<Certification> {
    let dated = dated(generation.identity()?)?;
    if issuer.id == generation.id {
        let user_id = user_id(&generation.id.key, key)?;
        return Certification::primary(&NewCertificate {
            primary: dated,
            user_id,
            expires: Some(expires),
            subkeys: Vec::new(),
            at,
        });
    }
    let primary = match issuer.credential() {
        Some(Credential::OpenPgp { certificate, .. }) => Certificate::parse(certificate)?.fingerprint(),
        _ => return Err(Error::blocked("no_certificate", format!("{} has no OpenPGP certificate", issuer.id))),
    };
    let known = query::generations(world.ledger.connection())?;
    let all = certification::merged(known.iter().filter_map(Generation::credential))?;
    let certificate = all.into_iter().find(|certificate| certificate.fingerprint() == primary);
    let certificate = certificate.ok_or_else(|| Error::bug("a recorded certificate is not among the recorded ones"))?;
    Certification::subkey(&certificate, &NewSubkey { key: dated, expires: Some(expires) }, at)
}

/// `common_name <email>`.
fn user_id(name: &KeyName, key: &Key) -> Result<String> {
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
pub(super) fn certificates(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
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
    certification::merged(known.into_iter().filter_map(Generation::credential))
}

/// The name of the keyring file within `published/`.
pub(super) fn keyring_file(key: &KeyName) -> String {
    format!("apt/{key}.pgp")
}

fn keyring_path(world: &World, key: &KeyName) -> PathBuf {
    world.dir.join("published").join(keyring_file(key))
}

/// SHA-256 of the published keyring file as it is; `None` when there is none.
///
/// # Errors
/// It cannot be read.
pub(super) fn keyring_hash(world: &World, key: &KeyName) -> Result<Option<Hash256>> {
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
pub(super) fn published_keyring(world: &World, key: &KeyName) -> Result<Vec<Certificate>> {
    Certificate::parse_all(&safe::read_bounded(&keyring_path(world, key), MAX_KEYRING as u64)?)
}

/// Every published keyring of this workspace.
///
/// # Errors
/// One cannot be read.
pub(super) fn published_keyrings(world: &World) -> Result<Vec<Certificate>> {
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
pub(super) fn keyring_gate(world: &World, generation: &Generation, settings: &Settings) -> Result<Gate> {
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
pub(super) fn publish(world: &mut World) -> Result<bool> {
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
pub(super) fn publish_ended(world: &World, revoked: &Generation, ended: &Ended) -> Result<()> {
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
pub(super) fn published_ending(world: &World, revoked: &Generation) -> Result<Option<Ended>> {
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
        Some(Issuer::Key(primary)) => user_id(primary, &keygen::setting(&world.config.adopted(), primary)?)?,
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
