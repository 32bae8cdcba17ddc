//! `sign`: artifacts, in chunks that share their ledger transactions and their checkpoint.

mod again;
pub(super) mod cab;
mod chunk;
pub(super) mod inputs;
mod leave;
mod line;
mod pack;
mod remove;
mod replay;
pub(super) mod repository;

use super::{init, publication, timestamps};
use crate::clock::Laps;
use crate::error::{Error, Kind, Result};
use crate::files::shown_path;
use crate::formats::artifact::{Existing, SignOptions, Signer, Stamp};
use crate::formats::authenticode::OpusInfo;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::ledger::query::rotation::RootLink;
use crate::model::{GenerationId, HashAlgorithm, KeyName, Purpose};
use crate::outcome::Receipt;
use crate::people::cab::ApprovalId;
use crate::policy::Decision;
use crate::policy::signing::RE_SIGN_REQUIRED;
use crate::ui::{Row, Worst, error_value};
use crate::world::{Globals, World};
use chunk::{Finished, Plan, Signed};
use serde_json::{Value, json};
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
/// A folder with a Release file is an APT repository, and a folder with dists/*/Release an archive of several: every
/// listed index is compared with the disk, then InRelease and Release.gpg are made and put in place together. While
/// clients change over to a new key, the retiring one signs too.
///
/// Signing again (--re-sign) takes out the signature that is there and makes a new artifact, which takes the place of
/// the old one in the ledger and in evidence. In production it takes the approval of the change advisory board: --cab
/// names it, keyctl cab drafts it, and an approver signs it. Each of its conditions has to be acknowledged word for
/// word. The unsigned file {"cab":[…]} is taken in sandboxes and staging only.
///
/// With --sandbox a sandbox in .keyctl-sandbox is made if needed, and NAME.EXT becomes NAME.sandbox-signed.EXT.
/// The same file signed again under the same --correlation-id gives the stored result and signs nothing.
///
/// Examples:
///   keyctl sign --sandbox app.exe
///   keyctl sign --key windows app.exe library.dll
///   keyctl sign app.exe --to app-signed.exe
///   keyctl sign app.exe --timestamp http://timestamp.digicert.com --timestamp-roots digicert.pem
///   keyctl sign --replace --program-name "Example" signed.exe
///   keyctl sign --re-sign --cab cab.json --acknowledge "only after 22:00" app.exe
///   keyctl sign dists/stable
///   find . -name '*.dll' -print0 | keyctl sign --files-from -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SignArgs {
    /// The files, and folders of APT repositories
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Further files, one a line or NUL-separated; - reads standard input
    #[arg(long, value_name = "LIST")]
    files_from: Option<PathBuf>,
    /// The key to sign with
    #[arg(long, value_name = "KEY")]
    key: Option<KeyName>,
    /// Write here and leave the file as it is; a folder when there are several files
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Nest the signature into the one that is there
    #[arg(long, conflicts_with_all = ["replace", "remove"])]
    append: bool,
    /// Take out the signatures that are there
    #[arg(long, conflicts_with = "remove")]
    replace: bool,
    /// Take out the signature and sign anew: a new artifact in place of the one in the ledger
    #[arg(long, conflicts_with_all = ["append", "replace", "remove"])]
    re_sign: bool,
    /// Take out the signatures and sign nothing
    #[arg(long)]
    remove: bool,
    /// Digest algorithm: sha256, sha384 or sha512
    #[arg(long, value_name = "HASH", default_value = "sha256")]
    hash: HashAlgorithm,
    /// Add page hashes (PE)
    #[arg(long)]
    page_hashes: bool,
    /// Program name that Windows shows
    #[arg(long, value_name = "NAME")]
    program_name: Option<String>,
    /// Program URL that Windows shows
    #[arg(long, value_name = "URL")]
    program_url: Option<String>,
    /// Evidence pack whose artifact this is; required in production
    #[arg(long, value_name = "FILE")]
    for_pack: Option<PathBuf>,
    /// Approval of the change advisory board, with its signature in FILE.sig or in the file
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    cab: Option<PathBuf>,
    /// Which approval, where an unsigned FILE has several
    #[arg(long, value_name = "ID", requires = "cab")]
    cab_id: Option<ApprovalId>,
    /// A condition of the approval, word for word; may be repeated
    #[arg(long, value_name = "TEXT", requires = "cab")]
    acknowledge: Vec<String>,
    /// Provenance: who built the files (default: from the CI environment)
    #[arg(long, value_name = "WHO")]
    builder: Option<String>,
    /// Provenance: the pipeline run
    #[arg(long, value_name = "ID")]
    pipeline_run: Option<String>,
    /// Provenance: the source repository
    #[arg(long, value_name = "URL")]
    source_repo: Option<String>,
    /// Provenance: the source commit
    #[arg(long, value_name = "COMMIT")]
    source_commit: Option<String>,
    /// Sign what a symlink leads to
    #[arg(long)]
    follow_symlinks: bool,
    #[command(flatten)]
    timestamps: timestamps::TimestampArgs,
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

const COLUMNS: &[&str] = &["file", "result", "generation", "sha256", "evidence"];

/// Runs `sign`.
///
/// # Errors
/// Nothing could be tried at all. What happens to single files is in the result.
pub fn run(args: &SignArgs, mut globals: Globals) -> Result<Worst> {
    let jobs = inputs::jobs(args)?;
    if args.remove {
        return remove::run(args, jobs, globals);
    }
    globals.sessions = args.jobs.into();
    crate::world::prepare_tool();
    let mut laps = Laps::default();
    let mut world = laps.lap("open", || open_world(args, globals))?;
    run_in(args, jobs, &mut world, laps)
}

/// Signs what was approved; the warrant is in the world.
///
/// # Errors
/// As [`run`].
pub fn run_approved(args: &SignArgs, world: &mut World) -> Result<Worst> {
    run_in(args, inputs::jobs(args)?, world, Laps::default())
}

fn run_in(args: &SignArgs, jobs: Vec<inputs::Job>, world: &mut World, laps: Laps) -> Result<Worst> {
    let settings = world.settings()?;
    let stop = crate::world::interrupts()?;
    let (folders, files): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.file.is_dir());
    inputs::sweep_folders(&files);
    // Every key and authority is found before anything is signed. Repositories are not timestamped.
    let authorities = || timestamps::authorities(&args.timestamps, world, &settings, &stop);
    let stamp = if files.is_empty() { None } else { authorities()? };
    let stamp = stamp.as_ref().map(|stamp| stamp as &dyn Stamp);
    let for_files = (!files.is_empty()).then(|| plan(args, stamp.is_some(), world)).transpose()?;
    let for_folders = (!folders.is_empty()).then(|| repository::plan(args, world)).transpose()?;
    if let (Some(cab), false) = (cab::given(args)?, world.globals.dry_run) {
        cab.keep(world)?;
    }
    let (repositories, missing) = repository::expand(folders);
    let mut run = Run { worst: Worst::default(), first: true, hung: false, laps };
    run.show(world, missing);
    if let Some(plan) = &for_files {
        if world.globals.dry_run {
            run.preview_files(world, plan, &files, &stop)?;
        } else {
            run.sign_files(world, plan, stamp, &files, &stop)?;
        }
    }
    if let Some(plan) = &for_folders {
        run.repositories(world, plan, &repositories, &stop)?;
    }
    world.ui().detail(&format!("time, summed over threads: {}", run.laps));
    publication::after_signing(world, Ok(run.worst))
}

/// What came of it so far.
struct Run {
    worst: Worst,
    /// Nothing was printed yet.
    first: bool,
    /// A token stopped answering; nothing more is asked of any.
    hung: bool,
    /// How long each stage took so far.
    laps: Laps,
}

impl Run {
    fn show(&mut self, world: &World, finished: Vec<Finished>) {
        if !finished.is_empty() {
            let rows: Vec<_> = finished.into_iter().map(|one| report(world, one, &mut self.worst)).collect();
            world.ui().batch(COLUMNS, &rows, self.first);
            self.first = false;
        }
    }

    /// Shows what was signed, and says when its evidence has to wait.
    fn take(&mut self, world: &World, signed: Signed) {
        self.laps.add(&signed.laps);
        self.show(world, signed.finished);
        if let Some(error) = signed.no_evidence {
            self.worst.add(error.kind());
            let error = error.about("signed and recorded, but there is no evidence yet").hint("keyctl recover");
            world.ui().error(&error);
        }
        self.hung |= signed.hung;
    }

    /// Whether to go on to the next.
    fn goes_on(&mut self, stop: &AtomicBool) -> bool {
        let stopped = stop.load(Ordering::SeqCst);
        if stopped {
            self.worst.add(Kind::Interrupted);
        }
        !stopped && !self.hung
    }

    /// Shows the requests and what the gates would say; nothing is written and no key is touched.
    fn preview_files(&mut self, world: &mut World, plan: &Plan, jobs: &[inputs::Job], stop: &AtomicBool) -> Result<()> {
        for chunk in jobs.chunks(CHUNK) {
            let (finished, previews) = chunk::preview(world, plan, chunk.to_vec(), stop)?;
            self.show(world, finished);
            self.preview(world, previews);
        }
        Ok(())
    }

    fn repositories(
        &mut self,
        world: &mut World,
        plan: &repository::Plan,
        found: &[PathBuf],
        stop: &AtomicBool,
    ) -> Result<()> {
        for dir in found {
            if !self.goes_on(stop) {
                break;
            }
            if !world.globals.dry_run {
                let signed = repository::sign(world, plan, dir, stop);
                self.take(world, signed);
                continue;
            }
            match repository::preview(world, plan, dir) {
                Ok(preview) => self.preview(world, vec![preview]),
                Err(error) => self.show(world, vec![Finished { file: dir.clone(), result: Err(error) }]),
            }
        }
        Ok(())
    }

    fn preview(&mut self, world: &World, previews: Vec<chunk::Preview>) {
        let mut rows = Vec::new();
        for (request, decision) in previews {
            let result = match &decision {
                Decision::Allow(_) => "would sign",
                Decision::Block(_) => {
                    self.worst.add(Kind::Blocked);
                    "would refuse"
                }
                Decision::NeedsApproval(_) => {
                    self.worst.add(Kind::ApprovalNeeded);
                    "needs approval"
                }
            };
            rows.push(
                Row::new()
                    .with("file", request.params.name.as_str())
                    .with("result", result)
                    .with("generation", request.params.generation.to_string())
                    .with("sha256", request.params.hash_before.to_string())
                    .with("gates", json!(decision.gates()))
                    .with("request", json!(request)),
            );
        }
        if !rows.is_empty() {
            world.ui().batch(&["file", "result", "generation", "sha256"], &rows, self.first);
            self.first = false;
        }
    }
}

fn plan(args: &SignArgs, timestamp: bool, world: &World) -> Result<Plan> {
    let key = choose_key(world, args.key.as_ref(), Purpose::Authenticode)?;
    let generation = world.active(&key)?;
    let pack = args.for_pack.as_deref().map(pack::read).transpose()?;
    let options = SignOptions {
        hash: args.hash,
        existing: match (args.replace || args.re_sign, args.append) {
            (true, _) => Existing::Replace,
            (_, true) => Existing::Append,
            _ => Existing::Refuse,
        },
        page_hashes: args.page_hashes,
        opus: OpusInfo { program_name: args.program_name.clone(), url: args.program_url.clone() },
        follow: args.follow_symlinks,
        timestamp,
        sha512: pack.as_ref().is_some_and(|pack| pack.hash_algorithm == HashAlgorithm::Sha512),
    };
    let provenance = pack::provenance(args);
    Ok(Plan {
        signer: signer(world, &generation)?,
        options,
        pack,
        provenance,
        threads: args.jobs.into(),
        began: world.ledger.head()?.size,
        again: args.re_sign,
        cab: cab::given(args)?,
        command: leave::command(args)?,
    })
}

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
    init::found(&dir, &Default::default(), &globals)
}

/// The named key, or the only active one for this purpose.
fn choose_key(world: &World, asked: Option<&KeyName>, purpose: Purpose) -> Result<KeyName> {
    if let Some(key) = asked {
        return Ok(key.clone());
    }
    let fitting: Vec<_> = query::generations(world.ledger.connection())?
        .into_iter()
        .filter(|generation| generation.purpose == purpose && generation.state == crate::keys::State::Active)
        .map(|generation| generation.id.key)
        .collect();
    match fitting.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            Err(Error::blocked("no_active_key", format!("there is no active key for {purpose}")).hint("keyctl status"))
        }
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Error::usage("several_keys", format!("several active keys are for {purpose}: {}", names.join(", ")))
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
        let Some(Credential::X509 { certificate, issued_by, chain: handed_in, .. }) = &identity.credential else {
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
    chain.extend(older_roots(world, &at.id)?);
    let identity = generation.identity()?.clone();
    let copy = generation.copy()?.clone();
    Ok(Signer { generation: generation.id.clone(), identity, copy, chain })
}

/// The way from a root to those it took over from, for verifiers that trust only one of them: a certificate for its
/// public key by each, as long as that is valid.
fn older_roots(world: &World, root: &GenerationId) -> Result<Vec<Vec<u8>>> {
    let links = query::rotation::root_links(world.ledger.connection(), &root.key)?;
    let (now, mut at, mut chain) = (world.globals.clock.now(), root.clone(), Vec::new());
    for _ in 0..4 {
        let link = links.iter().find(|link| link.subject == at && link.issuer.number < at.number);
        let Some(RootLink { issuer, credential: Credential::X509 { certificate, not_after, .. }, .. }) = link else {
            break;
        };
        if *not_after < now {
            break;
        }
        chain.push(certificate.clone());
        at = issuer.clone();
    }
    Ok(chain)
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
    let row = Row::new()
        .with("file", file)
        .with("result", "signed")
        .with("generation", param("generation"))
        .with("sha256", done("hash_after"))
        .with("sha256_before", param("hash_before"))
        .with("artifact_id", param("artifact_id"))
        .with("timestamp", body.pointer("/done/timestamp/time").cloned())
        .with("correlation_id", receipt.outcome().correlation_id.as_str())
        .with("entry", receipt.outcome().seq)
        .with("evidence", evidence.to_string_lossy().into_owned());
    // Only where there is something to say.
    let gates = receipt.intent().body.get("gates").and_then(Value::as_array);
    let marked = gates.into_iter().flatten().find(|gate| gate.get("name") == Some(&RE_SIGN_REQUIRED.into()));
    let more = [
        ("cab", params.and_then(|params| params.pointer("/cab/approval_id"))),
        ("supersedes", params.and_then(|params| params.pointer("/resigns/artifact_id"))),
        ("re_sign_required", marked.and_then(|gate| gate.get("input"))),
    ];
    more.into_iter().fold(row, |row, (name, value)| match value {
        Some(value) => row.with(name, value.clone()),
        None => row,
    })
}
