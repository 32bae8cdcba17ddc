//! The policy of an operation that is only known as a value.

use super::Decide;
use crate::request::{
    ActivateKey, AdoptRoster, AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, ConfirmCrl, DestroyKey,
    EndGrant, GenerateKey, GiveGrant, ImportCertificate, IssueCertificate, IssueCrl, Kind, LinkRoots, MakeCsr,
    MarkArtifacts, PublishKeyring, PublishMetadata, ReinstateKey, RestorePerson, ReviewKey, RevokeKey, SetTime,
    SignArtifact, SuspendKey, SuspendPerson, TestKey, UpdatePipeline,
};

/// Work that is the same for every operation but for its type. [`visit`] does it for the type of a kind.
pub trait VisitDecide {
    /// What comes of it.
    type Output;

    /// Does it for one operation.
    fn visit<O: Decide>(self) -> Self::Output;
}

/// Does `work` for the operation of this kind.
pub fn visit<V: VisitDecide>(kind: Kind, work: V) -> V::Output {
    match kind {
        Kind::GenerateKey => work.visit::<GenerateKey>(),
        Kind::IssueCertificate => work.visit::<IssueCertificate>(),
        Kind::CertifyOpenPgp => work.visit::<CertifyOpenPgp>(),
        Kind::PublishKeyring => work.visit::<PublishKeyring>(),
        Kind::ChangeState => work.visit::<ChangeState>(),
        Kind::MakeCsr => work.visit::<MakeCsr>(),
        Kind::ImportCertificate => work.visit::<ImportCertificate>(),
        Kind::SignArtifact => work.visit::<SignArtifact>(),
        Kind::AdoptSettings => work.visit::<AdoptSettings>(),
        Kind::GiveGrant => work.visit::<GiveGrant>(),
        Kind::EndGrant => work.visit::<EndGrant>(),
        Kind::CloseFollowUp => work.visit::<CloseFollowUp>(),
        Kind::AdoptRoster => work.visit::<AdoptRoster>(),
        Kind::SuspendPerson => work.visit::<SuspendPerson>(),
        Kind::RestorePerson => work.visit::<RestorePerson>(),
        Kind::SuspendKey => work.visit::<SuspendKey>(),
        Kind::ReinstateKey => work.visit::<ReinstateKey>(),
        Kind::UpdatePipeline => work.visit::<UpdatePipeline>(),
        Kind::DestroyKey => work.visit::<DestroyKey>(),
        Kind::RevokeKey => work.visit::<RevokeKey>(),
        Kind::IssueCrl => work.visit::<IssueCrl>(),
        Kind::ConfirmCrl => work.visit::<ConfirmCrl>(),
        Kind::MarkArtifacts => work.visit::<MarkArtifacts>(),
        Kind::TestKey => work.visit::<TestKey>(),
        Kind::LinkRoots => work.visit::<LinkRoots>(),
        Kind::PublishMetadata => work.visit::<PublishMetadata>(),
        Kind::ActivateKey => work.visit::<ActivateKey>(),
        Kind::ReviewKey => work.visit::<ReviewKey>(),
        Kind::SetTime => work.visit::<SetTime>(),
    }
}
