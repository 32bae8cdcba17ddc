//! Bytes as text.

use base64ct::{Base64, Encoding};

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Reads lower-case hex; anything else gives `None`.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    base16ct::lower::decode_vec(text).ok()
}

/// `#[serde(with = "model::serde_base64")]`: bytes as standard, padded base64.
pub mod serde_base64 {
    use base64ct::{Base64, Encoding};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&Base64::encode_string(bytes))
    }

    /// Reads base64, strictly.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        Base64::decode_vec(&String::deserialize(d)?).map_err(|_| D::Error::custom("not base64"))
    }
}

/// `#[serde(with = "model::serde_base64_list")]`: a list of byte strings, each as base64.
pub mod serde_base64_list {
    use super::base64;
    use base64ct::Encoding;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a list of base64 strings.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(|bytes| base64(bytes)))
    }

    /// Reads it, strictly.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<String>::deserialize(d)?;
        let decode = |text: &String| base64ct::Base64::decode_vec(text).map_err(|_| D::Error::custom("not base64"));
        list.iter().map(decode).collect()
    }
}

/// Standard, padded base64.
pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}
