pub mod clock;
pub mod crypto;
pub mod error;
pub mod formats;
pub mod keys;
pub mod model;
pub mod pki;
