//! Distinguished names (RFC 5280 §4.1.2.4, X.520): made from settings, copied byte for byte, shown as RFC 4514.

mod same;

pub use same::{normal, same};

use super::asn1::{self, Elements, tag};
use super::oid;
use crate::error::{Error, Result};
use crate::model::hex;
use const_oid::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};

/// The most relative distinguished names, and attributes in all, that a name may have.
const MAX_ATTRIBUTES: usize = 64;

/// A subject as the settings write it. Each value is one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Two-letter ISO 3166-1 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// The legal name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Department; for installer certificates the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<String>,
    /// Common name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
}

impl Subject {
    /// The DER Name, in the order C, ST, L, O, OU, CN: C as PrintableString, the rest as UTF8String.
    ///
    /// # Errors
    /// `Usage` `bad_subject` naming the attribute: empty, longer than X.520's upper bound, surrounded by blanks, with
    /// control or invisible characters, or a country that is not two upper-case letters; or no attribute at all.
    pub fn to_name(&self) -> Result<Name> {
        let attributes = [
            ("country", &self.country, oid::COUNTRY, 2),
            ("state", &self.state, oid::STATE, 128),
            ("locality", &self.locality, oid::LOCALITY, 128),
            ("organization", &self.organization, oid::ORGANIZATION, 64),
            ("organizational_unit", &self.organizational_unit, oid::ORGANIZATIONAL_UNIT, 64),
            ("common_name", &self.common_name, oid::COMMON_NAME, 64),
        ];
        let mut names = Vec::new();
        for (field, value, oid, limit) in attributes {
            let Some(value) = value else { continue };
            check_value(field, value, limit)?;
            let string = if oid == oid::COUNTRY { tag::PRINTABLE_STRING } else { tag::UTF8_STRING };
            let attribute = asn1::sequence(&[&asn1::oid(&oid), &asn1::tlv(string, &[value.as_bytes()])]);
            names.push(asn1::tlv(tag::SET, &[&attribute]));
        }
        if names.is_empty() {
            return Err(Error::usage("bad_subject", "subject: no attribute is given"));
        }
        Ok(Name { der: asn1::sequence(&names.iter().map(Vec::as_slice).collect::<Vec<_>>()) })
    }
}

fn check_value(field: &str, value: &str, limit: usize) -> Result<()> {
    let bad = |why: String| Err(Error::usage("bad_subject", format!("subject.{field}: {why}")));
    if value.is_empty() || value.trim() != value {
        return bad("empty, or with blanks around it".into());
    }
    if value.chars().count() > limit {
        return bad(format!("more than {limit} characters"));
    }
    if crate::error::shown(value) != value {
        return bad("control or invisible characters".into());
    }
    if field == "country" && !(value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase())) {
        return bad("not two upper-case letters".into());
    }
    Ok(())
}

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Identifier octet of the value's string type.
    pub tag: u8,
    /// Contents of the value.
    pub value: Vec<u8>,
    /// The value's DER.
    pub raw: Vec<u8>,
}

impl Attribute {
    /// The value as text; `None` for types that are no strings and for bytes that do not fit their type.
    pub fn text(&self) -> Option<String> {
        match self.tag {
            tag::UTF8_STRING => String::from_utf8(self.value.clone()).ok(),
            tag::PRINTABLE_STRING | tag::IA5_STRING | tag::VISIBLE_STRING => {
                self.value.is_ascii().then(|| self.value.iter().map(|b| char::from(*b)).collect())
            }
            // T.61 is read as Latin-1 everywhere in practice.
            tag::TELETEX_STRING => Some(self.value.iter().map(|b| char::from(*b)).collect()),
            tag::BMP_STRING => {
                let pairs = self.value.chunks_exact(2);
                if !pairs.remainder().is_empty() {
                    return None;
                }
                let units = pairs.map(|p| p.iter().fold(0, |unit, b| (unit << 8) | u16::from(*b)));
                char::decode_utf16(units).collect::<std::result::Result<_, _>>().ok()
            }
            _ => None,
        }
    }
}

/// A DER Name. Two are equal if their bytes are; whether they name the same is for [`same`] to say.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    der: Vec<u8>,
}

impl Name {
    /// Reads a DER Name.
    ///
    /// # Errors
    /// `malformed_der`; more than 64 attributes.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let name = Name { der: der.to_vec() };
        name.relative_names()?;
        Ok(name)
    }

    /// Bytes that were an element of a certificate; they may be unreadable as a name.
    pub(super) fn from_raw(der: Vec<u8>) -> Self {
        Name { der }
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The relative distinguished names in order, each with its attributes.
    ///
    /// # Errors
    /// `malformed_der`; more than 64 attributes.
    pub fn relative_names(&self) -> Result<Vec<Vec<Attribute>>> {
        let mut outer = Elements::new(&self.der)?;
        let mut names = outer.enter(tag::SEQUENCE, "name")?;
        outer.end("name")?;
        let (mut list, mut count) = (Vec::new(), 0usize);
        while names.peek().is_some() {
            let mut set = names.enter(tag::SET, "relativeDistinguishedName")?;
            let mut attributes = Vec::new();
            while set.peek().is_some() {
                count = count.saturating_add(1);
                if count > MAX_ATTRIBUTES {
                    return Err(asn1::malformed("name", &format!("more than {MAX_ATTRIBUTES} attributes")));
                }
                let mut pair = set.enter(tag::SEQUENCE, "attribute")?;
                let oid = pair.oid("attribute.type")?;
                let value = pair.any("attribute.value")?;
                pair.end("attribute")?;
                attributes.push(Attribute {
                    oid,
                    tag: value.tag,
                    value: value.value.to_vec(),
                    raw: value.raw.to_vec(),
                });
            }
            if attributes.is_empty() {
                return Err(asn1::malformed("relativeDistinguishedName", "an empty set"));
            }
            list.push(attributes);
        }
        Ok(list)
    }

    /// All attributes in order; none if the name is unreadable.
    pub fn attributes(&self) -> Vec<Attribute> {
        self.relative_names().unwrap_or_default().into_iter().flatten().collect()
    }

    /// The text of the first attribute of this type.
    pub fn get(&self, oid: &ObjectIdentifier) -> Option<String> {
        self.attributes().iter().find(|a| a.oid == *oid)?.text()
    }

    /// No attributes, or unreadable.
    pub fn is_empty(&self) -> bool {
        self.attributes().is_empty()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// RFC 4514: last relative name first. Control and invisible characters become hex pairs, so it is safe to print.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(names) = self.relative_names() else { return f.write_str("(unreadable name)") };
        for (i, attributes) in names.iter().rev().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            for (j, attribute) in attributes.iter().enumerate() {
                if j > 0 {
                    f.write_char('+')?;
                }
                write_attribute(f, attribute)?;
            }
        }
        Ok(())
    }
}

fn write_attribute(f: &mut fmt::Formatter<'_>, attribute: &Attribute) -> fmt::Result {
    match (short_name(&attribute.oid), attribute.text()) {
        (Some(short), Some(text)) => {
            write!(f, "{short}=")?;
            write_escaped(f, &text)
        }
        (short, _) => {
            match short {
                Some(short) => f.write_str(short)?,
                None => write!(f, "{}", attribute.oid)?,
            }
            write!(f, "=#{}", hex(&attribute.raw))
        }
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (i, c) in text.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\');
        if special || (c == ' ' && (i == 0 || i == last)) || (c == '#' && i == 0) {
            f.write_char('\\')?;
            f.write_char(c)?;
        } else if crate::error::shown(c.encode_utf8(&mut [0; 4])).starts_with("\\u") {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(f, "\\{byte:02x}")?;
            }
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// The names RFC 4514 §3 gives; other types are shown as their numbers.
fn short_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    let table = [
        (oid::COMMON_NAME, "CN"),
        (oid::LOCALITY, "L"),
        (oid::STATE, "ST"),
        (oid::ORGANIZATION, "O"),
        (oid::ORGANIZATIONAL_UNIT, "OU"),
        (oid::COUNTRY, "C"),
        (oid::STREET, "STREET"),
        (oid::DOMAIN_COMPONENT, "DC"),
        (oid::USER_ID, "UID"),
    ];
    table.iter().find(|(known, _)| known == oid).map(|(_, short)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.into())
    }

    #[test]
    fn a_subject_becomes_a_name_in_order_and_shows_as_rfc_4514() {
        let subject = Subject {
            country: some("US"),
            organization: some("Example, Corp+ \"Ltd\""),
            organizational_unit: some("#1"),
            common_name: some("Grüße"),
            ..Subject::default()
        };
        let name = subject.to_name().unwrap();
        assert_eq!(name.to_string(), "CN=Grüße,OU=\\#1,O=Example\\, Corp\\+ \\\"Ltd\\\",C=US");
        let tags: Vec<_> = name.attributes().iter().map(|a| a.tag).collect();
        assert_eq!(tags, [tag::PRINTABLE_STRING, tag::UTF8_STRING, tag::UTF8_STRING, tag::UTF8_STRING]);
        assert_eq!(Name::from_der(name.der()).unwrap(), name);
        // OpenSSL reads the same attributes in the same order.
        let theirs = openssl::x509::X509Name::from_der(name.der()).unwrap();
        let values: Vec<_> =
            theirs.entries().map(|e| String::from_utf8(e.data().as_slice().to_vec()).unwrap()).collect();
        assert_eq!(values, ["US", "Example, Corp+ \"Ltd\"", "#1", "Grüße"]);
    }

    #[test]
    fn bad_subjects_name_the_attribute() {
        let long = "x".repeat(65);
        for (country, name, field) in [
            ("us", "ok", "country"),
            ("USA", "ok", "country"),
            ("US", "", "common_name"),
            ("US", " x", "common_name"),
            ("US", "a\u{202e}b", "common_name"),
            ("US", long.as_str(), "common_name"),
        ] {
            let subject = Subject { country: some(country), common_name: some(name), ..Subject::default() };
            assert!(subject.to_name().unwrap_err().message().contains(field), "{country} {name}");
        }
        assert!(Subject::default().to_name().is_err());
    }

    #[test]
    fn hostile_names_show_without_control_characters() {
        let value = |tag: u8, bytes: &[u8]| {
            let pair = asn1::sequence(&[&asn1::oid(&oid::COMMON_NAME), &asn1::tlv(tag, &[bytes])]);
            Name::from_raw(asn1::sequence(&[&asn1::tlv(tag::SET, &[&pair])])).to_string()
        };
        assert_eq!(value(tag::UTF8_STRING, b"a\x1b[2J\n "), "CN=a\\1b[2J\\0a\\ ");
        assert_eq!(value(tag::UTF8_STRING, b"\xff"), "CN=#0c01ff");
        assert_eq!(value(tag::BMP_STRING, b"\0A\x01\x02"), "CN=Aā".replace('ā', "\u{102}"));
        assert_eq!(value(tag::INTEGER, b"\x01"), "CN=#020101");
        assert_eq!(Name::from_raw(b"\x30\x02\x31\x00".to_vec()).to_string(), "(unreadable name)");
    }
}
