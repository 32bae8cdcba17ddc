//! `cab`: drafts what a CAB approver signs, and hands in what they withdrew.

use super::grant::time;
use crate::clock::{Time, rfc3339};
use crate::config::policy::Role;
use crate::error::{Error, Result, shown};
use crate::files::{safe, shown_path};
use crate::formats::apt::folder;
use crate::gate::HandedIn;
use crate::ledger::query;
use crate::model::{Email, Hash256, hex};
use crate::people::Namespace;
use crate::people::cab::{self, ApprovalId, CabApproval, Paper, Presented, Status};
use crate::signing::cab::read;
use crate::signing::inputs::{hash_of, listed};
use crate::ui::{Row, Worst};
use crate::world::{World, grouped};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Draft an approval of files by the change advisory board
///
/// Writes what the approver signs: which files (by SHA-256, as they are now; of an APT repository its Release), until
/// when, for how many signatures, and on which conditions. The approver reads and signs it on their own machine, with
/// keyctl approve or with ssh-keygen -Y sign; whoever signs files then names it: keyctl sign --cab FILE. The approver
/// has the role cab-approver in the roster and is not the one who signs files.
///
/// An approval that was given is withdrawn by another one: --withdraw drafts it, the approver signs it, and --record
/// hands it in. Nothing is signed on the strength of it from then on.
///
/// Examples:
///   keyctl cab app.exe library.dll --condition "only after 22:00" --ticket CHG-4711
///   keyctl cab --files-from list --approver cab@example.com --until 2027-01-31T12:00:00Z --to release.json
///   keyctl cab --withdraw release.json --to withdrawn.json
///   keyctl cab --record withdrawn.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CabArgs {
    /// The files, and folders of APT repositories
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Further files, one a line or NUL-separated; - reads standard input
    #[arg(long, value_name = "LIST")]
    files_from: Option<PathBuf>,
    /// Write the draft to this new file
    #[arg(long, value_name = "PATH", default_value = "cab.json")]
    to: PathBuf,
    /// The board's name for it (default: cab-DATE and eight digits)
    #[arg(long, value_name = "ID")]
    id: Option<ApprovalId>,
    /// Who will sign it (default: the only cab-approver in the roster)
    #[arg(long, value_name = "EMAIL")]
    approver: Option<Email>,
    /// From when on it holds, RFC 3339 (default: now)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    /// Until when, RFC 3339 (default: seven days from then)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// For how many signatures (default: one for each file)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(cab::MAX_COUNT)))]
    count: Option<u32>,
    /// A condition that has to be acknowledged; may be repeated
    #[arg(long, value_name = "TEXT")]
    condition: Vec<String>,
    /// Draft the withdrawal of this approval
    #[arg(long, value_name = "CAB", conflicts_with_all = ["files", "files_from", "id", "from", "until", "count", "condition"])]
    withdraw: Option<PathBuf>,
    /// Hand in an approval or a withdrawal that is signed, without signing files
    #[arg(long, value_name = "CAB", conflicts_with_all = ["files", "files_from", "id", "from", "until", "count", "condition", "withdraw", "approver"])]
    record: Option<PathBuf>,
}

/// How long a draft holds if nothing is said.
const DAYS: i64 = 7;

/// Runs `cab`.
///
/// # Errors
/// A file cannot be read; there is nobody to sign it, or several; the draft cannot be written.
pub fn run(args: &CabArgs, world: &mut World) -> Result<Worst> {
    if let Some(file) = &args.record {
        return record(file, world);
    }
    let draft = match &args.withdraw {
        Some(file) => withdrawal(file, args)?,
        None => draft(args, world)?,
    };
    draft.check()?;
    let bytes = draft.to_bytes()?;
    // What would not read again is not handed out.
    CabApproval::parse(&bytes)?;
    if world.globals.dry_run {
        world.ui().raw(&format!("{}\n", String::from_utf8_lossy(&bytes)));
        return Ok(Worst::default());
    }
    safe::write_new(&args.to, &bytes, 0o644)?;
    let sha256 = Hash256::of(&bytes).to_string();
    let next = format!("keyctl approve {} --identity SSHKEY", shown_path(&args.to));
    world.ui().object(
        &Row::new()
            .with("draft", shown_path(&args.to))
            .with("approval_id", draft.approval_id.as_str())
            .with("status", draft.status.as_str())
            .with("approver", draft.approver.as_str())
            .with("artifacts", draft.artifacts.len())
            .with("count", draft.count)
            .with("until", rfc3339(draft.expiry))
            .with("sha256", sha256.as_str())
            .with("aloud", grouped(&sha256))
            .with("namespace", Namespace::Cab.of(&draft.origin))
            .with("next", next),
    );
    Ok(Worst::default())
}

fn draft(args: &CabArgs, world: &World) -> Result<CabApproval> {
    let (artifacts, files) = artifacts(args)?;
    let not_before = args.from.unwrap_or_else(|| world.globals.clock.now());
    let requester = world.globals.actor.as_ref().map(Email::folded);
    let count = args.count.or_else(|| u32::try_from(files).ok());
    Ok(CabApproval {
        schema: cab::SCHEMA.into(),
        approval_id: args.id.clone().map_or_else(|| fresh_id(not_before), Ok)?,
        workspace_id: world.genesis.workspace_id.clone(),
        origin: world.genesis.origin.clone(),
        environment: world.genesis.environment,
        status: Status::Approved,
        approver: approver(args, world, requester.as_ref())?,
        requester,
        artifacts,
        not_before,
        expiry: args.until.unwrap_or(not_before + TimeDelta::days(DAYS)),
        count: count.ok_or_else(|| Error::usage("too_many_files", "too many files for one approval"))?,
        conditions: args.condition.clone(),
        ticket: world.globals.ticket.clone(),
    })
}

/// SHA-256 and name of each file as `sign` would find it, and how many files there are.
fn artifacts(args: &CabArgs) -> Result<(BTreeMap<Hash256, String>, usize)> {
    let mut files = args.files.clone();
    if let Some(list) = &args.files_from {
        files.extend(listed(list)?);
    }
    let mut found = Vec::new();
    for file in files {
        match file.is_dir() {
            true => found.extend(folder::find(&file)?.into_iter().map(|folder| folder.join("Release"))),
            false => found.push(file),
        }
    }
    if found.is_empty() {
        return Err(Error::usage("no_files", "there is no file to approve"));
    }
    let count = found.len();
    let hash = |file: PathBuf| Ok((hash_of(&file)?, name(&file)));
    Ok((found.into_iter().map(hash).collect::<Result<_>>()?, count))
}

/// The file's name; of a repository's index, with the folder's.
fn name(file: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| shown(&name.to_string_lossy())).unwrap_or_default();
    let folder = file.parent().filter(|_| file.ends_with("Release")).map(|folder| name(folder) + "/");
    folder.unwrap_or_default() + &name(file)
}

fn fresh_id(day: Time) -> Result<ApprovalId> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    format!("cab-{}-{}", day.format("%Y%m%d"), hex(&bytes)).parse()
}

/// Who is named, or the only one of the board who does not ask.
fn approver(args: &CabArgs, world: &World, requester: Option<&Email>) -> Result<Email> {
    if let Some(approver) = &args.approver {
        return Ok(approver.folded());
    }
    let conn = world.ledger.connection();
    let suspended = query::suspended(conn)?;
    let people = query::roster(conn)?.map(|roster| roster.people).unwrap_or_default();
    let of_the_board = people.into_iter().filter(|(email, person)| {
        person.roles.contains(&Role::CabApprover) && !suspended.contains(email) && Some(email) != requester
    });
    let names: Vec<_> = of_the_board.map(|(email, _)| email).collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::usage("no_approver", "the roster has no cab-approver who could sign it")
            .hint("--approver EMAIL, a cab-approver of roster.toml")),
        several => {
            let names: Vec<_> = several.iter().map(ToString::to_string).collect();
            let message = format!("several could sign it: {}", names.join(", "));
            Err(Error::usage("which_approver", message).hint("name one with --approver"))
        }
    }
}

/// The same approval, withdrawn: by whom it was given, or by another of the board.
fn withdrawal(file: &Path, args: &CabArgs) -> Result<CabApproval> {
    match read(file).map_err(|error| error.about(shown_path(file)))? {
        Presented::Signed(Paper::Signed { approval, .. }) => {
            let approver = args.approver.as_ref().map_or(approval.approver.clone(), Email::folded);
            let requester = approval.requester.clone().filter(|requester| *requester != approver);
            Ok(CabApproval { status: Status::Withdrawn, approver, requester, ..*approval })
        }
        _ => Err(Error::usage(
            "not_signed_form",
            format!("{}: what nobody signed cannot be withdrawn", shown_path(file)),
        )
        .hint("change its status in the file")),
    }
}

fn record(file: &Path, world: &mut World) -> Result<Worst> {
    let presented = read(file).map_err(|error| error.about(shown_path(file)))?;
    let Some(paper @ Paper::Signed { .. }) = presented.choose(None)? else {
        return Err(Error::usage("not_signed_form", format!("{}: nobody signed it", shown_path(file))));
    };
    let id = paper.approval_id().clone();
    let (actor, correlation_id) = (world.globals.actor(), world.globals.correlation_id.clone());
    let handed_in = HandedIn { paper, actor, correlation_id };
    if !world.globals.dry_run {
        handed_in.keep(&mut world.ledger)?;
        world.checkpoint()?;
    }
    let withdrawn = query::cab_withdrawn(world.ledger.connection(), &id)?;
    let wants = matches!(&handed_in.paper, Paper::Signed { approval, .. } if approval.status == Status::Withdrawn);
    if wants && withdrawn.is_none() && !world.globals.dry_run {
        let message =
            format!("{id} was recorded, but withdraws nothing: nobody of the board signed it for this workspace");
        return Err(Error::blocked("not_withdrawn", message).hint("the approver in it signs it: keyctl approve"));
    }
    let mut row = Row::new().with("approval_id", id.as_str()).with("result", "recorded");
    if let Some(entry) = withdrawn {
        row = row.with("withdrawn_by_entry", entry);
    }
    world.ui().object(&row);
    Ok(Worst::default())
}
