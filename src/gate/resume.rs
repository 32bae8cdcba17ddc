//! Intents whose process is gone, taken up again.

use super::Permit;
use crate::error::{Error, Result};
use crate::files::lock::ProcessLock;
use crate::ledger::{Ledger, query};
use crate::policy::Gate;
use crate::request::{Operation, Request};
use std::collections::BTreeSet;
use std::path::Path;

/// Takes an orphaned intent up again, so that `recover` can finish or close it.
///
/// # Errors
/// There is no such open intent, it is of another operation, or its process still lives; `tables_changed` if it is open
/// in the tables only.
pub(crate) fn resume<O: Operation>(ledger: &Ledger, locks: &Path, seq: u64) -> Result<Permit<O>> {
    let open = query::open_intents(ledger.connection())?.into_iter().find(|intent| intent.seq == seq);
    let open = open.ok_or_else(|| Error::usage("no_open_intent", format!("entry {seq} is no open intent")))?;
    let intent = ledger.reader().proven_entry(seq)?;
    ledger.reader().refuse_closed(&BTreeSet::from([seq]))?;
    if open.kind != O::KIND || intent.entry_type.as_str() != O::ENTRY {
        return Err(Error::bug(format!("entry {seq} is no {}", O::ENTRY)));
    }
    if !ProcessLock::is_free(locks, open.process.parse()?)? {
        return Err(Error::unavailable("intent_in_progress", format!("the process of entry {seq} still lives")));
    }
    let read = |name: &str| intent.body.get(name).cloned().unwrap_or_default();
    let broken = |error| Error::failed("bad_entry", format!("the intent in entry {seq} cannot be read")).because(error);
    let request: Request<O> = serde_json::from_value(read("request")).map_err(broken)?;
    let gates: Vec<Gate> = serde_json::from_value(read("gates")).map_err(broken)?;
    Ok(Permit { is_resumed: true, ..Permit::new(request, gates, Some(intent)) })
}
