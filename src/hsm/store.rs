//! The key store: the one place where a private key can be reached, and only for a permit.
//!
//! [`SigningKey`] signs what its permit lists, while the permit lasts. [`CheckpointKey`] is the one exception
//! to permits and signs checkpoint texts only. A new key is made for a permit too, and shows at once, by a
//! typed signature that can never be an artifact's, that its private part is there.
//!
//! Tokens are opened as they were recorded ([`Store::pin`]), each when it is first needed and by whoever needs it first;
//! one that hangs holds up nobody who needs another. What a token refused once (a wrong PIN above all) is not tried again
//! in the same process, by whichever command or thread, and one that hung stays given up.

use super::answers::Answers;
use super::destroy::Gone;
use super::fault::{Fault, Outage};
use super::generate::KeyTemplate;
use super::keycheck;
use super::object::{AttributeState, KeyRef, Presence, State};
pub use super::patience::Patience;
use super::token::{Token, TokenSpec};
pub use super::token::{facts, record};
use crate::crypto::note::{Checkpoint, SignedNote, VerifierKey};
use crate::crypto::verify::PublicKey;
use crate::error::{Error, Result};
use crate::gate::{Completes, Failure, Permit, Spends, sealed};
use crate::keys::{self, AttributeFact, Copy, Generation, Identity, TokenFacts, TokenRecord};
use crate::model::{CkaId, HashAlgorithm, HsmName, Signature, SpkiHash, Tbs};
use crate::request::{DestroyKey, Doomed, GenerateKey, Operation, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The configured tokens, each opened when it is first needed.
pub struct Store {
    specs: BTreeMap<HsmName, TokenSpec>,
    recorded: Option<BTreeMap<HsmName, TokenRecord>>,
    wanted: BTreeMap<HsmName, crate::config::Token>,
    opened: Answers<HsmName, Arc<Token>>,
    /// Keys that were found and confirmed. Each session looks for itself once more before its first signature, and every
    /// signature is verified, so nothing is taken on trust; a batch is only spared a dozen calls for each file.
    found: Answers<(HsmName, CkaId, SpkiHash), KeyRef>,
    patience: Arc<Patience>,
}

impl Store {
    /// A store over these tokens, for founding a workspace: they are taken as they come. Opens none of them.
    pub fn new(specs: impl IntoIterator<Item = TokenSpec>) -> Self {
        let specs = specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let opened = Answers::new(|answer| {
            matches!(answer, Ok(_) | Err(Fault::Refusal(..) | Fault::Outage(Outage::TimedOut, _)))
        });
        let patience = Arc::new(Patience::none());
        let (wanted, found) = (BTreeMap::new(), Answers::new(Result::is_ok));
        Store { specs, recorded: None, wanted, opened, found, patience }
    }

    /// The same, with tokens that cannot be used just now asked again.
    pub fn patient(self, patience: Patience) -> Self {
        Store { patience: Arc::new(patience), ..self }
    }

    /// From now on opens the recorded tokens and no others. Those that are open stay so: the records were made of them.
    /// In production they are held against the adopted entries.
    pub fn pin(&mut self, recorded: BTreeMap<HsmName, TokenRecord>, wanted: BTreeMap<HsmName, crate::config::Token>) {
        self.recorded = Some(recorded);
        self.wanted = wanted;
    }

    /// The token with this name, opened and logged in.
    ///
    /// # Errors
    /// It is not configured, was never recorded, is not the recorded one, not there, or refuses the PIN.
    pub fn token(&self, name: &HsmName) -> Result<Arc<Token>> {
        if let Some(known) = self.opened.given(name) {
            return Ok(known?);
        }
        let missing = || Error::usage("unknown_hsm", format!("there is no [hsm.{name}] in keyctl.toml"));
        let mut spec = self.specs.get(name).ok_or_else(missing)?.clone();
        if let Some(recorded) = &self.recorded {
            let unknown = || {
                Error::blocked("token_unrecorded", format!("the token of [hsm.{name}] was never adopted"))
                    .hint("keyctl adopt")
            };
            spec.recorded = Some(recorded.get(name).ok_or_else(unknown)?.clone());
            if let Some(production) = &mut spec.production {
                production.wanted = self.wanted.get(name).ok_or_else(unknown)?.clone();
                let libraries = recorded.values().flat_map(|record| record.module.libraries.iter().cloned());
                production.libraries = Some(libraries.collect());
            }
        }
        let open = || self.patience.ask(name, || Token::open(spec.clone()).map(Arc::new));
        Ok(self.opened.get(name, open)?)
    }

    /// Opens a key for a permit and one of its roles. The token must be the one the key was made on.
    ///
    /// # Errors
    /// The permit covers no signature of that role by that key; or the token or the key cannot be had.
    pub fn open<'p, O: Operation>(
        &self,
        permit: &'p Permit<O>,
        role: Role,
        identity: &Identity,
    ) -> Result<SigningKey<'p>, Failure> {
        let covered = permit
            .covered(role)
            .find(|covered| covered.spki_sha256 == Some(identity.spki_sha256))
            .ok_or_else(|| Error::bug(format!("the permit covers no {role} signature by that key")))?;
        let copy = identity
            .copies
            .iter()
            .find(|copy| copy.hsm == covered.hsm && copy.cka_id == covered.cka_id)
            .ok_or_else(|| Error::bug("the permit names a copy that the register does not have"))?;
        let (token, key) = self.find(copy, identity)?;
        Ok(SigningKey { permit, role, token, key, patience: Arc::clone(&self.patience) })
    }

    /// Looks whether the token has the key, and whether it is the one that was recorded. Nothing is signed.
    ///
    /// # Errors
    /// It has not, it is another one; the token cannot be had.
    pub fn look(&self, identity: &Identity) -> Result<()> {
        let copy = identity.copies.first().ok_or_else(|| Error::failed("no_copy", "the key is on no token"))?;
        self.find(copy, identity).map(drop)
    }

    /// Opens a ledger key. It signs checkpoints and nothing else.
    ///
    /// # Errors
    /// The token or the key cannot be had.
    pub fn checkpoint_key(&self, identity: &Identity, verifier: &VerifierKey) -> Result<CheckpointKey> {
        let copy = identity.copies.first().ok_or_else(|| Error::failed("no_copy", "the ledger key is on no token"))?;
        let (token, key) = self.find(copy, identity)?;
        Ok(CheckpointKey { token, key, verifier: verifier.clone(), patience: Arc::clone(&self.patience) })
    }

    fn find(&self, copy: &Copy, identity: &Identity) -> Result<(Arc<Token>, KeyRef)> {
        let token = self.token(&copy.hsm)?;
        if token.info().serial != copy.token.serial {
            let found = crate::error::shown(&token.info().serial);
            let message = format!("token {} has serial {found}, not {}", copy.hsm, copy.token.serial);
            return Err(Error::blocked("wrong_token", message).hint("keyctl doctor"));
        }
        let known = (copy.hsm.clone(), copy.cka_id.clone(), identity.spki_sha256);
        let key = match self.found.given(&known) {
            Some(found) => found,
            None => {
                let expected = identity.public_key()?;
                self.found.get(&known, || self.patience.ask(&copy.hsm, || token.find(&copy.cka_id, &expected)))
            }
        }?;
        Ok((token, key))
    }

    /// Makes the key pair that the permit describes, reads its attributes back, checks the public key in
    /// software and has the private key sign the permit's nonce.
    ///
    /// # Errors
    /// As the token reports; [`Failure::unknown`] when it may have made the pair although no answer came.
    pub fn generate(&self, permit: &Permit<GenerateKey>) -> Result<GeneratedKey, Failure> {
        let token = self.token_for(permit)?;
        let template = template(&permit.request().params);
        let made = self.patience.ask(token.name(), || token.generate(&template))?;
        // From here on the pair exists: an interruption is settled by `recover`, never by making another.
        self.finish(permit, &token, &made.public, made.attributes)
            .map_err(|failure| Failure { unknown: true, ..failure })
    }

    /// Looks for the pair that the permit describes and takes it over if it is whole and what was asked for.
    /// `None` if nothing on the token has the planned CKA_ID.
    ///
    /// # Errors
    /// [`PUBLIC_HALF`]; the private half alone, several, or a key that was not made on this token as asked.
    pub fn take_over(&self, permit: &Permit<GenerateKey>) -> Result<Option<GeneratedKey>, Failure> {
        let params = &permit.request().params;
        let token = self.token_for(permit)?;
        let found = self.patience.ask(token.name(), || token.inspect(&params.cka_id))?;
        let public = match (found.presence(), found.key) {
            (Presence::None, _) => return Ok(None),
            (Presence::Full, Some(public)) if public.algorithm() == Some(params.algorithm) => public,
            (Presence::Half, _) if found.private == 0 && found.other == 0 => {
                let message = format!("under CKA_ID {} there is a public key alone, which cannot sign", params.cka_id);
                return Err(Error::failed(PUBLIC_HALF, message).into());
            }
            (presence, _) => {
                let message = format!("under CKA_ID {} there is {presence:?}, not the planned key pair", params.cka_id);
                return Err(Error::failed("not_the_planned_key", message).hint("keyctl doctor").into());
            }
        };
        let key = token.find(&params.cka_id, &public)?;
        let attributes = token.attributes(&key, Some(&template(params)))?;
        if !attributes.iter().any(|a| a.name == "CKA_LOCAL" && a.actual == Some(true)) {
            let message = format!("the key under CKA_ID {} was not made on this token", params.cka_id);
            return Err(Error::failed("not_the_planned_key", message).into());
        }
        self.finish(permit, &token, &public, attributes).map(Some)
    }

    /// [`Store::take_over`], else [`Store::generate`]: for a permit whose process may have been interrupted.
    ///
    /// # Errors
    /// As both.
    pub fn generate_or_take_over(&self, permit: &Permit<GenerateKey>) -> Result<GeneratedKey, Failure> {
        match self.take_over(permit)? {
            Some(found) => Ok(found),
            None => self.generate(permit),
        }
    }

    /// Destroys every copy that the permit names, and makes sure that each is gone. What was gone already is none the less
    /// looked for. `generation` is the register's record, for the public keys.
    ///
    /// # Errors
    /// As the token reports; [`Failure::unknown`] when nobody can say what was destroyed, also when one copy is gone and
    /// another is not.
    pub fn destroy(&self, permit: &Permit<DestroyKey>, generation: &Generation) -> Result<DestroyedKey, Failure> {
        let mut copies = Vec::new();
        for doomed in &permit.request().params.copies {
            let (token, expected) = self.doomed(doomed, generation)?;
            let gone = token.destroy(&doomed.cka_id, expected.as_ref()).map_err(|fault| {
                let failure = Failure::from(fault);
                Failure { unknown: failure.unknown || !copies.is_empty(), ..failure }
            })?;
            copies.push((doomed.clone(), gone));
        }
        Ok(DestroyedKey { from: permit.request().params.from, copies })
    }

    /// Looks whether every copy that the permit names is gone; `None` if one is not.
    ///
    /// # Errors
    /// A token cannot be had or asked.
    pub fn are_gone(
        &self,
        permit: &Permit<DestroyKey>,
        generation: &Generation,
    ) -> Result<Option<DestroyedKey>, Failure> {
        let mut copies = Vec::new();
        for doomed in &permit.request().params.copies {
            let (token, expected) = self.doomed(doomed, generation)?;
            if !token.is_gone(&doomed.cka_id, expected.as_ref())? {
                return Ok(None);
            }
            copies.push((doomed.clone(), Gone { private: false, public: false }));
        }
        Ok(Some(DestroyedKey { from: permit.request().params.from, copies }))
    }

    /// The token of one copy, and its public key where there is one.
    fn doomed(&self, doomed: &Doomed, generation: &Generation) -> Result<(Arc<Token>, Option<PublicKey>)> {
        let token = self.token(&doomed.hsm)?;
        if token.info().serial != doomed.token_serial {
            return Err(Error::blocked("wrong_token", format!("token {} is not the one in the request", doomed.hsm)));
        }
        let Some(spki) = doomed.spki_sha256 else { return Ok((token, None)) };
        let identity = generation.identities.iter().find(|identity| identity.spki_sha256 == spki);
        let unknown = || Error::bug("the permit names a key that the register does not have");
        Ok((token, Some(identity.ok_or_else(unknown)?.public_key()?)))
    }

    /// Checks the public key, has the private key show itself, and describes both for the register.
    fn finish(
        &self,
        permit: &Permit<GenerateKey>,
        token: &Token,
        public: &PublicKey,
        attributes: Vec<AttributeState>,
    ) -> Result<GeneratedKey, Failure> {
        let params = &permit.request().params;
        keycheck::check(public)?;
        let key = self.patience.ask(token.name(), || token.find(&params.cka_id, public))?;
        let tbs = proof_of_possession(params);
        permit.spend(Role::ProofOfPossession, &tbs)?;
        let proof = self.patience.ask(token.name(), || token.sign(&key, &tbs))?;
        let copy = Copy {
            hsm: params.hsm.clone(),
            token: facts(token.info()),
            cka_id: params.cka_id.clone(),
            attributes: attributes.iter().map(attribute_fact).collect(),
        };
        let identity = Identity {
            algorithm: params.algorithm,
            spki_sha256: public.spki_hash(),
            spki: public.spki().to_vec(),
            created: params.created,
            credential: None,
            copies: vec![copy],
        };
        Ok(GeneratedKey { identity, proof })
    }

    fn token_for(&self, permit: &Permit<GenerateKey>) -> Result<Arc<Token>> {
        let params = &permit.request().params;
        let token = self.token(&params.hsm)?;
        if token.info().serial != params.token_serial {
            return Err(Error::blocked("wrong_token", format!("token {} is not the one in the request", params.hsm)));
        }
        Ok(token)
    }
}

/// The code of [`Store::take_over`] where only the public half of the pair was made. It does no harm and stays; nothing
/// was made that could sign, so another pair may be planned, under another CKA_ID and label.
pub const PUBLIC_HALF: &str = "public_half_only";

fn template(params: &GenerateKey) -> KeyTemplate {
    KeyTemplate {
        destroyable: params.destroyable,
        ..KeyTemplate::bound(params.cka_id.clone(), params.label.clone(), params.algorithm)
    }
}

fn attribute_fact(attribute: &AttributeState) -> AttributeFact {
    AttributeFact {
        name: attribute.name.to_owned(),
        value: attribute.actual,
        state: match attribute.state {
            State::Asserted => keys::AttributeState::Asserted,
            State::Unavailable => keys::AttributeState::Unavailable,
            State::Mismatch => keys::AttributeState::Mismatch,
        },
    }
}

/// What a new key signs to show that its private part is there: a fixed prefix, its name and a fresh nonce.
/// The prefix is no DER and no OpenPGP, so the signature fits nothing else.
pub fn proof_of_possession(params: &GenerateKey) -> Tbs {
    let message = format!("keyctl-proof-of-possession-v1\n{}\n{}\n", params.generation, params.nonce);
    let mechanism = params.algorithm.mechanism(HashAlgorithm::Sha256);
    Tbs::message(mechanism, message.as_bytes())
}

/// A key pair that was made, checked, and has shown its private part.
#[derive(Debug)]
pub struct GeneratedKey {
    identity: Identity,
    proof: Signature,
}

impl GeneratedKey {
    /// The public key and where its private part is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl sealed::Sealed for GeneratedKey {}

impl Completes<GenerateKey> for GeneratedKey {
    fn done(&self) -> Value {
        json!({ "identity": self.identity, "proof_of_possession": crate::model::base64(&self.proof.0) })
    }
}

/// A key whose private part was destroyed: every copy was looked for afterwards, and is gone.
#[derive(Debug)]
pub struct DestroyedKey {
    from: keys::State,
    copies: Vec<(Doomed, Gone)>,
}

impl DestroyedKey {
    /// Whether any private key was there to be destroyed.
    pub fn was_there(&self) -> bool {
        self.copies.iter().any(|(_, gone)| gone.private)
    }
}

impl sealed::Sealed for DestroyedKey {}

impl Completes<DestroyKey> for DestroyedKey {
    fn done(&self) -> Value {
        let copy = |(doomed, gone): &(Doomed, Gone)| {
            let mut copy = json!({
                "hsm": doomed.hsm,
                "token_serial": doomed.token_serial,
                "cka_id": doomed.cka_id,
                "private_object": if gone.private { "destroyed" } else { "gone" },
                "public_object": if gone.public { "destroyed" } else { "gone" },
            });
            if let Some(spki) = doomed.spki_sha256 {
                copy["spki_sha256"] = json!(spki);
            }
            copy
        };
        json!({ "destruction_event": {
            "state_before": self.from,
            "state": keys::State::Destroyed,
            "copies": self.copies.iter().map(copy).collect::<Vec<_>>(),
            "verified": "searched by CKA_ID and by public key; nothing is left",
        } })
    }
}

/// A private key, usable for what the permit lists in one role, while the permit lasts.
pub struct SigningKey<'p> {
    permit: &'p dyn Spends,
    role: Role,
    token: Arc<Token>,
    key: KeyRef,
    patience: Arc<Patience>,
}

impl SigningKey<'_> {
    /// Signs, if the permit lists exactly this and it was not used up. The signature was verified in software.
    ///
    /// # Errors
    /// Not covered; or as the token reports, [`Failure::unknown`] when it may have signed without answering.
    pub fn sign(&self, tbs: &Tbs) -> Result<Signature, Failure> {
        self.permit.spend(self.role, tbs)?;
        // What is asked again was surely not signed.
        Ok(self.patience.ask(self.token.name(), || self.token.sign(&self.key, tbs))?)
    }

    /// What the token says of itself.
    pub fn token(&self) -> TokenFacts {
        facts(self.token.info())
    }
}

/// A ledger key: signs checkpoint notes and nothing else, without a permit (design §2).
pub struct CheckpointKey {
    token: Arc<Token>,
    key: KeyRef,
    verifier: VerifierKey,
    patience: Arc<Patience>,
}

impl CheckpointKey {
    /// Signs the text of a checkpoint. Anything that does not parse as a checkpoint of the key's own origin is refused.
    ///
    /// # Errors
    /// Not a checkpoint; or as the token reports.
    pub fn sign(&self, text: &str) -> Result<SignedNote> {
        let checkpoint: Checkpoint = text.parse()?;
        if checkpoint.origin != self.verifier.name() {
            return Err(Error::bug("a ledger key signs checkpoints of its own origin only"));
        }
        let tbs = self.verifier.tbs(text);
        let signature = self.patience.ask(self.token.name(), || self.token.sign(&self.key, &tbs))?;
        SignedNote::new(text.to_owned(), vec![(self.verifier.name().to_owned(), self.verifier.id(), signature.0)])
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure { unknown: fault.is_unknown(), error: fault.into() }
    }
}
