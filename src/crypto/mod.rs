//! Digests, random bytes, signatures checked in software, and the canonical forms that signatures are made over.
//!
//! Here lives what is true of bytes and keys whatever they are for. Nothing here touches a key of a token; only [`ssh`]
//! signs, with people's own SSH keys. Whose key something is, and whether that is enough, has no place here.
//!
//! Software verification uses the OpenSSL that the builtin token brings into the binary anyway, so there is one implementation of RSA and of the
//! curves, not two.

pub mod jcs;
pub mod merkle;
pub mod note;
mod random;
pub mod sha256;
pub mod ssh;
pub mod subject;
pub mod verify;

pub use random::random;
