//! The few DER pieces that certificates, CRLs and requests share: reading one element with its exact bytes,
//! writing one, and the times of RFC 5280 §4.1.2.5.
//!
//! Reading goes through `der`'s reader, which accepts definite, minimal lengths only and never looks beyond its
//! input. What was signed is kept as the bytes that came in; nothing is decoded and encoded again to be verified.

use crate::clock::Time;
use crate::error::{Error, Result};
use chrono::{Datelike, NaiveDate};
use const_oid::ObjectIdentifier;
use der::{Decode, Header, Reader, SliceReader};

/// Identifier octets (X.690 §8.1.2) of the types used here.
pub(super) mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0a;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const TELETEX_STRING: u8 = 0x14;
    pub const IA5_STRING: u8 = 0x16;
    pub const VISIBLE_STRING: u8 = 0x1a;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const BMP_STRING: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;

    /// `[n]`, constructed; `n` below 31.
    pub const fn context(n: u8) -> u8 {
        0xa0 | n
    }
}

/// One element: its identifier octet, its contents, and all of its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    pub raw: &'a [u8],
}

/// Reads the elements of some contents one after the other; errors name the field that was wanted.
#[derive(Clone)]
pub(super) struct Elements<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Elements<'a> {
    /// Over the contents of a constructed element, or over a whole input.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        SliceReader::new(bytes).map(|reader| Elements { reader }).map_err(|e| malformed("input", &e.to_string()))
    }

    /// The identifier octet of what comes next; `None` at the end.
    pub fn peek(&self) -> Option<u8> {
        self.reader.peek_byte()
    }

    /// The next element, whatever it is.
    pub fn any(&mut self, field: &str) -> Result<Element<'a>> {
        let bad = |e: der::Error| malformed(field, &e.to_string());
        let length = Header::peek(&self.reader).map_err(bad)?.length();
        let raw = self.reader.tlv_bytes().map_err(bad)?;
        let length = usize::try_from(length).map_err(bad)?;
        let value = raw.len().checked_sub(length).and_then(|at| raw.get(at..));
        match (raw.first(), value) {
            (Some(&tag), Some(value)) => Ok(Element { tag, value, raw }),
            _ => Err(malformed(field, "the element is cut off")),
        }
    }

    /// The next element, which must have this identifier octet.
    pub fn take(&mut self, wanted: u8, field: &str) -> Result<Element<'a>> {
        let element = self.any(field)?;
        if element.tag == wanted {
            Ok(element)
        } else {
            Err(malformed(field, &format!("identifier octet {:#04x} where {wanted:#04x} belongs", element.tag)))
        }
    }

    /// The next element if it has this identifier octet.
    pub fn optional(&mut self, wanted: u8, field: &str) -> Result<Option<Element<'a>>> {
        if self.peek() == Some(wanted) { self.any(field).map(Some) } else { Ok(None) }
    }

    /// The elements inside the next one, which must have this identifier octet.
    pub fn enter(&mut self, wanted: u8, field: &str) -> Result<Elements<'a>> {
        Elements::new(self.take(wanted, field)?.value)
    }

    /// An OBJECT IDENTIFIER.
    pub fn oid(&mut self, field: &str) -> Result<ObjectIdentifier> {
        let element = self.take(tag::OID, field)?;
        ObjectIdentifier::from_der(element.raw).map_err(|e| malformed(field, &e.to_string()))
    }

    /// The two's complement contents of an INTEGER, minimal as DER demands.
    pub fn integer(&mut self, field: &str) -> Result<&'a [u8]> {
        let value = self.take(tag::INTEGER, field)?.value;
        match value {
            [] => Err(malformed(field, "an INTEGER without contents")),
            [0, next, ..] if *next < 0x80 => Err(malformed(field, "an INTEGER with a needless leading byte")),
            [0xff, next, ..] if *next >= 0x80 => Err(malformed(field, "an INTEGER with a needless leading byte")),
            _ => Ok(value),
        }
    }

    /// A BOOLEAN, 0x00 or 0xff.
    pub fn boolean(&mut self, field: &str) -> Result<bool> {
        match self.take(tag::BOOLEAN, field)?.value {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(malformed(field, "a BOOLEAN that is neither 00 nor ff")),
        }
    }

    /// The bytes of a BIT STRING without unused bits.
    pub fn bits(&mut self, field: &str) -> Result<&'a [u8]> {
        match self.take(tag::BIT_STRING, field)?.value.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(malformed(field, "a BIT STRING with unused bits")),
        }
    }

    /// A UTCTime or GeneralizedTime as RFC 5280 allows them: seconds, `Z`, no fraction.
    pub fn time(&mut self, field: &str) -> Result<Instant> {
        let element = self.any(field)?;
        Instant::parse(element.tag, element.value).ok_or_else(|| malformed(field, "not a time of RFC 5280 §4.1.2.5"))
    }

    /// Is a time next?
    pub fn at_time(&self) -> bool {
        matches!(self.peek(), Some(tag::UTC_TIME | tag::GENERALIZED_TIME))
    }

    /// Nothing may follow.
    pub fn end(self, field: &str) -> Result<()> {
        self.reader.finish().map_err(|_| malformed(field, "trailing bytes"))
    }
}

/// A point in time with the type it was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// The time, UTC.
    pub time: Time,
    /// Written as UTCTime (two-digit year) and not as GeneralizedTime.
    pub utc_time: bool,
}

impl Instant {
    /// With the type RFC 5280 §4.1.2.5 demands: UTCTime through 2049, GeneralizedTime from 2050 on.
    pub fn new(time: Time) -> Self {
        Instant { time, utc_time: (1950..2050).contains(&time.year()) }
    }

    fn parse(tag: u8, value: &[u8]) -> Option<Self> {
        let digits = value.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year, rest) = match (tag, digits.len()) {
            (tag::UTC_TIME, 12) => {
                let year = number(digits.get(..2)?)?;
                (if year < 50 { 2000 } else { 1900 } + year, digits.get(2..)?)
            }
            (tag::GENERALIZED_TIME, 14) => (number(digits.get(..4)?)?, digits.get(4..)?),
            _ => return None,
        };
        let mut pairs = rest.chunks(2).map(number);
        let mut pair = || pairs.next().flatten();
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, pair()?, pair()?)?;
        let time = date.and_hms_opt(pair()?, pair()?, pair()?)?.and_utc();
        Some(Instant { time, utc_time: tag == tag::UTC_TIME })
    }

    /// DER.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (tag, format) =
            if self.utc_time { (tag::UTC_TIME, "%y%m%d%H%M%SZ") } else { (tag::GENERALIZED_TIME, "%Y%m%d%H%M%SZ") };
        tlv(tag, &[self.time.format(format).to_string().as_bytes()])
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One element from its identifier octet and the parts of its contents.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            // At most eight length bytes, so the count fits beside the flag.
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// SEQUENCE of these parts.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, parts)
}

/// OBJECT IDENTIFIER.
pub(super) fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OID, &[oid.as_bytes()])
}

/// INTEGER from a non-negative big-endian number.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    match bytes.get(start..) {
        None | Some([]) => tlv(tag::INTEGER, &[&[0]]),
        Some(digits @ [first, ..]) if *first >= 0x80 => tlv(tag::INTEGER, &[&[0], digits]),
        Some(digits) => tlv(tag::INTEGER, &[digits]),
    }
}

/// BIT STRING without unused bits.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, &[&[0], bytes])
}

/// `malformed_der`, naming the field.
pub(super) fn malformed(field: &str, why: &str) -> Error {
    Error::failed("malformed_der", format!("{field}: {why}"))
}

/// Contents of a non-negative INTEGER without the sign byte; `None` when it is negative.
pub(super) fn magnitude(content: &[u8]) -> Option<&[u8]> {
    match content {
        [first, ..] if *first >= 0x80 => None,
        [0, rest @ ..] if !rest.is_empty() => Some(rest),
        _ => Some(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_at_2050_and_read_strictly() {
        let at = |text: &str| crate::clock::parse(text).unwrap();
        assert_eq!(Instant::new(at("2049-12-31T23:59:59Z")).encode(), tlv(tag::UTC_TIME, &[b"491231235959Z"]));
        assert_eq!(
            Instant::new(at("2050-01-01T00:00:00Z")).encode(),
            tlv(tag::GENERALIZED_TIME, &[b"20500101000000Z"])
        );
        let early = Instant::parse(tag::UTC_TIME, b"500101000000Z").unwrap();
        assert_eq!(early.time, at("1950-01-01T00:00:00Z"));
        for bad in [&b"2001010000Z"[..], b"200230000000Z", b"200101000000+0000", b"20010100000 Z", b"200101000060Z"] {
            assert!(Instant::parse(tag::UTC_TIME, bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(Instant::parse(tag::GENERALIZED_TIME, b"20200101000000.5Z").is_none());
    }

    #[test]
    fn lengths_and_integers_are_minimal() {
        for length in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let bytes = tlv(tag::OCTET_STRING, &[&vec![7; length]]);
            let mut elements = Elements::new(&bytes).unwrap();
            assert_eq!(elements.take(tag::OCTET_STRING, "x").unwrap().value.len(), length);
            elements.end("x").unwrap();
        }
        assert_eq!(unsigned(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        for bad in [&[2, 2, 0, 1][..], &[2, 2, 0xff, 0x80], &[2, 0], &[2, 0x81, 1, 1], &[2, 2, 1]] {
            assert!(Elements::new(bad).unwrap().integer("x").is_err(), "{bad:?}");
        }
    }
}
