//! Revocations as the register keeps them: why and from when on, who has to tell verifiers, and whether that was done.

use crate::clock::Time;
use crate::model::{GenerationId, Hash256};

crate::model::words! {
    /// Why a certificate is revoked, by the names of RFC 5280 §5.3.1. certificateHold and removeFromCRL are not
    /// among them: nothing is ever suspended by a list or taken off it (CSBR 4.9.13).
    RevocationReason: "revocation reason" {
        Unspecified = "unspecified",
        /// Somebody else has, or may have, the private key.
        KeyCompromise = "keyCompromise",
        /// The same of a CA.
        CaCompromise = "cACompromise",
        AffiliationChanged = "affiliationChanged",
        /// Another key took its place.
        Superseded = "superseded",
        /// It is no longer needed.
        CessationOfOperation = "cessationOfOperation",
        PrivilegeWithdrawn = "privilegeWithdrawn",
        AaCompromise = "aACompromise",
    }
}

impl RevocationReason {
    /// Whether others may have signed with the key: only then can the time of it be known, and only then must what it
    /// signed be doubted.
    pub fn is_compromise(self) -> bool {
        matches!(self, Self::KeyCompromise | Self::CaCompromise | Self::AaCompromise)
    }
}

/// What a revocation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Why.
    pub reason: RevocationReason,
    /// From when on the certificate does not count; may lie before the decision (CSBR 4.9.1).
    pub revocation_date: Time,
    /// Since when the key may be in other hands; equal to `revocation_date` (governance C5).
    pub invalidity_date: Option<Time>,
}

impl Terms {
    /// Whether these may take the place of those: a revocation is never taken back, but what looked like routine may
    /// turn out to be a compromise, and a compromise older than it was thought.
    pub fn sharpen(&self, old: &Terms) -> bool {
        let earlier = self.revocation_date < old.revocation_date;
        self.reason.is_compromise()
            && self.revocation_date <= old.revocation_date
            && (earlier
                || !old.reason.is_compromise()
                || (old.invalidity_date.is_none() && self.invalidity_date.is_some()))
    }
}

/// Entries whose certificate expired before this may be left out of a list of this time (CSBR 7.2: ten years).
pub fn retention_cutoff(this_update: Time) -> Time {
    this_update.checked_sub_months(chrono::Months::new(120)).unwrap_or(Time::UNIX_EPOCH)
}

/// A revocation that was decided. It holds here from its intent on, whether or not verifiers were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which generation.
    pub generation: GenerationId,
    /// What it says by now.
    pub terms: Terms,
    /// The CA whose list has to say so, or the OpenPGP primary key; `None` where nobody of ours can.
    pub issuer: Option<GenerationId>,
    /// The entry that decided it first.
    pub seq: u64,
    /// When that was.
    pub decided: Time,
    /// The entry after which every list or keyring of ours said so; `None` until then.
    pub told: Option<u64>,
}

/// The newest list of a CA generation that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCrl {
    /// cRLNumber.
    pub number: u64,
    /// The entry of the outcome.
    pub seq: u64,
    /// SHA-256 of the DER.
    pub sha256: Hash256,
    /// thisUpdate.
    pub this_update: Time,
    /// nextUpdate.
    pub next_update: Time,
    /// How many certificates are on it.
    pub entries: u64,
    /// The entry that records that it was seen at its URL; `None` until then.
    pub served: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use RevocationReason::*;

    fn terms(reason: RevocationReason, date: &str, dated: bool) -> Terms {
        let revocation_date = crate::clock::parse(&format!("2026-03-{date}T00:00:00Z")).unwrap();
        Terms { reason, revocation_date, invalidity_date: dated.then_some(revocation_date) }
    }

    #[test]
    fn a_revocation_can_only_get_sharper() {
        let routine = terms(Superseded, "10", false);
        let compromise = terms(KeyCompromise, "10", false);
        let dated = terms(KeyCompromise, "05", true);
        assert!(compromise.sharpen(&routine) && dated.sharpen(&routine) && dated.sharpen(&compromise));
        assert!(terms(KeyCompromise, "10", true).sharpen(&compromise), "the same time, now known");
        for (later, than) in [
            (routine, compromise),
            (routine, dated),
            (compromise, dated),
            (terms(KeyCompromise, "11", true), routine),
            (terms(CessationOfOperation, "01", false), routine),
        ] {
            assert!(!later.sharpen(&than), "{later:?} after {than:?}");
        }
        for same in [routine, compromise, dated] {
            assert!(!same.sharpen(&same));
        }
    }
}
