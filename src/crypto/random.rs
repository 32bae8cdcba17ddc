//! Random bytes from the operating system.

use crate::error::{Error, Result};

/// As many as the caller's array holds.
///
/// # Errors
/// `Unavailable` `no_randomness` when the operating system gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::unavailable("no_randomness", "the operating system gives no randomness")
            .because(anyhow::anyhow!("{error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
        assert_eq!(random::<0>().unwrap(), [0; 0]);
    }
}
