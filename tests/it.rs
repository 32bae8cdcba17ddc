//! One test binary, a module for each theme, so that it links once.

#[path = "it/support.rs"]
mod support;

#[path = "it/arrows.rs"]
mod arrows;
#[path = "it/compile_fail.rs"]
mod compile_fail;

#[path = "it/doctor.rs"]
mod doctor;
#[path = "it/import.rs"]
mod import;
#[path = "it/keygen.rs"]
mod keygen;
#[path = "it/softhsm.rs"]
mod softhsm;
#[path = "it/tokens.rs"]
mod tokens;
