//! The rule for each operation: which gates it passes through, from which facts.

use super::gates::{self, Decision, Gate};
use crate::clock::Time;
use crate::config::Settings;
use crate::keys::{Generation, State};
use crate::model::{Environment, Purpose};
use crate::request::{
    AdoptSettings, ChangeState, GenerateKey, ImportCertificate, IssueCertificate, MakeCsr, Operation, Request,
    SignArtifact, TIMESTAMP,
};

/// What the gate knows when it asks. Everything comes from the ledger, read in the transaction that will
/// hold the intent, and from the one clock.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The time.
    pub now: Time,
    /// The workspace's environment.
    pub environment: Environment,
    /// The adopted settings.
    pub settings: &'a Settings,
    /// The generation the request names, if the register has it.
    pub generation: Option<Generation>,
    /// The issuing generation, where there is one.
    pub issuer: Option<Generation>,
    /// Whether the register already has a generation of the same key that is active.
    pub has_active: bool,
    /// The number the key's next generation must have.
    pub next_number: u32,
}

/// What a policy says to a request of one operation.
pub trait Decide: Operation {
    /// The issuer whose record the decision needs, if any.
    fn issuer(&self) -> Option<&crate::model::GenerationId> {
        None
    }

    /// The decision. Pure: the same request and facts give the same gates.
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision;
}

impl Decide for SignArtifact {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let mut found = signing_gates(generation, facts.settings, facts.environment, facts.now);
        found.push(timestamp_gate(&request.params, facts.environment));
        Decision::from_gates(found)
    }
}

/// `Timestamp`: in production every signature has one, so that it outlives its certificate.
fn timestamp_gate(params: &SignArtifact, workspace: Environment) -> Gate {
    let asked = params.options.get(TIMESTAMP).map_or("none", String::as_str);
    let needed = workspace == Environment::Production;
    gates::holds("Timestamp", asked, if needed { "required" } else { "as asked" }, asked != "none" || !needed)
}

/// The gates between a key and an artifact.
pub fn signing_gates(generation: &Generation, settings: &Settings, workspace: Environment, now: Time) -> Vec<Gate> {
    vec![
        gates::status(generation, &[State::Active]),
        gates::certificate_age(generation, settings.keys.get(&generation.id.key).map(|key| key.rotation_days), now),
        gates::export_lock(generation),
        gates::environment(generation, workspace),
    ]
}

impl Decide for GenerateKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let params = &request.params;
        let number = params.generation.number;
        let planned = facts.generation.as_ref().is_none_or(|known| known.state == State::Planned);
        let gates = vec![
            gates::holds(
                "NextGeneration",
                number.to_string(),
                facts.next_number.to_string(),
                planned && (number == facts.next_number || facts.generation.is_some()),
            ),
            gates::holds(
                "Environment",
                params.environment.as_str(),
                facts.environment.as_str(),
                params.environment == facts.environment,
            ),
        ];
        with_people(gates, facts)
    }
}

impl Decide for IssueCertificate {
    fn issuer(&self) -> Option<&crate::model::GenerationId> {
        Some(&self.issuer)
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let (Some(generation), Some(issuer)) = (&facts.generation, &facts.issuer) else {
            return unknown_generation(request);
        };
        let own = issuer.id == generation.id;
        let is_root = generation.purpose == Purpose::RootCa;
        let mut gates = vec![
            gates::status(generation, &[State::Generated]),
            gates::export_lock(generation),
            gates::environment(generation, facts.environment),
            gates::holds("Issuer", issuer.id.to_string(), if is_root { "itself" } else { "another" }, own == is_root),
        ];
        if !own {
            gates.push(gates::status(issuer, &[State::Active]));
            gates.push(gates::export_lock(issuer));
            gates.push(gates::environment(issuer, facts.environment));
        }
        with_people(gates, facts)
    }
}

impl Decide for ChangeState {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let params = &request.params;
        let mut gates = vec![
            gates::holds(
                "Status",
                generation.state.as_str(),
                params.from.as_str(),
                generation.state == params.from && generation.quarantined.is_none(),
            ),
            gates::holds("Transition", params.from.as_str(), params.to.as_str(), params.from.may_become(params.to)),
        ];
        if params.to == State::Active {
            let others = if facts.has_active { "one is active" } else { "none is active" };
            gates.push(gates::holds("OneActive", others, "none is active", !facts.has_active));
        }
        with_people(gates, facts)
    }
}

impl Decide for MakeCsr {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let gates = vec![
            gates::status(generation, &[State::Generated, State::Certified, State::Staged, State::Active]),
            gates::export_lock(generation),
            gates::environment(generation, facts.environment),
        ];
        with_people(gates, facts)
    }
}

impl Decide for ImportCertificate {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let gates = vec![
            gates::status(generation, &[State::Generated]),
            gates::export_lock(generation),
            gates::environment(generation, facts.environment),
        ];
        with_people(gates, facts)
    }
}

impl Decide for AdoptSettings {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let params = &request.params;
        let from = facts.settings.sha256().ok();
        let gates = vec![gates::holds(
            "SettingsInForce",
            params.from_sha256.to_string(),
            from.map(|hash| hash.to_string()).unwrap_or_default(),
            Some(params.from_sha256) == from,
        )];
        with_people(gates, facts)
    }
}

/// Outside a sandbox these operations wait for people.
fn with_people(gates: Vec<Gate>, facts: &Facts<'_>) -> Decision {
    match Decision::from_gates(gates) {
        Decision::Allow(gates) if facts.environment != Environment::Sandbox => Decision::NeedsApproval(gates),
        decision => decision,
    }
}

fn unknown_generation<O: Operation>(request: &Request<O>) -> Decision {
    let name = request.params.generation().to_string();
    Decision::Block(vec![gates::holds("Status", format!("{name} unknown"), "in the register", false)])
}
