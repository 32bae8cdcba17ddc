pub mod clock;
pub mod crypto;
pub mod error;
pub mod hsm;
pub mod model;
