//! What is done to a key: made, certified, activated, named in pipelines, rotated, suspended, revoked, destroyed, and the
//! lists about it. Each act goes the whole road: request, gate, key, outcome. Nothing here knows a command line or
//! prints a result, and what is done to files of others (artifacts) is in `signing`.

pub mod advance;
pub mod certify;
pub mod csr;
pub mod destroy;
pub mod generate;
pub mod lists;
pub mod marks;
pub mod openpgp;
pub mod pipelines;
pub mod revocation;
pub mod rotation;
pub mod suspend;
