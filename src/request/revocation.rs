//! Revoking, and telling: lists, their appearance at their URL, and the artifacts that have to be signed again.

use crate::clock::Time;
use crate::keys::{RevocationReason, Terms};
use crate::model::{GenerationId, Hash256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Revokes what certifies a generation. The register has it revoked from the intent on, whatever becomes of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// Which.
    pub generation: GenerationId,
    /// The CA that lists it, or the OpenPGP primary key whose certificate says so; absent where nobody of ours can.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<GenerationId>,
    /// Why.
    pub reason: RevocationReason,
    /// From when on.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub revocation_date: Time,
    /// Since when the key may be in other hands.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub invalidity_date: Option<Time>,
    /// How an issuer outside was told, in their words or ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    /// The list that will say so; only known when it is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crl: Option<NewCrl>,
    /// What the OpenPGP revocation will say (`keyctl.openpgp-plan/v1`); only known when it is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<Value>,
}

impl RevokeKey {
    /// What it says.
    pub fn terms(&self) -> Terms {
        Terms { reason: self.reason, revocation_date: self.revocation_date, invalidity_date: self.invalidity_date }
    }
}

/// A list as it will be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCrl {
    /// cRLNumber, used up by the intent (governance C3).
    pub number: u64,
    /// cRLNumber of the file that is published now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published: Option<u64>,
    /// thisUpdate.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub this_update: Time,
    /// nextUpdate.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub next_update: Time,
    /// How many certificates will be on it.
    pub entries: u64,
    /// Where verifiers fetch it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub urls: Vec<String>,
    /// SHA-256 of the exact TBSCertList that will be signed.
    pub tbs_sha256: Hash256,
}

/// Issues a CA's list anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueCrl {
    /// The CA.
    pub generation: GenerationId,
    /// The list.
    pub crl: NewCrl,
    /// Revoked generations that no list told of so far.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tells: Vec<GenerationId>,
}

/// Records that a list was fetched from its URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmCrl {
    /// The CA.
    pub generation: GenerationId,
    /// cRLNumber of our newest list.
    pub number: u64,
    /// SHA-256 of its DER.
    pub sha256: Hash256,
    /// From where it was fetched.
    pub urls: Vec<String>,
}

/// Tells the outside that artifacts have to be signed again (B13). The register has them marked since the revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkArtifacts {
    /// The generation that was revoked.
    pub generation: GenerationId,
    /// The entry that revoked it.
    pub revocation: u64,
    /// A part of what depends on it, as much as one entry holds.
    pub artifacts: Vec<Dependent>,
}

/// An artifact that depends on a revoked key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependent {
    /// Its identifier.
    pub artifact_id: String,
    /// SHA-256 of the signed file.
    pub sha256: Hash256,
    /// The entry that signed it.
    pub entry: u64,
}
