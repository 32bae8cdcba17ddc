pub mod clock;
pub mod crypto;
pub mod error;
pub mod model;
pub mod pki;
