//! One entry of the ledger and its exact bytes, the leaf of the tree.

use crate::clock::{self, Time};
use crate::crypto::{jcs, merkle};
use crate::error::{Context, Error, Result};
use crate::model::{Actor, CorrelationId, Hash256};
use crate::request::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a leaf.
pub const MAX_LEAF: usize = 1 << 20;

const MAX_HOST: usize = 255;
const MAX_ROLE: usize = 64;

/// The member of a leaf's body that holds [`Entry::register`].
const REGISTER: &str = "register";

/// The version of the entry's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// The first and only one.
    #[serde(rename = "keyctl.entry/v1")]
    V1,
}

/// What happened: UPPER_SNAKE, at most 30 characters (`KEY_GENERATED`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryType(String);

impl EntryType {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for EntryType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        let letter = text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        if letter && text.len() <= 30 && text.split('_').all(word) {
            return Ok(EntryType(text.to_owned()));
        }
        Err(Error::usage("bad_entry_type", format!("{text:?} is not an entry type (UPPER_SNAKE, up to 30 characters)")))
    }
}

impl TryFrom<String> for EntryType {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map_err(|error: Error| error.message().to_owned())
    }
}

impl From<EntryType> for String {
    fn from(entry_type: EntryType) -> String {
        entry_type.0
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of this form.
    pub schema: Schema,
    /// Place in the tree, from 0.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub entry_type: EntryType,
    /// When, in whole seconds; never before the entry in front.
    #[serde(with = "clock::serde_rfc3339")]
    pub time: Time,
    /// Who asked.
    pub actor: Actor,
    /// The machine's name for itself, 1 to 255 bytes.
    pub host: String,
    /// What belongs together.
    pub correlation_id: CorrelationId,
    /// The rest, an object; `phase` tells intents from outcomes.
    pub body: Value,
    /// The digest over the tables that decide, as this entry left them ([`super::register`]); in the leaf it is the
    /// member `register` of the body. The first ledgers had none.
    #[serde(skip)]
    pub register: Option<Hash256>,
}

/// An entry as JSON, to be written more than once.
pub(super) struct Form(Value);

impl Form {
    /// The bytes of the leaf.
    ///
    /// # Errors
    /// `entry_too_large` beyond [`MAX_LEAF`], `bad_json` if the body has no canonical form.
    pub fn bytes(&mut self, register: Option<Hash256>) -> Result<Vec<u8>> {
        if let Some(register) = register {
            self.0["body"][REGISTER] = register.to_string().into();
        }
        let bytes = jcs::value_to_vec(&self.0)?;
        if bytes.len() > MAX_LEAF {
            let message = format!("a {} entry of {} bytes exceeds {MAX_LEAF}", self.0["type"], bytes.len());
            return Err(Error::failed("entry_too_large", message));
        }
        Ok(bytes)
    }
}

/// What a caller says of an entry; the writer adds place, time and host.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// What happened.
    pub entry_type: EntryType,
    /// Who asked.
    pub actor: Actor,
    /// What belongs together.
    pub correlation_id: CorrelationId,
    /// The rest, an object.
    pub body: Value,
}

impl Entry {
    /// The exact bytes that are hashed and kept: canonical JSON.
    ///
    /// # Errors
    /// `bad_entry` if a field breaks its rule, `entry_too_large` beyond [`MAX_LEAF`], `bad_json` if the body has
    /// no canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.form()?.bytes(self.register)
    }

    /// The entry as JSON without its digest over the register, which is known only when the tables moved.
    ///
    /// # Errors
    /// `bad_entry`.
    pub(super) fn form(&self) -> Result<Form> {
        self.check()?;
        Ok(Form(serde_json::to_value(self).or_failed("bad_entry", || "an entry has no form".into())?))
    }

    /// Reads what [`Self::to_bytes`] writes, and nothing else.
    ///
    /// # Errors
    /// `bad_json` or `not_canonical` for bytes that are not canonical JSON, `bad_entry` for another value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut value = jcs::parse_strict(bytes, MAX_LEAF)?;
        let register = value.get_mut("body").and_then(Value::as_object_mut).and_then(|body| body.remove(REGISTER));
        let mut entry: Entry = serde_json::from_value(value).or_failed("bad_entry", || "not a ledger entry".into())?;
        entry.register = register
            .map(serde_json::from_value)
            .transpose()
            .or_failed("bad_entry", || "the digest over the register is none".into())?;
        // Times and numbers have one spelling here, too, though serde would take others. What is not canonical is never
        // equal; it is asked for only to say so.
        if entry.to_bytes()? != bytes {
            jcs::parse_canonical(bytes, MAX_LEAF)?;
            return Err(Error::failed("bad_entry", "a field of the entry is not in its one form"));
        }
        Ok(entry)
    }

    /// The RFC 6962 hash of its leaf.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn leaf_hash(&self) -> Result<Hash256> {
        Ok(merkle::leaf_hash(&self.to_bytes()?))
    }

    /// `body.phase`, if it is there.
    pub fn phase(&self) -> Option<&str> {
        self.body.get("phase")?.as_str()
    }

    /// The time after which the next entry has to be: its own, or the one that people set.
    pub fn leaves_time(&self) -> Time {
        let result = self.body.get("result").and_then(Value::as_str);
        let is_set = self.entry_type.as_str() == Kind::SetTime.entry()
            && self.phase() == Some("outcome")
            && result == Some("ok");
        let to = self.body.pointer("/done/to").and_then(Value::as_str).filter(|_| is_set).and_then(clock::parse);
        to.map_or(self.time, |to| to.min(self.time))
    }

    /// Which operation it is about, if it is about one.
    ///
    /// # Errors
    /// `unknown_operation`.
    pub fn kind(&self) -> Result<Kind> {
        Kind::of_entry(self.entry_type.as_str()).ok_or_else(|| {
            let message = format!("entry {} is about an act that is not known: {}", self.seq, self.entry_type);
            Error::failed("unknown_operation", message)
        })
    }

    fn check(&self) -> Result<()> {
        let bad = |what: &str| Err(Error::failed("bad_entry", format!("the entry's {what}")));
        if !(1..=MAX_HOST).contains(&self.host.len()) || self.host.chars().any(char::is_control) {
            return bad("host is not 1 to 255 bytes of text");
        }
        if self.actor.role.as_ref().is_some_and(|role| role.is_empty() || role.len() > MAX_ROLE) {
            return bad("actor role is not 1 to 64 bytes");
        }
        let Some(body) = self.body.as_object() else { return bad("body is not an object") };
        if body.contains_key(REGISTER) {
            return bad("body says something of the register by itself");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Assurance;
    use serde_json::json;

    fn entry() -> Entry {
        Entry {
            schema: Schema::V1,
            seq: 7,
            entry_type: "KEY_GENERATED".parse().unwrap(),
            time: clock::parse("2026-01-02T03:04:05Z").unwrap(),
            actor: Actor { email: "a@example.corp".parse().unwrap(), role: None, assurance: Assurance::Proven },
            host: "signer".into(),
            correlation_id: "c-1".parse().unwrap(),
            body: json!({"z": 1, "a": [null]}),
            register: None,
        }
    }

    #[test]
    fn every_operation_has_an_entry_type() {
        for &kind in crate::request::Kind::ALL {
            assert!(kind.entry().parse::<EntryType>().is_ok(), "{kind}");
        }
    }

    #[test]
    fn an_entry_has_exactly_these_bytes() {
        let text = concat!(
            r#"{"actor":{"assurance":"proven","email":"a@example.corp"},"body":{"a":[null],"z":1},"#,
            r#""correlation_id":"c-1","host":"signer","schema":"keyctl.entry/v1","seq":7,"#,
            r#""time":"2026-01-02T03:04:05Z","type":"KEY_GENERATED"}"#
        );
        assert_eq!(String::from_utf8(entry().to_bytes().unwrap()).unwrap(), text);
        assert_eq!(Entry::from_bytes(text.as_bytes()).unwrap(), entry());
        let bad = [
            (r#""seq":7"#, r#""seq":-7"#),
            ("05Z", "05+00:00"),
            ("03:04:05Z", "03:04:05.5Z"),
            ("entry/v1", "entry/v2"),
            ("KEY_GENERATED", "key_generated"),
            (r#""host":"signer""#, r#""host":"""#),
            (r#""body":{"a":[null],"z":1}"#, r#""body":[]"#),
            ("proven", "sure"),
            (r#""email":"a@example.corp""#, r#""email":"a@example.corp","role":null"#),
            (r#""GENERATED"}"#, r#""GENERATED","v":1}"#),
        ];
        for (from, to) in bad.iter().filter(|(from, _)| text.contains(from)) {
            assert_eq!(Entry::from_bytes(text.replace(from, to).as_bytes()).unwrap_err().code(), "bad_entry", "{to}");
        }
        assert_eq!(Entry::from_bytes(format!("{text} ").as_bytes()).unwrap_err().code(), "not_canonical");
    }

    #[test]
    fn the_digest_over_the_register_stands_in_the_body() {
        let with = Entry { register: Some(Hash256::of(b"tables")), ..entry() };
        let text = String::from_utf8(with.to_bytes().unwrap()).unwrap();
        let member = format!(r#""body":{{"a":[null],"register":"{}","z":1}}"#, Hash256::of(b"tables"));
        assert!(text.contains(&member), "{text}");
        assert_eq!(Entry::from_bytes(text.as_bytes()).unwrap(), with);
        for wrong in ["7", "null", "\"ABCD\""] {
            let text = text.replace(&format!("\"{}\"", Hash256::of(b"tables")), wrong);
            assert_eq!(Entry::from_bytes(text.as_bytes()).unwrap_err().code(), "bad_entry", "{wrong}");
        }
        let own = Entry { body: json!({ "register": "x" }), ..entry() };
        assert_eq!(own.to_bytes().unwrap_err().code(), "bad_entry");
    }

    #[test]
    fn types_are_upper_snake() {
        for good in ["GENESIS", "KEY_GENERATED", "A1_2"] {
            assert_eq!(good.parse::<EntryType>().unwrap().as_str(), good);
        }
        for bad in ["", "_A", "A_", "A__B", "1A", "a", "A-B", "A B", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDE"] {
            assert!(bad.parse::<EntryType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_leaf_has_an_upper_size() {
        let mut big = entry();
        big.body = json!({"x": "x".repeat(MAX_LEAF)});
        assert_eq!(big.to_bytes().unwrap_err().code(), "entry_too_large");
    }
}
