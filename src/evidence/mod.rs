//! Evidence: what leaves the machine about one act.
//!
//! A fragment is a view of two leaves, the intent's and the outcome's, with a signed checkpoint and an
//! inclusion proof. [`fragment::render`] makes every field from them; checking renders the same again and
//! compares bytes. So no field can be changed, and nothing needs to be believed but the ledger key. No fragment is made
//! without a receipt, and where fragments are kept or sent is not known here.

mod event;
pub mod fragment;

/// The JSON Schema (2020-12) of a fragment.
pub const SCHEMA: &str = include_str!("fragment.schema.json");
