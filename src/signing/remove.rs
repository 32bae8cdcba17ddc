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
use std::collections::BTreeSet;
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
    /// If not, why that cannot be promised.
    pub doubt: Option<String>,
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
    let known = match world {
        Some(world) => originals(world, &hash_before)?,
        None => Vec::new(),
    };
    let original = if let [only] = known.as_slice() { Some(only) } else { None };
    let stripped = stripping.finish(source.file(), original.map(|original| &original.says))?;
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
    let hash_after = whole.finish();
    let restored = stripped.is_original && original.is_some_and(|original| original.hash == hash_after);
    Ok(Removed { hash_before, hash_after, restored, doubt: (!restored).then(|| doubt(world, &known)) })
}

/// Why the result may not be the file that was signed.
fn doubt(world: Option<&World>, known: &[Original]) -> String {
    let may_differ = "CheckSum and up to 7 zeros at the end may differ from the file that was signed";
    match (world, known) {
        (None, _) => format!("there is no workspace that knows the original: {may_differ}"),
        (Some(_), []) => format!("this workspace did not sign it from an unsigned file: {may_differ}"),
        (Some(_), [_]) => format!("the ledger's original has another hash: {may_differ}"),
        (Some(_), several) => {
            let hashes: Vec<_> = several.iter().map(|original| original.hash.to_string()).collect();
            let hashes = hashes.join(" and ");
            format!("files that cannot be told apart were signed into these same bytes, {hashes}: {may_differ}")
        }
    }
}

/// An unsigned file, as the ledger knows it.
#[derive(Debug, PartialEq)]
struct Original {
    hash: Hash256,
    /// What its format has to know to bring it back.
    says: Value,
}

/// One step of a file's history.
struct Step {
    into: Hash256,
    from: Original,
}

/// The unsigned files that this signed file can have been made from. A chain of signatures (`--append`, `--replace`)
/// leads back to the first, which was made from an unsigned file. Equal bytes can come of several: of keys whose
/// signatures do not vary, from files that differ only in what a signed file no longer tells.
fn originals(world: &World, signed: &Hash256) -> Result<Vec<Original>> {
    if query::signed_into(world.ledger.connection(), signed)?.is_none() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for seq in query::signed_entries(world.ledger.connection())? {
        steps.extend(step(world, seq)?);
    }
    let (mut wanted, mut seen, mut found) = (vec![*signed], BTreeSet::new(), Vec::new());
    while let Some(hash) = wanted.pop() {
        if !seen.insert(hash) {
            continue;
        }
        for step in steps.iter().filter(|step| step.into == hash) {
            if step.from.says.is_null() {
                wanted.push(step.from.hash);
            } else if !found.contains(&step.from) {
                found.push(Original { hash: step.from.hash, says: step.from.says.clone() });
            }
        }
    }
    Ok(found)
}

/// What an outcome's entry says; nothing for one of another kind.
fn step(world: &World, seq: u64) -> Result<Option<Step>> {
    let outcome = world.ledger.entry(seq)?;
    let Some(intent) = outcome.body.get("intent").and_then(Value::as_u64) else { return Ok(None) };
    let intent = world.ledger.entry(intent)?;
    let hash = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| text.parse().ok());
    let into = hash(outcome.body.pointer("/done/hash_after"));
    let from = hash(intent.body.pointer("/request/object"));
    let says = outcome.body.pointer("/done/original").cloned().unwrap_or_default();
    Ok(into.zip(from).map(|(into, hash)| Step { into, from: Original { hash, says } }))
}
