//! How a rotation is to be gone about, as plain data.

use crate::model::GenerationId;
use std::path::PathBuf;

/// How a rotation is to be gone about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Begin although it is not due.
    pub early: bool,
    /// Another publisher is wanted.
    pub publisher_change: bool,
    /// Where a certificate signing request goes.
    pub csr: Option<PathBuf>,
    /// Why, in words; for the record.
    pub reason: Option<String>,
    /// While planning: this generation will have been revoked by then.
    pub revoked: Option<GenerationId>,
}

/// No rotation has more edges than this.
pub(crate) const MAX_STEPS: usize = 64;
