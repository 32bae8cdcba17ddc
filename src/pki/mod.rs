//! Certificates: X.509 profiles, issuing, lint, revocation lists, requests and chains, and OpenPGP certificates.
//!
//! Here lives what certificates are, how they are made and how they are judged, as functions of bytes and data. Nothing
//! here reads the clock or the ledger, or decides whether a certificate may be issued. Where something is made public ([`published`],
//! [`crl::delivery`]) its file is written and read back, and [`openpgp::certification`] hands digests to the keys that were
//! opened for it; all else is pure.
//!
//! Making something has three steps: a plan (data) becomes a draft
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
