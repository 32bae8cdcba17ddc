//! SHA-256 (FIPS 180-4) of two streams side by side.
//!
//! Within one stream each of the processor's SHA instructions waits for the one before. A second stream fits into the
//! gaps, so that two digests of a large file take little longer than one, and one core where there were two. No crate
//! offers that; rounds on other processors, and single streams, are those of the `sha2` crate.

use crate::model::Hash256;
use sha2::block_api::compress256;

const BLOCK: usize = 64;

/// A running digest.
#[derive(Clone, Debug)]
pub struct Sha256 {
    state: [u32; 8],
    /// The beginning of a block that is not full yet, as many bytes as `len` says.
    block: [u8; BLOCK],
    /// Bytes so far.
    len: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Sha256::new()
    }
}

impl Sha256 {
    /// Starts a digest.
    pub fn new() -> Self {
        // The first 32 bits of the fractional parts of the square roots of the first eight primes.
        let state =
            [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
        Sha256 { state, block: [0; BLOCK], len: 0 }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.begin(bytes).as_chunks();
        compress256(&mut self.state, blocks);
        self.keep(blocks.len(), rest);
    }

    /// The digest.
    pub fn finish(mut self) -> Hash256 {
        let bits = self.len.wrapping_mul(8);
        let mut padding = [0; 2 * BLOCK];
        let until_length = (BLOCK + 56 - 1 - self.filled()) % BLOCK + 1;
        if let Some(first) = padding.first_mut() {
            *first = 0x80;
        }
        self.update(padding.get(..until_length).unwrap_or_default());
        self.update(&bits.to_be_bytes());
        let mut digest = [0; 32];
        for (place, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *place = word.to_be_bytes();
        }
        Hash256(digest)
    }

    fn filled(&self) -> usize {
        // Less than a block.
        (self.len % BLOCK as u64) as usize
    }

    /// Fills up the block that was begun; gives the bytes behind it.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let filled = self.filled();
        if filled == 0 {
            return bytes;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - filled));
        if let Some(place) = self.block.get_mut(filled..filled + first.len()) {
            place.copy_from_slice(first);
        }
        self.len = self.len.wrapping_add(first.len() as u64);
        if self.filled() == 0 {
            compress256(&mut self.state, &[self.block]);
        }
        rest
    }

    /// Counts whole blocks that were compressed, and keeps what is behind them.
    fn keep(&mut self, blocks: usize, rest: &[u8]) {
        if let Some(place) = self.block.get_mut(..rest.len()).filter(|place| !place.is_empty()) {
            place.copy_from_slice(rest);
        }
        self.len = self.len.wrapping_add((blocks * BLOCK + rest.len()) as u64);
    }
}

/// Adds bytes to two digests, each its own.
pub fn update_both(a: &mut Sha256, x: &[u8], b: &mut Sha256, y: &[u8]) {
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (a.begin(x).as_chunks(), b.begin(y).as_chunks());
    let both = x_blocks.len().min(y_blocks.len());
    let ((x_first, x_more), (y_first, y_more)) = (x_blocks.split_at(both), y_blocks.split_at(both));
    compress_both(&mut a.state, x_first, &mut b.state, y_first);
    compress256(&mut a.state, x_more);
    compress256(&mut b.state, y_more);
    a.keep(x_blocks.len(), x_rest);
    b.keep(y_blocks.len(), y_rest);
}

/// Whether two streams on one core are faster than each on a core of its own.
pub fn pays() -> bool {
    #[cfg(target_arch = "x86_64")]
    return side_by_side::is_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// As many blocks of either.
#[allow(
    unsafe_code,
    reason = "a function for processors that have certain instructions, once it is known that they do"
)]
fn compress_both(a: &mut [u32; 8], x: &[[u8; BLOCK]], b: &mut [u32; 8], y: &[[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if side_by_side::is_available() {
        // SAFETY: the processor has every instruction that the function is compiled for.
        return unsafe { side_by_side::compress(a, x, b, y) };
    }
    compress256(a, x);
    compress256(b, y);
}

#[cfg(target_arch = "x86_64")]
mod side_by_side;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(bytes: &[u8]) -> Hash256 {
        Hash256::of(bytes)
    }

    #[test]
    fn the_examples_of_the_standard() {
        let digest = |text: &[u8]| {
            let mut hash = Sha256::new();
            hash.update(text);
            hash.finish().to_string()
        };
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(digest(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }

    #[test]
    fn every_length_around_a_block_is_padded_right() {
        let bytes: Vec<u8> = (0..300u16).map(|n| (n * 7) as u8).collect();
        for len in 0..bytes.len() {
            let mut hash = Sha256::new();
            hash.update(&bytes[..len]);
            assert_eq!(hash.finish(), reference(&bytes[..len]), "{len}");
        }
    }

    proptest! {
        #[test]
        fn two_streams_in_any_pieces_are_what_each_is_alone(
            pieces in proptest::collection::vec((0usize..700, 0usize..700), 0..12),
            seed in any::<u8>(),
        ) {
            let bytes = |len: usize, salt: u8| -> Vec<u8> {
                (0..len).map(|n| (n as u8).wrapping_mul(31).wrapping_add(salt)).collect()
            };
            let (mut a, mut b) = (Sha256::new(), Sha256::new());
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for (n, (first, second)) in pieces.into_iter().enumerate() {
                let (p, q) = (bytes(first, seed.wrapping_add(n as u8)), bytes(second, seed ^ 0x5a));
                update_both(&mut a, &p, &mut b, &q);
                x.extend(p);
                y.extend(q);
            }
            prop_assert_eq!(a.finish(), reference(&x));
            prop_assert_eq!(b.finish(), reference(&y));
        }
    }
}
