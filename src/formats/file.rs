//! What every format of single files answers, so that whoever signs a file holds it without knowing which it is.
//!
//! The values are the order of work: a [`Format`] opens a file for a [`Reading`], which hashes while the file is read
//! and becomes a [`Draft`]; the draft says what is to be signed, and with the signature it becomes [`Made`], which gives
//! the edits and checks the written file afresh. [`Stripping`] is the way back.

use super::authenticode::{self, AuthenticodeSignature};
use super::{Edit, ReadAt, Sink};
use crate::error::Result;
use crate::model::{HashAlgorithm, Signature, Tbs};
use crate::request;
use serde_json::Value;
use std::fmt::Debug;

/// What to do with signatures that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse the file.
    #[default]
    Refuse,
    /// Take them out and put ours in their place.
    Replace,
    /// Nest ours into the first one.
    Append,
}

/// What shapes a signature. A format leaves alone what it has no place for.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Digest algorithm.
    pub hash: HashAlgorithm,
    /// Signatures that are there already.
    pub existing: Existing,
    /// Whether to add page hashes.
    pub page_hashes: bool,
    /// Program name that the platform shows.
    pub program_name: Option<String>,
    /// Where the platform sends people who want to read more.
    pub program_url: Option<String>,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            hash: HashAlgorithm::Sha256,
            existing: Existing::Refuse,
            page_hashes: false,
            program_name: None,
            program_url: None,
        }
    }
}

/// What turns one file into another: these edits, then cut to (or already at) this length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edits {
    /// To be written in order.
    pub edits: Vec<Edit>,
    /// Length of the file afterwards, in bytes; may be less than before.
    pub len: u64,
}

/// Something odd that does not keep a file from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable word for programs.
    pub code: &'static str,
    /// What was found, with its numbers.
    pub message: String,
    /// No signature may be added to such a file.
    pub blocks_signing: bool,
}

/// The signatures of a file, each with what was found about its parts.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Outer signatures before those nested in them.
    pub signatures: Vec<(AuthenticodeSignature, authenticode::Report)>,
    /// Bytes that no signature covers, or that readers take apart differently. What they hide would pass for signed.
    pub uncovered: Vec<Finding>,
    /// What is odd but bears on no signature.
    pub notes: Vec<Finding>,
}

/// A format of files that are signed one by one.
pub trait Format: Debug + Sync {
    /// Which one it is, as requests name it.
    fn which(&self) -> request::Format;

    /// Whether a file that begins like this is one of them; a shorter file is filled up with zeros.
    fn begins(&self, head: &[u8; 8]) -> bool;

    /// Takes a file apart that is to be signed.
    ///
    /// # Errors
    /// It is broken; it cannot be signed soundly; it has signatures, and the shape says otherwise.
    fn open(&self, file: &dyn ReadAt, shape: &Shape) -> Result<Box<dyn Reading>>;

    /// Takes a file apart whose signatures are to come out.
    ///
    /// # Errors
    /// It is broken.
    fn strip(&self, file: &dyn ReadAt) -> Result<Box<dyn Stripping>>;

    /// Whether anything of a signature is in a file.
    ///
    /// # Errors
    /// It is broken.
    fn is_signed(&self, file: &dyn ReadAt) -> Result<bool>;

    /// Reads the signatures and judges their parts, in one pass over the file that `extra` sees too.
    ///
    /// # Errors
    /// It is broken. What is wrong with a signature is no error.
    fn examine(&self, file: &dyn ReadAt, extra: &mut [&mut dyn Sink]) -> Result<Examined>;
}

/// A file that is about to be read.
pub trait Reading: Send {
    /// What has to see the file's bytes, each on a thread of its own where the file is worth it.
    fn sinks(&mut self) -> Vec<&mut dyn Sink>;

    /// After the last byte. `chain` goes into the signature: certificates in DER, the signer's first.
    ///
    /// # Errors
    /// The certificates cannot be read, or the shape does not fit.
    fn finish(self: Box<Self>, chain: &[Vec<u8>]) -> Result<Box<dyn Draft>>;
}

/// A signature that lacks the signature only.
pub trait Draft: Debug + Send {
    /// What the signer's key is to sign.
    fn tbs(&self) -> &Tbs;

    /// What verification will note about the signed file.
    fn notes(&self) -> Vec<String>;

    /// The digest of what the signature covers of the file, with its algorithm: `sha256:…`.
    fn content_digest(&self) -> String;

    /// What the signed file no longer tells of the unsigned one, for [`Stripping::finish`]; `None` if the file was
    /// signed already.
    fn original(&self) -> Option<Value>;

    /// With the signature.
    ///
    /// # Errors
    /// `bad_signature`: it does not verify with the signer's certificate.
    fn finish(self: Box<Self>, signature: &Signature) -> Result<Box<dyn Made>>;
}

/// A signature, made.
pub trait Made: Send {
    /// Adds an RFC 3161 token over the signature value.
    ///
    /// # Errors
    /// It cannot be read.
    fn stamp(&mut self, token: &[u8]) -> Result<()>;

    /// What puts the signature into the copy of the file that was read.
    ///
    /// # Errors
    /// It does not fit in.
    fn attach(&self) -> Result<Edits>;

    /// Reads the written file from its first byte, as any verifier would, in one pass that `whole` sees too.
    ///
    /// # Errors
    /// `self_check_failed`: this signature is not in it, or does not verify.
    fn check(&self, file: &dyn ReadAt, whole: &mut dyn Sink) -> Result<()>;
}

/// A file whose signatures are to come out, about to be read.
pub trait Stripping {
    /// What has to see the file's bytes.
    fn sink(&mut self) -> &mut dyn Sink;

    /// After the last byte. What [`Draft::original`] said when the file was first signed brings the unsigned file back,
    /// byte for byte.
    ///
    /// # Errors
    /// There is no signature; `original` is not this file's.
    fn finish(self: Box<Self>, file: &dyn ReadAt, original: Option<&Value>) -> Result<Stripped>;
}

/// How the signatures come out.
#[derive(Clone, Debug)]
pub struct Stripped {
    /// What is to be written.
    pub edits: Edits,
    /// The result is the file from before its first signature.
    pub is_original: bool,
}
