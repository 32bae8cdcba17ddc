//! `sign`: artifacts, in chunks that share their ledger transactions and their checkpoint.

mod printer;
use crate::clock::Laps;
use crate::error::{Error, Result};
use crate::files::{absolute, shown_path};
use crate::formats::file::{Existing, Shape};
use crate::founding::{begun, found};
use crate::model::{HashAlgorithm, KeyName};
use crate::people::cab::ApprovalId;
use crate::published::worktree;
use crate::request::Provenance;
use crate::signing::cab::CabFile;
use crate::signing::inputs::{self, Job};
use crate::signing::{self, Options};
use crate::ui::Worst;
use crate::world::authority::Mandate;
use crate::world::{Globals, World};
use printer::Printer;
use std::path::PathBuf;
use timestamps::TimestampArgs;

mod remove;
#[cfg(test)]
mod tests;
mod timestamps;

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
/// The same file signed again under the same --correlation-id comes to the same end and uses no key: a signed file is
/// left alone, and on an unsigned copy of it the same is done that was done then, which gives the same bytes. What an
/// interrupted run signed is recorded by the next one that meets it, or by keyctl recover.
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
    /// Evidence pack whose artifact this is; a pack is required in production
    #[arg(long, value_name = "FILE")]
    for_pack: Option<PathBuf>,
    /// Folder of evidence packs (*.json), one for each file, found by the artifact's hash
    #[arg(long, value_name = "DIR", conflicts_with_all = ["for_pack", "remove"])]
    for_packs: Option<PathBuf>,
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
    timestamps: TimestampArgs,
    /// Use the sandbox in .keyctl-sandbox, made if it is not there
    #[arg(long)]
    sandbox: bool,
    /// How many files at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

/// Runs `sign`.
///
/// # Errors
/// Nothing could be tried at all. What happens to single files is in the result.
pub fn run(args: &SignArgs, globals: Globals) -> Result<Worst> {
    let options = args.options();
    let jobs = inputs::jobs(&options)?;
    if args.remove {
        return remove::run(&options, jobs, globals);
    }
    let globals = Globals { sessions: options.threads, ..globals };
    crate::world::prepare_tool();
    let mut laps = Laps::default();
    let mut world = laps.lap("open", || open_world(args, globals))?;
    run_in(args, options, jobs, &mut world, laps)
}

/// Signs what was approved.
///
/// # Errors
/// As [`run`].
pub fn run_approved(args: &SignArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let options = Options { agreed: mandate.presented(), ..args.options() };
    let jobs = inputs::jobs(&options)?;
    run_in(args, options, jobs, world, Laps::default())
}

fn run_in(args: &SignArgs, options: Options, jobs: Vec<Job>, world: &mut World, mut laps: Laps) -> Result<Worst> {
    let options = Options { command: args.command()?, ..options };
    let mut printer = Printer::new(&jobs);
    let signed = signing::sign(world, &options, jobs, &mut |world, item| printer.print(world, item));
    let worst = printer.finish(world, signed.as_ref().err());
    laps.add(&signed?);
    world.ui().detail(&format!("time, summed over threads: {laps}"));
    worktree::after_signing(world, Ok(worst))
}

impl SignArgs {
    /// As plain data; the command line is not repeated in it.
    fn options(&self) -> Options {
        Options {
            files: self.files.clone(),
            files_from: self.files_from.clone(),
            to: self.to.clone(),
            key: self.key.clone(),
            shape: Shape {
                hash: self.hash,
                existing: match (self.replace || self.re_sign, self.append) {
                    (true, _) => Existing::Replace,
                    (_, true) => Existing::Append,
                    _ => Existing::Refuse,
                },
                page_hashes: self.page_hashes,
                program_name: self.program_name.clone(),
                program_url: self.program_url.clone(),
            },
            re_signs: self.re_sign,
            pack: self.for_pack.clone(),
            packs: self.for_packs.clone(),
            cab: self.cab.clone().map(|file| CabFile {
                file,
                id: self.cab_id.clone(),
                acknowledged: self.acknowledge.clone(),
            }),
            provenance: Provenance {
                builder_identity: self.builder.clone(),
                pipeline_run_id: self.pipeline_run.clone(),
                source_repo: self.source_repo.clone(),
                source_commit: self.source_commit.clone(),
            },
            follow: self.follow_symlinks,
            timestamps: self.timestamps.wanted(),
            is_sandboxed: self.sandbox,
            threads: self.jobs.into(),
            command: Vec::new(),
            agreed: None,
        }
    }

    /// The command line without the files, as `run` repeats it.
    ///
    /// # Errors
    /// A path is not UTF-8.
    fn command(&self) -> Result<Vec<String>> {
        let mut words = vec!["sign".to_owned()];
        let mut put = |name: &str, value: Option<String>| {
            let value = value.into_iter().flat_map(|value| [name.to_owned(), value]);
            words.extend(value);
        };
        put("--key", self.key.as_ref().map(ToString::to_string));
        put("--to", self.to.as_deref().map(absolute).transpose()?);
        put("--hash", Some(self.hash.to_string()));
        put("--program-name", self.program_name.clone());
        put("--program-url", self.program_url.clone());
        put("--for-pack", self.for_pack.as_deref().map(absolute).transpose()?);
        put("--for-packs", self.for_packs.as_deref().map(absolute).transpose()?);
        put("--cab", self.cab.as_deref().map(absolute).transpose()?);
        put("--cab-id", self.cab_id.as_ref().map(ToString::to_string));
        self.acknowledge.iter().for_each(|text| put("--acknowledge", Some(text.clone())));
        let switches = [
            ("--append", self.append),
            ("--replace", self.replace),
            ("--re-sign", self.re_sign),
            ("--page-hashes", self.page_hashes),
            ("--follow-symlinks", self.follow_symlinks),
        ];
        words.extend(switches.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()));
        words.extend(self.timestamps.words()?);
        Ok(words)
    }
}

fn open_world(args: &SignArgs, globals: Globals) -> Result<World> {
    if !args.sandbox {
        return World::open(globals);
    }
    let dir = globals.workspace.clone().unwrap_or_else(|| PathBuf::from(found::SANDBOX));
    let globals = Globals { workspace: Some(dir.clone()), ..globals };
    if dir.join(crate::ledger::FILE).exists() && !dir.join("genesis.intent").exists() && !begun::is_begun(&dir)? {
        let world = World::open(globals.clone())?;
        if world.genesis.environment != crate::model::Environment::Sandbox {
            return Err(Error::usage("not_a_sandbox", format!("{} is not a sandbox", shown_path(&dir))));
        }
        if found::is_finished(&world)? {
            return Ok(world);
        }
    }
    globals.ui.say(&format!("making a sandbox in {}", shown_path(&dir)));
    Ok(found::found(&dir, &Default::default(), &globals)?)
}
