//! Gates: named checks with inputs, a limit and a verdict, as reports print them (domain §5).

use crate::clock::{Time, rfc3339};
use crate::keys::{AttributeState, Credential, Generation, PublishedKeyring, State};
use crate::ledger::query::Suspension;
use crate::model::{Custody, Environment, KeyName, Purpose};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

crate::model::words! {
    /// What a gate found. A gate whose facts cannot be had says `not evaluated`, never `pass`.
    Verdict: "verdict" {
        /// It holds.
        Pass = "pass",
        /// It holds, if those whose word is all there is for it are right. Only the gate about hardware says this.
        Asserted = "asserted",
        /// It does not.
        Fail = "fail",
        /// The facts could not be had. Counts as a failure where the gate is required.
        NotEvaluated = "not evaluated",
    }
}

/// One named check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The name that reports print verbatim.
    pub name: String,
    /// What was looked at.
    pub input: String,
    /// What it was held against.
    pub limit: String,
    /// What came out.
    pub verdict: Verdict,
}

impl Gate {
    /// Whether it stands in nobody's way.
    pub fn lets_pass(&self) -> bool {
        matches!(self.verdict, Verdict::Pass | Verdict::Asserted)
    }
}

/// What a policy decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every gate passes.
    Allow(Vec<Gate>),
    /// At least one gate does not pass.
    Block(Vec<Gate>),
    /// The gates pass, but people have to approve first.
    NeedsApproval(Vec<Gate>),
}

impl Decision {
    /// Allowed only if every gate passes.
    pub fn from_gates(gates: Vec<Gate>) -> Self {
        if gates.iter().all(Gate::lets_pass) { Decision::Allow(gates) } else { Decision::Block(gates) }
    }

    /// The gates that were looked at.
    pub fn gates(&self) -> &[Gate] {
        match self {
            Decision::Allow(gates) | Decision::Block(gates) | Decision::NeedsApproval(gates) => gates,
        }
    }
}

fn gate(name: &str, input: impl Into<String>, limit: impl Into<String>, verdict: Verdict) -> Gate {
    Gate { name: name.to_owned(), input: input.into(), limit: limit.into(), verdict }
}

fn pass_if(holds: bool) -> Verdict {
    if holds { Verdict::Pass } else { Verdict::Fail }
}

/// `Status`: the generation is in one of the allowed states, and neither quarantined nor suspended (B17).
pub fn status(generation: &Generation, allowed: &[State]) -> Gate {
    let limit: Vec<_> = allowed.iter().map(|state| state.as_str()).collect();
    let input = match &generation.quarantined {
        Some(reason) => format!("{} (quarantined: {reason})", generation.state),
        None => generation.state.to_string(),
    };
    let holds = generation.quarantined.is_none() && allowed.contains(&generation.state);
    gate("Status", input, limit.join(" or "), pass_if(holds))
}

/// `Suspended`: nobody stopped the key for the time being.
pub fn suspended(key: &KeyName, suspended: &BTreeMap<KeyName, Suspension>) -> Gate {
    let input = suspended.get(key).map_or_else(
        || format!("{key} is not suspended"),
        |suspension| format!("{key} since entry {}: {}", suspension.seq, suspension.reason),
    );
    gate("Suspended", input, "not suspended", pass_if(!suspended.contains_key(key)))
}

/// Whole days since `not_before`; negative before it.
pub fn age_days(not_before: Time, now: Time) -> i64 {
    (now - not_before).num_seconds().div_euclid(86_400)
}

/// `CertificateAgeDays`: the certificate is valid now and younger, strictly, than the rotation interval (B12, R4).
pub fn certificate_age(generation: &Generation, rotation_days: Option<u32>, now: Time) -> Gate {
    const NAME: &str = "CertificateAgeDays";
    let Some(rotation_days) = rotation_days else {
        return gate(NAME, "the key is not in the adopted settings", "RotationInterval", Verdict::NotEvaluated);
    };
    let Some(credential) = generation.credential() else {
        return gate(NAME, "no certificate", format!("< {rotation_days}"), Verdict::Fail);
    };
    let (from, to) = credential.validity();
    let age = age_days(from, now);
    let limit = format!("< {rotation_days} (RotationInterval), until {}", rfc3339(to));
    gate(NAME, age.to_string(), limit, pass_if(age >= 0 && age < i64::from(rotation_days) && now <= to))
}

/// `HSMExportLock`: by the recorded attributes, no copy of the key in use can leave its token (B6, governance §10).
pub fn export_lock(generation: &Generation) -> Gate {
    const NAME: &str = "HSMExportLock";
    let limit = format!("CKA_EXTRACTABLE false, custody {}", generation.custody);
    let Ok(identity) = generation.identity() else {
        return gate(NAME, "no key", limit, Verdict::Fail);
    };
    if identity.copies.is_empty() {
        return gate(NAME, "on no token", limit, Verdict::Fail);
    }
    let mut verdict = Verdict::Pass;
    let mut input = Vec::new();
    for copy in &identity.copies {
        let required: &[(&str, bool)] = match generation.custody {
            Custody::Bound | Custody::Cloned => &[("CKA_EXTRACTABLE", false), ("CKA_NEVER_EXTRACTABLE", true)],
            Custody::SealedExport => &[("CKA_EXTRACTABLE", false)],
        };
        for (name, wanted) in required {
            let (value, state) = copy.attribute(name);
            match (value, state) {
                (Some(value), AttributeState::Asserted) if value == *wanted => {}
                (None, _) if verdict == Verdict::Pass => verdict = Verdict::NotEvaluated,
                (None, _) => {}
                _ => verdict = Verdict::Fail,
            }
            let value = value.map_or("unavailable".to_owned(), |value| value.to_string());
            input.push(format!("{} {name} {value}", copy.hsm));
        }
    }
    gate(NAME, input.join(", "), limit, verdict)
}

/// `Environment`: a key signs only in the environment it was made in (design §4).
pub fn environment(generation: &Generation, workspace: Environment) -> Gate {
    let verdict = pass_if(generation.environment == workspace);
    gate("Environment", generation.environment.as_str(), workspace.as_str(), verdict)
}

/// `Purpose`: the key was made for this.
pub fn purpose(generation: &Generation, wanted: Purpose) -> Gate {
    let input = format!("{} is for {}", generation.id, generation.purpose);
    gate("Purpose", input, wanted.as_str(), pass_if(generation.purpose == wanted))
}

/// `KeyringPublished`: the published keyring holds this subkey, is the file that was recorded, and has held it for
/// as long as clients take to fetch it (governance R3). A key's first generation has nobody to keep waiting, in a sandbox
/// nobody waits, and where no other generation may sign, waiting protects nobody. Who has taken over has waited.
pub fn keyring_published(
    generation: &Generation,
    recorded: Option<&PublishedKeyring>,
    file: Option<&str>,
    safety_days: u32,
    now: Time,
    is_alone: bool,
) -> Gate {
    const NAME: &str = "KeyringPublished";
    let limit = format!("{safety_days} days in the published keyring");
    let Some(Credential::OpenPgp { fingerprint, .. }) = generation.credential() else {
        return gate(NAME, "no OpenPGP certificate", limit, Verdict::Fail);
    };
    let Some(recorded) = recorded else { return gate(NAME, "no keyring was ever published", limit, Verdict::Fail) };
    if file != Some(recorded.sha256.to_string().as_str()) {
        return gate(NAME, "the published keyring file is not the recorded one", limit, Verdict::Fail);
    }
    let Some(since) = recorded.since.get(fingerprint) else {
        return gate(NAME, format!("the published keyring does not hold {fingerprint}"), limit, Verdict::Fail);
    };
    let days = age_days(*since, now);
    let mut input = format!("{days} days, since {}", rfc3339(*since));
    let waived = match (generation.id.number, generation.environment) {
        (1, _) => Some("first generation of its key"),
        (_, Environment::Sandbox) => Some("sandbox"),
        _ if is_alone => Some("no other generation may sign"),
        _ => None,
    };
    let waived = waived.map(|why| format!("waiting time waived: {why}"));
    // Afterwards nobody signs instead of it.
    let is_judged = matches!(generation.state, State::Active | State::Retiring);
    let waived = waived.or_else(|| is_judged.then(|| "waiting time judged when it took over".to_owned()));
    if let Some(why) = &waived {
        input.push_str(&format!(" ({why})"));
    }
    gate(NAME, input, limit, pass_if(days >= 0 && (waived.is_some() || days >= i64::from(safety_days))))
}

/// A named gate with the verdict of a condition, for rules that have only one of their kind.
pub fn holds(name: &str, input: impl Into<String>, limit: impl Into<String>, condition: bool) -> Gate {
    gate(name, input, limit, pass_if(condition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse;
    use crate::model::Hash256;
    use chrono::TimeDelta;

    #[test]
    fn the_age_gate_is_strict_to_the_second() {
        let issued = parse("2026-03-01T12:00:00Z").unwrap();
        assert_eq!(age_days(issued, issued + TimeDelta::days(90) - TimeDelta::seconds(1)), 89);
        assert_eq!(age_days(issued, issued + TimeDelta::days(90)), 90);
        assert_eq!(age_days(issued, issued - TimeDelta::seconds(1)), -1, "the future is not age 0");
    }

    #[test]
    fn a_decision_allows_nothing_that_was_not_evaluated() {
        let open = gate("Status", "active", "active", Verdict::Pass);
        let unknown = gate("HSMExportLock", "?", "?", Verdict::NotEvaluated);
        assert!(matches!(Decision::from_gates(vec![open.clone()]), Decision::Allow(_)));
        assert!(matches!(Decision::from_gates(vec![open, unknown]), Decision::Block(_)));
    }

    fn subkey(number: u32, environment: Environment) -> Generation {
        let created = parse("2026-03-01T12:00:00Z").unwrap();
        let credential = Credential::OpenPgp {
            certificate: Vec::new(),
            fingerprint: "ab".repeat(20),
            created,
            expires: created + TimeDelta::days(120),
        };
        let identity = crate::keys::Identity {
            algorithm: crate::model::KeyAlgorithm::Ed25519,
            spki_sha256: Hash256([0; 32]),
            spki: Vec::new(),
            created: Some(created),
            credential: Some(credential),
            copies: Vec::new(),
        };
        Generation {
            id: format!("apt/{number}").parse().unwrap(),
            purpose: Purpose::Apt,
            environment,
            custody: Custody::Bound,
            state: State::Staged,
            quarantined: None,
            identities: vec![identity],
        }
    }

    #[test]
    fn a_new_subkey_waits_until_clients_have_it() {
        let since = parse("2026-04-01T00:00:00Z").unwrap();
        let keyring = PublishedKeyring { sha256: Hash256([7; 32]), since: [("ab".repeat(20), since)].into() };
        let file = keyring.sha256.to_string();
        let second = subkey(2, Environment::Production);
        let ask = |generation: &Generation, now| {
            keyring_published(generation, Some(&keyring), Some(&file), 30, now, false).verdict == Verdict::Pass
        };
        let ready = since + TimeDelta::days(30);
        assert!(ask(&second, ready));
        assert!(!ask(&second, ready - TimeDelta::seconds(1)));
        for (number, environment) in [(1, Environment::Production), (2, Environment::Sandbox)] {
            let gate = keyring_published(&subkey(number, environment), Some(&keyring), Some(&file), 30, since, false);
            assert_eq!(gate.verdict, Verdict::Pass);
            assert!(gate.input.contains("waived"), "{}", gate.input);
            assert!(!ask(&subkey(number, environment), since - TimeDelta::seconds(1)), "published in the future");
        }
        assert!(!ask(&subkey(2, Environment::Staging), since));
        let alone = keyring_published(&subkey(2, Environment::Staging), Some(&keyring), Some(&file), 30, since, true);
        assert!(alone.verdict == Verdict::Pass && alone.input.contains("no other generation may sign"));
        for state in [State::Active, State::Retiring] {
            assert!(ask(&Generation { state, ..subkey(2, Environment::Staging) }, since), "judged before");
        }
        let first = subkey(1, Environment::Sandbox);
        for (recorded, file) in [(None, Some(file.as_str())), (Some(&keyring), None), (Some(&keyring), Some("other"))] {
            let gate = keyring_published(&first, recorded, file, 30, ready, false);
            assert_eq!(gate.verdict, Verdict::Fail, "nothing is waived but the waiting");
        }
        let without = PublishedKeyring { since: [("cd".repeat(20), since)].into(), ..keyring.clone() };
        let gate = keyring_published(&first, Some(&without), Some(&file), 30, ready, false);
        assert_eq!(gate.verdict, Verdict::Fail, "{}", gate.input);
    }
}
