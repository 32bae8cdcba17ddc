//! Idempotent replay (design §6): the same correlation id, operation and file give the stored result again.

use super::chunk::Plan;
use super::inputs::{Job, hash_of};
use super::request::Terms;
use super::{Finished, Stored};
use crate::error::{Error, Result};
use crate::ledger::query;
use crate::model::{Hash256, KeyName};
use crate::outcome::Receipt;
use crate::policy::rules::KEYRING_OPTION;
use crate::request::SignArtifact;
use crate::world::World;
use std::collections::BTreeMap;
use std::path::Path;

/// Takes out the files that were signed under this correlation id already. Files are only read for this if the
/// ledger knows the correlation id at all.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn split(world: &mut World, plan: &Plan<'_>, jobs: Vec<Job>) -> Result<(Vec<Finished>, Vec<Job>)> {
    let id = world.globals.correlation_id.clone();
    if !query::knows_correlation(world.ledger.connection(), &id, "sign")? {
        return Ok((Vec::new(), jobs));
    }
    let mut finished = Vec::new();
    let mut left = Vec::new();
    for job in jobs {
        // A file that cannot be read is the later stages' to report.
        let hash = hash_of(&job.file).ok();
        // Only what an earlier run signed: within one run, two files with the same bytes are two files.
        let known = hash
            .map(|hash| query::signed_as(world.ledger.connection(), &id, "sign", &hash, plan.began))
            .transpose()?
            .flatten();
        match known {
            None => left.push(job),
            Some(seq) => {
                let options = plan.options.words();
                let wanted = Wanted { key: &plan.signer.generation.key, options: &options, terms: plan.terms };
                let result = stored(world, &wanted, seq);
                if let (Ok((receipt, _)), Some(hash)) = (&result, hash) {
                    warn_if_unsigned(world, &job.file, receipt, &hash);
                }
                finished.push(Finished { result, file: job.file });
            }
        }
    }
    Ok((finished, left))
}

/// The stored result speaks of the signed file. A copy from before the signature stays what it is, and nobody should
/// ship it for the other.
fn warn_if_unsigned(world: &World, file: &Path, receipt: &Receipt, hash: &Hash256) {
    let before = receipt.intent().body.pointer("/request/params/hash_before").and_then(|value| value.as_str());
    if before == Some(hash.to_string().as_str()) {
        let name = crate::files::shown_path(file);
        world.ui().warn(&format!("{name}: signed before under this correlation id; this copy is the unsigned one"));
    }
}

/// The parameters that have to be the same as then.
pub(super) struct Wanted<'a> {
    /// The key, in whichever generation.
    pub key: &'a KeyName,
    /// What shapes the signature.
    pub options: &'a BTreeMap<String, String>,
    /// The evidence pack, and whether it took the place of another artifact.
    pub terms: &'a Terms,
}

/// The stored result, if the parameters are the same as then.
///
/// # Errors
/// `other_parameters`; the ledger cannot be read.
pub(super) fn stored(world: &mut World, wanted: &Wanted<'_>, seq: u64) -> Result<Stored> {
    let receipt = Receipt::load(&world.ledger, seq)?;
    let params = receipt.intent().body.get("request").and_then(|request| request.get("params")).cloned();
    let mut then: SignArtifact = serde_json::from_value(params.unwrap_or_default())
        .map_err(|error| Error::failed("bad_entry", format!("entry {seq} is no signature")).because(error))?;
    // Found, not asked for: the published keyring may have grown since.
    then.options.remove(KEYRING_OPTION);
    let same = then.generation.key == *wanted.key
        && then.options == *wanted.options
        && then.pack == wanted.terms.pack
        && then.resigns.is_some() == wanted.terms.re_signs;
    if !same {
        let message = format!("entry {seq} signed this file under the same correlation id with other parameters");
        return Err(Error::blocked("other_parameters", message).hint("use another --correlation-id"));
    }
    let path = world.fragment_path(&receipt)?;
    if !path.exists() {
        world.fragments(std::slice::from_ref(&receipt))?;
    }
    Ok((receipt, path))
}
