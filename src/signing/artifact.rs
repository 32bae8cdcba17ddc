//! A file on its way: [`prepare`]d from one opened source, signed with a permitted key, verified from the
//! written bytes, and only then placed under its final name.
//!
//! The types are the order. [`Prepared`] touched no key; [`Prepared::sign`] wants a [`SigningKey`] and gives a
//! [`Signed`] only after a fresh parse of the written file agreed; [`Signed::place`] gives the [`Placed`] that
//! closes the permit.

use super::Sink;
use super::authenticode::{self, AuthenticodeSignature, Content, Draft};
use super::fan::{self, fan_out};
use super::pe::{AuthenticodeHasher, ChecksumSink, Layout, Original, PageHasher, Sums};
use crate::clock::Laps;
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result, shown};
use crate::files::copy::copy_while;
use crate::files::place::{self, Placement, Target};
use crate::files::source::{Source, SourcePolicy};
use crate::gate::{Completes, Failure, sealed};
use crate::hsm::store::SigningKey;
use crate::keys::TokenFacts;
use crate::model::{GenerationId, Hash256, HashAlgorithm, Tbs, hex};
use crate::request::{self, SignArtifact};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

mod options;
mod remove;

pub use options::{Existing, SignOptions, Signer, option_words};
pub use remove::{Removed, remove};

/// Adds timestamps. What implements it asks an authority and checks the answer.
pub trait Stamp: Sync {
    /// A checked RFC 3161 token over `signature_value`, with what evidence says of it.
    ///
    /// # Errors
    /// No authority gave a good answer.
    fn stamp(&self, signature_value: &[u8]) -> Result<(Vec<u8>, Value)>;
}

/// The cheap sinks, and the rare ones, on one thread.
struct Also<'a> {
    sha512: Option<sha2::Sha512>,
    checksum: &'a mut ChecksumSink,
    pages: &'a mut Option<PageHasher>,
}

impl Sink for Also<'_> {
    fn update(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha2::Digest::update(sha512, bytes);
        }
        if let Some(pages) = self.pages {
            pages.update(bytes);
        }
    }
}

/// A file that was read and copied, with the exact digest that is to be signed. No key was touched.
#[derive(Debug)]
pub struct Prepared {
    source: Source,
    target: Target,
    destination: Destination,
    layout: Layout,
    sums: Sums,
    original: Option<Original>,
    /// The signatures that stay: ours is nested into the first of them.
    outer: Vec<Vec<u8>>,
    draft: Draft,
    hash: HashAlgorithm,
    content_digest: Vec<u8>,
    hash_before: Hash256,
    sha512: Option<String>,
    options: BTreeMap<String, String>,
    laps: Laps,
}

#[derive(Clone, Debug)]
enum Destination {
    InPlace,
    New,
}

/// Opens the file, copies it while hashing, and drafts the signature.
///
/// # Errors
/// The file cannot be read or is not what it should be; its format is unknown; it is signed already.
pub fn prepare(
    path: &Path,
    to: Option<&Path>,
    chain: &[Vec<u8>],
    options: &SignOptions,
    stop: &AtomicBool,
) -> Result<Prepared> {
    let mut laps = Laps::default();
    let prepared = laps.lap("read and copy", || open_and_copy(path, to, chain, options, stop))?;
    Ok(Prepared { laps, ..prepared })
}

fn open_and_copy(
    path: &Path,
    to: Option<&Path>,
    chain: &[Vec<u8>],
    options: &SignOptions,
    stop: &AtomicBool,
) -> Result<Prepared> {
    let policy = if to.is_some() { SourcePolicy::READ } else { SourcePolicy::IN_PLACE };
    let source = Source::open(path, SourcePolicy { follow: options.follow, ..policy })?;
    let named = |error: Error| error.about(crate::files::shown_path(path));
    expect_pe(&source).map_err(named)?;
    let layout = Layout::parse(source.file()).map_err(named)?;
    layout.signable().map_err(named)?;
    let outer = existing(&source, &layout, options.existing).map_err(named)?;
    let (target, destination) = match to {
        Some(to) => {
            free(to)?;
            (Target::beside(to)?, Destination::New)
        }
        None => (Target::replacing(&source)?, Destination::InPlace),
    };
    copy_and_draft(source, target, destination, layout, outer, chain, options, stop).map_err(named)
}

/// Placing never overwrites; this only says so before anything is signed for nothing.
fn free(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => {
            let name = crate::files::shown_path(path);
            Err(Error::failed("target_exists", format!("{name}: exists already and is not overwritten")))
        }
        Err(_) => Ok(()),
    }
}

/// The signatures that stay, if ours is to be nested into the first of them.
fn existing(source: &Source, layout: &Layout, existing: Existing) -> Result<Vec<Vec<u8>>> {
    let signatures = authenticode::image::signatures(layout, source.file())?;
    match (signatures.is_empty(), existing) {
        (true, Existing::Append) => {
            Err(Error::usage("not_signed", "there is no signature to append to").hint("leave --append out"))
        }
        (true, _) | (false, Existing::Replace) => Ok(Vec::new()),
        (false, Existing::Append) if signatures.len() != layout.certificates().len() => {
            let message = "the certificate table holds what is no Authenticode signature and would be lost";
            Err(Error::failed("pe_other_certificate", message).hint("--replace takes all of it out"))
        }
        (false, Existing::Append) => Ok(signatures.iter().map(AuthenticodeSignature::to_der).collect()),
        (false, Existing::Refuse) => Err(Error::failed("already_signed", "the file is signed already")
            .hint("--replace takes the old signature out, --append adds another")),
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of one value, handed over once")]
fn copy_and_draft(
    source: Source,
    mut target: Target,
    destination: Destination,
    layout: Layout,
    outer: Vec<Vec<u8>>,
    chain: &[Vec<u8>],
    options: &SignOptions,
    stop: &AtomicBool,
) -> Result<Prepared> {
    let mut whole = Sha256::new();
    let mut digest = AuthenticodeHasher::new(&layout, options.hash);
    let mut checksum = ChecksumSink::new(&layout);
    let mut pages = if options.page_hashes { Some(PageHasher::new(&layout)?) } else { None };
    let mut also =
        Also { sha512: options.sha512.then(sha2::Sha512::default), checksum: &mut checksum, pages: &mut pages };
    let copied = fan_out(source.len(), &mut [&mut whole, &mut digest, &mut also], |give| {
        copy_while(&source, &mut target, &mut [&mut |bytes: &[u8]| give(bytes)], stop)
    });
    let sha512 = also.sha512.take();
    copied?;
    let content_digest = digest.finish();
    let pages = pages.map(PageHasher::finish);
    let content = Content::pe_image(options.hash, &content_digest, pages.as_ref());
    let draft_options = authenticode::Options { opus: options.opus.clone(), signing_time: None };
    let draft = Draft::new(content, chain, &draft_options)?;
    Ok(Prepared {
        sums: checksum.finish(),
        original: layout.original(),
        hash: options.hash,
        hash_before: whole.finish(),
        sha512: sha512.map(|hasher| hex(&sha2::Digest::finalize(hasher))),
        options: option_words(options),
        source,
        target,
        destination,
        layout,
        outer,
        draft,
        content_digest,
        laps: Laps::default(),
    })
}

/// The first bytes tell the format.
///
/// # Errors
/// `unsupported_format`; those of reading.
pub(super) fn expect_pe(source: &Source) -> Result<()> {
    let mut magic = [0; 8];
    let take = magic.len().min(usize::try_from(source.len()).unwrap_or(usize::MAX));
    source.read_at(magic.get_mut(..take).unwrap_or_default(), 0)?;
    let what = match &magic {
        [b'M', b'Z', ..] => return Ok(()),
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1] => "a compound file (MSI)",
        [b'P', b'K', 3, 4, ..] => "a ZIP file (MSIX, APPX)",
        [b'M', b'S', b'C', b'F', ..] => "a cabinet",
        [b'x', b'a', b'r', b'!', ..] => "a flat package (xar)",
        _ => "not a format that is known here",
    };
    Err(Error::failed("unsupported_format", format!("the file is {what}; PE files are signed (exe, dll, sys, efi, …)")))
}

impl Prepared {
    /// What the key is to sign.
    pub fn tbs(&self) -> &Tbs {
        self.draft.tbs()
    }

    /// SHA-256 of the file as it was read.
    pub fn hash_before(&self) -> Hash256 {
        self.hash_before
    }

    /// The parameters of the request to sign it.
    pub fn params(&self, generation: &GenerationId) -> SignArtifact {
        let name = self.source.path().file_name().unwrap_or_default().to_string_lossy();
        SignArtifact {
            generation: generation.clone(),
            cosigners: Vec::new(),
            artifact_id: uuid::Uuid::new_v4().to_string(),
            name: shown(&name),
            format: "pe".into(),
            hash_before: self.hash_before,
            size_before: self.source.len(),
            content_digest: format!("{}:{}", self.hash, hex(&self.content_digest)),
            pack: None,
            sha512_before: self.sha512.clone(),
            provenance: None,
            options: self.options.clone(),
            cab: None,
            resigns: None,
        }
    }

    /// Signs, writes the signature into the copy, and verifies the copy by a fresh parse of its bytes.
    ///
    /// # Errors
    /// The key refuses; or what was written does not verify, which leaves the original as it was.
    pub fn sign(self, key: &SigningKey<'_>) -> Result<Signed, Failure> {
        self.sign_and_stamp(key, None)
    }

    /// As [`Prepared::sign`], with a timestamp.
    ///
    /// # Errors
    /// As [`Prepared::sign`]; or no authority gave a good timestamp.
    pub fn sign_and_stamp(mut self, key: &SigningKey<'_>, stamp: Option<&dyn Stamp>) -> Result<Signed, Failure> {
        if stamp.is_some() != self.options.contains_key(request::TIMESTAMP) {
            return Err(Error::bug("the request says something else about a timestamp than what is done").into());
        }
        let mut laps = std::mem::take(&mut self.laps);
        let signature = laps.lap("token", || key.sign(self.draft.tbs()))?;
        let mut pkcs7 = self.draft.finish(&signature)?;
        let mut timestamp = None;
        if let Some(stamp) = stamp {
            let (token, said) = laps.lap("timestamp", || stamp.stamp(&signature.0))?;
            pkcs7 = authenticode::with_timestamp(&pkcs7, &token)?;
            timestamp = Some(said);
        }
        let inner = pkcs7.clone();
        let mut rest: &[Vec<u8>] = &[];
        if let Some((first, others)) = self.outer.split_first() {
            (pkcs7, rest) = (authenticode::append_nested(first, &pkcs7)?, others);
        }
        let table: Vec<&[u8]> = std::iter::once(&pkcs7).chain(rest).map(Vec::as_slice).collect();
        let attached = self.layout.attach_all(&table, &self.sums)?;
        self.target.apply(&attached.edits, attached.len)?;
        let verify = || {
            std::thread::scope(|scope| {
                // The disk works while the digests are computed again; placing asks it once more and reports its errors.
                if attached.len >= fan::WORTHWHILE {
                    scope.spawn(|| rustix::fs::fdatasync(self.target.file()).is_ok());
                }
                verify_written(&self.target, &inner, &self.content_digest, self.hash)
            })
        };
        let hash_after = laps.lap("verify", verify)?;
        Ok(Signed {
            source: self.source,
            target: self.target,
            destination: self.destination,
            hash_after,
            original: self.original,
            token: key.token(),
            timestamp,
            laps,
        })
    }
}

/// Reads the written file from its first byte: layout, digest, checksum and every signature, as any verifier would.
fn verify_written(target: &Target, ours: &[u8], content_digest: &[u8], hash: HashAlgorithm) -> Result<Hash256> {
    let wrong = |what: &str| {
        Error::new(crate::error::Kind::Bug, "self_check_failed", format!("the written file does not verify: {what}"))
    };
    let mut whole = Sha256::new();
    let report = authenticode::image::verify_with(target.file(), &mut [&mut whole])?;
    let (_, verdict) = report
        .signatures
        .iter()
        .find(|(signature, _)| is_ours(signature, ours))
        .ok_or_else(|| wrong("our signature is not in it"))?;
    if let Some((fault, detail)) = verdict.fault() {
        return Err(wrong(&format!("{}: {detail}", fault.as_str())));
    }
    if !verdict.is_good() {
        return Err(wrong("a part could not be checked"));
    }
    if report.findings.iter().any(|finding| finding.code == "pe_wrong_checksum") {
        return Err(wrong("the CheckSum"));
    }
    if !report.digests.iter().any(|(algorithm, digest)| *algorithm == hash && digest == content_digest) {
        return Err(wrong("its digest is another than was signed"));
    }
    Ok(whole.finish())
}

fn is_ours(signature: &AuthenticodeSignature, ours: &[u8]) -> bool {
    let value = |pkcs7: &[u8]| authenticode::signature_value(pkcs7).ok();
    value(&signature.to_der()) == value(ours)
}

/// A signed copy that verified; it has no name yet.
#[derive(Debug)]
pub struct Signed {
    source: Source,
    target: Target,
    destination: Destination,
    hash_after: Hash256,
    original: Option<Original>,
    token: TokenFacts,
    timestamp: Option<Value>,
    laps: Laps,
}

impl Signed {
    /// Gives the signed copy its final name, durably.
    ///
    /// # Errors
    /// The source changed meanwhile, or the destination cannot be written; the original stays as it was.
    pub fn place(self) -> Result<Placed> {
        let Signed { source, mut target, destination, hash_after, original, token, timestamp, mut laps } = self;
        let file = laps.lap("place", || match destination {
            Destination::InPlace => target.place(Placement::Replace { expect: &source }),
            Destination::New => {
                target.like(&source)?;
                source.unchanged()?;
                target.place(Placement::New)
            }
        })?;
        Ok(Placed { file, hash_after, original, token, timestamp, laps })
    }
}

/// A signed file under its final name. It closes the permit.
#[derive(Debug)]
pub struct Placed {
    file: place::Placed,
    hash_after: Hash256,
    original: Option<Original>,
    token: TokenFacts,
    timestamp: Option<Value>,
    laps: Laps,
}

impl Placed {
    /// How long each stage took.
    pub fn laps(&self) -> &Laps {
        &self.laps
    }

    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        &self.file.path
    }

    /// Extended attributes that could not be carried over.
    pub fn unkept(&self) -> &[String] {
        &self.file.unkept
    }
}

impl sealed::Sealed for Placed {}

impl Completes<SignArtifact> for Placed {
    fn done(&self) -> Value {
        let mut done = json!({
            "hash_after": self.hash_after,
            "size_after": self.file.len,
            "platform": "windows",
            "token": self.token,
        });
        if let Some(original) = &self.original {
            // What a signed image no longer tells of the unsigned one; `sign --remove` needs it.
            done["original"] =
                json!({ "size": original.len, "checksum": original.checksum, "directory": hex(&original.directory) });
        }
        if let Some(timestamp) = &self.timestamp {
            done["timestamp"] = timestamp.clone();
        }
        done
    }
}
