//! What can be signed here: each kind of document with its words, its meanings and its checks. A new kind is a new
//! variant, and the compiler says where it is missing.

use super::words::{self, Words};
use crate::clock::{Time, rfc3339};
use crate::crypto::jcs;
use crate::crypto::ssh::{PublicKey, Signature};
use crate::error::{Context, Error, Result};
use crate::people::request::{self, ApprovalRequest};
use crate::people::{Namespace, roster};
use chrono::TimeDelta;
use serde_json::Value;

/// The most bytes of a document of any kind.
const MAX_DOCUMENT: usize = 256 * 1024;

/// How far the clocks of two machines may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// A document, read from its exact bytes.
pub(super) enum Document {
    /// A request of a workspace.
    Request(Box<ApprovalRequest>),
}

impl Document {
    /// Reads one, by its schema.
    ///
    /// # Errors
    /// `unknown_document`, and what each kind says of bytes that it does not take.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let value = jcs::parse_strict(bytes, MAX_DOCUMENT)
            .or_failed("bad_document", || "this is no document that can be signed".into())?;
        match value.get("schema").and_then(Value::as_str) {
            Some(request::SCHEMA) => ApprovalRequest::parse(bytes).map(Box::new).map(Document::Request),
            Some(other) => Err(unknown(format!("there is no approving of {other:?}"))),
            None => Err(unknown("this does not say what kind of document it is".to_owned())),
        }
    }

    /// What it says.
    pub(super) fn words(&self) -> Words {
        match self {
            Document::Request(request) => words::of_request(request),
        }
    }

    /// Its identifier, which is also the stem of its files' names.
    pub(super) fn id(&self) -> &str {
        match self {
            Document::Request(request) => &request.request_id,
        }
    }

    /// What a person types to confirm that this is what they mean.
    pub(super) fn object(&self) -> &str {
        match self {
            Document::Request(request) => &request.object,
        }
    }

    /// What it is, in one word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Document::Request(_) => "request",
        }
    }

    /// The workspace's origin.
    pub(super) fn origin(&self) -> &str {
        match self {
            Document::Request(request) => &request.origin,
        }
    }

    /// The request, if it is one.
    pub(super) fn request(&self) -> Option<&ApprovalRequest> {
        match self {
            Document::Request(request) => Some(request),
        }
    }

    /// Whether it can be signed at this time.
    ///
    /// # Errors
    /// `request_expired`, `request_future`.
    pub(super) fn check_time(&self, now: Time) -> Result<()> {
        let (made, until) = match self {
            Document::Request(request) => (request.created_at, request.not_after),
        };
        if now >= until {
            let message = format!("it could be used until {}, and now it is {}", rfc3339(until), rfc3339(now));
            return Err(Error::blocked("request_expired", message).hint("have a new request made"));
        }
        if made > now + SKEW {
            let message = format!("it was made at {}, and now it is {}", rfc3339(made), rfc3339(now));
            return Err(Error::blocked("request_future", message).hint("set the clocks of both machines"));
        }
        Ok(())
    }

    /// Checks that whoever asks signed these bytes. Gives their key.
    ///
    /// # Errors
    /// `no_requester_signature`, `wrong_requester`, and what is wrong with the signature.
    pub(super) fn check_requester(&self, bytes: &[u8], signature: Option<&str>) -> Result<Option<PublicKey>> {
        let Document::Request(request) = self;
        let Some(signature) = signature else {
            let message = format!("the signature of {}, who asks, is not there", request.requester.email);
            return Err(Error::usage("no_requester_signature", message)
                .hint("hand in requests/ID.json with ID.request.sig beside it, or what keyctl approve --pack prints"));
        };
        let about = |error: Error| error.about(format_args!("the signature of {}", request.requester.email));
        let signature: Signature = signature.parse().map_err(about)?;
        let verified = signature.verify(&Namespace::Request.of(&request.origin), bytes).map_err(about)?;
        if verified.key.fingerprint() != request.requester.key_sha256 {
            let message = format!("{} is said to ask, but another key signed", request.requester.email);
            return Err(Error::finding("wrong_requester", message));
        }
        if !verified.is_by_a_person() {
            let message = format!("the security key of {} was not touched", request.requester.email);
            return Err(Error::finding("wrong_requester", message));
        }
        Ok(Some(verified.key))
    }

    /// What a signature by this key means here.
    ///
    /// # Errors
    /// `own_request`.
    pub(super) fn meanings(&self, key: &PublicKey) -> Result<Vec<Namespace>> {
        let Document::Request(request) = self;
        // Who is named in a new roster shows that the key is theirs, beside agreeing to it.
        let named = request.steps.iter().any(|step| names(&step.params, &key.to_string()));
        let founding = request.genesis_sha256.is_none();
        match (request.requester.key_sha256 == key.fingerprint(), named, founding) {
            (_, true, true) => Ok(vec![Namespace::Roster]),
            (true, _, _) => Err(Error::blocked("own_request", "whoever asks does not approve")
                .hint("somebody else has to, with their own key")),
            (false, true, false) => Ok(vec![Namespace::Approval, Namespace::Roster]),
            (false, false, _) => Ok(vec![Namespace::Approval]),
        }
    }
}

fn unknown(message: String) -> Error {
    Error::failed("unknown_document", message).hint("a newer keyctl may know it")
}

/// Whether there is a roster in these parameters that lists the key.
fn names(value: &Value, line: &str) -> bool {
    match value {
        Value::Object(members) => {
            let is_roster = members.get("schema").and_then(Value::as_str) == Some(roster::SCHEMA);
            (is_roster && contains(value, line)) || members.values().any(|member| names(member, line))
        }
        Value::Array(items) => items.iter().any(|item| names(item, line)),
        _ => false,
    }
}

fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| contains(item, text)),
        Value::Object(members) => members.values().any(|member| contains(member, text)),
        _ => false,
    }
}
