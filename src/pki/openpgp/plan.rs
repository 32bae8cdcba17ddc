//! What an OpenPGP operation is going to sign, as plain data with one canonical form.

use crate::clock::Time;
use crate::error::{Context, Result};
use crate::model::{Hash256, Mechanism, words};
use serde::{Deserialize, Serialize};

words! {
    /// What is being done.
    Operation: "OpenPGP operation" {
        /// A new certificate, with a revocation certificate put aside.
        MakeCertificate = "make-certificate",
        /// A further signing subkey.
        AddSubkey = "add-subkey",
        /// Later (or earlier) expiry of primary key and subkeys.
        ChangeExpiry = "change-expiry",
        /// The end of a whole certificate.
        RevokeCertificate = "revoke-certificate",
        /// The end of one subkey.
        RevokeSubkey = "revoke-subkey",
        /// `InRelease` and `Release.gpg` of an APT repository.
        SignRelease = "sign-release",
    }
}

words! {
    /// The kinds of signatures that are made (RFC 4880 §5.2.1).
    SignatureKind: "OpenPGP signature kind" {
        DirectKey = "direct-key", UserId = "user-id", SubkeyBinding = "subkey-binding",
        BackSignature = "back-signature", KeyRevocation = "key-revocation", SubkeyRevocation = "subkey-revocation",
        Text = "text", Binary = "binary",
    }
}

words! {
    /// What a key may do. Encryption and authentication keys are not made here, only read.
    Flag: "key flag" { Certify = "certify", Sign = "sign", Encrypt = "encrypt", Authenticate = "authenticate" }
}

words! {
    /// Why a key is revoked (RFC 4880 §5.2.3.23).
    Reason: "revocation reason" {
        /// No reason; hard, since verifiers must assume the worst. For certificates made in advance.
        Unspecified = "unspecified",
        /// Replaced by another key; soft: older signatures stay good where the verifier knows the difference.
        Superseded = "superseded",
        /// The private key is known to others; hard: nothing it signed is to be trusted.
        Compromised = "compromised",
        /// No longer used; soft.
        Retired = "retired",
    }
}

impl Reason {
    /// Whether it invalidates signatures made before the revocation too.
    pub fn is_hard(self) -> bool {
        matches!(self, Reason::Unspecified | Reason::Compromised)
    }
}

// Fields of both structs stand in alphabetical order, and all keys and numbers are plain: serialised in
// declaration order without white space, that is the canonical form of RFC 8785.

/// All signatures of one operation, in the order in which they are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Fingerprint of the certificate that is made or changed; empty for a release signed by several.
    pub certificate: String,
    /// What is being done.
    pub operation: Operation,
    /// `keyctl.openpgp-plan/v1`.
    pub schema: String,
    /// The signatures.
    pub signatures: Vec<Signing>,
}

/// One signature that will be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// What it is about: a User ID, a subkey's fingerprint, a file name; empty when it is the signer itself.
    pub about: String,
    /// The digest that the key signs, lower-case hex (for Ed25519 the SHA-256 of what it signs), as permits list it.
    pub content: String,
    /// The signature's creation time.
    #[serde(with = "crate::clock::serde_rfc3339")]
    pub created: Time,
    /// When the key it is about expires, RFC 3339; absent if it does not say, or never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<String>,
    /// What the key it is about may do.
    pub flags: Vec<Flag>,
    /// The kind of signature.
    pub kind: SignatureKind,
    /// How it is made.
    pub mechanism: Mechanism,
    /// Why, for revocations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// Fingerprint of the key that signs.
    pub signer: String,
    /// SHA-256 of that key's SubjectPublicKeyInfo.
    pub spki_sha256: String,
}

impl Signing {
    /// A description that the signature's builder completes with signer, mechanism, time and digest.
    pub(crate) fn of(kind: SignatureKind, about: impl Into<String>) -> Self {
        Signing {
            about: about.into(),
            content: String::new(),
            created: Time::UNIX_EPOCH,
            expires: None,
            flags: Vec::new(),
            kind,
            mechanism: Mechanism::Ed25519,
            reason: None,
            signer: String::new(),
            spki_sha256: String::new(),
        }
    }

    pub(crate) fn flags(mut self, flags: &[Flag]) -> Self {
        self.flags = flags.to_vec();
        self
    }

    pub(crate) fn expires(mut self, expires: Option<Time>) -> Self {
        self.expires = expires.map(crate::clock::rfc3339);
        self
    }

    pub(crate) fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }
}

impl Plan {
    /// The plan for these signatures.
    pub(crate) fn new<'a, S: AsRef<Signing> + 'a>(
        operation: Operation,
        certificate: &str,
        signatures: impl IntoIterator<Item = &'a S>,
    ) -> Self {
        Plan {
            certificate: certificate.to_owned(),
            operation,
            schema: "keyctl.openpgp-plan/v1".to_owned(),
            signatures: signatures.into_iter().map(|one| one.as_ref().clone()).collect(),
        }
    }

    /// The canonical bytes (RFC 8785).
    ///
    /// # Errors
    /// None that can be provoked; serialisation is fallible by type.
    pub fn canonical(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).or_failed("openpgp_plan", || "the plan cannot be serialised".into())
    }

    /// SHA-256 of [`Self::canonical`].
    ///
    /// # Errors
    /// As there.
    pub fn content_hash(&self) -> Result<Hash256> {
        Ok(Hash256::of(&self.canonical()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::openpgp::testkeys::day;

    #[test]
    fn the_serialised_form_is_canonical() {
        let mut signing = Signing::of(SignatureKind::SubkeyBinding, "Ünïcode \u{1}\n\"<x>\"").expires(Some(day(9)));
        signing.reason = Some(Reason::Superseded);
        let plan = Plan {
            certificate: "AB".into(),
            operation: Operation::AddSubkey,
            schema: "keyctl.openpgp-plan/v1".into(),
            signatures: vec![signing],
        };
        let bytes = plan.canonical().unwrap();
        // A map sorts its keys, so a second spelling through it is the canonical one.
        let value: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        let inner: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_value(value["signatures"][0].clone()).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&serde_json::to_string(&inner).unwrap()), "{text}");
        assert_eq!(value.keys().collect::<Vec<_>>(), ["certificate", "operation", "schema", "signatures"]);
        assert_eq!(serde_json::from_slice::<Plan>(&bytes).unwrap(), plan);
        let mut other = plan.clone();
        other.signatures[0].expires = None;
        assert_ne!(plan.content_hash().unwrap(), other.content_hash().unwrap());
    }
}
