//! Authenticode: a SignedData whose content says what was hashed and to which digest it came (Microsoft, "Windows
//! Authenticode Portable Executable Signature Format").
//!
//! Signing: a format gives a [`Content`]; [`Draft`] adds the signed attributes and says what is to be signed
//! ([`Draft::tbs`]); with the signature it becomes PKCS #7. A timestamp and further signatures go into
//! unsigned attributes of what is there ([`with_timestamp`], [`append_nested`]), which changes no signed byte.
//!
//! Verifying: [`parse`] reads a signature with those nested in it, [`check`] gives a verdict for each part of one:
//! the file's digest, the content, the signature, the page hashes. Whether the certificate is trusted, and the
//! timestamp good, is for the PKI and [`crate::formats::timestamp`] to say. [`image`] does it for a PE image, and
//! [`PortableExecutable`] answers for the format as a whole.
//!
//! No key signs here and nobody is asked for the time: signatures and tokens come in as bytes.

mod check;
mod content;
mod draft;
pub mod image;
mod portable;
mod signature;

pub use check::{Computed, Fault, Report, Verdict, check};
pub use content::{Content, IndirectData, OpusInfo, Subject};
pub use draft::{Draft, Options, append_nested, signature_value, with_timestamp};
pub use portable::PortableExecutable;
pub use signature::{AuthenticodeSignature, MAX_DEPTH, MAX_SIGNATURES, TimestampKind, parse};

/// Object identifiers of Authenticode.
pub mod oid {
    #![allow(missing_docs, reason = "the names are Microsoft's")]
    use const_oid::ObjectIdentifier;
    pub const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
    pub const STATEMENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.11");
    pub const SP_OPUS_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.12");
    pub const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
    pub const INDIVIDUAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.21");
    pub const CAB_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.25");
    pub const SIP_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.30");
    pub const PAGE_HASHES_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.3.1");
    pub const PAGE_HASHES_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.3.2");
    pub const NESTED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.4.1");
    pub const TIMESTAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.3.3.1");
}

#[cfg(test)]
mod tests;
