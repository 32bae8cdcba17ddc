//! The register for others: `keys.json`, and the ledger keys in `ledger.pub`.

use crate::error::{Error, Result};
use crate::files::safe;
use crate::keys::rotation::certificate_file;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::model::Purpose;
use crate::world::World;
use serde_json::{Value, json};

/// Publishes the register and the ledger keys.
pub(crate) fn register(world: &World) -> Result<()> {
    safe::write_atomic(&world.dir.join("published/keys.json"), document(world)?.as_bytes(), 0o644)?;
    safe::write_atomic(&world.dir.join("published/ledger.pub"), ledger_keys(world).as_bytes(), 0o644).map(drop)
}

/// What `ledger.pub` says.
pub(crate) fn ledger_keys(world: &World) -> String {
    world.genesis.ledger_keys.iter().map(|key| format!("{}\n", key.verifier)).collect()
}

/// What `keys.json` says.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn document(world: &World) -> Result<String> {
    let generations = query::generations(world.ledger.connection())?;
    let keys: Vec<_> = generations.iter().map(summary).collect();
    let doc = json!({ "schema": "keyctl.keys/v1", "workspace_id": world.genesis.workspace_id,
        "environment": world.genesis.environment, "keys": keys });
    let text = serde_json::to_string_pretty(&doc)
        .map_err(|error| Error::bug("the register has no JSON form").because(error))?;
    Ok(format!("{text}\n"))
}

fn summary(generation: &Generation) -> Value {
    let mut value = json!({
        "name": generation.id.key,
        "generation": generation.id.number,
        "purpose": generation.purpose,
        "environment": generation.environment,
        "custody": generation.custody,
        "status": generation.state,
    });
    if let Some(identity) = generation.identities.first() {
        value["algorithm"] = json!(identity.algorithm);
        value["spki_sha256"] = json!(identity.spki_sha256);
    }
    match generation.credential() {
        Some(Credential::X509 { fingerprint, thumbprint, subject, issuer, serial, .. }) => {
            value["fingerprint"] = json!(fingerprint);
            value["certificate_thumbprint"] = json!(thumbprint);
            value["certificate_subject"] = json!(subject);
            value["certificate_issuer"] = json!(issuer);
            value["serial"] = json!(serial);
            value["certificate"] = json!(certificate_file(&generation.id));
        }
        Some(Credential::OpenPgp { fingerprint, .. }) => {
            value["fingerprint"] = json!(fingerprint);
            if generation.purpose == Purpose::Apt {
                value["keyring"] = json!(format!("apt/{}.pgp", generation.id.key));
            }
        }
        None => {}
    }
    if let Some(credential) = generation.credential() {
        let (from, to) = credential.validity();
        value["certificate_issued"] = json!(crate::clock::rfc3339(from));
        value["certificate_expiry"] = json!(crate::clock::rfc3339(to));
    }
    value
}
