//! What fragments say of acts that are no signatures: revocations, lists, artifacts that have to be signed again.

use crate::error::{Error, Result};
use crate::ledger::Entry;
use crate::request::Kind;
use serde_json::{Map, Value, json};

/// The event's name in a fragment and what it says; `None` for acts without one. Pure.
///
/// # Errors
/// The leaves lack something; `unknown_operation`.
pub(super) fn part(outcome: &Entry, params: &Value, done: &Value) -> Result<Option<(&'static str, Value)>> {
    match outcome.kind()? {
        Kind::RevokeKey => revocation(outcome, params, done).map(|event| Some(("revocation_event", event))),
        Kind::IssueCrl => Ok(Some(("crl_event", list(params, done)?))),
        Kind::MarkArtifacts => Ok(Some(("resign_event", marks(outcome, params)?))),
        Kind::GenerateKey
        | Kind::IssueCertificate
        | Kind::CertifyOpenPgp
        | Kind::PublishKeyring
        | Kind::ChangeState
        | Kind::MakeCsr
        | Kind::ImportCertificate
        | Kind::SignArtifact
        | Kind::AdoptSettings
        | Kind::GiveGrant
        | Kind::EndGrant
        | Kind::CloseFollowUp
        | Kind::AdoptRoster
        | Kind::SuspendPerson
        | Kind::RestorePerson
        | Kind::SuspendKey
        | Kind::ReinstateKey
        | Kind::UpdatePipeline
        | Kind::DestroyKey
        | Kind::ConfirmCrl
        | Kind::TestKey
        | Kind::LinkRoots
        | Kind::PublishMetadata
        | Kind::ActivateKey
        | Kind::SetTime
        | Kind::ReviewKey => Ok(None),
    }
}

/// With the brief's names (B20): `revocation_reason` and `rotated_by`.
fn revocation(outcome: &Entry, params: &Value, done: &Value) -> Result<Value> {
    let mut event = Map::new();
    event.insert("revocation_reason".into(), get(params, "reason")?.clone());
    event.insert("rotated_by".into(), json!(outcome.actor.email));
    event.insert("revocation_date".into(), get(params, "revocation_date")?.clone());
    event.insert("resign_required".into(), get(done, "resign_required")?.clone());
    let optional = [
        ("invalidity_date", params.get("invalidity_date")),
        ("external_reference", params.get("reference")),
        ("issuer", params.get("issuer")),
        ("crl", done.get("crl")),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            event.insert(name.into(), value.clone());
        }
    }
    let credential = outcome.body.pointer("/key/identities/0/credential");
    for (name, of) in [("serial", "serial"), ("fingerprint", "fingerprint"), ("certificate_thumbprint", "thumbprint")] {
        if let Some(value) = credential.and_then(|credential| credential.get(of)) {
            event.insert(name.into(), value.clone());
        }
    }
    Ok(Value::Object(event))
}

fn list(params: &Value, done: &Value) -> Result<Value> {
    let mut event = get(done, "crl")?.clone();
    event["issuer"] = get(params, "generation")?.clone();
    event["revoked"] = params.get("tells").cloned().unwrap_or_else(|| json!([]));
    Ok(event)
}

fn marks(outcome: &Entry, params: &Value) -> Result<Value> {
    Ok(json!({
        "status": "re-sign required",
        "because": get(params, "generation")?,
        "revocation_entry": get(params, "revocation")?,
        "rotated_by": outcome.actor.email,
        "artifacts": get(params, "artifacts")?,
    }))
}

fn get<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| Error::failed("bad_entry", format!("an entry's body has no {name}")))
}
