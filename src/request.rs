//! Requests: what is asked, fully resolved, as plain data with one canonical byte form. Approvers sign it,
//! `--dry-run` prints it, the ledger keeps it.

use crate::model::{Actor, CkaId, CorrelationId, GenerationId, HsmName, Mechanism, SpkiHash, Tbs};
use crate::people::approval::Participant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod artifact;
mod kind;
mod life;
mod making;
mod revocation;
mod rotation;
mod rules;

pub use crate::keys::rotation::ReviewDecision;
pub use crate::people::AdoptRoster;
pub use artifact::{
    Authentication, CabReference, FILE, FOLDER, Format, PackReference, Provenance, Resigns, SignArtifact, TIMESTAMP,
    rule_of,
};
pub use kind::{Kind, Moves, Visit};
pub use life::{DestroyKey, Doomed, UpdatePipeline};
pub use making::{
    CertifyOpenPgp, ChangeState, GenerateKey, ImportCertificate, IssueCertificate, MakeCsr, PublishKeyring,
};
pub use revocation::{ConfirmCrl, Dependent, IssueCrl, MarkArtifacts, NewCrl, RevokeKey};
pub use rotation::{ActivateKey, LinkRoots, PublishMetadata, ReviewKey, TestKey};
pub use rules::{
    AdoptSettings, CloseFollowUp, EndGrant, GiveGrant, ReinstateKey, RestorePerson, SetTime, SuspendKey, SuspendPerson,
};

/// A kind of act that the gate decides on. Each has its parameters; the marker keeps a permit for one act
/// from being used for another.
pub trait Operation: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The same as a value.
    const KIND: Kind;
    /// [`Kind::name`].
    const NAME: &'static str = Self::KIND.name();
    /// [`Kind::entry`].
    const ENTRY: &'static str = Self::KIND.entry();
    /// [`Kind::open`].
    const OPEN: &'static [&'static str] = Self::KIND.open();
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
    /// Which.
    pub operation: Kind,
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

impl<O: Operation> Request<O> {
    /// A request by this actor, with a fresh identifier, for an act that uses no key.
    pub fn new(object: String, params: O, actor: Actor, correlation_id: CorrelationId) -> Self {
        Request {
            request_id: uuid::Uuid::new_v4().to_string(),
            correlation_id,
            operation: O::KIND,
            object,
            actor,
            params,
            signatures: Vec::new(),
            approvals: Vec::new(),
            authority: None,
        }
    }
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
