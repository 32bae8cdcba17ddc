//! A running digest whose algorithm is known at run time.

use super::Sink;
use crate::crypto::sha256::Sha256;
use crate::model::HashAlgorithm;
use sha2::{Digest, Sha384, Sha512};

/// A digest that is fed piece by piece. As a [`Sink`] it is the digest of a whole file.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384.
    Sha384(Sha384),
    /// SHA-512.
    Sha512(Sha512),
}

impl Hasher {
    /// Starts a digest.
    pub fn new(hash: HashAlgorithm) -> Self {
        match hash {
            HashAlgorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            HashAlgorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            HashAlgorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// The digest of all that was fed.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Hasher::Sha256(state) => state.finish().0.to_vec(),
            Hasher::Sha384(state) => state.finalize().to_vec(),
            Hasher::Sha512(state) => state.finalize().to_vec(),
        }
    }
}

impl Sink for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        Sha256::update(self, bytes);
    }

    fn is_sha256(&self) -> bool {
        true
    }

    fn part<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
        Some((self, bytes))
    }
}

impl Sink for Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(state) => state.update(bytes),
            Hasher::Sha384(state) => state.update(bytes),
            Hasher::Sha512(state) => state.update(bytes),
        }
    }

    fn is_sha256(&self) -> bool {
        matches!(self, Hasher::Sha256(_))
    }

    fn part<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
        match self {
            Hasher::Sha256(state) => Some((state, bytes)),
            Hasher::Sha384(_) | Hasher::Sha512(_) => None,
        }
    }
}
