//! The end of a key's certificate: decided in the ledger first, and then told to everyone who verifies, by a list, by
//! a keyring, or by nobody of ours. Deciding is never taken back; telling is repeated until it is done.

pub mod channel;
pub mod compromise;
pub mod keyring;
pub mod revoking;
pub mod settle;
pub mod tell;
pub mod terms;
