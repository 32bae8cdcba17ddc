//! The SSH data types of RFC 4251 §5. Every length is checked against what is there.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// The column at which OpenSSH breaks the lines of armour.
const COLUMNS: usize = 70;

/// Reads from the front. `None` means: not there, or not in its one form.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    /// A `string`: length and bytes.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    /// A `string` that is text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// A positive `mpint` in its shortest form: its magnitude, without a leading zero.
    pub fn positive(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        match bytes {
            [] => None,
            [0, second, ..] if *second >= 0x80 => bytes.get(1..),
            [first, ..] if (1..0x80).contains(first) => Some(bytes),
            _ => None,
        }
    }

    /// Nothing is left.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Writes to a buffer that is wiped, since some of what is written is secret.
#[derive(Default)]
pub(super) struct Writer(pub Zeroizing<Vec<u8>>);

impl Writer {
    pub fn new() -> Self {
        // Enough for nearly everything, so that secrets are not left behind by growing.
        Writer(Zeroizing::new(Vec::with_capacity(4096)))
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u32(self, number: u32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// Nothing written here is near 4 GiB.
    pub fn string(self, bytes: &[u8]) -> Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    /// A positive `mpint` from a magnitude.
    pub fn positive(self, magnitude: &[u8]) -> Self {
        let start = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
        let digits = magnitude.get(start..).unwrap_or_default();
        match digits.first() {
            Some(first) if *first >= 0x80 => {
                self.u32(u32::try_from(digits.len()).unwrap_or(u32::MAX).saturating_add(1)).raw(&[0]).raw(digits)
            }
            _ => self.string(digits),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For what is public.
    pub fn into_public(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// OpenSSH's armour: base64 in lines of 70 columns between a BEGIN and an END line.
pub(super) fn armour(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(Base64::encode_string(bytes));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / COLUMNS + 128));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while let Some((line, tail)) = rest.split_at_checked(COLUMNS.min(rest.len())).filter(|(line, _)| !line.is_empty()) {
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// The bytes in armour. White space around it, at the ends of lines and before them is forgiven, since mail and
/// terminals add it; anything else around it is not.
pub(super) fn dearmour(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let inner = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----"))?;
    if !inner.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']) {
        return None;
    }
    let mut encoded = Zeroizing::new(String::with_capacity(inner.len()));
    inner.split_ascii_whitespace().for_each(|part| encoded.push_str(part));
    Base64::decode_vec(&encoded).ok().map(Zeroizing::new)
}
