//! What stands in an entry's body.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| Error::failed("bad_entry", "an entry's body cannot be read").because(error))
}

pub(super) fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| Error::failed("bad_entry", format!("an entry's body has no {name}")))
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    let text = field(value, name)?.as_str();
    text.ok_or_else(|| Error::failed("bad_entry", format!("{name} in an entry's body is no text")))
}
