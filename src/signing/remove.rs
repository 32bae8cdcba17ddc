//! Taking signatures out of a file: no key is used, and what comes out has no signature left. Where the ledger knows the
//! file, what comes out is the original, byte for byte.

use super::artifact::source;
use super::inputs::Job;
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result};
use crate::files::copy::copy_while;
use crate::files::place::{Placement, Target};
use crate::formats::detect::detect;
use crate::formats::feed;
use crate::ledger::query;
use crate::model::Hash256;
use crate::world::World;
use serde_json::Value;
use std::sync::atomic::AtomicBool;

/// A file whose signatures were taken out.
#[derive(Debug)]
pub struct Removed {
    /// SHA-256 of the signed file.
    pub hash_before: Hash256,
    /// SHA-256 of what it is now.
    pub hash_after: Hash256,
    /// It is the file from before its first signature, byte for byte.
    pub restored: bool,
}

/// Takes all signatures out of a file. Without a workspace nobody knows the original, and its padding stays.
///
/// # Errors
/// The file cannot be read or is not what it should be; it is not signed; the result cannot be placed.
pub fn remove(job: &Job, follow: bool, world: Option<&World>, stop: &AtomicBool) -> Result<Removed> {
    let to = job.destination.as_deref();
    let source = source(&job.file, to, follow)?;
    let format = detect(&source)?;
    let mut stripping = format.strip(source.file())?;
    let mut target = match to {
        Some(to) => Target::beside(to)?,
        None => Target::replacing(&source)?,
    };
    let mut whole = Sha256::new();
    let sums = stripping.sink();
    let mut sink = |bytes: &[u8]| {
        whole.update(bytes);
        sums.update(bytes);
    };
    copy_while(&source, &mut target, &mut [&mut sink], stop)?;
    let hash_before = whole.finish();
    let original = world.and_then(|world| original(world, &hash_before));
    let stripped = stripping.finish(source.file(), original.as_ref())?;
    target.apply(&stripped.edits.edits, stripped.edits.len)?;
    let mut whole = Sha256::new();
    feed(target.file(), &mut [&mut whole])?;
    if format.is_signed(target.file())? {
        return Err(Error::bug("the written file still has a certificate table"));
    }
    if to.is_some() {
        target.like(&source)?;
        target.place(Placement::New)?;
    } else {
        target.place(Placement::Replace { expect: &source })?;
    }
    Ok(Removed { hash_before, hash_after: whole.finish(), restored: stripped.is_original })
}

/// What the ledger remembers of the file that this signed file was made from. A chain of signatures (`--append`,
/// `--replace`) leads back to the first, which was made from an unsigned file.
fn original(world: &World, signed: &Hash256) -> Option<Value> {
    let mut hash = *signed;
    for _ in 0..64 {
        let seq = query::signed_into(world.ledger.connection(), &hash).ok()??;
        let outcome = world.ledger.entry(seq).ok()?;
        if let Some(original) = outcome.body.get("done").and_then(|done| done.get("original")) {
            return Some(original.clone());
        }
        let intent = world.ledger.entry(outcome.body.get("intent")?.as_u64()?).ok()?;
        hash = intent.body.get("request")?.get("object")?.as_str()?.parse().ok()?;
    }
    None
}
