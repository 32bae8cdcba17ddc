//! `recover`: what became of intents whose process is gone.

pub(super) mod revocation;

use super::sign::repository;
use super::{act, crl, destroy, keygen, openpgp, pipeline, publication};
use crate::error::{Error, Kind, Result};
use crate::files::lock::{NamedLock, ProcessLock};
use crate::formats::apt::place;
use crate::formats::apt::published::Published;
use crate::formats::artifact::Placed;
use crate::gate::{self, Completes, Failure, Permit, Recorded, SettingsAdopted, StateChanged};
use crate::hsm::store::{GeneratedKey, PUBLIC_HALF};
use crate::ledger::query::{self, OpenIntent};
use crate::model::{GenerationId, HsmName};
use crate::outcome;
use crate::pki::crl::delivery::Served;
use crate::pki::issued::{CsrMade, Issued};
use crate::pki::openpgp::certification::Certified;
use crate::pki::proof::Tested;
use crate::pki::published::InPlace;
use crate::pki::takeover::TakenOver;
use crate::request::{
    ActivateKey, AdoptRoster, AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, ConfirmCrl, DestroyKey,
    EndGrant, GenerateKey, GiveGrant, ImportCertificate, IssueCertificate, IssueCrl, LinkRoots, MakeCsr, MarkArtifacts,
    Operation, PublishKeyring, PublishMetadata, ReinstateKey, RestorePerson, ReviewKey, RevokeKey, SignArtifact,
    SuspendKey, SuspendPerson, TestKey, UpdatePipeline,
};
use crate::ui::{Row, Worst};
use crate::world::World;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settle what an interruption left
///
/// An intent without an outcome, whose process is gone, is an orphan. A key that was made is looked for by its
/// planned CKA_ID and taken over if it is whole, or the intent is closed as not executed; a certificate counts
/// as issued; a signature that nobody reported is recorded as unknown, with its digest, and the two signature files
/// of an APT repository are brought to a whole state. Revocations that verifiers were not told of are told: the next
/// list is made, or the keyring gets its revocation. Published keyrings that changed or are gone are written again.
/// Where published/ is a git work tree, it is committed and pushed; exit 3 while its remote cannot be reached.
///
/// Examples:
///   keyctl recover
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RecoverArgs {}

/// Intents whose owner is gone.
pub(super) fn orphans(world: &World) -> Result<Vec<OpenIntent>> {
    let locks = world.dir.join("locks");
    let mut orphans = query::open_intents(world.ledger.connection())?;
    orphans.retain(|intent| intent.process.parse().is_ok_and(|id| ProcessLock::is_free(&locks, id).unwrap_or(false)));
    Ok(orphans)
}

/// Refuses to go on with a token on which an interrupted act left something unclear.
///
/// # Errors
/// `orphaned_intent`.
pub(super) fn refuse_orphans<'a>(world: &World, tokens: impl IntoIterator<Item = &'a HsmName>) -> Result<()> {
    let orphans = orphans(world)?;
    for token in tokens {
        if let Some(orphan) = orphans.iter().find(|orphan| orphan.blocks.as_ref() == Some(token)) {
            let message = format!("an interrupted {} of {} is open on token {token}", orphan.entry_type, orphan.object);
            return Err(Error::blocked("orphaned_intent", message).hint("keyctl recover"));
        }
    }
    Ok(())
}

/// Runs `recover`.
///
/// # Errors
/// A token or the ledger cannot be reached; what was settled stays settled.
pub fn run(_args: &RecoverArgs, world: &mut World) -> Result<Worst> {
    let orphans = orphans(world)?;
    if world.globals.dry_run {
        let open = orphans.iter().map(|orphan| {
            Row::new()
                .with("entry", orphan.seq)
                .with("type", orphan.entry_type.as_str())
                .with("object", orphan.object.as_str())
                .with("result", "open")
        });
        world.ui().rows(&["entry", "type", "object", "result"], &open.collect::<Vec<_>>());
        return Ok(Worst::default());
    }
    crate::world::tidy(&world.dir);
    let mut rows = Vec::new();
    for orphan in &orphans {
        let (result, detail) = settle(world, orphan)?;
        rows.push(
            Row::new()
                .with("entry", orphan.seq)
                .with("type", orphan.entry_type.as_str())
                .with("object", orphan.object.as_str())
                .with("result", result)
                .with("detail", detail),
        );
    }
    let mut worst = Worst::default();
    let told = revocation::go_on(world, &mut worst)?;
    if !told.is_empty() {
        world.ui().say("revocations that nobody was told of are published");
        crl::finish(world, &told, &mut worst)?;
    }
    let late = late_evidence(world)? + destroy::late_evidence(world)?;
    if late > 0 {
        world.ui().say(&format!("wrote {late} fragments that were missing from evidence/"));
    }
    let published = openpgp::publish(world)?;
    pipeline::catch_up(world)?;
    super::publish::certificates(world)?;
    if rows.is_empty() {
        world.ui().say("nothing was interrupted");
    }
    if published {
        world.ui().say("published keyrings were written again");
    }
    if !rows.is_empty() || published || late > 0 {
        world.checkpoint()?;
        super::publish::register(world)?;
    }
    if !rows.is_empty() {
        world.ui().rows(&["entry", "type", "object", "result", "detail"], &rows);
    }
    publication::recover(world).map(|()| worst)
}

/// Makes the fragments that a run could not write. They are views of the ledger, so nothing is lost by being late.
fn late_evidence(world: &mut World) -> Result<usize> {
    let mut entries = query::signed_entries(world.ledger.connection())?;
    entries.extend(query::evidence_outcomes(
        world.ledger.connection(),
        &[RevokeKey::ENTRY, IssueCrl::ENTRY, MarkArtifacts::ENTRY],
    )?);
    entries.extend(query::rotation::all_takeovers(world.ledger.connection())?);
    write_missing(world, &entries)
}

/// The same for the end of one generation and what took its place; gives how many there are.
///
/// # Errors
/// No checkpoint can be had, or the folder cannot be written.
pub(super) fn evidence_of(world: &mut World, id: &GenerationId) -> Result<usize> {
    let conn = world.ledger.connection();
    let mut entries = query::outcomes_about(conn, RevokeKey::ENTRY, id)?;
    entries.extend(query::outcomes_about(conn, MarkArtifacts::ENTRY, id)?);
    let takeovers = query::rotation::takeovers(conn, &id.key)?;
    entries.extend(takeovers.iter().filter(|one| one.generation.number > id.number).map(|one| one.seq));
    write_missing(world, &entries)?;
    Ok(entries.len())
}

fn write_missing(world: &mut World, entries: &[u64]) -> Result<usize> {
    let mut written = 0;
    for &seq in entries {
        let receipt = outcome::Receipt::load(&world.ledger, seq)?;
        if !world.fragment_path(&receipt)?.exists() {
            world.fragments(std::slice::from_ref(&receipt))?;
            written += 1;
        }
    }
    Ok(written)
}

fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    // A rotation that takes up its own intents holds this lock.
    let key = orphan.generation.as_deref().and_then(|id| id.split_once('/')).map(|(key, _)| key);
    let locks = world.dir.join("locks");
    let _lock = key.map(|key| NamedLock::acquire(&locks, key, Duration::from_secs(10))).transpose()?;
    if !query::is_open(world.ledger.connection(), orphan.seq)? {
        return Ok(("settled", "another command has settled it meanwhile".into()));
    }
    match orphan.entry_type.as_str() {
        GenerateKey::ENTRY => settle_keygen(world, orphan),
        SignArtifact::ENTRY => {
            let detail = match repository_of(world, orphan)? {
                Some(folder) => recover_repository(world, &folder)?,
                None => {
                    "the token may have signed this digest, and the signed file may be in place; keyctl verify tells"
                        .into()
                }
            };
            settle_as::<SignArtifact, Placed>(world, orphan, true, &detail)
        }
        IssueCertificate::ENTRY => {
            let detail = "the certificate may exist; its serial stays reserved and keygen will issue another";
            settle_as::<IssueCertificate, Issued>(world, orphan, true, detail)
        }
        CertifyOpenPgp::ENTRY => {
            let detail = "the signatures may exist; nothing was published, and keygen makes others";
            settle_as::<CertifyOpenPgp, Certified>(world, orphan, true, detail)
        }
        PublishKeyring::ENTRY => {
            settle_as::<PublishKeyring, Published>(world, orphan, false, "the keyring is published again")
        }
        MakeCsr::ENTRY => settle_as::<MakeCsr, CsrMade>(world, orphan, true, "the request may have been signed"),
        ImportCertificate::ENTRY => {
            settle_as::<ImportCertificate, Issued>(world, orphan, false, "nothing was imported")
        }
        ChangeState::ENTRY => settle_as::<ChangeState, StateChanged>(world, orphan, false, "the state did not change"),
        AdoptSettings::ENTRY => {
            settle_as::<AdoptSettings, SettingsAdopted>(world, orphan, false, "nothing was adopted")
        }
        RevokeKey::ENTRY => revocation::settle(world, orphan),
        IssueCrl::ENTRY => revocation::settle_list(world, orphan),
        ConfirmCrl::ENTRY => settle_as::<ConfirmCrl, Served>(world, orphan, false, "keyctl crl looks again"),
        MarkArtifacts::ENTRY => settle_as::<MarkArtifacts, Recorded>(world, orphan, false, "they are told of anew"),
        TestKey::ENTRY => {
            settle_as::<TestKey, Tested>(world, orphan, true, "the key may have signed a test; rotate tests it again")
        }
        LinkRoots::ENTRY => {
            let detail = "the certificate may exist; its serial stays reserved and rotate will issue another";
            settle_as::<LinkRoots, Issued>(world, orphan, true, detail)
        }
        PublishMetadata::ENTRY => {
            settle_as::<PublishMetadata, InPlace>(world, orphan, false, "rotate publishes the files again")
        }
        ActivateKey::ENTRY => {
            settle_as::<ActivateKey, TakenOver>(world, orphan, false, "nobody took over; rotate goes on")
        }
        ReviewKey::ENTRY => settle_as::<ReviewKey, Recorded>(world, orphan, false, "no review was recorded"),
        GiveGrant::ENTRY => settle_as::<GiveGrant, Recorded>(world, orphan, false, "nothing was granted"),
        EndGrant::ENTRY => settle_as::<EndGrant, Recorded>(world, orphan, false, "the grant stands"),
        CloseFollowUp::ENTRY => settle_as::<CloseFollowUp, Recorded>(world, orphan, false, "the follow-up stays open"),
        AdoptRoster::ENTRY => settle_as::<AdoptRoster, Recorded>(world, orphan, false, "no roster was adopted"),
        SuspendPerson::ENTRY => settle_as::<SuspendPerson, Recorded>(world, orphan, false, "nobody was suspended"),
        RestorePerson::ENTRY => settle_as::<RestorePerson, Recorded>(world, orphan, false, "nobody was restored"),
        SuspendKey::ENTRY => settle_as::<SuspendKey, Recorded>(world, orphan, false, "the key was not suspended"),
        ReinstateKey::ENTRY => settle_as::<ReinstateKey, Recorded>(world, orphan, false, "the suspension stands"),
        UpdatePipeline::ENTRY => pipeline::settle(world, orphan),
        DestroyKey::ENTRY => destroy::settle(world, orphan),
        other => Err(Error::failed("unknown_intent", format!("entry {} is an open {other}", orphan.seq))),
    }
}

/// The folder of the APT repository that an intent is about, if it is about one.
fn repository_of(world: &World, orphan: &OpenIntent) -> Result<Option<PathBuf>> {
    let intent = world.ledger.entry(orphan.seq)?;
    let params = intent.body.get("request").and_then(|request| request.get("params"));
    let params: Option<SignArtifact> = params.and_then(|params| serde_json::from_value(params.clone()).ok());
    Ok(params
        .filter(|params| params.format == "apt")
        .and_then(|mut params| params.options.remove(repository::FOLDER_OPTION).map(PathBuf::from)))
}

/// Brings the two signature files of a repository to a whole state; says which, for the outcome.
fn recover_repository(world: &World, folder: &Path) -> Result<String> {
    let said = if folder.is_dir() {
        let _lock = repository::lock(world, folder)?;
        match place::recover(folder)? {
            place::Recovered::Nothing => "no placing was under way",
            place::Recovered::Finished => "the new signature files were put in place",
            place::Recovered::Restored => "the signature files are the old ones again",
        }
    } else {
        "the repository is no longer there"
    };
    Ok(format!("the token may have signed these digests; {said}; sign the repository again for its evidence"))
}

/// Looks for the planned CKA_ID: a whole pair is taken over under the same intent, nothing means nothing was made.
fn settle_keygen(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = resume::<GenerateKey>(world, orphan)?;
    let found = world.store.take_over(&permit);
    let found = found.and_then(|found| found.map(|made| keygen::never_seen(world, made)).transpose());
    match found {
        Ok(Some(made)) => {
            let spki = made.identity().spki_sha256;
            act::close(world, permit, Ok(made))?;
            Ok(("taken-over", format!("the key pair is whole, SPKI SHA-256 {spki}")))
        }
        Ok(None) => {
            let error = Error::failed("not_executed", "no object on the token has the planned CKA_ID");
            act::close_failed::<_, GeneratedKey>(world, permit, error.into())?;
            Ok(("not-executed", "no object on the token has the planned CKA_ID".into()))
        }
        // Half a pair, or a public key that came before: the record says so, and nothing is deleted.
        Err(failure) if failure.error.kind() != Kind::Unavailable => {
            let detail = failure.error.full();
            let unknown = failure.error.code() != PUBLIC_HALF;
            act::close_failed::<_, GeneratedKey>(world, permit, Failure { unknown, ..failure })?;
            Ok((if unknown { "unknown" } else { "not-executed" }, detail))
        }
        Err(failure) => Err(failure.error),
    }
}

fn settle_as<O: Operation, D: Completes<O>>(
    world: &mut World,
    orphan: &OpenIntent,
    unknown: bool,
    detail: &str,
) -> Result<(&'static str, String)> {
    let permit = resume::<O>(world, orphan)?;
    let error = Error::failed("interrupted", detail);
    act::close_failed::<O, D>(world, permit, Failure { error, unknown })?;
    Ok((if unknown { "unknown" } else { "not-executed" }, detail.to_owned()))
}

pub(super) fn resume<O: Operation>(world: &World, orphan: &OpenIntent) -> Result<Permit<O>> {
    gate::resume(&world.ledger, &world.dir.join("locks"), orphan.seq)
}

pub(super) fn close_with_error<O: Operation, D: Completes<O>>(
    world: &mut World,
    permit: Permit<O>,
    error: Error,
    unknown: bool,
) -> Result<()> {
    let results: Vec<(Permit<O>, Result<D, Failure>)> = vec![(permit, Err(Failure { error, unknown }))];
    // The error is the outcome here, so it is no error of ours.
    outcome::close(&mut world.ledger, crate::world::tool(), results).map(drop)
}
