//! Settling one act that was begun and whose end nobody knows: the world is looked at, and the intent gets the outcome
//! that is true. What is still to be done is left to whoever does it anyway.

use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::gate::{Completes, Failure, Recorded, SettingsAdopted, StateChanged, TimeSet};
use crate::ledger::query::{self, OpenIntent};
use crate::lifecycle::generate::settle_keygen;
use crate::lifecycle::revocation::settle;
use crate::lifecycle::{destroy, pipelines};
use crate::pki::crl::delivery::Served;
use crate::pki::issued::{CsrMade, Issued};
use crate::pki::openpgp::certification::Certified;
use crate::pki::proof::Tested;
use crate::pki::published::InPlace;
use crate::pki::takeover::TakenOver;
use crate::published::keyring_files::KeyringWritten;
use crate::request::{
    ActivateKey, AdoptRoster, AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, ConfirmCrl, EndGrant,
    GiveGrant, ImportCertificate, IssueCertificate, Kind as Act, LinkRoots, MakeCsr, MarkArtifacts, Operation,
    PublishKeyring, PublishMetadata, ReinstateKey, RestorePerson, ReviewKey, SetTime, SignArtifact, SuspendKey,
    SuspendPerson, TestKey,
};
use crate::signing::adopt;
use crate::signing::artifact::Placed;
use crate::signing::{release_files, repository};
use crate::world::{World, act, orphans};
use std::path::{Path, PathBuf};

pub(crate) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    // A rotation that takes up its own intents holds this lock.
    let key = orphan.generation.as_deref().and_then(|id| id.split_once('/')).map(|(key, _)| key);
    let _lock = key.map(|key| world.lock_key(&key.parse()?)).transpose()?;
    if !query::is_open(world.ledger.connection(), orphan.seq)? {
        return Ok(("settled", "another command has settled it meanwhile".into()));
    }
    match orphan.kind {
        Act::GenerateKey => settle_keygen(world, orphan),
        Act::SignArtifact => settle_signature(world, orphan),
        Act::IssueCertificate => {
            let detail = "the certificate may exist; its serial stays reserved and keygen will issue another";
            settle_as::<IssueCertificate, Issued>(world, orphan, true, detail)
        }
        Act::CertifyOpenPgp => {
            let detail = "the signatures may exist; nothing was published, and keygen makes others";
            settle_as::<CertifyOpenPgp, Certified>(world, orphan, true, detail)
        }
        Act::PublishKeyring => {
            settle_as::<PublishKeyring, KeyringWritten>(world, orphan, false, "the keyring is published again")
        }
        Act::MakeCsr => settle_as::<MakeCsr, CsrMade>(world, orphan, true, "the request may have been signed"),
        Act::ImportCertificate => settle_as::<ImportCertificate, Issued>(world, orphan, false, "nothing was imported"),
        Act::ChangeState => settle_as::<ChangeState, StateChanged>(world, orphan, false, "the state did not change"),
        Act::AdoptSettings => settle_as::<AdoptSettings, SettingsAdopted>(world, orphan, false, "nothing was adopted"),
        Act::RevokeKey => settle::settle(world, orphan),
        Act::IssueCrl => settle::settle_list(world, orphan),
        Act::ConfirmCrl => settle_as::<ConfirmCrl, Served>(world, orphan, false, "keyctl crl looks again"),
        Act::MarkArtifacts => settle_as::<MarkArtifacts, Recorded>(world, orphan, false, "they are told of anew"),
        Act::TestKey => {
            settle_as::<TestKey, Tested>(world, orphan, true, "the key may have signed a test; rotate tests it again")
        }
        Act::LinkRoots => {
            let detail = "the certificate may exist; its serial stays reserved and rotate will issue another";
            settle_as::<LinkRoots, Issued>(world, orphan, true, detail)
        }
        Act::PublishMetadata => {
            settle_as::<PublishMetadata, InPlace>(world, orphan, false, "rotate publishes the files again")
        }
        Act::ActivateKey => {
            settle_as::<ActivateKey, TakenOver>(world, orphan, false, "nobody took over; rotate goes on")
        }
        Act::ReviewKey => settle_as::<ReviewKey, Recorded>(world, orphan, false, "no review was recorded"),
        Act::GiveGrant => settle_as::<GiveGrant, Recorded>(world, orphan, false, "nothing was granted"),
        Act::EndGrant => settle_as::<EndGrant, Recorded>(world, orphan, false, "the grant stands"),
        Act::CloseFollowUp => settle_as::<CloseFollowUp, Recorded>(world, orphan, false, "the follow-up stays open"),
        Act::AdoptRoster => settle_as::<AdoptRoster, Recorded>(world, orphan, false, "no roster was adopted"),
        Act::SuspendPerson => settle_as::<SuspendPerson, Recorded>(world, orphan, false, "nobody was suspended"),
        Act::RestorePerson => settle_as::<RestorePerson, Recorded>(world, orphan, false, "nobody was restored"),
        Act::SuspendKey => settle_as::<SuspendKey, Recorded>(world, orphan, false, "the key was not suspended"),
        Act::ReinstateKey => settle_as::<ReinstateKey, Recorded>(world, orphan, false, "the suspension stands"),
        Act::SetTime => settle_as::<SetTime, TimeSet>(world, orphan, false, "the time was not set"),
        Act::UpdatePipeline => pipelines::settle(world, orphan),
        Act::DestroyKey => destroy::settle(world, orphan),
    }
}

/// A signature may be in its file, which tells, or in nothing that is known.
fn settle_signature(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    if let Some(folder) = params_of(world, orphan)?.as_ref().and_then(SignArtifact::repository).map(PathBuf::from) {
        let detail = recover_repository(world, &folder)?;
        return match adopt::release::recover(world, orphan, &folder)? {
            Some((_, evidence)) => Ok(adopted("the signature files are", &evidence)),
            None => settle_as::<SignArtifact, Placed>(world, orphan, true, &detail),
        };
    }
    match adopt::recover(world, orphan)? {
        Some(Ok((_, evidence))) => Ok(adopted("the signed file is", &evidence)),
        Some(Err(error)) => {
            let detail =
                format!("the signed file is in place, but its timestamp is not trusted here: {}", error.full());
            Ok(("open", format!("{detail}; keyctl sign it again with the same options, which records it")))
        }
        None => {
            let detail = "the token may have signed this digest, and the signed file is not where it was to be; keyctl \
                          sign signs the unsigned file";
            settle_as::<SignArtifact, Placed>(world, orphan, true, detail)
        }
    }
}

fn adopted(what: &str, evidence: &Path) -> (&'static str, String) {
    ("adopted", format!("{what} in place; evidence: {}", shown_path(evidence)))
}

fn params_of(world: &World, orphan: &OpenIntent) -> Result<Option<SignArtifact>> {
    let intent = world.ledger.entry(orphan.seq)?;
    let params = intent.body.get("request").and_then(|request| request.get("params"));
    Ok(params.and_then(|params| serde_json::from_value(params.clone()).ok()))
}

/// The file or folder that an open intent is about, as well as it is known; only signatures are about one.
pub(crate) fn file_of(world: &World, orphan: &OpenIntent) -> Result<Option<String>> {
    if orphan.kind != Act::SignArtifact {
        return Ok(None);
    }
    let named = |params: SignArtifact| {
        params.file().or_else(|| params.repository()).map_or_else(|| params.name.clone(), str::to_owned)
    };
    Ok(params_of(world, orphan)?.map(named))
}

/// Brings the two signature files of a repository to a whole state; says which, for the outcome.
fn recover_repository(world: &World, folder: &Path) -> Result<String> {
    let said = if folder.is_dir() {
        let _lock = repository::lock(world, folder)?;
        match release_files::recover(folder)? {
            release_files::Recovered::Nothing => "no placing was under way",
            release_files::Recovered::Finished => "the new signature files were put in place",
            release_files::Recovered::Restored => "the signature files are the old ones again",
        }
    } else {
        "the repository is no longer there"
    };
    Ok(format!("the token may have signed these digests; {said}; sign the repository again for its evidence"))
}

fn settle_as<O: Operation, D: Completes<O>>(
    world: &mut World,
    orphan: &OpenIntent,
    unknown: bool,
    detail: &str,
) -> Result<(&'static str, String)> {
    let permit = orphans::resume::<O>(world, orphan)?;
    let error = Error::failed("interrupted", detail);
    act::close_failed::<O, D>(world, permit, Failure { error, unknown })?;
    Ok((if unknown { "unknown" } else { "not-executed" }, detail.to_owned()))
}
