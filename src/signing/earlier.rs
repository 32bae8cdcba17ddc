//! What an earlier run signed: whether it is what is asked for now, and whether it may still be shipped.

use super::Stored;
use super::request::Terms;
use crate::error::{Error, Result};
use crate::ledger::query;
use crate::model::{Hash256, KeyName};
use crate::outcome::Receipt;
use crate::policy::rules::KEYRING_OPTION;
use crate::request::{FILE, FOLDER, SignArtifact};
use crate::world::World;
use std::collections::BTreeMap;

/// An artifact that was signed before.
pub(super) struct Known {
    pub seq: u64,
    pub params: SignArtifact,
    pub hash_after: Hash256,
}

impl Known {
    /// Reads it from the ledger.
    ///
    /// # Errors
    /// `bad_entry`.
    pub fn load(world: &World, seq: u64) -> Result<(Receipt, Self)> {
        let receipt = Receipt::load(&world.ledger, seq)?;
        let bad = || Error::failed("bad_entry", format!("entry {seq} is no signature"));
        let params = receipt.params()?;
        let after = receipt.outcome().body.pointer("/done/hash_after").and_then(|hash| hash.as_str());
        let hash_after = after.ok_or_else(bad)?.parse()?;
        Ok((receipt, Known { seq, params, hash_after }))
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

impl Wanted<'_> {
    /// Whether this is what was asked for then.
    ///
    /// # Errors
    /// There is no evidence pack for it.
    pub fn is(&self, then: &SignArtifact) -> Result<bool> {
        let mut options = then.options.clone();
        // Found, not asked for: the published keyring may have grown since, and a checkout may lie elsewhere.
        [KEYRING_OPTION, FILE, FOLDER].into_iter().for_each(|name| drop(options.remove(name)));
        Ok(then.generation.key == *self.key
            && options == *self.options
            && then.pack == self.terms.packs.of(&then.hash_before, then.sha512_before.as_deref())?
            && then.resigns.is_some() == self.terms.re_signs)
    }
}

/// The stored result, if the parameters are the same as then and nothing came up against it since.
///
/// # Errors
/// `other_parameters`; what [`still_stands`] says; the ledger cannot be read.
pub(super) fn stored(world: &mut World, wanted: &Wanted<'_>, known: &Known) -> Result<Stored> {
    if !wanted.is(&known.params)? {
        let message =
            format!("entry {} signed this file under the same correlation id with other parameters", known.seq);
        return Err(Error::blocked("other_parameters", message).hint("use another --correlation-id"));
    }
    still_stands(world, known)?;
    let receipt = Receipt::load(&world.ledger, known.seq)?;
    let path = world.fragment_path(&receipt)?;
    if !path.exists() {
        world.fragments(std::slice::from_ref(&receipt))?;
    }
    Ok((receipt, path))
}

/// Refuses to give out again what should not be shipped any more.
///
/// # Errors
/// `key_compromised`, `re_sign_required`, `cab_withdrawn`; the ledger cannot be read.
pub(super) fn still_stands(world: &World, Known { seq, params, .. }: &Known) -> Result<()> {
    let conn = world.ledger.connection();
    for id in std::iter::once(&params.generation).chain(&params.cosigners) {
        let revoked = query::revocation(conn, id)?.filter(|revocation| revocation.terms.reason.is_compromise());
        let why = match (revoked, world.generation(id)?.quarantined) {
            (Some(revocation), _) => format!("revoked for {}", revocation.terms.reason),
            (None, Some(reason)) => format!("quarantined ({reason})"),
            (None, None) => continue,
        };
        let message = format!("entry {seq} signed this file with {id}, which is {why} since");
        return Err(Error::blocked("key_compromised", message)
            .hint("sign the unsigned file with the key's successor, under another --correlation-id"));
    }
    if query::is_marked(conn, *seq)? {
        let message = format!("what entry {seq} signed has to be signed again");
        return Err(Error::blocked("re_sign_required", message).hint("keyctl sign --re-sign FILE"));
    }
    if let Some(cab) = &params.cab
        && let Some(entry) = query::cab_withdrawn(conn, &cab.approval_id)?
    {
        let message =
            format!("entry {entry} withdrew {}, on which the signature of entry {seq} rests", cab.approval_id);
        return Err(Error::blocked("cab_withdrawn", message).hint("sign under another approval: --cab FILE"));
    }
    Ok(())
}
