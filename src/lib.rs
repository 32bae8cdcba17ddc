pub mod clock;
pub mod crypto;
pub mod error;
pub mod files;
pub mod model;
