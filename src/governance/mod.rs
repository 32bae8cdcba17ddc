//! What is done to rules and people: standing approvals that automation uses up. Whether one covers an act is decided by
//! `policy`, from facts; here one is planned, given, ended and looked up. Nothing here knows a command line or prints a result.

pub mod grants;
pub mod time;
