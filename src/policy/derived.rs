//! What the steps of an approval request make of it: what it is about, under which rule, what must not move meanwhile,
//! which tokens are used, and which command does it. All of that stands in a request so that people can read it, but
//! whoever asks wrote it; so it is derived again here, and a request that says otherwise is none.

mod act;
mod command;
#[cfg(test)]
mod tests;

use super::people::may_allow;
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::model::{GenerationId, HsmName, KeyName, Purpose};
use crate::people::ApprovalRequest;
use crate::people::founding::Beginning;
use crate::people::request::Step;
use crate::request::{AdoptRoster, AdoptSettings, GenerateKey, Kind, Operation};
use act::{Act, acts};
use std::collections::{BTreeMap, BTreeSet};

/// What stands for the adopted settings among the subjects.
pub const SETTINGS: &str = "settings";

/// What stands for the roster among the subjects.
pub const ROSTER: &str = "roster";

/// What a request for the lists of several CAs is about.
pub const LISTS: &str = "lists";

/// Reads exactly the canonical bytes, and holds what they say against their steps.
///
/// # Errors
/// `bad_request`, `bad_founding`.
pub fn read(bytes: &[u8]) -> Result<ApprovalRequest> {
    let request = ApprovalRequest::parse(bytes)?;
    let objection = if request.is_founding() { founding(&request)? } else { objection(&request)? };
    match objection {
        None => Ok(request),
        Some(why) => Err(bad(why)),
    }
}

fn objection(request: &ApprovalRequest) -> Result<Option<String>> {
    let acts = acts(&request.steps)?;
    let by_rule = || rule(request.operation, &acts);
    let by_subject = || differ("subjects", request.subjects.keys().cloned().collect(), subjects_of(&acts));
    Ok(by_rule()
        .or_else(|| object(request, &acts))
        .or_else(by_subject)
        .or_else(|| tokens_named(request, &acts))
        .or_else(|| rules_in_force(request, &acts))
        .or_else(|| command::objection(request, &acts)))
}

/// A founding says the rest with its one step.
fn founding(request: &ApprovalRequest) -> Result<Option<String>> {
    let beginning = Beginning::of(request)?;
    let tokens: BTreeMap<_, _> = beginning.tokens.iter().map(|(hsm, record)| (hsm.clone(), record.summary())).collect();
    let fits = request.object == ROSTER && request.command == ["init"] && request.tokens == tokens;
    Ok((!fits).then(|| "object, command or tokens are not those of a founding".to_owned()))
}

/// What must not move until the steps are done: keys by name, `settings`, `roster`.
///
/// # Errors
/// `bad_request` for steps that are none of this program's.
pub fn subjects(steps: &[Step]) -> Result<BTreeSet<String>> {
    Ok(subjects_of(&acts(steps)?))
}

fn subjects_of(acts: &[Act<'_>]) -> BTreeSet<String> {
    acts.iter().flat_map(Act::subjects).collect()
}

/// The tokens that steps use: those that they name, and those of the generations that sign.
#[derive(Debug, Default)]
pub struct Tokens {
    /// By name, with the serial number that the token must have.
    pub named: BTreeMap<HsmName, String>,
    /// Where the copies of these are. One that a step makes is on a token that is named.
    pub of: BTreeSet<GenerationId>,
}

/// The tokens that the steps use.
///
/// # Errors
/// `bad_request` for steps that are none of this program's.
pub fn tokens(steps: &[Step]) -> Result<Tokens> {
    Ok(tokens_of(&acts(steps)?))
}

fn tokens_of(acts: &[Act<'_>]) -> Tokens {
    Tokens {
        named: acts.iter().flat_map(Act::tokens).collect(),
        of: acts.iter().flat_map(|act| act.signers.iter().cloned()).collect(),
    }
}

/// What steps are about, as people call it; nothing if there are none.
///
/// # Errors
/// `bad_request` for steps that are none of this program's.
pub fn object_of(rule: Rule, steps: &[Step]) -> Result<Option<String>> {
    Ok(derived_object(rule, &acts(steps)?))
}

fn derived_object(rule: Rule, acts: &[Act<'_>]) -> Option<String> {
    let first = acts.first()?;
    let revoked = acts.iter().find(|act| act.kind == Kind::RevokeKey);
    Some(match (rule, first.kind) {
        (_, Kind::AdoptSettings) => SETTINGS.to_owned(),
        (Rule::Crl, Kind::IssueCrl) => one_key(acts).map_or_else(|| LISTS.to_owned(), ToString::to_string),
        (Rule::Sign | Rule::ReSign, _) => match acts {
            [only] => only.text("name"),
            several => format!("{} files", several.len()),
        },
        // What cannot be revoked yet is left for later.
        (Rule::Compromise, _) => revoked.map_or(first.generation.key.to_string(), |act| act.step.object.clone()),
        _ => first.step.object.clone(),
    })
}

/// The key that all acts are about, if it is one.
fn one_key<'a>(acts: &'a [Act<'_>]) -> Option<&'a KeyName> {
    let first = &acts.first()?.generation.key;
    acts.iter().all(|act| act.generation.key == *first).then_some(first)
}

fn rule(rule: Rule, acts: &[Act<'_>]) -> Option<String> {
    let several = matches!(rule, Rule::Crl | Rule::Sign | Rule::ReSign);
    if !several && one_key(acts).is_none() {
        return Some(format!("{rule} is about one key, and its steps are about several"));
    }
    // What the new key will be for is known; what an older one is for, the gate knows.
    let mut purposes = BTreeSet::new();
    for act in acts.iter().filter(|act| act.kind == GenerateKey::KIND) {
        purposes.extend(act.purpose());
    }
    let allowed = |act: &Act<'_>, purpose: Purpose| {
        let tells_only = rule == Rule::Crl && act.kind == Kind::RevokeKey;
        tells_only || may_allow(rule, act.kind, act.is_again(), Some(purpose))
    };
    let fits = |purpose: &Purpose| acts.iter().all(|act| allowed(act, *purpose));
    let fitting = match purposes.len() {
        0 => Purpose::ALL.iter().any(fits),
        _ => purposes.iter().all(fits),
    };
    if !fitting {
        let kinds: Vec<_> = acts.iter().map(|act| act.kind.name()).collect();
        return Some(format!("its operation is {rule}, which is not what its steps do: {}", kinds.join(", ")));
    }
    let alone = acts.iter().find(|act| act.stands_alone());
    alone.filter(|_| acts.len() > 1).map(|act| format!("{} stands alone, and there are more steps", act.kind))
}

fn object(request: &ApprovalRequest, acts: &[Act<'_>]) -> Option<String> {
    let derived = derived_object(request.operation, acts)?;
    let said = &request.object;
    (*said != derived).then(|| format!("its object is {said:?}, and its steps are about {derived:?}"))
}

fn differ(what: &str, said: BTreeSet<String>, derived: BTreeSet<String>) -> Option<String> {
    let words = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (said != derived)
        .then(|| format!("its {what} are [{}], and those of its steps [{}]", words(&said), words(&derived)))
}

/// Every token that a step names is among the request's, as the same one. Those of older keys only the register knows.
fn tokens_named(request: &ApprovalRequest, acts: &[Act<'_>]) -> Option<String> {
    let Tokens { named, of } = tokens_of(acts);
    let wrong = named.iter().find(|(hsm, serial)| request.tokens.get(*hsm).is_none_or(|it| it.serial != **serial));
    if let Some((hsm, serial)) = wrong {
        return Some(format!("a step uses the token {hsm} with serial {serial}, and its tokens do not have that one"));
    }
    let more = request.tokens.keys().find(|hsm| of.is_empty() && !named.contains_key(*hsm));
    more.map(|hsm| format!("its tokens have {hsm}, which no step uses"))
}

/// Whoever reads what changes reads it against the settings and the roster that the request names.
fn rules_in_force(request: &ApprovalRequest, acts: &[Act<'_>]) -> Option<String> {
    let [only] = acts else { return None };
    let params = || only.step.params.clone();
    match only.kind {
        Kind::AdoptSettings => match serde_json::from_value::<AdoptSettings>(params()).ok()?.read() {
            Ok((_, _)) if only.text("from_sha256") != request.settings_sha256.to_string() => {
                Some("its changes are not of the settings that it names".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(error.full()),
        },
        Kind::AdoptRoster => {
            let from = serde_json::from_value::<AdoptRoster>(params()).ok()?.from;
            let same = from.reference().is_ok_and(|from| from == request.roster);
            (!same).then(|| "the roster that changes is not the one that it names".to_owned())
        }
        _ => None,
    }
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::failed("bad_request", format!("the request is refused: {why}"))
}
