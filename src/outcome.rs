//! Closes permits. A closed permit leaves a [`Receipt`]: the outcome is durable, and everything that evidence
//! will say stands in two leaves, the intent's and the outcome's.

use crate::error::{Error, Result};
use crate::gate::{Completes, Failure, Permit};
use crate::ledger::genesis::{Genesis, Tool};
use crate::ledger::{Entry, Ledger, NewEntry, query};
use crate::model::GenerationId;
use crate::request::{Authority, Kind, Operation, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The outcome is durable. Evidence is made from this and from nothing else.
#[derive(Clone, Debug)]
pub struct Receipt {
    intent: Entry,
    outcome: Entry,
}

impl Receipt {
    /// The intent's entry.
    pub fn intent(&self) -> &Entry {
        &self.intent
    }

    /// The outcome's entry.
    pub fn outcome(&self) -> &Entry {
        &self.outcome
    }

    /// Reads a receipt back from the ledger, for results that are printed again and for evidence made late.
    ///
    /// # Errors
    /// There is no successful outcome at `seq`.
    pub fn load(ledger: &Ledger, seq: u64) -> Result<Self> {
        let outcome = ledger.entry(seq)?;
        let no_outcome = || Error::failed("no_outcome", format!("entry {seq} is not a successful outcome"));
        if outcome.body.get("result").and_then(Value::as_str) != Some("ok") {
            return Err(no_outcome());
        }
        let intent = outcome.body.get("intent").and_then(Value::as_u64).ok_or_else(no_outcome)?;
        Ok(Receipt { intent: ledger.entry(intent)?, outcome })
    }

    /// What was asked for, as its intent has it.
    ///
    /// # Errors
    /// `bad_entry`: it is about another operation.
    pub fn params<O: Operation>(&self) -> Result<O> {
        let is_of_its_kind = self.intent.entry_type.as_str() == O::ENTRY;
        let params =
            self.intent.body.pointer("/request/params").filter(|_| is_of_its_kind).cloned().unwrap_or_default();
        serde_json::from_value(params).map_err(|error| {
            let message = format!("the intent of entry {} is no {}", self.outcome.seq, O::KIND);
            Error::failed("bad_entry", message).because(error)
        })
    }
}

/// Closes many permits in one transaction, and returns after it is durable. The answers are in the order given:
/// a receipt for what was done, the error for what was not.
///
/// # Errors
/// The ledger cannot be written; the intents stay open and `recover` will find them.
pub fn close<O: Operation, D: Completes<O>>(
    ledger: &mut Ledger,
    tool: &Tool,
    results: Vec<(Permit<O>, Result<D, Failure>)>,
) -> Result<Vec<Result<Receipt, Error>>> {
    let mut writer = ledger.writer()?;
    writer.is_for(O::KIND);
    // What this process began nobody else takes up while it lives; what it took up others may have, too.
    let resumed = results.iter().filter(|(permit, _)| permit.is_resumed());
    let begun = resumed.filter_map(|(permit, _)| permit.intent().map(|intent| intent.seq)).collect();
    writer.reader().refuse_closed(&begun)?;
    let genesis = query::genesis(writer.connection())?;
    let mut answers = Vec::with_capacity(results.len());
    // A signature moves no key, so of a batch each is read once.
    let mut unmoved: BTreeMap<GenerationId, Value> = BTreeMap::new();
    for (permit, result) in results {
        let (request, _gates, intent) = permit.into_parts();
        let intent = intent.ok_or_else(|| Error::bug("the founding's permits end with entry 0"))?;
        let mut body =
            json!({ "phase": "outcome", "intent": intent.seq, "intent_hash": intent.leaf_hash()?.to_string() });
        let error = match result {
            Ok(done) => {
                let id = request.params.generation();
                let key = match unmoved.get(id) {
                    Some(key) => key.clone(),
                    None => json!(query::generation(writer.connection(), id)?),
                };
                if O::KIND == Kind::SignArtifact {
                    unmoved.entry(id.clone()).or_insert_with(|| key.clone());
                }
                succeeded(&mut body, done.done(), key, &genesis, tool);
                broken_glass(&mut body, writer.connection(), &request)?;
                None
            }
            Err(failure) => {
                failed(&mut body, &failure);
                Some(failure.error)
            }
        };
        let outcome = append(&mut writer, &request, body)?;
        answers.push(error.map_or(Ok(Receipt { intent, outcome }), Err));
    }
    writer.commit()?;
    Ok(answers)
}

fn append<O: Operation>(writer: &mut crate::ledger::Writer<'_>, request: &Request<O>, body: Value) -> Result<Entry> {
    writer.append(NewEntry {
        entry_type: O::ENTRY.parse()?,
        actor: request.actor.clone(),
        correlation_id: request.correlation_id.clone(),
        body,
    })
}

fn succeeded(body: &mut Value, done: Value, key: Value, genesis: &Genesis, tool: &Tool) {
    body["result"] = "ok".into();
    body["done"] = done;
    body["key"] = key;
    body["fragment_id"] = uuid::Uuid::new_v4().to_string().into();
    body["workspace_id"] = genesis.workspace_id.clone().into();
    body["environment"] = genesis.environment.as_str().into();
    body["enforcement"] = "procedural".into();
    body["tool"] = json!(tool);
}

/// What was done in a declared incident says so, and asks for a new revision of the evidence pack (B16).
fn broken_glass<O>(body: &mut Value, conn: &rusqlite::Connection, request: &Request<O>) -> Result<()> {
    let Some(Authority::Request { request_id, .. }) = &request.authority else { return Ok(()) };
    let consumed = query::consumed(conn, request_id)?;
    if let Some(incident) = consumed.and_then(|consumed| consumed.document.break_glass) {
        body["break_glass"] = json!(incident);
        body["pack_revision"] = query::broken_glass(conn)?.saturating_add(1).into();
    }
    Ok(())
}

fn failed(body: &mut Value, failure: &Failure) {
    body["result"] = if failure.unknown { "unknown" } else { "failed" }.into();
    body["error"] = json!({
        "error_class": failure.error.kind().class(),
        "code": failure.error.code(),
        "message": failure.error.full(),
    });
}

#[cfg(test)]
mod tests;
