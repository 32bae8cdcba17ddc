//! One test binary, a module for each theme, so that it links once.

#[path = "it/support.rs"]
mod support;

#[path = "it/arrows.rs"]
mod arrows;
#[path = "it/compile_fail.rs"]
mod compile_fail;
#[path = "it/evidence.rs"]
mod evidence;
#[path = "it/first_signature.rs"]
mod first_signature;
#[path = "it/interruption.rs"]
mod interruption;
#[path = "it/ledger.rs"]
mod ledger;
