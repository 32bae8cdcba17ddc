pub mod clock;
pub mod crypto;
pub mod error;
pub mod ledger;
pub mod model;
