//! Objects on a token: reading attributes that are checked, and finding a key without doubt.
//!
//! A key is found by its CKA_ID and class, never by its label, and only if there is exactly one. Then its
//! public part is compared with the one that is expected, from every place the token tells it: the public
//! key object, the private key's `CKA_PUBLIC_KEY_INFO`, and the public numbers in the private key. One
//! must agree and none may differ (governance X3).

use super::fault::{Fault, Refusal};
use super::numbers::{answer, curve_key, rsa_key};
use super::object::{AttributeState, Confirmation, Inspection, KeyRef, Located, ObjectInfo, State};
use super::raw::{Handle, Term};
use super::worker::Seat;
use crate::crypto::verify::PublicKey;
use crate::error::shown;
use crate::model::{CkaId, hex};
use cryptoki_sys::*;

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
