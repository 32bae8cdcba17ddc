//! The acts of a rotation that nothing else needs: testing a new key, linking two roots, publishing, taking over, and
//! the decision of a review.

use crate::clock::Time;
use crate::keys::rotation::ReviewDecision;
use crate::model::{GenerationId, Hash256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Has a key sign a fixed prefix and a nonce, which is then checked against what is published of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestKey {
    /// Which key.
    pub generation: GenerationId,
    /// Its certificate: SHA-256 of the DER, or the OpenPGP fingerprint; lower-case hex.
    pub certificate: String,
    /// The nonce, lower-case hex.
    pub nonce: String,
}

/// Certifies the public key of one root by another of the same key: `newWithOld` and `oldWithNew` (RFC 9810 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRoots {
    /// Whose public key is certified.
    pub generation: GenerationId,
    /// Who certifies it.
    pub issuer: GenerationId,
    /// Serial number, lower-case hex; unique per issuer, reserved here.
    pub serial: String,
    /// SHA-256 of the exact TBSCertificate that will be signed.
    pub tbs_sha256: Hash256,
    /// SHA-256 of the same with public key and both key identifiers blanked.
    pub template_sha256: Hash256,
    /// End of validity.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_after: Time,
}

impl LinkRoots {
    /// What a link is called, by both of its ends.
    pub fn object(subject: &GenerationId, issuer: &GenerationId) -> String {
        format!("{subject} with {issuer}")
    }
}

/// Publishes the certificates of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishMetadata {
    /// Which.
    pub generation: GenerationId,
    /// SHA-256 of each file, by its name within `published/`.
    pub files: BTreeMap<String, Hash256>,
}

/// A generation takes over: it becomes active and its predecessor retiring, both at once, so that there is never none
/// that signs, nor two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateKey {
    /// Who takes over.
    pub generation: GenerationId,
    /// From whom; from nobody where the last one was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predecessor: Option<GenerationId>,
    /// The certificate may name another subject (governance R2).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub publisher_change: bool,
    /// SHA-256 of the published keyring file as it was found, for an APT key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyring_sha256: Option<Hash256>,
    /// Why, in words.
    pub reason: String,
}

/// Records what a review of a CA's key decided, where the settings let its rotation wait for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewKey {
    /// Which.
    pub generation: GenerationId,
    /// What was decided.
    pub decision: ReviewDecision,
    /// Until when it goes on, exclusively, whatever its age; with [`ReviewDecision::Keep`] only.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub keep_until: Option<Time>,
    /// Why, in the reviewer's words.
    pub text: String,
}
