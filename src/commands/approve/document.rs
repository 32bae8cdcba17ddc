//! What can be signed here: each kind of document with its words, its meanings and its checks. A new kind is a new
//! variant, and the compiler says where it is missing.

use super::words::{self, Words};
use crate::clock::{Time, rfc3339};
use crate::config::policy::Operation;
use crate::crypto::jcs;
use crate::crypto::ssh::{PublicKey, Signature};
use crate::error::{Context, Error, Result};
use crate::model::Environment;
use crate::people::cab::{self, CabApproval};
use crate::people::founding::Beginning;
use crate::people::request::{self, ApprovalRequest};
use crate::people::{Namespace, Roster};
use crate::policy::derived;
use chrono::TimeDelta;
use serde_json::Value;

/// The most bytes of a document of any kind.
const MAX_DOCUMENT: usize = cab::MAX_CAB;

/// How far the clocks of two machines may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// A document, read from its exact bytes.
pub(super) enum Document {
    /// A request of a workspace.
    Request(Box<ApprovalRequest>),
    /// The request to found a workspace.
    Founding(Box<ApprovalRequest>, Box<Beginning>),
    /// An approval of artifacts by a change advisory board.
    Cab(Box<CabApproval>),
}

/// The workspace that a document is for, as it says itself.
pub(super) struct Workspace<'a> {
    pub(super) id: &'a str,
    pub(super) origin: &'a str,
    pub(super) environment: Environment,
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
            Some(request::SCHEMA) => {
                let request = Box::new(derived::read(bytes)?);
                match request.is_founding() {
                    true => Ok(Document::Founding(request.clone(), Box::new(Beginning::of(&request)?))),
                    false => rosters(&request).map(|_| Document::Request(request)),
                }
            }
            Some(cab::SCHEMA) => CabApproval::parse(bytes).map(Box::new).map(Document::Cab),
            Some(other) => Err(unknown(format!("there is no approving of {other:?}"))),
            None => Err(unknown("this does not say what kind of document it is".to_owned())),
        }
    }

    /// What it says; with `whole`, all of it.
    pub(super) fn words(&self, whole: bool) -> Words {
        match self {
            Document::Request(request) | Document::Founding(request, _) => words::of_request(request, whole),
            Document::Cab(approval) => words::of_cab(approval),
        }
    }

    /// Its identifier, which is also the stem of its files' names.
    pub(super) fn id(&self) -> &str {
        match self {
            Document::Request(request) | Document::Founding(request, _) => &request.request_id,
            Document::Cab(approval) => approval.approval_id.as_str(),
        }
    }

    /// What a person types to confirm that this is what they mean.
    pub(super) fn object(&self) -> &str {
        match self {
            Document::Request(request) => &request.object,
            Document::Founding(request, _) => &request.origin,
            Document::Cab(approval) => approval.approval_id.as_str(),
        }
    }

    /// What it is, in one word.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Document::Request(_) => "request",
            Document::Founding(..) => "founding",
            Document::Cab(_) => "cab-approval",
        }
    }

    /// The workspace that it is for.
    pub(super) fn workspace(&self) -> Workspace<'_> {
        match self {
            Document::Request(request) | Document::Founding(request, _) => {
                Workspace { id: &request.workspace_id, origin: &request.origin, environment: request.environment }
            }
            Document::Cab(approval) => {
                Workspace { id: &approval.workspace_id, origin: &approval.origin, environment: approval.environment }
            }
        }
    }

    /// The request, if it is one.
    pub(super) fn request(&self) -> Option<&ApprovalRequest> {
        match self {
            Document::Request(request) | Document::Founding(request, _) => Some(request),
            Document::Cab(_) => None,
        }
    }

    /// Whether it can be signed at this time.
    ///
    /// # Errors
    /// `request_expired`, `request_future`.
    pub(super) fn check_time(&self, now: Time) -> Result<()> {
        let (made, until) = match self {
            Document::Request(request) | Document::Founding(request, _) => {
                (Some(request.created_at), request.not_after)
            }
            Document::Cab(approval) => (None, approval.expiry),
        };
        if now >= until {
            let message = format!("it could be used until {}, and now it is {}", rfc3339(until), rfc3339(now));
            return Err(Error::blocked("request_expired", message).hint("have a new one made"));
        }
        match made.filter(|made| *made > now + SKEW) {
            None => Ok(()),
            Some(made) => {
                let message = format!("it was made at {}, and now it is {}", rfc3339(made), rfc3339(now));
                Err(Error::blocked("request_future", message).hint("set the clocks of both machines"))
            }
        }
    }

    /// Checks that whoever asks signed these bytes. Gives their key. What a board approves is asked for elsewhere.
    ///
    /// # Errors
    /// `no_requester_signature`, `wrong_requester`, and what is wrong with the signature.
    pub(super) fn check_requester(&self, bytes: &[u8], signature: Option<&str>) -> Result<Option<PublicKey>> {
        let (Document::Request(request) | Document::Founding(request, _)) = self else { return Ok(None) };
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

    /// The namespaces that this key signs in: what its signatures will mean.
    ///
    /// # Errors
    /// `own_request`; `not_in_roster` if a founding has no place for the key.
    pub(super) fn namespaces(&self, key: &PublicKey) -> Result<Vec<String>> {
        match self {
            Document::Request(request) => of_request(request, key),
            Document::Founding(request, beginning) => {
                let listed = beginning.roster.holder(key).map(|_| Namespace::Roster.of(&request.origin));
                let earlier = beginning.earlier.iter().map(|earlier| Namespace::Approval.of(&earlier.origin));
                let namespaces: Vec<_> = listed.into_iter().chain(earlier).collect();
                match namespaces.is_empty() {
                    false => Ok(namespaces),
                    true => Err(Error::blocked("not_in_roster", "the roster of this founding does not have your key")
                        .hint("ask who wrote the roster")),
                }
            }
            Document::Cab(approval) => Ok(vec![Namespace::Cab.of(&approval.origin)]),
        }
    }
}

fn of_request(request: &ApprovalRequest, key: &PublicKey) -> Result<Vec<String>> {
    if request.requester.key_sha256 == key.fingerprint() {
        return Err(Error::blocked("own_request", "whoever asks does not approve")
            .hint("somebody else has to, with their own key"));
    }
    let (approval, roster) = (Namespace::Approval.of(&request.origin), Namespace::Roster.of(&request.origin));
    let Some((from, to)) = rosters(request)? else { return Ok(vec![approval]) };
    let holder = |roster: &Roster| roster.holder(key).map(|(email, ..)| email.clone());
    match (holder(&from), holder(&to)) {
        (None, None) => Err(Error::blocked("not_in_roster", "neither the old roster nor the new one has your key")
            .hint("--identity names the key that the roster has for you")),
        (Some(before), Some(after)) if before != after => Ok(vec![approval, roster]),
        (Some(_), _) => Ok(vec![approval]),
        // A new key: it agrees, and shows that it is in somebody's hands.
        (None, Some(_)) => Ok(vec![roster]),
    }
}

/// The roster in force and the one to come, if the request is for a new one.
///
/// # Errors
/// `bad_request`.
fn rosters(request: &ApprovalRequest) -> Result<Option<(Roster, Roster)>> {
    let Some(step) = request.steps.iter().find(|step| step.operation == Operation::Roster.as_str()) else {
        return Ok(None);
    };
    let read = |name: &str| {
        let value = step.params.get(name).unwrap_or(&Value::Null);
        Roster::from_value(value).or_failed("bad_request", || format!("the roster {name:?} cannot be read"))
    };
    Ok(Some((read("from")?, read("to")?)))
}

fn unknown(message: String) -> Error {
    Error::failed("unknown_document", message).hint("a newer keyctl may know it")
}
