use super::testing::{Builder, apply, measure};
use super::*;
use crate::formats::{Sink, feed};
use crate::model::HashAlgorithm::Sha256;
use proptest::prelude::*;
use sha2::{Digest, Sha256 as Sha};

fn code(image: &[u8]) -> &'static str {
    Layout::parse(&image.to_vec()).map(|_| ()).unwrap_err().code()
}

fn put(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Offset of the data directory of an image by the builder.
fn directory(builder: &Builder) -> usize {
    builder.e_lfanew as usize + 24 + if builder.plus { 144 } else { 128 }
}

/// The plain way: the whole file in memory, cut at the fields.
fn plain_digest(image: &[u8], builder: &Builder, end: usize) -> Vec<u8> {
    let (checksum, directory) = (builder.e_lfanew as usize + 24 + 64, directory(builder));
    let mut kept = [&image[..checksum], &image[checksum + 4..directory], &image[directory + 8..end]].concat();
    kept.resize(kept.len() + end.next_multiple_of(8) - end, 0);
    Sha::digest(&kept).to_vec()
}

/// The plain way: word by word with end-around carry.
fn plain_checksum(image: &[u8], checksum_at: usize) -> u32 {
    let mut image = image.to_vec();
    put(&mut image, checksum_at, 0);
    let len = image.len();
    image.resize(len.next_multiple_of(2), 0);
    let sum = image.chunks(2).fold(0u32, |sum, word| {
        let sum = sum + u32::from(u16::from_le_bytes([word[0], word[1]]));
        (sum & 0xffff) + (sum >> 16)
    });
    sum + len as u32
}

fn shapes() -> Vec<Builder> {
    let base = Builder::default();
    vec![
        base.clone(),
        Builder { plus: false, ..base.clone() },
        Builder { overlay: b"zip overlay of odd length".to_vec(), ..base.clone() },
        Builder { sections: vec![], overlay: vec![7; 3], ..base.clone() },
        Builder { e_lfanew: 0x81, overlay: vec![0xff; 5], ..base.clone() },
        Builder { directories: 5, plus: false, ..base.clone() },
        Builder { checksum: 0xdead_beef, directory: [0x1234, 0], ..base.clone() },
        Builder { size_of_headers: 0x1800, sections: vec![0x300_000], ..base },
    ]
}

#[test]
fn digest_and_checksum_are_those_of_the_plain_way() {
    for builder in shapes() {
        let image = builder.build();
        let (layout, digest, sums) = measure(&image, Sha256);
        let checksum_at = builder.e_lfanew as usize + 88;
        assert_eq!(digest, plain_digest(&image, &builder, image.len()), "{builder:?}");
        assert_eq!(sums.checksum(), plain_checksum(&image, checksum_at), "{builder:?}");

        let attached = layout.attach_all(&[&[0x30, 3, 2, 1, 5]], &sums).unwrap();
        let signed = apply(&image, &attached.edits, attached.len);
        let (layout, again, sums) = measure(&signed, Sha256);
        assert_eq!(again, digest, "signing does not change the digest: {builder:?}");
        assert_eq!(layout.stored_checksum(), plain_checksum(&signed, checksum_at), "{builder:?}");
        assert_eq!(sums.checksum(), layout.stored_checksum());
        assert_eq!(layout.certificates().len(), 1);
        assert!(layout.certificates()[0].is_authenticode());
        let table = layout.table().unwrap();
        assert_eq!((table.start % 8, table.end), (0, signed.len() as u64));
        let data = layout.read_certificate(&signed, &layout.certificates()[0]).unwrap();
        assert_eq!(data, [0x30, 3, 2, 1, 5, 0, 0, 0]);
    }
}

#[test]
fn small_pieces_give_the_same_as_one() {
    let image = Builder { overlay: vec![3; 4099], ..Builder::default() }.build();
    let (layout, digest, sums) = measure(&image, Sha256);
    let mut pages = PageHasher::new(&layout).unwrap();
    feed(&image, &mut [&mut pages]).unwrap();
    let pages = pages.finish();
    for step in [1, 2, 3, 7, 64, 4095, 4097] {
        let mut hasher = AuthenticodeHasher::new(&layout, Sha256);
        let (mut checksum, mut page) = (ChecksumSink::new(&layout), PageHasher::new(&layout).unwrap());
        for piece in image.chunks(step) {
            hasher.update(piece);
            checksum.update(piece);
            page.update(piece);
        }
        assert_eq!(hasher.finish(), digest, "{step}");
        assert_eq!(checksum.finish(), sums, "{step}");
        assert_eq!(page.finish(), pages, "{step}");
    }
}

#[test]
fn removing_gives_the_original_bytes_back() {
    for builder in shapes() {
        let image = builder.build();
        let (layout, _, sums) = measure(&image, Sha256);
        let original = layout.original().unwrap();
        let attached = layout.attach_all(&[&[0x30, 0x80, 0, 0]], &sums).unwrap();
        let signed = apply(&image, &attached.edits, attached.len);
        let (layout, _, sums) = measure(&signed, Sha256);
        assert_eq!(layout.original(), None);
        let removed = layout.remove(&signed, Some(&original), &sums).unwrap();
        assert_eq!(apply(&signed, &removed.edits, removed.len), image, "{builder:?}");

        let blind = layout.remove(&signed, None, &sums).unwrap();
        let blind = apply(&signed, &blind.edits, blind.len);
        assert_eq!(blind.len(), image.len().next_multiple_of(8), "the padding stays");
        let (layout, _, sums) = measure(&blind, Sha256);
        assert_eq!(layout.table(), None);
        assert_eq!(layout.stored_checksum(), sums.checksum());

        let wrong = Original { len: original.len + 8, ..original };
        let refused = measure(&signed, Sha256).0.remove(&signed, Some(&wrong), &sums).unwrap_err();
        assert_eq!(refused.code(), "pe_original_mismatch");
    }
}

#[test]
fn replacing_does_not_grow_the_file() {
    let mut file = Builder { overlay: vec![1; 11], ..Builder::default() }.build();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (layout, _, sums) = measure(&file, Sha256);
        let attached = layout.attach_all(&[&[9; 1001]], &sums).unwrap();
        file = apply(&file, &attached.edits, attached.len);
        sizes.push(file.len());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    let (layout, _, sums) = measure(&file, Sha256);
    let shorter = layout.attach_all(&[&[9; 10]], &sums).unwrap();
    let file = apply(&file, &shorter.edits, shorter.len);
    let (layout, _, sums) = measure(&file, Sha256);
    assert_eq!(layout.stored_checksum(), sums.checksum());
}

#[test]
fn several_certificates_are_kept_apart() {
    let image = Builder::default().build();
    let (layout, _, sums) = measure(&image, Sha256);
    let attached = layout.attach_all(&[&[1; 9], &[2; 16]], &sums).unwrap();
    let mut signed = apply(&image, &attached.edits, attached.len);
    let layout = Layout::parse(&signed).unwrap();
    let sizes: Vec<_> = layout.certificates().iter().map(|entry| entry.data.end - entry.data.start).collect();
    assert_eq!(sizes, [16, 16]);
    let second = layout.certificates()[1].data.start as usize;
    signed[second - 2] = 1;
    let layout = Layout::parse(&signed).unwrap();
    assert_eq!(layout.findings()[0].code, "pe_other_certificate");
    assert!(!layout.certificates()[1].is_authenticode());
    let many = [&[1u8; 8][..]; 17];
    assert_eq!(layout.attach_all(&many, &sums).unwrap_err().code(), "pe_too_many_certificates");
}

#[test]
fn other_executables_are_named() {
    let mut image = Builder::default().build();
    for (signature, expected) in [(b"NE", "pe_ne"), (b"LE", "pe_le"), (b"LX", "pe_le"), (b"??", "pe_dos")] {
        image[0x80..0x82].copy_from_slice(signature);
        assert_eq!(code(&image), expected);
    }
    put(&mut image, 0x3c, u32::MAX);
    assert_eq!(code(&image), "pe_dos");
    assert_eq!(code(b"MZ"), "pe_dos");
    assert_eq!(code(b"\x7fELF"), "pe_not_pe");
    assert_eq!(code(b"M"), "pe_truncated");
}

#[test]
fn impossible_tables_are_refused_with_their_field() {
    let base = Builder::default();
    let len = base.build().len() as u32;
    for (directory, expected) in [
        ([0, 8], "pe_bad_directory"),
        ([len, 8], "pe_table_beyond_end"),
        ([u32::MAX, u32::MAX], "pe_table_beyond_end"),
        ([len - 8, 16], "pe_table_beyond_end"),
        ([0x100, 64], "pe_table_overlaps_headers"),
        ([8, len - 8], "pe_table_overlaps_headers"),
    ] {
        assert_eq!(code(&Builder { directory, ..base.clone() }.build()), expected, "{directory:?}");
    }
    let small = Builder { size_of_optional_header: Some(0x90), ..base.clone() };
    assert_eq!(code(&small.build()), "pe_bad_header");
    let four = Builder { directories: 4, size_of_optional_header: Some(240), ..base }.build();
    let (layout, _, sums) = measure(&four, Sha256);
    assert_eq!(layout.attach_all(&[&[1]], &sums).unwrap_err().code(), "pe_no_security_directory");
}

#[test]
fn odd_tables_are_reported_and_not_signed() {
    let base = Builder { overlay: vec![0; 64], ..Builder::default() };
    let len = base.build().len() as u32;
    for (directory, finding) in [([len - 64, 56], "pe_bytes_after_table"), ([len - 60, 60], "pe_table_unaligned")] {
        let image = Builder { directory, ..base.clone() }.build();
        let (layout, _, sums) = measure(&image, Sha256);
        assert!(layout.findings().iter().any(|found| found.code == finding), "{:?}", layout.findings());
        assert_eq!(layout.attach_all(&[&[1]], &sums).unwrap_err().code(), finding);
        assert_eq!(layout.remove(&image, None, &sums).unwrap_err().code(), finding);
    }
    let mut entries = base.clone();
    entries.directory = [len - 64, 64];
    for length in [7, 65, u32::MAX] {
        entries.overlay[..4].copy_from_slice(&u32::to_le_bytes(length));
        assert_eq!(code(&entries.build()), "pe_bad_certificate", "{length}");
    }
    let full = Builder { overlay: [8, 0, 0, 0, 0, 2, 2, 0].repeat(17), directory: [len - 64, 136], ..base };
    assert_eq!(code(&full.build()), "pe_too_many_certificates");
}

#[test]
fn bytes_behind_a_table_change_the_digest() {
    let image = Builder::default().build();
    let (layout, digest, sums) = measure(&image, Sha256);
    let attached = layout.attach_all(&[&[1; 8]], &sums).unwrap();
    let mut signed = apply(&image, &attached.edits, attached.len);
    signed.push(0);
    assert_ne!(measure(&signed, Sha256).1, digest);
}

#[test]
fn page_hashes_cover_headers_sections_and_end() {
    let builder = Builder::default();
    let image = builder.build();
    let (layout, ..) = measure(&image, Sha256);
    let mut hasher = PageHasher::new(&layout).unwrap();
    feed(&image, &mut [&mut hasher]).unwrap();
    let mut plain = Vec::new();
    let mut entry = |offset: u32, bytes: Vec<u8>| {
        plain.extend(offset.to_le_bytes());
        plain.extend(Sha::digest(&bytes));
    };
    let directory = directory(&builder);
    let headers = [&image[..0xd8], &image[0xdc..directory], &image[directory + 8..0x400], &[0; 0xc00]].concat();
    entry(0, headers);
    entry(0x400, [&image[0x400..0x600], &[0; 0xe00]].concat());
    entry(0x600, image[0x600..0x1600].to_vec());
    entry(0x1600, [&image[0x1600..0x1c00], &[0; 0xa00]].concat());
    plain.extend(0x1c00u32.to_le_bytes());
    plain.extend([0; 32]);
    assert_eq!(hasher.finish().table, plain);

    let mut narrow = image.clone();
    put(&mut narrow, 0x80 + 24 + 32, 0x200);
    let large = Builder { size_of_headers: 0x1200, ..builder }.build();
    for refused in [narrow, large] {
        let refused = PageHasher::new(&Layout::parse(&refused).unwrap()).unwrap_err();
        assert_eq!(refused.code(), "pe_page_hash_layout");
    }
}

#[test]
fn a_file_is_read_like_bytes() {
    let image = Builder::default().build();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &image).unwrap();
    let layout = Layout::parse(&file).unwrap();
    let mut hasher = AuthenticodeHasher::new(&layout, Sha256);
    feed(&file, &mut [&mut hasher]).unwrap();
    assert_eq!(hasher.finish(), measure(&image, Sha256).1);
    assert_eq!(file.read_exact_at(image.len() as u64 - 1, &mut [0; 2]).unwrap_err().code(), "file_truncated");
    assert_eq!(image.read_exact_at(u64::MAX, &mut [0; 2]).unwrap_err().code(), "file_truncated");
}

#[test]
fn every_truncation_is_an_error_or_harmless() {
    let image = Builder { directory: [0x1c00, 0x40], overlay: vec![0; 0x40], ..Builder::default() }.build();
    for end in 0..image.len() {
        assert!(Layout::parse(&image[..end].to_vec()).is_err(), "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_headers_never_panic(
        changes in proptest::collection::vec((0usize..0x400, any::<u8>()), 1..12),
        fields in proptest::collection::vec((0usize..0x3fd, prop_oneof![Just(0u32), Just(u32::MAX), any::<u32>(), 0u32..0x2000]), 0..4),
        cut in 0usize..0x1c40,
    ) {
        let mut image = Builder { directory: [0x1c00, 0x40], overlay: vec![0; 0x40], ..Builder::default() }.build();
        for (at, value) in fields {
            put(&mut image, at, value);
        }
        for (at, value) in changes {
            image[at] = value;
        }
        image[..2].copy_from_slice(b"MZ");
        image.truncate(image.len() - cut / 8);
        if let Ok(layout) = Layout::parse(&image) {
            let (mut hasher, mut sums) = (AuthenticodeHasher::new(&layout, Sha256), ChecksumSink::new(&layout));
            let mut sinks: Vec<&mut dyn Sink> = vec![&mut hasher, &mut sums];
            let mut pages = PageHasher::new(&layout).ok();
            sinks.extend(pages.iter_mut().map(|pages| pages as &mut dyn Sink));
            feed(&image, &mut sinks).unwrap();
            hasher.finish();
            let sums = sums.finish();
            if let Ok(attached) = layout.attach_all(&[&[5; 20]], &sums) {
                let signed = apply(&image, &attached.edits, attached.len);
                prop_assert_eq!(measure(&signed, Sha256).0.certificates().len(), 1);
            }
            let _ = layout.remove(&image, layout.original().as_ref(), &sums);
        }
    }
}
