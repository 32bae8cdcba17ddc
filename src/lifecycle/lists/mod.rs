//! A CA's revocation lists: which are due, the next one worked out and signed, and whether it is where verifiers look.
//! What is revoked is decided in `revocation`; a list only says what the ledger says.

pub mod issue;
pub mod list;
pub mod served;
