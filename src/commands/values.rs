//! What several commands print of the same thing.

use crate::clock::rfc3339;
use crate::keys::{Credential, Generation};
use crate::people::ApprovalRequest;
use crate::ui::Row;

pub(crate) fn describe(generation: &Generation) -> Row {
    let identity = generation.identities.first();
    let mut row = Row::new()
        .with("generation", generation.id.to_string())
        .with("state", generation.state.as_str())
        .with("purpose", generation.purpose.as_str());
    if let Some(identity) = identity {
        row = row.with("algorithm", identity.algorithm.as_str()).with("spki_sha256", identity.spki_sha256.to_string());
        if let Some(copy) = identity.copies.first() {
            row = row.with("token", copy.token.label.as_str()).with("cka_id", copy.cka_id.to_string());
        }
        if let Some(Credential::OpenPgp { fingerprint, .. }) = &identity.credential {
            row = row.with("fingerprint", fingerprint.as_str());
        }
    }
    if let Some(reason) = &generation.quarantined {
        row = row.with("quarantined", reason.as_str());
    }
    row
}

/// One request that waits for others.
pub(crate) fn request(document: &ApprovalRequest) -> Row {
    Row::new()
        .with("request", document.request_id.as_str())
        .with("operation", document.operation.as_str())
        .with("object", document.object.as_str())
        .with("requester", document.requester.email.as_str())
        .with("until", rfc3339(document.not_after))
}
