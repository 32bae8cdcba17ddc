//! Rounds of two streams with the SHA instructions of x86-64, one stream's beside the other's.

use super::BLOCK;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

/// Whether the processor has them.
pub fn is_available() -> bool {
    // Asked once; later it is one load.
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// The round constants, four to a row: the first 32 bits of the fractional parts of the cube roots of the first 64
/// primes.
const K: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Adds as many blocks to either state. What one slice has more than the other is left.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub fn compress(a: &mut [u32; 8], x: &[[u8; BLOCK]], b: &mut [u32; 8], y: &[[u8; BLOCK]]) {
    let (mut left, mut right) = (Lane::load(a), Lane::load(b));
    for (x, y) in x.iter().zip(y) {
        let (left_before, right_before) = (left, right);
        let (mut w, mut v) = (words(x), words(y));
        // Unrolled: each step takes the words of four rounds, and leaves those of sixteen rounds later in their place.
        macro_rules! four_rounds {
            ($($step:literal),*) => {$(
                let k = K[$step];
                let k = _mm_set_epi32(k[3] as i32, k[2] as i32, k[1] as i32, k[0] as i32);
                if $step >= 4 {
                    const AT: [usize; 4] = [$step % 4, ($step + 1) % 4, ($step + 2) % 4, ($step + 3) % 4];
                    w[AT[0]] = schedule([w[AT[0]], w[AT[1]], w[AT[2]], w[AT[3]]]);
                    v[AT[0]] = schedule([v[AT[0]], v[AT[1]], v[AT[2]], v[AT[3]]]);
                }
                let (m, n) = (_mm_add_epi32(w[$step % 4], k), _mm_add_epi32(v[$step % 4], k));
                left.cdgh = _mm_sha256rnds2_epu32(left.cdgh, left.abef, m);
                right.cdgh = _mm_sha256rnds2_epu32(right.cdgh, right.abef, n);
                left.abef = _mm_sha256rnds2_epu32(left.abef, left.cdgh, _mm_shuffle_epi32::<0x0e>(m));
                right.abef = _mm_sha256rnds2_epu32(right.abef, right.cdgh, _mm_shuffle_epi32::<0x0e>(n));
            )*};
        }
        four_rounds!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        left.add(left_before);
        right.add(right_before);
    }
    left.store(a);
    right.store(b);
}

/// The next four words of the message schedule from the last sixteen.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn schedule([w0, w1, w2, w3]: [__m128i; 4]) -> __m128i {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
    _mm_sha256msg2_epu32(sum, w3)
}

/// A block as sixteen big-endian words.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn words(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut words = [_mm_setzero_si128(); 4];
    for (place, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        let number = u128::from_le_bytes(*bytes);
        *place = _mm_shuffle_epi8(_mm_set_epi64x((number >> 64) as i64, number as i64), swap);
    }
    words
}

/// A state as the instructions want it.
#[derive(Clone, Copy)]
struct Lane {
    abef: __m128i,
    cdgh: __m128i,
}

impl Lane {
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn load(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> Self {
        let row = |w: [u32; 4]| _mm_set_epi32(w[0] as i32, w[1] as i32, w[2] as i32, w[3] as i32);
        Lane { abef: row([a, b, e, f]), cdgh: row([c, d, g, h]) }
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn add(&mut self, before: Lane) {
        self.abef = _mm_add_epi32(self.abef, before.abef);
        self.cdgh = _mm_add_epi32(self.cdgh, before.cdgh);
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn store(self, state: &mut [u32; 8]) {
        let Lane { abef, cdgh } = self;
        *state = [
            _mm_extract_epi32::<3>(abef) as u32,
            _mm_extract_epi32::<2>(abef) as u32,
            _mm_extract_epi32::<3>(cdgh) as u32,
            _mm_extract_epi32::<2>(cdgh) as u32,
            _mm_extract_epi32::<1>(abef) as u32,
            _mm_extract_epi32::<0>(abef) as u32,
            _mm_extract_epi32::<1>(cdgh) as u32,
            _mm_extract_epi32::<0>(cdgh) as u32,
        ];
    }
}
