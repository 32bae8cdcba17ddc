//! …

use crate::keys::{Credential, Generation};
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
