//! Evidence that a run could not write, made later. It is a view of the ledger, so nothing is lost by being late.

use crate::error::Result;
use crate::ledger::query;
use crate::model::GenerationId;
use crate::outcome;
use crate::request::{IssueCrl, MarkArtifacts, Operation, RevokeKey};
use crate::world::World;

/// Makes the fragments that a run could not write. They are views of the ledger, so nothing is lost by being late.
pub(crate) fn late_evidence(world: &mut World) -> Result<usize> {
    let mut entries = query::signed_entries(world.ledger.connection())?;
    entries.extend(query::evidence_outcomes(
        world.ledger.connection(),
        &[RevokeKey::ENTRY, IssueCrl::ENTRY, MarkArtifacts::ENTRY],
    )?);
    entries.extend(query::rotation::all_takeovers(world.ledger.connection())?);
    write_missing(world, &entries)
}

/// The same for the end of one generation and what took its place; gives how many there are.
///
/// # Errors
/// No checkpoint can be had, or the folder cannot be written.
pub(crate) fn evidence_of(world: &mut World, id: &GenerationId) -> Result<usize> {
    let conn = world.ledger.connection();
    let mut entries = query::outcomes_about(conn, RevokeKey::ENTRY, id)?;
    entries.extend(query::outcomes_about(conn, MarkArtifacts::ENTRY, id)?);
    let takeovers = query::rotation::takeovers(conn, &id.key)?;
    entries.extend(takeovers.iter().filter(|one| one.generation.number > id.number).map(|one| one.seq));
    write_missing(world, &entries)?;
    Ok(entries.len())
}

fn write_missing(world: &mut World, entries: &[u64]) -> Result<usize> {
    let mut written = 0;
    for &seq in entries {
        let receipt = outcome::Receipt::load(&world.ledger, seq)?;
        if !world.fragment_path(&receipt)?.exists() {
            world.fragments(std::slice::from_ref(&receipt))?;
            written += 1;
        }
    }
    Ok(written)
}
