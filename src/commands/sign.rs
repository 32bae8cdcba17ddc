//! `sign`: artifacts, in chunks that share their ledger transactions and their checkpoint.

use super::init;
use crate::error::{Error, Kind, Result};
use crate::files::{shown_path, sweep};
use crate::formats::artifact::{self, Placed, Prepared, SignOptions, Signer};
use crate::gate::{self, Failure, Permit};
use crate::keys::Generation;
use crate::ledger::query;
use crate::model::{HashAlgorithm, KeyName, hex};
use crate::outcome::{self, Receipt};
use crate::request::{Covered, Request, Role, SignArtifact};
use crate::ui::{Row, Worst, error_value};
use crate::world::{Globals, World};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Sign files
///
/// Each file is read once, its request goes through the gates, the intent is in the ledger before the HSM is
/// called, and the signed copy is read back and verified before it takes the file's name. In place by default,
/// keeping mode, owner and extended attributes; a file that changes meanwhile is left alone. One bad file does
/// not stop the others.
///
/// Without --key the only active key that fits is used; if several fit, they are listed and nothing is signed.
/// With --sandbox a sandbox in .keyctl-sandbox is made if needed, and NAME.EXT becomes NAME.sandbox-signed.EXT.
///
/// Examples:
///   keyctl sign --sandbox app.exe
///   keyctl sign --key windows app.exe library.dll
///   keyctl sign app.exe --to app-signed.exe
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SignArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The key to sign with
    #[arg(long, value_name = "KEY")]
    key: Option<KeyName>,
    /// Write here and leave the file as it is; a folder when there are several files
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Use the sandbox in .keyctl-sandbox, made if it is not there
    #[arg(long)]
    sandbox: bool,
    /// How many files at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

/// Files whose requests share a transaction. Bounds memory and open files; large enough that the ledger's syncs
/// cost little for each.
const CHUNK: usize = 64;

/// Runs `sign`.
///
/// # Errors
/// Nothing could be tried at all. What happens to single files is in the result.
pub fn run(args: &SignArgs, globals: Globals) -> Result<Worst> {
    let mut world = open_world(args, globals)?;
    let settings = world.settings()?;
    let key = choose_key(&world, args.key.as_ref())?;
    let generation = world.active(&key)?;
    let signer = signer(&world, &generation)?;
    let options = SignOptions { hash: HashAlgorithm::Sha256, ..SignOptions::default() };
    drop(settings);
    sweep_folders(args);
    let stop = crate::world::interrupts()?;
    let bar = world.ui().progress(args.files.len() as u64, "signing");
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    let mut first = true;
    for chunk in args.files.chunks(CHUNK) {
        if stop.load(Ordering::SeqCst) {
            worst.add(Kind::Interrupted);
            break;
        }
        let jobs = chunk.iter().map(|file| Job::new(file, args)).collect();
        for finished in sign_chunk(&mut world, &signer, &options, jobs, args.jobs.into(), &stop)? {
            bar.inc(1);
            rows.push(report(&world, finished, &mut worst));
        }
        bar.suspend(|| world.ui().batch(COLUMNS, &mut rows, first));
        first = false;
    }
    bar.finish_and_clear();
    Ok(worst)
}

const COLUMNS: &[&str] = &["file", "result", "generation", "sha256", "evidence"];

fn open_world(args: &SignArgs, mut globals: Globals) -> Result<World> {
    if !args.sandbox {
        return World::open(globals);
    }
    let dir = globals.workspace.clone().unwrap_or_else(|| PathBuf::from(init::SANDBOX));
    globals.workspace = Some(dir.clone());
    if dir.join(crate::ledger::FILE).exists() && !dir.join("genesis.intent").exists() {
        let world = World::open(globals)?;
        if world.genesis.environment != crate::model::Environment::Sandbox {
            return Err(Error::usage("not_a_sandbox", format!("{} is not a sandbox", shown_path(&dir))));
        }
        return Ok(world);
    }
    globals.ui.say(&format!("making a sandbox in {}", shown_path(&dir)));
    init::found(&dir, None, &globals)
}

/// The named key, or the only active one that signs this kind of file.
fn choose_key(world: &World, asked: Option<&KeyName>) -> Result<KeyName> {
    if let Some(key) = asked {
        return Ok(key.clone());
    }
    let fitting: Vec<_> = query::generations(world.ledger.connection())?
        .into_iter()
        .filter(|generation| {
            generation.purpose == crate::model::Purpose::Authenticode && generation.state == crate::keys::State::Active
        })
        .map(|generation| generation.id.key)
        .collect();
    match fitting.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::blocked("no_active_key", "no active key signs such files").hint("keyctl status")),
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Error::usage("several_keys", format!("several active keys fit: {}", names.join(", ")))
                .hint(format!("keyctl sign --key {}", names.first().map_or("", String::as_str))))
        }
    }
}

/// The certificate chain that goes into the signature: the leaf and its intermediates, without the root.
fn signer(world: &World, generation: &Generation) -> Result<Signer> {
    let mut chain = Vec::new();
    let mut at = generation.clone();
    for _ in 0..8 {
        let identity = at.identity()?;
        let Some(crate::keys::Credential::X509 { certificate, issued_by, chain: handed_in, .. }) = &identity.credential
        else {
            return Err(Error::blocked("no_certificate", format!("{} has no X.509 certificate", at.id)));
        };
        let own = issued_by.as_ref() == Some(&at.id);
        if !own {
            chain.push(certificate.clone());
            chain.extend(handed_in.iter().cloned());
        }
        match issued_by {
            Some(issuer) if !own => at = world.generation(issuer)?,
            _ => break,
        }
    }
    let identity = generation.identity()?.clone();
    let copy = generation.copy()?.clone();
    Ok(Signer { generation: generation.id.clone(), identity, copy, chain })
}

/// One file on its way.
struct Job {
    file: PathBuf,
    destination: Option<PathBuf>,
}

impl Job {
    fn new(file: &Path, args: &SignArgs) -> Self {
        let destination = match (&args.to, args.sandbox) {
            (Some(to), _) if args.files.len() > 1 || to.is_dir() => Some(to.join(file.file_name().unwrap_or_default())),
            (Some(to), _) => Some(to.clone()),
            (None, true) => Some(sandbox_name(file)),
            (None, false) => None,
        };
        Job { file: file.to_owned(), destination }
    }
}

/// `app.exe` becomes `app.sandbox-signed.exe`.
fn sandbox_name(file: &Path) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(".sandbox-signed");
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

/// Removes what an interrupted `sign` left where this one will write. Only a courtesy, so what cannot be removed stays.
fn sweep_folders(args: &SignArgs) {
    let to = args.files.iter().map(|file| Job::new(file, args).destination.unwrap_or_else(|| file.clone()));
    let folders: BTreeSet<_> = to.filter_map(|path| path.parent().map(Path::to_owned)).collect();
    for folder in folders {
        let _ = sweep(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder });
    }
}

/// A file that is done, one way or the other.
struct Finished {
    file: PathBuf,
    result: Result<(Receipt, PathBuf)>,
}

fn sign_chunk(
    world: &mut World,
    signer: &Signer,
    options: &SignOptions,
    jobs: Vec<Job>,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Vec<Finished>> {
    let prepared = in_parallel(jobs, threads, |job| {
        let prepared = artifact::prepare(&job.file, job.destination.as_deref(), signer, options, stop);
        (job, prepared)
    });
    let mut finished = Vec::new();
    let mut ready: Vec<(Job, Prepared)> = Vec::new();
    for (job, prepared) in prepared {
        match prepared {
            Ok(prepared) => ready.push((job, prepared)),
            Err(error) => finished.push(Finished { file: job.file, result: Err(error) }),
        }
    }
    let requests = ready.iter().map(|(_, prepared)| request(world, signer, prepared)).collect();
    let process = world.process()?;
    let answers = gate::admit(&mut world.ledger, &process, requests)?;
    let mut admitted = Vec::new();
    for ((job, prepared), answer) in ready.into_iter().zip(answers) {
        match answer {
            Ok(permit) => admitted.push((job, prepared, permit)),
            Err(refusal) => finished.push(Finished { file: job.file, result: Err(refusal.error) }),
        }
    }
    let store = &world.store;
    let done = in_parallel(admitted, threads, |(job, prepared, permit)| {
        let result = finish(store, signer, prepared, &permit);
        (job, permit, result)
    });
    finished.extend(close(world, done)?);
    Ok(finished)
}

fn request(world: &World, signer: &Signer, prepared: &Prepared) -> Request<SignArtifact> {
    let tbs = prepared.tbs();
    let mut request = world.request(prepared.hash_before().to_string(), prepared.params(&signer.generation));
    request.signatures = vec![Covered {
        role: Role::Artifact,
        spki_sha256: Some(signer.identity.spki_sha256),
        hsm: signer.copy.hsm.clone(),
        cka_id: signer.copy.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }];
    request
}

/// Key, format, place: from the permit to the file under its final name.
fn finish(
    store: &crate::hsm::store::Store,
    signer: &Signer,
    prepared: Prepared,
    permit: &Permit<SignArtifact>,
) -> Result<Placed, Failure> {
    let key = store.open(permit, Role::Artifact, &signer.identity)?;
    let signed = prepared.sign(&key)?;
    Ok(signed.place()?)
}

fn close(world: &mut World, done: Vec<(Job, Permit<SignArtifact>, Result<Placed, Failure>)>) -> Result<Vec<Finished>> {
    let mut files = Vec::new();
    let mut results = Vec::new();
    for (job, permit, result) in done {
        files.push(job.file);
        results.push((permit, result));
    }
    let hung = results.iter().any(|(_, result)| result.as_ref().is_err_and(|failure| failure.unknown));
    let answers = outcome::close(&mut world.ledger, &world.tool, results)?;
    let receipts: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok().cloned()).collect();
    let mut paths = match world.fragments(&receipts) {
        Ok(paths) => paths.into_iter(),
        // The signatures are made and recorded; only their evidence waits for the ledger key.
        Err(error) if !hung => return Err(error.about("signed and recorded, but no evidence yet")),
        Err(_) => Vec::new().into_iter(),
    };
    let finished = files.into_iter().zip(answers).map(|(file, answer)| {
        let result = answer.map(|receipt| (receipt, paths.next().unwrap_or_default()));
        Finished { file, result }
    });
    Ok(finished.collect())
}

fn report(world: &World, finished: Finished, worst: &mut Worst) -> Row {
    let file = finished.file.to_string_lossy().into_owned();
    match finished.result {
        Ok((receipt, evidence)) => result_row(&file, &receipt, &evidence),
        Err(error) => {
            worst.add(error.kind());
            // Refusals at the gate name the file by its hash; most other errors name it already.
            let (name, full) = (shown_path(&finished.file), error.full());
            let message = if full.starts_with(&name) { full } else { format!("{name}: {full}") };
            world.ui().error(&Error::new(error.kind(), error.code(), message).maybe_hint(error.advice()));
            Row::new().with("file", file).with("result", "failed").with("error", error_value(&error))
        }
    }
}

/// What is printed about a signed file: only what the ledger says, so that a replay prints the same.
fn result_row(file: &str, receipt: &Receipt, evidence: &Path) -> Row {
    let body = &receipt.outcome().body;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let done = |name: &str| text(body.get("done").and_then(|done| done.get(name)));
    let params = receipt.intent().body.get("request").and_then(|request| request.get("params"));
    let param = |name: &str| text(params.and_then(|params| params.get(name)));
    Row::new()
        .with("file", file)
        .with("result", "signed")
        .with("generation", param("generation"))
        .with("sha256", done("hash_after"))
        .with("sha256_before", param("hash_before"))
        .with("artifact_id", param("artifact_id"))
        .with("correlation_id", receipt.outcome().correlation_id.as_str())
        .with("entry", receipt.outcome().seq)
        .with("evidence", evidence.to_string_lossy().into_owned())
}

/// Runs `work` over `items` on some threads; the answers come in the order of the items.
fn in_parallel<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = std::sync::Mutex::new(items.into_iter().enumerate());
    let answers = std::sync::Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some((index, item)) = next else { break };
                    let answer = work(item);
                    answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
