//! What vouches for a token besides its own words: a statement that its vendor signed, and the module's validation objects.

use super::fault::Fault;
use super::raw::{Handle, Term};
use super::worker::Seat;
use crate::config::{Attestation, Token};
use crate::error::{Error, Result, shown};
use crate::files::safe;
use crate::keys::{Statement, Validation};
use crate::model::Hash256;
use cryptoki_sys::*;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use std::path::Path;

/// Most validation objects that are read.
const MAX_OBJECTS: usize = 16;
/// Largest statement or file of roots, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Checks the adopted statement about a token: its files hold what was adopted, its signature holds under the vendor's
/// roots, and it names the serial number. `None` if there is none to check.
///
/// # Errors
/// `not_attested`; a file cannot be read.
pub(super) fn statement(wanted: &Token, dir: &Path, serial: &str) -> Result<Option<Statement>> {
    let attestation = wanted.hardware.as_ref().and_then(|hardware| hardware.attestation.as_ref());
    let Some(Attestation::Statement { file, roots }) = attestation else { return Ok(None) };
    let bytes = safe::read_bounded(&dir.join(&file.path), MAX_FILE)?;
    let trusted = safe::read_bounded(&dir.join(&roots.path), MAX_FILE)?;
    let (sha256, roots_sha256) = (Hash256::of(&bytes), Hash256::of(&trusted));
    let bad = |why: String| Error::blocked("not_attested", format!("the vendor's statement {why}"));
    if (sha256, roots_sha256) != (file.sha256, roots.sha256) {
        return Err(bad("or its roots are not the adopted files".to_owned()).hint("keyctl adopt"));
    }
    let (said, vendor) = signed(&bytes, &trusted).map_err(|error| bad(format!("does not hold: {error}")))?;
    if !names(&said, serial) {
        return Err(bad(format!("does not name the serial number {}", shown(serial))));
    }
    Ok(Some(Statement { sha256, roots_sha256, vendor: shown(&vendor) }))
}

/// The content of a CMS SignedData that holds under these roots, and whose roots they are.
fn signed(bytes: &[u8], roots: &[u8]) -> std::result::Result<(Vec<u8>, String), openssl::error::ErrorStack> {
    let mut cms = CmsContentInfo::from_der(bytes).or_else(|_| CmsContentInfo::from_pem(bytes))?;
    let mut store = X509StoreBuilder::new()?;
    let mut vendors = Vec::new();
    for root in X509::stack_from_pem(roots)? {
        let parts = root.subject_name().entries().filter_map(|entry| entry.data().to_string().ok());
        vendors.push(parts.map(|part| part.to_string()).collect::<Vec<_>>().join(" "));
        store.add_cert(root)?;
    }
    // A device's statement is as old as the device, and its certificate may have ended since.
    store.set_flags(X509VerifyFlags::NO_CHECK_TIME)?;
    store.set_purpose(openssl::x509::X509PurposeId::ANY)?;
    let (store, none) = (store.build(), Stack::new()?);
    let mut said = Vec::new();
    cms.verify(Some(&none), Some(&store), None, Some(&mut said), CMSOptions::BINARY)?;
    Ok((said, vendors.join(", ")))
}

/// Whether a statement names a serial number, and not just a longer one that has it in it.
fn names(said: &[u8], serial: &str) -> bool {
    let serial = serial.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    !serial.is_empty()
        && said.windows(serial.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|at| said.get(at));
            window == serial && is_edge(before) && is_edge(said.get(at + serial.len()))
        })
}

impl Seat {
    /// The module's validation objects. A module that knows none says so by finding none, or by refusing to look.
    pub(super) fn validations(&self) -> std::result::Result<Vec<Validation>, Fault> {
        // They are no storage objects, so they have no CKA_TOKEN.
        let terms = [Term::Number(CKA_CLASS, CKO_VALIDATION)];
        let found = match self.functions().find(self.session()?.handle(), &terms) {
            Ok(found) => found,
            Err(Fault::Refusal(..)) => return Ok(Vec::new()),
            Err(fault) => return Err(fault),
        };
        found.into_iter().take(MAX_OBJECTS).map(|object| self.validation(object)).collect()
    }

    fn validation(&self, object: Handle) -> std::result::Result<Validation, Fault> {
        let number = |kind| self.number(object, kind);
        let authority = match number(CKA_VALIDATION_AUTHORITY_TYPE)? {
            Some(CKV_AUTHORITY_TYPE_NIST_CMVP) => "nist-cmvp",
            Some(CKV_AUTHORITY_TYPE_COMMON_CRITERIA) => "common-criteria",
            _ => "unspecified",
        };
        let kind = match number(CKA_VALIDATION_TYPE)? {
            Some(CKV_TYPE_SOFTWARE) => "software",
            Some(CKV_TYPE_HARDWARE) => "hardware",
            Some(CKV_TYPE_FIRMWARE) => "firmware",
            Some(CKV_TYPE_HYBRID) => "hybrid",
            _ => "unspecified",
        };
        let certificate = self.bytes(object, CKA_VALIDATION_CERTIFICATE_IDENTIFIER)?.unwrap_or_default();
        Ok(Validation {
            authority: authority.to_owned(),
            kind: kind.to_owned(),
            level: number(CKA_VALIDATION_LEVEL)?.unwrap_or_default(),
            certificate: shown(String::from_utf8_lossy(&certificate).trim_end_matches(['\0', ' '])),
        })
    }
}
