//! One sequential read, many readers.
//!
//! Buffers go from the source to every sink and, when copying, to the end of the target; memory does not grow with the
//! file.
//!
//! A file that is longer or shorter than when it was opened, or whose times moved, is `source_changed`; so is one
//! that changes in the middle.

use super::place::Target;
use super::source::{Source, changed};
use super::{read_error, shown_path};
use crate::error::{Error, Kind, Result};
use rustix::fs::Advice;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};

/// The size of a buffer, in bytes; smaller ones make large files slower.
pub const BUFFER: usize = 1 << 20;

/// Something that wants to see the bytes in order: a hash, a parser.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// Reads all of `source` once.
///
/// # Errors
/// `source_changed`, `interrupted` (when `stop` becomes true), read errors.
pub fn read_while(source: &Source, sinks: &mut [Sink<'_>], stop: &AtomicBool) -> Result<()> {
    pump(source, stop, |bytes| {
        feed(sinks, bytes);
        Ok(())
    })?;
    ended(source)
}

/// Reads all of `source` once, appending to `target` while the sinks look on.
///
/// # Errors
/// As [`read_while`], and what [`Target::append`] says.
pub fn copy_while(source: &Source, target: &mut Target, sinks: &mut [Sink<'_>], stop: &AtomicBool) -> Result<()> {
    target.reserve(source.len())?;
    pump(source, stop, |bytes| {
        feed(sinks, bytes);
        target.append(bytes)
    })?;
    ended(source)
}

/// Reads `source` in buffers, front to back.
fn pump(source: &Source, stop: &AtomicBool, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let len = source.len();
    // Advice only: a refusal costs speed and nothing else.
    let _ = rustix::fs::fadvise(source.file(), 0, NonZeroU64::new(len), Advice::Sequential);
    // A batch of small files has many of them.
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(BUFFER).min(BUFFER)];
    let mut at = 0;
    while at < len {
        if stop.load(Ordering::Relaxed) {
            let message = format!("{}: interrupted", shown_path(source.path()));
            return Err(Error::new(Kind::Interrupted, "interrupted", message));
        }
        let part = part_of(&mut buffer, len - at);
        source.read_at(part, at)?;
        each(part)?;
        at += part.len() as u64;
    }
    source.still()
}

/// As much of `buffer` as `rest` bytes need.
fn part_of(buffer: &mut [u8], rest: u64) -> &mut [u8] {
    let n = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_at_mut(n).0
}

fn feed(sinks: &mut [Sink<'_>], bytes: &[u8]) {
    sinks.iter_mut().for_each(|sink| sink(bytes));
}

/// Nothing follows the last byte, and nothing moved.
fn ended(source: &Source) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut more = [0; 1];
    match source.file().read_at(&mut more, source.len()) {
        Ok(0) => source.still(),
        Ok(_) => Err(changed(source.path(), "it grew while it was read")),
        Err(error) => Err(read_error(source.path(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Placement, SourcePolicy};
    use crate::model::Hash256;
    use sha2::{Digest, Sha256};
    use std::fs;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    static GO: AtomicBool = AtomicBool::new(false);

    /// Bytes that differ from buffer to buffer.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(len)
        .collect()
    }

    fn file_of(dir: &Path, len: usize) -> (PathBuf, Vec<u8>) {
        let (path, bytes) = (dir.join("a.bin"), noise(len));
        fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }

    #[test]
    fn every_reader_sees_every_byte_once_whatever_the_size() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 17] {
            let (path, bytes) = file_of(dir.path(), len);
            let source = Source::open(&path, SourcePolicy::READ).unwrap();
            let mut target = Target::beside(&dir.path().join("b.bin")).unwrap();
            let (mut first, mut second) = (Sha256::new(), Vec::new());
            let sinks: &mut [Sink<'_>] = &mut [&mut |b| first.update(b), &mut |b| second.extend_from_slice(b)];
            copy_while(&source, &mut target, sinks, &GO).unwrap();
            assert_eq!(second, bytes);
            assert_eq!(first.finalize().0, Hash256::of(&bytes).0);
            target.place(Placement::ReplaceAny).unwrap();
            assert_eq!(fs::read(dir.path().join("b.bin")).unwrap(), bytes);
            let mut read = Vec::new();
            read_while(&source, &mut [&mut |b| read.extend_from_slice(b)], &GO).unwrap();
            assert_eq!(read, bytes);
        }
    }

    #[test]
    fn a_source_that_moves_under_the_copy_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        type Change<'a> = &'a dyn Fn(&Path);
        let changes: [(&str, Change); 4] = [
            ("grows", &|p| fs::OpenOptions::new().append(true).open(p).unwrap().write_all(b"x").unwrap()),
            ("shrinks", &|p| fs::OpenOptions::new().write(true).open(p).unwrap().set_len(BUFFER as u64 + 5).unwrap()),
            ("is overwritten", &|p| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::OpenOptions::new().write(true).open(p).unwrap().write_all(b"x").unwrap();
            }),
            ("loses its name", &|p| fs::rename(p, p.with_extension("old")).unwrap()),
        ];
        for (what, change) in changes {
            let (path, _) = file_of(dir.path(), 3 * BUFFER);
            let source = Source::open(&path, SourcePolicy::IN_PLACE).unwrap();
            let mut target = Target::replacing(&source).unwrap();
            let mut once = Some(());
            let mut sink = |_: &[u8]| {
                if once.take().is_some() {
                    change(&path);
                }
            };
            let copied = copy_while(&source, &mut target, &mut [&mut sink], &GO);
            let done = copied.and_then(|()| target.place(Placement::Replace { expect: &source }).map(|_| ()));
            assert_eq!(done.expect_err(what).code(), "source_changed", "{what}");

            let (path, _) = file_of(dir.path(), 3 * BUFFER);
            let source = Source::open(&path, SourcePolicy::READ).unwrap();
            let mut once = Some(());
            let mut sink = |_: &[u8]| once.take().into_iter().for_each(|()| change(&path));
            let read = read_while(&source, &mut [&mut sink], &GO);
            assert_eq!(read.expect_err(what).code(), "source_changed", "only reading: {what}");
        }
    }

    #[test]
    fn it_can_be_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = file_of(dir.path(), 2 * BUFFER);
        let source = Source::open(&path, SourcePolicy::READ).unwrap();
        let stop = AtomicBool::new(false);
        let mut seen = 0;
        let error = read_while(
            &source,
            &mut [&mut |b| {
                seen += b.len();
                stop.store(true, Ordering::Relaxed);
            }],
            &stop,
        )
        .unwrap_err();
        assert_eq!((error.kind(), seen), (Kind::Interrupted, BUFFER));
    }
}
