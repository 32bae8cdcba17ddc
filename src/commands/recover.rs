//! `recover`: what became of intents whose process is gone.

use crate::error::Result;
use crate::ledger::query::OpenIntent;
use crate::lifecycle::lists::issue;
use crate::lifecycle::{destroy, pipelines};
use crate::published::{certificates, keyrings, register, worktree};
use crate::runbooks::announce;
use crate::runbooks::evidence::late_evidence;
use crate::runbooks::recover::{file_of, settle};
use crate::signing::adopt::in_order;
use crate::ui::{Row, Worst};
use crate::world::World;
use crate::world::orphans::orphans;

/// Settle what an interruption left
///
/// An intent without an outcome, whose process is gone, is an orphan. A key that was made is looked for by its
/// planned CKA_ID and taken over if it is whole, or the intent is closed as not executed; a certificate counts
/// as issued. A signature that nobody reported is looked for in its file: if it is there and good, its outcome and its
/// evidence are written now, else it is recorded as unknown, with its digest. The two signature files of an APT
/// repository are brought to a whole state. Revocations that verifiers were not told of are told: the next list is made,
/// or the keyring gets its revocation. Published keyrings that changed or are gone are written again. Where published/
/// is a git work tree, it is committed and pushed; exit 3 while its remote cannot be reached.
///
/// Examples:
///   keyctl recover
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RecoverArgs {}

/// Runs `recover`.
///
/// # Errors
/// A token or the ledger cannot be reached; what was settled stays settled.
pub fn run(_args: &RecoverArgs, world: &mut World) -> Result<Worst> {
    let mut orphans = orphans(world)?;
    in_order(world, &mut orphans);
    if world.globals.dry_run {
        let open = orphans.iter().map(|orphan| Ok(row(world, orphan)?.with("result", "open")));
        world.ui().rows(&["entry", "type", "object", "file", "result"], &open.collect::<Result<Vec<_>>>()?);
        return Ok(Worst::default());
    }
    crate::world::tidy(&world.dir);
    let mut rows = Vec::new();
    for orphan in &orphans {
        let row = row(world, orphan)?;
        let (result, detail) = settle(world, orphan)?;
        rows.push(row.with("result", result).with("detail", detail));
    }
    let mut worst = Worst::default();
    let told = announce::go_on(world, &mut worst)?;
    if !told.is_empty() {
        world.ui().say("revocations that nobody was told of are published");
        issue::finish(world, &told, &mut worst)?;
    }
    let late = late_evidence(world)? + destroy::late_evidence(world)?;
    if late > 0 {
        world.ui().say(&format!("wrote {late} fragments that were missing from evidence/"));
    }
    let published = keyrings::publish(world)?;
    pipelines::catch_up(world)?;
    certificates::certificates(world)?;
    if rows.is_empty() {
        world.ui().say("nothing was interrupted");
    }
    if published {
        world.ui().say("published keyrings were written again");
    }
    if !rows.is_empty() || published || late > 0 {
        world.checkpoint()?;
        register::register(world)?;
    }
    if !rows.is_empty() {
        world.ui().rows(&["entry", "type", "object", "file", "result", "detail"], &rows);
    }
    worktree::recover(world).map(|()| worst)
}

/// What an open intent is about.
fn row(world: &World, orphan: &OpenIntent) -> Result<Row> {
    let row =
        Row::new().with("entry", orphan.seq).with("type", orphan.kind.entry()).with("object", orphan.object.as_str());
    Ok(match file_of(world, orphan)? {
        Some(file) => row.with("file", file),
        None => row,
    })
}
