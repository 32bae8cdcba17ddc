//! One token: chosen without doubt, logged in, ready to be called from many threads.
//!
//! The slot list is asked for first (some modules know no slot before), then the token is chosen by label
//! and serial; slot numbers change and are never configured. It is refused when no token or more than one
//! fits, when it is not initialised, and when a wrong PIN would lock it. The PIN is fetched after all
//! that and before the login.

use super::destroy::Gone;
use super::fault::{Fault, Outage, Refusal};
use super::generate::{Generated, KeyTemplate, expectations};
use super::module::{Module, ModuleInfo, ModuleSpec};
use super::object::{AttributeState, Inspection, KeyRef, ObjectInfo};
use super::pin::PinSource;
use super::raw::TokenFacts;
use super::sign::Plan;
use super::worker::{Flight, Login, Seat, Shared, Turn, Worker, check_pin_flags, dismiss, within};
use crate::crypto::verify::PublicKey;
use crate::error::shown;
use crate::keys::TokenRecord;
use crate::model::{CkaId, HsmName, Signature, Tbs};
use cryptoki_sys::*;
use serde::Serialize;
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

/// Which token, and how to use it.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Its `[hsm.NAME]` entry.
    pub name: HsmName,
    /// Where its module is.
    pub module: ModuleSpec,
    /// `CKA` token label; exact.
    pub label: Option<String>,
    /// Serial number; exact.
    pub serial: Option<String>,
    /// Where the user PIN comes from.
    pub pin: PinSource,
    /// Deadline of each call.
    pub timeout: Duration,
    /// Sessions to sign with at once, 1 to 64.
    pub sessions: usize,
    /// What was adopted; nothing else is logged in to.
    pub recorded: Option<TokenRecord>,
}

/// What the token and its module say of themselves. Text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Token label.
    pub label: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
    /// Hardware version.
    pub hardware: String,
    /// `CK_TOKEN_INFO.flags` when the token was opened.
    pub flags: u64,
    /// Shortest and longest PIN, in bytes, as the token says.
    pub pin_length: (u64, u64),
    /// The builtin token, or one known to be software. A token not known here may still be one.
    pub software: bool,
    /// The module.
    pub module: ModuleInfo,
    /// Words of caution for the operator.
    pub warnings: Vec<String>,
}

impl TokenInfo {
    /// Whether a `CKF_…` flag is set.
    pub fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

/// A mechanism of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MechanismInfo {
    /// Its number; vendors have their own.
    pub number: u64,
    /// Smallest key size, in the mechanism's own unit.
    pub min: u64,
    /// Largest key size; some tokens say 0 for "no limit".
    pub max: u64,
    /// `CKF_…` flags: what it can be used for.
    pub flags: u64,
}

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
    /// `module_changed`, `wrong_token`, `token_not_found`, `token_uninitialized`, `pin_locked`, `last_pin_try`, `no_pin`, `wrong_pin`, the
    /// module's, and outages.
    pub fn open(spec: TokenSpec) -> Result<Token, Fault> {
        let (module, slot, facts) = survey(&spec)?;
        check_recorded(spec.recorded.as_ref(), &facts).map_err(|fault| fault.at(&facts.label))?;
        check_ready(&facts).map_err(|fault| fault.at(&facts.label))?;
        let login = prepare_login(&spec, &facts).map_err(|fault| fault.at(&facts.label))?;
        Self::start(spec, module, slot, &facts, login)
    }

    /// Opens the token without a login: its facts, mechanisms and public objects. No PIN is fetched. A module that is not
    /// the recorded one is not loaded; whether the token is, is the caller's to compare.
    ///
    /// # Errors
    /// As [`Token::open`], but another token and locked PINs do not matter.
    pub fn open_without_login(spec: TokenSpec) -> Result<Token, Fault> {
        let (module, slot, facts) = survey(&spec)?;
        Self::start(spec, module, slot, &facts, Login::Nobody)
    }

    fn start(
        spec: TokenSpec,
        module: Arc<Module>,
        slot: CK_SLOT_ID,
        facts: &TokenFacts,
        login: Login,
    ) -> Result<Token, Fault> {
        let builtin = matches!(spec.module, ModuleSpec::Builtin { .. });
        let keypad = matches!(login, Login::User(None));
        let info = describe(&module, facts, builtin);
        let shared = Arc::new(Shared::new(module, facts, slot, builtin, login));
        let sessions = spec.sessions.clamp(1, MAX_SESSIONS);
        let workers: Result<Vec<_>, _> =
            (0..sessions).map(|number| Worker::start(&shared, format!("{}-{number}", spec.name))).collect();
        let token = Token { info, shared, workers: workers?, spec };
        let deadline = if keypad { KEYPAD.max(token.spec.timeout) } else { token.spec.timeout };
        token.first()?.call(deadline, |_, _| Ok(()))?;
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
        let plan = Arc::new(Plan::new(&key.public, tbs).map_err(|fault| fault.at(&self.shared.label))?);
        let ask = |worker: &Worker| {
            let (key, tbs, plan) = (key.clone(), tbs.clone(), Arc::clone(&plan));
            worker.call(self.spec.timeout, move |seat, flight| seat.sign(&key, &tbs, &plan, flight))
        };
        let turn = Turn::of(&self.workers);
        match ask(turn.as_ref().map_or_else(|| self.first(), |turn| Ok(turn.0))?) {
            // The token has fewer sessions than configured; the first one is open for sure.
            Err(Fault::Outage(Outage::Sessions, _)) => ask(self.first()?),
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

/// Loads the module and chooses the token, within the deadline.
fn survey(spec: &TokenSpec) -> Result<(Arc<Module>, CK_SLOT_ID, TokenFacts), Fault> {
    let recorded = spec.recorded.as_ref();
    let (module, fixed) = Module::open_within(spec.timeout, &spec.module, recorded.map(|it| &it.module))?;
    let (label, serial, known) = (spec.label.clone(), spec.serial.clone(), recorded.is_some());
    within(spec.timeout, "C_GetSlotList", move || {
        let (slot, facts) = choose(&module, fixed, label.as_deref(), serial.as_deref(), known)?;
        Ok((module, slot, facts))
    })
}

/// Exactly one token must have the label and the serial, as far as they are given. A token that was `known` is away
/// when none has; one that never was is configured wrongly.
fn choose(
    module: &Module,
    fixed: Option<CK_SLOT_ID>,
    label: Option<&str>,
    serial: Option<&str>,
    known: bool,
) -> Result<(CK_SLOT_ID, TokenFacts), Fault> {
    let (mut fitting, mut candidates) = (Vec::new(), Vec::new());
    for slot in module.functions.slots()?.into_iter().filter(|slot| fixed.is_none_or(|fixed| fixed == *slot)) {
        // One slot that cannot be read must not hide the others.
        let Ok(facts) = module.functions.token(slot) else { continue };
        candidates.push(format!("{} (serial {})", shown(&facts.label), shown(&facts.serial)));
        let fits = label.is_none_or(|label| label == facts.label) && serial.is_none_or(|serial| serial == facts.serial);
        if fits {
            fitting.push((slot, facts));
        }
    }
    let wanted = match (label, serial) {
        (Some(label), Some(serial)) => format!("label {} and serial {}", shown(label), shown(serial)),
        (Some(label), None) => format!("label {}", shown(label)),
        (None, Some(serial)) => format!("serial {}", shown(serial)),
        (None, None) => "any label".to_owned(),
    };
    let count = fitting.len();
    match (fitting.pop(), count) {
        (Some(found), 1) => Ok(found),
        (_, 0) if candidates.is_empty() => {
            Err(Fault::outage(Outage::Gone, format!("no token is there; wanted {wanted}")))
        }
        (_, 0) if known => {
            let message = format!("no token has {wanted} any more; present: {}", candidates.join(", "));
            Err(Fault::outage(Outage::Gone, message))
        }
        _ => {
            let message = format!("{count} tokens have {wanted}; present: {}", candidates.join(", "));
            Err(Fault::refusal(Refusal::TokenNotFound, message))
        }
    }
}

/// Serial number and label must be the recorded ones.
fn check_recorded(recorded: Option<&TokenRecord>, facts: &TokenFacts) -> Result<(), Fault> {
    let Some(TokenRecord { token, .. }) = recorded else { return Ok(()) };
    for (what, then, now) in [("serial number", &token.serial, &facts.serial), ("label", &token.label, &facts.label)] {
        let now = shown(now);
        if *then != now {
            let message = format!("this is another token: its {what} is {now}, recorded is {then}");
            return Err(Fault::refusal(Refusal::WrongToken, message));
        }
    }
    Ok(())
}

fn check_ready(facts: &TokenFacts) -> Result<(), Fault> {
    if facts.flags & CKF_TOKEN_INITIALIZED == 0 {
        return Err(Fault::refusal(Refusal::Uninitialized, "the token is not initialised"));
    }
    Ok(())
}

/// Looks at the PIN flags, then fetches the PIN.
fn prepare_login(spec: &TokenSpec, facts: &TokenFacts) -> Result<Login, Fault> {
    let (required, keypad) =
        (facts.flags & CKF_LOGIN_REQUIRED != 0, facts.flags & CKF_PROTECTED_AUTHENTICATION_PATH != 0);
    if spec.pin == PinSource::None && !required {
        return Ok(Login::Nobody);
    }
    if facts.flags & CKF_USER_PIN_INITIALIZED == 0 && required {
        return Err(Fault::refusal(Refusal::Uninitialized, "the user PIN is not initialised"));
    }
    check_pin_flags(facts.flags)?;
    match spec.pin.resolve(&facts.label)? {
        None if keypad => Ok(Login::User(None)),
        None => Err(Fault::refusal(Refusal::NoPin, "the token wants a PIN and none is configured")),
        pin => Ok(Login::User(pin)),
    }
}

fn describe(module: &Module, facts: &TokenFacts, builtin: bool) -> TokenInfo {
    let version = |(major, minor): (u8, u8)| format!("{major}.{minor}");
    let mut warnings = Vec::new();
    if facts.flags & CKF_USER_PIN_COUNT_LOW != 0 {
        warnings.push("a wrong user PIN was entered since the last login".to_owned());
    }
    if facts.flags & CKF_USER_PIN_TO_BE_CHANGED != 0 {
        warnings.push("the user PIN is still the one the manufacturer set".to_owned());
    }
    let software = builtin || is_software(&module.info, facts);
    if software {
        warnings.push("this is a software token: for trials only, and nothing it says is attested".to_owned());
    }
    TokenInfo {
        label: shown(&facts.label),
        manufacturer: shown(&facts.manufacturer),
        model: shown(&facts.model),
        serial: shown(&facts.serial),
        firmware: version(facts.firmware),
        hardware: version(facts.hardware),
        flags: facts.flags,
        pin_length: facts.pin_length,
        software,
        module: module.info.clone(),
        warnings,
    }
}

/// Software tokens that are known by what they call themselves.
fn is_software(module: &ModuleInfo, facts: &TokenFacts) -> bool {
    let words = ["softhsm", "kryoptic", "nss", "mozilla", "opencryptoki", "simulator", "software"];
    [&module.manufacturer, &module.description, &facts.manufacturer, &facts.model, &facts.label]
        .iter()
        .map(|text| text.to_lowercase())
        .any(|text| words.iter().any(|word| text.contains(word)))
}
