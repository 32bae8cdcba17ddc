//! Canonical JSON: RFC 8785 (JCS), restricted to what we sign and keep.
//!
//! The values are null, booleans, integers, strings, arrays and objects. Floats are refused, because their
//! text form is the one part of JCS where implementations differ, and nothing we sign needs one. Integers
//! stay within ±(2^53 − 1), the range in which every JSON reader agrees (RFC 7493 §2.2). Containers nest at
//! most [`MAX_DEPTH`] deep, so whatever is written here can be read here.
//!
//! Two readers: [`parse_strict`] takes any spelling of such a value, but refuses what two readers could
//! understand differently (duplicate keys, floats, bytes after the end); [`parse_canonical`] takes the one
//! canonical spelling only.

use crate::error::{Context, Error, Result};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, de};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How deep arrays and objects may nest; the outermost counts as 1.
pub const MAX_DEPTH: usize = 32;

/// The largest integer magnitude, 2^53 − 1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The canonical bytes of `value`.
///
/// A NaN or an infinity looks like `null` to serde_json and becomes one; types that are signed have no floats.
///
/// # Errors
/// `bad_json` if the value has a float, an integer out of range, keys that are not strings, or nests too deep.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    value_to_vec(&serde_json::to_value(value).or_failed("bad_json", || "the value has no JSON form".into())?)
}

/// As [`to_vec`], of what is a value already: nothing is copied.
///
/// # Errors
/// As there.
pub fn value_to_vec(value: &Value) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    write(value, 0, &mut out)?;
    Ok(out)
}

/// Plain data as JSON, whatever its numbers are; what is signed goes through [`to_vec`].
///
/// # Errors
/// Only a bug: all that is asked for here has a JSON form.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::bug("plain data has no JSON form").because(error))
}

/// Reads one JSON value of at most `max_len` bytes, strictly.
///
/// # Errors
/// `bad_json` for too many bytes, bad syntax or UTF-8, duplicate keys at any depth, floats, integers out of
/// range, nesting deeper than [`MAX_DEPTH`], or bytes after the value.
pub fn parse_strict(bytes: &[u8], max_len: usize) -> Result<Value> {
    if bytes.len() > max_len {
        return Err(Error::failed("bad_json", format!("{} bytes of JSON, at most {max_len} are read", bytes.len())));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.or_failed("bad_json", || "not strict JSON".into())
}

/// As [`parse_strict`], and the bytes must be exactly those that [`to_vec`] writes.
///
/// # Errors
/// `bad_json` as there, `not_canonical` for another spelling of a good value.
pub fn parse_canonical(bytes: &[u8], max_len: usize) -> Result<Value> {
    let value = parse_strict(bytes, max_len)?;
    if value_to_vec(&value)? != bytes {
        return Err(Error::failed("not_canonical", "the JSON is not in canonical form (RFC 8785)"));
    }
    Ok(value)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Number(number) => out.extend_from_slice(integer(number)?.as_bytes()),
        Value::String(text) => write_string(text, out)?,
        Value::Array(items) => {
            let depth = deeper(depth)?;
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, depth, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(members, deeper(depth)?, out)?,
    }
    Ok(())
}

fn write_object(members: &Map<String, Value>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut members: Vec<_> = members.iter().collect();
    // RFC 8785 §3.2.3: by UTF-16 code units, which is not the order of UTF-8 bytes above U+FFFF.
    if !members.is_sorted_by(|(a, _), (b, _)| a.is_ascii() && b.is_ascii() && a < b) {
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    out.push(b'{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out)?;
        out.push(b':');
        write(value, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// serde_json escapes as RFC 8785 §3.2.2.2 wants: the two-letter forms, else `\u00xx` in lower case, below U+0020 only.
fn write_string(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text).or_failed("bad_json", || "a string cannot be written".into())
}

fn integer(number: &Number) -> Result<String> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match magnitude {
        Some(magnitude) if magnitude <= MAX_INTEGER => Ok(number.to_string()),
        Some(_) => Err(Error::failed("bad_json", format!("the integer {number} is beyond 2^53 - 1"))),
        None => Err(Error::failed("bad_json", format!("the number {number} is not an integer"))),
    }
}

fn deeper(depth: usize) -> Result<usize> {
    if depth >= MAX_DEPTH {
        return Err(Error::failed("bad_json", format!("the JSON nests deeper than {MAX_DEPTH}")));
    }
    Ok(depth + 1)
}

/// Builds a [`Value`] while refusing what [`parse_strict`] refuses; `depth` is that of the container around it.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: de::Error>(self) -> std::result::Result<Self, E> {
        deeper(self.depth).map(|depth| Strict { depth }).map_err(|error| E::custom(error.message()))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> std::result::Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, an integer within 2^53 - 1, a string, an array or an object")
    }
    fn visit_unit<E: de::Error>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Value, E> {
        in_range(value.into())
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Value, E> {
        in_range(value.into())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Value, E> {
        Err(E::invalid_type(de::Unexpected::Float(value), &self))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: de::Error>(self, value: String) -> std::result::Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let inner = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let inner = self.inside()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} occurs twice")));
            }
            let value = map.next_value_seed(inner)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

fn in_range<E: de::Error>(value: i128) -> std::result::Result<Value, E> {
    match i64::try_from(value) {
        Ok(small) if small.unsigned_abs() <= MAX_INTEGER => Ok(Value::Number(small.into())),
        _ => Err(E::custom(format_args!("the integer {value} is beyond 2^53 - 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn plain_data_becomes_a_value_or_is_a_bug() {
        assert_eq!(to_value(&[Some(1), None]).unwrap(), json!([1, null]));
        let no_text = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert_eq!(to_value(&no_text).unwrap_err().kind(), crate::error::Kind::Bug);
    }

    fn text(value: &Value) -> String {
        String::from_utf8(to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_sorted_as_in_rfc_8785_section_3_2_3() {
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let text = text(&value);
        let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let places: Vec<_> = order.iter().map(|word| text.find(word).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn strings_are_escaped_as_in_rfc_8785_section_3_2_2_2() {
        let value = json!("\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/\u{7f}\u{8}\u{c}\t\r\u{1f}");
        assert_eq!(text(&value), r#""€$\u000f\nA'B\"\\\\\"/"#.to_owned() + "\u{7f}" + r#"\b\f\t\r\u001f""#);
        assert_eq!(text(&json!({"b": [1, null, true, -0], "a": {}})), r#"{"a":{},"b":[1,null,true,0]}"#);
    }

    #[test]
    fn numbers_are_integers_that_every_reader_agrees_on() {
        assert_eq!(text(&json!(9_007_199_254_740_991_u64)), "9007199254740991");
        assert_eq!(text(&json!(-9_007_199_254_740_991_i64)), "-9007199254740991");
        for bad in [json!(9_007_199_254_740_992_u64), json!(-9_007_199_254_740_992_i64), json!(1.0), json!(u64::MAX)] {
            assert_eq!(to_vec(&bad).unwrap_err().code(), "bad_json", "{bad}");
        }
        for bad in ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "18446744073709551616", "01", "NaN"] {
            assert!(parse_strict(bad.as_bytes(), 100).is_err(), "{bad}");
        }
    }

    #[test]
    fn ambiguous_input_is_refused() {
        let bad = [
            r#"{"a":1,"a":1}"#,
            r#"[{"x":{"a":1,"\u0061":2}}]"#,
            "{} {}",
            "1x",
            "",
            "[1,]",
            r#"{"a":}"#,
            r#""\ud800""#,
            "// c\n1",
        ];
        for text in bad {
            assert_eq!(parse_strict(text.as_bytes(), 100).unwrap_err().code(), "bad_json", "{text}");
        }
        assert!(parse_strict(b"\"\xff\"", 100).is_err());
        assert!(parse_strict(b"[1]", 2).is_err());
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse_strict(nested(MAX_DEPTH).as_bytes(), 100).is_ok());
        assert!(parse_strict(nested(MAX_DEPTH + 1).as_bytes(), 100).is_err());
        assert!(parse_strict(nested(100_000).as_bytes(), 1 << 20).is_err());
    }

    #[test]
    fn another_spelling_is_not_canonical() {
        for text in [r#"{ "a":1}"#, r#"{"b":1,"a":1}"#, r#""\u0041""#, r#""\/""#, "[1]\n", r#""\u000A""#] {
            assert_eq!(parse_canonical(text.as_bytes(), 100).unwrap_err().code(), "not_canonical", "{text}");
            let value = parse_strict(text.as_bytes(), 100).unwrap();
            assert_eq!(parse_canonical(&to_vec(&value).unwrap(), 100).unwrap(), value);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(MAX_INTEGER as i64)..=MAX_INTEGER as i64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read_back_and_is_canonical(value in any_value()) {
            let bytes = to_vec(&value).unwrap();
            prop_assert_eq!(parse_canonical(&bytes, bytes.len()).unwrap(), value.clone());
            let loose = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(to_vec(&parse_strict(&loose, loose.len()).unwrap()).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_canonical(&bytes, 64);
        }
    }
}
