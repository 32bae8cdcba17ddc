//! The Authenticode digest of an image, in one sequential pass.

use super::Layout;
use crate::crypto::sha256::Sha256;
use crate::formats::Sink;
use crate::formats::hasher::Hasher;
use crate::model::HashAlgorithm;
use std::ops::Range;

/// Hands the parts of a chunk that lie outside `skip` (sorted, apart) to `use_part`.
pub(super) fn outside(skip: &[Range<u64>], offset: u64, bytes: &[u8], mut use_part: impl FnMut(&[u8])) {
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    let mut part = |from: u64, to: u64| {
        // Both lie between `offset` and `end`, so the differences fit.
        if let Some(part) = bytes.get((from - offset) as usize..(to - offset) as usize).filter(|part| !part.is_empty())
        {
            use_part(part);
        }
    };
    for range in skip.iter().filter(|range| range.end > offset && range.start < end) {
        part(at, range.start.max(at));
        at = range.end.min(end).max(at);
    }
    part(at, end);
}

/// Digest of a PE image as Authenticode defines it: everything but CheckSum, the certificate table's data directory
/// and the table.
///
/// An image without a table is padded with zeros to a multiple of 8, since that is where the table will begin; the
/// padding is part of the signed file. Bytes behind a table are hashed, so that nobody can add some unnoticed.
#[derive(Clone, Debug)]
pub struct AuthenticodeHasher {
    hash: HashAlgorithm,
    state: Hasher,
    skip: Vec<Range<u64>>,
    padding: usize,
    offset: u64,
}

impl AuthenticodeHasher {
    /// For the image with this layout.
    pub fn new(layout: &Layout, hash: HashAlgorithm) -> Self {
        let mut skip = layout.skipped_fields();
        skip.extend(layout.table());
        let padding = match layout.table() {
            Some(_) => 0,
            None => (layout.file_len.next_multiple_of(8) - layout.file_len) as usize,
        };
        AuthenticodeHasher { hash, state: Hasher::new(hash), skip, padding, offset: 0 }
    }

    /// With which algorithm.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.hash
    }

    /// The digest, once the whole file was fed.
    pub fn finish(mut self) -> Vec<u8> {
        self.state.update([0; 8].get(..self.padding).unwrap_or_default());
        self.state.finish()
    }
}

impl Sink for AuthenticodeHasher {
    fn update(&mut self, bytes: &[u8]) {
        outside(&self.skip, self.offset, bytes, |part| self.state.update(part));
        self.offset += bytes.len() as u64;
    }

    fn is_sha256(&self) -> bool {
        self.state.is_sha256()
    }

    fn part<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
        let end = self.offset + bytes.len() as u64;
        if self.skip.iter().any(|range| range.end > self.offset && range.start < end) {
            return None;
        }
        let part = self.state.part(bytes)?;
        self.offset = end;
        Some(part)
    }
}
