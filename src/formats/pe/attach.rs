//! Putting a signature into an image and taking it out, as edits.
//!
//! The certificate table begins at the first multiple of 8 at or behind the image's last byte; up to 7 zeros go between,
//! and the signature covers them. So an image whose length is no multiple of 8 is longer after signing and removing
//! than it was, and nothing in the signed file says by how much; nor does it say what CheckSum and the data
//! directory held. [`Layout::original`] is what to remember about an image when it is first signed; with it
//! [`Layout::remove`] gives the original bytes. Without it the padding stays, the data directory becomes zero, and
//! CheckSum becomes right, or stays zero if it was.

use super::checksum::{Sums, fold, sum_at};
use super::{Layout, MAX_CERTIFICATES, MAX_TABLE, PAGE_SIZE, bad};
use crate::error::Result;
use crate::formats::file::Edits;
use crate::formats::{Edit, ReadAt};

/// One page hash with its offset, in bytes.
const PAGE_ENTRY: u64 = 36;
/// Sections and headers, each of which may end within a page.
const MAX_REGIONS: u64 = 1 << 16;

/// What signing changes in an unsigned image and a signed one no longer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Length, in bytes.
    pub len: u64,
    /// CheckSum.
    pub checksum: u32,
    /// The certificate table's data directory, as the eight bytes stand in the file.
    pub directory: [u8; 8],
}

impl Layout {
    /// What to remember of an image before its first signature; `None` if it has a certificate table already.
    pub fn original(&self) -> Option<Original> {
        self.table.is_none().then_some(Original {
            len: self.file_len,
            checksum: self.stored_checksum,
            directory: self.stored_directory,
        })
    }

    /// Whether a signature of this length, with page hashes or without, can go in: found out from the image's length
    /// alone, before it is read.
    ///
    /// # Errors
    /// `pe_too_large`.
    pub fn has_room_for(&self, signature: u64, page_hashes: bool) -> Result<()> {
        let end = self.data_end().next_multiple_of(8);
        let pages = if page_hashes { (end / PAGE_SIZE + MAX_REGIONS) * PAGE_ENTRY } else { 0 };
        match u32::try_from(end.saturating_add(signature).saturating_add(pages)) {
            Ok(_) => Ok(()),
            Err(_) => Err(bad(
                "pe_too_large",
                format!("with a signature the image has {end} bytes and more, beyond the 4 GiB that its fields reach"),
            )),
        }
    }

    /// Puts these signatures (DER, SignedData in a ContentInfo) into the image, one `WIN_CERTIFICATE` each, in the place of all it had.
    /// Appending to an image with several entries means to hand the others in again.
    ///
    /// # Errors
    /// Those of [`Self::signable`]; `pe_table_too_large`, `pe_too_many_certificates`; `pe_too_large` if the table
    /// would not end below 4 GiB, where its 32-bit fields end.
    pub fn attach_all(&self, signatures: &[&[u8]], sums: &Sums) -> Result<Edits> {
        self.signable()?;
        if signatures.len() > MAX_CERTIFICATES {
            return Err(bad("pe_too_many_certificates", format!("more than {MAX_CERTIFICATES} signatures")));
        }
        let mut table = Vec::new();
        for &signature in signatures {
            let length = signature.len().next_multiple_of(8) + 8;
            if length as u64 > MAX_TABLE || table.len() as u64 + length as u64 > MAX_TABLE {
                return Err(bad("pe_table_too_large", format!("the signatures need more than {MAX_TABLE} bytes")));
            }
            table.extend_from_slice(&(length as u32).to_le_bytes());
            table.extend_from_slice(&[0x00, 0x02, 0x02, 0x00]);
            table.extend_from_slice(signature);
            table.resize(table.len().next_multiple_of(8), 0);
        }
        let data_end = self.data_end();
        let start = data_end.next_multiple_of(8);
        let len = start + table.len() as u64;
        let too_large =
            || bad("pe_too_large", format!("with its signature the image has {len} bytes, more than 4 GiB"));
        u32::try_from(len).map_err(|_| too_large())?;
        let offset = u32::try_from(start).map_err(|_| too_large())?;
        let mut directory = [0; 8];
        for (to, from) in
            directory.iter_mut().zip(offset.to_le_bytes().into_iter().chain((table.len() as u32).to_le_bytes()))
        {
            *to = from;
        }
        let mut tail = vec![0; (start - data_end) as usize];
        tail.append(&mut table);
        Ok(self.edited(sums, None, directory, Edit { offset: data_end, bytes: tail }))
    }

    /// Takes all signatures out. With `original` the result is the image as it was before it was first signed.
    ///
    /// # Errors
    /// Those of [`Self::signable`]; `pe_not_signed`; `pe_original_mismatch` if `original` cannot be this image's.
    pub fn remove(&self, file: &dyn ReadAt, original: Option<&Original>, sums: &Sums) -> Result<Edits> {
        self.signable()?;
        let Some(table) = &self.table else {
            return Err(bad("pe_not_signed", "the image has no signature to remove"));
        };
        let Some(original) = original else {
            let checksum = (self.stored_checksum == 0).then_some(0);
            return Ok(self.edited(sums, checksum, [0; 8], Edit { offset: table.start, bytes: Vec::new() }));
        };
        let mismatch =
            |why: &str| bad("pe_original_mismatch", format!("what is known of the original does not fit: {why}"));
        let padding = table.start.checked_sub(original.len).filter(|padding| *padding < 8);
        let padding = padding.ok_or_else(|| mismatch("its length"))?;
        let mut zeros = vec![0; padding as usize];
        file.read_exact_at(original.len, &mut zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(mismatch("bytes behind its end are not zero"));
        }
        let end = Edit { offset: original.len, bytes: Vec::new() };
        Ok(self.edited(sums, Some(original.checksum), original.directory, end))
    }

    /// The edits for a directory, a tail that ends the file, and CheckSum: the one given, or the right one.
    fn edited(&self, sums: &Sums, checksum: Option<u32>, directory: [u8; 8], tail: Edit) -> Edits {
        let len = tail.offset + tail.bytes.len() as u64;
        let directory_at = self.directory_at.unwrap_or(0);
        let checksum = checksum.unwrap_or_else(|| {
            fold(sums.kept + sum_at(directory_at, &directory) + sum_at(tail.offset, &tail.bytes), len)
        });
        let mut edits = vec![
            Edit { offset: self.checksum_at, bytes: checksum.to_le_bytes().to_vec() },
            Edit { offset: directory_at, bytes: directory.to_vec() },
        ];
        edits.extend((!tail.bytes.is_empty()).then_some(tail));
        Edits { edits, len }
    }
}
