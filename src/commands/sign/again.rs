//! `--re-sign`: which artifact of the ledger a file is, so that the new one can take its place (domain §2).

use crate::error::{Error, Result};
use crate::ledger::query::{self, Artifact};
use crate::model::Hash256;
use crate::outcome::Receipt;
use crate::request::{Resigns, SignArtifact};
use crate::world::World;

/// The artifact whose file this is: the one that it is the signed form of, else the one that was made from it, else the
/// one that is the same but for its signatures. Of several, one that has to be signed again, else the newest.
///
/// # Errors
/// `unknown_artifact`.
pub(super) fn found(world: &World, hash: &Hash256, content_digest: &str) -> Result<Resigns> {
    let conn = world.ledger.connection();
    let by_hash = query::artifacts_with(conn, hash)?;
    let (signed, unsigned): (Vec<_>, Vec<_>) = by_hash.into_iter().partition(|artifact| artifact.hash_after == *hash);
    for candidates in [signed, unsigned, query::artifacts_like(conn, content_digest)?] {
        let mut chosen = candidates.first();
        for artifact in &candidates {
            if query::is_marked(conn, artifact.seq)? {
                chosen = Some(artifact);
                break;
            }
        }
        if let Some(artifact) = chosen {
            return resigns(world, artifact);
        }
    }
    let message =
        format!("the ledger has no artifact of this file (SHA-256 {hash}) that another could take the place of");
    Err(Error::usage("unknown_artifact", message).hint("keyctl sign, without --re-sign, makes a first one"))
}

fn resigns(world: &World, artifact: &Artifact) -> Result<Resigns> {
    let receipt = Receipt::load(&world.ledger, artifact.seq)?;
    let params = receipt.intent().body.pointer("/request/params").cloned().unwrap_or_default();
    let old: SignArtifact = serde_json::from_value(params).map_err(|error| {
        Error::failed("bad_entry", format!("entry {} is no signature", artifact.seq)).because(error)
    })?;
    Ok(Resigns {
        artifact_id: artifact.artifact_id.clone(),
        hash: artifact.hash_after,
        entry: artifact.seq,
        generation: artifact.generation.clone(),
        evidence_pack_id: old.pack.map(|pack| pack.evidence_pack_id),
        pack_revision: old.resigns.map_or(1, |older| older.pack_revision).saturating_add(1),
    })
}
