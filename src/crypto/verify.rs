//! Public keys and the checking of signatures in software.

use crate::error::{Context, Error, Kind, Result};
use crate::model::{HashAlgorithm, KeyAlgorithm, Mechanism, Signature, SpkiHash, Tbs};
use openssl::bn::BigNumContext;
use openssl::ec::PointConversionForm;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 §4).
pub const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A public key with its exact SubjectPublicKeyInfo bytes.
#[derive(Clone)]
pub struct PublicKey {
    key: PKey<Public>,
    spki: Vec<u8>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.spki_hash())
    }
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// Not a key that OpenSSL reads, or more bytes than the key.
    pub fn from_spki(spki: &[u8]) -> Result<Self> {
        let key = match spki.strip_prefix(&ED25519_SPKI).filter(|raw| raw.len() == 32) {
            // The bytes of the key themselves: OpenSSL tries all its decoders on DER, which takes far longer.
            Some(raw) => PKey::public_key_from_raw_bytes(raw, Id::ED25519),
            None => PKey::public_key_from_der(spki),
        };
        let key = key.or_failed("bad_public_key", || "the SubjectPublicKeyInfo cannot be read".into())?;
        Ok(PublicKey { key, spki: spki.to_vec() })
    }

    /// The exact bytes.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`Self::spki`].
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of(&self.spki)
    }

    /// The OpenSSL key, for checks that need its numbers.
    pub fn key(&self) -> &PKey<Public> {
        &self.key
    }

    /// Which of our algorithms this is; `None` for other sizes and curves, which may still verify foreign signatures.
    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        match self.key.id() {
            Id::RSA => match self.key.bits() {
                3072 => Some(KeyAlgorithm::Rsa3072),
                4096 => Some(KeyAlgorithm::Rsa4096),
                _ => None,
            },
            Id::EC => match self.key.ec_key().ok()?.group().curve_name()? {
                Nid::X9_62_PRIME256V1 => Some(KeyAlgorithm::EcdsaP256),
                Nid::SECP384R1 => Some(KeyAlgorithm::EcdsaP384),
                _ => None,
            },
            Id::ED25519 => Some(KeyAlgorithm::Ed25519),
            _ => None,
        }
    }

    /// RSA of any size.
    pub fn is_rsa(&self) -> bool {
        self.key.id() == Id::RSA
    }

    /// The uncompressed EC point (SEC 1 §2.3.3), or the 32 bytes of an Ed25519 key; `None` for RSA.
    pub fn point(&self) -> Option<Vec<u8>> {
        match self.key.id() {
            Id::EC => {
                let ec = self.key.ec_key().ok()?;
                let mut context = BigNumContext::new().ok()?;
                ec.public_key().to_bytes(ec.group(), PointConversionForm::UNCOMPRESSED, &mut context).ok()
            }
            Id::ED25519 => self.key.raw_public_key().ok(),
            _ => None,
        }
    }

    /// Checks a signature over exactly `tbs`.
    ///
    /// # Errors
    /// [`Kind::Findings`] `bad_signature` when it does not verify or the mechanism does not fit the key.
    pub fn verify(&self, tbs: &Tbs, signature: &Signature) -> Result<()> {
        let fits = match tbs.mechanism() {
            Mechanism::RsaPkcs1(_) | Mechanism::RsaPss(_) => self.key.id() == Id::RSA,
            Mechanism::Ecdsa(_) => self.key.id() == Id::EC,
            Mechanism::Ed25519 => self.key.id() == Id::ED25519,
        };
        if !fits {
            return Err(Error::finding(
                "bad_signature",
                format!("a {} signature does not fit the key", tbs.mechanism()),
            ));
        }
        match self.check(tbs, &signature.0) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::finding("bad_signature", "the signature does not verify with the public key")),
            Err(stack) => {
                Err(Error::new(Kind::Findings, "bad_signature", "the signature cannot be read").because(stack))
            }
        }
    }

    fn check(&self, tbs: &Tbs, signature: &[u8]) -> std::result::Result<bool, openssl::error::ErrorStack> {
        let Some(hash) = tbs.mechanism().hash() else {
            return Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, tbs.bytes());
        };
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        match tbs.mechanism() {
            Mechanism::RsaPkcs1(_) => {
                context.set_rsa_padding(Padding::PKCS1)?;
                context.set_signature_md(md(hash))?;
            }
            Mechanism::RsaPss(_) => {
                context.set_rsa_padding(Padding::PKCS1_PSS)?;
                context.set_signature_md(md(hash))?;
                context.set_rsa_mgf1_md(md(hash))?;
                context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            Mechanism::Ecdsa(_) | Mechanism::Ed25519 => {}
        }
        // OpenSSL reports a wrong signature either as `false` or as an error, depending on the algorithm.
        Ok(context.verify(tbs.bytes(), signature).unwrap_or(false))
    }
}

fn md(hash: HashAlgorithm) -> &'static openssl::md::MdRef {
    match hash {
        HashAlgorithm::Sha256 => Md::sha256(),
        HashAlgorithm::Sha384 => Md::sha384(),
        HashAlgorithm::Sha512 => Md::sha512(),
    }
}

/// The OpenSSL name of a hash, for callers that sign with throw-away keys in tests and lint.
pub fn message_digest(hash: HashAlgorithm) -> MessageDigest {
    match hash {
        HashAlgorithm::Sha256 => MessageDigest::sha256(),
        HashAlgorithm::Sha384 => MessageDigest::sha384(),
        HashAlgorithm::Sha512 => MessageDigest::sha512(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::rsa::Rsa;
    use openssl::sign::Signer;

    #[test]
    fn each_mechanism_accepts_its_own_and_refuses_a_changed_digest() {
        let rsa = PKey::from_rsa(Rsa::generate(3072).unwrap()).unwrap();
        let group = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
        let ec = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let ed = PKey::generate_ed25519().unwrap();
        let cases = [
            (&rsa, Mechanism::RsaPkcs1(HashAlgorithm::Sha256)),
            (&rsa, Mechanism::RsaPss(HashAlgorithm::Sha384)),
            (&ec, Mechanism::Ecdsa(HashAlgorithm::Sha512)),
            (&ed, Mechanism::Ed25519),
        ];
        for (key, mechanism) in cases {
            let signature = match mechanism.hash() {
                None => Signer::new_without_digest(key).unwrap().sign_oneshot_to_vec(b"message").unwrap(),
                Some(hash) => {
                    let mut signer = Signer::new(message_digest(hash), key).unwrap();
                    if matches!(mechanism, Mechanism::RsaPss(_)) {
                        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                        signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
                    }
                    signer.sign_oneshot_to_vec(b"message").unwrap()
                }
            };
            let public = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
            let signature = Signature(signature);
            public.verify(&Tbs::message(mechanism, b"message"), &signature).unwrap();
            let refused = public.verify(&Tbs::message(mechanism, b"massage"), &signature).unwrap_err();
            assert_eq!(refused.code(), "bad_signature", "{mechanism}");
            let mut cut = signature.clone();
            cut.0.pop();
            assert!(public.verify(&Tbs::message(mechanism, b"message"), &cut).is_err(), "{mechanism}");
        }
    }
}
