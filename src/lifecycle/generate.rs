//! Key pairs: planned with their identifiers, made by the token, and followed up where a token died meanwhile.

use crate::config::Key;
use crate::crypto;
use crate::error::{Error, Kind, Result};
use crate::gate::{Consent, Failure, Permit, Plan, command_line, unplanned};
use crate::hsm::store::{GeneratedKey, PUBLIC_HALF};
use crate::keys::{Generation, State};
use crate::ledger::query::{self, OpenIntent};
use crate::model::{CkaId, Custody, GenerationId, KeyName, hex};
use crate::people::ApprovalRequest;
use crate::people::request::Step;
use crate::request::{Covered, GenerateKey, Operation, Request, Role};
use crate::world::{World, act, orphans};

/// The request for the key pair that was planned.
fn planned(world: &World, consent: &Consent, name: &KeyName) -> Result<Request<GenerateKey>> {
    let params = pair_in(consent.plan(), name)?;
    let mut request = world.request(params.generation.to_string(), params);
    request.signatures = vec![proof_covered(&request.params)];
    Ok(request)
}

/// The key's next generation, every parameter resolved.
///
/// # Errors
/// `custody_unavailable`; its token was never adopted.
pub(crate) fn next_pair(world: &World, name: &KeyName, key: &Key) -> Result<GenerateKey> {
    let conn = world.ledger.connection();
    let newest = query::next_number(conn, name)?.saturating_sub(1).max(1);
    let newest = GenerationId { key: name.clone(), number: newest };
    // A generation that was planned and never made keeps its number.
    let again = query::generation(conn, &newest)?.is_some_and(|known| known.state == State::Planned);
    let number = if again { newest.number } else { query::next_number(conn, name)? };
    let generation = GenerationId { key: name.clone(), number };
    check_custody(name, key)?;
    let hsm = key.first_hsm()?;
    // As it was adopted: the token itself is not needed before the permit, and compared then.
    let recorded = query::tokens(conn)?.remove(hsm).ok_or_else(|| {
        Error::blocked("token_unrecorded", format!("the token of [hsm.{hsm}] was never adopted")).hint("keyctl adopt")
    })?;
    // What an earlier try may have left on the token keeps its label.
    let again = query::count_intents(conn, GenerateKey::ENTRY, &generation)? > 0;
    let (now, cka_id) = (world.globals.clock.now(), CkaId::new(crypto::random::<16>()?)?);
    Ok(GenerateKey {
        label: label(&generation, now, again.then_some(&cka_id)),
        created: Some(now),
        generation,
        purpose: key.purpose,
        environment: world.genesis.environment,
        custody: Custody::Bound,
        algorithm: key.algorithm,
        hsm: hsm.clone(),
        token_serial: recorded.token.serial,
        cka_id,
        destroyable: !key.purpose.is_ca(),
        nonce: hex(&crypto::random::<32>()?),
    })
}

/// Keys are made to stay on their token; nothing wraps, clones or escrows them yet.
///
/// # Errors
/// `custody_unavailable`.
pub(crate) fn check_custody(name: &KeyName, key: &Key) -> Result<()> {
    if key.custody == Custody::Bound {
        return Ok(());
    }
    let message = format!("[keys.{name}] has custody {}, which cannot be made yet", key.custody);
    Err(Error::usage("custody_unavailable", message).hint("custody = \"bound\"; the key then has no copy elsewhere"))
}

/// `windows/20260131/2`. An attempt that failed may have left an object with that label, so another attempt adds the
/// beginning of its CKA_ID.
pub(crate) fn label(id: &GenerationId, now: crate::clock::Time, again: Option<&CkaId>) -> String {
    let mut label = format!("{}/{}/{}", id.key, now.format("%Y%m%d"), id.number);
    if let Some(cka_id) = again {
        label.push('.');
        label.extend(cka_id.to_string().chars().take(8));
    }
    label
}

/// The one signature that a keygen permit covers.
pub(crate) fn proof_covered(params: &GenerateKey) -> Covered {
    let tbs = crate::hsm::store::proof_of_possession(params);
    Covered {
        role: Role::ProofOfPossession,
        spki_sha256: None,
        hsm: params.hsm.clone(),
        cka_id: params.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }
}

/// Makes the key's next generation.
pub(crate) fn generate(world: &mut World, consent: &Consent, name: &KeyName) -> Result<Generation> {
    let request = planned(world, consent, name)?;
    let id = request.params.generation.clone();
    let permit = act::admit(world, consent, request)?;
    make(world, consent.request(), permit)?;
    world.generation(&id)
}

/// Makes the pair. Where nobody can say whether it was made, it is looked for at once; if the token cannot be asked,
/// the intent stays open, and `recover` asks later.
pub(crate) fn make(world: &mut World, agreed: Option<&ApprovalRequest>, permit: Permit<GenerateKey>) -> Result<()> {
    let failure = match world.store.generate(&permit).and_then(|made| never_seen(world, made)) {
        Err(failure) if failure.unknown => failure,
        Err(failure) => return act::close::<_, GeneratedKey>(world, permit, Err(spent(agreed, failure))),
        made => return act::close(world, permit, made),
    };
    let found = world.store.take_over(&permit);
    let settled = match found.and_then(|found| found.map(|made| never_seen(world, made)).transpose()) {
        Ok(Some(made)) => {
            world.ui().warn(&format!("{}; the pair is there and whole, and is used", failure.error.full()));
            Ok(made)
        }
        Ok(None) => {
            let error = &failure.error;
            let message = format!("{}; nothing is under the planned CKA_ID, so no pair was made", error.full());
            Err(Error::new(error.kind(), error.code(), message).into())
        }
        Err(later) if [failure.error.kind(), later.error.kind()].contains(&Kind::Unavailable) => {
            return Err(failure.error);
        }
        Err(_) => Err(failure),
    };
    act::close(world, permit, settled)
}

/// A public key that comes twice (K5) is refused: two keys that are one, or a token without randomness.
pub(crate) fn never_seen(world: &World, made: GeneratedKey) -> Result<GeneratedKey, Failure> {
    let spki = made.identity().spki_sha256;
    match query::generation_by_spki(world.ledger.connection(), &spki)? {
        None => Ok(made),
        Some(other) => {
            let message = format!("the token made the public key {spki}, which is that of {} already", other.id);
            Err(Error::failed("public_key_seen", message)
                .hint("do not use this token before its maker explained it")
                .into())
        }
    }
}

/// A try that was killed may have left half a pair under the CKA_ID that people agreed to; nothing is deleted, so that
/// one cannot be used any more.
pub(crate) fn spent(agreed: Option<&ApprovalRequest>, failure: Failure) -> Failure {
    match agreed {
        Some(document) if failure.error.code() == "id_taken" => {
            let message = "an earlier try left half a pair under the CKA_ID that was agreed to, and nothing is deleted";
            let again = format!("ask for another approval: {}", command_line(&document.command));
            Error::new(Kind::ApprovalNeeded, "cka_id_spent", message).because(failure.error).hint(again).into()
        }
        _ => failure,
    }
}

/// The key pair as it was planned: CKA_ID, nonce, label and time are those that people agreed to.
fn pair_in(plan: &Plan, name: &KeyName) -> Result<GenerateKey> {
    let of_this = |step: &&Step| {
        step.operation == GenerateKey::NAME && step.object.split_once('/').is_some_and(|(key, _)| key == name.as_str())
    };
    let step = plan.steps.iter().find(of_this).ok_or_else(|| unplanned(GenerateKey::KIND, name.as_str()))?;
    plan.params(&step.object)
}

/// Looks for the planned CKA_ID: a whole pair is taken over under the same intent, nothing means nothing was made.
pub(crate) fn settle_keygen(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = orphans::resume::<GenerateKey>(world, orphan)?;
    let found = world.store.take_over(&permit);
    let found = found.and_then(|found| found.map(|made| never_seen(world, made)).transpose());
    match found {
        Ok(Some(made)) => {
            let spki = made.identity().spki_sha256;
            act::close(world, permit, Ok(made))?;
            Ok(("taken-over", format!("the key pair is whole, SPKI SHA-256 {spki}")))
        }
        Ok(None) => {
            let error = Error::failed("not_executed", "no object on the token has the planned CKA_ID");
            act::close_failed::<_, GeneratedKey>(world, permit, error.into())?;
            Ok(("not-executed", "no object on the token has the planned CKA_ID".into()))
        }
        // Half a pair, or a public key that came before: the record says so, and nothing is deleted.
        Err(failure) if failure.error.kind() != Kind::Unavailable => {
            let detail = failure.error.full();
            let unknown = failure.error.code() != PUBLIC_HALF;
            act::close_failed::<_, GeneratedKey>(world, permit, Failure { unknown, ..failure })?;
            Ok((if unknown { "unknown" } else { "not-executed" }, detail))
        }
        Err(failure) => Err(failure.error),
    }
}
