//! Every operation, once. A new one is one more line of the table at the end, a struct with its parameters, and an arm
//! wherever the compiler then asks for one: what it does to the register, who may allow it, what becomes of it after an
//! interruption, what evidence and people are told.

use super::{
    ActivateKey, AdoptRoster, AdoptSettings, CertifyOpenPgp, ChangeState, CloseFollowUp, ConfirmCrl, DestroyKey,
    EndGrant, GenerateKey, GiveGrant, ImportCertificate, IssueCertificate, IssueCrl, LinkRoots, MakeCsr, MarkArtifacts,
    Operation, PublishKeyring, PublishMetadata, ReinstateKey, RestorePerson, ReviewKey, RevokeKey, Role, SetTime,
    SignArtifact, SuspendKey, SuspendPerson, TestKey, UpdatePipeline,
};
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Work that is the same for every operation but for its type. [`Kind::visit`] does it for the type of a kind.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it for one operation.
    fn visit<O: Operation>(self) -> Self::Output;
}

macro_rules! operations {
    ($($type:ident = $name:literal, $entry:literal $(, open: [$($open:literal),+])? $(, blocks: $role:ident)?;)*) => {
        /// An operation, as a value. Each is named like the type of its parameters.
        #[allow(missing_docs, reason = "each says what it is where its parameters are")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($type),* }

        impl Kind {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Kind] = &[$(Kind::$type),*];

            /// Name in requests, approvals and idempotency (`keygen`).
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$type => $name),* }
            }

            /// Type of its ledger entries (`KEY_GENERATED`).
            pub const fn entry(self) -> &'static str {
                match self { $(Kind::$type => $entry),* }
            }

            /// The operation of this name.
            pub fn of_name(name: &str) -> Option<Kind> {
                match name { $($name => Some(Kind::$type),)* _ => None }
            }

            /// The operation whose entries have this type.
            pub fn of_entry(entry_type: &str) -> Option<Kind> {
                match entry_type { $($entry => Some(Kind::$type),)* _ => None }
            }

            /// Parameters that are not known before a key exists; a step of an approval request leaves them out.
            pub const fn open(self) -> &'static [&'static str] {
                match self { $(Kind::$type => &[$($($open),+)?]),* }
            }

            /// Whether its orphans block a token until `recover` (design §2), and then the role of the key that holds
            /// it: what is on that token, or what was issued with it, is not known. What a signing key may have signed
            /// meanwhile is written down and blocks nothing.
            pub const fn blocks(self) -> Option<Role> {
                match self { $(Kind::$type => operations!(@role $($role)?)),* }
            }

            /// Does `work` for this operation's type.
            pub fn visit<V: Visit>(self, work: V) -> V::Output {
                match self { $(Kind::$type => work.visit::<$type>()),* }
            }
        }

        $(impl Operation for $type {
            const KIND: Kind = Kind::$type;
            fn generation(&self) -> &crate::model::GenerationId { &self.generation }
        })*
    };
    (@role) => { None };
    (@role $role:ident) => { Some(Role::$role) };
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Kind::of_name(text).ok_or_else(|| Error::usage("unknown_word", format!("unknown operation {text:?}")))
    }
}

crate::model::serde_by_text!(Kind);

operations! {
    GenerateKey = "keygen", "KEY_GENERATED", blocks: ProofOfPossession;
    IssueCertificate = "issue", "CERTIFICATE_ISSUED", open: ["tbs_sha256"], blocks: Issuer;
    CertifyOpenPgp = "certify", "OPENPGP_CERTIFIED", open: ["fingerprint", "plan"], blocks: Issuer;
    PublishKeyring = "publish-keyring", "KEYRING_PUBLISHED", open: ["sha256", "fingerprints"];
    ChangeState = "state", "KEY_STATE_CHANGED";
    MakeCsr = "csr", "CSR_MADE", open: ["tbs_sha256"];
    ImportCertificate = "import", "CERTIFICATE_IMPORTED";
    SignArtifact = "sign", "PACKAGE_SIGNED";
    AdoptSettings = "adopt", "SETTINGS_ADOPTED";
    GiveGrant = "grant", "GRANT_GIVEN";
    EndGrant = "end-grant", "GRANT_ENDED";
    CloseFollowUp = "follow-up", "FOLLOW_UP_CLOSED";
    AdoptRoster = "roster", "ROSTER_ADOPTED";
    SuspendPerson = "suspend-person", "PERSON_SUSPENDED";
    RestorePerson = "restore-person", "PERSON_RESTORED";
    SuspendKey = "suspend", "KEY_SUSPENDED";
    ReinstateKey = "reinstate", "KEY_REINSTATED";
    UpdatePipeline = "pipeline", "PIPELINE_UPDATED", open: ["from", "to", "before_sha256", "after_sha256"];
    DestroyKey = "destroy", "KEY_DESTROYED";
    RevokeKey = "revoke", "KEY_REVOKED", open: ["crl", "plan"];
    IssueCrl = "crl", "CRL_ISSUED", open: ["crl", "tells"];
    ConfirmCrl = "crl-served", "CRL_SERVED";
    MarkArtifacts = "mark", "RESIGN_REQUIRED";
    TestKey = "test", "KEY_TESTED", open: ["certificate"];
    LinkRoots = "link", "ROOTS_LINKED", open: ["tbs_sha256"], blocks: Issuer;
    PublishMetadata = "publish", "METADATA_PUBLISHED", open: ["files"];
    ActivateKey = "activate", "KEY_ACTIVATED", open: ["keyring_sha256"];
    ReviewKey = "review", "KEY_REVIEWED";
    SetTime = "set-time", "TIME_SET";
}

/// What a successful act moves: an approval that was asked for before it does not count for that any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Nothing that an approval could have been given for.
    Nothing,
    /// The key that it acts with or on.
    Key,
    /// The adopted settings.
    Settings,
    /// The roster, and who is suspended.
    Roster,
}

impl Kind {
    /// Whether it only takes power away: such an act works whatever the clock says.
    pub const fn only_restricts(self) -> bool {
        matches!(self, Kind::SuspendPerson | Kind::SuspendKey | Kind::EndGrant)
    }

    /// Whether people and gates judge it by the clock alone, since it sets the ledger's time.
    pub const fn sets_time(self) -> bool {
        matches!(self, Kind::SetTime)
    }

    /// Whether a step with this result may be taken again under the same leave. Nothing was done if it failed. Where nobody
    /// knows, it may if a second time does no harm: the same bytes are signed, the same key is looked for and destroyed. Not
    /// a second key pair, and not a file's signature.
    pub fn may_be_taken_again(self, result: &str) -> bool {
        match result {
            "failed" => true,
            "unknown" => self.is_harmless_twice(),
            _ => false,
        }
    }

    const fn is_harmless_twice(self) -> bool {
        match self {
            Kind::IssueCertificate
            | Kind::CertifyOpenPgp
            | Kind::PublishKeyring
            | Kind::MakeCsr
            | Kind::UpdatePipeline
            | Kind::DestroyKey
            | Kind::RevokeKey
            | Kind::IssueCrl
            | Kind::ConfirmCrl
            | Kind::TestKey
            | Kind::LinkRoots
            | Kind::PublishMetadata => true,
            Kind::GenerateKey
            | Kind::ChangeState
            | Kind::ImportCertificate
            | Kind::SignArtifact
            | Kind::AdoptSettings
            | Kind::SetTime
            | Kind::GiveGrant
            | Kind::EndGrant
            | Kind::CloseFollowUp
            | Kind::AdoptRoster
            | Kind::SuspendPerson
            | Kind::RestorePerson
            | Kind::SuspendKey
            | Kind::ReinstateKey
            | Kind::MarkArtifacts
            | Kind::ActivateKey
            | Kind::ReviewKey => false,
        }
    }

    /// What it moves when it went well.
    pub const fn moves(self) -> Moves {
        match self {
            Kind::SignArtifact
            | Kind::PublishKeyring
            | Kind::MakeCsr
            | Kind::GiveGrant
            | Kind::EndGrant
            | Kind::CloseFollowUp
            | Kind::IssueCrl
            | Kind::ConfirmCrl
            | Kind::MarkArtifacts
            | Kind::TestKey
            | Kind::PublishMetadata => Moves::Nothing,
            Kind::GenerateKey
            | Kind::IssueCertificate
            | Kind::CertifyOpenPgp
            | Kind::ChangeState
            | Kind::ImportCertificate
            | Kind::SuspendKey
            | Kind::ReinstateKey
            | Kind::UpdatePipeline
            | Kind::DestroyKey
            | Kind::RevokeKey
            | Kind::LinkRoots
            | Kind::ActivateKey
            | Kind::ReviewKey => Moves::Key,
            Kind::AdoptSettings | Kind::SetTime => Moves::Settings,
            Kind::AdoptRoster | Kind::SuspendPerson | Kind::RestorePerson => Moves::Roster,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    struct Names;

    impl Visit for Names {
        type Output = (&'static str, &'static str, Kind);
        fn visit<O: Operation>(self) -> Self::Output {
            (O::NAME, O::ENTRY, O::KIND)
        }
    }

    #[test]
    fn every_operation_is_found_by_both_of_its_names() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::of_name(kind.name()), Some(kind));
            assert_eq!(Kind::of_entry(kind.entry()), Some(kind));
            assert_eq!(kind.visit(Names), (kind.name(), kind.entry(), kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(serde_json::from_value::<Kind>(kind.name().into()).unwrap(), kind);
        }
        let names: BTreeSet<_> = Kind::ALL.iter().flat_map(|kind| [kind.name(), kind.entry()]).collect();
        assert_eq!(names.len(), 2 * Kind::ALL.len());
        assert_eq!(Kind::of_name("found"), None);
        assert_eq!(Kind::of_entry("GENESIS"), None);
        assert!(serde_json::from_value::<Kind>("KEY_GENERATED".into()).is_err());
    }
}
