//! Signing again (`--re-sign`): which artifact of the ledger a file is, so that the new one can take its place (domain §2).

use crate::error::{Error, Result};
use crate::ledger::query::{self, Artifact};
use crate::model::Hash256;
use crate::outcome::Receipt;
use crate::request::{Resigns, SignArtifact};
use crate::world::World;

/// The artifact whose file this is: the one that it is the signed form of, else the one that was made from it, else the
/// one that is the same but for its signatures. One that has to be signed again comes before those that need not be, and
/// a newer one before an older one.
///
/// # Errors
/// `unknown_artifact`.
pub(super) fn found(world: &World, hash: &Hash256, content_digest: &str) -> Result<Resigns> {
    let conn = world.ledger.connection();
    let mut candidates = query::artifacts_with(conn, hash)?;
    candidates.extend(query::artifacts_like(conn, content_digest)?);
    for artifact in &candidates {
        if query::is_marked(conn, artifact.seq)? {
            return resigns(world, artifact);
        }
    }
    let unknown = || {
        let message = format!("the ledger has no artifact of this file (SHA-256 {hash}) whose place it could take");
        Error::usage("unknown_artifact", message).hint("keyctl sign, without --re-sign, makes a first one")
    };
    resigns(world, candidates.first().ok_or_else(unknown)?)
}

fn resigns(world: &World, artifact: &Artifact) -> Result<Resigns> {
    let receipt = Receipt::load(&world.ledger, artifact.seq)?;
    let old: SignArtifact = receipt.params()?;
    Ok(Resigns {
        artifact_id: artifact.artifact_id.clone(),
        hash: artifact.hash_after,
        entry: artifact.seq,
        generation: artifact.generation.clone(),
        evidence_pack_id: old.pack.map(|pack| pack.evidence_pack_id),
        pack_revision: old.resigns.map_or(1, |older| older.pack_revision).saturating_add(1),
    })
}
