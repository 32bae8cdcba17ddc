//! What certificates, CRLs and certification requests have in common when they are made: bytes to be signed, the
//! mechanism, and the public key that the signature must verify with.

use super::algorithm;
use super::asn1;
use super::certificate::Signed;
use crate::crypto::verify::{PublicKey, message_digest};
use crate::error::{Context, Error, Result};
use crate::model::{Mechanism, Signature, Tbs};
use openssl::ec::{EcGroup, EcKey};
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
use std::sync::{Mutex, PoisonError};

/// Something that waits for its signature.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    tbs: Vec<u8>,
    mechanism: Mechanism,
    signer: PublicKey,
}

impl Unsigned {
    /// # Errors
    /// `Usage` `mechanism_mismatch` when the signer's key cannot make such signatures.
    pub fn new(tbs: Vec<u8>, mechanism: Mechanism, signer: PublicKey) -> Result<Self> {
        if !algorithm::fits(&signer, mechanism) {
            let message = format!("the signing key cannot make {mechanism} signatures");
            return Err(Error::usage("mechanism_mismatch", message));
        }
        Ok(Unsigned { tbs, mechanism, signer })
    }

    pub fn der(&self) -> &[u8] {
        &self.tbs
    }

    pub fn tbs(&self) -> Tbs {
        Tbs::message(self.mechanism, &self.tbs)
    }

    /// Checks the signature with the signer's key, puts the parts together and reads them back.
    ///
    /// # Errors
    /// `bad_signature`; `Bug` when the parts read back differ.
    pub fn seal(&self, signature: &Signature) -> Result<Vec<u8>> {
        self.signer.verify(&self.tbs(), signature)?;
        self.join(signature)
    }

    /// Signed by a key that this process made up: what it will look like, under a signature nobody trusts.
    pub fn with_throwaway_key(&self) -> Result<(Vec<u8>, PublicKey)> {
        let key = throwaway_key(&self.signer)?;
        let sign = || -> std::result::Result<_, openssl::error::ErrorStack> {
            let signature = match self.mechanism.hash() {
                None => Signer::new_without_digest(&key)?.sign_oneshot_to_vec(&self.tbs)?,
                Some(hash) => {
                    let mut signer = Signer::new(message_digest(hash), &key)?;
                    if matches!(self.mechanism, Mechanism::RsaPss(_)) {
                        signer.set_rsa_padding(Padding::PKCS1_PSS)?;
                        signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                    }
                    signer.sign_oneshot_to_vec(&self.tbs)?
                }
            };
            Ok((signature, key.public_key_to_der()?))
        };
        let (signature, spki) = sign().or_failed("rehearsal", || "the throw-away key cannot sign".into())?;
        let (signature, public) = (Signature(signature), PublicKey::from_spki(&spki)?);
        public.verify(&self.tbs(), &signature)?;
        Ok((self.join(&signature)?, public))
    }

    fn join(&self, signature: &Signature) -> Result<Vec<u8>> {
        let algorithm = algorithm::identifier(self.mechanism);
        let der = asn1::sequence(&[&self.tbs, &algorithm, &asn1::bit_string(&signature.0)]);
        let read = Signed::parse(&der, "what was put together")?;
        if read.tbs != self.tbs || read.algorithm != algorithm || read.signature != signature.0 {
            return Err(Error::bug("what was put together reads back differently"));
        }
        Ok(der)
    }
}

/// One throw-away key of each kind, made on first use and forgotten with the process: an RSA-4096 key costs a second.
static THROWAWAY: Mutex<Vec<Throwaway>> = Mutex::new(Vec::new());

struct Throwaway {
    /// OpenSSL's number of the key type, and the size in bits.
    kind: (i32, u32),
    key: PKey<Private>,
}

fn throwaway_key(like: &PublicKey) -> Result<PKey<Private>> {
    // Curves of equal size share a key, which the signature does not mind.
    let kind = (like.key().id().as_raw(), like.key().bits());
    let mut keys = THROWAWAY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Throwaway { key, .. }) = keys.iter().find(|known| known.kind == kind) {
        return Ok(key.clone());
    }
    let make = || -> std::result::Result<_, openssl::error::ErrorStack> {
        match like.key().id() {
            Id::RSA => PKey::from_rsa(Rsa::generate(like.key().bits())?),
            Id::EC => {
                let curve = like.key().ec_key()?.group().curve_name().unwrap_or(openssl::nid::Nid::X9_62_PRIME256V1);
                PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(curve)?.as_ref())?)
            }
            _ => PKey::generate_ed25519(),
        }
    };
    let key = make().or_failed("rehearsal", || "no throw-away key of that type can be made".into())?;
    keys.push(Throwaway { kind, key: key.clone() });
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HashAlgorithm;
    use crate::pki::testing::Key;

    #[test]
    fn the_throwaway_signature_is_of_the_same_kind_and_not_the_signers() {
        // RSA-2048 is no key of ours, but quick to make.
        let (rsa, ec) = (Key::rsa(2048), Key::p384());
        let ed25519 = PKey::generate_ed25519().unwrap().public_key_to_der().unwrap();
        let ed25519 = PublicKey::from_spki(&ed25519).unwrap();
        for (signer, mechanism) in [
            (rsa.public(), Mechanism::RsaPkcs1(HashAlgorithm::Sha256)),
            (rsa.public(), Mechanism::RsaPss(HashAlgorithm::Sha384)),
            (ec.public(), Mechanism::Ecdsa(HashAlgorithm::Sha512)),
            (ed25519, Mechanism::Ed25519),
        ] {
            let unsigned = Unsigned::new(asn1::sequence(&[b"\x05\x00"]), mechanism, signer.clone()).unwrap();
            let (der, throwaway) = unsigned.with_throwaway_key().unwrap();
            let parts = Signed::parse(&der, "test").unwrap();
            assert_eq!(algorithm::mechanism(parts.algorithm), Some(mechanism));
            assert_eq!((throwaway.key().id(), throwaway.key().bits()), (signer.key().id(), signer.key().bits()));
            let signature = Signature(parts.signature.to_vec());
            assert_eq!(unsigned.seal(&signature).unwrap_err().code(), "bad_signature");
        }
        let signed = |key: &Key, unsigned: &Unsigned| unsigned.seal(&key.sign(&unsigned.tbs()));
        for key in [&rsa, &ec] {
            let unsigned = Unsigned::new(asn1::sequence(&[]), key.mechanism(), key.public()).unwrap();
            signed(key, &unsigned).unwrap();
        }
        assert!(Unsigned::new(asn1::sequence(&[]), ec.mechanism(), rsa.public()).is_err());
    }
}
