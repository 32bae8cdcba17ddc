//! Whether two names are the same name (RFC 5280 §7.1): whatever string type a value has, whatever its letter case, and
//! however many blanks stand between its words. Whom a match leads to still has to prove it with a signature, so where
//! the rule leaves a choice the wider one does no harm.

use super::{Attribute, Name};
use crate::pki::asn1;
use std::borrow::Cow;

/// Whether two DER Names are the same. Bytes that are no name are the same as themselves only.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || normal(one) == normal(other)
}

/// The form that all spellings of a DER Name have in common; the bytes themselves if they are no name.
pub fn normal(der: &[u8]) -> Cow<'_, [u8]> {
    let Ok(names) = Name::from_raw(der.to_vec()).relative_names() else { return Cow::Borrowed(der) };
    let mut out = Vec::with_capacity(der.len());
    for attributes in &names {
        let mut set: Vec<_> = attributes.iter().map(attribute).collect();
        set.sort();
        out.push(asn1::tlv(asn1::tag::SET, &set.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    Cow::Owned(out.concat())
}

fn attribute(attribute: &Attribute) -> Vec<u8> {
    let value = match attribute.text() {
        Some(text) => asn1::tlv(asn1::tag::UTF8_STRING, &[words(&text).as_bytes()]),
        None => attribute.raw.clone(),
    };
    asn1::sequence(&[&asn1::oid(&attribute.oid), &value])
}

/// Lower case, one blank between words and none around them.
fn words(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::asn1::tag;
    use crate::pki::oid;

    /// Identifier octet and contents of a value.
    type Value<'a> = (u8, &'a [u8]);

    fn pair((tag, value): &Value<'_>) -> Vec<u8> {
        asn1::sequence(&[&asn1::oid(&oid::COMMON_NAME), &asn1::tlv(*tag, &[value])])
    }

    fn name(parts: &[&[Value<'_>]]) -> Vec<u8> {
        let set = |set: &&[Value<'_>]| asn1::tlv(tag::SET, &[&set.iter().map(pair).collect::<Vec<_>>().concat()]);
        asn1::sequence(&[&parts.iter().map(set).collect::<Vec<_>>().concat()])
    }

    #[test]
    fn spellings_of_one_name_are_one_name() {
        let plain = name(&[&[(tag::UTF8_STRING, b"Example Corp")]]);
        for other in [
            name(&[&[(tag::PRINTABLE_STRING, b"Example Corp")]]),
            name(&[&[(tag::UTF8_STRING, b" EXAMPLE   corp ")]]),
            name(&[&[(tag::BMP_STRING, b"\0E\0x\0a\0m\0p\0l\0e\0 \0C\0o\0r\0p")]]),
        ] {
            assert!(same(&plain, &other) && same(&other, &plain));
        }
        for other in [
            name(&[&[(tag::UTF8_STRING, b"ExampleCorp")]]),
            name(&[&[(tag::UTF8_STRING, b"Example Corp")], &[(tag::UTF8_STRING, b"x")]]),
            name(&[&[(tag::OCTET_STRING, b"Example Corp")]]),
            Vec::new(),
        ] {
            assert!(!same(&plain, &other));
        }
        let (a, b): (Value<'_>, Value<'_>) = ((tag::UTF8_STRING, b"a"), (tag::UTF8_STRING, b"b"));
        assert!(same(&name(&[&[a, b]]), &name(&[&[b, a]])), "a set has no order");
        assert!(!same(&name(&[&[a], &[b]]), &name(&[&[b], &[a]])), "relative names have one");
        assert!(!same(b"\x30\x01", b"\x30\x02") && same(b"\x30\x01", b"\x30\x01"));
    }
}
