//! Whole repositories: signed, tampered with, and shown to the programs that clients run.

mod clients;
mod corpus;
mod overlap;
pub(crate) mod scene;
mod signing;
