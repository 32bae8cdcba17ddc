//! Page hashes: a table of file offsets and digests, one for each page of the image, that lets a loader check pages
//! as they come in.
//!
//! The first entry covers the headers up to SizeOfHeaders without the two fields no signature covers, then come the
//! sections' raw data page by page, then the end of the last section with a digest of zeros. A short page is filled
//! up with zeros. A page has 4096 bytes whatever SectionAlignment says (Microsoft's own images show it). Offsets are
//! 32-bit little-endian. The table travels in SpcPeImageData as an SpcSerializedObject of version 1 (SHA-1, recognised
//! only) or 2 (SHA-256).

use super::digest::outside;
use super::{Layout, bad};
use crate::error::Result;
use crate::formats::Sink;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;

/// Which digest a table of page hashes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageHashVersion {
    /// SHA-1, `1.3.6.1.4.1.311.2.3.1`; read and reported, neither made nor checked.
    V1,
    /// SHA-256, `1.3.6.1.4.1.311.2.3.2`.
    V2,
}

/// A table of page hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageHashes {
    /// Its digest.
    pub version: PageHashVersion,
    /// Offset and digest, again and again.
    pub table: Vec<u8>,
}

/// Computes a version 2 table while a file is read. The table takes 36 bytes of memory for each page of the image.
#[derive(Clone, Debug)]
pub struct PageHasher {
    /// Headers, then sections, apart and in the order of the file.
    regions: Vec<Range<u64>>,
    skip: Vec<Range<u64>>,
    offset: u64,
    region: usize,
    page: Option<(u64, Sha256)>,
    table: Vec<u8>,
}

impl PageHasher {
    /// For the image with this layout.
    ///
    /// # Errors
    /// `pe_page_hash_layout`: headers longer than a page, sections aligned to less than one, that overlap, stand in
    /// another order than their data or reach past the image's end. Verifiers disagree about such images.
    pub fn new(layout: &Layout) -> Result<Self> {
        let refuse = |why: &str| bad("pe_page_hash_layout", format!("page hashes are not made for this image: {why}"));
        if layout.size_of_headers > PAGE_SIZE || layout.size_of_headers < layout.headers_end {
            return Err(refuse(&format!("SizeOfHeaders is {}", layout.size_of_headers)));
        }
        if u64::from(layout.section_alignment) < PAGE_SIZE {
            return Err(refuse(&format!("SectionAlignment is {}", layout.section_alignment)));
        }
        let mut end = 0;
        let headers = 0..layout.size_of_headers;
        let regions: Vec<_> = std::iter::once(headers).chain(layout.sections.iter().cloned()).collect();
        for region in &regions {
            if region.start < end {
                return Err(refuse("sections overlap or are out of order"));
            }
            end = region.end;
        }
        if end > layout.data_end() {
            return Err(refuse("a section reaches past the end of the image"));
        }
        Ok(PageHasher { regions, skip: layout.skipped_fields(), offset: 0, region: 0, page: None, table: Vec::new() })
    }

    /// The table, once the whole file was fed.
    pub fn finish(mut self) -> PageHashes {
        let end = self.regions.last().map_or(0, |region| region.end);
        self.entry(end, [0; 32]);
        PageHashes { version: PageHashVersion::V2, table: self.table }
    }

    fn entry(&mut self, offset: u64, digest: [u8; 32]) {
        // Section offsets come from 32-bit fields.
        self.table.extend_from_slice(&(offset as u32).to_le_bytes());
        self.table.extend_from_slice(&digest);
    }

    /// Takes bytes that lie in one page; `ends` if they are its last.
    fn page_part(&mut self, start: u64, bytes: &[u8], ends: Option<u64>) {
        let (_, state) = self.page.get_or_insert_with(|| (start, Sha256::new()));
        outside(&self.skip, self.offset, bytes, |part| state.update(part));
        if let (Some(filled), Some((start, mut state))) = (ends, ends.and_then(|_| self.page.take())) {
            state.update([0; PAGE_SIZE as usize].get(filled as usize..).unwrap_or_default());
            self.entry(start, state.finalize().into());
        }
    }
}

impl Sink for PageHasher {
    fn update(&mut self, mut bytes: &[u8]) {
        while let Some(region) = self.regions.get(self.region).cloned() {
            if self.offset < region.start {
                let gap = (region.start - self.offset).min(bytes.len() as u64);
                bytes = bytes.get(gap as usize..).unwrap_or_default();
                self.offset += gap;
            }
            if bytes.is_empty() {
                return;
            }
            let start = region.start + (self.offset - region.start) / PAGE_SIZE * PAGE_SIZE;
            let page_end = (start + PAGE_SIZE).min(region.end);
            let take = (page_end - self.offset).min(bytes.len() as u64);
            let (part, rest) = bytes.split_at_checked(take as usize).unwrap_or((bytes, &[]));
            let ends = (self.offset + take == page_end).then(|| page_end - start);
            self.page_part(start, part, ends);
            self.offset += take;
            bytes = rest;
            if self.offset == region.end {
                self.region += 1;
            }
        }
    }
}
