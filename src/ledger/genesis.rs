//! Entry 0: what a workspace is, fixed for ever (design §4).
//!
//! The ledger keys have to be made before there is a ledger to hold their intent. So the intent is a file,
//! `genesis.intent`, durable before the token is asked; entry 0 carries it word for word beside what was made of it, and
//! a [projection](super::projection::apply) refuses a genesis whose keys are not those its intent planned. Whoever
//! pins the leaf hash of entry 0 pins all of this.
//!
//! Both are JSON with the field names below; unknown fields are refused.

use crate::keys::{Identity, TokenRecord};
pub use crate::model::Tool;
use crate::model::{Actor, CorrelationId, Environment, GenerationId, Hash256, HsmName};
use crate::people::Roster;
use crate::people::founding::Founded;
use crate::request::{GenerateKey, Request};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was fixed before the ledger keys were made; the content of `genesis.intent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisIntent {
    /// Random identifier of the workspace (UUIDv4, lower case).
    pub workspace_id: String,
    /// Who founds it.
    pub actor: Actor,
    /// Ties the founding together.
    pub correlation_id: CorrelationId,
    /// The ledger keys to make, one a token, with their planned CKA_IDs.
    pub ledger_keys: Vec<Request<GenerateKey>>,
    /// What everyone in the first roster signed. The first sandboxes had no people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub founding: Option<Founded>,
}

/// The body of entry 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The identifier from the intent.
    pub workspace_id: String,
    /// The environment, which never changes and is bound to each key.
    pub environment: Environment,
    /// The log's name in checkpoints (C2SP tlog-checkpoint, the origin line).
    pub origin: String,
    /// The keys whose signatures make checkpoints, in the order of the intent's requests.
    pub ledger_keys: Vec<LedgerKey>,
    /// Every token with its module, as they introduced themselves, by configured name.
    pub tokens: BTreeMap<HsmName, TokenRecord>,
    /// SHA-256 of the adopted settings' canonical JSON.
    pub settings_sha256: Hash256,
    /// The adopted settings ([`crate::config::Settings`]), kept as they were written.
    pub settings: serde_json::Value,
    /// The first roster, where people approve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roster: Option<Roster>,
    /// SHA-256 of its canonical JSON.
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
    /// Its C2SP verifier key line (`NAME+ID+KEY`, signed-note), whose name is the origin.
    pub verifier: String,
}
