//! The rule for each operation: which gates it passes through, from which facts.

use super::facts::{Decide, Facts, unknown_generation};
use super::gates::{self, Decision, Gate, Verdict};
use super::people::with_people;
use super::roster;
use super::rotation::{issuer_age, rotation_complete};
use super::signing;
use crate::clock::Time;
use crate::config::Settings;
use crate::keys::{Credential, Generation, State};
use crate::model::{Environment, HashAlgorithm, Purpose};
use crate::people::approval::Participant;
use crate::request::{
    AdoptSettings, CertifyOpenPgp, ChangeState, Format, GenerateKey, ImportCertificate, IssueCertificate, MakeCsr,
    PublishKeyring, Request, SignArtifact, TIMESTAMP,
};

/// The name of the option that carries the SHA-256 of the published keyring file, as it was found.
pub const KEYRING_OPTION: &str = "keyring_sha256";

impl Decide for SignArtifact {
    fn cosigners(&self) -> &[crate::model::GenerationId] {
        &self.cosigners
    }

    fn artifact(&self) -> Option<&SignArtifact> {
        Some(self)
    }

    fn approvers(request: &Request<Self>, facts: &Facts<'_>) -> Vec<Participant> {
        let asked = facts.signing.as_ref().map(|signing| signing::ask(request, signing, facts));
        asked.and_then(|asked| asked.approver).into_iter().collect()
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let mut found = signing_gates(generation, facts.settings, facts.environment, facts.now);
        found.push(gates::suspended(&generation.id.key, &facts.suspended_keys));
        found.push(gates::purpose(generation, fitting(request.params.format)));
        found.push(rotation_complete(facts.rotation.failure, facts.environment));
        found.extend(repository_gates(&request.params, generation, facts));
        found.extend(pack_gates(&request.params, generation, facts.environment));
        let stampable = can_be_timestamped(request.params.format);
        found.extend(stampable.then(|| timestamp_gate(&request.params, facts.environment)));
        let Some(signing) = &facts.signing else { return not_evaluated(found, "Actor") };
        let asked = signing::ask(request, signing, facts);
        found.extend(asked.gates);
        let open = |gate: &Gate| gate.verdict != Verdict::Pass && gate.name != signing::CAB_APPROVAL;
        match Decision::from_gates(found) {
            Decision::Block(gates) if asked.lacks_approval && !gates.iter().any(open) => Decision::NeedsApproval(gates),
            decision => decision,
        }
    }
}

/// A gate whose facts cannot be had.
fn not_evaluated(mut gates: Vec<Gate>, name: &str) -> Decision {
    gates.push(Gate { verdict: Verdict::NotEvaluated, ..gates::holds(name, "?", "?", false) });
    Decision::Block(gates)
}

/// What keys sign this format.
fn fitting(format: Format) -> Purpose {
    match format {
        Format::Pe => Purpose::Authenticode,
        Format::Apt => Purpose::Apt,
    }
}

/// Whether a signature in this format can carry a timestamp.
fn can_be_timestamped(format: Format) -> bool {
    match format {
        Format::Pe => true,
        // OpenPGP signatures have no timestamps.
        Format::Apt => false,
    }
}

/// What an APT repository needs besides: each key in the published keyring, and each older generation's own gates.
fn repository_gates(params: &SignArtifact, generation: &Generation, facts: &Facts<'_>) -> Vec<Gate> {
    let keyring = |generation: &Generation| {
        let file = params.options.get(KEYRING_OPTION).map(String::as_str);
        let days = facts.settings.rotation.publish_safety_days;
        gates::keyring_published(generation, facts.keyring.as_ref(), file, days, facts.now, false)
    };
    let mut found = Vec::new();
    if generation.purpose == Purpose::Apt {
        found.push(keyring(generation));
    }
    for id in &params.cosigners {
        match facts.cosigners.iter().find(|known| known.id == *id && id.key == generation.id.key) {
            Some(older) => {
                found.extend(cosigning_gates(older, facts.settings, facts.environment, facts.now));
                found.push(keyring(older));
            }
            None => found.push(gates::holds("Status", format!("{id} unknown"), "a generation of the same key", false)),
        }
    }
    found
}

/// The gates between an older generation and an artifact that it signs beside the active one. At the end of its
/// interval it stops, like every key.
pub fn cosigning_gates(generation: &Generation, settings: &Settings, workspace: Environment, now: Time) -> Vec<Gate> {
    let mut found = signing_gates(generation, settings, workspace, now);
    if let Some(first) = found.first_mut() {
        *first = gates::status(generation, &[State::Retiring]);
    }
    found
}

/// The evidence pack names this file and this certificate; in production there has to be one (B17).
fn pack_gates(params: &SignArtifact, generation: &Generation, workspace: Environment) -> Vec<Gate> {
    let Some(pack) = &params.pack else {
        let needed = workspace == Environment::Production;
        return needed.then(|| gates::holds("EvidencePack", "none given", "--for-pack", false)).into_iter().collect();
    };
    let hash = match pack.hash_algorithm {
        HashAlgorithm::Sha512 => params.sha512_before.clone().unwrap_or_default(),
        _ => params.hash_before.to_string(),
    };
    let certificate = match generation.credential() {
        Some(Credential::X509 { fingerprint, thumbprint, .. }) => {
            let thumbprint = thumbprint.to_lowercase();
            if pack.certificate.len() == thumbprint.len() { thumbprint } else { fingerprint.to_string() }
        }
        Some(Credential::OpenPgp { fingerprint, .. }) => fingerprint.clone(),
        None => "no certificate".into(),
    };
    vec![
        gates::holds("EvidencePackArtifact", hash.clone(), pack.hash.clone(), hash == pack.hash),
        gates::holds(
            "EvidencePackCertificate",
            certificate.clone(),
            pack.certificate.clone(),
            certificate == pack.certificate,
        ),
    ]
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
            as_adopted(params, facts.settings),
        ];
        with_people(gates, facts)
    }
}

/// `Settings`: a key is made as the adopted settings say.
fn as_adopted(params: &GenerateKey, settings: &Settings) -> Gate {
    let asked = format!("{} {} on {}", params.purpose, params.algorithm, params.hsm);
    let Some(key) = settings.keys.get(&params.generation.key) else {
        return gates::holds("Settings", asked, "in the adopted settings", false);
    };
    let tokens: Vec<_> = key.hsm.iter().map(|hsm| hsm.as_str()).collect();
    let limit = format!("{} {} on {}", key.purpose, key.algorithm, tokens.join(" or "));
    let fits = params.purpose == key.purpose && params.algorithm == key.algorithm && key.hsm.contains(&params.hsm);
    gates::holds("Settings", asked, limit, fits)
}

impl Decide for IssueCertificate {
    fn issuer(&self) -> Option<&crate::model::GenerationId> {
        Some(&self.issuer)
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let (Some(generation), Some(issuer)) = (&facts.generation, &facts.issuer) else {
            return unknown_generation(request);
        };
        let is_root = generation.purpose == Purpose::RootCa;
        with_people(certification_gates(generation, issuer, is_root, facts), facts)
    }
}

/// What a certificate of either kind asks of the key and of the key that certifies it.
fn certification_gates(generation: &Generation, issuer: &Generation, by_itself: bool, facts: &Facts<'_>) -> Vec<Gate> {
    let own = issuer.id == generation.id;
    let mut gates = vec![
        gates::status(generation, &[State::Generated]),
        gates::export_lock(generation),
        gates::environment(generation, facts.environment),
        gates::holds("Issuer", issuer.id.to_string(), if by_itself { "itself" } else { "another" }, own == by_itself),
    ];
    // A new generation that certifies itself uses no key but its own, so a suspended one can still be replaced.
    if !own {
        gates.push(gates::suspended(&issuer.id.key, &facts.suspended_keys));
        gates.push(gates::status(issuer, &[State::Active]));
        let days = facts.settings.keys.get(&issuer.id.key).map(|key| key.rotation_days);
        gates.push(issuer_age(issuer, days, facts, facts.has_active));
        gates.push(gates::export_lock(issuer));
        gates.push(gates::environment(issuer, facts.environment));
    }
    gates
}

impl Decide for CertifyOpenPgp {
    fn issuer(&self) -> Option<&crate::model::GenerationId> {
        Some(&self.issuer)
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let (Some(generation), Some(issuer)) = (&facts.generation, &facts.issuer) else {
            return unknown_generation(request);
        };
        let is_primary = generation.purpose == Purpose::OpenpgpPrimary;
        let wanted = if is_primary { Purpose::OpenpgpPrimary } else { Purpose::Apt };
        let mut gates = certification_gates(generation, issuer, is_primary, facts);
        gates.push(gates::purpose(generation, wanted));
        gates.push(gates::purpose(issuer, Purpose::OpenpgpPrimary));
        with_people(gates, facts)
    }
}

impl Decide for PublishKeyring {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let states = [State::Certified, State::Staged, State::Active, State::Retiring, State::Retired, State::Revoked];
        let limit = states.map(State::as_str).join(" or ");
        Decision::from_gates(vec![
            // A keyring tells of keys that must not be used, too.
            gates::holds("Status", generation.state.as_str(), limit, states.contains(&generation.state)),
            gates::environment(generation, facts.environment),
            gates::purpose(generation, Purpose::Apt),
        ])
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
                generation.state == params.from && (generation.quarantined.is_none() || ends(params.to)),
            ),
            // A key and its certificate come from keygen, issuing and import, and their end from a revocation, never
            // from a mere step.
            gates::holds(
                "Transition",
                params.from.as_str(),
                params.to.as_str(),
                params.from.may_become(params.to)
                    && !matches!(params.to, State::Generated | State::Certified | State::Revoked),
            ),
        ];
        if params.to == State::Active {
            let others = if facts.has_active { "one is active" } else { "none is active" };
            gates.push(gates::holds("OneActive", others, "none is active", !facts.has_active));
        }
        with_people(gates, facts)
    }
}

/// A key that must not be used can still make room for its successor.
fn ends(to: State) -> bool {
    matches!(to, State::Retiring | State::Retired | State::CrlOnly)
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
    const IS_ABOUT_PEOPLE: bool = true;

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let params = &request.params;
        let from = facts.settings.sha256().ok();
        let mut gates = vec![gates::holds(
            "SettingsInForce",
            params.from_sha256.to_string(),
            from.map(|hash| hash.to_string()).unwrap_or_default(),
            Some(params.from_sha256) == from,
        )];
        // What people were shown as changing is what changes.
        let changed = params.read().map(|(from, _)| from == *facts.settings);
        let input = changed.as_ref().map_or_else(|error| error.message().to_owned(), |_| "as they are said".to_owned());
        gates.push(gates::holds("SettingsChanges", input, "from the settings in force", changed.unwrap_or(false)));
        gates.extend(facts.roster.as_ref().map(|people| roster::satisfies(people, &params.settings, facts)));
        with_people(gates, facts)
    }
}

#[cfg(test)]
mod tests;
