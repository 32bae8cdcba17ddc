//! Signatures of a run that was interrupted after the file had its name and before the ledger had its outcome. The intent
//! says which digest was to be signed; where a file has a good signature over that digest by that key, the act was done,
//! and gets its outcome and its evidence late.

pub(crate) mod release;

use super::chunk::Setup;
use super::earlier::{Known, Wanted, still_stands};
use super::inputs::Job;
use super::kept::{Folder, Kept};
use super::{Finished, How, Stored, timestamps};
use crate::clock::rfc3339;
use crate::crypto::sha256::Sha256;
use crate::error::{Error, Result, shown};
use crate::files::shown_path;
use crate::files::source::{Source, SourcePolicy};
use crate::formats::authenticode::{AuthenticodeSignature, TimestampKind};
use crate::formats::detect::detect;
use crate::formats::file::{Edits, Examined, Format};
use crate::formats::timestamp::{Token, chain, verify_token};
use crate::formats::{ReadAt, feed};
use crate::gate::{Completes, sealed};
use crate::keys::{Copy, Identity};
use crate::ledger::query::{self, OpenIntent};
use crate::model::{Hash256, SpkiHash, Tbs};
use crate::request::{Covered, Kind, Request, Role, SignArtifact, TIMESTAMP};
use crate::world::World;
use crate::world::act;
use crate::world::orphans::{orphans, resume};
use serde_json::{Value, json};
use std::path::Path;

/// What an intent has to do with a file.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Its signature is not in there.
    Nothing,
    /// It is, with a timestamp that the authorities' roots at hand do not bear out, for this reason.
    Untimestamped(Error),
    /// It is. The intent can be closed with it.
    Signed(Box<Adopted>),
}

/// A signed file that was found in its place. It closes the permit.
#[derive(Debug)]
pub(crate) struct Adopted {
    done: Value,
}

impl sealed::Sealed for Adopted {}

impl Completes<SignArtifact> for Adopted {
    fn done(&self) -> Value {
        self.done.clone()
    }
}

/// Takes out the files that carry the signature of an interrupted run.
///
/// # Errors
/// The ledger cannot be read or written.
pub(super) fn split(world: &mut World, plan: &Setup<'_>, jobs: Vec<Job>) -> Result<(Vec<Finished>, Vec<Job>)> {
    let mut open = orphans(world)?;
    open.retain(|intent| intent.kind == Kind::SignArtifact);
    in_order(world, &mut open);
    let (mut finished, mut left) = (Vec::new(), Vec::new());
    if open.is_empty() {
        return Ok((finished, jobs));
    }
    let intents = open.into_iter().map(|orphan| Ok((request_of(world, &orphan)?, orphan)));
    let intents: Vec<_> = intents.collect::<Result<_>>()?;
    for job in jobs {
        match meet(world, plan, &intents, &job)? {
            None => left.push(job),
            Some(result) => finished.push(Finished { file: job.file, result }),
        }
    }
    Ok((finished, left))
}

type Intents = [(Request<SignArtifact>, OpenIntent)];

/// Puts those last of which nothing was kept: another intent over the same digest has the better claim to a file.
pub(crate) fn in_order(world: &World, open: &mut [OpenIntent]) {
    let evidence = world.dir.join("evidence");
    open.sort_by_cached_key(|orphan| {
        let request = (orphan.kind == Kind::SignArtifact).then(|| request_of(world, orphan).ok()).flatten();
        let id = request.filter(|one| !one.params.format.is_repository()).map(|one| one.params.artifact_id);
        id.is_some_and(|id| Folder::of(&evidence, &id).is_ok_and(|folder| !folder.file("edits").exists()))
    });
}

/// What comes of a file that may carry such a signature; none if it goes the way of all others.
fn meet(world: &mut World, plan: &Setup<'_>, intents: &Intents, job: &Job) -> Result<Option<Result<(Stored, How)>>> {
    let target = job.destination.as_deref().unwrap_or(&job.file);
    let Some((orphan, adopted)) = seen_by(world, plan, intents, target)? else { return Ok(None) };
    let stored = close(world, orphan, *adopted)?;
    let known = Known::load(world, stored.0.outcome().seq)?.1;
    // It is recorded whatever happens next. Who wants something else of the file goes on and gets it.
    if !is_wanted(world, plan, &known)? {
        return Ok(None);
    }
    Ok(Some(still_stands(world, &known).map(|()| (stored, How::Adopted))))
}

/// Whether the adopted signature is what this run is asked for. Under the same correlation id, an operator who was told
/// that the file is signed already may have said `--replace` meanwhile.
fn is_wanted(world: &World, plan: &Setup<'_>, known: &Known) -> Result<bool> {
    let mut options = plan.options.words();
    let mut then = known.params.clone();
    let receipt = crate::outcome::Receipt::load(&world.ledger, known.seq)?;
    if receipt.outcome().correlation_id == world.globals.correlation_id {
        options.remove("existing");
        then.options.remove("existing");
    }
    let wanted = Wanted { key: &plan.signer.generation.key, options: &options, terms: plan.terms };
    Ok(wanted.is(&then).unwrap_or(false))
}

fn seen_by<'a>(
    world: &World,
    plan: &Setup<'_>,
    intents: &'a Intents,
    file: &Path,
) -> Result<Option<(&'a OpenIntent, Box<Adopted>)>> {
    // A file that cannot be read is the later stages' to report.
    let Ok(Some(scanned)) = Scanned::of(file) else { return Ok(None) };
    let roots = || Ok(plan.trusted.unwrap_or_default().to_vec());
    for (request, orphan) in intents {
        if !scanned.may_be(request) || !query::is_open(world.ledger.connection(), orphan.seq)? {
            continue;
        }
        match scanned.look(world, request, roots) {
            Ok(Seen::Signed(adopted)) => return Ok(Some((orphan, adopted))),
            Ok(Seen::Untimestamped(error)) => world.ui().warn(&format!("{}: {}", shown_path(file), error.full())),
            Ok(Seen::Nothing) | Err(_) => {}
        }
    }
    Ok(None)
}

/// The request of an open intent.
///
/// # Errors
/// `bad_entry`.
pub(crate) fn request_of(world: &World, orphan: &OpenIntent) -> Result<Request<SignArtifact>> {
    let request = world.ledger.entry(orphan.seq)?.body.get("request").cloned().unwrap_or_default();
    let bad = |error| Error::failed("bad_entry", format!("entry {} is no signature", orphan.seq)).because(error);
    serde_json::from_value(request).map_err(bad)
}

/// Looks for the signature of an intent where its file should be, and closes the intent with it.
///
/// # Errors
/// The ledger cannot be read or written.
pub(crate) fn recover(world: &mut World, orphan: &OpenIntent) -> Result<Option<Result<Stored>>> {
    let request = request_of(world, orphan)?;
    let Some(path) = request.params.file().map(std::path::PathBuf::from) else { return Ok(None) };
    let settings = query::settings(world.ledger.connection())?.settings.timestamp;
    // What cannot be read is not what was made.
    let Ok(Some(scanned)) = Scanned::of(&path) else { return Ok(None) };
    match scanned.look(world, &request, || timestamps::adopted_roots(&world.dir, &settings)) {
        Ok(Seen::Signed(adopted)) => close(world, orphan, *adopted).map(|stored| Some(Ok(stored))),
        Ok(Seen::Untimestamped(error)) => Ok(Some(Err(error))),
        Ok(Seen::Nothing) | Err(_) => Ok(None),
    }
}

fn close(world: &mut World, orphan: &OpenIntent, adopted: Adopted) -> Result<Stored> {
    let permit = resume::<SignArtifact>(world, orphan)?;
    let receipt = act::close_for_evidence(world, permit, Ok(adopted))?;
    world.fragments(std::slice::from_ref(&receipt))?;
    let path = world.fragment_path(&receipt)?;
    Ok((receipt, path))
}

/// A file with signatures, read once.
struct Scanned {
    source: Source,
    format: &'static dyn Format,
    examined: Examined,
    sha256: Hash256,
}

impl Scanned {
    /// Reads a file; none if there is no signature in it.
    ///
    /// # Errors
    /// It cannot be read, or is broken.
    fn of(path: &Path) -> Result<Option<Self>> {
        let source = Source::open(path, SourcePolicy { follow: true, ..SourcePolicy::READ })?;
        let format = detect(&source)?;
        if !format.is_signed(source.file())? {
            return Ok(None);
        }
        let mut whole = Sha256::new();
        let examined = format.examine(source.file(), &mut [&mut whole])?;
        source.unchanged()?;
        Ok(Some(Scanned { source, format, examined, sha256: whole.finish() }))
    }

    /// Whether one of its signatures is over the digest of a request; who made it, and well, is not asked.
    fn may_be(&self, request: &Request<SignArtifact>) -> bool {
        let has = |one: &Covered| self.examined.signatures.iter().any(|(signature, _)| is_over(signature, one));
        request.signatures.iter().any(has)
    }

    /// Whether it has the signature that a request was for.
    fn look(
        &self,
        world: &World,
        request: &Request<SignArtifact>,
        roots: impl FnOnce() -> Result<Vec<Vec<u8>>>,
    ) -> Result<Seen> {
        let Scanned { source, format, examined, sha256 } = self;
        let params = &request.params;
        let covered = request.signatures.iter().find(|covered| covered.role == Role::Artifact);
        let Some(covered) = covered.filter(|_| format.which() == params.format) else { return Ok(Seen::Nothing) };
        let Some((identity, copy)) = signer(world, params, covered)? else { return Ok(Seen::Nothing) };
        let Some(signature) = find(examined, covered, &identity) else { return Ok(Seen::Nothing) };
        let evidence = world.dir.join("evidence");
        let kept = Kept::read(&Folder::of(&evidence, &params.artifact_id)?);
        // The same file signed once more has the same digest, and another signature.
        let is_other = kept.as_ref().is_some_and(|kept| !is_made_by(source.file(), &kept.edits).unwrap_or(false));
        if is_other || query::signed_into(world.ledger.connection(), sha256)?.is_some() {
            return Ok(Seen::Nothing);
        }
        if kept.is_none() && !(examined.uncovered.is_empty() && examined.notes.is_empty()) {
            // Somebody may have changed what no signature covers.
            return Ok(Seen::Nothing);
        }
        let said = kept.as_ref().and_then(|kept| kept.timestamp.clone());
        let timestamp = match params.options.contains_key(TIMESTAMP).then(|| timestamp(signature, said, &roots()?)) {
            None => None,
            Some(Ok(said)) => Some(said),
            Some(Err(error)) => return Ok(Seen::Untimestamped(error)),
        };
        let mut done = json!({
            "hash_after": sha256,
            "size_after": source.len(),
            "platform": params.format.platform(),
            "token": copy.token,
            "adopted": true,
        });
        let leads_back = |original: &Value| self.leads_back(original, params.hash_before).unwrap_or(false);
        let original = kept.and_then(|kept| kept.original).filter(leads_back);
        original.into_iter().for_each(|original| done["original"] = original);
        timestamp.into_iter().for_each(|said| done["timestamp"] = said);
        source.unchanged()?;
        Ok(Seen::Signed(Box::new(Adopted { done })))
    }

    /// Whether what is said of the unsigned file brings it back, byte for byte.
    fn leads_back(&self, original: &Value, before: Hash256) -> Result<bool> {
        let file = self.source.file();
        let mut stripping = self.format.strip(file)?;
        feed(file, &mut [stripping.sink()])?;
        let stripped = stripping.finish(file, Some(original))?;
        let mut whole = Sha256::new();
        feed(&Edited { file, edits: &stripped.edits }, &mut [&mut whole])?;
        Ok(stripped.is_original && whole.finish() == before)
    }
}

/// Whether a signature is over the very digest of an intent.
fn is_over(signature: &AuthenticodeSignature, covered: &Covered) -> bool {
    let signed = signature.signer().ok().and_then(|signer| signer.signed_raw.as_deref());
    signed.is_some_and(|signed| covered.matches(Role::Artifact, &Tbs::message(covered.mechanism, signed)))
}

/// The key that the intent was for, and where it was.
fn signer(world: &World, params: &SignArtifact, covered: &Covered) -> Result<Option<(Identity, Copy)>> {
    let generation = query::generation(world.ledger.connection(), &params.generation)?;
    let identities = generation.into_iter().flat_map(|generation| generation.identities);
    let found = identities.into_iter().find(|identity| Some(identity.spki_sha256) == covered.spki_sha256);
    Ok(found.and_then(|identity| {
        let copy = identity.copies.iter().find(|copy| copy.hsm == covered.hsm && copy.cka_id == covered.cka_id)?;
        Some((identity.clone(), copy.clone()))
    }))
}

/// The one that is good, over the very digest of the intent, by the certificate of its key.
fn find<'a>(examined: &'a Examined, covered: &Covered, identity: &Identity) -> Option<&'a AuthenticodeSignature> {
    let is_it = |signature: &AuthenticodeSignature| {
        let certificate = signature.certificate.as_ref();
        is_over(signature, covered)
            && certificate.is_some_and(|certificate| {
                identity.x509() == Some(&certificate.der) && SpkiHash::of(&certificate.spki) == identity.spki_sha256
            })
    };
    let good = examined.signatures.iter().filter(|(_, report)| report.is_good());
    good.map(|(signature, _)| signature).find(|signature| is_it(signature))
}

/// What evidence says of the timestamp: what was said then, if it is of this token.
fn timestamp(signature: &AuthenticodeSignature, then: Option<Value>, roots: &[Vec<u8>]) -> Result<Value> {
    let TimestampKind::Rfc3161(token) = &signature.timestamp else {
        return Err(Error::failed("no_timestamp", "the signature has no timestamp, and one was asked for"));
    };
    let token: Token = verify_token(token, &signature.signer()?.signature, &*chain::to_roots(roots))?;
    let now = json!({
        "time": rfc3339(token.gen_time),
        "serial": token.serial,
        "tsa_subject": shown(&token.tsa_subject),
        "policy": token.policy.to_string(),
    });
    let same = |then: &Value| ["time", "serial", "tsa_subject", "policy"].iter().all(|name| then[name] == now[name]);
    Ok(then.filter(same).unwrap_or(now))
}

/// Whether a file is as these edits make it, wherever they write.
fn is_made_by(file: &dyn ReadAt, edits: &Edits) -> Result<bool> {
    if file.len()? != edits.len {
        return Ok(false);
    }
    for edit in &edits.edits {
        let mut there = vec![0; edit.bytes.len()];
        file.read_exact_at(edit.offset, &mut there)?;
        if there != edit.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file as it will be once edits are made.
struct Edited<'a> {
    file: &'a dyn ReadAt,
    edits: &'a Edits,
}

impl ReadAt for Edited<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, buffer)?;
        for edit in &self.edits.edits {
            for (at, byte) in (edit.offset..).zip(&edit.bytes) {
                let there = at.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
                if let Some(place) = there.and_then(|at| buffer.get_mut(at)) {
                    *place = *byte;
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.edits.len)
    }
}
