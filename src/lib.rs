//! `keyctl`: makes, uses, rotates, revokes, audits and rehearses code-signing keys in PKCS#11 HSMs.
//!
//! One road runs through the program, and the modules are its stages. A command turns its arguments into a
//! [`request::Request`]. [`signing`] copies the file while hashing, and its [`formats`] module says exactly which
//! digest is to be signed. The [`gate`] asks [`policy`], writes the intent to the [`ledger`], and returns a
//! [`gate::Permit`]. For a permit, and nothing else, the key store in [`hsm`] opens a signing key, which signs
//! what the permit lists. The format says how the signature goes into the copy and verifies the copy by a fresh
//! parse; [`files`] gives it its final name. [`outcome`] closes the permit and leaves a receipt; [`evidence`] turns the
//! receipt and a signed checkpoint into a fragment that anyone can check with the ledger's public key.
//!
//! Each stage hands the next a value that only it can make, so a step cannot be left out by mistake.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod child;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod crypto;
pub mod error;
pub mod evidence;
pub mod files;
pub mod formats;
pub mod founding;
pub mod gate;
pub mod governance;
pub mod hsm;
pub mod http;
pub mod keys;
pub mod ledger;
pub mod lifecycle;
pub mod model;
pub mod outcome;
pub mod people;
pub mod pipeline;
pub mod pki;
pub mod policy;
pub mod publication;
pub mod published;
pub mod request;
pub mod retry;
pub mod runbooks;
pub mod signing;
pub mod ui;
pub mod world;
