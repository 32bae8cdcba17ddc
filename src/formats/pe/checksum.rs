//! The CheckSum field: the 16-bit sum, with carries folded in, of the file's little-endian words, the field itself
//! counting as zero, plus the file's length.
//!
//! The sum is linear: a byte at an even offset counts as itself, one at an odd offset as 256 of itself. So the sum of
//! the bytes that stay is taken once, while the file is read, and what an edit adds is added to it afterwards;
//! the signed file need not be read again. Sums are kept whole (a file of 2⁴⁸ bytes fits in 64 bits) and folded last.

use super::Layout;
use crate::formats::Sink;
use std::ops::Range;

/// Sum of `bytes` as words, the first of them standing at `offset`.
pub(super) fn sum_at(offset: u64, bytes: &[u8]) -> u64 {
    let (head, words) = if offset % 2 == 1 { bytes.split_at(bytes.len().min(1)) } else { bytes.split_at(0) };
    head.iter().map(|byte| u64::from(*byte) << 8).sum::<u64>() + sum_words(words)
}

/// Sum of little-endian words; a last odd byte counts as a low one.
fn sum_words(bytes: &[u8]) -> u64 {
    const LANES: u64 = 0x0000_ffff_0000_ffff;
    let mut total = 0u64;
    // Four words at a time in two halves of 32 bits, which hold 2 × 16,384 words of 16 bits without a carry.
    for block in bytes.chunks(8 * 16_384) {
        let (eights, rest) = block.as_chunks::<8>();
        let lanes = eights.iter().fold(0u64, |sum, eight| {
            let four = u64::from_le_bytes(*eight);
            sum + (four & LANES) + ((four >> 16) & LANES)
        });
        total += (lanes & 0xffff_ffff) + (lanes >> 32);
        let (twos, last) = rest.as_chunks::<2>();
        total += twos.iter().map(|two| u64::from(u16::from_le_bytes(*two))).sum::<u64>();
        total += last.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    total
}

/// Folds a whole sum to 16 bits and adds the length.
pub(super) fn fold(mut sum: u64, file_len: u64) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The field has 32 bits, and so have the lengths of images that can be signed.
    (sum as u32).wrapping_add(file_len as u32)
}

/// What [`ChecksumSink`] found in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Over the bytes before the certificate table, without CheckSum and the table's data directory.
    pub(super) kept: u64,
    /// Over the whole file, without CheckSum.
    pub(super) whole: u64,
    file_len: u64,
}

impl Sums {
    /// The right value of CheckSum for the file that was read.
    pub fn checksum(&self) -> u32 {
        fold(self.whole, self.file_len)
    }
}

/// Sums up a file while it is read.
#[derive(Clone, Debug)]
pub struct ChecksumSink {
    field: Vec<Range<u64>>,
    skip: Vec<Range<u64>>,
    offset: u64,
    kept: u64,
    whole: u64,
}

impl ChecksumSink {
    /// For the image with this layout.
    pub fn new(layout: &Layout) -> Self {
        let mut skip = layout.skipped_fields();
        skip.extend(layout.table.as_ref().map(|table| table.start..u64::MAX));
        let field = skip.first().cloned().into_iter().collect();
        ChecksumSink { field, skip, offset: 0, kept: 0, whole: 0 }
    }

    /// The sums, once the whole file was fed.
    pub fn finish(self) -> Sums {
        Sums { kept: self.kept, whole: self.whole, file_len: self.offset }
    }
}

impl Sink for ChecksumSink {
    fn update(&mut self, bytes: &[u8]) {
        // Most chunks hold none of the ranges that are left out, so the two sums are one.
        let mut whole = sum_at(self.offset, bytes);
        let end = self.offset + bytes.len() as u64;
        let left_out = |ranges: &[Range<u64>]| -> u64 {
            ranges
                .iter()
                .map(|range| {
                    let (from, to) = (range.start.max(self.offset), range.end.min(end));
                    let part =
                        (from < to).then(|| bytes.get((from - self.offset) as usize..(to - self.offset) as usize));
                    part.flatten().map_or(0, |part| sum_at(from, part))
                })
                .sum()
        };
        let kept = whole - left_out(&self.skip);
        whole -= left_out(&self.field);
        self.kept += kept;
        self.whole += whole;
        self.offset = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_sum_is_the_plain_one() {
        let bytes: Vec<u8> = (0..300_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
        for (offset, len) in [(0u64, 300_001usize), (1, 300_000), (3, 1), (2, 0), (7, 131_073), (0, 131_072)] {
            let part = &bytes[..len];
            let plain = part.iter().zip(offset..).map(|(b, at)| u64::from(*b) << (8 * (at % 2))).sum::<u64>();
            assert_eq!(sum_at(offset, part), plain, "{offset} {len}");
        }
        assert_eq!(sum_words(&vec![0xff; 1 << 20]), 0xffff * (1 << 19));
    }
}
