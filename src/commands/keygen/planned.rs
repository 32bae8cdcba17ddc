//! What a `keygen` is going to do, for people to agree to before it does anything; and what they agreed to.

use super::{first_hsm, generate_request, plan, subject};
use crate::clock::Time;
use crate::commands::{act, openpgp};
use crate::config::{Issuer, Key};
use crate::crypto::verify::PublicKey;
use crate::error::{Context, Error, Kind, Result};
use crate::gate::{Failure, Warrant};
use crate::keys::State;
use crate::ledger::query;
use crate::model::{GenerationId, HsmName, KeyAlgorithm, KeyName, Purpose};
use crate::people::request::Step;
use crate::pki::certificate::Certificate;
use crate::pki::issue::{Draft, Validity};
use crate::pki::serial::Serial;
use crate::policy::people::making;
use crate::request::{ChangeState, GenerateKey, IssueCertificate, Operation};
use crate::world::World;
use crate::world::authority::{Intended, step};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;

/// Why a first generation moves on by itself.
pub(super) const FIRST: &str = "first generation of its key";

/// What `keygen` of this key will do from where it stands.
///
/// # Errors
/// A parameter cannot be resolved: no active issuer, no token record, a profile that does not fit.
pub(in crate::commands) fn intended(
    world: &mut World,
    name: &KeyName,
    key: &Key,
    command: Vec<String>,
    csr: bool,
) -> Result<Intended> {
    let steps = steps(world, name, key, csr)?;
    let mut tokens = vec![first_hsm(key)?.clone()];
    let mut subjects = vec![name.to_string()];
    if let Issuer::Key(issuer) = &key.issuer {
        subjects.push(issuer.to_string());
        tokens.extend(issuer_tokens(world, issuer)?);
    }
    let object = steps.first().map_or_else(|| name.to_string(), |step| step.object.clone());
    Ok(Intended { operation: making(key.purpose), object, command, steps, subjects, tokens })
}

/// A try that was killed may have left half a pair under the CKA_ID that people agreed to; nothing is deleted, so that
/// one cannot be used any more.
pub(super) fn spent(world: &World, failure: Failure) -> Failure {
    match world.warrant.as_ref().and_then(Warrant::document) {
        Some(document) if failure.error.code() == "id_taken" => {
            let message = "an earlier try left half a pair under the CKA_ID that was agreed to, and nothing is deleted";
            let again = format!("ask for another approval: {}", act::line(&document.command));
            Error::new(Kind::ApprovalNeeded, "cka_id_spent", message).because(failure.error).hint(again).into()
        }
        _ => failure,
    }
}

fn issuer_tokens(world: &World, issuer: &KeyName) -> Result<Vec<HsmName>> {
    let active = world.active(issuer)?;
    Ok(active.identity()?.copies.iter().map(|copy| copy.hsm.clone()).collect())
}

/// Each act from here to a certified generation, and on to an active one if it is the key's first.
pub(in crate::commands) fn steps(world: &mut World, name: &KeyName, key: &Key, csr: bool) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let (id, mut state, created) = match super::unfinished(world, name)? {
        Some(known) => {
            let created = known.identities.first().and_then(|identity| identity.created);
            (known.id, known.state, created)
        }
        None => {
            let request = generate_request(world, name, key)?;
            steps.push(step(request.object, &request.params)?);
            (request.params.generation, State::Generated, request.params.created)
        }
    };
    if state == State::Generated && key.issuer != Issuer::External && key.purpose != Purpose::Ledger {
        if key.purpose.is_openpgp() {
            steps.push(openpgp::certification_step(world, &id, key, created)?);
        } else {
            steps.push(issue_step(world, &id, key)?);
        }
        state = State::Certified;
    }
    if csr {
        steps.push(request(&id, key)?);
    }
    steps.extend(activation(world, &id, state)?);
    Ok(steps)
}

/// The steps by which the first generation of its key takes over.
pub(in crate::commands) fn activation(world: &World, id: &GenerationId, mut state: State) -> Result<Vec<Step>> {
    let first = query::active(world.ledger.connection(), &id.key)?.is_none();
    let mut steps = Vec::new();
    while first && matches!(state, State::Certified | State::Staged) {
        let to = if state == State::Certified { State::Staged } else { State::Active };
        let params = ChangeState { generation: id.clone(), from: state, to, reason: FIRST.into() };
        steps.push(step(id.to_string(), &params)?);
        state = to;
    }
    Ok(steps)
}

/// The certificate in all but its public key and that key's identifier.
pub(in crate::commands) fn issue_step(world: &World, id: &GenerationId, key: &Key) -> Result<Step> {
    issue_draft(world, id, key).and_then(|(issuer, draft)| issue_step_of(id, issuer, &draft))
}

/// The issuer, and what it will sign but for the key that is yet to be made.
fn issue_draft(world: &World, id: &GenerationId, key: &Key) -> Result<(GenerationId, Draft)> {
    let issuer = match &key.issuer {
        Issuer::Key(name) => Some(world.active(name)?),
        _ => None,
    };
    let dates = dates(world, id)?;
    let draft = Draft::new(plan(world, (id, key), stand_in(key.algorithm)?, issuer.as_ref(), dates)?)?;
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
pub(in crate::commands) fn certification(
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

/// A certificate signing request.
pub(in crate::commands) fn request(id: &GenerationId, key: &Key) -> Result<Step> {
    let params = serde_json::json!({ "generation": id, "subject": subject(key)?.to_string() });
    Ok(Step { operation: crate::request::MakeCsr::NAME.into(), object: id.to_string(), params })
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
pub(in crate::commands) fn dates(world: &World, id: &GenerationId) -> Result<Option<(Serial, Validity)>> {
    let object = id.to_string();
    let Some(params) = world.planned(IssueCertificate::NAME, &object) else { return Ok(None) };
    let bad = || Error::failed("bad_request", format!("the planned certificate of {id} cannot be read"));
    let text = |name: &str| params.get(name).and_then(serde_json::Value::as_str).ok_or_else(bad);
    let serial = crate::model::unhex(text("serial")?).and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)?;
    let time = |name: &str| crate::clock::parse(text(name)?).ok_or_else(bad);
    let validity = Validity { not_before: time("not_before")?, not_after: time("not_after")? };
    Ok(Some((Serial::from_bytes(serial)?, validity)))
}

/// The key pair as it was planned: CKA_ID, nonce, label and time are those that people agreed to.
pub(super) fn key_pair(world: &World, name: &KeyName) -> Result<Option<GenerateKey>> {
    let Some(document) = world.warrant.as_ref().and_then(Warrant::document) else { return Ok(None) };
    let of_this = |step: &&Step| {
        step.operation == GenerateKey::NAME && step.object.split_once('/').is_some_and(|(key, _)| key == name.as_str())
    };
    let Some(step) = document.steps.iter().find(of_this) else { return Ok(None) };
    let planned = serde_json::from_value(step.params.clone());
    planned.map(Some).map_err(|error| Error::failed("bad_request", "a planned key cannot be read").because(error))
}
