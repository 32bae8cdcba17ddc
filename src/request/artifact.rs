//! Signing an artifact: what it is, where it comes from, and what it rests on.

use super::Operation;
use crate::config::policy::Rule;
use crate::model::{GenerationId, Hash256};
use crate::people::ApprovalRequest;
use crate::people::cab::ApprovalId;
use crate::people::request::Step;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The option of a [`SignArtifact`] that says which kind of timestamp the signature gets; absent for none.
pub const TIMESTAMP: &str = "timestamp";

/// The option of a [`SignArtifact`] that says which folder an APT repository is.
pub const FOLDER: &str = "folder";

/// The option of a [`SignArtifact`] that says where the signed file will be, so that it can be found again; absent in
/// older intents, and where the name is not UTF-8.
pub const FILE: &str = "file";

crate::model::words! {
    /// How an artifact is built, and so how it is signed.
    Format: "format" {
        /// A Windows program or library; the signature is Authenticode's.
        Pe = "pe",
        /// An APT repository: a folder with a `Release`; its signatures are OpenPGP's.
        Apt = "apt",
    }
}

impl Format {
    /// What it is for, as evidence calls it.
    pub fn platform(self) -> &'static str {
        match self {
            Format::Pe => "windows",
            Format::Apt => "linux",
        }
    }

    /// Whether it is a folder whose files change while it stays the same thing, and not one file.
    pub fn is_repository(self) -> bool {
        match self {
            Format::Pe => false,
            Format::Apt => true,
        }
    }
}

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
    /// How it is built.
    pub format: Format,
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

impl SignArtifact {
    /// The folder of the repository, if it is one.
    pub fn repository(&self) -> Option<&str> {
        self.options.get(FOLDER).filter(|_| self.format.is_repository()).map(String::as_str)
    }

    /// Where the signed file is, if that is known and it is no repository.
    pub fn file(&self) -> Option<&str> {
        self.options.get(FILE).filter(|_| !self.format.is_repository()).map(String::as_str)
    }
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

/// The rule that the signatures of an approval request are counted by, from the one that the policy has for it. Where the board's approval of the files is given besides, that asks for
/// everyone else, and here the requester alone is enough.
pub fn rule_of(document: &ApprovalRequest, rule: Rule) -> Rule {
    let approved = |step: &Step| step.operation == SignArtifact::NAME && step.params.get("cab").is_some();
    match document.steps.iter().all(approved) {
        true => Rule { threshold: 1, must_include: Default::default(), ..rule },
        false => rule,
    }
}
