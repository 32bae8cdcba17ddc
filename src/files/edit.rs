//! A change to a file that is being made: what the formats hand out and a target writes.

/// Bytes that go over what was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where they go, from the start of the file.
    pub offset: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
}
