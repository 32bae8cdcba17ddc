//! Certificate signing requests, for keys whose certificate comes from elsewhere.

use crate::config::Key;
use crate::error::Result;
use crate::files::safe;
use crate::gate::Consent;
use crate::keys::Generation;
use crate::lifecycle::certify::subject;
use crate::model::{GenerationId, HashAlgorithm};
use crate::people::request::Step;
use crate::pki::csr::RequestDraft;
use crate::request::{MakeCsr, Operation, Role};
use crate::world::{World, act};

/// Has a key sign a request for its certificate, and writes that to `path`; over a file that is there only if told so.
pub(crate) fn write_csr(
    world: &mut World,
    consent: &Consent,
    (generation, key): (&Generation, &Key),
    path: &std::path::Path,
    replace: bool,
) -> Result<()> {
    let identity = generation.identity()?;
    let subject = subject(key)?;
    let draft =
        RequestDraft::new(&subject, &identity.public_key()?, identity.algorithm.mechanism(HashAlgorithm::Sha256))?;
    let tbs = draft.tbs();
    let id = generation.id.clone();
    let params = MakeCsr { generation: id.clone(), subject: subject.to_string(), tbs_sha256: draft.tbs_hash() };
    let mut request = world.request(id.to_string(), params);
    request.signatures = vec![act::covered(Role::Subject, identity.spki_sha256, generation.copy()?, &tbs)];
    let permit = act::admit(world, consent, request)?;
    let made = world.store.open(&permit, Role::Subject, identity).and_then(|key| {
        let csr = draft.make(&key.sign(&tbs)?)?;
        let write = if replace { safe::write_atomic } else { safe::write_new };
        write(path, csr.pem()?.as_bytes(), 0o644)?;
        Ok(csr)
    });
    act::close(world, permit, made)
}

/// A certificate signing request.
pub(crate) fn request(id: &GenerationId, key: &Key) -> Result<Step> {
    let params = serde_json::json!({ "generation": id, "subject": subject(key)?.to_string() });
    Ok(Step { operation: crate::request::MakeCsr::NAME.into(), object: id.to_string(), params })
}
