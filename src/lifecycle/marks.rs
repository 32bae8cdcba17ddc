//! Artifacts that have to be signed again (B13). The register has them marked from the intent of a revocation on; here
//! the outside is told: an event in the ledger and a fragment for each handful of them.

use crate::error::Result;
use crate::gate::{Consent, Recorded};
use crate::ledger::query::{self, ResignRequired};
use crate::outcome::Receipt;
use crate::request::{Dependent, MarkArtifacts};
use crate::world::{World, act};

/// How many artifacts one event tells of: a leaf has up to a mebibyte, and each takes some 150 bytes.
const HANDFUL: u32 = 2000;

/// Tells of every mark that the outside does not know.
///
/// # Errors
/// The ledger cannot be written.
pub(crate) fn tell(world: &mut World) -> Result<Vec<Receipt>> {
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
        let permit = act::admit(world, &Consent::of_consequence(), request)?;
        receipts.push(act::close_for_evidence(world, permit, Ok(Recorded::new()))?);
    }
}

fn dependent(mark: &ResignRequired) -> Dependent {
    Dependent { artifact_id: mark.artifact_id.clone(), sha256: mark.sha256, entry: mark.artifact }
}
