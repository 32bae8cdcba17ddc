//! Portable Executable images (exe, dll, sys, efi, winmd, …), as Microsoft's "PE Format" and "Windows Authenticode
//! Portable Executable Signature Format" describe them.
//!
//! A signature needs to know very little of an image: where the CheckSum field, the fifth data directory and the
//! attribute certificate table are. All else is hashed as it stands, by file ranges. The section table is *not* what
//! says which bytes are hashed: real files have gaps, overlays, last sections that are cut short and a SizeOfHeaders
//! that lies; it is read for page hashes and for findings only.
//!
//! [`Layout::parse`] refuses what cannot be understood. What can be understood but is odd becomes a [`Finding`]:
//! verification reports it, and [`Layout::signable`] refuses those that would make a new signature unsound.
//!
//! Offsets, sums, digests and edits live here. What a signature holds does not: to an image it is bytes in a table.

use super::ReadAt;
use super::file::Finding;
use crate::error::{Error, Result};
use std::ops::Range;

mod attach;
mod checksum;
mod digest;
mod pages;
#[cfg(test)]
pub(crate) mod testing;

pub use attach::Original;
pub use checksum::{ChecksumSink, Sums};
pub use digest::AuthenticodeHasher;
pub use pages::{PAGE_SIZE, PageHashVersion, PageHasher, PageHashes};

/// Largest attribute certificate table that is read or written, in bytes.
pub const MAX_TABLE: u64 = 64 << 20;
/// Most entries of an attribute certificate table.
pub const MAX_CERTIFICATES: usize = 16;
/// Data directories before, and with, the one for the certificate table.
const SECURITY_DIRECTORY: u32 = 4;

/// Where the parts of one image are that signing is about. Offsets and lengths in bytes from the start of the file.
#[derive(Clone, Debug)]
pub struct Layout {
    file_len: u64,
    plus: bool,
    checksum_at: u64,
    directory_at: Option<u64>,
    directories: u32,
    stored_checksum: u32,
    stored_directory: [u8; 8],
    size_of_headers: u64,
    section_alignment: u32,
    headers_end: u64,
    sections: Vec<Range<u64>>,
    table: Option<Range<u64>>,
    certificates: Vec<WinCertificate>,
    findings: Vec<Finding>,
}

/// One entry of the attribute certificate table (`WIN_CERTIFICATE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WinCertificate {
    /// Where `bCertificate` is.
    pub data: Range<u64>,
    /// `wRevision`.
    pub revision: u16,
    /// `wCertificateType`.
    pub kind: u16,
}

impl WinCertificate {
    /// A PKCS#7 SignedData in the one revision in use: an Authenticode signature.
    pub fn is_authenticode(&self) -> bool {
        self.kind == 2 && self.revision == 0x0200
    }
}

fn bad(code: &'static str, message: impl Into<String>) -> Error {
    Error::failed(code, message)
}

fn array<const N: usize>(file: &dyn ReadAt, offset: u64, field: &str) -> Result<[u8; N]> {
    let mut buffer = [0; N];
    file.read_exact_at(offset, &mut buffer).map_err(|error| match error.code() {
        "file_truncated" => bad("pe_truncated", format!("the file ends before the end of {field}")),
        _ => error,
    })?;
    Ok(buffer)
}

fn u16_at(file: &dyn ReadAt, offset: u64, field: &str) -> Result<u16> {
    array(file, offset, field).map(u16::from_le_bytes)
}

fn u32_at(file: &dyn ReadAt, offset: u64, field: &str) -> Result<u32> {
    array(file, offset, field).map(u32::from_le_bytes)
}

impl Layout {
    /// Reads the headers and the heads of the certificate table's entries.
    ///
    /// # Errors
    /// `pe_not_pe`, `pe_dos`, `pe_ne`, `pe_le` for other files; `pe_truncated`, `pe_bad_header` for broken headers;
    /// `pe_bad_directory`, `pe_table_beyond_end`, `pe_table_overlaps_headers`, `pe_table_too_large`,
    /// `pe_bad_certificate`, `pe_too_many_certificates` for a certificate table that cannot be where it is said to be.
    pub fn parse(file: &dyn ReadAt) -> Result<Self> {
        let pe = find_pe_header(file)?;
        let optional = pe + 24;
        let magic = u16_at(file, optional, "OptionalHeader.Magic")?;
        let plus = match magic {
            0x10b => false,
            0x20b => true,
            other => {
                return Err(bad("pe_bad_header", format!("OptionalHeader.Magic is {other:#06x}, not PE32 or PE32+")));
            }
        };
        let first_directory = optional + if plus { 112 } else { 96 };
        let directories = u32_at(file, first_directory - 4, "NumberOfRvaAndSizes")?;
        let optional_size = u64::from(u16_at(file, pe + 20, "SizeOfOptionalHeader")?);
        let directory_at = security_directory(optional, optional_size, first_directory, directories)?;
        let section_count = u64::from(u16_at(file, pe + 6, "NumberOfSections")?);
        let section_table = optional + optional_size;
        let mut layout = Layout {
            file_len: file.len()?,
            plus,
            checksum_at: optional + 64,
            directory_at,
            directories,
            stored_checksum: u32_at(file, optional + 64, "CheckSum")?,
            stored_directory: match directory_at {
                Some(at) => array(file, at, "the certificate table's data directory")?,
                None => [0; 8],
            },
            size_of_headers: u64::from(u32_at(file, optional + 60, "SizeOfHeaders")?),
            section_alignment: u32_at(file, optional + 32, "SectionAlignment")?,
            headers_end: section_table + 40 * section_count,
            sections: Vec::new(),
            table: None,
            certificates: Vec::new(),
            findings: Vec::new(),
        };
        if layout.headers_end > layout.file_len {
            return Err(bad("pe_truncated", "the file ends before the end of the section table"));
        }
        layout.sections = read_sections(file, section_table, section_count)?;
        layout.read_table(file)?;
        layout.look_at_sections();
        Ok(layout)
    }

    /// PE32+ (64-bit addresses), else PE32.
    pub fn is_plus(&self) -> bool {
        self.plus
    }

    /// Length of the file when it was parsed.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The CheckSum field's value.
    pub fn stored_checksum(&self) -> u32 {
        self.stored_checksum
    }

    /// The certificate table's range in the file; `None` if there is none.
    pub fn table(&self) -> Option<Range<u64>> {
        self.table.clone()
    }

    /// The entries of the certificate table, in order, Authenticode or not.
    pub fn certificates(&self) -> &[WinCertificate] {
        &self.certificates
    }

    /// What is odd.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Where the image's own bytes end: at the certificate table, or else at the end of the file.
    pub(super) fn data_end(&self) -> u64 {
        self.table.as_ref().map_or(self.file_len, |table| table.start)
    }

    /// The fields that no signature covers, CheckSum and the table's data directory, in order.
    fn skipped_fields(&self) -> Vec<Range<u64>> {
        let directory = self.directory_at.map(|at| at..at + 8);
        std::iter::once(self.checksum_at..self.checksum_at + 4).chain(directory).collect()
    }

    /// Reads the contents of one entry, padding included.
    ///
    /// # Errors
    /// Those of [`ReadAt`].
    pub fn read_certificate(&self, file: &dyn ReadAt, certificate: &WinCertificate) -> Result<Vec<u8>> {
        let size = certificate.data.end.saturating_sub(certificate.data.start).min(MAX_TABLE);
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(certificate.data.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether a signature can be added or replaced, and the result be sound.
    ///
    /// # Errors
    /// `pe_no_security_directory` if NumberOfRvaAndSizes leaves no room; else the code of the first finding in the way.
    pub fn signable(&self) -> Result<()> {
        if self.directory_at.is_none() {
            let message = format!(
                "NumberOfRvaAndSizes is {}; a signature needs at least {}",
                self.directories,
                SECURITY_DIRECTORY + 1
            );
            return Err(bad("pe_no_security_directory", message));
        }
        match self.findings.iter().find(|finding| finding.blocks_signing) {
            Some(finding) => Err(bad(finding.code, finding.message.clone())),
            None => Ok(()),
        }
    }

    fn find(&mut self, code: &'static str, blocks_signing: bool, message: String) {
        self.findings.push(Finding { code, message, blocks_signing });
    }

    fn read_table(&mut self, file: &dyn ReadAt) -> Result<()> {
        let [a, b, c, d, e, f, g, h] = self.stored_directory;
        let start = u64::from(u32::from_le_bytes([a, b, c, d]));
        let size = u64::from(u32::from_le_bytes([e, f, g, h]));
        if size == 0 {
            if start != 0 {
                let message = format!("the certificate table's data directory has offset {start} but size 0");
                self.find("pe_empty_directory", false, message);
            }
            return Ok(());
        }
        let end = start + size;
        self.check_table(start, end)?;
        if start % 8 != 0 {
            self.find(
                "pe_table_unaligned",
                true,
                format!("the certificate table's offset {start} is no multiple of 8"),
            );
        }
        if end != self.file_len {
            let behind = self.file_len - end;
            self.find("pe_bytes_after_table", true, format!("{behind} bytes stand behind the certificate table"));
        }
        self.table = Some(start..end);
        self.read_certificates(file, start..end)
    }

    /// Whether a certificate table can be there at all.
    fn check_table(&self, start: u64, end: u64) -> Result<()> {
        let size = end - start;
        if start == 0 {
            return Err(bad("pe_bad_directory", format!("the certificate table's size is {size} but its offset is 0")));
        }
        if end > self.file_len {
            let message = format!(
                "the certificate table (offset {start}, size {size}) ends behind the file's {} bytes",
                self.file_len
            );
            return Err(bad("pe_table_beyond_end", message).hint(
                "the file was cut short, or its header still names a signature that was taken out: build it again",
            ));
        }
        if start < self.headers_end {
            let message =
                format!("the certificate table at {start} overlaps the headers, which end at {}", self.headers_end);
            return Err(bad("pe_table_overlaps_headers", message));
        }
        if size > MAX_TABLE {
            let message = format!("the certificate table has {size} bytes, more than {MAX_TABLE}");
            return Err(bad("pe_table_too_large", message));
        }
        Ok(())
    }

    fn read_certificates(&mut self, file: &dyn ReadAt, table: Range<u64>) -> Result<()> {
        let mut at = table.start;
        while table.end - at >= 8 {
            let [a, b, c, d, e, f, g, h] = array(file, at, "WIN_CERTIFICATE")?;
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            if length == 0 {
                break;
            }
            let end = at + length;
            if length < 8 || end > table.end {
                let message =
                    format!("WIN_CERTIFICATE.dwLength at {at} is {length}, with {} bytes left", table.end - at);
                return Err(bad("pe_bad_certificate", message));
            }
            if self.certificates.len() == MAX_CERTIFICATES {
                let message = format!("the certificate table has more than {MAX_CERTIFICATES} entries");
                return Err(bad("pe_too_many_certificates", message));
            }
            let certificate = WinCertificate {
                data: at + 8..end,
                revision: u16::from_le_bytes([e, f]),
                kind: u16::from_le_bytes([g, h]),
            };
            if !certificate.is_authenticode() {
                let (revision, kind) = (certificate.revision, certificate.kind);
                let message =
                    format!("a certificate of type {kind}, revision {revision:#06x}, is no Authenticode signature");
                self.find("pe_other_certificate", false, message);
            }
            self.certificates.push(certificate);
            at = end.next_multiple_of(8).min(table.end);
        }
        if at < table.end {
            let message = format!("{} bytes at the certificate table's end are no certificate", table.end - at);
            self.find("pe_bytes_after_certificates", false, message);
        }
        Ok(())
    }

    fn look_at_sections(&mut self) {
        if let Some(end) = self.sections.iter().map(|section| section.end).max() {
            if end > self.file_len {
                let message = format!("a section ends at {end}, behind the file's {} bytes", self.file_len);
                self.find("pe_section_beyond_end", true, message);
            } else if self.table.as_ref().is_some_and(|table| end > table.start) {
                let message = format!("a section ends at {end}, inside or behind the certificate table");
                self.find("pe_section_overlaps_table", true, message);
            }
        }
        if self.size_of_headers < self.headers_end || self.size_of_headers > self.file_len {
            let message = format!("SizeOfHeaders is {}, the headers end at {}", self.size_of_headers, self.headers_end);
            self.find("pe_odd_size_of_headers", false, message);
        }
    }
}

/// The offset of `PE\0\0`; names the other kinds of executables that begin with `MZ`.
fn find_pe_header(file: &dyn ReadAt) -> Result<u64> {
    let magic: [u8; 2] = array(file, 0, "the DOS header")?;
    if &magic != b"MZ" {
        return Err(bad("pe_not_pe", "the file does not begin with MZ, so it is no PE image"));
    }
    let dos = || bad("pe_dos", "this is a DOS executable, not a PE image: it has no PE header");
    if file.len()? < 64 {
        return Err(dos());
    }
    let at = u64::from(u32_at(file, 0x3c, "e_lfanew")?);
    if at + 4 > file.len()? {
        return Err(dos());
    }
    let signature: [u8; 4] = array(file, at, "the PE header")?;
    match &signature {
        b"PE\0\0" => Ok(at),
        [b'N', b'E', ..] => Err(bad("pe_ne", "this is a 16-bit NE executable, not a PE image")),
        [b'L', b'E' | b'X', ..] => Err(bad("pe_le", "this is an LE or LX executable, not a PE image")),
        _ => Err(dos()),
    }
}

/// Where the certificate table's data directory is; `None` if the image has too few directories.
fn security_directory(optional: u64, optional_size: u64, first: u64, count: u32) -> Result<Option<u64>> {
    if count <= SECURITY_DIRECTORY {
        return Ok(None);
    }
    let at = first + 8 * u64::from(SECURITY_DIRECTORY);
    if at + 8 > optional + optional_size {
        let message = format!("SizeOfOptionalHeader is {optional_size}, too small for NumberOfRvaAndSizes {count}");
        return Err(bad("pe_bad_header", message));
    }
    Ok(Some(at))
}

/// The file ranges of the sections that have raw data, in the table's order.
fn read_sections(file: &dyn ReadAt, table: u64, count: u64) -> Result<Vec<Range<u64>>> {
    let mut sections = Vec::new();
    for index in 0..count {
        let [a, b, c, d, e, f, g, h] = array(file, table + 40 * index + 16, "the section table")?;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let start = u64::from(u32::from_le_bytes([e, f, g, h]));
        if size != 0 {
            sections.push(start..start + size);
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests;
