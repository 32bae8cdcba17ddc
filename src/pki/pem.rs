//! PEM (RFC 7468) around the DER of certificates, CRLs and requests.

use crate::error::{Error, Result};
use der::pem::{LineEnding, decode_vec, encode_string};

/// The most bytes of PEM that are read.
pub const MAX_PEM: usize = 128 * 1024 * 1024;

/// Labels of RFC 7468.
pub mod label {
    /// A certificate.
    pub const CERTIFICATE: &str = "CERTIFICATE";
    /// A CRL.
    pub const CRL: &str = "X509 CRL";
    /// A certification request.
    pub const REQUEST: &str = "CERTIFICATE REQUEST";
}

/// DER in PEM, with `\n`.
///
/// # Errors
/// `Bug` when it cannot be encoded.
pub fn encode(label: &str, der: &[u8]) -> Result<String> {
    encode_string(label, LineEnding::LF, der).map_err(|e| Error::bug(format!("PEM: {e}")))
}

/// The DER of every block with this label, in order; or the input itself if it is DER (begins with a SEQUENCE). Text
/// between blocks, as CA bundles have it, and blocks with other labels are passed over.
///
/// # Errors
/// `malformed_pem` for a block that does not end or is no base64, for no block at all, for more than `limit` blocks.
pub fn decode(label: &str, input: &[u8], limit: usize) -> Result<Vec<Vec<u8>>> {
    let bad = |why: String| Error::failed("malformed_pem", why);
    if input.first() == Some(&0x30) {
        return Ok(vec![input.to_vec()]);
    }
    if input.len() > MAX_PEM {
        return Err(bad(format!("{} bytes; the limit is {MAX_PEM}", input.len())));
    }
    let text = std::str::from_utf8(input).map_err(|_| bad("neither DER nor PEM".into()))?;
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((_, from)) = rest.split_once(begin.as_str()) {
        if blocks.len() == limit {
            return Err(bad(format!("more than {limit} {label} blocks")));
        }
        let (body, after) = from.split_once(end.as_str()).ok_or_else(|| bad(format!("a {label} block without end")))?;
        let block = format!("{begin}\n{}\n{end}\n", body.trim());
        let (_, der) = decode_vec(block.as_bytes()).map_err(|e| bad(format!("a {label} block: {e}")))?;
        blocks.push(der);
        rest = after;
    }
    if blocks.is_empty() { Err(bad(format!("no {label} in it"))) } else { Ok(blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let one = encode(label::CERTIFICATE, b"\x30\x03abc").unwrap();
        let other = encode(label::CRL, b"\x30\x01z").unwrap();
        let bundle = format!("# roots\r\n{}\n{other}\n{one}tail", one.replace('\n', "\r\n"));
        assert_eq!(decode(label::CERTIFICATE, bundle.as_bytes(), 2).unwrap(), [b"\x30\x03abc", b"\x30\x03abc"]);
        assert!(decode(label::CERTIFICATE, bundle.as_bytes(), 1).is_err());
        assert_eq!(decode(label::CERTIFICATE, b"\x30\x00", 1).unwrap(), [b"\x30\x00"]);
        for bad in [&b""[..], b"\xff", b"-----BEGIN CERTIFICATE-----\nMA", one.replace('M', "*").as_bytes()] {
            assert_eq!(decode(label::CERTIFICATE, bad, 9).unwrap_err().code(), "malformed_pem");
        }
    }
}
