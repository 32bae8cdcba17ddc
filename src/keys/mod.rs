//! Keys over time: generations, their identities, and the copies of each (design §4).
//!
//! A *key* is a named line (`windows`). Each *generation* of it has one or more *identities* (a public key
//! with its certificate), and each identity has one or more *copies* (a token and a CKA_ID). Today there is
//! one of each; the shape is the one that custody and failover need.
//!
//! Here lives what is known of keys, as records read back from the ledger, and what follows from it alone: which state
//! may follow which ([`state`]), which step a rotation needs next ([`rotation`]), how a token differs from its record
//! ([`token`]). Nothing here reads the ledger, asks a token or does any of it; whether something may be done is the
//! policy's to say.

pub mod revocation;
pub mod rotation;
pub mod state;
pub mod token;
pub mod value;

use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::model::{CkaId, Custody, Environment, GenerationId, Hash256, HsmName, KeyAlgorithm, Purpose, SpkiHash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use revocation::{PublishedCrl, Revocation, RevocationReason, Terms, retention_cutoff};
pub use state::State;
pub use token::{Difference, Library, ModuleFacts, Statement, SteeringVariable, TokenRecord, TokenSummary, Validation};

/// One generation of a key with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Name and number.
    pub id: GenerationId,
    /// What it is for.
    pub purpose: Purpose,
    /// The environment it was made in; it can sign in no other.
    pub environment: Environment,
    /// Where its private part may be.
    pub custody: Custody,
    /// How far along its life it is.
    pub state: State,
    /// Why it must not be used although its state would allow it: attributes that do not hold, or a half pair.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quarantined: Option<String>,
    /// The public keys with their certificates; the first is the one in use.
    pub identities: Vec<Identity>,
}

/// A public key, its certificate, and where its private part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: SpkiHash,
    /// DER SubjectPublicKeyInfo.
    #[serde(with = "crate::model::serde_base64")]
    pub spki: Vec<u8>,
    /// When it counts as made, as its intent fixed it; part of an OpenPGP fingerprint. The first records have none.
    #[serde(with = "crate::clock::serde_rfc3339_option", skip_serializing_if = "Option::is_none", default)]
    pub created: Option<Time>,
    /// The certificate, once there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<Credential>,
    /// Where the private key is.
    pub copies: Vec<Copy>,
}

/// What binds a public key to a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Credential {
    /// An X.509 certificate.
    X509 {
        /// DER certificate.
        #[serde(with = "crate::model::serde_base64")]
        certificate: Vec<u8>,
        /// SHA-256 of the DER.
        fingerprint: Hash256,
        /// SHA-1 of the DER as 40 upper-case hex digits, as Windows tools show it. For display only.
        thumbprint: String,
        /// RFC 4514 subject.
        subject: String,
        /// RFC 4514 issuer.
        issuer: String,
        /// Serial number, lower-case hex.
        serial: String,
        /// notBefore, which the age gate counts from.
        #[serde(with = "crate::clock::serde_rfc3339")]
        not_before: Time,
        /// notAfter.
        #[serde(with = "crate::clock::serde_rfc3339")]
        not_after: Time,
        /// The generation that issued it; itself for a root, `None` for an external issuer.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        issued_by: Option<GenerationId>,
        /// Intermediates that were handed in with an externally issued certificate, leaf's issuer first.
        #[serde(skip_serializing_if = "Vec::is_empty", default, with = "crate::model::serde_base64_list")]
        chain: Vec<Vec<u8>>,
    },
    /// An OpenPGP certificate (RFC 4880 v4).
    OpenPgp {
        /// The transferable public key, binary.
        #[serde(with = "crate::model::serde_base64")]
        certificate: Vec<u8>,
        /// Fingerprint of this key (primary or subkey), lower-case hex.
        fingerprint: String,
        /// Creation time, part of the fingerprint.
        #[serde(with = "crate::clock::serde_rfc3339")]
        created: Time,
        /// When the binding expires.
        #[serde(with = "crate::clock::serde_rfc3339")]
        expires: Time,
    },
}

impl Credential {
    /// What identifies it: SHA-256 of the certificate, or the OpenPGP fingerprint; lower-case hex.
    pub fn fingerprint(&self) -> String {
        match self {
            Credential::X509 { fingerprint, .. } => fingerprint.to_string(),
            Credential::OpenPgp { fingerprint, .. } => fingerprint.clone(),
        }
    }

    /// Start and end of validity.
    pub fn validity(&self) -> (Time, Time) {
        match self {
            Credential::X509 { not_before, not_after, .. } => (*not_before, *not_after),
            Credential::OpenPgp { created, expires, .. } => (*created, *expires),
        }
    }
}

/// A keyring as it was last published: which file, and since when each key has been in it without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKeyring {
    /// SHA-256 of the binary file.
    pub sha256: Hash256,
    /// By fingerprint, lower-case hex.
    pub since: BTreeMap<String, Time>,
}

/// A private key object on a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The configured token.
    pub hsm: HsmName,
    /// What the token said of itself when the key was made.
    pub token: TokenFacts,
    /// The object's CKA_ID.
    pub cka_id: CkaId,
    /// Attributes of the private key as read back.
    pub attributes: Vec<AttributeFact>,
}

/// A token's own words about itself (CK_TOKEN_INFO), escaped for printing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFacts {
    /// Label.
    pub label: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number: what identifies the token from then on.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
    /// A software token: nothing it says of its keys is attested.
    pub software: bool,
}

/// One attribute of a private key: what was asked for and what the token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeFact {
    /// PKCS#11 name, such as `CKA_EXTRACTABLE`.
    pub name: String,
    /// The value the token reports, if it reports one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<bool>,
    /// `asserted`, `unavailable` or `mismatch` (K4). Never "proved": it is the module's word.
    pub state: AttributeState,
}

crate::model::words! {
    /// How far an attribute's value can be relied on.
    AttributeState: "attribute state" {
        /// The token reports the required value.
        Asserted = "asserted",
        /// The token does not report the attribute.
        Unavailable = "unavailable",
        /// The token reports another value.
        Mismatch = "mismatch",
    }
}

impl Generation {
    /// The identity in use.
    ///
    /// # Errors
    /// There is none yet: the key was planned and never made.
    pub fn identity(&self) -> Result<&Identity> {
        self.identities
            .first()
            .ok_or_else(|| Error::blocked("no_identity", format!("{} has no key yet (state {})", self.id, self.state)))
    }

    /// The first copy of the identity in use.
    ///
    /// # Errors
    /// There is none.
    pub fn copy(&self) -> Result<&Copy> {
        let none = || Error::blocked("no_copy", format!("{} is on no token", self.id));
        self.identity()?.copies.first().ok_or_else(none)
    }

    /// The certificate of the identity in use.
    pub fn credential(&self) -> Option<&Credential> {
        self.identities.first()?.credential.as_ref()
    }
}

impl Identity {
    /// The public key, re-read from its bytes and compared with the recorded hash.
    ///
    /// # Errors
    /// The record contradicts itself.
    pub fn public_key(&self) -> Result<PublicKey> {
        let key = PublicKey::from_spki(&self.spki)?;
        if key.spki_hash() != self.spki_sha256 {
            return Err(Error::failed("register_broken", "the recorded public key does not have the recorded hash"));
        }
        Ok(key)
    }

    /// The attributes of which a token reports other values than were asked for (K4), by name; `None` if there are none.
    pub fn mismatches(&self) -> Option<String> {
        let facts = self.copies.iter().flat_map(|copy| &copy.attributes);
        let wrong: Vec<_> =
            facts.filter(|fact| fact.state == AttributeState::Mismatch).map(|fact| fact.name.as_str()).collect();
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }

    /// The DER of its X.509 certificate, if it has one.
    pub fn x509(&self) -> Option<&[u8]> {
        match &self.credential {
            Some(Credential::X509 { certificate, .. }) => Some(certificate),
            _ => None,
        }
    }
}

impl Copy {
    /// The state of one attribute; `Unavailable` if it was never recorded.
    pub fn attribute(&self, name: &str) -> (Option<bool>, AttributeState) {
        self.attributes
            .iter()
            .find(|fact| fact.name == name)
            .map_or((None, AttributeState::Unavailable), |fact| (fact.value, fact.state))
    }
}
