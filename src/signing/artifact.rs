//! A file on its way: [`prepare`]d from one opened source, signed with a permitted key, verified from the
//! written bytes, and only then placed under its final name. Which format it has, only the format knows.
//!
//! The types are the order. [`Prepared`] touched no key; [`Prepared::sign`] wants a [`SigningKey`] and gives a
//! [`Signed`] only after a fresh parse of the written file agreed; [`Signed::place`] gives the [`Placed`] that
//! closes the permit.

use super::kept::{Folder, Kept};
use super::options::SignOptions;
use super::request::Subject;
use crate::clock::Laps;
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result, shown};
use crate::files::copy::copy_while;
use crate::files::place::{self, Placement, Target};
use crate::files::source::{Source, SourcePolicy};
use crate::formats::Sink;
use crate::formats::detect::detect;
use crate::formats::fan::{self, fan_out};
use crate::formats::file::{Draft, Format, Made, Reading};
use crate::formats::hasher::Hasher;
use crate::gate::{Completes, Failure, sealed};
use crate::hsm::store::SigningKey;
use crate::keys::TokenFacts;
use crate::model::{Hash256, HashAlgorithm, Tbs, hex};
use crate::request::{self, SignArtifact};
use crate::ui::Progress;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Adds timestamps. What implements it asks an authority and checks the answer.
pub trait Stamp: Sync {
    /// A checked RFC 3161 token over `signature_value`, with what evidence says of it.
    ///
    /// # Errors
    /// No authority gave a good answer.
    fn stamp(&self, signature_value: &[u8]) -> Result<(Vec<u8>, Value)>;
}

/// A file that was read and copied, with the exact digest that is to be signed. No key was touched.
#[derive(Debug)]
pub struct Prepared {
    file: Paths,
    format: &'static dyn Format,
    draft: Box<dyn Draft>,
    hash_before: Hash256,
    sha512: Option<String>,
    options: BTreeMap<String, String>,
    laps: Laps,
    progress: Progress,
}

/// Who looks on while a file is read.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// Becomes true when the operator wants to stop.
    pub stop: &'a AtomicBool,
    /// How far the run is.
    pub progress: &'a Progress,
}

/// What is kept free for a signature, in bytes.
const ROOM: u64 = 256 << 10;

/// Where it comes from and where it goes.
#[derive(Debug)]
pub(super) struct Paths {
    pub source: Source,
    pub target: Target,
    destination: Destination,
}

#[derive(Clone, Copy, Debug)]
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
    watch: Watch<'_>,
) -> Result<Prepared> {
    let mut laps = Laps::default();
    let prepared = laps.lap("read and copy", || {
        let opened = open(path, to, options)?;
        opened.copy(chain, options, watch).map_err(|error| error.about(crate::files::shown_path(path)))
    })?;
    Ok(Prepared { laps, ..prepared })
}

/// A file that was taken apart and not read yet.
struct Opened {
    file: Paths,
    format: &'static dyn Format,
    reading: Box<dyn Reading>,
}

fn open(path: &Path, to: Option<&Path>, options: &SignOptions) -> Result<Opened> {
    let source = source(path, to, options.follow)?;
    let named = |error: Error| error.about(crate::files::shown_path(path));
    let format = detect(&source).map_err(named)?;
    let reading = format.open(source.file(), &options.shape).map_err(named)?;
    if let Some(to) = to {
        free(to)?;
    }
    Ok(Opened { file: Paths::new(source, to)?, format, reading })
}

pub(super) fn source(path: &Path, to: Option<&Path>, follow: bool) -> Result<Source> {
    let policy = if to.is_some() { SourcePolicy::READ } else { SourcePolicy::IN_PLACE };
    Source::open(path, SourcePolicy { follow, ..policy })
}

/// Placing never overwrites; this only says so before anything is signed for nothing.
///
/// # Errors
/// `target_exists`.
pub(super) fn free(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => {
            let name = crate::files::shown_path(path);
            Err(Error::failed("target_exists", format!("{name}: exists already and is not overwritten")))
        }
        Err(_) => Ok(()),
    }
}

impl Paths {
    /// With a target that has no name yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(source: Source, to: Option<&Path>) -> Result<Self> {
        let (target, destination) = match to {
            Some(to) => (Target::beside(to)?, Destination::New),
            None => (Target::replacing(&source)?, Destination::InPlace),
        };
        Ok(Paths { source, target, destination })
    }

    /// Gives the target its final name, durably.
    ///
    /// # Errors
    /// The source changed meanwhile, or the destination cannot be written.
    pub fn place(self) -> Result<place::Placed> {
        let Paths { source, mut target, destination } = self;
        match destination {
            Destination::InPlace => target.place(Placement::Replace { expect: &source }),
            Destination::New => {
                target.like(&source)?;
                source.unchanged()?;
                target.place(Placement::New)
            }
        }
    }
}

impl Opened {
    fn copy(self, chain: &[Vec<u8>], options: &SignOptions, watch: Watch<'_>) -> Result<Prepared> {
        let Opened { file: Paths { source, mut target, destination }, format, mut reading } = self;
        let mut whole = Sha256::new();
        let mut sha512 = options.sha512.then(|| Hasher::new(HashAlgorithm::Sha512));
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut whole];
        sinks.extend(reading.sinks());
        sinks.extend(sha512.iter_mut().map(|hasher| hasher as &mut dyn Sink));
        fan_out(source.len(), &mut sinks, |give| {
            let mut count = |bytes: &[u8]| watch.progress.bytes(bytes.len() as u64);
            copy_while(&source, &mut target, &mut [&mut |bytes: &[u8]| give(bytes), &mut count], watch.stop)
        })?;
        // The signature will fit too: that is found out before a key is used.
        target.reserve(ROOM)?;
        Ok(Prepared {
            draft: reading.finish(chain)?,
            hash_before: whole.finish(),
            sha512: sha512.map(|hasher| hex(&hasher.finish())),
            options: options.words(),
            file: Paths { source, target, destination },
            format,
            laps: Laps::default(),
            progress: watch.progress.clone(),
        })
    }
}

impl Prepared {
    /// What the key is to sign.
    pub fn tbs(&self) -> &Tbs {
        self.draft.tbs()
    }

    /// What a request says of it.
    pub(super) fn subject(&self) -> Subject {
        let source = &self.file.source;
        let mut options = self.options.clone();
        if let Ok(path) = crate::files::absolute(self.file.target.path()) {
            options.insert(request::FILE.to_owned(), path);
        }
        Subject {
            name: shown(&source.path().file_name().unwrap_or_default().to_string_lossy()),
            format: self.format.which(),
            hash_before: self.hash_before,
            size_before: source.len(),
            content_digest: self.draft.content_digest(),
            sha512_before: self.sha512.clone(),
            options,
            notes: self.draft.notes(),
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
    pub fn sign_and_stamp(self, key: &SigningKey<'_>, stamp: Option<&dyn Stamp>) -> Result<Signed, Failure> {
        if stamp.is_some() != self.options.contains_key(request::TIMESTAMP) {
            return Err(Error::bug("the request says something else about a timestamp than what is done").into());
        }
        let Prepared { mut file, format, draft, mut laps, progress, .. } = self;
        let signature = laps.lap("token", || key.sign(draft.tbs()))?;
        let original = draft.original();
        let mut made = draft.finish(&signature)?;
        let mut timestamp = None;
        if let Some(stamp) = stamp {
            let (token, said) = laps.lap("timestamp", || stamp.stamp(&signature.0))?;
            made.stamp(&token)?;
            timestamp = Some(said);
        }
        let attached = made.attach()?;
        file.target.apply(&attached.edits, attached.len)?;
        let hash_after = laps.lap("verify", || verify_written(&file.target, &*made, &progress))?;
        let kept = Kept { edits: attached, original, timestamp };
        let done = Done { format, hash_after, kept, token: key.token(), laps };
        Ok(Signed { file, done })
    }
}

/// Reads the written file from its first byte; its SHA-256.
fn verify_written(target: &Target, made: &dyn Made, progress: &Progress) -> Result<Hash256> {
    let mut whole = Counted { whole: Sha256::new(), progress };
    std::thread::scope(|scope| {
        // The disk works while the digests are computed again; placing asks it once more and reports its errors.
        if target.len() >= fan::WORTHWHILE {
            scope.spawn(|| rustix::fs::fdatasync(target.file()).is_ok());
        }
        made.check(target.file(), &mut whole)
    })?;
    Ok(whole.whole.finish())
}

/// The digest of a whole file, which says how far it is.
struct Counted<'a> {
    whole: Sha256,
    progress: &'a Progress,
}

impl Sink for Counted<'_> {
    fn update(&mut self, bytes: &[u8]) {
        self.progress.bytes(bytes.len() as u64);
        self.whole.update(bytes);
    }

    fn is_sha256(&self) -> bool {
        Sink::is_sha256(&self.whole)
    }

    fn part<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(&'a mut Sha256, &'a [u8])> {
        let taken = Sink::part(&mut self.whole, bytes);
        if taken.is_some() {
            self.progress.bytes(bytes.len() as u64);
        }
        taken
    }
}

/// What is known of a file once it is signed.
#[derive(Debug)]
struct Done {
    format: &'static dyn Format,
    hash_after: Hash256,
    kept: Kept,
    token: TokenFacts,
    laps: Laps,
}

/// A signed copy that verified; it has no name yet.
#[derive(Debug)]
pub struct Signed {
    file: Paths,
    done: Done,
}

impl Signed {
    /// Gives the signed copy its final name, durably. What was done to the file is kept in `folder` before that.
    ///
    /// # Errors
    /// The source changed meanwhile, or the destination cannot be written; the original stays as it was.
    pub fn place(self, folder: &Folder<'_>) -> Result<Placed> {
        let Signed { file, mut done } = self;
        done.kept.write(folder)?;
        // It is not needed any more, and may be long.
        done.kept.edits.edits.clear();
        let file = done.laps.lap("place", || file.place()).inspect_err(|_| folder.clear())?;
        Ok(Placed { file, done })
    }
}

/// A signed file under its final name. It closes the permit.
#[derive(Debug)]
pub struct Placed {
    file: place::Placed,
    done: Done,
}

impl Placed {
    /// How long each stage took.
    pub fn laps(&self) -> &Laps {
        &self.done.laps
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
        let Done { format, hash_after, kept: Kept { original, timestamp, .. }, token, .. } = &self.done;
        let mut done = json!({
            "hash_after": hash_after,
            "size_after": self.file.len,
            "platform": format.which().platform(),
            "token": token,
        });
        if let Some(original) = original {
            // What a signed file no longer tells of the unsigned one; taking the signature out needs it.
            done["original"] = original.clone();
        }
        if let Some(timestamp) = timestamp {
            done["timestamp"] = timestamp.clone();
        }
        done
    }
}
