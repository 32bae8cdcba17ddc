//! Certificates by our own CAs: planned with every field, rehearsed and linted, then signed by the issuer's key.

use crate::clock::Time;
use crate::config::{Issuer, Key};
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Result};
use crate::gate::{Consent, Permit, Plan, step};
use crate::keys::Generation;
use crate::keys::rotation::OVERLAP_DAYS;
use crate::lifecycle::openpgp;
use crate::model::{GenerationId, HashAlgorithm, KeyAlgorithm, KeyName, Purpose};
use crate::people::request::Step;
use crate::pki::certificate::Certificate;
use crate::pki::issue::{self, CertificatePlan, Draft, Linted, Validity};
use crate::pki::name::{Name, Subject};
use crate::pki::profile::{Profile, ProfileName};
use crate::pki::serial::Serial;
use crate::published::certificates;
use crate::request::{IssueCertificate, Operation, Role};
use crate::world::{World, act};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;

/// Has the key's issuer certify a generated key.
pub(crate) fn certify(world: &mut World, consent: &Consent, generation: &Generation, key: &Key) -> Result<Generation> {
    if key.purpose.is_openpgp() {
        return openpgp::certify(world, consent, generation, key);
    }
    let issuer = match &key.issuer {
        Issuer::Key(name) => world.active(name)?,
        Issuer::External => return Err(Error::bug("an external issuer is not ours to ask")),
        Issuer::Itself => generation.clone(),
    };
    let dates = dates(consent.plan(), &generation.id)?;
    let linted = rehearsed(world, generation, &issuer, dates)?;
    let draft = linted.draft();
    let params = IssueCertificate {
        generation: generation.id.clone(),
        issuer: issuer.id.clone(),
        profile: draft.profile().to_string(),
        serial: draft.serial_hex(),
        tbs_sha256: draft.tbs_hash(),
        template_sha256: draft.template_hash(),
        not_before: draft.validity().not_before,
        not_after: draft.validity().not_after,
    };
    let mut request = world.request(generation.id.to_string(), params);
    let spki = issuer.identity()?.spki_sha256;
    request.signatures = vec![act::covered(Role::Issuer, spki, issuer.copy()?, &linted.tbs())];
    let permit = act::admit(world, consent, request)?;
    issue_with(world, permit, &linted, &issuer)
}

/// Has the issuer sign what was rehearsed, and publishes the certificate.
pub(crate) fn issue_with(
    world: &mut World,
    permit: Permit<IssueCertificate>,
    linted: &Linted,
    issuer: &Generation,
) -> Result<Generation> {
    let id = permit.request().params.generation.clone();
    let issued = world.store.open(&permit, Role::Issuer, issuer.identity()?).and_then(|key| {
        let signature = key.sign(&linted.tbs())?;
        Ok(linted.issue(&signature, issuer.id.clone())?)
    });
    act::close(world, permit, issued)?;
    let generation = world.generation(&id)?;
    certificates::certificate(world, &generation)?;
    Ok(generation)
}

/// What the generation's next certificate will say, rehearsed. The same serial number and validity give the same
/// bytes, as long as the settings stay.
pub(crate) fn rehearsed(
    world: &World,
    generation: &Generation,
    issuer: &Generation,
    dates: (Serial, Validity),
) -> Result<Linted> {
    let key = world.settings()?.key(&generation.id.key)?.clone();
    let public_key = generation.identity()?.public_key()?;
    let above = (issuer.id != generation.id).then_some(issuer);
    issue::rehearse(Draft::new(plan(world, (&generation.id, &key), public_key, above, Some(dates))?)?)
}

/// The profile of a key's certificates.
pub(crate) fn profile(world: &World, name: &KeyName, purpose: Purpose) -> Result<ProfileName> {
    let settings = world.settings()?;
    let issues = settings.keys.values().find(|other| other.issuer == Issuer::Key(name.clone()));
    ProfileName::of(purpose, issues.map(|other| other.purpose))
}

/// What the next certificate of this key will say. It has the serial number and the dates that were planned, or else
/// fresh ones; without an issuer it signs itself.
pub(crate) fn plan(
    world: &World,
    (id, key): (&GenerationId, &Key),
    public_key: PublicKey,
    issuer: Option<&Generation>,
    dates: Option<(Serial, Validity)>,
) -> Result<CertificatePlan> {
    let profile = profile(world, &id.key, key.purpose)?;
    let signer = match issuer {
        None => None,
        Some(issuer) => {
            let identity = issuer.identity()?;
            let none = || Error::blocked("no_certificate", format!("{} has no certificate", issuer.id));
            let certificate = Certificate::parse(identity.x509().ok_or_else(none)?)?;
            Some((certificate, ProfileName::of(issuer.purpose, Some(key.purpose))?, identity.algorithm))
        }
    };
    let (serial, validity) = match dates {
        Some(planned) => planned,
        None => {
            let validity = Validity::days(world.globals.clock.now(), valid_days(profile, key)?)?;
            let within = signer.as_ref().map_or(validity, |(certificate, ..)| validity.within(certificate));
            (Serial::random()?, within)
        }
    };
    let by = issuer.map_or(id, |issuer| &issuer.id);
    Ok(CertificatePlan {
        profile,
        environment: world.genesis.environment,
        subject: subject(key)?,
        public_key,
        validity,
        mechanism: signer.as_ref().map_or(key.algorithm, |(.., algorithm)| *algorithm).mechanism(HashAlgorithm::Sha256),
        issuer: match signer {
            None => issue::Issuer::SelfSigned,
            Some((certificate, profile, _)) => {
                issue::Issuer::Certificate { certificate: Box::new(certificate), profile }
            }
        },
        serial,
        crl_url: key.crl_url_by(by),
        aia_url: key.aia_url_by(by),
        policies: Vec::new(),
    })
}

/// How long a certificate is valid: a leaf for its interval and the overlap behind it, a CA long enough to outlive
/// what it issues and the lists about it.
fn valid_days(profile: ProfileName, key: &Key) -> Result<u32> {
    const INTERMEDIATE: u32 = 1826;
    const ROOT: u32 = 7305;
    let limits = Profile::get(profile)?;
    let wanted = match (limits.self_signed, limits.is_ca()) {
        (true, _) => ROOT,
        (_, true) => INTERMEDIATE,
        _ => key.rotation_days.saturating_add(OVERLAP_DAYS),
    };
    Ok(wanted.min(limits.max_validity_days))
}

pub(crate) fn subject(key: &Key) -> Result<Name> {
    let missing = || Error::usage("no_subject", "keyctl.toml gives the key no subject");
    let subject = key.subject.as_ref().ok_or_else(missing)?;
    Subject {
        country: subject.country.clone(),
        state: subject.state.clone(),
        locality: subject.locality.clone(),
        organization: subject.organization.clone(),
        organizational_unit: subject.organizational_unit.clone(),
        common_name: Some(subject.common_name.clone()),
    }
    .to_name()
}

/// The certificate in all but its public key and that key's identifier.
pub(crate) fn issue_step(world: &World, id: &GenerationId, key: &Key) -> Result<Step> {
    issue_draft(world, id, key).and_then(|(issuer, draft)| issue_step_of(id, issuer, &draft))
}

/// The issuer, and what it will sign but for the key that is yet to be made.
fn issue_draft(world: &World, id: &GenerationId, key: &Key) -> Result<(GenerationId, Draft)> {
    let issuer = match &key.issuer {
        Issuer::Key(name) => Some(world.active(name)?),
        _ => None,
    };
    let draft = Draft::new(plan(world, (id, key), stand_in(key.algorithm)?, issuer.as_ref(), None)?)?;
    Ok((issuer.map_or_else(|| id.clone(), |issuer| issuer.id), draft))
}

fn issue_step_of(id: &GenerationId, issuer: GenerationId, draft: &Draft) -> Result<Step> {
    let params = IssueCertificate {
        generation: id.clone(),
        issuer,
        profile: draft.profile().to_string(),
        serial: draft.serial_hex(),
        tbs_sha256: draft.tbs_hash(),
        template_sha256: draft.template_hash(),
        not_before: draft.validity().not_before,
        not_after: draft.validity().not_after,
    };
    step(id.to_string(), &params)
}

/// The certification of a key, of whatever kind; with an X.509 certificate that says the same, about a key that stands
/// in for the one to be made and signed by nobody.
pub(crate) fn certification(
    world: &World,
    id: &GenerationId,
    key: &Key,
    created: Option<Time>,
) -> Result<(Step, Option<Certificate>)> {
    if key.purpose.is_openpgp() {
        return Ok((openpgp::certification_step(world, id, key, created)?, None));
    }
    let (issuer, draft) = issue_draft(world, id, key)?;
    Ok((issue_step_of(id, issuer, &draft)?, Some(draft.specimen()?)))
}

/// A public key that stands where the real one will: its bytes are blanked in what people see.
fn stand_in(algorithm: KeyAlgorithm) -> Result<PublicKey> {
    let der = || -> std::result::Result<Vec<u8>, openssl::error::ErrorStack> {
        let rsa = |bits: i32| {
            let mut modulus = BigNum::new()?;
            modulus.set_bit(bits - 1)?;
            modulus.set_bit(0)?;
            PKey::from_rsa(Rsa::from_public_components(modulus, BigNum::from_u32(65537)?)?)?.public_key_to_der()
        };
        let ec = |curve| {
            let group = EcGroup::from_curve_name(curve)?;
            let (mut point, mut context) = (EcPoint::new(&group)?, BigNumContext::new()?);
            let one = BigNum::from_u32(1)?;
            point.mul_generator2(&group, &one, &mut context)?;
            PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)?.public_key_to_der()
        };
        match algorithm {
            KeyAlgorithm::Rsa3072 => rsa(3072),
            KeyAlgorithm::Rsa4096 => rsa(4096),
            KeyAlgorithm::EcdsaP256 => ec(Nid::X9_62_PRIME256V1),
            KeyAlgorithm::EcdsaP384 => ec(Nid::SECP384R1),
            KeyAlgorithm::Ed25519 => PKey::public_key_from_raw_bytes(&[7; 32], Id::ED25519)?.public_key_to_der(),
        }
    };
    PublicKey::from_spki(&der().or_failed("stand_in", || "no key can stand in for the one to be made".into())?)
}

/// Serial number and validity of a certificate as they were planned.
fn dates(plan: &Plan, id: &GenerationId) -> Result<(Serial, Validity)> {
    let (kind, object) = (IssueCertificate::KIND, id.to_string());
    let bad = || Error::failed("bad_request", format!("the planned certificate of {id} cannot be read"));
    let text = |name: &str| plan.param::<String>(kind, &object, name);
    let serial = crate::model::unhex(&text("serial")?).and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)?;
    let time = |name: &str| crate::clock::parse(&text(name)?).ok_or_else(bad);
    let validity = Validity { not_before: time("not_before")?, not_after: time("not_after")? };
    Ok((Serial::from_bytes(serial)?, validity))
}
