//! Throw-away keys for tests.

use super::DigestSigner;
use super::key::DatedKey;
use super::make::{Made, NewCertificate, NewSubkey, prepare};
use crate::clock::Time;
use crate::crypto::verify::{PublicKey, message_digest};
use crate::error::Result;
use crate::model::{KeyAlgorithm, Signature, Tbs};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A private key in memory that counts how often it is asked.
pub(crate) struct TestKey {
    key: PKey<Private>,
    public: PublicKey,
    pub asked: AtomicUsize,
}

impl TestKey {
    pub fn new(algorithm: KeyAlgorithm) -> Self {
        let ec = |nid| PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap()).unwrap();
        let key = match algorithm {
            KeyAlgorithm::Rsa3072 => PKey::from_rsa(Rsa::generate(3072).unwrap()).unwrap(),
            KeyAlgorithm::Rsa4096 => PKey::from_rsa(Rsa::generate(4096).unwrap()).unwrap(),
            KeyAlgorithm::EcdsaP256 => ec(Nid::X9_62_PRIME256V1),
            KeyAlgorithm::EcdsaP384 => ec(Nid::SECP384R1),
            KeyAlgorithm::Ed25519 => PKey::generate_ed25519().unwrap(),
        };
        let public = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
        TestKey { key, public, asked: AtomicUsize::new(0) }
    }

    pub fn dated(&self, created: Time) -> DatedKey {
        DatedKey { public: self.public.clone(), created }
    }
}

impl DigestSigner for TestKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, tbs: &Tbs) -> Result<Signature> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let Some(hash) = tbs.mechanism().hash() else {
            let mut signer = Signer::new_without_digest(&self.key).unwrap();
            return Ok(Signature(signer.sign_oneshot_to_vec(tbs.bytes()).unwrap()));
        };
        let mut context = PkeyCtx::new(&self.key).unwrap();
        context.sign_init().unwrap();
        if self.public.is_rsa() {
            context.set_rsa_padding(openssl::rsa::Padding::PKCS1).unwrap();
            let md = openssl::md::Md::from_nid(message_digest(hash).type_()).unwrap();
            context.set_signature_md(md).unwrap();
        }
        let mut out = Vec::new();
        context.sign_to_vec(tbs.bytes(), &mut out).unwrap();
        Ok(Signature(out))
    }
}

/// A primary key and a signing subkey of ninety days, both of day 0, with their certificate.
pub(crate) fn archive() -> (TestKey, TestKey, Made) {
    let (primary, subkey) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::Ed25519));
    let new = NewCertificate {
        primary: primary.dated(day(0)),
        user_id: "Archive".into(),
        expires: None,
        subkeys: vec![NewSubkey { key: subkey.dated(day(0)), expires: Some(day(90)) }],
        at: day(0),
    };
    let made = prepare(&new).unwrap().sign(&[&primary, &subkey]).unwrap();
    (primary, subkey, made)
}

/// Midnight, `days` after a fixed day.
pub(crate) fn day(days: i64) -> Time {
    Time::from_timestamp(1_780_272_000 + days * 86_400, 0).unwrap()
}
