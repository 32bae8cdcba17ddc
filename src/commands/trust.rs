//! `trust`: pins a workspace, on purpose.

use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::model::Hash256;
use crate::ui::{Row, Worst, confirm};
use crate::world::pinning::Candidate;
use crate::world::{Globals, grouped};
use std::path::PathBuf;

/// Trust a workspace from now on
///
/// A workspace that this user did not found is not used before it is trusted: its keyctl.toml names programs that are run
/// for PINs and modules that are loaded. This shows its genesis and what it would run, verifies its ledger, and pins
/// both; nothing of it is run. Have the genesis read to you by somebody who founded the workspace, or give it with
/// --genesis. What root trusts on this host needs no confirmation.
///
/// A workspace knows its folder and machine, and is not used elsewhere, since two copies that both go on are two
/// histories. --moved says that it was moved here; the original, if there still is one, must not be used again.
///
/// Examples:
///   keyctl trust .keyctl-sandbox
///   keyctl trust --moved .keyctl-sandbox
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct TrustArgs {
    /// The workspace's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// It was moved here, and is used nowhere else
    #[arg(long)]
    moved: bool,
    /// Its genesis, as you heard it from elsewhere
    #[arg(long, value_name = "SHA256")]
    genesis: Option<Hash256>,
}

/// Runs `trust`.
///
/// # Errors
/// The workspace cannot be trusted as it is, or nobody confirms it.
pub fn run(args: &TrustArgs, globals: &Globals) -> Result<Worst> {
    let candidate = Candidate::look(&args.dir, &globals.clock)?;
    candidate.odd.iter().for_each(|odd| globals.ui.warn(odd));
    let genesis = candidate.genesis_sha256;
    if args.genesis.is_some_and(|said| said != genesis) {
        let message = format!("{}: its genesis is another one: {genesis}", shown_path(&candidate.dir));
        return Err(Error::blocked("genesis_changed", message).hint("do not trust it; ask who founded it"));
    }
    let is_new = !candidate.is_pinned() && !candidate.is_vouched_for() && args.genesis.is_none();
    globals.ui.object(&row(&candidate));
    for line in candidate.runs() {
        globals.ui.say(&format!("runs: {line}"));
    }
    if let Some(known) = &candidate.replaces {
        globals.ui.warn(&format!("the folder held the workspace {known} before"));
    }
    if globals.dry_run {
        return Ok(Worst::default());
    }
    let name = shown_path(&candidate.dir).to_string();
    if is_new || args.moved {
        let what = if args.moved { "use the workspace in" } else { "trust the workspace in" };
        let digits: String = genesis.to_string().chars().skip(56).collect();
        confirm(globals.yes, &format!("{what} {name} from now on"), &digits)?;
    }
    candidate.pin(args.moved)?;
    globals.ui.say(&format!("{name} is trusted"));
    Ok(Worst::default())
}

fn row(candidate: &Candidate) -> Row {
    let genesis = &candidate.genesis;
    let mut row = Row::new()
        .with("folder", candidate.dir.to_string_lossy().into_owned())
        .with("workspace", genesis.workspace_id.as_str())
        .with("environment", genesis.environment.as_str())
        .with("origin", genesis.origin.as_str())
        .with("entries", candidate.entries)
        .with("genesis", candidate.genesis_sha256.to_string())
        .with("aloud", grouped(&candidate.genesis_sha256.to_string()))
        .with("pinned", candidate.is_pinned())
        .with("root_trusts_it", candidate.is_vouched_for())
        .with("runs", candidate.runs());
    if let Some(was) = &candidate.was {
        row = row.with("was_in", was.folder.as_str());
    }
    row
}
