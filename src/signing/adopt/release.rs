//! The same for a repository: both signature files are in place, good, and over the very digests of the intent.

use super::{Adopted, close, request_of, signer};
use crate::error::Result;
use crate::formats::apt::cleartext::{same_text, signable, split};
use crate::formats::apt::index::read_bounded;
use crate::formats::apt::release::MAX_RELEASE;
use crate::ledger::query::{self, OpenIntent};
use crate::model::{Hash256, Tbs};
use crate::pki::openpgp::certificate::{Certificate, SigningKeyInfo};
use crate::pki::openpgp::document::{self, Document, Judged, MAX_SIGNATURES_LENGTH, Verdict};
use crate::published::keyring_files;
use crate::request::{Kind, Request, SignArtifact};
use crate::signing::Stored;
use crate::world::World;
use crate::world::orphans::orphans;
use serde_json::json;
use std::path::Path;

/// Closes the intent of an interrupted signing with what is in its folder, if that is what it was for.
///
/// # Errors
/// The ledger cannot be read or written.
pub(crate) fn recover(world: &mut World, orphan: &OpenIntent, dir: &Path) -> Result<Option<Stored>> {
    let request = request_of(world, orphan)?;
    // What cannot be read is not what was made.
    match look(world, &request, dir).ok().flatten() {
        Some(adopted) => close(world, orphan, adopted).map(Some),
        None => Ok(None),
    }
}

/// Closes what interrupted runs left open about this folder; gives what this run's correlation id is among.
///
/// # Errors
/// The ledger cannot be read or written.
pub(in crate::signing) fn recover_all(world: &mut World, dir: &Path) -> Result<Option<Stored>> {
    let mut ours = None;
    for orphan in orphans(world)?.iter().filter(|orphan| orphan.kind == Kind::SignArtifact) {
        if request_of(world, orphan)?.params.repository() != dir.to_str() {
            continue;
        }
        let stored = recover(world, orphan, dir)?;
        let id = &world.globals.correlation_id;
        ours = stored.filter(|(receipt, _)| receipt.outcome().correlation_id == *id).or(ours);
    }
    Ok(ours)
}

/// The files of a repository that was signed.
struct Files {
    release: Vec<u8>,
    in_release: Vec<u8>,
    release_gpg: Vec<u8>,
}

impl Files {
    fn read(dir: &Path) -> Result<Option<Self>> {
        let read = |name: &str| read_bounded(&dir.join(name), MAX_RELEASE.saturating_add(MAX_SIGNATURES_LENGTH));
        Ok(match (read("Release")?, read("InRelease")?, read("Release.gpg")?) {
            (Some(release), Some(in_release), Some(release_gpg)) => Some(Files { release, in_release, release_gpg }),
            _ => None,
        })
    }
}

fn look(world: &World, request: &Request<SignArtifact>, dir: &Path) -> Result<Option<Adopted>> {
    let params = &request.params;
    let Some(files) = Files::read(dir)?.filter(|files| Hash256::of(&files.release) == params.hash_before) else {
        return Ok(None);
    };
    let split = split(&files.in_release)?;
    if !same_text(&split.text, &files.release) {
        return Ok(None);
    }
    let (keyring, now) = (keyring_files::certificates(world, &params.generation.key)?, world.globals.clock.now());
    let texts = document::judge(Document::Cleartext(&split.text), &split.signature, &keyring, now)?;
    let binaries = document::judge(Document::File(&files.release), &files.release_gpg, &keyring, now)?;
    // What each of them is over, if it was made when it says.
    let mut made = Vec::new();
    for judged in &texts {
        let Some((signer, at)) = good(judged, &keyring) else { return Ok(None) };
        made.push(document::text(&signer, signable(&files.release)?, "InRelease", at)?.tbs().clone());
    }
    for judged in &binaries {
        let Some((signer, at)) = good(judged, &keyring) else { return Ok(None) };
        made.push(document::binary(&signer, &files.release, "Release.gpg", at)?.tbs().clone());
    }
    if !is_all(request, &made) {
        return Ok(None);
    }
    let mut signers: Vec<_> = texts.iter().filter_map(|one| one.signer.as_ref().map(|it| it.to_lowercase())).collect();
    signers.sort();
    signers.dedup();
    let copies = request.signatures.iter().map(|covered| signer(world, params, covered));
    let copy = copies.collect::<Result<Vec<_>>>()?.into_iter().flatten().next();
    let in_release = Hash256::of(&files.in_release);
    if query::signed_into(world.ledger.connection(), &in_release)?.is_some() {
        return Ok(None);
    }
    Ok(copy.map(|(_, copy)| Adopted {
        done: json!({
            "hash_after": in_release,
            "size_after": files.in_release.len(),
            "platform": params.format.platform(),
            "token": copy.token,
            "release": params.hash_before,
            "in_release": in_release,
            "release_gpg": Hash256::of(&files.release_gpg),
            "signers": signers,
            "adopted": true,
        }),
    }))
}

/// Whose good signature it is, and when it was made.
fn good(judged: &Judged, keyring: &[Certificate]) -> Option<(SigningKeyInfo, crate::clock::Time)> {
    let (signer, at) = (judged.signer.as_ref()?, judged.created?);
    let known = keyring.iter().find_map(|certificate| certificate.signing_key(signer, at).ok())?;
    (judged.verdict == Verdict::Good).then_some((known, at))
}

/// Whether these are the signatures that the request was for, all of them and no other.
fn is_all(request: &Request<SignArtifact>, made: &[Tbs]) -> bool {
    let covered = &request.signatures;
    covered.len() == made.len() && covered.iter().all(|one| made.iter().any(|tbs| one.matches(one.role, tbs)))
}
