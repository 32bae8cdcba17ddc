//! Tokens: any PKCS#11 module, or the one inside the binary.
//!
//! A [`token::Token`] is one logged-in token. Its sessions live on worker threads ([`worker`]), which
//! take plain data and give plain data back; a call that hangs ends with its deadline. What a module
//! says is checked before it is believed ([`raw`]), keys are found by CKA_ID and confirmed by their
//! public part ([`object`]), and no signature comes out that was not verified in software ([`sign`]).
//!
//! Operations that use, make or destroy private keys are visible inside this stage only: the rest of the
//! program reaches them with a permit.
//!
//! `unsafe` stands in two files, `raw.rs` (calls that cryptoki cannot make safely) and `builtin.rs` (the
//! three exported names), each block with its argument.

#![deny(unsafe_code)]

mod answers;
pub mod builtin;
mod destroy;
pub mod doctor;
pub mod fault;
pub mod generate;
pub mod keycheck;
pub mod module;
pub mod object;
pub mod pin;
mod raw;
mod sign;
pub mod store;
pub mod token;
mod worker;

pub use destroy::Gone;
pub use fault::{Fault, Outage, Refusal};
pub use generate::{Generated, KeyTemplate};
pub use module::ModuleSpec;
pub use object::{AttributeState, Confirmation, Inspection, KeyRef, ObjectInfo, Presence, State};
pub use pin::{Pin, PinSource};
pub use token::{MechanismInfo, Token, TokenInfo, TokenSpec};

#[cfg(test)]
mod tests;
