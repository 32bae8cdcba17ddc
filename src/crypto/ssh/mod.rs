//! People's own SSH keys: OpenSSH public keys, and SSH signatures (OpenSSH PROTOCOL.sshsig, version 1), made and
//! checked so that stock `ssh-keygen -Y` agrees with every one.
//!
//! A [`PublicKey`] and a [`Signature`] have one byte form each; another spelling of the same thing is refused, so
//! a key has one fingerprint. A signature says which key made it, for which namespace; [`Signature::verify`] says
//! whether that is true, and whether a person touched the security key. Who that key belongs to, and whether it
//! counts, is for the roster to say.
//!
//! A [`Signer`] is one person's key at hand: in an agent, in a file, or in a security key that `ssh-keygen` speaks
//! to. Each signature is checked in software before it is handed out.
//!
//! The wire forms are read and written here, and the mathematics is the binary's one OpenSSL, because the current
//! `ssh-key` crate is a release candidate and brings second implementations of the curves and of RSA; only the
//! key derivation of encrypted key files, which OpenSSL does not have, is a crate (`bcrypt-pbkdf`).

mod agent;
mod key;
mod private;
mod signature;
mod signer;
mod wire;

pub use agent::Agent;
pub use key::{KeyKind, MAX_KEY_LINE, PublicKey};
pub use private::{PrivateFile, PrivateKey, generate_ed25519};
pub use signature::{MAX_NAMESPACE, MAX_SIGNATURE, Signature, Verified};
pub use signer::{AskPassphrase, Signer};

#[cfg(test)]
mod tests;
