//! Whether a new key is what the world will take it for: it signs, and the signature is checked with what is published,
//! the way a stranger would (domain §6).
//!
//! What is signed is a fixed prefix and a nonce, never anything that could pass for an artifact's digest: it begins with
//! letters, where a certificate, a CRL, a CMS structure or an OpenPGP signature has a tag.

use super::certificate::Certificate;
use super::chain::{self, Chain, Revocation};
use super::crl::Crl;
use super::lint;
use super::openpgp::certificate::{Certificate as OpenPgpCertificate, KeyStatus};
use super::profile::{Profile, ProfileName, SandboxRelaxation};
use crate::clock::Time;
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::gate::{Completes, sealed};
use crate::model::{Environment, HashAlgorithm, KeyAlgorithm, Signature, Tbs};
use crate::request::TestKey;
use serde_json::{Value, json};

/// What a key signs for a test.
pub fn test_message(params: &TestKey, algorithm: KeyAlgorithm) -> Tbs {
    let TestKey { generation, certificate, nonce } = params;
    let message = format!("keyctl-test-signature-v1\n{generation}\n{certificate}\n{nonce}\n");
    Tbs::message(algorithm.mechanism(HashAlgorithm::Sha256), message.as_bytes())
}

/// What verifiers find when they are given what is published.
#[derive(Clone, Copy)]
pub struct AsPublished<'a> {
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// What kind it is.
    pub profile: ProfileName,
    /// The issuers' certificates, DER; for a root that takes over from another, the link between them.
    pub candidates: &'a [Vec<u8>],
    /// Whom verifiers trust, DER.
    pub roots: &'a [Vec<u8>],
    /// Lists that are published.
    pub crls: &'a [Crl],
    /// Who made the certificate.
    pub origin: lint::Origin,
    /// Where.
    pub environment: Environment,
    /// When.
    pub at: Time,
}

/// A key as verifiers see it: which chain they find for it, and what its certificate looks like.
#[derive(Clone, Debug)]
pub struct Standing {
    /// SHA-256 of each certificate of the chain, leaf first; for OpenPGP the fingerprints of subkey and primary key.
    pub chain: Vec<String>,
    /// The subject, or the User ID, that is trusted in the end.
    pub anchor: String,
    /// Names of the lint rules that the certificate breaks; warnings only, or it would not have been issued.
    pub lint: Vec<&'static str>,
    public_key: PublicKey,
}

impl Standing {
    /// Follows an X.509 certificate up to a trusted root, and lints it.
    ///
    /// # Errors
    /// No chain holds; `lint`.
    pub fn of_certificate(published: &AsPublished<'_>) -> Result<Self> {
        let certificate = Certificate::parse(published.certificate)?;
        let profile = Profile::get(published.profile)?;
        let revocation = Revocation::IfKnown(published.crls);
        let (leaf, others, roots, at) = (published.certificate, published.candidates, published.roots, published.at);
        let chain = match profile.extended_key_usage.first() {
            Some(usage) if !profile.is_ca() => chain::build(leaf, others, roots, at, *usage, revocation)?,
            _ => chain::build_issuer(leaf, others, roots, at, revocation)?,
        };
        let context = lint::Context {
            profile,
            issuer: chain.issuer().filter(|_| !profile.self_signed),
            relaxation: SandboxRelaxation::of(published.environment),
            origin: published.origin,
        };
        let warnings = lint::passed(lint::certificate(&certificate, &context))?;
        let anchor = chain.root().map(|root| root.subject().to_string()).unwrap_or_default();
        Ok(Standing {
            chain: hashes(&chain),
            anchor,
            lint: warnings.iter().map(|finding| finding.rule).collect(),
            public_key: certificate.public_key()?,
        })
    }

    /// Finds an OpenPGP key in a keyring.
    ///
    /// # Errors
    /// `openpgp_key_missing`; `openpgp_key_unfit`: it may not do what it is for.
    pub fn of_openpgp(keyring: &[OpenPgpCertificate], fingerprint: &str, at: Time) -> Result<Self> {
        let wanted = fingerprint.to_uppercase();
        for certificate in keyring {
            let Some(info) = certificate.key(&wanted, at)? else { continue };
            if info.status != KeyStatus::Valid {
                let message = format!("{wanted} is {}", info.status);
                return Err(Error::blocked("openpgp_key_unfit", message));
            }
            let description = certificate.describe(at)?;
            let primary = certificate.fingerprint();
            let mut chain = vec![wanted.clone()];
            chain.extend((primary != wanted).then_some(primary));
            return Ok(Standing {
                chain: chain.iter().map(|fingerprint| fingerprint.to_lowercase()).collect(),
                anchor: description.user_ids.first().cloned().unwrap_or_default(),
                lint: Vec::new(),
                public_key: certificate.public_key(&wanted)?,
            });
        }
        Err(Error::failed("openpgp_key_missing", format!("no certificate of the keyring has the key {wanted}")))
    }

    /// The same key by way of another certificate for it.
    #[must_use]
    pub fn by_way_of(self, other: Standing) -> Self {
        Standing { chain: other.chain, anchor: other.anchor, ..self }
    }

    /// The public key in the certificate.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// For the record.
    pub fn value(&self) -> Value {
        json!({
            "chain": { "verdict": "pass", "certificates": self.chain, "anchor": self.anchor },
            "lint": { "verdict": "pass", "codes": self.lint },
        })
    }
}

fn hashes(chain: &Chain) -> Vec<String> {
    chain.certificates().iter().map(|certificate| certificate.sha256().to_string()).collect()
}

/// A test signature that holds under what is published.
#[derive(Debug)]
pub struct Tested {
    standing: Standing,
    signature: Signature,
}

impl Tested {
    /// Checks the signature with the public key in the *certificate*, not with the token's.
    ///
    /// # Errors
    /// `bad_signature`.
    pub fn check(standing: Standing, tbs: &Tbs, signature: Signature) -> Result<Self> {
        standing.public_key.verify(tbs, &signature)?;
        Ok(Tested { standing, signature })
    }
}

impl sealed::Sealed for Tested {}

impl Completes<TestKey> for Tested {
    fn done(&self) -> Value {
        let mut done = self.standing.value();
        done["test_signature"] = json!({
            "verdict": "pass",
            "mechanism": self.standing.public_key.algorithm().map(|algorithm| algorithm.mechanism(HashAlgorithm::Sha256)),
            "signature": crate::model::base64(&self.signature.0),
        });
        done
    }
}

#[cfg(test)]
mod tests;
