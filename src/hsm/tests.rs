//! One contract, run on the builtin token, SoftHSM2 and NSS; then what only the builtin token has, a module
//! that lies, and a spy that counts calls.
//!
//! SoftHSM2 reads its configuration from the environment and NSS its folder once per process, so each of
//! their tests runs in a child process of its own: the test binary again, with one test and its variables.
//! A module that is not installed is skipped aloud; the builtin token never is.

mod builtin;
mod contract;
mod lying;
mod spy;
mod support;
