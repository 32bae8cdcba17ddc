//! Production takes keys only from hardware that people adopted, and only by a release of this program that they know.
//!
//! What a token says of itself is a claim: a wrapper says whatever it likes. So the gate holds a token against the entry
//! that was adopted for it, asks that the module's file is the one that people named by its hash, and says what vouches
//! for the rest: a vendor's statement, the module's own validation objects where people accept those, or nobody but the
//! people who adopted the module (`asserted`). That something is not known to be software is never a reason to pass.

use super::facts::{Decide, Facts};
use super::gates::{self, Decision, Gate, Verdict};
use crate::config::{Attestation, Fips, Hardware, Module, Releases, Settings, Token};
use crate::keys::{Generation, TokenRecord, Validation};
use crate::model::{Environment, HsmName, Tool};
use crate::request::{AdoptSettings, Kind, Operation, Request};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The gate about tokens.
pub const HARDWARE: &str = "Hardware";

/// The gate about this program.
pub const TOOL: &str = "Tool";

/// Those who answer for tokens and modules of a founding, before anybody has signed it.
pub const FOUNDERS: &str = "those who sign this founding";

/// The same of an adoption.
pub const ADOPTERS: &str = "those who approve this adoption";

/// Holds a token against its adopted entry. `adopted_by` are those who answer for the module where nothing else does.
pub fn judge(name: &HsmName, wanted: Option<&Token>, record: Option<&TokenRecord>, adopted_by: &str) -> Gate {
    let said = |input: String, verdict| Gate {
        name: HARDWARE.to_owned(),
        input: format!("{name}: {input}"),
        limit: "the hardware that was adopted".to_owned(),
        verdict,
    };
    let Some(wanted) = wanted else { return said("it is not in the adopted settings".to_owned(), Verdict::Fail) };
    let Some(record) = record else { return said("no token was adopted".to_owned(), Verdict::Fail) };
    let claims = claims(record);
    let problems = problems(wanted, record);
    if !problems.is_empty() {
        return said(format!("{claims}; {}", problems.join("; ")), Verdict::Fail);
    }
    match vouched(wanted, record) {
        Some(by) => said(format!("{claims}; {by}"), Verdict::Pass),
        None => said(format!("{claims}; nothing attests this, it is the word of {adopted_by}"), Verdict::Asserted),
    }
}

/// What the token says of itself, called what it is.
fn claims(record: &TokenRecord) -> String {
    let token = &record.token;
    let module = record.module.sha256.map_or_else(|| "the builtin module".to_owned(), |hash| format!("module {hash}"));
    format!("calls itself {} {} firmware {}, {module}", token.manufacturer, token.model, token.firmware)
}

/// Everything that is not as it has to be.
fn problems(wanted: &Token, record: &TokenRecord) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |holds: bool, why: String| {
        if !holds {
            found.push(why)
        }
    };
    say(!record.token.software, "it is known to be software".to_owned());
    match &wanted.module {
        Module::Builtin => say(false, "it is the software token inside this program".to_owned()),
        Module::Path { sha256: None, .. } => say(false, "module.sha256 is not in the adopted settings".to_owned()),
        Module::Path { sha256, .. } => {
            say(*sha256 == record.module.sha256, "its module is not the one in the adopted settings".to_owned());
        }
    }
    match &wanted.fips {
        None => say(false, "no FIPS certificate is in the adopted settings".to_owned()),
        Some(fips) => {
            say(fips.checked.is_some(), "fips.checked, the day the certificate was looked up, is missing".to_owned());
        }
    }
    match &wanted.hardware {
        None => say(false, "[hsm] hardware is not in the adopted settings".to_owned()),
        Some(hardware) => {
            let token = &record.token;
            let Hardware { manufacturer, model, firmware: [first, last], .. } = hardware;
            say(token.manufacturer == *manufacturer, format!("adopted is the manufacturer {manufacturer}"));
            say(token.model == *model, format!("adopted is the model {model}"));
            say(hardware.accepts(&token.firmware), format!("adopted is firmware {first} to {last}"));
            say(attests(wanted, record).is_ok(), attests(wanted, record).err().unwrap_or_default());
        }
    }
    found
}

/// Whether what is to attest it does.
fn attests(wanted: &Token, record: &TokenRecord) -> Result<(), String> {
    match wanted.hardware.as_ref().and_then(|hardware| hardware.attestation.as_ref()) {
        None => Ok(()),
        Some(Attestation::ValidationObject) => {
            let fits = |it: &Validation| wanted.fips.as_ref().is_some_and(|fips| says(it, fips));
            if record.validations.iter().any(fits) {
                Ok(())
            } else {
                Err("no validation object of its module says what the FIPS entry says".to_owned())
            }
        }
        Some(Attestation::Statement { file, roots }) => match &record.statement {
            Some(held) if (held.sha256, held.roots_sha256) == (file.sha256, roots.sha256) => Ok(()),
            Some(_) => Err("the statement that was adopted is another one".to_owned()),
            None => Err("the vendor's statement does not hold".to_owned()),
        },
    }
}

/// Whether a validation object says what a FIPS entry says. Software validations are none of hardware.
fn says(validation: &Validation, fips: &Fips) -> bool {
    let number = validation.certificate.trim_start_matches('#').trim();
    validation.authority == "nist-cmvp"
        && validation.kind != "software"
        && validation.level == u64::from(fips.level)
        && number == fips.certificate
}

/// Who or what vouches for it besides people.
fn vouched(wanted: &Token, record: &TokenRecord) -> Option<String> {
    match wanted.hardware.as_ref()?.attestation.as_ref()? {
        Attestation::ValidationObject => {
            let fips = wanted.fips.as_ref()?;
            Some(format!("its validation object says level {} and certificate {}", fips.level, fips.certificate))
        }
        Attestation::Statement { .. } => {
            let statement = record.statement.as_ref()?;
            Some(format!(
                "attested by a statement with SHA-256 {} under the roots of {}",
                statement.sha256, statement.vendor
            ))
        }
    }
}

/// Whether this program is a release that people named.
pub fn judge_tool(releases: &Releases, tool: &Tool) -> Gate {
    let input = tool.sha256.map_or_else(|| "of unknown hash".to_owned(), |hash| hash.to_string());
    let known = tool.sha256.is_some_and(|hash| releases.sha256.contains(&hash));
    let limit = if releases.is_empty() { "[tool] sha256 names no release" } else { "a release in [tool] sha256" };
    gates::holds(TOOL, format!("keyctl {} {input}", tool.version), limit, known)
}

/// The program that a gate of [`judge_tool`] was about.
pub fn told(gate: &Gate) -> Option<Tool> {
    let (version, hash) = gate.input.strip_prefix("keyctl ").filter(|_| gate.name == TOOL)?.split_once(' ')?;
    Some(Tool { version: version.to_owned(), sha256: hash.parse().ok() })
}

/// The gates of an act in production; none elsewhere.
fn gates<O: Decide>(request: &Request<O>, facts: &Facts<'_>) -> Vec<Gate> {
    let Some(equipment) = facts.equipment.as_ref().filter(|_| facts.environment == Environment::Production) else {
        return Vec::new();
    };
    if only_restricts(O::KIND) {
        return Vec::new();
    }
    let adoption = (O::KIND == AdoptSettings::KIND)
        .then(|| serde_json::to_value(&request.params).ok())
        .flatten()
        .and_then(|params| serde_json::from_value::<AdoptSettings>(params).ok());
    let Some(adoption) = adoption else {
        let judged = equipment
            .tokens
            .iter()
            .map(|(name, known)| judge(name, facts.settings.hsm.get(name), known.record.as_ref(), &known.adopted_by));
        let keys = [&facts.generation, &facts.issuer].into_iter().flatten().chain(&facts.cosigners);
        let used = keys.filter(|_| !equipment.tokens.is_empty()).filter_map(made_on_software);
        return judged.chain(used).chain([judge_tool(&facts.settings.tool, &equipment.tool)]).collect();
    };
    // What comes in force decides; those who agree to it answer for it.
    let Ok(settings) = Settings::deserialize(&adoption.settings) else {
        return vec![gates::holds(HARDWARE, "settings that cannot be read", "settings", false)];
    };
    let judged = settings.hsm.iter().map(|(name, wanted)| {
        let known = equipment.tokens.get(name).cloned().unwrap_or_default();
        match adoption.tokens.get(name) {
            Some(new) => judge(name, Some(wanted), Some(new), ADOPTERS),
            None => judge(name, Some(wanted), known.record.as_ref(), &known.adopted_by),
        }
    });
    judged.chain([judge_tool(&settings.tool, &equipment.tool)]).collect()
}

/// What stops somebody or something has to work always.
fn only_restricts(kind: Kind) -> bool {
    matches!(kind, Kind::SuspendKey | Kind::SuspendPerson | Kind::EndGrant | Kind::RevokeKey)
}

/// The decision on a request: what the operation's own policy says, and in production what holds for every act.
pub fn weigh<O: Decide>(request: &Request<O>, facts: &Facts<'_>) -> Decision {
    let decision = O::decide(request, facts);
    let more = gates(request, facts);
    if more.is_empty() {
        return decision;
    }
    let holds = more.iter().all(Gate::lets_pass);
    let together = |mut gates: Vec<Gate>| {
        gates.extend(more);
        gates
    };
    match decision {
        Decision::Allow(gates) if holds => Decision::Allow(together(gates)),
        Decision::NeedsApproval(gates) if holds => Decision::NeedsApproval(together(gates)),
        Decision::Allow(gates) | Decision::NeedsApproval(gates) | Decision::Block(gates) => {
            Decision::Block(together(gates))
        }
    }
}

/// What holds of the tokens of one key, for those who ask beforehand; nothing outside production.
pub fn of_key(
    generation: &Generation,
    settings: &Settings,
    records: &BTreeMap<HsmName, TokenRecord>,
    tool: impl FnOnce() -> Tool,
) -> Vec<Gate> {
    if settings.environment != Environment::Production {
        return Vec::new();
    }
    let copies = generation.identities.iter().flat_map(|identity| &identity.copies);
    let judged =
        copies.map(|copy| judge(&copy.hsm, settings.hsm.get(&copy.hsm), records.get(&copy.hsm), "its adopters"));
    judged.chain(made_on_software(generation)).chain([judge_tool(&settings.tool, &tool())]).collect()
}

/// A key that was made on a software token stays one, whatever its token calls itself by now.
fn made_on_software(generation: &Generation) -> Option<Gate> {
    let mut copies = generation.identities.iter().flat_map(|identity| &identity.copies);
    let copy = copies.find(|copy| copy.token.software)?;
    let input = format!("{} was made on {}, which was known to be software", generation.id, copy.hsm);
    Some(gates::holds(HARDWARE, input, "the hardware that was adopted", false))
}

/// What has to be known about a token that somebody opens now: nothing outside production.
///
/// # Errors
/// In words, why it is not taken.
pub fn check_now(name: &HsmName, wanted: &Token, found: &TokenRecord) -> Result<(), String> {
    let gate = judge(name, Some(wanted), Some(found), "those who adopted it");
    if gate.lets_pass() { Ok(()) } else { Err(gate.input) }
}

#[cfg(test)]
mod tests;
