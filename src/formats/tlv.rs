//! ASN.1 as tag, length and value, with the received bytes kept.
//!
//! Signatures are made over bytes, and foreign signers do not all write DER: attribute sets are unsorted, serial
//! numbers have leading zeros, timestamp tokens use BER's indefinite lengths. A typed decoder either refuses those or
//! puts them in order while reading, and then what was signed is gone. So reading here only cuts the bytes into
//! pieces ([`Reader`]); each [`Tlv`] keeps the slice it was cut from. [`definite`] rewrites BER's indefinite
//! lengths and its strings in segments, and leaves every other byte alone.
//!
//! Writing (`seq`, `set_of`, …) makes DER (X.690 §§8, 10, 11) and always the same bytes for the same input.

use crate::clock::Time;
use crate::error::{Error, Result};
use chrono::{Datelike, NaiveDateTime};
use const_oid::ObjectIdentifier;
use std::borrow::Cow;

/// Tags used in X.509, CMS and Authenticode (X.690 §8.1.2, universal class unless said otherwise).
pub mod tag {
    #![allow(missing_docs, reason = "the names are those of X.680")]
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;

    /// Context-specific, primitive, `[n]` with n below 31.
    pub const fn primitive(n: u8) -> u8 {
        0x80 | n
    }

    /// Context-specific, constructed, `[n]` with n below 31.
    pub const fn constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// Eight for each signature nested in another, and what is in the innermost.
const MAX_DEPTH: usize = 96;
/// Rewriting BER copies; nothing real is near this.
const MAX_BER: usize = 16 << 20;

/// The error of everything here: `malformed_der`, naming the field.
pub fn malformed(what: &str, problem: &str) -> Error {
    Error::failed("malformed_der", format!("{what}: {problem}"))
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The contents octets.
    pub value: &'a [u8],
    /// Identifier, length and contents, as received.
    pub raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads exactly one element.
    ///
    /// # Errors
    /// `malformed_der`: no element, or bytes behind it.
    pub fn parse(bytes: &'a [u8], what: &'static str) -> Result<Self> {
        let mut reader = Reader::new(bytes, what);
        let tlv = reader.any()?;
        reader.finish()?;
        Ok(tlv)
    }

    /// Reads exactly one SEQUENCE and gives what is inside.
    ///
    /// # Errors
    /// `malformed_der`: no element, another tag, or bytes behind it.
    pub fn sequence(bytes: &'a [u8], what: &'static str) -> Result<Reader<'a>> {
        Tlv::parse(bytes, what)?.as_sequence(what)
    }

    /// What is inside a SEQUENCE.
    ///
    /// # Errors
    /// `malformed_der`: another tag.
    pub fn as_sequence(&self, what: &'static str) -> Result<Reader<'a>> {
        if self.tag == tag::SEQUENCE { Ok(self.inside(what)) } else { Err(malformed(what, "not a SEQUENCE")) }
    }

    /// What is inside, whatever the tag.
    pub fn inside(&self, what: &'static str) -> Reader<'a> {
        Reader::new(self.value, what)
    }

    /// An OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// `malformed_der`: another tag, or not an identifier of up to 39 bytes.
    pub fn oid(&self, what: &str) -> Result<ObjectIdentifier> {
        if self.tag != tag::OID {
            return Err(malformed(what, "not an OBJECT IDENTIFIER"));
        }
        ObjectIdentifier::from_bytes(self.value).map_err(|_| malformed(what, "not a readable OBJECT IDENTIFIER"))
    }

    /// A small non-negative INTEGER.
    ///
    /// # Errors
    /// `malformed_der`: another tag, negative, or above 2³¹.
    pub fn small(&self, what: &str) -> Result<u32> {
        if self.tag != tag::INTEGER || self.value.is_empty() || self.value.len() > 4 {
            return Err(malformed(what, "not a small INTEGER"));
        }
        let number = self.value.iter().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
        if self.value.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(malformed(what, "a negative INTEGER"));
        }
        Ok(number)
    }

    /// The bytes of a BIT STRING without unused bits, as signatures and keys are.
    ///
    /// # Errors
    /// `malformed_der`: another tag, or unused bits.
    pub fn bits(&self, what: &str) -> Result<&'a [u8]> {
        match (self.tag, self.value.split_first()) {
            (tag::BIT_STRING, Some((0, bytes))) => Ok(bytes),
            _ => Err(malformed(what, "not a BIT STRING of whole bytes")),
        }
    }

    /// A UTCTime (50 to 49 is 1950 to 2049, RFC 5280 §4.1.2.5.1) or a GeneralizedTime in UTC; fractions of a second
    /// are cut off.
    ///
    /// # Errors
    /// `malformed_der`: another tag, another zone, or no such time.
    pub fn time(&self, what: &str) -> Result<Time> {
        let bad = || malformed(what, "not a UTC time");
        let text = std::str::from_utf8(self.value).map_err(|_| bad())?.strip_suffix('Z').ok_or_else(bad)?;
        let text = match self.tag {
            tag::UTC_TIME => {
                let century = if text.get(..2).ok_or_else(bad)? < "50" { "20" } else { "19" };
                format!("{century}{text}")
            }
            tag::GENERALIZED_TIME => match text.split_once('.') {
                Some((whole, part)) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => whole.into(),
                Some(_) => return Err(bad()),
                None => text.into(),
            },
            _ => return Err(bad()),
        };
        if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").map(|time| time.and_utc()).map_err(|_| bad())
    }
}

/// Cuts bytes into elements, one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; errors will be about `what`.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { rest: bytes, what }
    }

    /// No more elements.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element.
    ///
    /// # Errors
    /// `malformed_der`: there is none, its length is indefinite or runs over the end, or its tag number is above 30.
    pub fn any(&mut self) -> Result<Tlv<'a>> {
        let header = Header::read(self.rest).ok_or_else(|| malformed(self.what, "ends early or has a bad tag"))?;
        let length = header.length.ok_or_else(|| malformed(self.what, "indefinite length"))?;
        let end = header.size.checked_add(length);
        let parts = end.and_then(|end| {
            let (raw, rest) = self.rest.split_at_checked(end)?;
            Some((raw, raw.get(header.size..)?, rest))
        });
        let (raw, value, rest) = parts.ok_or_else(|| malformed(self.what, "an element runs over the end"))?;
        self.rest = rest;
        Ok(Tlv { tag: header.tag, value, raw })
    }

    /// The next element, which must have this tag.
    ///
    /// # Errors
    /// `malformed_der`: as [`Self::any`], or another tag.
    pub fn expect(&mut self, tag: u8, field: &str) -> Result<Tlv<'a>> {
        match self.optional(tag)? {
            Some(tlv) => Ok(tlv),
            None => Err(malformed(self.what, &format!("{field} is missing or has another tag"))),
        }
    }

    /// The next element if it has this tag.
    ///
    /// # Errors
    /// `malformed_der`: as [`Self::any`], for an element with this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// `malformed_der`: something is.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed(self.what, "has unexpected bytes at its end")) }
    }

    /// All that is left, at most `limit` elements.
    ///
    /// # Errors
    /// `malformed_der`: an element cannot be read, or there are more.
    pub fn all(mut self, limit: usize) -> Result<Vec<Tlv<'a>>> {
        let mut found = Vec::new();
        while !self.is_empty() {
            if found.len() == limit {
                return Err(malformed(self.what, &format!("more than {limit} elements")));
            }
            found.push(self.any()?);
        }
        Ok(found)
    }
}

/// Identifier and length octets.
struct Header {
    tag: u8,
    size: usize,
    /// `None` for BER's indefinite form.
    length: Option<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let &first = rest.first()?;
        match first {
            0x80 if tag & 0x20 != 0 => Some(Header { tag, size: 2, length: None }),
            0..=0x7f => Some(Header { tag, size: 2, length: Some(usize::from(first)) }),
            0x81..=0x84 => {
                let octets = rest.get(1..1 + usize::from(first & 0x7f))?;
                let length = octets.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
                Some(Header { tag, size: 2 + octets.len(), length: Some(usize::try_from(length).ok()?) })
            }
            _ => None,
        }
    }
}

/// The first element of `bytes` without indefinite lengths and without OCTET STRINGs in segments; what stands behind
/// it is left out. Borrowed if there was nothing to rewrite.
///
/// # Errors
/// `malformed_der`: not BER, nested deeper than 96, or more than 16 MiB to rewrite.
pub fn definite<'a>(bytes: &'a [u8], what: &'static str) -> Result<Cow<'a, [u8]>> {
    let (size, plain) = scan(bytes, 0).ok_or_else(|| malformed(what, "not BER, or nested too deep"))?;
    let element = bytes.get(..size).unwrap_or_default();
    if plain {
        return Ok(Cow::Borrowed(element));
    }
    if size > MAX_BER {
        return Err(malformed(what, "too much BER to rewrite"));
    }
    let mut out = Vec::with_capacity(size);
    rewrite(element, &mut out).ok_or_else(|| malformed(what, "not BER"))?;
    Ok(Cow::Owned(out))
}

/// How many bytes the first element of `bytes` takes, in DER or BER.
///
/// # Errors
/// `malformed_der`, as [`definite`].
pub fn encoded_len(bytes: &[u8], what: &'static str) -> Result<usize> {
    scan(bytes, 0).map(|(size, _)| size).ok_or_else(|| malformed(what, "not BER, or nested too deep"))
}

/// Size of the first element, and whether it is free of what [`definite`] rewrites.
fn scan(bytes: &[u8], depth: usize) -> Option<(usize, bool)> {
    if depth > MAX_DEPTH {
        return None;
    }
    let header = Header::read(bytes)?;
    let mut plain = header.tag != 0x24 && header.length.is_some();
    let Some(length) = header.length else {
        let mut at = header.size;
        loop {
            let rest = bytes.get(at..)?;
            if rest.starts_with(&[0, 0]) {
                return Some((at + 2, false));
            }
            at = at.checked_add(scan(rest, depth + 1)?.0)?;
        }
    };
    let end = header.size.checked_add(length)?;
    let mut inside = bytes.get(header.size..end)?;
    while header.tag & 0x20 != 0 && !inside.is_empty() {
        let (size, child) = scan(inside, depth + 1)?;
        plain &= child;
        inside = inside.get(size..)?;
    }
    Some((end, plain))
}

/// Writes one element, known to be sound by [`scan`], and gives its size.
fn rewrite(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (size, plain) = scan(bytes, 0)?;
    if plain {
        out.extend_from_slice(bytes.get(..size)?);
        return Some(size);
    }
    let header = Header::read(bytes)?;
    let end = if header.length.is_none() { size - 2 } else { size };
    let mut inside = bytes.get(header.size..end)?;
    let mut content = Vec::new();
    while !inside.is_empty() {
        inside = if header.tag == 0x24 {
            let mut segment = Vec::new();
            let taken = rewrite(inside, &mut segment)?;
            content.extend_from_slice(Reader::new(&segment, "").expect(tag::OCTET_STRING, "").ok()?.value);
            inside.get(taken..)?
        } else {
            let taken = rewrite(inside, &mut content)?;
            inside.get(taken..)?
        };
    }
    out.extend(wrap(if header.tag == 0x24 { tag::OCTET_STRING } else { header.tag }, &content));
    Some(size)
}

/// One element with this tag and contents.
pub fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 6);
    out.push(tag);
    if value.len() < 0x80 {
        out.push(value.len() as u8);
    } else {
        let length = value.len().to_be_bytes();
        let octets = length.iter().skip_while(|byte| **byte == 0);
        out.push(0x80 | octets.clone().count() as u8);
        out.extend(octets);
    }
    out.extend_from_slice(value);
    out
}

/// A SEQUENCE of these encodings.
pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    wrap(tag::SEQUENCE, &parts.concat())
}

/// A SET OF these encodings, in DER's order (X.690 §11.6), under the tag given (SET, or an IMPLICIT one).
pub fn set_of(tag: u8, mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    wrap(tag, &parts.concat())
}

/// An OBJECT IDENTIFIER.
pub fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    wrap(tag::OID, oid.as_bytes())
}

/// A non-negative INTEGER from big-endian bytes.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    wrap(tag::INTEGER, &unsigned_value(bytes))
}

/// The contents octets of [`unsigned`]: no leading zeros but the one that keeps the number from being negative.
pub fn unsigned_value(bytes: &[u8]) -> Vec<u8> {
    let mut value: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if value.first().is_none_or(|byte| byte & 0x80 != 0) {
        value.insert(0, 0);
    }
    value
}

/// A UTCTime up to 2049, a GeneralizedTime after (RFC 5652 §11.3).
pub fn time(time: Time) -> Vec<u8> {
    if (1950..2050).contains(&time.year()) {
        wrap(tag::UTC_TIME, time.format("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        wrap(tag::GENERALIZED_TIME, time.format("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indefinite_lengths_and_segments_become_definite() {
        // SEQUENCE (indefinite) { OCTET STRING (indefinite) { "ab", "c" }, SET { INTEGER 1 } }, then a stray byte
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 2, b'a', b'b', 4, 1, b'c', 0, 0, 0x31, 3, 2, 1, 1, 0, 0, 0xff];
        let der = definite(&ber, "test").unwrap();
        assert_eq!(der.as_ref(), [0x30, 10, 4, 3, b'a', b'b', b'c', 0x31, 3, 2, 1, 1]);
        assert!(matches!(definite(&der, "test").unwrap(), Cow::Borrowed(_)));
        assert!(definite(&ber[..ber.len() - 3], "test").is_err(), "end of contents missing");
        assert!(definite(&[0x30, 0x80].repeat(200), "test").is_err(), "nested too deep");
    }

    #[test]
    fn lengths_do_not_run_away() {
        for bad in [&[0x30u8, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x30], &[0x1f, 1, 0]] {
            assert_eq!(Tlv::parse(bad, "field").unwrap_err().code(), "malformed_der");
        }
        let long = wrap(tag::OCTET_STRING, &[7; 70_000]);
        assert_eq!(long[..5], [4, 0x83, 1, 0x11, 0x70]);
        assert_eq!(Tlv::parse(&long, "field").unwrap().value.len(), 70_000);
    }

    #[test]
    fn times_read_back() {
        let tlv = |bytes: &[u8]| Tlv::parse(bytes, "t").unwrap().time("t").map(crate::clock::rfc3339).ok();
        assert_eq!(tlv(&wrap(tag::UTC_TIME, b"991231235959Z")).as_deref(), Some("1999-12-31T23:59:59Z"));
        assert_eq!(tlv(&wrap(tag::GENERALIZED_TIME, b"20260102030405.678Z")).as_deref(), Some("2026-01-02T03:04:05Z"));
        for bad in ["20260102030405", "2026010203Z", "20261302030405Z", "20260102030405.Z", "20260102030405+0100"] {
            assert_eq!(tlv(&wrap(tag::GENERALIZED_TIME, bad.as_bytes())), None, "{bad}");
        }
        let late = crate::clock::parse("2051-01-01T00:00:00Z").unwrap();
        assert_eq!(time(late), wrap(tag::GENERALIZED_TIME, b"20510101000000Z"));
    }
}
