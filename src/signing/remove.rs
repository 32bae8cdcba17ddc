//! Taking signatures out of a file: no key is used, and what comes out has no signature left.

use super::expect_pe;
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result};
use crate::files::copy::copy_while;
use crate::files::place::{Placement, Target};
use crate::files::source::{Source, SourcePolicy};
use crate::formats::pe::{ChecksumSink, Layout, Original};
use crate::formats::{Sink, feed};
use crate::model::Hash256;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A file whose signatures were taken out.
#[derive(Debug)]
pub struct Removed {
    /// SHA-256 of the signed file.
    pub hash_before: Hash256,
    /// SHA-256 of what it is now.
    pub hash_after: Hash256,
    /// It is the file from before its first signature, byte for byte.
    pub restored: bool,
}

/// Takes all signatures out of a file. `original` may know, by the signed file's hash, what it was made from.
///
/// # Errors
/// As [`prepare`]; the file is not signed.
pub fn remove(
    path: &Path,
    to: Option<&Path>,
    follow: bool,
    original: &dyn Fn(&Hash256) -> Option<Original>,
    stop: &AtomicBool,
) -> Result<Removed> {
    let policy = if to.is_some() { SourcePolicy::READ } else { SourcePolicy::IN_PLACE };
    let source = Source::open(path, SourcePolicy { follow, ..policy })?;
    expect_pe(&source)?;
    let layout = Layout::parse(source.file())?;
    let mut target = match to {
        Some(to) => Target::beside(to)?,
        None => Target::replacing(&source)?,
    };
    let (mut whole, mut checksum) = (Sha256::new(), ChecksumSink::new(&layout));
    let mut sink = |bytes: &[u8]| {
        whole.update(bytes);
        checksum.update(bytes);
    };
    copy_while(&source, &mut target, &mut [&mut sink], stop)?;
    let hash_before = whole.finish();
    let original = original(&hash_before);
    let detached = layout.remove(source.file(), original.as_ref(), &checksum.finish())?;
    target.apply(&detached.edits, detached.len)?;
    let mut whole = Sha256::new();
    feed(target.file(), &mut [&mut whole])?;
    if Layout::parse(target.file())?.table().is_some_and(|table| !table.is_empty()) {
        return Err(Error::bug("the written file still has a certificate table"));
    }
    if to.is_some() {
        target.like(&source)?;
        target.place(Placement::New)?;
    } else {
        target.place(Placement::Replace { expect: &source })?;
    }
    Ok(Removed { hash_before, hash_after: whole.finish(), restored: original.is_some() })
}
