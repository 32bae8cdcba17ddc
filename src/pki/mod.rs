//! X.509 as pure functions: profiles, issuing, lint, revocation lists, requests, chains.
//!
//! Nothing here touches a key, a file or the clock. Making something has three steps: a plan (data) becomes a draft
//! (bytes to be signed), rehearsing the draft gives the one value that hands out a [`Tbs`](crate::model::Tbs), and that
//! value takes the signature and gives the finished thing, verified in software with the key in the issuer's
//! certificate. Checking something starts from hostile DER: sizes, counts and depths are bounded, and what was signed
//! is verified over the bytes that came in.

pub mod algorithm;
mod asn1;
pub mod certificate;
pub mod chain;
pub mod crl;
pub mod csr;
mod extension;
pub mod import;
pub mod issue;
pub mod issued;
pub mod link;
pub mod lint;
pub mod name;
pub mod oid;
pub mod openpgp;
pub mod pem;
pub mod profile;
pub mod proof;
pub mod published;
pub mod revoked;

pub mod serial;
pub mod takeover;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tools;
mod unsigned;

pub use asn1::Instant;
pub use extension::key_identifier_of;
