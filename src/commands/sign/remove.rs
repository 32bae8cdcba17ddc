//! `sign --remove`: takes signatures out.

use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::founding::found;
use crate::signing::inputs::Job;
use crate::signing::remove::Removed;
use crate::signing::{Options, remove};
use crate::ui::{Row, Ui, Worst, error_value};
use crate::world::{Globals, World};

/// Runs `sign --remove`.
///
/// # Errors
/// None of its own; what happens to single files is in the result.
pub(super) fn run(options: &Options, mut jobs: Vec<Job>, mut globals: Globals) -> Result<Worst> {
    let ui = globals.ui.clone();
    if options.is_sandboxed {
        globals.workspace.get_or_insert_with(|| found::SANDBOX.into());
        // A file that was signed in the sandbox is taken as it is found.
        let in_place = options.to.is_none();
        jobs.iter_mut().filter(|_| in_place).for_each(|job| job.destination = None);
    }
    // Without a workspace the signatures come out all the same, only the padding before them stays.
    let world = World::open(globals).ok();
    let stop = crate::world::interrupts()?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for job in jobs {
        for name in &job.also {
            ui.warn(&format!("{}: the same file as {}", shown_path(name), shown_path(&job.file)));
        }
        let row = Row::new().with("file", job.file.to_string_lossy().into_owned());
        rows.push(match remove::remove(&job, options.follow, world.as_ref(), &stop) {
            Ok(removed) => said(&ui, &job, &removed, row)
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

/// Says what the result may not be.
fn said(ui: &Ui, job: &Job, removed: &Removed, row: Row) -> Row {
    let Some(doubt) = &removed.doubt else { return row };
    ui.warn(&format!("{}: {doubt}", shown_path(&job.file)));
    row.with("doubt", doubt.as_str())
}
