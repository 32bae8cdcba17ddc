//! How a workspace begins: its folders, tokens, people and settings, the request that everyone signs, and entry 0. What
//! comes after entry 0 is ordinary: keys are made by `lifecycle`. Nothing here knows a command line or prints a result.

pub mod begun;
pub mod earlier;
pub mod found;
pub mod genesis;
pub mod people;
pub mod request;
pub mod tokens;
