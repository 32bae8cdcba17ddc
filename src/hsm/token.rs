//! One token: chosen without doubt, logged in, ready to be called from many threads.
//!
//! The slot list is asked for first (some modules know no slot before), then the token is chosen by label
//! and serial; slot numbers change and are never configured. It is refused when no token or more than one
//! fits, when it is not initialised, and when a wrong PIN would lock it. The PIN is fetched after all
//! that and before the login.

mod choice;
mod spec;

pub use spec::{MechanismInfo, Production, TokenInfo, TokenSpec, facts, record};

use super::destroy::Gone;
use super::fault::{Fault, Outage, Refusal};
use super::generate::{Generated, KeyTemplate, expectations};
use super::module::{Module, ModuleSpec};
use super::object::{AttributeState, Inspection, KeyRef, ObjectInfo};
use super::raw::TokenFacts;
use super::sign::SignInput;
use super::worker::{Flight, Login, Seat, Shared, Turn, Worker, dismiss};
use crate::crypto::verify::PublicKey;
use crate::model::{CkaId, HsmName, Signature, Tbs};
use choice::{admitted, check_ready, check_recorded, describe, prepare_login, survey};
use cryptoki_sys::CK_SLOT_ID;
use std::sync::Arc;
use std::time::Duration;

/// Most sessions a token may be given.
const MAX_SESSIONS: usize = 64;
/// Shortest deadline of a key generation: small devices take a minute for RSA.
const MIN_KEYGEN: Duration = Duration::from_secs(180);
/// Deadline of a login at the token's own keypad or card reader.
const KEYPAD: Duration = Duration::from_secs(600);
/// Most random bytes asked for at once.
const MAX_RANDOM: usize = 4096;

/// An open token.
pub struct Token {
    spec: TokenSpec,
    info: TokenInfo,
    shared: Arc<Shared>,
    /// The first does everything but signing, which all do.
    workers: Vec<Worker>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, serial {})", self.info.label, self.info.serial)
    }
}

impl Token {
    /// Opens the token and logs the user in, if token and module are the recorded ones.
    ///
    /// # Errors
    /// `module_changed`, `hardware_not_adopted`, `wrong_token`, `token_not_found`, `token_uninitialized`, `pin_locked`, `last_pin_try`, `no_pin`, `wrong_pin`, the
    /// module's, and outages.
    pub fn open(spec: TokenSpec) -> Result<Token, Fault> {
        let (module, slot, facts) = survey(&spec)?;
        check_recorded(spec.recorded.as_ref(), &facts).map_err(|fault| fault.at(&facts.label))?;
        check_ready(&facts).map_err(|fault| fault.at(&facts.label))?;
        let info = describe(&spec, &module, &facts, false).map_err(|fault| fault.at(&facts.label))?;
        admitted(&spec, &info, false).map_err(|fault| fault.at(&facts.label))?;
        let login = prepare_login(&spec, &facts).map_err(|fault| fault.at(&facts.label))?;
        let token = Self::start(spec, module, slot, (&facts, info), login)?;
        admitted(&token.spec, &token.info, true).map_err(|fault| fault.at(&facts.label))?;
        Ok(token)
    }

    /// Opens the token without a login: its facts, mechanisms and public objects. No PIN is fetched. A module that is not
    /// the recorded one is not loaded; whether the token is, is the caller's to compare.
    ///
    /// # Errors
    /// As [`Token::open`], but another token and locked PINs do not matter.
    pub fn open_without_login(spec: TokenSpec) -> Result<Token, Fault> {
        let (module, slot, facts) = survey(&spec)?;
        let info = describe(&spec, &module, &facts, true).map_err(|fault| fault.at(&facts.label))?;
        Self::start(spec, module, slot, (&facts, info), Login::Nobody)
    }

    fn start(
        spec: TokenSpec,
        module: Arc<Module>,
        slot: CK_SLOT_ID,
        (facts, info): (&TokenFacts, TokenInfo),
        login: Login,
    ) -> Result<Token, Fault> {
        let builtin = matches!(spec.module, ModuleSpec::Builtin { .. });
        let keypad = matches!(login, Login::User(None));
        let shared = Arc::new(Shared::new(module, facts, slot, builtin, login));
        let sessions = spec.sessions.clamp(1, MAX_SESSIONS);
        let workers: Result<Vec<_>, _> =
            (0..sessions).map(|number| Worker::start(&shared, format!("{}-{number}", spec.name))).collect();
        let mut token = Token { info, shared, workers: workers?, spec };
        let deadline = if keypad { KEYPAD.max(token.spec.timeout) } else { token.spec.timeout };
        token.first()?.call(deadline, |_, _| Ok(()))?;
        if token.spec.production.is_some() {
            token.info.validations = token.ask(|seat| seat.validations())?;
        }
        Ok(token)
    }

    /// What it was opened by.
    pub fn spec(&self) -> &TokenSpec {
        &self.spec
    }

    /// Its `[hsm.NAME]` entry.
    pub fn name(&self) -> &HsmName {
        &self.spec.name
    }

    /// What it says of itself.
    pub fn info(&self) -> &TokenInfo {
        &self.info
    }

    /// Whether its PIN is that of another token; `None` if one of them was opened without one, by its own keypad say.
    pub fn shares_pin_with(&self, other: &Token) -> Option<bool> {
        match (&self.shared.login, &other.shared.login) {
            (Login::User(Some(mine)), Login::User(Some(theirs))) => Some(mine.is_same_as(theirs)),
            _ => None,
        }
    }

    /// The fault after which this process cannot use the token any more (hung, wrong PIN, another token), if there is one.
    pub fn fatal(&self) -> Option<&Fault> {
        self.shared.fatal.get()
    }

    /// Finds a key by CKA_ID and confirms that it is `expected`.
    ///
    /// # Errors
    /// `key_missing`, `key_ambiguous`, `key_unconfirmed`, `module_answer`, outages.
    pub fn find(&self, cka_id: &CkaId, expected: &PublicKey) -> Result<KeyRef, Fault> {
        let (cka_id, expected) = (cka_id.clone(), expected.clone());
        self.ask(move |seat| seat.look_up(&cka_id, &expected).map(|located| located.reference))
    }

    /// Signs exactly `tbs`, with one `C_Sign`, and verifies the result in software.
    ///
    /// # Errors
    /// `mechanism_refused`, `module_answer` for a signature that does not verify, the module's, outages;
    /// [`Fault::is_unknown`] when a signature may exist that did not reach us.
    pub(in crate::hsm) fn sign(&self, key: &KeyRef, tbs: &Tbs) -> Result<Signature, Fault> {
        let input = Arc::new(SignInput::new(&key.public, tbs).map_err(|fault| fault.at(&self.shared.label))?);
        let ask = |worker: &Worker| {
            let (key, tbs, input) = (key.clone(), tbs.clone(), Arc::clone(&input));
            worker.call(self.spec.timeout, move |seat, flight| seat.sign(&key, &tbs, &input, flight))
        };
        let turn = Turn::of(&self.workers);
        let (first, worker) = (self.first()?, turn.as_ref().map_or_else(|| self.first(), |turn| Ok(turn.0))?);
        match ask(worker) {
            // The token has fewer sessions than configured, whatever it says of that; the first one was open before.
            Err(fault) if fault.is_opening() && !fault.pin_failed() && !std::ptr::eq(first, worker) => {
                worker.retire();
                ask(first)
            }
            result => result,
        }
    }

    /// Makes a key pair and reads everything back.
    ///
    /// The caller still has to put the public key through [`super::keycheck::check`] and to judge the attributes.
    ///
    /// # Errors
    /// `id_taken`, `module_answer`, the module's, outages; [`Fault::is_unknown`] when a pair may exist now.
    pub(in crate::hsm) fn generate(&self, template: &KeyTemplate) -> Result<Generated, Fault> {
        let template = template.clone();
        let deadline = self.spec.timeout.max(MIN_KEYGEN);
        self.first()?.call(deadline, move |seat: &mut Seat, flight: &Flight| seat.generate(&template, flight))
    }

    /// What stands under a CKA_ID; for recovery.
    ///
    /// # Errors
    /// `module_answer`, outages.
    pub fn inspect(&self, cka_id: &CkaId) -> Result<Inspection, Fault> {
        let cka_id = cka_id.clone();
        self.ask(move |seat| seat.inspect(&cka_id))
    }

    /// The private key's attributes; compared with `template` if it is given, else only with what holds for every key.
    ///
    /// # Errors
    /// As [`Token::find`].
    pub fn attributes(&self, key: &KeyRef, template: Option<&KeyTemplate>) -> Result<Vec<AttributeState>, Fault> {
        let (key, expected) = (key.clone(), expectations(template));
        self.ask(move |seat| {
            let located = seat.look_up(&key.cka_id, &key.public)?;
            seat.states(located.private, &expected)
        })
    }

    /// All key objects on the token, at most 10 000 of each class.
    ///
    /// # Errors
    /// `module_answer`, outages.
    pub fn inventory(&self) -> Result<Vec<ObjectInfo>, Fault> {
        self.ask(|seat| seat.inventory())
    }

    /// All mechanisms, by number, also those nobody has named.
    ///
    /// # Errors
    /// `module_answer`, outages.
    pub fn mechanisms(&self) -> Result<Vec<MechanismInfo>, Fault> {
        self.ask(|seat| {
            let slot = seat.shared.slot();
            let mut found = Vec::new();
            for number in seat.functions().mechanisms(slot)? {
                // A mechanism that is listed but not described cannot be relied on.
                let Ok((min, max, flags)) = seat.functions().mechanism(slot, number) else { continue };
                found.push(MechanismInfo { number, min, max, flags });
            }
            found.sort_by_key(|mechanism| mechanism.number);
            Ok(found)
        })
    }

    /// Destroys a key pair, or what is left of one, after identifying it without doubt; then makes sure that it is gone.
    ///
    /// # Errors
    /// As [`Seat::destroy`].
    pub(in crate::hsm) fn destroy(&self, cka_id: &CkaId, expected: Option<&PublicKey>) -> Result<Gone, Fault> {
        let (cka_id, expected) = (cka_id.clone(), expected.cloned());
        self.first()?.call(self.spec.timeout, move |seat: &mut Seat, flight: &Flight| {
            seat.destroy(&cka_id, expected.as_ref(), flight)
        })
    }

    /// Whether nothing is left of a key pair.
    ///
    /// # Errors
    /// `module_answer`, outages.
    pub(in crate::hsm) fn is_gone(&self, cka_id: &CkaId, expected: Option<&PublicKey>) -> Result<bool, Fault> {
        let (cka_id, expected) = (cka_id.clone(), expected.cloned());
        self.ask(move |seat| seat.is_gone(&cka_id, expected.as_ref()))
    }

    /// Random bytes from the token, at most 4096.
    ///
    /// # Errors
    /// The module's, outages.
    pub fn random(&self, length: usize) -> Result<Vec<u8>, Fault> {
        if length > MAX_RANDOM {
            return Err(Fault::refusal(Refusal::Refused, format!("at most {MAX_RANDOM} random bytes at once")));
        }
        self.ask(move |seat| {
            let mut bytes = vec![0; length];
            seat.session()?.generate_random_slice(&mut bytes)?;
            Ok(bytes)
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        mut op: impl FnMut(&mut Seat) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.first()?.call(self.spec.timeout, move |seat, _| op(seat))
    }

    /// Runs any job in the first session, past all rules; for tests that prepare what must be refused.
    #[cfg(test)]
    pub(in crate::hsm) fn raw_job(&self, op: impl FnMut(&mut Seat, &Flight) -> Result<(), Fault> + Send + 'static) {
        self.first().and_then(|worker| worker.call(self.spec.timeout, op)).unwrap();
    }

    fn first(&self) -> Result<&Worker, Fault> {
        self.workers.first().ok_or_else(|| Fault::outage(Outage::Crashed, "the token has no worker"))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        dismiss(&mut self.workers, &self.shared);
    }
}
