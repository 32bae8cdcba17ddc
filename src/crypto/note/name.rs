//! Names of keys and logs.

/// The longest key name or origin, in bytes.
pub const MAX_NAME: usize = 255;

/// Whether this may be one: no white space, no control characters, no `+`.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
