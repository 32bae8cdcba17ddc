pub mod clock;
pub mod config;
pub mod crypto;
pub mod error;
pub mod files;
pub mod model;
