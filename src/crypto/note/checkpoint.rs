//! The text of a signed tree head.

use super::name::is_name;
use crate::error::{Error, Result};
use crate::model::Hash256;
use base64ct::{Base64, Encoding};
use std::str::FromStr;

/// A tree head: what a log's key signs.
///
/// Extension lines, which the specification allows and advises against, are refused: this log writes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log this is; also the name of its keys.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root hash over the first `size` leaves.
    pub root: Hash256,
}

impl Checkpoint {
    /// The note text: the bytes that an Ed25519 key signs, and whose SHA-256 an ECDSA key signs.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |what: &str| Error::finding("bad_checkpoint", format!("the checkpoint {what}"));
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("does not have exactly the lines origin, size and root"));
        };
        if !is_name(origin) {
            return Err(bad("has a bad origin"));
        }
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let number = number.ok_or_else(|| bad("has a size that is not a plain decimal number"))?;
        let root = Some(root).filter(|root| root.len() == 44).and_then(|root| Base64::decode_vec(root).ok());
        let root = root.and_then(|root| <[u8; 32]>::try_from(root).ok());
        let root = Hash256(root.ok_or_else(|| bad("has a root that is not the base64 of 32 bytes"))?);
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root })
    }
}
