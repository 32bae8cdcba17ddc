//! Stopping a key for the time being, and letting it go on.

use super::facts::{Decide, Facts};
use super::gates::{self, Decision};
use super::people::with_people;
use crate::request::{ReinstateKey, Request, SuspendKey};

impl Decide for SuspendKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let generation = &request.params.generation;
        let known = facts.generation.is_some();
        let found = vec![
            gates::holds("Status", generation.to_string(), "in the register", known),
            gates::suspended(&generation.key, &facts.suspended_keys),
        ];
        with_people(found, facts)
    }
}

impl Decide for ReinstateKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let key = &request.params.generation.key;
        let is_suspended = facts.suspended_keys.contains_key(key);
        let input = if is_suspended { format!("{key} is suspended") } else { format!("{key} is not suspended") };
        with_people(vec![gates::holds("Suspended", input, "suspended", is_suspended)], facts)
    }
}
