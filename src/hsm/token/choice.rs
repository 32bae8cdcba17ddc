//! The choice of a token: which one is meant, whether it is the recorded one, and whether it may be logged in to.

use super::spec::{Production, TokenInfo, TokenSpec, record};
use crate::clock::Time;
use crate::config::Attestation;
use crate::error::shown;
use crate::hsm::attestation;
use crate::hsm::deadline::within;
use crate::hsm::fault::{Fault, Outage, Refusal};
use crate::hsm::module::{Module, ModuleSpec};
use crate::hsm::pin::PinSource;
use crate::hsm::raw::TokenFacts;
use crate::hsm::software;
use crate::hsm::worker::{Login, check_pin_flags};
use crate::keys::{Library, TokenRecord};
use crate::policy::hardware;
use cryptoki_sys::*;
use std::sync::Arc;

/// Loads the module and chooses the token, within the deadline.
pub(super) fn survey(spec: &TokenSpec) -> Result<(Arc<Module>, CK_SLOT_ID, TokenFacts), Fault> {
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
pub(super) fn check_recorded(recorded: Option<&TokenRecord>, facts: &TokenFacts) -> Result<(), Fault> {
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

pub(super) fn check_ready(facts: &TokenFacts) -> Result<(), Fault> {
    if facts.flags & CKF_TOKEN_INITIALIZED == 0 {
        return Err(Fault::refusal(Refusal::Uninitialized, "the token is not initialised"));
    }
    Ok(())
}

/// Looks at the PIN flags, then fetches the PIN.
pub(super) fn prepare_login(spec: &TokenSpec, facts: &TokenFacts) -> Result<Login, Fault> {
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

/// What token and module say of themselves, and what is known of their files. `look` asks for all of that even where the
/// token is a recorded one.
pub(super) fn describe(spec: &TokenSpec, module: &Module, facts: &TokenFacts, look: bool) -> Result<TokenInfo, Fault> {
    let version = |(major, minor): (u8, u8)| format!("{major}.{minor}");
    let mut warnings = Vec::new();
    if facts.flags & CKF_USER_PIN_COUNT_LOW != 0 {
        warnings.push("a wrong user PIN was entered since the last login".to_owned());
    }
    if facts.flags & CKF_USER_PIN_TO_BE_CHANGED != 0 {
        warnings.push("the user PIN is still the one the manufacturer set".to_owned());
    }
    let builtin = matches!(spec.module, ModuleSpec::Builtin { .. });
    let mut about = module.info.clone();
    // The files of a recorded module are as they were recorded, and so is what they are.
    let known = spec.recorded.as_ref().filter(|_| !look);
    if known.is_none() || spec.production.is_some() {
        about.libraries = module.libraries()?;
    }
    let by_file = known.map_or_else(|| module.software().is_some(), |record| record.token.software);
    let software = builtin
        || by_file
        || software::by_name(&[
            &module.info.manufacturer,
            &module.info.description,
            &facts.manufacturer,
            &facts.model,
            &facts.label,
        ]);
    if software {
        warnings.push("this is a software token: for trials only, and nothing it says is attested".to_owned());
    }
    let statement = match &spec.production {
        Some(Production { wanted, dir, .. }) => match attestation::statement(wanted, dir, &facts.serial) {
            Ok(statement) => statement,
            Err(error) => {
                warnings.push(error.full());
                None
            }
        },
        None => None,
    };
    Ok(TokenInfo {
        label: shown(&facts.label),
        manufacturer: shown(&facts.manufacturer),
        model: shown(&facts.model),
        serial: shown(&facts.serial),
        firmware: version(facts.firmware),
        hardware: version(facts.hardware),
        flags: facts.flags,
        pin_length: facts.pin_length,
        clock: clock(facts),
        software,
        module: about,
        validations: Vec::new(),
        statement,
        warnings,
    })
}

/// Whether production takes the token, as far as that is known before the login (`false`) or after it.
pub(super) fn admitted(spec: &TokenSpec, info: &TokenInfo, logged_in: bool) -> Result<(), Fault> {
    let Some(Production { wanted, libraries, .. }) = &spec.production else { return Ok(()) };
    let adopted = |library: &&Library| libraries.as_ref().is_none_or(|adopted| adopted.contains(library));
    if let Some(strange) = info.module.libraries.iter().find(|library| !adopted(library)) {
        let message =
            format!("the module brings {} with SHA-256 {}, which nobody adopted", strange.path, strange.sha256);
        return Err(Fault::refusal(Refusal::ModuleChanged, message));
    }
    let mut wanted = wanted.clone();
    if !logged_in {
        // Validation objects need a session.
        let attestation = wanted.hardware.as_mut().map(|hardware| &mut hardware.attestation);
        if let Some(attestation) = attestation.filter(|it| matches!(it, Some(Attestation::ValidationObject))) {
            *attestation = None;
        }
    }
    let judged = hardware::check_now(&spec.name, &wanted, &record(info));
    judged.map_err(|why| {
        let why = info.warnings.iter().fold(why, |why, warning| format!("{why}; {warning}"));
        Fault::refusal(Refusal::NotAdopted, why)
    })
}

/// `YYYYMMDDhhmmss` and two reserved characters (PKCS#11 v3.1 §3.3), where a flag says that there is a clock.
fn clock(facts: &TokenFacts) -> Option<Time> {
    let digits = facts.utc_time.get(..14).filter(|_| facts.flags & CKF_CLOCK_ON_TOKEN != 0)?;
    chrono::NaiveDateTime::parse_from_str(digits, "%Y%m%d%H%M%S").ok().map(|time| time.and_utc())
}
