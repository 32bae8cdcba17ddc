//! What lies beside an approval request, unsigned: proofs that the ledger only grew since an approver last saw it.

use crate::model::Hash256;
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const SCHEMA: &str = "keyctl.proofs/v1";

/// The most bytes of a sidecar.
pub const MAX_SIDECAR: usize = 1 << 20;

/// RFC 6962 §2.1.2 consistency proofs to the request's log head; the file `requests/ID.proofs.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    /// [`SCHEMA`].
    pub schema: String,
    /// By the size that is proven from.
    pub proofs: Vec<ConsistencyProof>,
}

/// That a tree of one size is the beginning of the request's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The smaller size.
    pub from: u64,
    /// The hashes.
    pub hashes: Vec<Hash256>,
}
