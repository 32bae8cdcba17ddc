//! Artifacts that have to be signed again (B13). The register has them marked from the intent of a revocation on; here
//! the outside is told: an event in the ledger and a fragment for each handful of them.

use super::act;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::gate::Recorded;
use crate::ledger::query::{self, ResignRequired};
use crate::outcome::Receipt;
use crate::request::{Dependent, MarkArtifacts};
use crate::ui::Row;
use crate::world::World;

/// How many artifacts one event tells of: a leaf has up to a mebibyte, and each takes some 150 bytes.
const HANDFUL: u32 = 2000;

/// The columns of the table of marks.
pub(super) const COLUMNS: &[&str] = &["resign_required", "sha256", "signed_by", "signed_at", "because"];

/// Tells of every mark that the outside does not know.
///
/// # Errors
/// The ledger cannot be written.
pub(super) fn tell(world: &mut World) -> Result<Vec<Receipt>> {
    let mut receipts = Vec::new();
    loop {
        let marks = query::untold_marks(world.ledger.connection(), HANDFUL)?;
        let Some(first) = marks.first() else { return Ok(receipts) };
        let generation = first.because.clone();
        let revocation = query::revocation(world.ledger.connection(), &generation)?;
        let params = MarkArtifacts {
            revocation: revocation.map_or(first.seq, |revocation| revocation.seq),
            artifacts: marks.iter().map(dependent).collect(),
            generation,
        };
        let request = world.request(params.generation.to_string(), params);
        let permit = act::admit(world, request)?;
        receipts.push(act::close_for_evidence(world, permit, Ok(Recorded::new()))?);
    }
}

fn dependent(mark: &ResignRequired) -> Dependent {
    Dependent { artifact_id: mark.artifact_id.clone(), sha256: mark.sha256, entry: mark.artifact }
}

/// One mark as a row.
pub(super) fn row(mark: &ResignRequired) -> Row {
    Row::new()
        .with("resign_required", mark.artifact_id.as_str())
        .with("sha256", mark.sha256.to_string())
        .with("signed_by", mark.signed_by.to_string())
        .with("signed_at", rfc3339(mark.signed_at))
        .with("because", mark.because.to_string())
        .with("entry", mark.artifact)
}
