//! Throw-away keys and a small hierarchy for the tests of this folder.

use super::certificate::Certificate;
use super::crl::{self, Crl, CrlDraft, CrlPlan, Revocation, Scope};
use super::issue::{CertificatePlan, Draft, Issuer, Validity, rehearse};
use super::name::{Name, Subject};
use super::profile::ProfileName;
use super::serial::Serial;
use crate::clock::Time;
use crate::crypto::verify::{PublicKey, message_digest};
use crate::model::{Environment, HashAlgorithm, Mechanism, Signature, Tbs};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

/// A private key that plays the token.
#[derive(Clone)]
pub(crate) struct Key(pub PKey<Private>);

impl Key {
    pub fn p256() -> Self {
        Self::curve(Nid::X9_62_PRIME256V1)
    }

    pub fn p384() -> Self {
        Self::curve(Nid::SECP384R1)
    }

    fn curve(curve: Nid) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        Key(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    pub fn rsa(bits: u32) -> Self {
        Key(PKey::from_rsa(openssl::rsa::Rsa::generate(bits).unwrap()).unwrap())
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::from_spki(&self.0.public_key_to_der().unwrap()).unwrap()
    }

    pub fn mechanism(&self) -> Mechanism {
        if self.public().is_rsa() {
            Mechanism::RsaPkcs1(HashAlgorithm::Sha256)
        } else {
            Mechanism::Ecdsa(HashAlgorithm::Sha256)
        }
    }

    /// Signs what a token would be given: the digest.
    pub fn sign(&self, tbs: &Tbs) -> Signature {
        let mut context = openssl::pkey_ctx::PkeyCtx::new(&self.0).unwrap();
        context.sign_init().unwrap();
        match tbs.mechanism() {
            Mechanism::RsaPkcs1(hash) => {
                context.set_rsa_padding(openssl::rsa::Padding::PKCS1).unwrap();
                let md = match hash {
                    HashAlgorithm::Sha256 => openssl::md::Md::sha256(),
                    HashAlgorithm::Sha384 => openssl::md::Md::sha384(),
                    HashAlgorithm::Sha512 => openssl::md::Md::sha512(),
                };
                context.set_signature_md(md).unwrap();
            }
            Mechanism::Ecdsa(_) => {}
            other => unreachable!("{other} is not used in these tests"),
        }
        let mut out = Vec::new();
        context.sign_to_vec(tbs.bytes(), &mut out).unwrap();
        Signature(out)
    }

    /// Signs a message, hashed here.
    pub fn sign_message(&self, mechanism: Mechanism, message: &[u8]) -> Vec<u8> {
        let digest = message_digest(mechanism.hash().unwrap());
        Signer::new(digest, &self.0).unwrap().sign_oneshot_to_vec(message).unwrap()
    }
}

pub(crate) fn time(text: &str) -> Time {
    crate::clock::parse(text).unwrap()
}

/// When most tests take place.
pub(crate) fn now() -> Time {
    time("2026-11-20T12:00:00Z")
}

pub(crate) fn subject(common_name: &str) -> Name {
    let some = |text: &str| Some(text.to_string());
    let subject = Subject {
        country: some("US"),
        locality: some("Springfield"),
        organization: some("Example Corp"),
        common_name: some(common_name),
        ..Subject::default()
    };
    subject.to_name().unwrap()
}

/// A plan for a production certificate; P-256 needs `environment` changed to sandbox.
pub(crate) fn plan(profile: ProfileName, key: &Key, issuer: Issuer, signer: &Key) -> CertificatePlan {
    let days = match profile {
        ProfileName::RootCa => 7300,
        ProfileName::Authenticode | ProfileName::Installer => 104,
        ProfileName::Connector => 74,
        ProfileName::Timestamp => 1000,
        _ => 1826,
    };
    let name = match profile {
        ProfileName::Authenticode => "Example Corp",
        other => other.as_str(),
    };
    CertificatePlan {
        profile,
        environment: Environment::Production,
        subject: subject(name),
        public_key: key.public(),
        issuer,
        serial: Serial::random().unwrap(),
        validity: Validity::days(time("2026-11-01T00:00:00Z"), days).unwrap(),
        crl_url: Some("http://pki.example.com/issuer.crl".into()),
        aia_url: Some("http://pki.example.com/issuer.cer".into()),
        policies: Vec::new(),
        mechanism: signer.mechanism(),
    }
}

pub(crate) fn issue(plan: CertificatePlan, signer: &Key) -> Certificate {
    let linted = rehearse(Draft::new(plan).unwrap()).unwrap();
    linted.assemble(&signer.sign(&linted.tbs())).unwrap()
}

/// Root, code-signing intermediate and Authenticode leaf with P-384 keys, made by the code under test.
pub(crate) struct Hierarchy {
    pub root_key: Key,
    pub root: Certificate,
    pub intermediate_key: Key,
    pub intermediate: Certificate,
    pub leaf_key: Key,
    pub leaf: Certificate,
}

impl Hierarchy {
    pub fn new() -> Self {
        Self::with(ProfileName::IntermediateCa, ProfileName::Authenticode)
    }

    pub fn with(intermediate: ProfileName, leaf: ProfileName) -> Self {
        let (root_key, intermediate_key, leaf_key) = (Key::p384(), Key::p384(), Key::p384());
        let root = issue(plan(ProfileName::RootCa, &root_key, Issuer::SelfSigned, &root_key), &root_key);
        let by = Issuer::ca(&root, ProfileName::RootCa);
        let intermediate_plan = plan(intermediate, &intermediate_key, by, &root_key);
        let intermediate_certificate = issue(intermediate_plan, &root_key);
        let by = Issuer::ca(&intermediate_certificate, intermediate);
        let leaf = issue(plan(leaf, &leaf_key, by, &intermediate_key), &intermediate_key);
        Hierarchy { root_key, root, intermediate_key, intermediate: intermediate_certificate, leaf_key, leaf }
    }

    /// The leaf's list from the intermediate.
    pub fn crl_plan(&self, entries: Vec<Revocation>) -> CrlPlan {
        CrlPlan {
            environment: Environment::Production,
            issuer: self.intermediate.clone(),
            number: 7,
            this_update: now(),
            next_update: now() + chrono::TimeDelta::days(7),
            entries,
            scope: Scope::UserCertificates,
            urls: vec!["http://pki.example.com/issuer.crl".into()],
            mechanism: self.intermediate_key.mechanism(),
        }
    }

    pub fn crl(&self, entries: Vec<Revocation>) -> Crl {
        issue_crl(self.crl_plan(entries), &self.intermediate_key)
    }

    pub fn root_crl(&self, entries: Vec<Revocation>) -> Crl {
        let plan = CrlPlan { issuer: self.root.clone(), scope: Scope::CaCertificates, ..self.crl_plan(entries) };
        issue_crl(plan, &self.root_key)
    }
}

pub(crate) fn issue_crl(plan: CrlPlan, signer: &Key) -> Crl {
    let linted = crl::rehearse(CrlDraft::new(plan).unwrap()).unwrap();
    linted.assemble(&signer.sign(&linted.tbs())).unwrap()
}
