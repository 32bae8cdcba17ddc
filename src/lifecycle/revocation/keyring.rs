//! OpenPGP: a revocation signature in the certificate, and the certificate in the published keyrings.

use crate::clock::rfc3339;
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::gate::Consent;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::lifecycle::revocation::revoking::{Revoking, bare_request};
use crate::model::Hash256;
use crate::outcome::Receipt;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::openpgp::certification;
use crate::pki::openpgp::ending::{Ended, Ending, unguarded};
use crate::pki::revoked::Revoked;
use crate::published::keyrings;
use crate::request::{Request, RevokeKey, Role};
use crate::world::{World, act};
use serde_json::json;

/// Where the revocation signature comes from.
pub enum Source {
    /// The primary key makes it.
    Key(Box<Ending>),
    /// It was made with the key and put aside.
    PutAside(Box<Ended>),
}

/// Works the revocation out.
///
/// # Errors
/// As the making of it says; `bad_revocation` for a file that does not revoke this key.
pub(crate) fn prepare(
    world: &World,
    revoking: &Revoking,
    primary: &Generation,
) -> Result<(Request<RevokeKey>, Source)> {
    let none = || Error::blocked("no_certificate", format!("{} has no OpenPGP certificate", revoking.generation.id));
    let credential = revoking.generation.credential().ok_or_else(none)?;
    let certificate = newest(world, credential)?;
    let at = world.globals.clock.now().max(credential.validity().0);
    let mut request = bare_request(world, revoking);
    if let Some(file) = &revoking.put_aside {
        let ended = Ended::applied(&certificate, credential, unguarded(file).as_bytes(), at)?;
        let sha256 = Hash256::of(file.as_bytes());
        request.params.plan = Some(json!({ "schema": "keyctl.openpgp-revocation/v1", "sha256": sha256 }));
        return Ok((request, Source::PutAside(Box::new(ended))));
    }
    let text = match revoking.terms.invalidity_date {
        Some(since) => format!("{} since {}", revoking.terms.reason, rfc3339(since)),
        None => revoking.terms.reason.to_string(),
    };
    let ending = Ending::new(&certificate, credential, revoking.terms.reason, &text, at)?;
    request.params.plan = Some(jcs::to_value(&ending.plan())?);
    let (spki, copy) = (primary.identity()?.spki_sha256, primary.copy()?);
    for unsigned in ending.unsigned() {
        request.signatures.push(act::covered(Role::Issuer, spki, copy, unsigned.tbs()));
    }
    Ok((request, Source::Key(Box::new(ending))))
}

/// Everything that is known of the certificate that this key is in.
fn newest(world: &World, credential: &Credential) -> Result<Certificate> {
    let Credential::OpenPgp { certificate, .. } = credential else {
        return Err(Error::bug("an X.509 certificate has no keyring"));
    };
    let primary = Certificate::parse(certificate)?.fingerprint();
    let known = query::generations(world.ledger.connection())?;
    let all = certification::merged(known.iter().filter_map(Generation::credential))?;
    let found = all.into_iter().find(|certificate| certificate.fingerprint() == primary);
    found.ok_or_else(|| Error::bug("a recorded certificate is not among the recorded ones"))
}

/// Revokes the key: decision, signature, keyrings written and read back, all under one intent.
///
/// # Errors
/// As each stage says.
pub(crate) fn decide(
    world: &mut World,
    consent: &Consent,
    revoking: &Revoking,
    primary: &Generation,
) -> Result<Receipt> {
    // Two changes of one certificate at once would each leave the other out. Its own lock is held for a primary key.
    let other = primary.id.key != revoking.generation.id.key;
    let _lock = other.then(|| world.lock_key(&primary.id.key)).transpose()?;
    let (request, source) = prepare(world, revoking, primary)?;
    let permit = act::admit(world, consent, request)?;
    let marks = query::resign_count(world.ledger.connection(), &revoking.generation.id)?;
    let ended = (|| {
        let ended = match &source {
            Source::PutAside(ended) => (**ended).clone(),
            Source::Key(ending) => {
                let identity = primary.identity()?;
                let key = world.store.open(&permit, Role::Issuer, identity)?;
                ending.finish(&certification::sign(ending.unsigned(), &[(identity.spki_sha256, key)])?)?
            }
        };
        keyrings::publish_ended(world, &revoking.generation, &ended)?;
        Ok(Revoked::in_keyring(ended, marks))
    })();
    act::close_for_evidence(world, permit, ended)
}
