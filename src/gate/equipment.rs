//! Tokens and this program, as far as a decision needs to know them, and how intents name what is used.

use super::{Ground, to_value};
use crate::error::Result;
use crate::files::{environment, program};
use crate::ledger::{Before, query};
use crate::model::{Environment, HsmName};
use crate::policy::facts::{Equipment, KnownToken};
use crate::request::{AdoptSettings, Operation, Request};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

impl Ground {
    /// What production asks about tokens and program; nothing elsewhere.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn equipment<O: Operation>(
        &self,
        before: Before<'_>,
        request: &Request<O>,
    ) -> Result<Option<Equipment>> {
        if self.genesis.environment != Environment::Production {
            return Ok(None);
        }
        let all = self.tokens(before)?;
        let named = if O::KIND == AdoptSettings::KIND { all.keys().cloned().collect() } else { used(request)? };
        let known = |name: HsmName| {
            let known = all.get(&name).cloned().unwrap_or_default();
            (name, known)
        };
        Ok(Some(Equipment {
            tokens: named.into_iter().map(known).collect(),
            tool: self.tool.as_ref().unwrap_or_else(|| program::tool()).clone(),
        }))
    }

    /// Every recorded token, with those who adopted it; read once in a transaction.
    fn tokens(&self, before: Before<'_>) -> Result<&BTreeMap<HsmName, KnownToken>> {
        if let Some(known) = self.tokens.get() {
            return Ok(known);
        }
        let mut found = BTreeMap::new();
        for (name, (seq, record)) in query::token_records(before.tables)? {
            let adopted_by = self.adopters(before, seq)?;
            found.insert(name, KnownToken { record: Some(record), adopted_by });
        }
        Ok(self.tokens.get_or_init(|| found))
    }

    /// The people by whose leave an entry recorded tokens.
    fn adopters(&self, before: Before<'_>, seq: u64) -> Result<String> {
        if seq == 0 {
            let people = self.genesis.roster.iter().flat_map(|roster| roster.people.keys());
            return Ok(format!("{}, who founded the workspace", listed(people.map(|email| email.as_str()))));
        }
        let outcome = before.entries.entry(seq)?;
        let intent = outcome.body.get("intent").and_then(Value::as_u64);
        let intent = intent.map(|intent| before.entries.entry(intent)).transpose()?;
        let approvals = intent.as_ref().and_then(|intent| intent.body.pointer("/request/approvals"));
        let people = approvals.and_then(Value::as_array).into_iter().flatten();
        let people: Vec<_> = people.filter_map(|person| person.get("email").and_then(Value::as_str)).collect();
        let people = if people.is_empty() { outcome.actor.email.as_str().to_owned() } else { listed(people) };
        Ok(format!("{people}, who adopted its module with entry {seq}"))
    }

    /// What an intent says of the modules that it will use, by token, and of the loader's variables in this process.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn surroundings<O: Operation>(
        &self,
        before: Before<'_>,
        request: &Request<O>,
        body: &mut Value,
    ) -> Result<()> {
        let names = used(request)?;
        if names.is_empty() {
            return Ok(());
        }
        let mut modules = Map::new();
        let all = self.tokens(before)?;
        for (name, known) in names.iter().filter_map(|name| Some((name, all.get(name)?.record.as_ref()?))) {
            // The builtin module is this program, which outcomes name.
            let Some(digest) = known.module.digest() else { continue };
            modules.insert(
                name.to_string(),
                json!({ "path": known.module.path, "sha256": known.module.sha256, "with_libraries_sha256": digest }),
            );
        }
        if !modules.is_empty() {
            body["modules"] = Value::Object(modules);
        }
        let loader = environment::loader_variables();
        if !loader.is_empty() {
            body["loader"] = json!(loader);
        }
        Ok(())
    }
}

/// The tokens that an act uses or changes.
fn used<O: Operation>(request: &Request<O>) -> Result<BTreeSet<HsmName>> {
    let params = to_value(&request.params)?;
    let copies = params.get("copies").and_then(Value::as_array).into_iter().flatten();
    let named = params.get("hsm").into_iter().chain(copies.filter_map(|copy| copy.get("hsm")));
    let named = named.filter_map(|name| name.as_str()?.parse().ok());
    Ok(request.signatures.iter().map(|covered| covered.hsm.clone()).chain(named).collect())
}

fn listed<'a>(people: impl IntoIterator<Item = &'a str>) -> String {
    people.into_iter().collect::<Vec<_>>().join(", ")
}
