//! Evidence fragments: what each proves, and in words what it was not held against.

use super::held::Held;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::evidence::fragment::{self, Checked};
use crate::files::source::Source;
use crate::files::{safe, shown_path};
use crate::ledger::Entry;
use crate::model::Environment;
use crate::people::approval::{Part, Participant};
use crate::people::quorum::recorded::Against;
use crate::people::{ApprovalRequest, Roster, request};
use crate::ui::Row;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// Checks a fragment, and the approvals in it as far as that can be.
///
/// # Errors
/// What does not hold; `no_ledger_key` if there is nothing to check it with.
pub(super) fn verify_fragment(path: &Path, source: &Source, held: &mut Held) -> Result<Row> {
    if held.ledger_keys.is_empty() {
        return Err(Error::usage("no_ledger_key", "a fragment is checked with the ledger's key")
            .hint("--ledger-key published/ledger.pub"));
    }
    let len = usize::try_from(source.len()).ok().filter(|len| *len <= fragment::MAX_LEN);
    let too_long = || Error::failed("too_large", format!("a fragment has no more than {} bytes", fragment::MAX_LEN));
    let mut bytes = vec![0; len.ok_or_else(too_long)?];
    source.read_at(&mut bytes, 0)?;
    let checked = fragment::check(&bytes, &held.ledger_keys).map_err(|error| error.about(shown_path(path)))?;
    let approvals = approvals(&checked, held).map_err(|error| error.about(shown_path(path)))?;
    let text = |name: &str| checked.value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let detail =
        format!("{} at {}, in a tree of {} entries", text("event_type"), text("created_at"), checked.checkpoint.size);
    let proven = "entry and intent as they stand under a checkpoint of the given ledger keys";
    let open = "what its gates decided by; where the ledger is: keyctl audit log";
    let list = |first: Vec<String>, last: &str| first.into_iter().chain([last.to_owned()]).collect::<Vec<_>>();
    Ok(Row::new()
        .with("file", path.to_string_lossy().into_owned())
        .with("verdict", "valid")
        .with("detail", detail)
        .with("fragment_id", text("fragment_id"))
        .with("checked", [vec![proven.to_owned()], approvals.checked].concat().join("; "))
        .with("not_checked", list(approvals.open, open).join("; ")))
}

/// What became of the approvals, in words.
#[derive(Default)]
struct Approvals {
    checked: Vec<String>,
    open: Vec<String>,
}

fn approvals(checked: &Checked, held: &mut Held) -> Result<Approvals> {
    let records: Vec<Participant> = read(checked.value.get("approvals"))?;
    let mut found = Approvals::default();
    if records.is_empty() {
        return Ok(found);
    }
    let environment: Environment = read(checked.value.get("environment"))?;
    let Some(roster) = held.people.roster(environment)? else {
        found.open.push(format!("{}: --roster FILE", signatures(records.len())));
        return Ok(found);
    };
    find_request(&checked.value, held);
    let against = Against { roster: &roster, origin: &checked.checkpoint.origin, at: intent_time(&checked.value)? };
    let version = roster.version;
    for record in &records {
        let no = |why: String| Error::finding("approval_not_proven", format!("{}: {why}", record.email));
        let asks = if record.part == Part::Requester { "asks" } else { "approves" };
        against.knows(record).map_err(no)?;
        let hash = record.request_sha256;
        let Some(document) = held.people.document(&hash) else {
            let who = format!("the key of {} is theirs in roster {version}", record.email);
            found.checked.push(who);
            found
                .open
                .push(format!("the signature of {}, over what has the SHA-256 {hash}: --request FILE", record.email));
            continue;
        };
        against.signed(record, document).map_err(no)?;
        fits(document, &roster)?;
        found.checked.push(format!("{} {asks}, by their signature over {hash} and roster {version}", record.email));
    }
    found.open.push("who was suspended then, and how many people the settings of then asked for".to_owned());
    Ok(found)
}

/// An approval request says under which roster it was made.
fn fits(document: &[u8], roster: &Roster) -> Result<()> {
    let Ok(request) = ApprovalRequest::parse(document) else { return Ok(()) };
    if request.roster == roster.reference()? {
        return Ok(());
    }
    let message = format!(
        "the request was made under roster {} ({}), and the one given is roster {} ({})",
        request.roster.version,
        request.roster.sha256,
        roster.version,
        roster.sha256()?
    );
    Err(Error::finding("other_roster", message))
}

/// The request, if the workspace that is open here has it.
fn find_request(fragment: &Value, held: &mut Held) {
    let id = fragment.pointer("/authority/request_id").and_then(Value::as_str);
    let id = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let (Some(id), Some(world)) = (id, &held.world) else { return };
    let path = world.dir.join("requests").join(format!("{id}.json"));
    if let Ok(bytes) = safe::read_bounded(&path, request::MAX_REQUEST as u64) {
        held.people.take(bytes);
    }
}

fn intent_time(fragment: &Value) -> Result<Time> {
    let leaf = fragment.pointer("/ledger/intent_leaf").and_then(Value::as_str).unwrap_or_default();
    Ok(Entry::from_bytes(leaf.as_bytes())?.time)
}

fn signatures(approvals: usize) -> String {
    match approvals {
        1 => "the signature of its 1 approval, over a request that is not in it".to_owned(),
        several => format!("the signatures of its {several} approvals, over a request that is not in it"),
    }
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<T> {
    let value = value.cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| Error::finding("fragment_malformed", "a part of the fragment cannot be read").because(error))
}
