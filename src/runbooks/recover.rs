//! …

use crate::commands::sign::repository;
use crate::error::{Error, Result};
use crate::files::lock::NamedLock;
use crate::formats::apt::place;
use crate::formats::apt::published::Published;
use crate::formats::artifact::Placed;
use crate::gate::{Completes, Failure, Recorded, SettingsAdopted, StateChanged};
use crate::ledger::query::{self, OpenIntent};
use crate::lifecycle::generate::settle_keygen;
use crate::lifecycle::revocation::settle;
use crate::lifecycle::{destroy, pipelines};
use crate::pki::crl::road::Served;
use crate::pki::openpgp::road::Certified;
use crate::pki::proof::Tested;
use crate::pki::published::InPlace;
use crate::pki::road::{CsrMade, Issued};
use crate::pki::takeover::TakenOver;
use crate::request::{
    ActivateKey, AdoptRoster, AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, ConfirmCrl, DestroyKey,
    EndGrant, GenerateKey, GiveGrant, ImportCertificate, IssueCertificate, IssueCrl, LinkRoots, MakeCsr, MarkArtifacts,
    Operation, PublishKeyring, PublishMetadata, ReinstateKey, RestorePerson, ReviewKey, RevokeKey, SignArtifact,
    SuspendKey, SuspendPerson, TestKey, UpdatePipeline,
};
use crate::world::{World, act, orphans};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
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
        RevokeKey::ENTRY => settle::settle(world, orphan),
        IssueCrl::ENTRY => settle::settle_list(world, orphan),
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
        UpdatePipeline::ENTRY => pipelines::settle(world, orphan),
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
