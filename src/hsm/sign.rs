//! One signature, from what is to be signed to bytes that were verified in software.
//!
//! | mechanism | call | data |
//! |---|---|---|
//! | RSA PKCS#1 v1.5 | `CKM_RSA_PKCS` | DigestInfo (RFC 8017 §9.2); modules that hash by themselves differ too much |
//! | RSA-PSS | `CKM_RSA_PKCS_PSS` | the digest, MGF1 and salt of the same hash |
//! | ECDSA | `CKM_ECDSA` | the digest, cut to the curve's length (FIPS 186-5 §6.4.1) |
//! | Ed25519 | `CKM_EDDSA` | the message |

use super::fault::{Fault, Refusal};
use super::object::{KeyRef, Located};
use super::raw::{Handle, SignCall, SignMechanism};
use super::worker::{Flight, Login, Seat};
use crate::crypto::verify::PublicKey;
use crate::model::{HashAlgorithm, KeyAlgorithm, Mechanism, Signature, Tbs};
use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki_sys::*;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ecdsa::EcdsaSig;

/// What the module is asked, worked out before any call.
pub(super) struct SignInput {
    mechanism: SignMechanism,
    data: Vec<u8>,
    /// Length of the module's signature, in bytes.
    size: usize,
}

impl SignInput {
    /// # Errors
    /// `mechanism_refused` when the mechanism does not fit the key.
    pub fn new(public: &PublicKey, tbs: &Tbs) -> Result<Self, Fault> {
        let rsa_size = usize::try_from(public.key().bits()).unwrap_or(0).div_ceil(8);
        let size = match (tbs.mechanism(), public.algorithm()) {
            (Mechanism::RsaPkcs1(_) | Mechanism::RsaPss(_), _) if public.is_rsa() => rsa_size,
            (Mechanism::Ecdsa(_), Some(KeyAlgorithm::EcdsaP256))
            | (Mechanism::Ed25519, Some(KeyAlgorithm::Ed25519)) => 64,
            (Mechanism::Ecdsa(_), Some(KeyAlgorithm::EcdsaP384)) => 96,
            (mechanism, _) => {
                return Err(Fault::refusal(Refusal::Mechanism, format!("the key cannot make {mechanism} signatures")));
            }
        };
        let (mechanism, data) = match tbs.mechanism() {
            Mechanism::RsaPkcs1(hash) => (SignMechanism::RsaPkcs, digest_info(hash, tbs.bytes())),
            Mechanism::RsaPss(hash) => (pss(hash), tbs.bytes().to_vec()),
            Mechanism::Ecdsa(_) => {
                let field = size / 2;
                (SignMechanism::Ecdsa, tbs.bytes().get(..field).unwrap_or(tbs.bytes()).to_vec())
            }
            Mechanism::Ed25519 => (SignMechanism::Eddsa, tbs.bytes().to_vec()),
        };
        Ok(SignInput { mechanism, data, size })
    }
}

impl Seat {
    /// Makes one signature and verifies it with the expected public key.
    pub fn sign(&mut self, key: &KeyRef, tbs: &Tbs, input: &SignInput, flight: &Flight) -> Result<Signature, Fault> {
        let (signing, located) = self.locate_for_signing(key)?;
        let login = match &self.shared.login {
            Login::User(pin) if located.reference.always_authenticate => Some(pin.clone()),
            _ => None,
        };
        let call = SignCall {
            mechanism: input.mechanism,
            key: signing,
            data: &input.data,
            size: input.size,
            login: login.as_ref().map(Option::as_ref),
        };
        let raw = self.functions().sign(self.session()?.handle(), &call, || flight.send());
        let raw = raw.inspect_err(|fault| self.after_failed_sign(fault, flight))?;
        let signature = finish(&key.public, tbs, raw)?;
        key.public.verify(tbs, &signature).map_err(|_| {
            Fault::answer(Function::Sign, format_args!("the signature of key {} does not verify", key.cka_id))
        })?;
        Ok(signature)
    }

    /// The key, and on the builtin token a copy of it in the session.
    ///
    /// kryoptic fetches and decrypts a token object for every signature, under a lock of the whole slot; a
    /// session object spares that. Keys that may not be copied are used as they are.
    pub fn locate_for_signing(&mut self, key: &KeyRef) -> Result<(Handle, Located), Fault> {
        let mut located = self.locate(&key.cka_id, &key.public)?;
        if let Some(signing) = located.signing {
            return Ok((signing, located));
        }
        let copyable = self.shared.builtin
            && !located.reference.always_authenticate
            && self.boolean(located.private, CKA_COPYABLE)? == Some(true);
        // A refused copy costs speed only.
        let copy = copyable.then(|| self.functions().copy_to_session(self.session()?.handle(), located.private));
        let signing = copy.and_then(Result::ok).unwrap_or(located.private);
        located.signing = Some(signing);
        self.located.insert((key.cka_id.clone(), key.public.spki_hash()), located.clone());
        Ok((signing, located))
    }

    /// After anything but a refused `C_SignInit`, an operation is pending and the session useless.
    fn after_failed_sign(&mut self, fault: &Fault, flight: &Flight) {
        if fault.function().as_deref() != Some("C_SignInit") {
            self.reset();
        }
        let not_executed = [RvError::SessionHandleInvalid, RvError::UserNotLoggedIn, RvError::OperationNotInitialized];
        if fault.value().is_some_and(|value| not_executed.contains(&value)) {
            flight.land();
        }
    }
}

/// The signature in the form of [`Signature`].
fn finish(public: &PublicKey, tbs: &Tbs, raw: Vec<u8>) -> Result<Signature, Fault> {
    match tbs.mechanism() {
        Mechanism::Ecdsa(_) => ecdsa_der(public, &raw).map(Signature),
        _ => Ok(Signature(raw)),
    }
}

/// `r ‖ s`, both checked to lie in 1 … n-1, as DER.
fn ecdsa_der(public: &PublicKey, raw: &[u8]) -> Result<Vec<u8>, Fault> {
    let (r, s) = raw.split_at_checked(raw.len() / 2).unwrap_or_default();
    let convert = || -> Result<Option<Vec<u8>>, openssl::error::ErrorStack> {
        let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
        let (mut order, mut context) = (BigNum::new()?, BigNumContext::new()?);
        public.key().ec_key()?.group().order(&mut order, &mut context)?;
        let in_range = |number: &BigNum| number.num_bits() > 0 && *number < order;
        if !in_range(&r) || !in_range(&s) {
            return Ok(None);
        }
        EcdsaSig::from_private_components(r, s)?.to_der().map(Some)
    };
    match convert() {
        Ok(Some(der)) => Ok(der),
        _ => Err(Fault::answer(Function::Sign, "an ECDSA signature out of range")),
    }
}

fn pss(hash: HashAlgorithm) -> SignMechanism {
    let (hash, mgf, salt) = match hash {
        HashAlgorithm::Sha256 => (CKM_SHA256, CKG_MGF1_SHA256, 32),
        HashAlgorithm::Sha384 => (CKM_SHA384, CKG_MGF1_SHA384, 48),
        HashAlgorithm::Sha512 => (CKM_SHA512, CKG_MGF1_SHA512, 64),
    };
    SignMechanism::RsaPss { hash, mgf, salt }
}

/// DER DigestInfo (RFC 8017 §9.2, note 1): the hash's last identifier byte and two lengths vary.
fn digest_info(hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
    let (last, whole, octets) = match hash {
        HashAlgorithm::Sha256 => (1, 0x31, 0x20),
        HashAlgorithm::Sha384 => (2, 0x41, 0x30),
        HashAlgorithm::Sha512 => (3, 0x51, 0x40),
    };
    let head = [
        0x30, whole, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00, 0x04,
        octets,
    ];
    [&head, digest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;

    fn p256() -> PublicKey {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap()
    }

    #[test]
    fn a_long_digest_is_cut_to_the_curve() {
        let tbs = Tbs::message(Mechanism::Ecdsa(HashAlgorithm::Sha384), b"x");
        let input = SignInput::new(&p256(), &tbs).unwrap();
        assert_eq!((input.data.as_slice(), input.size), (&tbs.bytes()[..32], 64));
        let wrong = Tbs::message(Mechanism::RsaPkcs1(HashAlgorithm::Sha256), b"x");
        assert_eq!(SignInput::new(&p256(), &wrong).err().unwrap().code(), "mechanism_refused");
    }

    #[test]
    fn ecdsa_numbers_out_of_range_are_refused() {
        let key = p256();
        let one = {
            let mut n = [0_u8; 32];
            n[31] = 1;
            n
        };
        let der = ecdsa_der(&key, &[one, one].concat()).unwrap();
        assert_eq!(der, [0x30, 6, 2, 1, 1, 2, 1, 1]);
        for bad in [[one, [0; 32]].concat(), [[0; 32], one].concat(), [[0xff; 32], one].concat(), Vec::new()] {
            assert_eq!(ecdsa_der(&key, &bad).unwrap_err().code(), "module_answer");
        }
    }
}
