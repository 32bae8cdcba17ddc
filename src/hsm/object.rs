//! Objects on a token: reading attributes that are checked, and finding a key without doubt.
//!
//! A key is found by its CKA_ID and class, never by its label, and only if there is exactly one. Then its
//! public part is compared with the one that is expected, from every place the token tells it: the public
//! key object, the private key's `CKA_PUBLIC_KEY_INFO`, and the public numbers in the private key. One
//! must agree and none may differ (governance X3).
//!
//! Attributes are claims, not proof (governance §0, fact 6).

use super::fault::{Fault, Refusal};
use super::raw::{Handle, Term};
use super::worker::Seat;
use crate::crypto::verify::PublicKey;
use crate::error::shown;
use crate::model::{CkaId, SpkiHash, hex};
use cryptoki::context::Function;
use cryptoki_sys::*;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
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

impl Seat {
    /// Token objects of a class (all classes if `None`) that match `more`. Session objects are left out.
    pub fn find(&self, class: Option<CK_OBJECT_CLASS>, more: Vec<Term>) -> Result<Vec<Handle>, Fault> {
        let mut terms = vec![Term::Bool(CKA_TOKEN, true)];
        terms.extend(class.map(|class| Term::Number(CKA_CLASS, class)));
        terms.extend(more);
        self.functions().find(self.session()?.handle(), &terms)
    }

    /// An attribute's bytes; `None` where the object has none or it is empty.
    pub fn bytes(&self, object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<Vec<u8>>, Fault> {
        let value = self.functions().attribute(self.session()?.handle(), object, kind)?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// A boolean attribute.
    pub fn boolean(&self, object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<bool>, Fault> {
        match self.functions().attribute(self.session()?.handle(), object, kind)?.as_deref() {
            None => Ok(None),
            Some([0]) => Ok(Some(false)),
            Some([1]) => Ok(Some(true)),
            Some(other) => Err(answer(format!("attribute 0x{kind:x} is no boolean but {} bytes", other.len()))),
        }
    }

    /// A number attribute.
    pub fn number(&self, object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<CK_ULONG>, Fault> {
        let Some(value) = self.functions().attribute(self.session()?.handle(), object, kind)? else { return Ok(None) };
        let number = value.as_slice().try_into().map(CK_ULONG::from_ne_bytes);
        let number =
            number.map_err(|_| answer(format!("attribute 0x{kind:x} is no number but {} bytes", value.len())))?;
        Ok((number != CK_UNAVAILABLE_INFORMATION).then_some(number))
    }

    /// The public key that the numbers of a public or private key object give, if it has them.
    pub fn public_numbers(&self, object: Handle) -> Result<Option<PublicKey>, Fault> {
        match self.number(object, CKA_KEY_TYPE)? {
            Some(CKK_RSA) => {
                let (modulus, exponent) = (self.bytes(object, CKA_MODULUS)?, self.bytes(object, CKA_PUBLIC_EXPONENT)?);
                let (Some(modulus), Some(exponent)) = (modulus, exponent) else { return Ok(None) };
                rsa_key(&modulus, &exponent).map(Some)
            }
            Some(CKK_EC | CKK_EC_EDWARDS) => {
                let (params, point) = (self.bytes(object, CKA_EC_PARAMS)?, self.bytes(object, CKA_EC_POINT)?);
                let (Some(params), Some(point)) = (params, point) else { return Ok(None) };
                curve_key(&params, &point)
            }
            _ => Ok(None),
        }
    }

    /// `CKA_PUBLIC_KEY_INFO`, read as a key.
    fn public_info(&self, object: Handle) -> Result<Option<PublicKey>, Fault> {
        match self.bytes(object, CKA_PUBLIC_KEY_INFO)? {
            None => Ok(None),
            Some(spki) => match PublicKey::from_spki(&spki) {
                Ok(key) => Ok(Some(key)),
                Err(_) => Err(answer("CKA_PUBLIC_KEY_INFO is no SubjectPublicKeyInfo")),
            },
        }
    }

    /// [`Seat::look_up`], once per session.
    pub fn locate(&mut self, cka_id: &CkaId, expected: &PublicKey) -> Result<Located, Fault> {
        let known = (cka_id.clone(), expected.spki_hash());
        if let Some(located) = self.located.get(&known) {
            return Ok(located.clone());
        }
        let located = self.look_up(cka_id, expected)?;
        self.located.insert(known, located.clone());
        Ok(located)
    }

    /// Finds a key: exactly one private key with this CKA_ID, at most one public one, and `expected` confirmed.
    ///
    /// # Errors
    /// `key_missing`, `key_ambiguous`, `key_unconfirmed`, `module_answer`.
    pub fn look_up(&self, cka_id: &CkaId, expected: &PublicKey) -> Result<Located, Fault> {
        let private = match self.with_id(CKO_PRIVATE_KEY, cka_id)?.as_slice() {
            [] => return Err(Fault::refusal(Refusal::KeyMissing, format!("no private key has CKA_ID {cka_id}"))),
            [one] => *one,
            many => return Err(ambiguous("private", cka_id, many.len())),
        };
        let public = match self.with_id(CKO_PUBLIC_KEY, cka_id)?.as_slice() {
            [] => None,
            [one] => Some(*one),
            many => return Err(ambiguous("public", cka_id, many.len())),
        };
        let confirmed = self.confirm(cka_id, private, public, expected)?;
        let always_authenticate = self.boolean(private, CKA_ALWAYS_AUTHENTICATE)?.unwrap_or(false);
        let reference = KeyRef { cka_id: cka_id.clone(), public: expected.clone(), confirmed, always_authenticate };
        Ok(Located { signing: None, private, public, reference })
    }

    /// Objects of a class with this CKA_ID; the module's matching is not taken on trust.
    pub fn with_id(&self, class: CK_OBJECT_CLASS, cka_id: &CkaId) -> Result<Vec<Handle>, Fault> {
        let found = self.find(Some(class), vec![Term::Bytes(CKA_ID, cka_id.as_bytes().to_vec())])?;
        for object in &found {
            let id = self.bytes(*object, CKA_ID)?;
            if id.as_deref() != Some(cka_id.as_bytes()) || self.number(*object, CKA_CLASS)? != Some(class) {
                return Err(answer(format!("a search for CKA_ID {cka_id} gave another object")));
            }
        }
        Ok(found)
    }

    /// Compares all that the token tells of the public part with what is expected.
    fn confirm(
        &self,
        cka_id: &CkaId,
        private: Handle,
        public: Option<Handle>,
        expected: &PublicKey,
    ) -> Result<Confirmation, Fault> {
        let object = match public {
            Some(public) => self.public_numbers(public)?,
            None => None,
        };
        let views = [
            (Confirmation::PublicObject, object),
            (Confirmation::PublicKeyInfo, self.public_info(private)?),
            (Confirmation::PrivateAttributes, self.public_numbers(private)?),
        ];
        let mut confirmed = None;
        for (how, key) in views {
            let Some(key) = key else { continue };
            if !key.key().public_eq(expected.key()) {
                let message =
                    format!("the key with CKA_ID {cka_id} is {}, not {}", key.spki_hash(), expected.spki_hash());
                return Err(Fault::refusal(Refusal::KeyUnconfirmed, message));
            }
            confirmed = confirmed.or(Some(how));
        }
        confirmed.ok_or_else(|| {
            let message = format!("the token tells no public part of the key with CKA_ID {cka_id}");
            Fault::refusal(Refusal::KeyUnconfirmed, message)
        })
    }

    /// Counts what stands under a CKA_ID.
    pub fn inspect(&self, cka_id: &CkaId) -> Result<Inspection, Fault> {
        let private = self.with_id(CKO_PRIVATE_KEY, cka_id)?;
        let public = self.with_id(CKO_PUBLIC_KEY, cka_id)?;
        let all = self.find(None, vec![Term::Bytes(CKA_ID, cka_id.as_bytes().to_vec())])?;
        let key = match (private.as_slice(), public.as_slice()) {
            (_, [public]) => self.public_numbers(*public)?,
            ([private], []) => match self.public_info(*private)? {
                Some(key) => Some(key),
                None => self.public_numbers(*private)?,
            },
            _ => None,
        };
        let other = all.len().saturating_sub(private.len()).saturating_sub(public.len());
        Ok(Inspection { private: private.len(), public: public.len(), other, key })
    }

    /// Reads attributes and compares each with what it should be.
    pub fn states(
        &self,
        object: Handle,
        expected: &[(&'static str, CK_ATTRIBUTE_TYPE, Option<bool>)],
    ) -> Result<Vec<AttributeState>, Fault> {
        let mut states = Vec::with_capacity(expected.len());
        for &(name, kind, expected) in expected {
            let actual = self.boolean(object, kind)?;
            let state = match (expected, actual) {
                (_, None) => State::Unavailable,
                (Some(expected), Some(actual)) if expected != actual => State::Mismatch,
                _ => State::Asserted,
            };
            states.push(AttributeState { name, expected, actual, state });
        }
        Ok(states)
    }

    /// All key objects on the token.
    pub fn inventory(&self) -> Result<Vec<ObjectInfo>, Fault> {
        let classes =
            [("private-key", CKO_PRIVATE_KEY), ("public-key", CKO_PUBLIC_KEY), ("secret-key", CKO_SECRET_KEY)];
        let mut objects = Vec::new();
        for (class, number) in classes {
            for object in self.find(Some(number), Vec::new())? {
                let label = self.bytes(object, CKA_LABEL)?.unwrap_or_default();
                // A key we cannot read is still listed; only its hash is missing.
                let key = match self.public_numbers(object) {
                    Ok(None) | Err(Fault::Refusal(Refusal::ModuleAnswer, _)) => {
                        self.public_info(object).unwrap_or(None)
                    }
                    other => other?,
                };
                objects.push(ObjectInfo {
                    class,
                    cka_id: hex(&self.bytes(object, CKA_ID)?.unwrap_or_default()),
                    label: shown(&String::from_utf8_lossy(&label)),
                    key_type: key_type(self.number(object, CKA_KEY_TYPE)?),
                    spki_sha256: key.map(|key| key.spki_hash()),
                });
            }
        }
        Ok(objects)
    }
}

fn answer(message: impl Into<String>) -> Fault {
    Fault::answer(Function::GetAttributeValue, message.into())
}

fn ambiguous(class: &str, cka_id: &CkaId, count: usize) -> Fault {
    Fault::refusal(Refusal::KeyAmbiguous, format!("{count} {class} keys have CKA_ID {cka_id}"))
}

fn key_type(number: Option<CK_KEY_TYPE>) -> String {
    match number {
        Some(CKK_RSA) => "rsa".into(),
        Some(CKK_EC) => "ec".into(),
        Some(CKK_EC_EDWARDS) => "edwards".into(),
        Some(CKK_AES) => "aes".into(),
        Some(CKK_GENERIC_SECRET) => "generic".into(),
        Some(other) => format!("0x{other:x}"),
        None => "unknown".into(),
    }
}

/// An RSA public key from big-endian numbers.
pub(super) fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, Fault> {
    let make = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key = Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?)?;
        PKey::from_rsa(key)?.public_key_to_der()
    };
    if modulus.len() > 1024 || exponent.len() > 1024 {
        return Err(answer(format!("an RSA key of {} bytes", modulus.len())));
    }
    public_key(make())
}

/// DER of the named curves' object identifiers, as `CKA_EC_PARAMS` has them.
pub(super) const P256_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384_PARAMS: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const ED25519_PARAMS: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The same curve as a PrintableString, the older spelling.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A public key from `CKA_EC_PARAMS` and `CKA_EC_POINT`, the point bare or in an OCTET STRING; `None` for other curves.
pub(super) fn curve_key(params: &[u8], point: &[u8]) -> Result<Option<PublicKey>, Fault> {
    let (curve, size) = match params {
        P256_PARAMS => (Some(Nid::X9_62_PRIME256V1), 65),
        P384_PARAMS => (Some(Nid::SECP384R1), 97),
        ED25519_PARAMS | ED25519_NAME => (None, 32),
        _ => return Ok(None),
    };
    let point = bare_point(point, size)
        .ok_or_else(|| answer(format!("CKA_EC_POINT of {} bytes for a point of {size}", point.len())))?;
    let make = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key: PKey<Public> = match curve {
            None => PKey::public_key_from_raw_bytes(point, Id::ED25519)?,
            Some(curve) => {
                let group = EcGroup::from_curve_name(curve)?;
                let mut context = BigNumContext::new()?;
                // Refuses points that are not on the curve.
                let point = EcPoint::from_bytes(&group, point, &mut context)?;
                PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)?
            }
        };
        key.public_key_to_der()
    };
    public_key(make()).map(Some)
}

/// The length alone tells the two encodings apart.
fn bare_point(point: &[u8], size: usize) -> Option<&[u8]> {
    let point = match point {
        bare if bare.len() == size => bare,
        [0x04, length, rest @ ..] if rest.len() == size && usize::from(*length) == size => rest,
        _ => return None,
    };
    // Uncompressed form only; Ed25519 has no leading byte.
    (size == 32 || point.first() == Some(&4)).then_some(point)
}

fn public_key(spki: Result<Vec<u8>, openssl::error::ErrorStack>) -> Result<PublicKey, Fault> {
    let spki = spki.map_err(|_| answer("numbers that are no public key"))?;
    PublicKey::from_spki(&spki).map_err(|_| answer("numbers that are no public key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_point_encodings_give_one_key_and_a_wrong_point_none() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let spki = PKey::from_ec_key(key).unwrap().public_key_to_der().unwrap();
        let public = PublicKey::from_spki(&spki).unwrap();
        let point = public.point().unwrap();
        let wrapped = [&[0x04, 65][..], &point].concat();
        for encoding in [&point, &wrapped] {
            assert_eq!(curve_key(P256_PARAMS, encoding).unwrap().unwrap().spki(), spki);
        }
        let mut off = point.clone();
        *off.last_mut().unwrap() ^= 1;
        assert_eq!(curve_key(P256_PARAMS, &off).unwrap_err().code(), "module_answer");
        assert!(curve_key(P384_PARAMS, &point).is_err());
        assert!(curve_key(P256_PARAMS, &[]).is_err());
        assert!(curve_key(&[0x06, 0x01, 0x00], &point).unwrap().is_none());

        let edwards = PKey::generate_ed25519().unwrap();
        let raw = edwards.raw_public_key().unwrap();
        for params in [ED25519_PARAMS, ED25519_NAME] {
            for encoding in [raw.clone(), [&[0x04, 32][..], &raw].concat()] {
                let key = curve_key(params, &encoding).unwrap().unwrap();
                assert_eq!(key.spki(), edwards.public_key_to_der().unwrap());
            }
        }
    }
}
