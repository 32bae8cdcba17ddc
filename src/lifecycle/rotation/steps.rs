//! The edges of a rotation. Each goes the whole road: request, gate, key, outcome.

use crate::error::{Error, Result};
use crate::files::safe;
use crate::gate::{Consent, Failure, Permit};
use crate::keys::rotation::{Edge, Link};
use crate::keys::{Credential, Generation, State};
use crate::ledger::query::rotation as recorded;
use crate::lifecycle::revocation::tell;
use crate::lifecycle::rotation::facts::{Known, last_done};
use crate::lifecycle::rotation::options::Options;
use crate::lifecycle::rotation::standing;
use crate::lifecycle::{certify, csr, generate, pipelines};
use crate::model::{GenerationId, Hash256, Purpose, Signature, unhex};
use crate::outcome::{self, Receipt};
use crate::pki::certificate::Certificate;
use crate::pki::issue::{self, Draft, Linted};
use crate::pki::proof::{self, Tested};
use crate::pki::published::{self, InPlace};
use crate::pki::serial::Serial;
use crate::pki::takeover::{Proof, Takeover};
use crate::pki::{link, pem};
use crate::published::{keyring_files, keyrings, worktree};
use crate::request::{
    ActivateKey, GenerateKey, LinkRoots, MakeCsr, Operation, PublishMetadata, Request, Role, TestKey,
};
use crate::world::{World, act};
use base64ct::{Base64, Encoding};
use serde_json::Value;
use std::path::PathBuf;

/// Why a successor is staged, a predecessor retired, and a successor given up.
pub(crate) const STAGED: &str = "published and tested, ready to take over";

pub(crate) const RETIRED: &str = "the overlap is over";

pub(crate) const DISCARDED: &str = "it grew too old before it could take over";

/// Does one step; gives the receipt of the takeover.
pub(crate) fn take(
    world: &mut World,
    consent: &Consent,
    known: &Known,
    step: &Edge,
    options: &Options,
) -> Result<Option<Receipt>> {
    let key = &known.key;
    match step {
        Edge::Generate => {
            // Before anything is planned on a token that is away.
            world.store.token(key.first_hsm()?)?;
            generate::generate(world, consent, &known.name).map(drop)?;
        }
        Edge::Certify(id) => {
            let generation = known.generation(id)?;
            certify::certify(world, consent, generation, key).map(drop)?;
        }
        Edge::Request(id) => request_certificate(world, consent, known, id, options)?,
        Edge::Link(id, link) => {
            let (new, old) = (known.generation(id)?, predecessor(known)?);
            let (subject, issuer) = match link {
                Link::NewWithOld => (new, old),
                Link::OldWithNew => (old, new),
            };
            link_roots(world, consent, subject, issuer)?;
        }
        Edge::Publish(id) => publish(world, known, id)?,
        Edge::Test(id) => test(world, consent, known, id)?,
        Edge::Stage(id) => {
            act::change_state(world, consent, known.generation(id)?, State::Staged, STAGED).map(drop)?;
        }
        Edge::UpdatePipelines(id) => {
            pipelines::update(world, known.generation(id)?, known.active()).map(drop)?;
        }
        Edge::Activate(id) => return activate(world, consent, known, id, options).map(Some),
        Edge::Retire(id, to) => {
            act::change_state(world, consent, known.generation(id)?, *to, RETIRED).map(drop)?;
        }
        Edge::Revoke(id) => tell::supersede(world, consent, id)?,
        Edge::Discard(id) => {
            act::change_state(world, consent, known.generation(id)?, State::Retired, DISCARDED).map(drop)?;
        }
    }
    Ok(None)
}

pub(crate) fn predecessor(known: &Known) -> Result<&Generation> {
    known.active().ok_or_else(|| Error::bug(format!("{} has no active generation to link with", known.name)))
}

/// Where a certificate signing request goes.
pub(crate) fn csr_file(world: &World, options: &Options, id: &GenerationId) -> PathBuf {
    let default = || world.dir.join("requests").join(format!("{}-{}.csr", id.key, id.number));
    options.csr.clone().unwrap_or_else(default)
}

fn request_certificate(
    world: &mut World,
    consent: &Consent,
    known: &Known,
    id: &GenerationId,
    options: &Options,
) -> Result<()> {
    let path = csr_file(world, options, id);
    // Its own place may hold what an interruption left; nothing else is written over.
    csr::write_csr(world, consent, (known.generation(id)?, &known.key), &path, options.csr.is_none())
}

/// Writes the request that was made earlier again, if it is not where it should be; gives its place.
pub(crate) fn restore_csr(world: &World, options: &Options, id: &GenerationId) -> Result<PathBuf> {
    let path = csr_file(world, options, id);
    if let (false, Some(receipt)) = (path.exists(), last_done(world, MakeCsr::ENTRY, id)?) {
        let csr = receipt.outcome().body.pointer("/done/csr").and_then(Value::as_str).unwrap_or_default();
        let pem = pem::encode(pem::label::REQUEST, &bytes(csr)?)?;
        safe::write_new(&path, pem.as_bytes(), 0o644)?;
    }
    Ok(path)
}

/// The link between two roots, rehearsed. The same serial number gives the same bytes.
pub(crate) fn rehearsed_link(
    world: &World,
    subject: &Generation,
    issuer: &Generation,
    serial: Serial,
) -> Result<Linted> {
    let certificate = |generation: &Generation| {
        let none = || Error::blocked("no_certificate", format!("{} has no certificate", generation.id));
        Certificate::parse(generation.identity()?.x509().ok_or_else(none)?)
    };
    let plan = link::plan(&certificate(subject)?, &certificate(issuer)?, serial, world.genesis.environment)?;
    issue::rehearse(Draft::new(plan)?)
}

/// A serial number as an intent or a plan has it.
pub(crate) fn serial(hex: &str) -> Result<Serial> {
    let bytes = unhex(hex).and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
    Serial::from_bytes(bytes.ok_or_else(|| Error::failed("bad_entry", "a reserved serial number cannot be read"))?)
}

fn link_roots(world: &mut World, consent: &Consent, subject: &Generation, issuer: &Generation) -> Result<()> {
    let object = LinkRoots::object(&subject.id, &issuer.id);
    let number = serial(&consent.plan().param::<String>(LinkRoots::KIND, &object, "serial")?)?;
    let linted = rehearsed_link(world, subject, issuer, number)?;
    let draft = linted.draft();
    let params = LinkRoots {
        generation: subject.id.clone(),
        issuer: issuer.id.clone(),
        serial: draft.serial_hex(),
        tbs_sha256: draft.tbs_hash(),
        template_sha256: draft.template_hash(),
        not_after: draft.validity().not_after,
    };
    let mut request = world.request(object, params);
    let spki = issuer.identity()?.spki_sha256;
    request.signatures = vec![act::covered(Role::Issuer, spki, issuer.copy()?, &linted.tbs())];
    let permit = act::admit(world, consent, request)?;
    link_with(world, permit, &linted, issuer)
}

/// Has the issuer sign a link that was rehearsed.
pub(crate) fn link_with(
    world: &mut World,
    permit: Permit<LinkRoots>,
    linted: &Linted,
    issuer: &Generation,
) -> Result<()> {
    let issued = world.store.open(&permit, Role::Issuer, issuer.identity()?).and_then(|key| {
        let signature = key.sign(&linted.tbs())?;
        Ok(linted.issue(&signature, issuer.id.clone())?)
    });
    act::close(world, permit, issued)
}

fn publish(world: &mut World, known: &Known, id: &GenerationId) -> Result<()> {
    let generation = known.generation(id)?;
    if generation.purpose == Purpose::Apt {
        keyrings::publish(world)?;
    } else {
        let files = standing::files(world, generation, known.active())?;
        let params = PublishMetadata { generation: id.clone(), files: published::hashes(&files) };
        let request = world.request(id.to_string(), params);
        let permit = act::admit(world, &Consent::of_consequence(), request)?;
        let put = published::put(&world.dir.join("published"), &files);
        act::close(world, permit, put.map_err(Into::into))?;
    }
    // As far as the settings want it: what others cannot have yet is not published.
    worktree::publish_now(world).map(drop)
}

/// Publishes under a permit that was interrupted.
///
/// # Errors
/// The files are not those of the permit any more.
pub(crate) fn publish_with(world: &mut World, known: &Known, permit: Permit<PublishMetadata>) -> Result<()> {
    let generation = known.generation(&permit.request().params.generation)?;
    let files = standing::files(world, generation, known.active())?;
    let put = if published::hashes(&files) == permit.request().params.files {
        published::put(&world.dir.join("published"), &files)
    } else {
        Err(Error::failed("interrupted", "there are other files to publish by now"))
    };
    match put {
        Ok(put) => act::close(world, permit, Ok(put)),
        Err(error) => act::close_failed::<_, InPlace>(world, permit, error.into()),
    }
}

/// The one signature that a test takes.
fn test_request(world: &World, generation: &Generation, params: TestKey) -> Result<Request<TestKey>> {
    let identity = generation.identity()?;
    let tbs = proof::test_message(&params, identity.algorithm);
    let mut request = world.request(generation.id.to_string(), params);
    request.signatures = vec![act::covered(Role::Test, identity.spki_sha256, generation.copy()?, &tbs)];
    Ok(request)
}

fn test(world: &mut World, consent: &Consent, known: &Known, id: &GenerationId) -> Result<()> {
    let generation = known.generation(id)?;
    let object = id.to_string();
    let nonce = consent.plan().param(TestKey::KIND, &object, "nonce")?;
    let certificate = generation.credential().map(Credential::fingerprint).unwrap_or_default();
    let params = TestKey { generation: id.clone(), certificate, nonce };
    let request = test_request(world, generation, params)?;
    let permit = act::admit(world, consent, request)?;
    test_with(world, known, permit)
}

/// Has the key sign, and checks that with what is published.
pub(crate) fn test_with(world: &mut World, known: &Known, permit: Permit<TestKey>) -> Result<()> {
    let tested = tested(world, known, &permit);
    act::close(world, permit, tested)
}

fn tested(world: &World, known: &Known, permit: &Permit<TestKey>) -> Result<Tested, Failure> {
    let params = &permit.request().params;
    let generation = known.generation(&params.generation)?;
    let identity = generation.identity()?;
    // First how others see it: a key that nobody would trust signs nothing.
    let standing = standing::of(world, generation, known.active())?;
    let tbs = proof::test_message(params, identity.algorithm);
    let signature = world.store.open(permit, Role::Test, identity)?.sign(&tbs)?;
    Ok(Tested::check(standing, &tbs, signature)?)
}

fn activate(
    world: &mut World,
    consent: &Consent,
    known: &Known,
    id: &GenerationId,
    options: &Options,
) -> Result<Receipt> {
    let generation = known.generation(id)?;
    let keyring = match generation.purpose {
        Purpose::Apt => keyring_files::keyring_hash(world, &id.key)?,
        _ => None,
    };
    confirm(world, known, generation, keyring)?;
    let request = world.request(id.to_string(), activation(known, id, options, keyring));
    let permit = act::admit(world, consent, request).map_err(advise)?;
    activate_with(world, known, permit)
}

/// Before anybody counts on the new key, a remote is asked whether it has what was published.
fn confirm(world: &World, known: &Known, generation: &Generation, keyring: Option<Hash256>) -> Result<()> {
    let mut files = published::hashes(&standing::files(world, generation, known.active())?);
    files.extend(keyring.map(|sha256| (keyring_files::keyring_file(&generation.id.key), sha256)));
    let files: Vec<_> = files.iter().map(|(name, sha256)| (name.as_str(), *sha256)).collect();
    worktree::confirm(world, &files)
}

/// What is asked of the gate when a generation takes over.
pub(crate) fn activation(
    known: &Known,
    id: &GenerationId,
    options: &Options,
    keyring_sha256: Option<Hash256>,
) -> ActivateKey {
    ActivateKey {
        generation: id.clone(),
        predecessor: known.active().map(|active| active.id.clone()),
        publisher_change: options.publisher_change,
        keyring_sha256,
        reason: options.reason.clone().unwrap_or_else(|| "rotation".into()),
    }
}

/// The one refusal that a flag is for.
fn advise(error: Error) -> Error {
    if error.code() == "gate_failed" && error.message().contains("SubjectContinuity") {
        return error.hint("Windows would see another publisher; if that is wanted: --publisher-change");
    }
    error
}

/// Checks the proofs and lets the successor take over.
pub(crate) fn activate_with(world: &mut World, known: &Known, permit: Permit<ActivateKey>) -> Result<Receipt> {
    let checked = takeover(world, known, permit.request()).map_err(Into::into);
    let answers = outcome::close(&mut world.ledger, crate::world::tool(), vec![(permit, checked)])?;
    let receipt = answers.into_iter().next().ok_or_else(|| Error::bug("closing gave no answer"))??;
    world.fragments(std::slice::from_ref(&receipt))?;
    Ok(receipt)
}

fn takeover(world: &World, known: &Known, request: &Request<ActivateKey>) -> Result<crate::pki::takeover::TakenOver> {
    let params = &request.params;
    let new = known.generation(&params.generation)?;
    let old = params.predecessor.as_ref().map(|old| known.generation(old)).transpose()?;
    let missing = |what: &str| Error::failed("proof_missing", format!("the ledger has no {what} of {}", new.id));
    let made = last_done(world, GenerateKey::ENTRY, &new.id)?.ok_or_else(|| missing("making"))?;
    let fingerprint = new.credential().map(Credential::fingerprint).unwrap_or_default();
    let tested = recorded::tested(world.ledger.connection(), &new.id, &fingerprint)?;
    let tested = Receipt::load(&world.ledger, tested.ok_or_else(|| missing("test"))?)?;
    Takeover {
        old,
        new,
        standing: standing::of(world, new, old)?,
        possession: proof_in(&made, "/done/proof_of_possession")?,
        test: proof_in(&tested, "/done/test_signature/signature")?,
        published: recorded::published_files(world.ledger.connection(), &new.id)?,
        approvals: &request.approvals,
        correlation_id: &request.correlation_id,
        publisher_change: params.publisher_change,
    }
    .check()
}

/// A proof as its two leaves have it.
fn proof_in<P: Operation>(receipt: &Receipt, path: &str) -> Result<Proof<P>> {
    let broken = || Error::failed("bad_entry", format!("entry {} holds no proof", receipt.outcome().seq));
    let params = receipt.params()?;
    let signature = receipt.outcome().body.pointer(path).and_then(Value::as_str).ok_or_else(broken)?;
    Ok(Proof { seq: receipt.outcome().seq, params, signature: Signature(bytes(signature)?) })
}

fn bytes(base64: &str) -> Result<Vec<u8>> {
    Base64::decode_vec(base64)
        .map_err(|_| Error::failed("bad_entry", "what should be base64 in the ledger is something else"))
}
