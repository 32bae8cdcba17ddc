//! Plans: what is going to be done, before anybody agrees to it. One function builds the plan of an operation; a dry run
//! shows it, people sign it, and what is done under it has its parameters.

use super::to_value;
use crate::config::policy::Operation as Rule;
use crate::error::{Error, Result};
use crate::keys::TokenRecord;
use crate::ledger::query;
use crate::model::HsmName;
use crate::people::ApprovalRequest;
use crate::people::request::{BreakGlass, Step, TokenSummary};
use crate::policy::derived;
use crate::request::{Kind, Operation};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every act of a command, in order, with every parameter that can be known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The rule of the policy that applies.
    #[serde(rename = "operation")]
    pub rule: Rule,
    /// What it is done to.
    pub object: String,
    /// The command line that does it, without global options.
    pub command: Vec<String>,
    /// Each act.
    pub steps: Vec<Step>,
    /// A declared incident, where the glass is broken for it (B16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

impl Plan {
    /// Nothing beyond what follows from what was decided before.
    pub(super) fn empty() -> Self {
        Plan { rule: Rule::Crl, object: String::new(), command: Vec::new(), steps: Vec::new(), break_glass: None }
    }

    /// What a request says, as the plan that it was made of.
    pub fn of(document: &ApprovalRequest) -> Self {
        Plan {
            rule: document.operation,
            object: document.object.clone(),
            command: document.command.clone(),
            steps: document.steps.clone(),
            break_glass: document.break_glass.clone(),
        }
    }

    /// What must not move until it is done: keys by name, `settings`, `roster`.
    ///
    /// # Errors
    /// Only a bug: its steps are none.
    pub fn subjects(&self) -> Result<BTreeSet<String>> {
        derived::subjects(&self.steps)
    }

    /// The tokens that it uses, as they were adopted: those that it names, and those with the keys that sign.
    ///
    /// # Errors
    /// The register cannot be read.
    pub fn tokens(&self, conn: &Connection) -> Result<BTreeMap<HsmName, TokenSummary>> {
        let derived::Tokens { named, of } = derived::tokens(&self.steps)?;
        let mut used: BTreeSet<HsmName> = named.into_keys().collect();
        for id in of {
            let known = query::generation(conn, &id)?;
            let copies = known.iter().flat_map(|it| &it.identities).flat_map(|identity| &identity.copies);
            used.extend(copies.map(|copy| copy.hsm.clone()));
        }
        let recorded = query::tokens(conn)?;
        let summary = |hsm: HsmName| recorded.get(&hsm).map(TokenRecord::summary).map(|it| (hsm, it));
        Ok(used.into_iter().filter_map(summary).collect())
    }

    /// The rule that applies: in a declared incident that of break-glass, whatever is done (B16).
    pub fn rule_in_force(&self) -> Rule {
        if self.break_glass.is_some() { Rule::BreakGlass } else { self.rule }
    }

    /// The first planned act of this kind on this object.
    pub fn find(&self, kind: Kind, object: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.operation == kind.name() && step.object == object)
    }

    /// All planned parameters of an act that leaves none open.
    ///
    /// # Errors
    /// It is not planned; they are not those of the operation.
    pub fn params<O: Operation>(&self, object: &str) -> Result<O> {
        let step = self.find(O::KIND, object).ok_or_else(|| unplanned(O::KIND, object))?;
        read(step.params.clone(), O::KIND.name())
    }

    /// One planned parameter, read as what it is.
    ///
    /// # Errors
    /// The act is not planned, or without this parameter; it is something else.
    pub fn param<T: DeserializeOwned>(&self, kind: Kind, object: &str, name: &str) -> Result<T> {
        let step = self.find(kind, object).ok_or_else(|| unplanned(kind, object))?;
        let value = step.params.get(name);
        read(value.cloned().ok_or_else(|| unplanned(kind, object))?, name)
    }
}

/// One act, with every parameter that can be known beforehand.
///
/// # Errors
/// Only a bug.
pub fn step<O: Operation>(object: impl Into<String>, params: &O) -> Result<Step> {
    let mut value = to_value(params)?;
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !O::KIND.open().contains(&name.as_str()));
    }
    Ok(Step { operation: O::NAME.into(), object: object.into(), params: value })
}

fn read<T: DeserializeOwned>(value: Value, what: &str) -> Result<T> {
    let read = serde_json::from_value(value);
    read.map_err(|error| Error::failed("bad_request", format!("a planned {what} cannot be read")).because(error))
}

/// A command line that may be typed into a shell.
pub fn command_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.:,+@".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    let words: Vec<_> = words.iter().map(word).collect();
    format!("keyctl {}", words.join(" "))
}

/// What was not planned is not done, whoever asks: what people saw is all that happens.
pub fn unplanned(kind: Kind, object: &str) -> Error {
    Error::blocked("not_planned", format!("{kind} of {object} is not part of what was planned"))
        .hint("repeat the command: it plans anew from where things stand")
}
