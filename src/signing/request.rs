//! The request to sign something, put together in the same way whatever it is.

use super::cab::{self, Cab};
use super::options::Options;
use super::pack::{self, Packs};
use super::re_sign;
use crate::error::Result;
use crate::gate::Presented;
use crate::keys::Copy;
use crate::model::{GenerationId, Hash256, SpkiHash, Tbs, hex};
use crate::people::ApprovalRequest;
use crate::request::{Covered, Format, Provenance, Request, Role, SignArtifact};
use crate::world::World;
use std::collections::BTreeMap;

/// What is the same for everything that one run signs.
#[derive(Debug)]
pub(super) struct Terms {
    /// The evidence packs that were given.
    pub packs: Packs,
    /// Who built the files.
    pub provenance: Option<Provenance>,
    /// The approval that the signatures rest on.
    pub cab: Option<Cab>,
    /// Whether each file takes the place of one in the ledger.
    pub re_signs: bool,
    /// It is a trial in a sandbox.
    pub is_sandboxed: bool,
    /// The command line without the files.
    pub command: Vec<String>,
    /// What people agreed to, if it is that which is done.
    pub agreed: Option<Box<Presented>>,
}

impl Terms {
    /// Reads what the options name.
    ///
    /// # Errors
    /// A file cannot be read, or does not say what it should.
    pub fn of(options: &Options) -> Result<Self> {
        Ok(Terms {
            packs: Packs::read(options.pack.as_deref(), options.packs.as_deref())?,
            provenance: pack::provenance(&options.provenance),
            cab: options.cab.as_ref().map(cab::given).transpose()?,
            re_signs: options.re_signs,
            is_sandboxed: options.is_sandboxed,
            command: options.command.clone(),
            agreed: options.agreed.clone(),
        })
    }

    /// What people signed, if they did.
    pub fn agreed(&self) -> Option<&ApprovalRequest> {
        self.agreed.as_deref().map(Presented::document)
    }
}

/// What is to be signed, as it is now.
pub(super) struct Subject {
    /// Its name, escaped.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// SHA-256.
    pub hash_before: Hash256,
    /// Length in bytes.
    pub size_before: u64,
    /// The digest of what the signature covers, with its algorithm.
    pub content_digest: String,
    /// SHA-512, if it was wanted.
    pub sha512_before: Option<String>,
    /// What shapes the signature.
    pub options: BTreeMap<String, String>,
    /// What verification will note about it, for the operator.
    pub notes: Vec<String>,
}

/// Which generations sign.
pub(super) struct Generations<'a> {
    /// The active one.
    pub active: &'a GenerationId,
    /// Older ones that sign along.
    pub cosigners: &'a [GenerationId],
}

/// The request; what there is to note about the subject is said. `known_as` is the hash by which the ledger may know an artifact whose place it takes.
///
/// # Errors
/// It is to take the place of an artifact that the ledger does not know; no evidence pack is for it.
pub(super) fn request(
    world: &World,
    terms: &Terms,
    generations: &Generations<'_>,
    subject: Subject,
    known_as: &Hash256,
) -> Result<Request<SignArtifact>> {
    for note in &subject.notes {
        world.ui().warn(&format!("{}: {note}", subject.name));
    }
    let found = || re_sign::found(world, known_as, &subject.content_digest);
    let resigns = terms.re_signs.then(found).transpose()?;
    let params = SignArtifact {
        generation: generations.active.clone(),
        cosigners: generations.cosigners.to_vec(),
        artifact_id: uuid::Uuid::new_v4().to_string(),
        name: subject.name,
        format: subject.format,
        hash_before: subject.hash_before,
        size_before: subject.size_before,
        content_digest: subject.content_digest,
        pack: terms.packs.of(&subject.hash_before, subject.sha512_before.as_deref())?,
        sha512_before: subject.sha512_before,
        provenance: terms.provenance.clone(),
        options: subject.options,
        cab: terms.cab.as_ref().map(|cab| cab.reference.clone()),
        resigns,
    };
    Ok(world.request(subject.hash_before.to_string(), params))
}

/// One signature by this copy of a key over exactly this.
pub(super) fn covered(spki: SpkiHash, copy: &Copy, tbs: &Tbs) -> Covered {
    Covered {
        role: Role::Artifact,
        spki_sha256: Some(spki),
        hsm: copy.hsm.clone(),
        cka_id: copy.cka_id.clone(),
        mechanism: tbs.mechanism(),
        content: hex(&tbs.content()),
        count: 1,
    }
}
