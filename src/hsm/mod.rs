//! Tokens: any PKCS#11 module, or the one inside the binary.
//!
//! Here lives all that speaks to a token: opening it, finding, making and destroying keys on it, and signing with one. Operations
//! that use, make or destroy private keys are visible inside this stage only: the rest of the program reaches them with a
//! permit, through the [`store`]. What a key is for, whether it may be used and what its signature goes into is decided
//! elsewhere and has no place here.
//!
//! A [`token::Token`] is one logged-in token. Its sessions live on worker threads (`worker.rs`), which
//! take plain data and give plain data back; a call that hangs ends with its deadline. What a module
//! says is checked before it is believed (`raw.rs`), keys are found by CKA_ID and confirmed by their
//! public part (`search.rs`), and no signature comes out that was not verified in software (`sign.rs`).
//!
//! `unsafe` stands in two files, `raw.rs` (calls that cryptoki cannot make safely) and `builtin/library.rs` (the
//! three exported names), each block with its argument.

#![deny(unsafe_code)]

mod answers;
mod attestation;
pub mod builtin;
mod deadline;
mod destroy;
pub mod doctor;
pub mod fault;
pub mod generate;
pub mod keycheck;
pub mod module;
mod numbers;
pub mod object;
mod patience;
pub mod pin;
mod raw;
mod search;
mod sign;
mod software;
pub mod store;
pub mod token;
mod worker;

pub use destroy::Gone;
pub use fault::{Fault, Outage, Refusal};
pub use generate::{Generated, KeyTemplate};
pub use module::ModuleSpec;
pub use object::{AttributeState, Confirmation, Inspection, KeyRef, ObjectInfo, Presence, State};
pub use pin::{Pin, PinSource};
pub use token::{MechanismInfo, Production, Token, TokenInfo, TokenSpec};

#[cfg(test)]
mod tests;
