//! A repository on its way, with the shape that files have: [`prepare`] touches no key, [`Prepared::sign`] wants
//! keys that a permit opened, [`Signed::place`] gives both files their names, and [`Placed`] closes the permit.
//!
//! What counts as the artifact: the `Release` file before (`hash_before`, `size_before`), `InRelease` after
//! (`hash_after`, `size_after`). The content digest is the SHA-256 of the plan, which lists every digest that is
//! signed (`pki::openpgp::plan`).

use super::kept::{self, Folder};
use super::release_files::{self, Recovered};
use super::request::Subject;
use crate::clock::Time;
use crate::error::{Error, Result, shown};
use crate::formats::apt::folder::hash_of;
use crate::formats::apt::{Repository, sign};
use crate::gate::{Completes, Failure, sealed};
use crate::hsm::store::SigningKey;
use crate::keys::TokenFacts;
use crate::model::{Hash256, HashAlgorithm, SpkiHash, hex};
use crate::pki::openpgp::certificate::SigningKeyInfo;
use crate::pki::openpgp::certification;
use crate::pki::openpgp::unsigned::Unsigned;
use crate::request::{Format, SignArtifact};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A repository that was checked, with the exact digests that are to be signed. No key was touched.
#[derive(Clone, Debug)]
pub struct Prepared {
    dir: PathBuf,
    inner: sign::Prepared,
    hash_before: Hash256,
    size_before: u64,
    content_digest: Hash256,
    sha512: Option<String>,
}

/// Reads and checks the repository in `dir`, and fixes what each of `signers` will sign at `now`.
///
/// The caller holds the repository's lock, and has called [`release_files::recover`].
///
/// # Errors
/// As [`Repository::open`] and [`sign::prepare`].
pub fn prepare(dir: &Path, signers: &[SigningKeyInfo], now: Time, sha512: bool) -> Result<Prepared> {
    let repository = Repository::open(dir)?;
    let inner = sign::prepare(&repository, signers, now)?;
    Ok(Prepared {
        dir: dir.to_owned(),
        hash_before: Hash256::of(repository.bytes()),
        size_before: repository.bytes().len() as u64,
        content_digest: inner.plan().content_hash()?,
        sha512: sha512.then(|| hex(&HashAlgorithm::Sha512.digest(repository.bytes()))),
        inner,
    })
}

impl Prepared {
    /// The signatures to be made, in order.
    pub fn unsigned(&self) -> &[Unsigned] {
        self.inner.unsigned()
    }

    /// SHA-256 of `Release`.
    pub fn hash_before(&self) -> Hash256 {
        self.hash_before
    }

    /// What the operator should know, though it does not stop the signing.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// What a request says of it.
    pub(super) fn subject(&self, options: BTreeMap<String, String>) -> Subject {
        let folder = self.dir.file_name().unwrap_or_default().to_string_lossy();
        Subject {
            name: shown(&format!("{folder}/InRelease")),
            format: Format::Apt,
            hash_before: self.hash_before,
            size_before: self.size_before,
            content_digest: format!("sha256:{}", self.content_digest),
            sha512_before: self.sha512.clone(),
            options,
            notes: Vec::new(),
        }
    }

    /// Has everything signed, and verifies both files by a fresh parse of their bytes.
    ///
    /// # Errors
    /// A key refuses; or what was made does not verify, which leaves the repository as it was.
    pub fn sign(self, keys: &[(SpkiHash, SigningKey<'_>)]) -> Result<Signed, Failure> {
        let signatures = certification::sign(self.inner.unsigned(), keys)?;
        let signers = self.inner.unsigned().iter().map(|unsigned| unsigned.says().signer.to_lowercase());
        let mut signers: Vec<_> = signers.collect();
        signers.sort();
        signers.dedup();
        Ok(Signed {
            signed: self.inner.finish(&signatures)?,
            dir: self.dir,
            signers,
            token: keys.first().map(|(_, key)| key.token()),
        })
    }
}

/// Both signature files, verified; they are not in the repository yet.
#[derive(Debug)]
pub struct Signed {
    dir: PathBuf,
    signed: sign::Signed,
    signers: Vec<String>,
    token: Option<TokenFacts>,
}

impl Signed {
    /// Puts both files in place and reads them again from the disk. They are kept in `folder` before that.
    ///
    /// # Errors
    /// As [`put`]; they cannot be kept.
    pub fn place(self, folder: &Folder<'_>) -> Result<Placed> {
        let kept = kept::write_release(folder, &self.signed);
        kept.and_then(|()| put(&self.dir, &self.signed)).inspect_err(|_| folder.clear())?;
        Ok(Placed {
            release: self.signed.release,
            in_release: Hash256::of(&self.signed.in_release),
            release_gpg: Hash256::of(&self.signed.release_gpg),
            size: self.signed.in_release.len() as u64,
            signers: self.signers,
            token: self.token,
        })
    }
}

/// Puts both signature files in place and reads them again from the disk.
///
/// The caller holds the repository's lock.
///
/// # Errors
/// As [`release_files::place`]; `apt_result` when the disk holds something else.
pub(super) fn put(dir: &Path, signed: &sign::Signed) -> Result<()> {
    if let Err(error) = release_files::place(dir, signed) {
        // Once the journal is written, what failed half-way can often be finished; else it is taken back.
        match release_files::recover(dir) {
            Ok(Recovered::Finished) => {}
            _ => return Err(error),
        }
    }
    for (name, bytes) in [("InRelease", &signed.in_release), ("Release.gpg", &signed.release_gpg)] {
        if hash_of(&dir.join(name))? != Some(Hash256::of(bytes)) {
            return Err(Error::failed("apt_result", format!("{name} does not read back as it was written")));
        }
    }
    Ok(())
}

/// A signed repository. It closes the permit.
#[derive(Debug)]
pub struct Placed {
    release: Hash256,
    in_release: Hash256,
    release_gpg: Hash256,
    size: u64,
    signers: Vec<String>,
    token: Option<TokenFacts>,
}

impl sealed::Sealed for Placed {}

impl Completes<SignArtifact> for Placed {
    fn done(&self) -> Value {
        json!({
            "hash_after": self.in_release,
            "size_after": self.size,
            "platform": Format::Apt.platform(),
            "token": self.token,
            "release": self.release,
            "in_release": self.in_release,
            "release_gpg": self.release_gpg,
            "signers": self.signers,
        })
    }
}
