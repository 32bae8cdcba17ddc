//! Acts at the edges of a key's life: naming it in a pipeline's configuration, and destroying it.

use crate::config::PipelineValue;
use crate::keys::State;
use crate::model::{CkaId, GenerationId, Hash256, HsmName, PipelineName, SpkiHash};
use crate::pipeline::FieldPath;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Names a generation in a pipeline's configuration (B9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdatePipeline {
    /// Who is named.
    pub generation: GenerationId,
    /// Its `[pipelines.NAME]` entry.
    pub pipeline: PipelineName,
    /// The file, as the settings have it.
    pub file: PathBuf,
    /// Where in it.
    pub field: FieldPath,
    /// What the field holds about a generation.
    pub value: PipelineValue,
    /// What the field says now.
    pub from: String,
    /// What it will say.
    pub to: String,
    /// SHA-256 of the file now.
    pub before_sha256: Hash256,
    /// SHA-256 of the file with nothing changed but the field.
    pub after_sha256: Hash256,
}

/// One key pair on a token, by everything that tells it from others (governance X7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doomed {
    /// The token by its configured name.
    pub hsm: HsmName,
    /// The serial number it must have.
    pub token_serial: String,
    /// The objects' CKA_ID.
    pub cka_id: CkaId,
    /// SHA-256 of the public key; a pair that was planned and never seen has none, and nothing may be found then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spki_sha256: Option<SpkiHash>,
}

/// Destroys the private keys of a generation, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyKey {
    /// Which.
    pub generation: GenerationId,
    /// The state it is in.
    pub from: State,
    /// Every copy of it.
    pub copies: Vec<Doomed>,
}
