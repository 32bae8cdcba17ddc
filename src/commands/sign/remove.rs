//! `sign --remove`: takes signatures out. No key is used; where the ledger knows the file, what comes out is the
//! original, byte for byte.

use super::SignArgs;
use super::inputs::Job;
use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::formats::artifact;
use crate::formats::pe::Original;
use crate::ledger::query;
use crate::model::{Hash256, unhex};
use crate::ui::{Row, Worst, error_value};
use crate::world::{Globals, World};
use serde_json::Value;

/// Runs `sign --remove`.
///
/// # Errors
/// None of its own; what happens to single files is in the result.
pub(super) fn run(args: &SignArgs, jobs: Vec<Job>, globals: Globals) -> Result<Worst> {
    let ui = globals.ui.clone();
    // Without a workspace the signatures come out all the same, only the padding before them stays.
    let world = World::open(globals).ok();
    let stop = crate::world::interrupts()?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for job in jobs {
        let original = |hash: &Hash256| world.as_ref().and_then(|world| original(world, hash));
        let done = artifact::remove(&job.file, job.destination.as_deref(), args.follow_symlinks, &original, &stop);
        let row = Row::new().with("file", job.file.to_string_lossy().into_owned());
        rows.push(match done {
            Ok(removed) => row
                .with("result", if removed.restored { "restored" } else { "removed" })
                .with("sha256", removed.hash_after.to_string())
                .with("sha256_before", removed.hash_before.to_string()),
            Err(error) => {
                worst.add(error.kind());
                ui.error(
                    &Error::new(error.kind(), error.code(), format!("{}: {}", shown_path(&job.file), error.full()))
                        .maybe_hint(error.advice()),
                );
                row.with("result", "failed").with("error", error_value(&error))
            }
        });
    }
    ui.rows(&["file", "result", "sha256"], &rows);
    Ok(worst)
}

/// What the ledger remembers of the file that this signed file was made from. A chain of signatures (`--append`,
/// `--replace`) leads back to the first, which was made from an unsigned file.
fn original(world: &World, signed: &Hash256) -> Option<Original> {
    let mut hash = *signed;
    for _ in 0..64 {
        let seq = query::signed_into(world.ledger.connection(), &hash).ok()??;
        let outcome = world.ledger.entry(seq).ok()?;
        if let Some(original) = outcome.body.get("done").and_then(|done| done.get("original")) {
            return read(original);
        }
        let intent = world.ledger.entry(outcome.body.get("intent")?.as_u64()?).ok()?;
        hash = intent.body.get("request")?.get("object")?.as_str()?.parse().ok()?;
    }
    None
}

fn read(original: &Value) -> Option<Original> {
    let number = |name: &str| original.get(name).and_then(Value::as_u64);
    Some(Original {
        len: number("size")?,
        checksum: u32::try_from(number("checksum")?).ok()?,
        directory: unhex(original.get("directory")?.as_str()?)?.try_into().ok()?,
    })
}
