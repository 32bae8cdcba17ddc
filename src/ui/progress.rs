//! How far a batch is: counted in files, or in bytes where the files are large.

use super::Ui;
use indicatif::ProgressBar;

/// From how many bytes on a bar counts them.
const LARGE: u64 = 64 << 20;
/// Each byte is read twice: for its digest, and for the check of what was written.
const PASSES: u64 = 2;

/// The bar of a batch. Clones move the same bar.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    in_bytes: bool,
}

impl Progress {
    /// Over so many files, which have so many bytes in all.
    pub fn over(ui: &Ui, files: u64, bytes: u64, what: &'static str) -> Self {
        let in_bytes = bytes >= LARGE;
        let bar = match in_bytes {
            true => ui.progress_in_bytes(bytes.saturating_mul(PASSES), what),
            false => ui.progress(files, what),
        };
        Progress { bar, in_bytes }
    }

    /// So many files more are done.
    pub fn files(&self, more: u64) {
        if !self.in_bytes {
            self.bar.inc(more);
        }
    }

    /// So many bytes more were read, in either pass.
    pub fn bytes(&self, more: u64) {
        if self.in_bytes {
            self.bar.inc(more);
        }
    }

    /// Does something that prints, without the bar in its way.
    pub fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes it away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
