//! Keys that secrets are encrypted to: age recipients (`age1…`, C2SP age) and the OpenSSH keys that age takes.

use crate::crypto::ssh::{KeyKind, PublicKey};

/// What is wrong with an encryption key, in words. A mistyped one would be found out when the secret is needed.
pub(super) fn bad_encryption_key(text: &str) -> Option<String> {
    if text.starts_with("age1") {
        let good = text.len() == 62 && bech32_checksum(text) == Some(1);
        return (!good).then(|| "is not an age recipient; a letter is wrong or missing".to_owned());
    }
    let key: PublicKey = match text.parse() {
        Ok(key) => key,
        Err(error) => return Some(format!("is neither an age recipient nor an OpenSSH key: {}", error.message())),
    };
    if !matches!(key.kind(), KeyKind::Ed25519 | KeyKind::Rsa) {
        return Some("only ssh-ed25519, ssh-rsa and age1… keys can be encrypted to".to_owned());
    }
    (key.to_string() != text).then(|| "is not written as TYPE BASE64, without a comment".to_owned())
}

/// The checksum of BIP 173, over the human-readable part and the data; 1 if it is right.
fn bech32_checksum(text: &str) -> Option<u32> {
    const LETTERS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let (prefix, data) = text.rsplit_once('1')?;
    let value = |byte: u8| LETTERS.iter().position(|letter| *letter == byte).and_then(|at| u32::try_from(at).ok());
    let high = prefix.bytes().map(|byte| Some(u32::from(byte) >> 5));
    let low = prefix.bytes().map(|byte| Some(u32::from(byte) & 31));
    let all = high.chain([Some(0)]).chain(low).chain(data.bytes().map(value));
    all.into_iter().try_fold(1_u32, |sum, value| {
        let top = sum >> 25;
        let mixed = ((sum & 0x01ff_ffff) << 5) ^ value?;
        let bits = GENERATOR.iter().enumerate().filter(|(i, _)| (top >> i) & 1 == 1);
        Some(bits.fold(mixed, |sum, (_, generator)| sum ^ generator))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the age specification's README, github.com/FiloSottile/age.
    const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn an_age_recipient_with_a_wrong_letter_is_refused() {
        assert_eq!(bad_encryption_key(AGE), None);
        for at in 4..AGE.len() {
            let mut wrong = AGE.to_owned();
            let other = if AGE.as_bytes()[at] == b'q' { "p" } else { "q" };
            wrong.replace_range(at..=at, other);
            assert!(bad_encryption_key(&wrong).is_some(), "{wrong}");
        }
        assert!(bad_encryption_key(&AGE[..61]).is_some());
        assert!(bad_encryption_key(&AGE.to_uppercase()).is_some());
        assert!(bad_encryption_key("age1").is_some());
        assert!(bad_encryption_key("").is_some());
    }
}
