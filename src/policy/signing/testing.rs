//! Facts for tests.

use super::*;
use crate::clock::Time;
use crate::people::cab::Here;

/// A workspace without people, and a file that nothing is known of.
pub(crate) fn nobody<'a>(environment: Environment, now: Time) -> SigningFacts<'a> {
    static NONE: BTreeSet<Email> = BTreeSet::new();
    let workspace_id = "6f1c2b8e-0000-4000-8000-000000000001";
    let here = Here { now, workspace_id, origin: "example.corp/keyctl", environment, roster: None, suspended: &NONE };
    SigningFacts { here, paper: None, uses: 0, is_withdrawn: false, resigned: None, marked: None }
}
