//! What an interruption left open of a key's rotation, taken up again under the same intent: the same CKA_ID, the same
//! serial number, the same bytes. What cannot be had any more is closed as what it is, and done anew.

use crate::error::{Error, Kind, Result};
use crate::gate::{self, Completes, Failure, Permit, Recorded, StateChanged};
use crate::hsm::store::GeneratedKey;
use crate::ledger::query::OpenIntent;
use crate::lifecycle::revocation::settle;
use crate::lifecycle::rotation::facts::Known;
use crate::lifecycle::rotation::steps;
use crate::lifecycle::{certify, generate, openpgp, pipelines};
use crate::model::{GenerationId, KeyName};
use crate::outcome::Receipt;
use crate::people::ApprovalRequest;
use crate::pki::issue::Validity;
use crate::pki::issued::{CsrMade, Issued};
use crate::pki::takeover::TakenOver;
use crate::policy::{Decide, Decision};
use crate::published::keyring_files::KeyringWritten;
use crate::request::{
    ActivateKey, CertifyOpenPgp, ChangeState, GenerateKey, IssueCertificate, Kind as Act, LinkRoots, MakeCsr,
    Operation, PublishKeyring, ReviewKey, TestKey,
};
use crate::world::{World, act, orphans};

/// Takes up what is open of this key; gives the receipt of a takeover that was completed by it.
///
/// # Errors
/// As each step says; what could not be taken up stays open.
pub(crate) fn orphans(world: &mut World, name: &KeyName, agreed: Option<&ApprovalRequest>) -> Result<Option<Receipt>> {
    let mut takeover = None;
    let ours = |orphan: &OpenIntent| {
        orphan.generation.as_deref().and_then(|id| id.parse::<GenerationId>().ok()).is_some_and(|id| id.key == *name)
    };
    for orphan in orphans::orphans(world)?.into_iter().filter(ours) {
        world.ui().detail(&format!("{} of {} was interrupted and goes on", orphan.kind.entry(), orphan.object));
        let known = Known::read(world, name)?;
        if orphan.kind == ActivateKey::KIND {
            let permit = still_allowed::<ActivateKey, TakenOver>(world, &orphan)?;
            takeover = permit.map(|permit| steps::activate_with(world, &known, permit)).transpose()?;
        } else {
            continue_one(world, &known, &orphan, agreed)?;
        }
    }
    Ok(takeover)
}

fn continue_one(world: &mut World, known: &Known, orphan: &OpenIntent, agreed: Option<&ApprovalRequest>) -> Result<()> {
    match orphan.kind {
        Act::GenerateKey => generate(world, agreed, resume(world, orphan)?),
        Act::IssueCertificate => issue(world, known, resume(world, orphan)?),
        Act::CertifyOpenPgp => {
            let permit: Permit<CertifyOpenPgp> = resume(world, orphan)?;
            let generation = known.generation(&permit.request().params.generation)?;
            openpgp::certify_again(world, permit, generation, &known.key).map(drop)
        }
        Act::LinkRoots => link(world, known, resume(world, orphan)?),
        Act::TestKey => still_allowed::<TestKey, crate::pki::proof::Tested>(world, orphan)?
            .map_or(Ok(()), |permit| steps::test_with(world, known, permit)),
        Act::PublishMetadata => steps::publish_with(world, known, resume(world, orphan)?),
        Act::ChangeState => still_allowed::<ChangeState, StateChanged>(world, orphan)?
            .map_or(Ok(()), |permit| act::close(world, permit, Ok(StateChanged::new()))),
        Act::ReviewKey => still_allowed::<ReviewKey, Recorded>(world, orphan)?
            .map_or(Ok(()), |permit| act::close(world, permit, Ok(Recorded::new()))),
        // A request may be made as often as one likes, and a keyring is published again.
        Act::MakeCsr => close::<MakeCsr, CsrMade>(world, orphan),
        Act::PublishKeyring => close::<PublishKeyring, KeyringWritten>(world, orphan),
        Act::UpdatePipeline => pipelines::settle(world, orphan).map(drop),
        Act::RevokeKey => settle::settle(world, orphan).map(drop),
        // A takeover is completed by our caller. Artifacts that were being signed are not ours, nor is what people decide
        // about keys, settings and each other; they hold nothing up.
        Act::ActivateKey
        | Act::SignArtifact
        | Act::ImportCertificate
        | Act::AdoptSettings
        | Act::GiveGrant
        | Act::EndGrant
        | Act::CloseFollowUp
        | Act::AdoptRoster
        | Act::SuspendPerson
        | Act::RestorePerson
        | Act::SuspendKey
        | Act::ReinstateKey
        | Act::SetTime
        | Act::DestroyKey
        | Act::IssueCrl
        | Act::ConfirmCrl
        | Act::MarkArtifacts => Ok(()),
    }
}

fn resume<O: Operation>(world: &World, orphan: &OpenIntent) -> Result<Permit<O>> {
    gate::resume(&world.ledger, &world.dir.join("locks"), orphan.seq)
}

/// The permit, if the gates would still let it pass; else it is closed.
fn still_allowed<O: Decide, D: Completes<O>>(world: &mut World, orphan: &OpenIntent) -> Result<Option<Permit<O>>> {
    let permit: Permit<O> = resume(world, orphan)?;
    let decision = gate::preview(&mut world.ledger, std::slice::from_ref(permit.request()))?.into_iter().next();
    match decision {
        // Whoever had to approve did so before the intent was written.
        Some(Decision::Allow(_) | Decision::NeedsApproval(_)) => Ok(Some(permit)),
        _ => {
            let error = Error::failed("interrupted", "it was not done, and is not allowed any more");
            act::close_failed::<O, D>(world, permit, error.into()).map(|()| None)
        }
    }
}

fn close<O: Operation, D: Completes<O>>(world: &mut World, orphan: &OpenIntent) -> Result<()> {
    let permit: Permit<O> = resume(world, orphan)?;
    let error = Error::failed("interrupted", "it may have been done, and is done again");
    act::close_failed::<O, D>(world, permit, Failure { error, unknown: true })
}

/// The pair under the planned CKA_ID, or the same plan once more if there is none.
fn generate(world: &mut World, agreed: Option<&ApprovalRequest>, permit: Permit<GenerateKey>) -> Result<()> {
    match world.store.take_over(&permit) {
        Ok(Some(made)) => {
            let made = generate::never_seen(world, made);
            act::close(world, permit, made)
        }
        Ok(None) => generate::make(world, agreed, permit),
        // The token cannot be asked: the intent stays open.
        Err(failure) if failure.error.kind() == Kind::Unavailable => Err(failure.error),
        Err(failure) if failure.error.code() == crate::hsm::store::PUBLIC_HALF => {
            act::close_failed::<_, GeneratedKey>(world, permit, failure.error.into())
        }
        Err(failure) => act::close::<_, GeneratedKey>(world, permit, Err(failure)),
    }
}

/// The same to-be-signed bytes, with the serial number that was reserved for them (governance T7).
fn issue(world: &mut World, known: &Known, permit: Permit<IssueCertificate>) -> Result<()> {
    let params = permit.request().params.clone();
    let again = || {
        let generation = known.generation(&params.generation)?;
        let issuer = world.generation(&params.issuer)?;
        let validity = Validity { not_before: params.not_before, not_after: params.not_after };
        let dates = (steps::serial(&params.serial)?, validity);
        Ok::<_, Error>((certify::rehearsed(world, generation, &issuer, dates)?, issuer))
    };
    match again() {
        Ok((linted, issuer)) if linted.draft().tbs_hash() == params.tbs_sha256 => {
            certify::issue_with(world, permit, &linted, &issuer).map(drop)
        }
        _ => act::close_failed::<_, Issued>(world, permit, changed()),
    }
}

fn link(world: &mut World, known: &Known, permit: Permit<LinkRoots>) -> Result<()> {
    let params = permit.request().params.clone();
    let again = || {
        let (subject, issuer) = (known.generation(&params.generation)?, known.generation(&params.issuer)?);
        Ok::<_, Error>((steps::rehearsed_link(world, subject, issuer, steps::serial(&params.serial)?)?, issuer))
    };
    match again() {
        Ok((linted, issuer)) if linted.draft().tbs_hash() == params.tbs_sha256 => {
            steps::link_with(world, permit, &linted, issuer)
        }
        _ => act::close_failed::<_, Issued>(world, permit, changed()),
    }
}

fn changed() -> Failure {
    let error = Error::failed("interrupted", "the certificate may exist; its serial stays reserved, another is issued");
    Failure { error, unknown: true }
}
