//! The formats that are signed. Each sees bytes and digests, none touches a key.

pub mod apt;
