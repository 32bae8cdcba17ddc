//! Entry 0: what a workspace is, fixed for ever (design §4).

use crate::keys::{Identity, TokenRecord};
use crate::model::{Actor, CorrelationId, Environment, GenerationId, Hash256, HsmName};
use crate::request::{GenerateKey, Request};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was fixed before the ledger keys were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisIntent {
    /// Random identifier (UUIDv4).
    pub workspace_id: String,
    /// Who founds it.
    pub actor: Actor,
    /// Ties the founding together.
    pub correlation_id: CorrelationId,
    /// The ledger keys to make, one a token.
    pub ledger_keys: Vec<Request<GenerateKey>>,
}

/// The body of entry 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Random identifier (UUIDv4).
    pub workspace_id: String,
    /// The environment, which never changes.
    pub environment: Environment,
    /// Checkpoint origin.
    pub origin: String,
    /// The keys whose signatures make checkpoints.
    pub ledger_keys: Vec<LedgerKey>,
    /// Every token with its module, as they introduced themselves.
    pub tokens: BTreeMap<HsmName, TokenRecord>,
    /// SHA-256 of the adopted settings.
    pub settings_sha256: Hash256,
    /// The adopted settings.
    pub settings: serde_json::Value,
    /// SHA-256 of the roster, where people approve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roster_sha256: Option<Hash256>,
    /// The intent this fulfils, word for word.
    pub intent: GenesisIntent,
    /// The program that wrote it.
    pub tool: Tool,
}

/// A key that signs checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerKey {
    /// Its place in the register.
    pub generation: GenerationId,
    /// The key itself.
    pub identity: Identity,
    /// Its C2SP verifier key line.
    pub verifier: String,
}

/// Which program did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Version of the release.
    pub version: String,
    /// SHA-256 of the running executable; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Hash256>,
}
