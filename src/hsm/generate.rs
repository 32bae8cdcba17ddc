//! Making a key pair (governance K2–K4).
//!
//! First nothing in any class may have the CKA_ID or the label. Then every attribute is written out, the
//! false ones too, because defaults differ (SoftHSM lets unset private keys decrypt and unwrap). Some
//! modules refuse attributes that the standard has; the template is then cut down in three steps, and
//! what was left out is reported:
//!
//! 1. `CKA_ALLOWED_MECHANISMS` (NSS, CloudHSM, Luna),
//! 2. `CKA_DESTROYABLE`, `CKA_COPYABLE`, `CKA_MODIFIABLE`, `CKA_WRAP_WITH_TRUSTED` (NSS, Luna),
//! 3. the usages that are off, and `CKA_ALWAYS_AUTHENTICATE` when it is off.
//!
//! Before each further step the token is searched, so that a pair which was made in spite of an error is
//! never made twice. `CKA_TOKEN`, `PRIVATE`, `SENSITIVE`, `EXTRACTABLE`, `SIGN`, and a wanted
//! `ALWAYS_AUTHENTICATE` are never left out. Afterwards every attribute is read back, and the public key
//! is built here from the numbers, both of the public object and of the private one.

use super::fault::{Fault, Refusal};
use super::numbers::{ED25519_PARAMS, P256_PARAMS, P384_PARAMS};
use super::object::AttributeState;
use super::raw::{Handle, Term};
use super::worker::{Flight, Seat};
use crate::crypto::verify::PublicKey;
use crate::error::shown;
use crate::model::{CkaId, KeyAlgorithm};
use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::Attribute;
use cryptoki::types::Ulong;
use cryptoki_sys::*;

/// What key to make. It signs and does nothing else.
#[derive(Clone, Debug)]
pub struct KeyTemplate {
    /// Reserved for it; must not be in use.
    pub cka_id: CkaId,
    /// For people; must not be in use either.
    pub label: String,
    /// Kind and size.
    pub algorithm: KeyAlgorithm,
    /// May be wrapped, but only by trusted keys; for `sealed-export` custody.
    pub extractable: bool,
    /// May be destroyed; false for CA keys.
    pub destroyable: bool,
    /// Attributes may change later; needed for latching `extractable` off.
    pub modifiable: bool,
    /// May be copied.
    pub copyable: bool,
    /// Each signature needs a login of its own.
    pub always_authenticate: bool,
}

impl KeyTemplate {
    /// A key that stays where it is: neither extractable, modifiable nor copyable, but destroyable.
    pub fn bound(cka_id: CkaId, label: impl Into<String>, algorithm: KeyAlgorithm) -> Self {
        KeyTemplate {
            cka_id,
            label: label.into(),
            algorithm,
            extractable: false,
            destroyable: true,
            modifiable: false,
            copyable: false,
            always_authenticate: false,
        }
    }
}

/// A key pair that was made.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Built here from the numbers on the token.
    pub public: PublicKey,
    /// All attributes, read back.
    pub attributes: Vec<AttributeState>,
    /// PKCS#11 names of attributes that the module would not take.
    pub left_out: Vec<&'static str>,
}

/// Steps of the ladder.
const STEPS: u8 = 4;

impl Seat {
    /// Makes a pair.
    ///
    /// # Errors
    /// `id_taken`; the module's; [`Fault::is_unknown`] when a pair may exist now.
    pub fn generate(&mut self, template: &KeyTemplate, flight: &Flight) -> Result<Generated, Fault> {
        self.must_be_free(template)?;
        let (public, private, step) = self.make(template, flight)?;
        // The pair exists: whatever goes wrong from here on must not look as if nothing had happened.
        self.read_back(template, public, private, step).map_err(Fault::unknown)
    }

    /// Nothing of any class may have the CKA_ID or the label.
    fn must_be_free(&self, template: &KeyTemplate) -> Result<(), Fault> {
        let id = Term::Bytes(CKA_ID, template.cka_id.as_bytes().to_vec());
        let label = Term::Bytes(CKA_LABEL, template.label.as_bytes().to_vec());
        for (what, term) in
            [(format!("CKA_ID {}", template.cka_id), id), (format!("label {}", shown(&template.label)), label)]
        {
            let count = self.find(None, vec![term])?.len();
            if count > 0 {
                return Err(Fault::refusal(
                    Refusal::IdTaken,
                    format!("{count} objects on the token have {what} already"),
                ));
            }
        }
        Ok(())
    }

    /// Goes down the ladder until the module makes a pair.
    pub fn make(&self, template: &KeyTemplate, flight: &Flight) -> Result<(Handle, Handle, u8), Fault> {
        let mut step = 0;
        loop {
            let (public, private) = templates(template, step);
            flight.send()?;
            let answer = self.session()?.generate_key_pair(&mechanism(template.algorithm), &public, &private);
            let fault = match answer.map_err(Fault::from) {
                Ok((public, private)) => {
                    let handle = |handle| Handle::new(handle).ok_or_else(null_handle);
                    return Ok((handle(public.handle())?, handle(private.handle())?, step));
                }
                Err(fault) => fault,
            };
            if !fault.value().is_some_and(refuses_template) {
                return Err(fault);
            }
            let leftovers = self.find(None, vec![Term::Bytes(CKA_ID, template.cka_id.as_bytes().to_vec())]);
            if !leftovers.map_err(Fault::unknown)?.is_empty() {
                return Err(fault.unknown());
            }
            flight.land();
            step += 1;
            if step == STEPS {
                return Err(fault.settled());
            }
        }
    }

    fn read_back(&self, template: &KeyTemplate, public: Handle, private: Handle, step: u8) -> Result<Generated, Fault> {
        let key = self.public_numbers(public)?.ok_or_else(|| {
            Fault::answer(Function::GenerateKeyPair, "the public key object does not tell its numbers")
        })?;
        if key.algorithm() != Some(template.algorithm) {
            return Err(Fault::answer(
                Function::GenerateKeyPair,
                format_args!("the key is no {} key", template.algorithm),
            ));
        }
        if self.public_numbers(private)?.is_some_and(|other| !other.key().public_eq(key.key())) {
            return Err(Fault::answer(Function::GenerateKeyPair, "the two halves are of different keys"));
        }
        let attributes = self.states(private, &expectations(Some(template)))?;
        Ok(Generated { public: key, attributes, left_out: left_out(template, step) })
    }
}

fn null_handle() -> Fault {
    Fault::answer(Function::GenerateKeyPair, "a null handle").unknown()
}

/// Return values by which modules refuse an attribute; NSS says CKR_GENERAL_ERROR.
fn refuses_template(value: RvError) -> bool {
    use RvError::*;
    matches!(
        value,
        AttributeTypeInvalid
            | AttributeValueInvalid
            | AttributeReadOnly
            | TemplateInconsistent
            | GeneralError
            | FunctionFailed
            | ArgumentsBad
    )
}

fn mechanism(algorithm: KeyAlgorithm) -> Mechanism<'static> {
    match algorithm {
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Mechanism::RsaPkcsKeyPairGen,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => Mechanism::EccKeyPairGen,
        KeyAlgorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
    }
}

/// The mechanisms the key may be used with: those that [`super::sign`] asks for.
fn allowed(algorithm: KeyAlgorithm) -> Vec<MechanismType> {
    match algorithm {
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => vec![MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_PSS],
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => vec![MechanismType::ECDSA],
        KeyAlgorithm::Ed25519 => vec![MechanismType::EDDSA],
    }
}

/// Public and private template at a step of the ladder.
fn templates(template: &KeyTemplate, step: u8) -> (Vec<Attribute>, Vec<Attribute>) {
    let named = [
        Attribute::Token(true),
        Attribute::Id(template.cka_id.as_bytes().to_vec()),
        Attribute::Label(template.label.as_bytes().to_vec()),
    ];
    let mut public = named.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    public.extend(match template.algorithm {
        KeyAlgorithm::Rsa3072 => rsa_parameters(3072),
        KeyAlgorithm::Rsa4096 => rsa_parameters(4096),
        KeyAlgorithm::EcdsaP256 => vec![Attribute::EcParams(P256_PARAMS.to_vec())],
        KeyAlgorithm::EcdsaP384 => vec![Attribute::EcParams(P384_PARAMS.to_vec())],
        KeyAlgorithm::Ed25519 => vec![Attribute::EcParams(ED25519_PARAMS.to_vec())],
    });
    let mut private = named.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(template.extractable),
        Attribute::Sign(true),
    ]);
    if step < 1 {
        private.push(Attribute::AllowedMechanisms(allowed(template.algorithm)));
    }
    if step < 2 {
        let policy = [
            Attribute::Modifiable(template.modifiable),
            Attribute::Copyable(template.copyable),
            Attribute::Destroyable(template.destroyable),
        ];
        public.extend(policy.iter().cloned());
        private.extend(policy);
        private.push(Attribute::WrapWithTrusted(template.extractable));
    }
    if step < 3 {
        public.extend([Attribute::Encrypt(false), Attribute::Wrap(false), Attribute::VerifyRecover(false)]);
        private.extend([
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::SignRecover(false),
        ]);
    }
    if step < 3 || template.always_authenticate {
        private.push(Attribute::AlwaysAuthenticate(template.always_authenticate));
    }
    (public, private)
}

fn rsa_parameters(bits: CK_ULONG) -> Vec<Attribute> {
    vec![Attribute::ModulusBits(Ulong::new(bits)), Attribute::PublicExponent(vec![1, 0, 1])]
}

fn left_out(template: &KeyTemplate, step: u8) -> Vec<&'static str> {
    let mut names = Vec::new();
    if step >= 1 {
        names.push("CKA_ALLOWED_MECHANISMS");
    }
    if step >= 2 {
        names.extend(["CKA_MODIFIABLE", "CKA_COPYABLE", "CKA_DESTROYABLE", "CKA_WRAP_WITH_TRUSTED"]);
    }
    if step >= 3 {
        names.extend(["CKA_DECRYPT", "CKA_UNWRAP", "CKA_DERIVE", "CKA_SIGN_RECOVER"]);
        if !template.always_authenticate {
            names.push("CKA_ALWAYS_AUTHENTICATE");
        }
    }
    names
}

/// Each boolean attribute of a private key and what it should be; without a template, only what holds for all keys.
pub(super) fn expectations(template: Option<&KeyTemplate>) -> Vec<(&'static str, CK_ATTRIBUTE_TYPE, Option<bool>)> {
    let from = |pick: fn(&KeyTemplate) -> bool| template.map(pick);
    let unless_extractable = from(|t| !t.extractable);
    vec![
        ("CKA_TOKEN", CKA_TOKEN, Some(true)),
        ("CKA_PRIVATE", CKA_PRIVATE, Some(true)),
        ("CKA_SENSITIVE", CKA_SENSITIVE, Some(true)),
        ("CKA_ALWAYS_SENSITIVE", CKA_ALWAYS_SENSITIVE, from(|_| true)),
        ("CKA_EXTRACTABLE", CKA_EXTRACTABLE, from(|t| t.extractable)),
        ("CKA_NEVER_EXTRACTABLE", CKA_NEVER_EXTRACTABLE, unless_extractable),
        ("CKA_LOCAL", CKA_LOCAL, from(|_| true)),
        ("CKA_SIGN", CKA_SIGN, Some(true)),
        ("CKA_SIGN_RECOVER", CKA_SIGN_RECOVER, Some(false)),
        ("CKA_DECRYPT", CKA_DECRYPT, Some(false)),
        ("CKA_UNWRAP", CKA_UNWRAP, Some(false)),
        ("CKA_DERIVE", CKA_DERIVE, Some(false)),
        ("CKA_MODIFIABLE", CKA_MODIFIABLE, from(|t| t.modifiable)),
        ("CKA_COPYABLE", CKA_COPYABLE, from(|t| t.copyable)),
        ("CKA_DESTROYABLE", CKA_DESTROYABLE, from(|t| t.destroyable)),
        ("CKA_WRAP_WITH_TRUSTED", CKA_WRAP_WITH_TRUSTED, from(|t| t.extractable)),
        ("CKA_ALWAYS_AUTHENTICATE", CKA_ALWAYS_AUTHENTICATE, from(|t| t.always_authenticate)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_never_drops_what_protects_the_key() {
        let mut template = KeyTemplate::bound(CkaId::new([1]).unwrap(), "k", KeyAlgorithm::EcdsaP256);
        template.always_authenticate = true;
        for step in 0..STEPS {
            let (_, private) = templates(&template, step);
            let kept = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::AlwaysAuthenticate(true),
            ];
            assert!(kept.iter().all(|attribute| private.contains(attribute)), "step {step}");
        }
        let (_, full) = templates(&template, 0);
        assert!(full.contains(&Attribute::Decrypt(false)) && full.contains(&Attribute::Copyable(false)));
    }
}
