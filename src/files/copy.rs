//! One sequential read, many readers.
//!
//! Buffers of one mebibyte go from the source to every sink and, when copying, to the end of the target; memory
//! does not grow with the file. [`copy_verified`] adds the **trailing read**: a second thread reads back from the
//! target what was written so far and feeds its own sinks, so the two sequential reads of design §1.5 run on two
//! cores and end together. Writing on a thread of its own as well was measured too: it saves less than a tenth, and not
//! being there is worth more.
//!
//! A file that is longer or shorter than when it was opened, or whose times moved, is `source_changed`; so is one
//! that changes in the middle.

use super::place::Target;
use super::source::{Source, changed};
use super::{read_error, shown_path};
use crate::error::{Error, Kind, Result};
use rustix::fs::Advice;
use std::fs::File;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// The size of a buffer, in bytes.
pub const BUFFER: usize = 1 << 20;

/// Something that wants to see the bytes in order: a hash, a parser.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// Something that wants to see the bytes read back; it runs on another thread.
pub type TrailingSink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// Reads all of `source` once.
///
/// # Errors
/// `source_changed`, `interrupted` (when `stop` becomes true), read errors.
pub fn read_while(source: &Source, sinks: &mut [Sink<'_>], stop: &AtomicBool) -> Result<()> {
    pump(source, 0..source.len(), stop, |bytes| {
        feed(sinks, bytes);
        Ok(())
    })?;
    ended(source)
}

/// Reads a range of `source` once.
///
/// # Errors
/// As [`read_while`]; `source_truncated` if the range is not within the file.
pub fn read_range_while(source: &Source, range: Range<u64>, sinks: &mut [Sink<'_>], stop: &AtomicBool) -> Result<()> {
    pump(source, range, stop, |bytes| {
        feed(sinks, bytes);
        Ok(())
    })?;
    source.still()
}

/// Reads all of `source` once, appending to `target` while the sinks look on.
///
/// # Errors
/// As [`read_while`], and what [`Target::append`] says.
pub fn copy_while(source: &Source, target: &mut Target, sinks: &mut [Sink<'_>], stop: &AtomicBool) -> Result<()> {
    copy_range_while(source, 0..source.len(), target, sinks, stop)?;
    ended(source)
}

/// Reads a range of `source` once, appending it to `target` while the sinks look on.
///
/// # Errors
/// As [`copy_while`]; `source_truncated` if the range is not within the file.
pub fn copy_range_while(
    source: &Source,
    range: Range<u64>,
    target: &mut Target,
    sinks: &mut [Sink<'_>],
    stop: &AtomicBool,
) -> Result<()> {
    target.reserve(range.end.saturating_sub(range.start))?;
    pump(source, range, stop, |bytes| {
        feed(sinks, bytes);
        target.append(bytes)
    })?;
    source.still()
}

/// Like [`copy_while`]; meanwhile a second thread reads back from `target` what this call wrote and feeds `verify`.
///
/// When it returns, every sink in `verify` has seen exactly the copied bytes as the file system gives them back.
/// Edits that are applied later are the caller's to verify.
///
/// # Errors
/// As [`copy_while`]; read errors of the target.
pub fn copy_verified(
    source: &Source,
    target: &mut Target,
    sinks: &mut [Sink<'_>],
    verify: &mut [TrailingSink<'_>],
    stop: &AtomicBool,
) -> Result<()> {
    target.reserve(source.len())?;
    let back = target.file().try_clone().map_err(|e| read_error(target.path(), e))?;
    let (path, start) = (target.path().to_path_buf(), target.len());
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let trailing = scope.spawn(move || trail(&back, start, &told, verify).map_err(|e| read_error(&path, e)));
        let copied = pump(source, 0..source.len(), stop, |bytes| {
            feed(sinks, bytes);
            target.append(bytes)?;
            // A reader that failed has hung up; its error is reported by the join below.
            let _ = tell.send(target.len());
            Ok(())
        });
        drop(tell);
        let read_back = trailing.join().map_err(|_| Error::bug("a trailing reader panicked"))?;
        copied.and(read_back)
    })?;
    ended(source)
}

/// Reads from `file` what the writer says is there, until it hangs up.
fn trail(file: &File, start: u64, told: &Receiver<u64>, sinks: &mut [TrailingSink<'_>]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; BUFFER];
    let mut at = start;
    while let Ok(written) = told.recv() {
        while at < written {
            let part = part_of(&mut buffer, written - at);
            file.read_exact_at(part, at)?;
            sinks.iter_mut().for_each(|sink| sink(part));
            at += part.len() as u64;
        }
    }
    Ok(())
}

/// Reads `range` of `source` in buffers, front to back.
fn pump(
    source: &Source,
    range: Range<u64>,
    stop: &AtomicBool,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    if range.start > range.end || range.end > source.len() {
        return Err(Error::failed("source_truncated", format!("{}: a read beyond its end", shown_path(source.path()))));
    }
    // Advice only: a refusal costs speed and nothing else.
    let _ =
        rustix::fs::fadvise(source.file(), range.start, NonZeroU64::new(range.end - range.start), Advice::Sequential);
    let mut buffer = vec![0; BUFFER];
    let mut at = range.start;
    while at < range.end {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::new(
                Kind::Interrupted,
                "interrupted",
                format!("{}: interrupted", shown_path(source.path())),
            ));
        }
        let part = part_of(&mut buffer, range.end - at);
        source.read_at(part, at)?;
        each(part)?;
        at += part.len() as u64;
    }
    Ok(())
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
    use std::time::Instant;

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
            let (mut first, mut second, mut back) = (Sha256::new(), Vec::new(), Sha256::new());
            copy_verified(
                &source,
                &mut target,
                &mut [&mut |b| first.update(b), &mut |b| second.extend_from_slice(b)],
                &mut [&mut |b| back.update(b)],
                &GO,
            )
            .unwrap();
            assert_eq!(second, bytes);
            assert_eq!((first.finalize().0, back.finalize().0), (Hash256::of(&bytes).0, Hash256::of(&bytes).0));
            target.place(Placement::ReplaceAny).unwrap();
            assert_eq!(fs::read(dir.path().join("b.bin")).unwrap(), bytes);
            let mut read = Vec::new();
            read_while(&source, &mut [&mut |b| read.extend_from_slice(b)], &GO).unwrap();
            assert_eq!(read, bytes);
        }
    }

    #[test]
    fn the_trailing_read_gives_what_the_file_holds_and_not_what_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes) = file_of(dir.path(), 2 * BUFFER);
        let source = Source::open(&path, SourcePolicy::READ).unwrap();
        let mut target = Target::beside(&dir.path().join("b.bin")).unwrap();
        target.append(b"prefix").unwrap();
        let disk = target.file().try_clone().unwrap();
        let mut back = Vec::new();
        // Once all is written, and while the second buffer is not read back yet, a byte of it goes bad.
        let mut spoil = |b: &[u8]| {
            use std::os::unix::fs::FileExt;
            if back.is_empty() {
                while disk.metadata().unwrap().len() < 6 + 2 * BUFFER as u64 {
                    std::thread::yield_now();
                }
                disk.write_all_at(&[!bytes[BUFFER + 5]], 6 + BUFFER as u64 + 5).unwrap();
            }
            back.extend_from_slice(b);
        };
        copy_verified(&source, &mut target, &mut [], &mut [&mut spoil], &GO).unwrap();
        assert_eq!(back.len(), bytes.len(), "the prefix is not part of the copy");
        let differ: Vec<_> = (0..bytes.len()).filter(|i| back[*i] != bytes[*i]).collect();
        assert_eq!(differ, [BUFFER + 5]);
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
    fn it_can_be_interrupted_and_ranges_must_lie_inside() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes) = file_of(dir.path(), 2 * BUFFER);
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

        let mut part = Vec::new();
        read_range_while(&source, 5..BUFFER as u64 + 9, &mut [&mut |b| part.extend_from_slice(b)], &GO).unwrap();
        assert_eq!(part, bytes[5..BUFFER + 9]);
        for bad in [Range { start: 9, end: 5 }, 0..2 * BUFFER as u64 + 1, u64::MAX..u64::MAX] {
            assert_eq!(read_range_while(&source, bad, &mut [], &GO).unwrap_err().code(), "source_truncated");
        }
    }

    /// `KEYCTL_SPEED=FILE cargo test --lib files::copy -- --ignored --nocapture`: times on a large file, hashing with
    /// OpenSSL so that the build profile does not matter.
    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let Some(path) = std::env::var_os("KEYCTL_SPEED").map(PathBuf::from) else {
            eprintln!("skipped: KEYCTL_SPEED names no file");
            return;
        };
        let out = path.with_extension("copy");
        for round in 0..6 {
            let source = Source::open(&path, SourcePolicy::READ).unwrap();
            let clock = Instant::now();
            let mut one = openssl::sha::Sha256::new();
            read_while(&source, &mut [&mut |b| one.update(b)], &GO).unwrap();
            println!("{round}: read and hash     {:.2?}", clock.elapsed());
            for trailing in [round % 2 == 0, round % 2 != 0] {
                let clock = Instant::now();
                let mut target = Target::beside(&out).unwrap();
                let (mut one, mut two) = (openssl::sha::Sha256::new(), openssl::sha::Sha256::new());
                let mut sink = |b: &[u8]| one.update(b);
                if trailing {
                    copy_verified(&source, &mut target, &mut [&mut sink], &mut [&mut |b| two.update(b)], &GO).unwrap();
                    assert_eq!(one.finish(), two.finish());
                } else {
                    copy_while(&source, &mut target, &mut [&mut sink], &GO).unwrap();
                }
                let copied = clock.elapsed();
                target.place(Placement::ReplaceAny).unwrap();
                println!(
                    "{round}: copy trailing={trailing} {copied:.2?}, with fsync and rename {:.2?}",
                    clock.elapsed()
                );
                fs::remove_file(&out).unwrap();
            }
        }
    }
}
