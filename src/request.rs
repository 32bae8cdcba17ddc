//! Requests: what is asked, fully resolved, as plain data with one canonical byte form. Approvers sign it,
//! `--dry-run` prints it, the ledger keeps it.

use crate::clock::Time;
use crate::keys::{State, TokenRecord};
use crate::model::{
    Actor, CkaId, CorrelationId, Custody, Email, Environment, GenerationId, Hash256, HsmName, KeyAlgorithm, Mechanism,
    Purpose, SpkiHash, Tbs,
};
use crate::people::approval::Participant;
use crate::people::cab::ApprovalId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod life;
mod revocation;
mod rotation;

pub use crate::keys::rotation::ReviewDecision;
pub use crate::people::AdoptRoster;
pub use life::{DestroyKey, Doomed, UpdatePipeline};
pub use revocation::{ConfirmCrl, Dependent, IssueCrl, MarkArtifacts, NewCrl, RevokeKey};
pub use rotation::{ActivateKey, LinkRoots, PublishMetadata, ReviewKey, TestKey};

/// A kind of act that the gate decides on. Each has its parameters; the marker keeps a permit for one act
/// from being used for another.
pub trait Operation: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Name in requests and idempotency (`sign`).
    const NAME: &'static str;
    /// Type of its ledger entries (UPPER_SNAKE, at most 30 characters).
    const ENTRY: &'static str;
    /// Parameters that are not known before a key exists; a step of an approval request leaves them out.
    const OPEN: &'static [&'static str];
    /// The key generation it acts with or on.
    fn generation(&self) -> &GenerationId;
}

/// A request of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<O> {
    /// Identifier of the approval round that this request went through; fresh where nobody has to approve.
    pub request_id: String,
    /// Ties it to a deployment.
    pub correlation_id: CorrelationId,
    /// [`Operation::NAME`].
    pub operation: String,
    /// What it is done to: the SHA-256 of a file, or a generation.
    pub object: String,
    /// Who asks.
    pub actor: Actor,
    /// Every parameter, resolved.
    pub params: O,
    /// The signatures that it needs: the permit will cover these and no others.
    pub signatures: Vec<Covered>,
    /// The signatures of the people by whose leave it is done, the requester's first.
    pub approvals: Vec<Participant>,
    /// What those people signed; absent where nobody has to approve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authority: Option<Authority>,
}

/// By whose leave an operation is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Authority {
    /// It is one step of an approval request that was consumed.
    Request {
        /// [`crate::people::ApprovalRequest::request_id`].
        request_id: String,
        /// Which of its steps, from 0.
        step: u32,
    },
    /// It lies within a standing approval.
    Grant {
        /// The grant.
        grant_id: String,
    },
}

crate::model::words! {
    /// What a signature is for. A key opened for one role signs nothing of another.
    Role: "role" {
        /// Over an artifact.
        Artifact = "artifact",
        /// A CA over a certificate or revocation list.
        Issuer = "issuer",
        /// A key over its own certificate signing request, or that it belongs to an OpenPGP primary key.
        Subject = "subject",
        /// Over a fixed prefix and a fresh nonce, to show that the private key is there.
        ProofOfPossession = "proof-of-possession",
        /// Over another fixed prefix and a fresh nonce, to be checked against what is published of the key.
        Test = "test",
    }
}

/// One signature that a request needs and its permit will cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// What it is for.
    pub role: Role,
    /// Whose key; for a key that is only about to be made, none yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spki_sha256: Option<SpkiHash>,
    /// Which token.
    pub hsm: HsmName,
    /// Which object on it.
    pub cka_id: CkaId,
    /// How.
    pub mechanism: Mechanism,
    /// Over what: the digest, or for Ed25519 the SHA-256 of the message; lower-case hex.
    pub content: String,
    /// How often.
    pub count: u32,
}

impl Covered {
    /// Whether `tbs` is what this allows.
    pub fn matches(&self, role: Role, tbs: &Tbs) -> bool {
        self.role == role && self.mechanism == tbs.mechanism() && self.content == crate::model::hex(&tbs.content())
    }
}

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

/// The option of a [`SignArtifact`] that says which kind of timestamp the signature gets; absent for none.
pub const TIMESTAMP: &str = "timestamp";

/// The option of a [`SignArtifact`] that says which folder an APT repository is.
pub const FOLDER: &str = "folder";

/// Signs one artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignArtifact {
    /// The signing key.
    pub generation: GenerationId,
    /// Older generations of the same key that sign too, while clients change over (governance R3).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cosigners: Vec<GenerationId>,
    /// Fresh identifier of the artifact that will exist.
    pub artifact_id: String,
    /// File name, without its folder, escaped.
    pub name: String,
    /// `pe`, `apt`.
    pub format: String,
    /// SHA-256 of the file as it is; of an APT repository, of its `Release`.
    pub hash_before: Hash256,
    /// Its size in bytes.
    pub size_before: u64,
    /// The format's own digest of what will be signed, lower-case hex, with the algorithm before it (`sha256:…`).
    pub content_digest: String,
    /// The evidence pack that it is signed for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pack: Option<PackReference>,
    /// Its SHA-512, where the pack speaks of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha512_before: Option<String>,
    /// Who built it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provenance: Option<Provenance>,
    /// Everything else that shapes the signature, as the format names it (`program_name`, `page_hashes`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub options: BTreeMap<String, String>,
    /// The approval of the change advisory board that it rests on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cab: Option<CabReference>,
    /// The artifact whose place it takes (domain §2: signing again makes a new artifact).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resigns: Option<Resigns>,
}

/// Which approval of the change advisory board. One that was named and is nowhere to be found has no hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CabReference {
    /// The board's name for it.
    pub approval_id: ApprovalId,
    /// Whether it carries a signature at all; whose, and whether it counts, the gates say.
    pub authentication: Authentication,
    /// SHA-256 of the approval: what the approver signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document_sha256: Option<Hash256>,
    /// SHA-256 of approval and signature together, by which the ledger knows them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paper_sha256: Option<Hash256>,
    /// The conditions that were acknowledged, word for word.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub acknowledged: Vec<String>,
}

crate::model::words! {
    /// Whether somebody signed an approval.
    Authentication: "authentication" {
        Signed = "signed",
        /// Anyone could have written it.
        Unauthenticated = "unauthenticated",
    }
}

/// An artifact of this ledger whose place another takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resigns {
    /// Its identifier.
    pub artifact_id: String,
    /// SHA-256 of the signed file.
    pub hash: Hash256,
    /// The outcome's entry.
    pub entry: u64,
    /// Who signed it.
    pub generation: GenerationId,
    /// The evidence pack that it was signed for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence_pack_id: Option<String>,
    /// Which revision of the first one's pack the new artifact makes: 2 for the first time it is signed again.
    pub pack_revision: u32,
}

/// What an evidence pack says about the artifact it waits for (B17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackReference {
    /// Its identifier.
    pub evidence_pack_id: String,
    /// SHA-256 or SHA-512.
    pub hash_algorithm: crate::model::HashAlgorithm,
    /// The artifact's hash, lower-case hex.
    pub hash: String,
    /// The certificate: SHA-256 fingerprint or SHA-1 thumbprint, lower-case hex.
    pub certificate: String,
}

/// Where an artifact comes from (domain §2), as the caller says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Who built it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub builder_identity: Option<String>,
    /// In which pipeline run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pipeline_run_id: Option<String>,
    /// From which repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_repo: Option<String>,
    /// At which commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_commit: Option<String>,
}

/// Takes over a changed configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptSettings {
    /// The key it is about; settings are about the workspace's `ledger` key as far as the register goes.
    pub generation: GenerationId,
    /// SHA-256 of the settings in force.
    pub from_sha256: Hash256,
    /// SHA-256 of the settings to adopt.
    pub to_sha256: Hash256,
    /// The settings to adopt, whole.
    pub settings: serde_json::Value,
    /// The tokens that are new or not as they were recorded; the other records stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub tokens: BTreeMap<HsmName, TokenRecord>,
}

/// Gives a standing approval: a bounded plan for one key, which automation consumes use by use (design §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveGrant {
    /// The first generation that may be made under it.
    pub generation: GenerationId,
    /// 128 random bits, lower-case hex.
    pub grant_id: String,
    /// The settings under which it holds; it ends with them.
    pub settings_sha256: Hash256,
    /// What the key is for, which fixes the profile of its certificates.
    pub purpose: Purpose,
    /// The subject of its certificates.
    pub subject: String,
    /// Serial numbers of the tokens that keys may be made on.
    pub tokens: BTreeMap<HsmName, String>,
    /// How many generations may be made.
    pub generations: u32,
    /// The least number of days between two of them.
    pub interval_days: u32,
    /// Until when, exclusively.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub not_after: Time,
}

/// Ends a standing approval before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndGrant {
    /// The first generation that it allowed.
    pub generation: GenerationId,
    /// Which.
    pub grant_id: String,
}

/// Closes a duty that had a deadline, with evidence that it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseFollowUp {
    /// The key it is about; duties of the workspace are about its `ledger` key.
    pub generation: GenerationId,
    /// `SEQ/KIND`.
    pub follow_up: String,
    /// Name of the file that shows it, without its folder, escaped.
    pub evidence_name: String,
    /// SHA-256 of that file.
    pub evidence_sha256: Hash256,
}

/// Stops a person's signatures from counting, for the time being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspendPerson {
    /// The workspace's `ledger` key.
    pub generation: GenerationId,
    /// Whose.
    pub email: Email,
    /// Why, in words.
    pub reason: String,
}

/// Lets a suspended person's signatures count again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePerson {
    /// The workspace's `ledger` key.
    pub generation: GenerationId,
    /// Whose.
    pub email: Email,
    /// Why, in words.
    pub reason: String,
}

/// Stops a key, all its generations, from signing and issuing for the time being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspendKey {
    /// Its generation in use, or else its newest.
    pub generation: GenerationId,
    /// Why, in words.
    pub reason: String,
}

/// Ends the suspension of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReinstateKey {
    /// Its generation in use, or else its newest.
    pub generation: GenerationId,
    /// Why, in words.
    pub reason: String,
}

macro_rules! operations {
    ($($type:ident = $name:literal, $entry:literal $(, open: $open:expr)?;)*) => {$(
        impl $crate::request::Operation for $type {
            const NAME: &'static str = $name;
            const ENTRY: &'static str = $entry;
            const OPEN: &'static [&'static str] = $crate::request::operations!(@open $($open)?);
            fn generation(&self) -> &$crate::model::GenerationId { &self.generation }
        }
    )*};
    (@open) => { &[] };
    (@open $open:expr) => { &$open };
}
pub(crate) use operations;

operations! {
    GenerateKey = "keygen", "KEY_GENERATED";
    IssueCertificate = "issue", "CERTIFICATE_ISSUED", open: ["tbs_sha256"];
    CertifyOpenPgp = "certify", "OPENPGP_CERTIFIED", open: ["fingerprint", "plan"];
    PublishKeyring = "publish-keyring", "KEYRING_PUBLISHED", open: ["sha256", "fingerprints"];
    ChangeState = "state", "KEY_STATE_CHANGED";
    MakeCsr = "csr", "CSR_MADE", open: ["tbs_sha256"];
    ImportCertificate = "import", "CERTIFICATE_IMPORTED";
    SignArtifact = "sign", "PACKAGE_SIGNED";
    AdoptSettings = "adopt", "SETTINGS_ADOPTED";
    GiveGrant = "grant", "GRANT_GIVEN";
    EndGrant = "end-grant", "GRANT_ENDED";
    CloseFollowUp = "follow-up", "FOLLOW_UP_CLOSED";
    AdoptRoster = "roster", "ROSTER_ADOPTED";
    SuspendPerson = "suspend-person", "PERSON_SUSPENDED";
    RestorePerson = "restore-person", "PERSON_RESTORED";
    SuspendKey = "suspend", "KEY_SUSPENDED";
    ReinstateKey = "reinstate", "KEY_REINSTATED";
}

/// Operations whose orphans block a token until `recover` (design §2), each with the role of the key that holds it:
/// what is on that token, or what was issued with it, is not known. What a signing key may have signed meanwhile is
/// written down and blocks nothing.
pub const BLOCKING: &[(&str, Role)] = &[
    (GenerateKey::ENTRY, Role::ProofOfPossession),
    (IssueCertificate::ENTRY, Role::Issuer),
    (CertifyOpenPgp::ENTRY, Role::Issuer),
    (LinkRoots::ENTRY, Role::Issuer),
];
