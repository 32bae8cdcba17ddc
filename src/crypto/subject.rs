//! The subject of a certificate as its exact bytes, for comparing two of them where nothing else about certificates is
//! known.

use crate::error::{Context, Result};
use openssl::x509::X509;

/// The DER of the subject.
///
/// # Errors
/// `bad_certificate`: OpenSSL cannot read it.
pub fn subject_of(certificate: &[u8]) -> Result<Vec<u8>> {
    let read = || X509::from_der(certificate)?.subject_name().to_der();
    read().or_failed("bad_certificate", || "the certificate cannot be read".into())
}
