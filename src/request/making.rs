//! Making keys, certifying them, and moving them along.

use crate::clock::Time;
use crate::keys::State;
use crate::model::{CkaId, Custody, Environment, GenerationId, Hash256, HsmName, KeyAlgorithm, Purpose};
use serde::{Deserialize, Serialize};

/// Makes the next generation of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateKey {
    /// The generation that will exist.
    pub generation: GenerationId,
    /// What it is for.
    pub purpose: Purpose,
    /// The environment it is bound to.
    pub environment: Environment,
    /// Custody class.
    pub custody: Custody,
    /// Algorithm.
    pub algorithm: KeyAlgorithm,
    /// Token by configured name.
    pub hsm: HsmName,
    /// Serial number the token must have.
    pub token_serial: String,
    /// Planned CKA_ID, looked for before anything is made (K2).
    pub cka_id: CkaId,
    /// Planned label; display only.
    pub label: String,
    /// When it counts as made. Part of an OpenPGP key's fingerprint, so it is fixed before the token is asked.
    /// The first records have none.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub created: Option<Time>,
    /// Whether the object may be destroyed later; CA keys are made so that they cannot (K3).
    pub destroyable: bool,
    /// The proof of possession's nonce, lower-case hex.
    pub nonce: String,
}

/// Issues a certificate for a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueCertificate {
    /// Who gets it.
    pub generation: GenerationId,
    /// Who issues it; itself for a root.
    pub issuer: GenerationId,
    /// Profile name.
    pub profile: String,
    /// Serial number, lower-case hex; unique per issuer, reserved here.
    pub serial: String,
    /// SHA-256 of the exact TBSCertificate that will be signed.
    pub tbs_sha256: Hash256,
    /// SHA-256 of the same with public key and key identifier blanked: what approvers of a key yet to be made can see.
    pub template_sha256: Hash256,
    /// Start of validity.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_before: Time,
    /// End of validity.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_after: Time,
}

/// Certifies an OpenPGP key: a primary key by itself, or a signing subkey by its primary key (RFC 4880 §11.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifyOpenPgp {
    /// Which key.
    pub generation: GenerationId,
    /// The primary key that binds it; itself for a primary key.
    pub issuer: GenerationId,
    /// Its fingerprint, lower-case hex.
    pub fingerprint: String,
    /// Creation time, part of the fingerprint.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub created: Time,
    /// When it expires.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub expires: Time,
    /// What each signature will say (`keyctl.openpgp-plan/v1`), in the order of the request's signatures.
    pub plan: serde_json::Value,
}

/// Publishes the keyring of an APT signing key, from when on its keys' waiting time counts (governance R3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishKeyring {
    /// The newest generation in it.
    pub generation: GenerationId,
    /// SHA-256 of the binary keyring file.
    pub sha256: Hash256,
    /// Fingerprints of all keys in it, lower-case hex.
    pub fingerprints: Vec<String>,
}

/// Moves a generation along its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeState {
    /// Which.
    pub generation: GenerationId,
    /// From.
    pub from: State,
    /// To.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}

/// Makes a certificate signing request for an external issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeCsr {
    /// Which generation.
    pub generation: GenerationId,
    /// RFC 4514 subject.
    pub subject: String,
    /// SHA-256 of the CertificationRequestInfo.
    pub tbs_sha256: Hash256,
}

/// Takes in a certificate that an external issuer made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportCertificate {
    /// Which generation it belongs to, found by its public key.
    pub generation: GenerationId,
    /// SHA-256 of the DER.
    pub fingerprint: Hash256,
    /// RFC 4514 issuer.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
}
