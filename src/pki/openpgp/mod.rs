//! OpenPGP certificates and document signatures whose keys live in a token. Here lives what is made of packets:
//! certificates, bindings, revocations, signatures over documents. Which key certifies which, and for how long, is
//! decided elsewhere, and no file is read or written here.
//!
//! Everything signed here is signed in two phases. First every signature packet is built in full except
//! for the signature itself: times, flags and issuer are fixed, so each digest is known before any key is
//! asked ([`unsigned`]). The caller shows that list to the gate as a [`plan::Plan`], has the digests signed
//! (by itself, or through [`DigestSigner`]), and gives the signatures back; they are checked one by one and
//! the result is parsed afresh before anybody sees it.
//!
//! That is why sequoia's own signing functions are not used: they put a random salt into each signature, so
//! a digest would be known only while the key is already being asked. With the salt left out, the same
//! request gives the same digests after a crash, which is what an idempotent retry needs. The salt guards
//! against chosen-prefix collisions in weak hashes; only SHA-256 and longer are used here.
//!
//! Certificates are version 4 (RFC 4880): gpgv, sqv and apt of Debian 12 read nothing newer.
//!
//! * [`key`]: public keys as packets, algorithms, signature numbers
//! * [`certificate`]: reading certificates, listing their keys
//! * [`make`], [`change`]: making certificates, adding subkeys, extending, revoking
//! * [`ending`]: revocations, made now or applied from what was put aside
//! * [`document`]: signatures over documents, made and judged
//! * [`certification`]: what a certification needs of a permit, and what closes it

pub mod certificate;
pub mod certification;
pub mod change;
mod clients;
pub mod document;
pub mod ending;
pub mod key;
pub mod make;
pub mod plan;
#[cfg(test)]
pub(crate) mod testkeys;
pub mod unsigned;

use crate::crypto::verify::PublicKey;
use crate::error::Result;
use crate::model::{Signature, Tbs};

/// A private key that signs digests somewhere else: in a token, behind a permit.
pub trait DigestSigner: Send + Sync {
    /// The public key.
    fn public_key(&self) -> &PublicKey;

    /// Signs exactly `tbs`.
    ///
    /// # Errors
    /// Whatever keeps the key from signing; nothing is retried here.
    fn sign(&self, tbs: &Tbs) -> Result<Signature>;
}
