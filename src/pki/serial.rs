//! Certificate serial numbers (RFC 5280 §4.1.2.2; CSBR §7.1 asks for 64 bits of randomness or more).

use crate::error::{Error, Result};
use crate::model::hex;
use std::fmt;

/// A serial number that fills the twenty octets RFC 5280 allows: the first bit is clear, so it is positive, and the
/// first octet is not zero, so that its DER is these very bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial([u8; 20]);

impl Serial {
    /// A fresh one from the operating system's random generator (more than 158 random bits).
    ///
    /// # Errors
    /// `Unavailable` `no_randomness` when the operating system gives none.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes: [u8; 20] = crate::crypto::random()?;
            bytes[0] &= 0x7f;
            if bytes[0] != 0 {
                return Ok(Serial(bytes));
            }
        }
    }

    /// One that was made and reserved earlier.
    ///
    /// # Errors
    /// `Bug`: it would be negative, or shorter than twenty octets in DER.
    pub fn from_bytes(bytes: [u8; 20]) -> Result<Self> {
        match bytes[0] {
            0x01..=0x7f => Ok(Serial(bytes)),
            _ => Err(Error::bug("a serial number has twenty octets, the first of them 01 to 7f")),
        }
    }

    /// Big-endian octets, which are also the contents of its DER INTEGER.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn serials_are_positive_canonical_and_differ() {
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            let serial = Serial::random().unwrap();
            assert!((0x01..=0x7f).contains(&serial.as_bytes()[0]));
            assert!(seen.insert(serial));
        }
        assert!(Serial::from_bytes([0; 20]).is_err());
        assert!(Serial::from_bytes([0x80; 20]).is_err());
        assert_eq!(Serial::from_bytes([1; 20]).unwrap().to_string(), "01".repeat(20));
    }
}
