//! Destroying a key pair (governance X7).
//!
//! Only what was identified without doubt is destroyed: objects under the key's CKA_ID whose public part is the key's, at
//! most one of each class. Nothing is found by exclusion, by label or by being unknown. If the same public key stands
//! under another CKA_ID too, nothing is touched, since destroying one copy would not destroy the key. The private
//! object goes first; half a pair that an interruption left is finished.
//!
//! Afterwards the token is searched again, for the CKA_ID and for the public key. What a module says of its own success
//! is not believed.

use super::fault::{Fault, Refusal};
use super::raw::Handle;
use super::worker::{Flight, Seat};
use crate::crypto::verify::PublicKey;
use crate::model::CkaId;
use cryptoki::context::Function;
use cryptoki_sys::{CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};

/// What was found under a key's CKA_ID, and is there no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The private key object.
    pub private: bool,
    /// The public key object.
    pub public: bool,
}

/// The objects of one key pair.
struct Pair {
    private: Option<Handle>,
    public: Option<Handle>,
}

impl Seat {
    /// Destroys a pair, or what is left of one; see the module's words. Without an expected key nothing may be there.
    ///
    /// # Errors
    /// `key_ambiguous`, `key_unconfirmed`; `key_forbids` where the token prevents it; `module_answer` when something
    /// is still there afterwards; [`Fault::is_unknown`] when nobody can say what was destroyed.
    pub fn destroy(&mut self, cka_id: &CkaId, expected: Option<&PublicKey>, flight: &Flight) -> Result<Gone, Fault> {
        let pair = self.identify(cka_id, expected)?;
        let gone = Gone { private: pair.private.is_some(), public: pair.public.is_some() };
        if !gone.private && !gone.public {
            return Ok(gone);
        }
        // No session may go on with a handle or a copy of what is destroyed here.
        self.shared.forget();
        let session = self.session()?.handle();
        flight.send()?;
        if let Some(private) = pair.private {
            self.functions().destroy(session, private)?;
        }
        if let Some(public) = pair.public {
            self.functions().destroy(session, public).map_err(Fault::unknown)?;
        }
        match self.traces(cka_id, expected).map_err(Fault::unknown)? {
            None => Ok(gone),
            Some(trace) => {
                let message = format!("{trace} is still there, although the module said that it was destroyed");
                Err(Fault::answer(Function::DestroyObject, message).unknown())
            }
        }
    }

    /// Whether nothing is left of a pair: nothing under its CKA_ID, nor its public key anywhere.
    ///
    /// # Errors
    /// `module_answer`, outages.
    pub fn is_gone(&self, cka_id: &CkaId, expected: Option<&PublicKey>) -> Result<bool, Fault> {
        Ok(self.traces(cka_id, expected)?.is_none())
    }

    /// The objects under the CKA_ID, each confirmed.
    fn identify(&self, cka_id: &CkaId, expected: Option<&PublicKey>) -> Result<Pair, Fault> {
        let one = |class, name: &str| match self.with_id(class, cka_id)?.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            many => {
                let message = format!("{} {name} keys have CKA_ID {cka_id}", many.len());
                Err(Fault::refusal(Refusal::KeyAmbiguous, message))
            }
        };
        let mut pair = Pair { private: one(CKO_PRIVATE_KEY, "private")?, public: one(CKO_PUBLIC_KEY, "public")? };
        let Some(expected) = expected else {
            return match pair {
                Pair { private: None, public: None } => Ok(pair),
                _ => {
                    let message = format!("something has CKA_ID {cka_id}, and nobody knows which key it should be");
                    Err(Fault::refusal(Refusal::KeyUnconfirmed, message))
                }
            };
        };
        if pair.private.is_some() {
            let located = self.look_up(cka_id, expected)?;
            pair = Pair { private: Some(located.private), public: located.public };
        } else if let Some(public) = pair.public {
            let is_ours = self.public_numbers(public)?.is_some_and(|key| key.key().public_eq(expected.key()));
            if !is_ours {
                let message = format!("the public key with CKA_ID {cka_id} is not {}", expected.spki_hash());
                return Err(Fault::refusal(Refusal::KeyUnconfirmed, message));
            }
        }
        match self.elsewhere(cka_id, expected)? {
            None => Ok(pair),
            Some(other) => {
                let message = format!("the key with CKA_ID {cka_id} also stands under CKA_ID {other}");
                Err(Fault::refusal(Refusal::KeyAmbiguous, message))
            }
        }
    }

    /// Another CKA_ID under which the same public key stands.
    fn elsewhere(&self, cka_id: &CkaId, expected: &PublicKey) -> Result<Option<String>, Fault> {
        let spki = expected.spki_hash();
        let own = cka_id.to_string();
        let objects = self.inventory()?.into_iter();
        let mut others = objects.filter(|object| object.spki_sha256 == Some(spki) && object.cka_id != own);
        Ok(others.next().map(|object| object.cka_id))
    }

    /// What is left of a pair, in words.
    fn traces(&self, cka_id: &CkaId, expected: Option<&PublicKey>) -> Result<Option<String>, Fault> {
        for (class, name) in [(CKO_PRIVATE_KEY, "private"), (CKO_PUBLIC_KEY, "public")] {
            if !self.with_id(class, cka_id)?.is_empty() {
                return Ok(Some(format!("the {name} key with CKA_ID {cka_id}")));
            }
        }
        let Some(expected) = expected else { return Ok(None) };
        let other = self.elsewhere(cka_id, expected)?;
        Ok(other.map(|other| format!("the same key under CKA_ID {other}")))
    }
}
