//! What is asked for, as plain data: [`Options`] for a whole run, and what follows from it for each file.

use super::cab::CabFile;
use crate::error::shown;
use crate::formats::file::{Existing, Shape};
use crate::gate::Presented;
use crate::keys::{Copy, Identity};
use crate::model::{GenerationId, KeyName};
use crate::request::{self, Provenance};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What somebody wants signed, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The files, and folders of APT repositories.
    pub files: Vec<PathBuf>,
    /// A list of further files.
    pub files_from: Option<PathBuf>,
    /// Where signed forms go, if not in the place of the files.
    pub to: Option<PathBuf>,
    /// The key; the only one that fits, if none is named.
    pub key: Option<KeyName>,
    /// What shapes the signatures.
    pub shape: Shape,
    /// Each file takes the place of an artifact in the ledger.
    pub re_signs: bool,
    /// The evidence pack whose artifact the file is.
    pub pack: Option<PathBuf>,
    /// A folder of evidence packs, one for each file.
    pub packs: Option<PathBuf>,
    /// The approval of the change advisory board.
    pub cab: Option<CabFile>,
    /// Who built the files, as far as it is said.
    pub provenance: Provenance,
    /// Take what symlinks lead to.
    pub follow: bool,
    /// Whom to ask for timestamps.
    pub timestamps: Timestamps,
    /// It is a trial in a sandbox.
    pub is_sandboxed: bool,
    /// How many files at the same time.
    pub threads: usize,
    /// The command line without the files, as `run` repeats it.
    pub command: Vec<String>,
    /// What people agreed to, where it is that which is done.
    pub agreed: Option<Box<Presented>>,
}

/// What a run wants to have other than the settings say.
#[derive(Clone, Debug, Default)]
pub struct Timestamps {
    /// Ask these authorities, in this order.
    pub urls: Vec<String>,
    /// There is to be no timestamp.
    pub are_unwanted: bool,
    /// Trust the certificates in these files (PEM).
    pub roots: Vec<PathBuf>,
}

/// The key that will sign, with what goes along.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Its generation.
    pub generation: GenerationId,
    /// The identity in use.
    pub identity: Identity,
    /// The copy in use.
    pub copy: Copy,
    /// DER certificates for the signature: the signer's first, then its issuers without the root.
    pub chain: Vec<Vec<u8>>,
}

/// How each file of a run is signed.
#[derive(Clone, Debug, Default)]
pub struct SignOptions {
    /// What shapes the signature.
    pub shape: Shape,
    /// Take a symlink's target.
    pub follow: bool,
    /// Whether to compute the file's SHA-512 too.
    pub sha512: bool,
    /// Whether a timestamp will be asked for.
    pub timestamp: bool,
}

impl SignOptions {
    /// In words, as requests carry them.
    pub fn words(&self) -> BTreeMap<String, String> {
        let shape = &self.shape;
        let existing = match shape.existing {
            Existing::Refuse => None,
            Existing::Replace => Some("replace".to_owned()),
            Existing::Append => Some("append".to_owned()),
        };
        let words = [
            ("hash", Some(shape.hash.to_string())),
            ("existing", existing),
            ("page_hashes", shape.page_hashes.then(|| "yes".into())),
            ("program_name", shape.program_name.as_deref().map(shown)),
            ("program_url", shape.program_url.as_deref().map(shown)),
            (request::TIMESTAMP, self.timestamp.then(|| "rfc3161".into())),
        ];
        words.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}
