//! What makes keys into identities: certificate profiles, issuance, OpenPGP certificates.

pub mod openpgp;
