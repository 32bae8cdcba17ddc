//! Who signs, and what shapes the signature.

use crate::error::shown;
use crate::formats::authenticode::OpusInfo;
use crate::keys::{Copy, Identity};
use crate::model::{GenerationId, HashAlgorithm};
use crate::request;
use std::collections::BTreeMap;

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

/// What to do with signatures that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse the file.
    #[default]
    Refuse,
    /// Take them out and put ours in their place.
    Replace,
    /// Nest ours into the first one.
    Append,
}

/// What shapes a signature.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// Digest algorithm.
    pub hash: HashAlgorithm,
    /// Signatures that are there already.
    pub existing: Existing,
    /// Whether to add page hashes (PE).
    pub page_hashes: bool,
    /// Program name and URL shown by Windows.
    pub opus: OpusInfo,
    /// Take a symlink's target.
    pub follow: bool,
    /// Whether to compute the file's SHA-512 too.
    pub sha512: bool,
    /// Whether a timestamp will be asked for ([`Prepared::sign_and_stamp`]).
    pub timestamp: bool,
}

impl Default for SignOptions {
    fn default() -> Self {
        SignOptions {
            hash: HashAlgorithm::Sha256,
            existing: Existing::Refuse,
            page_hashes: false,
            opus: OpusInfo::default(),
            follow: false,
            sha512: false,
            timestamp: false,
        }
    }
}

/// What shapes a signature, in words that requests carry.
pub fn option_words(options: &SignOptions) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| value.map(|value| words.insert(name.to_owned(), value));
    put("hash", Some(options.hash.to_string()));
    put(
        "existing",
        match options.existing {
            Existing::Refuse => None,
            Existing::Replace => Some("replace".into()),
            Existing::Append => Some("append".into()),
        },
    );
    put("page_hashes", options.page_hashes.then(|| "yes".into()));
    put("program_name", options.opus.program_name.as_deref().map(shown));
    put("program_url", options.opus.url.as_deref().map(shown));
    put(request::TIMESTAMP, options.timestamp.then(|| "rfc3161".into()));
    words
}
