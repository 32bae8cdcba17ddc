//! APT repositories: a folder with a `Release` file, or an archive with several under `dists`.
//!
//! One repository after the other, each under its own lock. The active generation signs, and with it the retiring
//! ones that still may, so that clients with either keyring accept it.

use super::cab::{self, Cab};
use super::chunk::{Finished, Signed};
use super::inputs::Job;
use super::{SignArgs, again, choose_key, leave, pack, replay};
use crate::clock::Laps;
use crate::commands::{act, openpgp, recover};
use crate::error::{Error, Result};
use crate::files::lock::NamedLock;
use crate::files::shown_path;
use crate::formats::apt::{place, road};
use crate::gate::{self, Failure, Permit, Warrant};
use crate::keys::{Credential, Generation, State};
use crate::ledger::query;
use crate::model::{GenerationId, Hash256, HashAlgorithm, KeyName, Purpose};
use crate::outcome::{self, Receipt};
use crate::pki::openpgp::certificate::{Certificate, SigningKeyInfo};
use crate::policy::rules::KEYRING_OPTION;
use crate::policy::signing::RE_SIGN_REQUIRED;
use crate::policy::{Decision, rules};
use crate::request::{PackReference, Provenance, Request, Role, SignArtifact};
use crate::world::World;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The option that says where the repository is, for `recover`.
pub(in crate::commands) const FOLDER_OPTION: &str = crate::request::FOLDER;

/// What is the same for every repository of a run.
pub(super) struct Plan {
    key: KeyName,
    /// The active generation, then the retiring ones that sign along.
    generations: Vec<Generation>,
    certificates: Vec<Certificate>,
    keyring: Option<Hash256>,
    pack: Option<PackReference>,
    provenance: Option<Provenance>,
    is_sandboxed: bool,
    again: bool,
    cab: Option<Cab>,
    command: Vec<String>,
}

/// Finds the keys.
///
/// # Errors
/// No key fits, or several; flags that say nothing about a repository.
pub(super) fn plan(args: &SignArgs, world: &World) -> Result<Plan> {
    let odd = [
        (args.to.is_some(), "--to"),
        (args.append, "--append"),
        (args.page_hashes, "--page-hashes"),
        (args.program_name.is_some(), "--program-name"),
        (args.program_url.is_some(), "--program-url"),
        (args.timestamps.are_named(), "--timestamp"),
    ];
    if let Some((_, flag)) = odd.into_iter().find(|(given, _)| *given) {
        let message = format!("{flag} does not go with a folder: a repository is signed in place, whole");
        return Err(Error::usage("not_for_repositories", message));
    }
    let key = choose_key(world, args.key.as_ref(), Purpose::Apt)?;
    Ok(Plan {
        pack: args.for_pack.as_deref().map(pack::read).transpose()?,
        provenance: pack::provenance(args),
        is_sandboxed: args.sandbox,
        again: args.re_sign,
        cab: cab::given(args)?,
        command: leave::command(args)?,
        ..plan_of(world, key)?
    })
}

/// The key's part of the plan.
fn plan_of(world: &World, key: KeyName) -> Result<Plan> {
    let active = world.active(&key)?;
    if active.purpose != Purpose::Apt {
        let message = format!("{key} is for {}; repositories are signed with a key for apt", active.purpose);
        return Err(Error::blocked("wrong_purpose", message).hint("keyctl status"));
    }
    let mut generations = vec![active];
    generations.extend(cosigners(world, &key)?);
    Ok(Plan {
        generations,
        certificates: openpgp::certificates(world, &key)?,
        keyring: openpgp::keyring_hash(world, &key)?,
        key,
        pack: None,
        provenance: None,
        is_sandboxed: false,
        again: false,
        cab: None,
        command: Vec::new(),
    })
}

/// Retiring generations sign along until their own gates stop them.
fn cosigners(world: &World, key: &KeyName) -> Result<Vec<Generation>> {
    let settings = query::settings(world.ledger.connection())?.settings;
    let (environment, now) = (world.genesis.environment, world.globals.clock.now());
    let mut found = Vec::new();
    for generation in query::generations(world.ledger.connection())? {
        if generation.id.key != *key || generation.state != State::Retiring {
            continue;
        }
        let mut gates = rules::cosigning_gates(&generation, &settings, environment, now);
        gates.push(openpgp::keyring_gate(world, &generation, &settings)?);
        match Decision::from_gates(gates) {
            Decision::Allow(_) => found.push(generation),
            _ => world.ui().detail(&format!("{} signs no more; only newer generations do", generation.id)),
        }
    }
    Ok(found)
}

/// Every repository in the folders that were named.
///
/// # Errors
/// A folder has none.
pub(super) fn expand(folders: Vec<Job>) -> (Vec<PathBuf>, Vec<Finished>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for job in folders {
        match road::find(&job.file) {
            Ok(repositories) => found.extend(repositories),
            Err(error) => failed.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    found.dedup();
    (found, failed)
}

/// Signs one repository.
pub(super) fn sign(world: &mut World, plan: &Plan, dir: &Path, stop: &AtomicBool) -> Signed {
    let mut signed = Signed { finished: Vec::new(), no_evidence: None, hung: false, laps: Laps::default() };
    let result = sign_one(world, plan, dir, stop, &mut signed);
    signed.finished.push(Finished { file: dir.to_owned(), result });
    signed
}

fn sign_one(
    world: &mut World,
    plan: &Plan,
    dir: &Path,
    stop: &AtomicBool,
    signed: &mut Signed,
) -> Result<(Receipt, PathBuf)> {
    let dir = dir.canonicalize()?;
    let _lock = lock(world, &dir)?;
    report_recovered(world, &dir)?;
    if plan.is_sandboxed {
        spare_strangers(world, &dir)?;
    }
    if let Some(stored) = stored(world, plan, &dir)? {
        return Ok(stored);
    }
    let (prepared, request) = signed.laps.lap("read", || prepare(world, plan, &dir))?;
    for note in prepared.notes() {
        world.ui().warn(note);
    }
    if stop.load(Ordering::SeqCst) {
        return Err(Error::new(crate::error::Kind::Interrupted, "interrupted", "nothing was signed"));
    }
    let leave = leave::ask(world, &plan.command, std::slice::from_ref(&dir), std::slice::from_ref(&request))?;
    let permit = signed.laps.lap("gate", || admit(world, leave.as_ref(), request))?;
    let result = finish(&world.store, plan, prepared, &permit, &mut signed.laps);
    signed.hung = result.as_ref().is_err_and(|failure| failure.unknown);
    close(world, permit, result, signed)
}

fn admit(world: &mut World, leave: Option<&Warrant>, request: Request<SignArtifact>) -> Result<Permit<SignArtifact>> {
    let process = world.process()?;
    let warrant = leave.or(world.warrant.as_ref());
    let answers = gate::admit(&mut world.ledger, &process, warrant, vec![request])?;
    let answer = answers.into_iter().next().ok_or_else(|| Error::bug("the gate gave no answer"))?;
    let permit = answer.map_err(|refusal| leave::advised(refusal.error))?;
    for gate in permit.gates().iter().filter(|gate| gate.name == RE_SIGN_REQUIRED) {
        world.ui().warn(&format!("{}; {}", gate.input, gate.limit));
    }
    Ok(permit)
}

/// What a dry run shows. Nothing is written and no key is touched.
///
/// # Errors
/// As signing.
pub(super) fn preview(world: &mut World, plan: &Plan, dir: &Path) -> Result<(Request<SignArtifact>, Decision)> {
    let dir = dir.canonicalize()?;
    let (_, mut request) = prepare(world, plan, &dir)?;
    leave::as_if_proven(world, std::slice::from_mut(&mut request))?;
    recover::refuse_orphans(world, request.signatures.iter().map(|covered| &covered.hsm))?;
    let handed_in = plan.cab.as_ref().and_then(|cab| cab.handed_in(world));
    let decision = gate::preview_on(&mut world.ledger, handed_in.as_ref(), std::slice::from_ref(&request))?;
    let decision = decision.into_iter().next();
    Ok((request, decision.ok_or_else(|| Error::bug("the gate gave no answer"))?))
}

/// Locks a repository for one process of this workspace at a time.
///
/// # Errors
/// Another process holds it.
pub(in crate::commands) fn lock(world: &World, dir: &Path) -> Result<NamedLock> {
    use std::os::unix::ffi::OsStrExt;
    let hash = Hash256::of(dir.as_os_str().as_bytes()).to_string();
    let name = format!("apt-{}", hash.get(..32).unwrap_or_default());
    NamedLock::acquire(&world.dir.join("locks"), &name, Duration::from_secs(10)).map_err(|e| e.about(shown_path(dir)))
}

fn report_recovered(world: &World, dir: &Path) -> Result<()> {
    match place::recover(dir)? {
        place::Recovered::Nothing => {}
        place::Recovered::Finished => {
            world.ui().warn(&format!("{}: an interrupted placing was finished first", shown_path(dir)));
        }
        place::Recovered::Restored => {
            world.ui().warn(&format!("{}: an interrupted placing was taken back first", shown_path(dir)));
        }
    }
    Ok(())
}

/// A trial must not take the place of real signatures.
fn spare_strangers(world: &World, dir: &Path) -> Result<()> {
    let Some(hash) = road::hash_of(&dir.join("InRelease"))? else { return Ok(()) };
    if query::signed_into(world.ledger.connection(), &hash)?.is_some() {
        return Ok(());
    }
    let message = "there is an InRelease that this sandbox did not make";
    Err(Error::blocked("foreign_in_release", message).hint("try it on a copy of the repository"))
}

/// The stored result, if this `Release` was signed under this correlation id and the signed form is still there.
fn stored(world: &mut World, plan: &Plan, dir: &Path) -> Result<Option<(Receipt, PathBuf)>> {
    let id = world.globals.correlation_id.clone();
    if !query::knows_correlation(world.ledger.connection(), &id, "sign")? {
        return Ok(None);
    }
    let (before, after) = (road::hash_of(&dir.join("Release"))?, road::hash_of(&dir.join("InRelease"))?);
    let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
    let known = |hash: &Hash256| query::signed_as(world.ledger.connection(), &id, "sign", hash, u64::MAX);
    match (known(&before)?, known(&after)?) {
        (Some(_), Some(seq)) => {
            let mut options = options(plan, dir);
            options.remove(KEYRING_OPTION);
            let wanted =
                replay::Wanted { key: &plan.key, options: &options, pack: plan.pack.as_ref(), again: plan.again };
            replay::again(world, &wanted, seq).map(Some)
        }
        _ => Ok(None),
    }
}

fn options(plan: &Plan, dir: &Path) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    if let Some(hash) = plan.keyring {
        options.insert(KEYRING_OPTION.to_owned(), hash.to_string());
    }
    if let Some(dir) = dir.to_str() {
        options.insert(FOLDER_OPTION.to_owned(), dir.to_owned());
    }
    options
}

fn prepare(world: &World, plan: &Plan, dir: &Path) -> Result<(road::Prepared, Request<SignArtifact>)> {
    let now = world.globals.clock.now();
    let signers =
        plan.generations.iter().map(|generation| signer(plan, generation, now)).collect::<Result<Vec<_>>>()?;
    let wants_sha512 = plan.pack.as_ref().is_some_and(|pack| pack.hash_algorithm == HashAlgorithm::Sha512);
    let prepared = road::prepare(dir, &signers, now, wants_sha512)?;
    let ids: Vec<GenerationId> = plan.generations.iter().map(|generation| generation.id.clone()).collect();
    let (active, cosigners) = ids.split_first().ok_or_else(|| Error::bug("a plan without a key"))?;
    let mut params = prepared.params(active, cosigners, options(plan, dir));
    params.pack.clone_from(&plan.pack);
    params.provenance.clone_from(&plan.provenance);
    params.cab = plan.cab.as_ref().map(|cab| cab.reference.clone());
    if plan.again {
        // What is out there is the signed form; the index may be another by now.
        let signed = road::hash_of(&dir.join("InRelease"))?.unwrap_or(prepared.hash_before());
        params.resigns = Some(again::found(world, &signed, &params.content_digest)?);
    }
    let mut request = world.request(prepared.hash_before().to_string(), params);
    leave::as_planned(world, std::slice::from_mut(&mut request))?;
    for unsigned in prepared.unsigned() {
        let spki = unsigned.signer().spki_hash();
        let owner = plan.generations.iter().find(|g| g.identity().is_ok_and(|identity| identity.spki_sha256 == spki));
        let owner = owner.ok_or_else(|| Error::bug("a signature by a key that is not in the plan"))?;
        request.signatures.push(act::covered(Role::Artifact, spki, owner.copy()?, unsigned.tbs()));
    }
    Ok((prepared, request))
}

/// What the certificate says of a generation's subkey now.
fn signer(plan: &Plan, generation: &Generation, now: crate::clock::Time) -> Result<SigningKeyInfo> {
    let Some(Credential::OpenPgp { fingerprint, .. }) = generation.credential() else {
        return Err(Error::blocked("no_certificate", format!("{} has no OpenPGP certificate", generation.id)));
    };
    let fingerprint = fingerprint.to_uppercase();
    let mut last = Error::blocked("no_certificate", format!("{} is in no certificate", generation.id));
    for certificate in &plan.certificates {
        match certificate.signing_key(&fingerprint, now) {
            Ok(info) => return Ok(info),
            Err(error) if error.code() == "openpgp_key_missing" => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Keys, format, place: from the permit to the files under their names.
fn finish(
    store: &crate::hsm::store::Store,
    plan: &Plan,
    prepared: road::Prepared,
    permit: &Permit<SignArtifact>,
    laps: &mut Laps,
) -> Result<road::Placed, Failure> {
    let mut keys = Vec::new();
    for generation in &plan.generations {
        let identity = generation.identity()?;
        keys.push((identity.spki_sha256, store.open(permit, Role::Artifact, identity)?));
    }
    let made = laps.lap("token and verify", || prepared.sign(&keys))?;
    Ok(laps.lap("place", || made.place())?)
}

fn close(
    world: &mut World,
    permit: Permit<SignArtifact>,
    result: Result<road::Placed, Failure>,
    signed: &mut Signed,
) -> Result<(Receipt, PathBuf)> {
    let done = vec![(permit, result)];
    let answers = signed.laps.lap("outcome", || outcome::close(&mut world.ledger, crate::world::tool(), done))?;
    let receipt = answers.into_iter().next().ok_or_else(|| Error::bug("closing gave no answer"))??;
    // The signatures are made and recorded; if the ledger key cannot be reached, only their evidence waits.
    signed.no_evidence = signed.laps.lap("evidence", || world.fragments(std::slice::from_ref(&receipt))).err();
    let path = world.fragment_path(&receipt)?;
    Ok((receipt, path))
}

#[cfg(test)]
mod tests;
