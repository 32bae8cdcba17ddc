//! The form of an approval request: what is read, and what is refused (governance D3).

use super::{ApprovalRequest, MAX_REQUEST, SCHEMA, Step};
use crate::config::policy::Operation;
use crate::config::text::bad_origin;
use crate::crypto::jcs;
use crate::error::{Context, Error, Result};
use crate::people::text::bad_document;
use chrono::TimeDelta;
use serde::Deserialize;

/// The most steps of one command.
const MAX_STEPS: usize = 64;
/// The most words of a command line.
const MAX_WORDS: usize = 64;
/// The most characters of a reason or a justification.
const MAX_PROSE: usize = 1000;
/// The most characters of a name of something.
const MAX_NAME: usize = 200;

impl ApprovalRequest {
    /// Reads exactly the canonical bytes.
    ///
    /// # Errors
    /// `bad_request`: not canonical, an unknown or repeated name, text that people could misread, values that no
    /// request may have, or more than [`MAX_REQUEST`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value = jcs::parse_canonical(bytes, MAX_REQUEST)
            .or_failed("bad_request", || "the request is not in its canonical form".into())?;
        if let Some(why) = bad_document(&value) {
            return Err(bad(why));
        }
        let request = ApprovalRequest::deserialize(&value).or_failed("bad_request", || "it is no request".into())?;
        if let Some(why) = request.objection() {
            return Err(bad(why));
        }
        // A null for what is left out, or a time with another offset, would be a second spelling.
        match jcs::to_vec(&request)? == bytes {
            true => Ok(request),
            false => Err(bad("it is not in its canonical form")),
        }
    }

    /// The canonical bytes, if it is a request that [`ApprovalRequest::parse`] takes.
    ///
    /// # Errors
    /// `bad_request`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = jcs::to_vec(self)?;
        ApprovalRequest::parse(&bytes)?;
        Ok(bytes)
    }

    fn objection(&self) -> Option<String> {
        self.bad_names().or_else(|| self.bad_command()).or_else(|| self.bad_times()).or_else(|| self.bad_break_glass())
    }

    fn bad_names(&self) -> Option<String> {
        if self.schema != SCHEMA {
            return Some(format!("its schema is {:?}, not {SCHEMA}", self.schema));
        }
        if self.request_id.len() != 32 || crate::model::unhex(&self.request_id).is_none() {
            return Some("request_id is not 32 lower-case hex digits".to_owned());
        }
        if let Some(why) = bad_origin(&self.origin) {
            return Some(format!("origin: {why}"));
        }
        if self.requester.email.folded() != self.requester.email {
            return Some("requester.email is not in lower case".to_owned());
        }
        let names =
            [("workspace_id", &self.workspace_id), ("object", &self.object), ("tool.version", &self.tool.version)];
        let ticket = self.ticket.iter().map(|ticket| ("ticket", ticket));
        if let Some((name, _)) = names.into_iter().chain(ticket).find(|(_, text)| !has_length(text, MAX_NAME)) {
            return Some(format!("{name} has 1 to {MAX_NAME} characters"));
        }
        (!has_length(&self.reason, MAX_PROSE)).then(|| format!("reason has 1 to {MAX_PROSE} characters"))
    }

    fn bad_command(&self) -> Option<String> {
        if self.command.is_empty() || self.command.len() > MAX_WORDS {
            return Some(format!("command has 1 to {MAX_WORDS} words"));
        }
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            return Some(format!("steps has 1 to {MAX_STEPS} of them"));
        }
        let good = |step: &Step| {
            step.params.is_object() && has_length(&step.operation, MAX_NAME) && has_length(&step.object, MAX_NAME)
        };
        (!self.steps.iter().all(good)).then(|| "a step has an operation, an object and parameters by name".to_owned())
    }

    fn bad_times(&self) -> Option<String> {
        if self.not_before < self.created_at || self.not_after <= self.not_before {
            return Some("created_at, not_before and not_after do not follow each other".to_owned());
        }
        let hours = self.rule().max_age_limit();
        let long = self.not_after - self.created_at > TimeDelta::hours(i64::from(hours));
        long.then(|| format!("it would live longer than {hours} hours"))
    }

    fn bad_break_glass(&self) -> Option<String> {
        use Operation::{Compromise, Keygen, KeygenCa, Revoke, Rotate, RotateCa};
        let glass = self.break_glass.as_ref()?;
        if !has_length(&glass.incident, MAX_NAME) || !has_length(&glass.justification, MAX_PROSE) {
            return Some("break-glass takes an incident and a justification".to_owned());
        }
        let allowed = matches!(self.operation, KeygenCa | Keygen | RotateCa | Rotate | Revoke | Compromise);
        (!allowed).then(|| format!("there is no break-glass for {}", self.operation))
    }
}

fn has_length(text: &str, max: usize) -> bool {
    text.trim() == text && (1..=max).contains(&text.chars().count())
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::failed("bad_request", format!("the request is refused: {why}"))
}
