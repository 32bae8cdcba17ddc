//! Pure decisions: a request and the facts go in, gates with verdicts come out. Nothing here reads a file,
//! a token, the ledger or the clock; the gate gathers the facts and asks. What an
//! operation is called and what its parameters are is said in `request`.

#[cfg(test)]
mod conditions;
pub mod derived;
pub mod every;
pub mod facts;
pub mod gates;
pub mod grants;
pub mod hardware;
pub mod life;
pub mod people;
pub mod revocation;
pub mod roster;
pub mod rotation;
pub mod rules;
pub mod signing;
mod suspension;
#[cfg(test)]
pub(crate) mod testing;
mod time;

pub use facts::{Decide, Facts};
pub use gates::{Decision, Gate, Verdict};
