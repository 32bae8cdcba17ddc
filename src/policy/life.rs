//! The rules at the edges of a key's life: naming it in a pipeline's configuration, and destroying it.

use super::facts::{Decide, Facts, unknown_generation};
use super::gates::{self, Decision, Gate};
use super::people::with_people;
use crate::clock::{Time, rfc3339};
use crate::keys::value;
use crate::keys::{Generation, State, retention_cutoff};
use crate::ledger::query::LastFacts;
use crate::request::{DestroyKey, Doomed, Request, UpdatePipeline};

/// States in which a pipeline's configuration may name a generation: it serves, or is ready to.
pub const NAMED: &[State] = &[State::Staged, State::Active];

impl Decide for UpdatePipeline {
    /// Nobody is asked: which file, which field and whose value are in the adopted settings, and that the key may serve was
    /// decided by people.
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let params = &request.params;
        let adopted = facts.settings.pipelines.get(&params.pipeline);
        let asked = format!("{} of {} in {}", params.value, generation.id.key, params.file.display());
        let fits = adopted.is_some_and(|adopted| {
            adopted.key == generation.id.key
                && adopted.file == params.file
                && adopted.field == params.field
                && adopted.value == params.value
        });
        let number = generation.id.number.to_string();
        let its_own = value::of(generation, params.value);
        let is_its_own = its_own.as_deref() == Some(params.to.as_str())
            || (params.value == crate::config::PipelineValue::Generation && params.to == number);
        Decision::from_gates(vec![
            gates::status(generation, NAMED),
            gates::environment(generation, facts.environment),
            gates::holds("Settings", crate::error::shown(&asked), "as adopted", fits),
            gates::holds(
                "PipelineValue",
                crate::error::shown(&params.to),
                its_own.unwrap_or_else(|| "none".into()),
                is_its_own,
            ),
        ])
    }
}

/// States from which a private key may be destroyed: it never served, or serves no more.
pub const ENDED: &[State] =
    &[State::Planned, State::Generated, State::Certified, State::Retired, State::CrlOnly, State::Revoked];

impl Decide for DestroyKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let gates = vec![
            ended(generation, request.params.from),
            gates::environment(generation, facts.environment),
            lists_not_needed(generation, &facts.destruction, facts.now),
            destroyable(generation),
            copies(&request.params.copies, generation, &facts.destruction),
        ];
        with_people(gates, facts)
    }
}

/// `Status`: it never served or serves no more, and is as the request says. Quarantine is no obstacle: a key that must
/// not be used may well be destroyed.
fn ended(generation: &Generation, from: State) -> Gate {
    let states: Vec<_> = ENDED.iter().map(|state| state.as_str()).collect();
    let limit = format!("{from}, one of {}", states.join(", "));
    let holds = generation.state == from && ENDED.contains(&from);
    gates::holds("Status", generation.state.as_str(), limit, holds)
}

/// `RevocationLists`: no list has to be signed with it any more. The lists of a revoked CA say nothing.
fn lists_not_needed(generation: &Generation, last: &LastFacts, now: Time) -> Gate {
    const NAME: &str = "RevocationLists";
    let is_ca = generation.purpose.is_ca();
    if generation.state == State::CrlOnly {
        return gates::holds(NAME, "it signs revocations and nothing else", "not needed", false);
    }
    let until = last.issued_until.filter(|_| is_ca && generation.state != State::Revoked);
    let cutoff = retention_cutoff(now);
    let input = until
        .map_or_else(|| "none needed".to_owned(), |until| format!("it issued certificates until {}", rfc3339(until)));
    let limit = format!("none after {}, ten years ago", rfc3339(cutoff));
    gates::holds(NAME, input, limit, until.is_none_or(|until| until < cutoff))
}

/// `Destroyable`: no copy was made so that it can be destroyed with its whole token only (governance K3).
fn destroyable(generation: &Generation) -> Gate {
    let copies = generation.identities.iter().flat_map(|identity| &identity.copies);
    let fixed = copies.filter(|copy| copy.attribute(DESTROYABLE).0 == Some(false));
    let fixed: Vec<_> = fixed.map(|copy| format!("{} {DESTROYABLE} false", copy.hsm)).collect();
    let input = if fixed.is_empty() { "no copy forbids it".to_owned() } else { fixed.join(", ") };
    gates::holds(INDESTRUCTIBLE, input, "a key made otherwise goes only with its token", fixed.is_empty())
}

/// The attribute that CA keys are made without.
const DESTROYABLE: &str = "CKA_DESTROYABLE";

/// The gate that stops at such a key.
pub const INDESTRUCTIBLE: &str = "Destroyable";

/// `Copies`: the request names every copy that the register knows, and nothing else.
fn copies(asked: &[Doomed], generation: &Generation, last: &LastFacts) -> Gate {
    let known = all_copies(generation, last);
    let words =
        |copies: &[Doomed]| copies.iter().map(|copy| format!("{} {}", copy.hsm, copy.cka_id)).collect::<Vec<_>>();
    gates::holds("Copies", words(asked).join(", "), words(&known).join(", "), asked == known)
}

/// Every key pair that a generation has, or may have.
pub fn all_copies(generation: &Generation, last: &LastFacts) -> Vec<Doomed> {
    if generation.identities.is_empty() {
        return last.planned.clone();
    }
    let of = |identity: &crate::keys::Identity| {
        let spki_sha256 = Some(identity.spki_sha256);
        let doomed = move |copy: &crate::keys::Copy| Doomed {
            hsm: copy.hsm.clone(),
            token_serial: copy.token.serial.clone(),
            cka_id: copy.cka_id.clone(),
            spki_sha256,
        };
        identity.copies.iter().map(doomed).collect::<Vec<_>>()
    };
    generation.identities.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests;
