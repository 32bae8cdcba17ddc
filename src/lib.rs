pub mod clock;
pub mod crypto;
pub mod error;
pub mod formats;
pub mod model;
