//! Approval requests as files in `requests/`, with the signatures that lie beside them.

use crate::clock::rfc3339;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate::{Presented, command_line};
use crate::ledger::query;
use crate::people::ApprovalRequest;
use crate::people::approval::{MAX_APPROVALS, MAX_TEXT, armours};
use crate::people::quorum::Counted;
use crate::people::request::MAX_REQUEST;
use crate::policy::derived;
use crate::world::World;
use crate::world::authority::REQUESTS;
use std::path::{Path, PathBuf};

/// What the counting ignored is said: an approver who signed in vain wants to know why.
pub(crate) fn missing(presented: &Presented, counted: &Counted, path: &Path) -> Error {
    let document = presented.document();
    let ignored: Vec<_> = counted
        .ignored
        .iter()
        .map(|it| {
            let whose = it.email.as_ref().map_or_else(String::new, |email| format!("{email} "));
            format!("; not counted: {whose}{} ({})", it.why, it.rule)
        })
        .collect();
    let message =
        format!("{} of {} waits for {}{}", document.operation, document.object, counted.missing, ignored.concat());
    let hint =
        format!("keyctl approve {} on an approver's machine, until {}", shown_path(path), rfc3339(document.not_after));
    Error::new(Kind::ApprovalNeeded, "approval_needed", message).hint(hint)
}

/// A request whose every step was done is not run again.
pub(crate) fn done(world: &World, presented: &Presented) -> Result<Option<Error>> {
    let (conn, document) = (world.ledger.connection(), presented.document());
    let Some(consumed) = query::consumed(conn, &document.request_id)? else { return Ok(None) };
    if !is_used_up(world, document)? {
        return Ok(None);
    }
    let message = format!("the request was consumed by entry {} and is done", consumed.seq);
    Ok(Some(Error::blocked("request_consumed", message).hint("keyctl status")))
}

/// Whether every step that people agreed to was done.
pub(crate) fn is_used_up(world: &World, document: &ApprovalRequest) -> Result<bool> {
    let steps = query::steps(world.ledger.connection(), &document.request_id)?;
    Ok(steps.values().filter(|result| result.as_str() == "ok").count() >= document.steps.len())
}

/// The command that goes on with what is left: the approval's own as long as it is not used up, else what was typed.
///
/// # Errors
/// The ledger cannot be read.
pub(crate) fn again(world: &World, agreed: Option<&ApprovalRequest>, command: &[String]) -> Result<String> {
    match agreed {
        Some(document) if !is_used_up(world, document)? => Ok(format!("keyctl run {}", document.request_id)),
        _ => Ok(command_line(command)),
    }
}

/// The request's file by its identifier or the beginning of it.
pub(crate) fn find(world: &World, id: &str) -> Result<PathBuf> {
    let id = Path::new(id).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = id.strip_suffix(".json").unwrap_or(&id);
    let is_id = (8..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_id {
        return Err(Error::usage(
            "bad_request_id",
            format!("{id:?} is no identifier of a request (8 to 32 hex digits)"),
        ));
    }
    let folder = world.dir.join(REQUESTS);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".json"));
        if stem.is_some_and(|stem| stem.starts_with(id) && stem.len() == 32) {
            found.push(folder.join(name));
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::usage("no_request", format!("there is no request {id} in {}", shown_path(&folder)))),
        many => Err(Error::usage("ambiguous_request", format!("{} requests begin with {id}", many.len()))),
    }
}

/// Requests that were neither consumed nor are too old. What cannot be read is no request.
///
/// # Errors
/// The folder or the ledger cannot be read.
pub(crate) fn waiting(world: &World) -> Result<Vec<ApprovalRequest>> {
    let now = world.globals.clock.now();
    let folder = world.dir.join(REQUESTS);
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_none_or(|stem| stem.len() != 32) || path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        let Ok(document) = safe::read_bounded(&path, MAX_REQUEST as u64).and_then(|it| derived::read(&it)) else {
            continue;
        };
        // What founded the workspace is done.
        let done = document.is_founding() || now >= document.not_after;
        if done || query::consumed(world.ledger.connection(), &document.request_id)?.is_some() {
            continue;
        }
        found.push(document);
    }
    Ok(found)
}

/// A request that was copied under another name is not the one that was named.
pub(crate) fn check_name(path: &Path, presented: &Presented) -> Result<()> {
    if path.file_stem().and_then(|stem| stem.to_str()) == Some(&presented.document().request_id) {
        return Ok(());
    }
    Err(Error::failed("bad_request", format!("{} holds another request", shown_path(path))))
}

pub(crate) fn requester_signature(path: &Path) -> Result<Option<String>> {
    let path = path.with_extension("request.sig");
    if !path.try_exists().unwrap_or(true) {
        return Ok(None);
    }
    safe::read_text(&path, MAX_TEXT as u64).map(Some)
}

/// The approvals that lie beside a request. Names say nothing; what counts is who signed.
pub(crate) fn beside(path: &Path) -> Result<Vec<String>> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.starts_with(stem) && name.ends_with(".sig") && !name.ends_with(".request.sig");
        if is_ours && found.len() < MAX_APPROVALS {
            found.extend(armours(&safe::read_text(&folder.join(name), MAX_TEXT as u64)?)?);
        }
    }
    Ok(found)
}
