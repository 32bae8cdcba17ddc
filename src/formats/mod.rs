//! The bytes of what is signed: a format detects, prepares, says what is to be signed, attaches a signature, reads
//! signatures back and verifies them. It reads what was opened for it and answers with edits or with bytes. What asks
//! for permission, holds a key, waits, speaks to a network, or makes, names or replaces a file does not live here; that
//! is done in `signing`, with what the formats say.
//!
//! Files are met in two ways. Structure is read through [`ReadAt`], a few bytes at checked offsets. Content is read
//! once, from the first byte to the last, and handed to any number of [`Sink`]s (a digest, a checksum, page hashes)
//! while a copy is written, so that neither memory nor the number of passes grows with the file. A single file's format
//! stands behind [`file::Format`]; an APT repository ([`apt`]) is a folder and has answers of its own.
//!
//! Everything here comes from outside and may be hostile: lengths are bounded, offsets are added with checks, and an
//! error names the field it is about.

use crate::crypto::sha256::Sha256;
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

pub mod apt;
pub mod authenticode;
pub mod cms;
pub mod detect;
pub mod fan;
pub mod file;
pub mod hasher;
pub mod pe;
#[cfg(test)]
pub(crate) mod testing;
pub mod timestamp;
pub mod tlv;
pub mod verify;

pub use crate::files::Edit;

/// A file, or bytes standing for one, that is read at offsets.
#[allow(clippy::len_without_is_empty, reason = "an empty file is one more malformed file")]
pub trait ReadAt {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `file_truncated` if the file ends before the buffer is full, `file_unreadable` if it cannot be read.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// `file_unreadable`.
    fn len(&self) -> Result<u64>;
}

impl ReadAt for File {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        FileExt::read_exact_at(self, buffer, offset).map_err(|error| {
            let (code, what) = match error.kind() {
                std::io::ErrorKind::UnexpectedEof => ("file_truncated", "the file ends"),
                _ => ("file_unreadable", "the file cannot be read"),
            };
            let message = format!("{what} within the {} bytes at offset {offset}", buffer.len());
            Error::failed(code, message).because(error)
        })
    }

    fn len(&self) -> Result<u64> {
        let data = self.metadata().or_failed("file_unreadable", || "the file's length cannot be read".into())?;
        Ok(data.len())
    }
}

impl ReadAt for &[u8] {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?)).ok_or_else(|| {
            let message = format!("the file ends within the {} bytes at offset {offset}", buffer.len());
            Error::failed("file_truncated", message)
        })?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.as_slice().read_exact_at(offset, buffer)
    }

    fn len(&self) -> Result<u64> {
        ReadAt::len(&self.as_slice())
    }
}

/// Takes a file's bytes in order, from offset 0 to the end, each exactly once.
pub trait Sink: Send {
    /// The next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// Whether this is a SHA-256 of (most of) the file: two of those share a thread, since the processor computes both
    /// in little more time than one.
    fn is_sha256(&self) -> bool {
        false
    }

    /// Instead of [`Sink::update`], where the next bytes do nothing but go into one SHA-256: gives it with what goes
    /// into it, for the caller to add. Where it gives nothing, the bytes were not taken.
    fn part<'a>(&'a mut self, _bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
        None
    }
}

/// Reads the whole file once and hands every byte to every sink.
///
/// # Errors
/// Those of [`ReadAt`].
pub fn feed(file: &dyn ReadAt, sinks: &mut [&mut dyn Sink]) -> Result<()> {
    const CHUNK: u64 = crate::files::BUFFER as u64;
    let len = file.len()?;
    fan::fan_out(len, sinks, |give| {
        let mut buffer = vec![0; CHUNK.min(len) as usize];
        let mut offset = 0;
        while offset < len {
            let take = (len - offset).min(CHUNK) as usize;
            let chunk = buffer.get_mut(..take).unwrap_or_default();
            file.read_exact_at(offset, chunk)?;
            give(chunk);
            offset += take as u64;
        }
        Ok(())
    })
}
