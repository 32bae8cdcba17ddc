//! The table of artifacts that have to be signed again.

use crate::clock::rfc3339;
use crate::ledger::query::ResignRequired;
use crate::ui::Row;

/// The columns of the table of marks.
pub(crate) const COLUMNS: &[&str] = &["resign_required", "sha256", "signed_by", "signed_at", "because"];

/// One mark as a row.
pub(crate) fn row(mark: &ResignRequired) -> Row {
    Row::new()
        .with("resign_required", mark.artifact_id.as_str())
        .with("sha256", mark.sha256.to_string())
        .with("signed_by", mark.signed_by.to_string())
        .with("signed_at", rfc3339(mark.signed_at))
        .with("because", mark.because.to_string())
        .with("entry", mark.artifact)
}
