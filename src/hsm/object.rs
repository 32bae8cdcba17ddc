//! What there is on a token, as plain data: keys that were found, their attributes, and what an inventory lists.
//!
//! Attributes are claims, not proof (governance §0, fact 6). How all this is found is [`super::search`]'s matter.

use super::raw::Handle;
use crate::crypto::verify::PublicKey;
use crate::model::{CkaId, SpkiHash};
use serde::Serialize;

/// A key on a token, as plain data: it was there, alone under its CKA_ID, with this public part.
#[derive(Clone, Debug)]
pub struct KeyRef {
    pub(in crate::hsm) cka_id: CkaId,
    pub(in crate::hsm) public: PublicKey,
    pub(in crate::hsm) confirmed: Confirmation,
    pub(in crate::hsm) always_authenticate: bool,
}

impl KeyRef {
    /// Its CKA_ID.
    pub fn cka_id(&self) -> &CkaId {
        &self.cka_id
    }

    /// Its public part, as the caller expects it; signatures are verified with this.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// How the token's own data agreed.
    pub fn confirmed(&self) -> Confirmation {
        self.confirmed
    }

    /// Whether each signature needs a login of its own (`CKA_ALWAYS_AUTHENTICATE`).
    pub fn always_authenticate(&self) -> bool {
        self.always_authenticate
    }
}

/// Which data on the token agreed with the expected public key; the first that did, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// The public key object.
    PublicObject,
    /// `CKA_PUBLIC_KEY_INFO` of the private key.
    PublicKeyInfo,
    /// The public numbers among the private key's attributes.
    PrivateAttributes,
}

/// What a key attribute was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The token says what was asked for (or nothing particular was).
    Asserted,
    /// The token does not tell.
    Unavailable,
    /// The token says otherwise.
    Mismatch,
}

/// One attribute of a private key, read back (governance K4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeState {
    /// PKCS#11 name, such as `CKA_EXTRACTABLE`.
    pub name: &'static str,
    /// What it should be, where that is known.
    pub expected: Option<bool>,
    /// What the token says, if it does.
    pub actual: Option<bool>,
    /// The comparison.
    pub state: State,
}

/// A key object as an inventory lists it. Text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectInfo {
    /// `private-key`, `public-key` or `secret-key`.
    pub class: &'static str,
    /// CKA_ID in hex; empty if the object has none.
    pub cka_id: String,
    /// CKA_LABEL.
    pub label: String,
    /// `rsa`, `ec`, `ed25519`-like names, or the number in hex.
    pub key_type: String,
    /// SHA-256 of the SubjectPublicKeyInfo, where the public part can be read.
    pub spki_sha256: Option<SpkiHash>,
}

/// What stands under one CKA_ID, for recovery.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Private key objects.
    pub private: usize,
    /// Public key objects.
    pub public: usize,
    /// Objects of other classes.
    pub other: usize,
    /// The public part, where there is at most one of each and it can be read.
    pub key: Option<PublicKey>,
}

/// The sum of an [`Inspection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Nothing.
    None,
    /// Only one half of a pair.
    Half,
    /// One private and one public key.
    Full,
    /// More than that.
    Ambiguous,
}

impl Inspection {
    /// The sum.
    pub fn presence(&self) -> Presence {
        match (self.private, self.public) {
            (0, 0) if self.other == 0 => Presence::None,
            (1, 1) => Presence::Full,
            (1, 0) | (0, 1) => Presence::Half,
            _ => Presence::Ambiguous,
        }
    }
}

/// A key in one session.
#[derive(Clone)]
pub(super) struct Located {
    /// What signs: the token object, or its session copy; `None` until the first signature decides.
    pub signing: Option<Handle>,
    /// The private key object on the token.
    pub private: Handle,
    /// The public key object on the token, if there is one.
    pub public: Option<Handle>,
    pub reference: KeyRef,
}
