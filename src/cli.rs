//! The command line: the clap tree, and the dispatch.

use crate::clock::Clock;
use crate::commands;
use crate::error::{Error, Result};
use crate::model::{CorrelationId, Email};
use crate::ui::{Output, Ui, Worst};
use crate::world::authority::Mandate;
use crate::world::{Globals, World};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Makes, uses, rotates, revokes, audits and rehearses code-signing keys in PKCS#11 HSMs
///
/// Every use of a key goes through a gate and leaves a record: the intent is in the ledger before the HSM is
/// called, the outcome after the result was verified. Results go to stdout, everything else to stderr.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 unavailable after retries, 4 blocked by a gate or
/// policy, 5 approval needed, 6 findings (does not verify), 70 a bug, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "keyctl", version, max_term_width = 100, propagate_version = false, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct GlobalArgs {
    /// The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KEYCTL_WORKSPACE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    workspace: Option<PathBuf>,
    /// Form of results: table, json or csv (default: table on a terminal, else json)
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        env = "KEYCTL_OUTPUT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    output: Option<Output>,
    /// Ties this run to a deployment; generated when absent
    #[arg(
        long,
        global = true,
        value_name = "ID",
        env = "KEYCTL_CORRELATION_ID",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    correlation_id: Option<CorrelationId>,
    /// Who asks, by e-mail address; recorded as asserted unless --identity proves it
    #[arg(
        long,
        global = true,
        value_name = "EMAIL",
        env = "KEYCTL_ACTOR",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    actor: Option<Email>,
    /// The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub
    #[arg(
        long,
        global = true,
        value_name = "SSHKEY",
        env = "KEYCTL_IDENTITY",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    identity: Option<PathBuf>,
    /// Why, for those who have to approve
    #[arg(
        long,
        global = true,
        value_name = "TEXT",
        env = "KEYCTL_BECAUSE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    because: Option<String>,
    /// A ticket in another system, for those who have to approve
    #[arg(
        long,
        global = true,
        value_name = "ID",
        env = "KEYCTL_TICKET",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    ticket: Option<String>,
    /// Do not ask whether it is meant
    #[arg(long, global = true, env = "KEYCTL_YES", hide_env_values = true, help_heading = "Global options")]
    yes: bool,
    /// Print the resolved request and the gates; touch no key and change nothing
    #[arg(long, global = true, env = "KEYCTL_DRY_RUN", hide_env_values = true, help_heading = "Global options")]
    dry_run: bool,
    /// Only results and errors
    #[arg(
        short,
        long,
        global = true,
        env = "KEYCTL_QUIET",
        help_heading = "Global options",
        conflicts_with = "verbose"
    )]
    quiet: bool,
    /// More words on stderr
    #[arg(short, long, global = true, env = "KEYCTL_VERBOSE", hide_env_values = true, help_heading = "Global options")]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::InitArgs),
    Trust(commands::trust::TrustArgs),
    Status(commands::status::StatusArgs),
    Doctor(commands::doctor::DoctorArgs),
    Keygen(commands::keygen::KeygenArgs),
    Import(commands::import::ImportArgs),
    Destroy(commands::destroy::DestroyArgs),
    Revoke(commands::revoke::RevokeArgs),
    Compromise(commands::compromise::CompromiseArgs),
    Crl(commands::crl::CrlArgs),
    Rotate(commands::rotate::RotateArgs),
    Due(commands::due::DueArgs),
    Adopt(commands::adopt::AdoptArgs),
    Grant(commands::grant::GrantArgs),
    FollowUp(commands::follow_up::FollowUpArgs),
    Suspend(commands::suspend::SuspendArgs),
    SetTime(commands::set_time::SetTimeArgs),
    Roster(commands::roster::RosterArgs),
    Approve(commands::approve::ApproveArgs),
    Cab(commands::cab::CabArgs),
    Run(commands::run::RunArgs),
    Sign(Box<commands::sign::SignArgs>),
    Verify(commands::verify::VerifyArgs),
    Audit(commands::audit::AuditArgs),
    Recover(commands::recover::RecoverArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::completions::ManArgs),
}

/// Parses the arguments, runs the command, prints what went wrong, and gives the exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = match error.kind() {
                ErrorKind::DisplayHelp => command().try_get_matches_from(std::env::args_os()).err().unwrap_or(error),
                _ => error,
            };
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    let globals = globals(&cli.global);
    let ui = globals.ui.clone();
    let teller = ui.clone();
    // Wherever a bug shows itself, the process ends with its own code and in our words, and never goes on half.
    std::panic::set_hook(Box::new(move |panic| {
        let error = Error::bug(panic.to_string());
        teller.error(&error);
        std::process::exit(error.kind().exit_code().into());
    }));
    match run(cli.command, globals) {
        Ok(worst) => worst.exit_code(),
        Err(error) => {
            ui.error(&error);
            error.kind().exit_code()
        }
    }
}

fn globals(args: &GlobalArgs) -> Globals {
    let correlation_id = args.correlation_id.clone().unwrap_or_else(CorrelationId::generate);
    Globals {
        workspace: args.workspace.clone(),
        actor: args.actor.clone(),
        correlation_id: correlation_id.clone(),
        identity: args.identity.clone(),
        because: args.because.clone(),
        ticket: args.ticket.clone(),
        yes: args.yes,
        dry_run: args.dry_run,
        sessions: 1,
        clock: Clock::system(),
        ui: Ui { output: Ui::choose(args.output), quiet: args.quiet, verbose: args.verbose, correlation_id },
    }
}

fn run(command: Command, globals: Globals) -> Result<Worst> {
    crate::world::harden()?;
    match command {
        Command::Init(args) => commands::init::run(&args, &globals),
        Command::Trust(args) => commands::trust::run(&args, &globals),
        Command::Status(args) => commands::status::run(&args, &mut World::open(globals)?),
        Command::Doctor(args) => commands::doctor::run(&args, &mut World::open(globals)?),
        Command::Approve(args) => commands::approve::run(&args, &globals),
        Command::Run(args) => {
            let mut world = World::open(globals)?;
            let (words, mandate) = commands::run::prepare(&args, &mut world)?;
            let document = mandate.document().cloned();
            let result = approved(&words, &mut world, mandate);
            commands::run::go_on(&world, document.as_ref(), &result);
            crate::published::worktree::after(&world, result)
        }
        Command::Cab(args) => commands::cab::run(&args, &mut World::open(globals)?),
        Command::Sign(args) => commands::sign::run(&args, globals),
        Command::Verify(args) => commands::verify::run(&args, globals),
        Command::Audit(args) => commands::audit::run(&args, globals),
        Command::Due(args) => {
            let mut world = World::open(globals)?;
            let result = commands::due::run(&args, &mut world);
            crate::published::worktree::after(&world, result)
        }
        Command::Recover(args) => commands::recover::run(&args, &mut World::open(globals)?),
        Command::Completions(args) => commands::completions::completions(&args, self::command(), &globals.ui),
        Command::Man(args) => commands::completions::man(&args, self::command(), &globals.ui),
        command => {
            let mut world = World::open(globals)?;
            let result = approvable(command, &mut world, Mandate::Typed);
            crate::published::worktree::after(&world, result)
        }
    }
}

/// The commands that other people may have to approve.
fn approvable(command: Command, world: &mut World, mandate: Mandate) -> Result<Worst> {
    match command {
        Command::Keygen(args) => commands::keygen::run(&args, world, mandate),
        Command::Import(args) => commands::import::run(&args, world, mandate),
        Command::Destroy(args) => commands::destroy::run(&args, world, mandate),
        Command::Revoke(args) => commands::revoke::run(&args, world, mandate),
        Command::Compromise(args) => commands::compromise::run(&args, world, mandate),
        Command::Crl(args) => commands::crl::run(&args, world, mandate),
        Command::Rotate(args) => commands::rotate::run(&args, world, mandate),
        Command::Adopt(args) => commands::adopt::run(&args, world, mandate),
        Command::Grant(args) => commands::grant::run(&args, world, mandate),
        Command::FollowUp(args) => commands::follow_up::run(&args, world, mandate),
        Command::Sign(args) => commands::sign::run_approved(&args, world, mandate),
        Command::Suspend(args) => commands::suspend::run(&args, world, mandate),
        Command::SetTime(args) => commands::set_time::run(&args, world, mandate),
        Command::Roster(args) => commands::roster::run(&args, world, mandate),
        _ => Err(Error::failed("not_approvable", "nobody approves this command; run it as it is")),
    }
}

/// Runs the command line of an approval request under what people agreed to. Its global options are those of this run.
fn approved(words: &[String], world: &mut World, mandate: Mandate) -> Result<Worst> {
    let line = std::iter::once("keyctl").chain(words.iter().map(String::as_str));
    let cli = Cli::try_parse_from(line).map_err(|error| {
        Error::failed("bad_request", "the approved command line is none of this program").because(error)
    })?;
    approvable(cli.command, world, mandate)
}

/// The clap tree, for help, man pages and completions.
pub fn command() -> clap::Command {
    with_reflowed_help(<Cli as clap::CommandFactory>::command())
}

/// Help is written with line breaks of its own, so that examples keep theirs. Paragraphs lose them here, or they would be
/// broken twice where the terminal is narrower.
fn with_reflowed_help(mut command: clap::Command) -> clap::Command {
    if let Some(help) = command.get_long_about().map(|help| reflowed(&help.to_string())) {
        command = command.long_about(help);
    }
    command.mut_subcommands(with_reflowed_help)
}

/// Joins the lines of each paragraph; where one is indented, they are left as they are.
fn reflowed(text: &str) -> String {
    let paragraph = |lines: &str| match lines.lines().any(|line| line.starts_with(' ')) {
        true => lines.to_owned(),
        false => lines.lines().collect::<Vec<_>>().join(" "),
    };
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::failed("io", "input or output failed").because(error)
    }
}
