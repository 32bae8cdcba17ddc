//! Tokens: any PKCS#11 module, or the one inside the binary.
//!
//! A [`token::Token`] is one logged-in token. Its sessions live on worker threads, which
//! take plain data and give plain data back; a call that hangs ends with its deadline. What a module
//! says is checked before it is believed, keys are found by CKA_ID and confirmed by their
//! public part, and no signature comes out that was not verified in software.
//!
//! Operations that use, make or destroy private keys are visible inside this stage only: the rest of the
//! program reaches them with a permit.
//!
//! `unsafe` stands in two files, `raw.rs` (calls that cryptoki cannot make safely) and `builtin.rs` (the
//! three exported names), each block with its argument.

#![deny(unsafe_code)]

pub mod keycheck;


