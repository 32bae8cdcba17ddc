//! APT repositories: a folder with a `Release` file, or an archive with several under `dists`.
//!
//! One repository after the other, each under its own lock. The active generation signs, and with it the retiring
//! ones that still may, so that clients with either keyring accept it.

use super::earlier::{self, Known};
use super::inputs::Job;
use super::kept::{self, Folder};
use super::options::Options;
use super::release::{self, Placed, Prepared};
use super::release_files::{self, Recovered};
use super::request::{Generations, Terms, covered, request};
use super::{Batch, Finished, How, Preview, Stored, admission, adopt, approval, choose, replay};
use crate::clock::Laps;
use crate::error::{Error, Kind, Result};
use crate::files::lock::NamedLock;
use crate::files::shown_path;
use crate::formats::apt::folder::{Survey, hash_of, survey};
use crate::formats::apt::sign::Signed as SignedRelease;
use crate::formats::file::Existing;
use crate::gate::{Failure, Permit};
use crate::hsm::store::Store;
use crate::keys::{Credential, Generation, State};
use crate::ledger::query;
use crate::model::{Environment, GenerationId, Hash256, HashAlgorithm, KeyName, Purpose};
use crate::pki::openpgp::certificate::{Certificate, SigningKeyInfo};
use crate::policy::Decision;
use crate::policy::rules::{self, KEYRING_OPTION};
use crate::published::keyring_files;
use crate::request::{FOLDER, Request, Role, SignArtifact};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The key of a run's repositories, with what goes along.
pub(crate) struct Keys {
    name: KeyName,
    /// The active generation, then the retiring ones that sign along.
    generations: Vec<Generation>,
    certificates: Vec<Certificate>,
    keyring: Option<Hash256>,
}

/// What is the same for every repository of a run.
pub(super) struct Setup<'t> {
    /// What the requests say beside the repositories.
    pub terms: &'t Terms,
    /// Who signs.
    pub keys: &'t Keys,
    /// The ledger's size when the run began; what was signed before that may be given again.
    pub began: u64,
}

/// Finds the keys.
///
/// # Errors
/// No key fits, or several; options that say nothing about a repository.
pub(super) fn keys(options: &Options, world: &World) -> Result<Keys> {
    let odd = [
        (options.to.is_some(), "--to"),
        (options.shape.existing == Existing::Append, "--append"),
        (options.shape.hash != HashAlgorithm::Sha256, "--hash"),
        (options.shape.page_hashes, "--page-hashes"),
        (options.shape.program_name.is_some(), "--program-name"),
        (options.shape.program_url.is_some(), "--program-url"),
        (options.timestamps.are_named(), "--timestamp"),
    ];
    if let Some((_, flag)) = odd.into_iter().find(|(given, _)| *given) {
        let message = format!("{flag} does not go with a folder: a repository is signed in place, whole");
        return Err(Error::usage("not_for_repositories", message));
    }
    Keys::of(world, choose::key(world, options.key.as_ref(), Purpose::Apt)?)
}

impl Keys {
    /// The generations of a key that sign now.
    ///
    /// # Errors
    /// It has no active one, or is for something else.
    pub(crate) fn of(world: &World, name: KeyName) -> Result<Self> {
        let active = world.active(&name)?;
        if active.purpose != Purpose::Apt {
            let message = format!("{name} is for {}; repositories are signed with a key for apt", active.purpose);
            return Err(Error::blocked("wrong_purpose", message).hint("keyctl status"));
        }
        let mut generations = vec![active];
        generations.extend(cosigners(world, &name)?);
        Ok(Keys {
            generations,
            certificates: keyring_files::certificates(world, &name)?,
            keyring: keyring_files::keyring_hash(world, &name)?,
            name,
        })
    }
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
        gates.push(keyring_files::keyring_gate(world, &generation, &settings)?);
        match Decision::from_gates(gates) {
            Decision::Allow(_) => found.push(generation),
            _ => world.ui().detail(&format!("{} signs no more; only newer generations do", generation.id)),
        }
    }
    Ok(found)
}

/// Every repository in the folders that were named, and the folders that have none.
pub(super) fn expand(folders: Vec<Job>) -> (Vec<PathBuf>, Vec<Finished>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for job in folders {
        match survey(&job.file) {
            Ok(Survey { suites, elsewhere }) => {
                let (whole, without): (Vec<_>, Vec<_>) =
                    suites.into_iter().partition(|suite| suite.join("Release").is_file());
                found.extend(whole);
                failed.extend(without.into_iter().map(|file| Finished { file, result: Err(without_release()) }));
                failed.extend(elsewhere.into_iter().map(|file| Finished { result: Err(leads_away(&file)), file }));
            }
            Err(error) => failed.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|dir: &PathBuf| seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone())));
    (found, failed)
}

fn without_release() -> Error {
    Error::failed("no_release", "there is an InRelease and no Release file that could be signed")
        .hint("make the Release file again")
}

fn leads_away(link: &Path) -> Error {
    let target = link.canonicalize().map(|target| shown_path(&target)).unwrap_or_default();
    Error::failed("suite_elsewhere", "a symlink that leads out of the folder; what is there was not named")
        .hint(format!("keyctl sign {target}"))
}

/// Signs one repository.
pub(super) fn sign(world: &mut World, plan: &Setup<'_>, dir: &Path, stop: &AtomicBool) -> Batch {
    let mut batch = Batch::default();
    let result = sign_one(world, plan, dir, stop, &mut batch);
    batch.finished.push(Finished { file: dir.to_owned(), result });
    batch
}

fn sign_one(
    world: &mut World,
    plan: &Setup<'_>,
    dir: &Path,
    stop: &AtomicBool,
    batch: &mut Batch,
) -> Result<(Stored, How)> {
    let dir = dir.canonicalize()?;
    let _lock = lock(world, &dir)?;
    report_recovered(world, &dir)?;
    if let Some(adopted) = adopt::release::recover_all(world, &dir)? {
        return Ok((adopted, How::Adopted));
    }
    // A trial takes the place of nobody's signatures.
    if plan.terms.is_sandboxed || world.genesis.environment == Environment::Sandbox {
        spare_strangers(world, &dir)?;
    }
    if let Some(replayed) = replayed(world, plan, &dir)? {
        return Ok(replayed);
    }
    let (prepared, request) = batch.laps.lap("read", || prepare(world, plan, &dir))?;
    for note in prepared.notes() {
        world.ui().warn(note);
    }
    if stop.load(Ordering::SeqCst) {
        return Err(Error::new(Kind::Interrupted, "interrupted", "nothing was signed"));
    }
    let answers = admission::admit(world, plan.terms, std::slice::from_ref(&dir), vec![request], batch)?;
    let permit = admission::only(answers)?;
    admission::marks(&permit).for_each(|mark| world.ui().warn(&mark));
    let evidence = world.dir.join("evidence");
    let result = finish(&world.store, plan, prepared, &evidence, &permit, &mut batch.laps);
    let answers = admission::close(world, batch, vec![(permit, result)])?;
    admission::only(answers).map(|stored| (stored, How::Signed))
}

/// What a dry run shows. Nothing is written and no key is touched.
///
/// # Errors
/// As signing.
pub(super) fn preview(world: &mut World, plan: &Setup<'_>, dir: &Path) -> Result<Preview> {
    let dir = dir.canonicalize()?;
    let (_, request) = prepare(world, plan, &dir)?;
    admission::only(admission::preview(world, plan.terms, vec![request])?.into_iter().map(Ok).collect())
}

/// Locks a repository for one process of this workspace at a time.
///
/// # Errors
/// Another process holds it.
pub(crate) fn lock(world: &World, dir: &Path) -> Result<NamedLock> {
    use std::os::unix::ffi::OsStrExt;
    let hash = Hash256::of(dir.as_os_str().as_bytes()).to_string();
    let name = format!("apt-{}", hash.get(..32).unwrap_or_default());
    NamedLock::acquire(&world.dir.join("locks"), &name, Duration::from_secs(10)).map_err(|e| e.about(shown_path(dir)))
}

fn report_recovered(world: &World, dir: &Path) -> Result<()> {
    match release_files::recover(dir)? {
        Recovered::Nothing => {}
        Recovered::Finished => {
            world.ui().warn(&format!("{}: an interrupted placing was finished first", shown_path(dir)));
        }
        Recovered::Restored => {
            world.ui().warn(&format!("{}: an interrupted placing was taken back first", shown_path(dir)));
        }
    }
    Ok(())
}

/// A trial must not take the place of real signatures.
fn spare_strangers(world: &World, dir: &Path) -> Result<()> {
    let Some(hash) = hash_of(&dir.join("InRelease"))? else { return Ok(()) };
    if query::signed_into(world.ledger.connection(), &hash)?.is_some() {
        return Ok(());
    }
    let message = "there is an InRelease that this sandbox did not make";
    Err(Error::blocked("foreign_in_release", message).hint("try it on a copy of the repository"))
}

/// What there is already, if this `Release` was signed under this correlation id: the signature files as they are, or
/// put in place again as they were.
fn replayed(world: &mut World, plan: &Setup<'_>, dir: &Path) -> Result<Option<(Stored, How)>> {
    let id = world.globals.correlation_id.clone();
    if !query::knows_correlation(world.ledger.connection(), &id, "sign")? {
        return Ok(None);
    }
    let Some(release) = hash_of(&dir.join("Release"))? else { return Ok(None) };
    let there = [hash_of(&dir.join("InRelease"))?, hash_of(&dir.join("Release.gpg"))?];
    let Some(known) = known(world, plan, dir, &release, there[0])? else { return Ok(None) };
    let wanted = earlier::Wanted { key: &plan.keys.name, options: &BTreeMap::new(), terms: plan.terms };
    let stored = earlier::stored(world, &wanted, &known)?;
    let done = stored.0.outcome().body.get("done").cloned().unwrap_or_default();
    let hash = |name: &str| done.get(name).and_then(|hash| hash.as_str()).and_then(|hash| hash.parse().ok());
    let then = [hash("in_release"), hash("release_gpg")];
    if then.iter().all(Option::is_some) && there == then {
        return Ok(Some((stored, How::Stored)));
    }
    let evidence = world.dir.join("evidence");
    let folder = Folder::of(&evidence, &known.params.artifact_id)?;
    let kept = kept::read_release(&folder, release);
    let is_it =
        |kept: &SignedRelease| then == [&kept.in_release, &kept.release_gpg].map(|file| Some(Hash256::of(file)));
    let gone = || {
        let gone = replay::gone(dir, &folder.file("InRelease"));
        gone.hint(plan.terms.anew(&world.globals.correlation_id, dir))
    };
    release::put(dir, &kept.filter(is_it).ok_or_else(gone)?)?;
    Ok(Some((stored, How::Replayed { to: None })))
}

/// The artifact of an earlier run that began with this `Release`: of several the one that is in place, else the one that
/// was made in this folder, else the oldest.
fn known(
    world: &World,
    plan: &Setup<'_>,
    dir: &Path,
    release: &Hash256,
    in_release: Option<Hash256>,
) -> Result<Option<Known>> {
    let id = &world.globals.correlation_id;
    let found = query::all_signed_as(world.ledger.connection(), id, "sign", release, plan.began)?;
    let known = found.into_iter().map(|seq| Ok(Known::load(world, seq)?.1)).collect::<Result<Vec<_>>>()?;
    let known = known.into_iter().filter(|known| known.params.format.is_repository());
    Ok(known.min_by_key(|known| (Some(known.hash_after) != in_release, known.params.repository() != dir.to_str())))
}

fn options(plan: &Setup<'_>, dir: &Path) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    if let Some(hash) = plan.keys.keyring {
        options.insert(KEYRING_OPTION.to_owned(), hash.to_string());
    }
    if let Some(dir) = dir.to_str() {
        options.insert(FOLDER.to_owned(), dir.to_owned());
    }
    options
}

fn prepare(world: &World, plan: &Setup<'_>, dir: &Path) -> Result<(Prepared, Request<SignArtifact>)> {
    let (keys, now) = (plan.keys, world.globals.clock.now());
    let signers =
        keys.generations.iter().map(|generation| signer(keys, generation, now)).collect::<Result<Vec<_>>>()?;
    let prepared = release::prepare(dir, &signers, now, plan.terms.packs.want_sha512())?;
    let ids: Vec<GenerationId> = keys.generations.iter().map(|generation| generation.id.clone()).collect();
    let (active, cosigners) = ids.split_first().ok_or_else(|| Error::bug("a plan without a key"))?;
    // What is out there is the signed form; the index may be another by now.
    let out_there = if plan.terms.re_signs { hash_of(&dir.join("InRelease"))? } else { None };
    let known_as = out_there.unwrap_or(prepared.hash_before());
    let subject = prepared.subject(options(plan, dir));
    let mut request = request(world, plan.terms, &Generations { active, cosigners }, subject, &known_as)?;
    approval::as_planned(plan.terms.agreed(), std::slice::from_mut(&mut request))?;
    for unsigned in prepared.unsigned() {
        let spki = unsigned.signer().spki_hash();
        let owner = keys.generations.iter().find(|g| g.identity().is_ok_and(|identity| identity.spki_sha256 == spki));
        let owner = owner.ok_or_else(|| Error::bug("a signature by a key that is not in the plan"))?;
        request.signatures.push(covered(spki, owner.copy()?, unsigned.tbs()));
    }
    Ok((prepared, request))
}

/// What the certificate says of a generation's subkey now.
fn signer(keys: &Keys, generation: &Generation, now: crate::clock::Time) -> Result<SigningKeyInfo> {
    let Some(Credential::OpenPgp { fingerprint, .. }) = generation.credential() else {
        return Err(Error::blocked("no_certificate", format!("{} has no OpenPGP certificate", generation.id)));
    };
    let fingerprint = fingerprint.to_uppercase();
    let mut last = Error::blocked("no_certificate", format!("{} is in no certificate", generation.id));
    for certificate in &keys.certificates {
        match certificate.signing_key(&fingerprint, now) {
            Ok(info) => return Ok(info),
            Err(error) if error.code() == "openpgp_key_missing" => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// From the permit to the files under their names.
fn finish(
    store: &Store,
    plan: &Setup<'_>,
    prepared: Prepared,
    evidence: &Path,
    permit: &Permit<SignArtifact>,
    laps: &mut Laps,
) -> Result<Placed, Failure> {
    let mut keys = Vec::new();
    for generation in &plan.keys.generations {
        let identity = generation.identity()?;
        keys.push((identity.spki_sha256, store.open(permit, Role::Artifact, identity)?));
    }
    let made = laps.lap("token and verify", || prepared.sign(&keys))?;
    let folder = Folder::of(evidence, &permit.request().params.artifact_id)?;
    Ok(laps.lap("place", || made.place(&folder))?)
}
