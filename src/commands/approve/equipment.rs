//! What a founding or an adoption says about tokens in production: judged from the request's bytes, in the gate's words.

use crate::config::Settings;
use crate::keys::TokenRecord;
use crate::model::{Environment, HsmName};
use crate::people::founding;
use crate::people::request::Step;
use crate::policy::hardware::{ADOPTERS, FOUNDERS, judge};
use crate::policy::{Gate, Verdict};
use crate::request::{AdoptSettings, Operation};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One text for each token that the step takes in, with a label; nothing outside production.
pub(super) fn lines(step: &Step) -> Vec<(&'static str, String)> {
    let who = match step.operation.as_str() {
        founding::FOUND => FOUNDERS,
        adopted if adopted == AdoptSettings::NAME => ADOPTERS,
        _ => return Vec::new(),
    };
    let Some(settings) = step.params.get("settings").and_then(|settings| Settings::deserialize(settings).ok()) else {
        return Vec::new();
    };
    if settings.environment != Environment::Production {
        return Vec::new();
    }
    let records =
        step.params.get("tokens").and_then(|tokens| BTreeMap::<HsmName, TokenRecord>::deserialize(tokens).ok());
    let records = records.unwrap_or_default();
    let mut said: Vec<_> =
        records.iter().map(|(name, record)| words(judge(name, settings.hsm.get(name), Some(record), who))).collect();
    if said.iter().any(|(label, _)| *label == ASSERTED) {
        let meaning = "what a token calls itself is a claim; whoever signs this adopts its module by that hash, and answers \
                       for it";
        said.push(("", meaning.to_owned()));
    }
    said
}

const ASSERTED: &str = "ASSERTED";

fn words(gate: Gate) -> (&'static str, String) {
    match gate.verdict {
        Verdict::Pass => ("attested", gate.input),
        Verdict::Asserted => (ASSERTED, gate.input),
        Verdict::Fail | Verdict::NotEvaluated => ("REFUSED", gate.input),
    }
}
