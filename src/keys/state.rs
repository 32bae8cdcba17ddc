//! The life of a generation, and the one table that says which step may follow which.
//!
//! What each command makes of a first generation in each state, where no other generation of the key exists. `now X` is
//! the state it has afterwards, `next one X` that of the generation that was made beside it; a refusal (exit 4) names its
//! gates or its code. `tests/it/life.rs` reads these tables and runs every cell.
//!
//! | a signing key that is | keygen | import | sign | rotate | revoke | suspend | destroy |
//! |---|---|---|---|---|---|---|---|
//! | `planned` | now active | refused: no identity | refused: no active key | now active | refused: nothing to revoke | suspended | now destroyed |
//! | `generated` | now active | now active | refused: no active key | now active | refused: nothing to revoke | suspended | now destroyed |
//! | `certified` | now active | refused by Status | refused: no active key | now active | now revoked | suspended | now destroyed |
//! | `staged` | now active | refused by Status | refused: no active key | now active | now revoked | suspended | refused by Status |
//! | `active` | next one certified | refused by Status | signs | next one active, now retiring | now revoked | suspended | refused by Status |
//! | `retiring` | next one active | refused by Status | refused: no active key | next one active | now revoked | suspended | refused by Status |
//! | `retired` | next one active | refused by Status | refused: no active key | next one active, now revoked | now revoked | suspended | now destroyed |
//! | `crl-only` | next one active | refused by Status | refused: no active key | next one active | now revoked | suspended | refused by RevocationLists |
//! | `revoked` | next one active | refused by Status | refused: no active key | next one active | nothing to do | suspended | now destroyed |
//! | `destroyed` | next one active | refused by Status | refused: no active key | next one active | revoked as well | suspended | nothing to do |
//! | `quarantined` | next one certified | refused by Status | refused by Status | next one active, now retiring | now revoked | suspended | refused by Status |
//! | `suspended` | next one certified | refused by Status | refused by Suspended | next one active, now retiring | now revoked | refused by Suspended | refused by Status |
//!
//! | a CA that is | keygen | rotate | crl | revoke | suspend | destroy |
//! |---|---|---|---|---|---|---|
//! | `planned` | now active | now active | nothing to do | refused: nothing to revoke | suspended | refused by RevocationLists |
//! | `generated` | now active | now active | nothing to do | refused: nothing to revoke | suspended | refused by RevocationLists, Destroyable |
//! | `certified` | now active | now active | nothing to do | now revoked | suspended | refused by RevocationLists, Destroyable |
//! | `staged` | now active | now active | nothing to do | now revoked | suspended | refused by Status, RevocationLists, Destroyable |
//! | `active` | next one certified | next one active, now retiring | list issued | now revoked | suspended | refused by Status, RevocationLists, Destroyable |
//! | `retiring` | next one active | next one active | list issued | now revoked | suspended | refused by Status, RevocationLists, Destroyable |
//! | `retired` | next one active | next one active, now revoked | nothing to do | now revoked | suspended | refused by RevocationLists, Destroyable |
//! | `crl-only` | next one active | next one active | list issued | now revoked | suspended | refused by RevocationLists, Destroyable |
//! | `revoked` | next one active | next one active | nothing to do | nothing to do | suspended | refused: undestroyable |
//! | `destroyed` | next one active | next one active | nothing to do | revoked as well | suspended | nothing to do |
//! | `quarantined` | next one certified | next one active, now retiring | nothing to do | now revoked | suspended | refused by Status, RevocationLists, Destroyable |
//! | `suspended` | next one certified | next one active, now retiring | list issued | now revoked | refused by Suspended | refused by Status, RevocationLists, Destroyable |

crate::model::words! {
    /// How far along its life a generation is (design §4). `quarantined` and `suspended` stand beside it.
    State: "key state" {
        /// CKA_ID and parameters are fixed, nothing was made yet.
        Planned = "planned",
        /// The pair exists on its token and was checked.
        Generated = "generated",
        /// It has its certificate.
        Certified = "certified",
        /// Published and tested, waiting to take over.
        Staged = "staged",
        /// The one that signs.
        Active = "active",
        /// Its successor signs; it still may where an overlap is planned.
        Retiring = "retiring",
        /// Signs no more.
        Retired = "retired",
        /// A CA that signs nothing but its revocation lists; an OpenPGP primary key that signs nothing but revocations.
        CrlOnly = "crl-only",
        /// Its certificate was revoked.
        Revoked = "revoked",
        /// Its private key is gone, verified by search.
        Destroyed = "destroyed",
    }
}

impl State {
    /// Whether a generation in this state may go to `next`.
    pub fn may_become(self, next: State) -> bool {
        use State::{Active, Certified, CrlOnly, Destroyed, Generated, Planned, Retired, Retiring, Revoked, Staged};
        matches!(
            (self, next),
            (Planned, Generated | Destroyed)
                | (Generated, Certified | Staged | Destroyed)
                | (Certified, Staged | Revoked | Retired | Destroyed)
                | (Staged, Active | Revoked | Retired)
                | (Active, Retiring | Revoked)
                | (Retiring, Retired | CrlOnly | Revoked | Active)
                | (Retired | CrlOnly, Revoked | Destroyed)
                | (Revoked, Destroyed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn nothing_leaves_destroyed_and_nothing_skips_certification() {
        for next in State::ALL {
            assert!(!State::Destroyed.may_become(*next));
            assert!(!next.may_become(State::Planned));
            assert!(!next.may_become(*next), "{next} to itself is no step");
        }
        assert!(!State::Planned.may_become(State::Active));
        assert!(!State::Certified.may_become(State::Active), "only a staged generation takes over");
    }
}
