//! Which format a file has.

use super::authenticode::PortableExecutable;
use super::file::Format;
use crate::error::{Error, Result};
use crate::files::source::Source;

/// The formats of single files. A further one is a line here and a module of its own.
pub const FORMATS: &[&dyn Format] = &[&PortableExecutable];

/// The first bytes tell the format.
///
/// # Errors
/// `unsupported_format`; those of reading.
pub fn detect(source: &Source) -> Result<&'static dyn Format> {
    let mut head = [0; 8];
    let take = head.len().min(usize::try_from(source.len()).unwrap_or(usize::MAX));
    source.read_at(head.get_mut(..take).unwrap_or_default(), 0)?;
    if let Some(format) = FORMATS.iter().find(|format| format.begins(&head)) {
        return Ok(*format);
    }
    let what = match &head {
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1] => "a compound file (MSI)",
        [b'P', b'K', 3, 4, ..] => "a ZIP file (MSIX, APPX)",
        [b'M', b'S', b'C', b'F', ..] => "a cabinet",
        [b'x', b'a', b'r', b'!', ..] => "a flat package (xar)",
        _ => "not a format that is known here",
    };
    Err(Error::failed("unsupported_format", format!("the file is {what}; PE files are signed (exe, dll, sys, efi, …)")))
}
