//! OpenPGP keys: their certification, which follows `keygen`, and the keyrings that clients get.

use crate::clock::{Time, rfc3339};
use crate::config::{Issuer, Key};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::files::lock::NamedLock;
use crate::files::safe;
use crate::gate::{Consent, Failure, Permit};
use crate::keys::rotation::OVERLAP_DAYS;
use crate::keys::{Credential, Generation, Identity};
use crate::ledger::query;
use crate::model::{GenerationId, Hash256};
use crate::people::request::Step;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::openpgp::certification::{self, Certification, Certified};
use crate::pki::openpgp::key::DatedKey;
use crate::pki::openpgp::make::{NewCertificate, NewSubkey, Revocation};
use crate::pki::openpgp::plan::Plan;
use crate::published::keyrings::user_id;
use crate::request::{CertifyOpenPgp, Operation, Role};
use crate::world::{World, act};
use chrono::TimeDelta;

/// Certifies a generated OpenPGP key: a primary key by itself, a signing subkey by its active primary key.
///
/// # Errors
/// As each stage of the road says.
pub(crate) fn certify(world: &mut World, consent: &Consent, generation: &Generation, key: &Key) -> Result<Generation> {
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
        plan: jcs::to_value(&draft.plan())?,
    };
    let mut request = world.request(generation.id.to_string(), params);
    for unsigned in draft.unsigned() {
        let role = Certification::role(unsigned);
        let signer = if role == Role::Subject { generation } else { &issuer };
        let spki = signer.identity()?.spki_sha256;
        request.signatures.push(act::covered(role, spki, signer.copy()?, unsigned.tbs()));
    }
    let permit = act::admit(world, consent, request)?;
    certify_with(world, permit, &draft, generation, &issuer)
}

/// Goes on with a certification that was admitted and interrupted: the same signatures once more. `None` if they cannot
/// be had any more, because something that they cover has changed; its permit is closed then.
///
/// # Errors
/// As [`certify`].
pub(crate) fn certify_again(
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
    let same = |draft: &Certification| jcs::to_value(&draft.plan()).is_ok_and(|plan| plan == params.plan);
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
            let lock = world.lock_key(name)?;
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
pub(crate) fn certification_step(world: &World, id: &GenerationId, key: &Key, created: Option<Time>) -> Result<Step> {
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
