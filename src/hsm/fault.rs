//! What goes wrong at a token, in two families that call for opposite reactions.
//!
//! An [`Outage`] says the token could not be used just now: another token may do, and so may a later
//! try. A [`Refusal`] says it answered no, or answered something that must not be believed: trying again
//! will not help and, where a PIN is concerned, may lock the token. Failover moves on for the first and
//! stops for the second.
//!
//! Every fault keeps the PKCS#11 function and the return value's name, and the token's label (escaped).
//! A call that was sent and never came back is [`Fault::is_unknown`]: its effect may exist.

use crate::error::{Error, Kind, shown};
use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki_sys::CK_RV;
use std::fmt;

/// The token cannot be used now; another one, or a later try, may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The module cannot be loaded or initialised, or the token is not there.
    Gone,
    /// A call did not come back before its deadline; the token is given up for this process.
    TimedOut,
    /// The worker thread of a session ended in the middle of a call.
    Crashed,
    /// The session was lost and could not be had again.
    SessionLost,
    /// The token has no session left.
    Sessions,
    /// The calls before this one took the whole time.
    Busy,
    /// The device, the library or its memory failed.
    Device,
}

/// The token, or what we know of it, says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The PIN is wrong; it is never tried again.
    WrongPin,
    /// The PIN is locked.
    PinLocked,
    /// One more wrong PIN would lock the token, so none is tried.
    LastPinTry,
    /// No PIN can be had from the configured source.
    NoPin,
    /// The token or its user PIN was never initialised.
    Uninitialized,
    /// No token, or more than one, has the configured label and serial.
    TokenNotFound,
    /// The token is not the one that was recorded, or opened before.
    WrongToken,
    /// No key with this CKA_ID.
    KeyMissing,
    /// More than one key with this CKA_ID.
    KeyAmbiguous,
    /// The key's public part is another one, or cannot be had.
    KeyUnconfirmed,
    /// The CKA_ID or label is in use.
    IdTaken,
    /// There is a token in the folder already.
    TokenExists,
    /// Mechanism, curve or key size not supported, or not for this key.
    Mechanism,
    /// An attribute was refused.
    Attribute,
    /// The answer is impossible or wrong; nothing of it is used.
    ModuleAnswer,
    /// The key or token forbids this.
    Forbidden,
    /// The module file is not the pinned one.
    ModuleChanged,
    /// The module file or the token's folder may not be trusted.
    Untrusted,
    /// Refused for another reason.
    Refused,
}

impl Outage {
    /// The stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Outage::Gone => "token_gone",
            Outage::TimedOut => "token_timed_out",
            Outage::Crashed => "token_crashed",
            Outage::SessionLost => "session_lost",
            Outage::Sessions => "no_session_left",
            Outage::Busy => "token_busy",
            Outage::Device => "device_error",
        }
    }
}

impl Refusal {
    /// The stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::WrongPin => "wrong_pin",
            Refusal::PinLocked => "pin_locked",
            Refusal::LastPinTry => "last_pin_try",
            Refusal::NoPin => "no_pin",
            Refusal::Uninitialized => "token_uninitialized",
            Refusal::TokenNotFound => "token_not_found",
            Refusal::WrongToken => "wrong_token",
            Refusal::KeyMissing => "key_missing",
            Refusal::KeyAmbiguous => "key_ambiguous",
            Refusal::KeyUnconfirmed => "key_unconfirmed",
            Refusal::IdTaken => "id_taken",
            Refusal::TokenExists => "token_exists",
            Refusal::Mechanism => "mechanism_refused",
            Refusal::Attribute => "attribute_refused",
            Refusal::ModuleAnswer => "module_answer",
            Refusal::Forbidden => "key_forbids",
            Refusal::ModuleChanged => "module_changed",
            Refusal::Untrusted => "module_untrusted",
            Refusal::Refused => "token_refused",
        }
    }
}

/// What happened, at which call, at which token.
#[derive(Clone, Debug)]
pub struct Detail {
    message: String,
    token: Option<String>,
    call: Option<Call>,
    unknown: bool,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    function: Function,
    value: RvError,
}

/// An error of the `hsm` stage.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Not available now.
    Outage(Outage, Box<Detail>),
    /// Answered no, or not to be believed.
    Refusal(Refusal, Box<Detail>),
}

impl Fault {
    /// An outage of our own finding.
    pub fn outage(kind: Outage, message: impl Into<String>) -> Self {
        Fault::Outage(kind, Detail::new(message.into()))
    }

    /// A refusal of our own finding.
    pub fn refusal(kind: Refusal, message: impl Into<String>) -> Self {
        Fault::Refusal(kind, Detail::new(message.into()))
    }

    /// An answer of the module that cannot be right.
    pub(in crate::hsm) fn answer(function: Function, message: impl fmt::Display) -> Self {
        Fault::refusal(Refusal::ModuleAnswer, format!("{}: {message}", function_name(function)))
    }

    /// The fault for a PKCS#11 return value other than `CKR_OK`.
    pub(in crate::hsm) fn returned(function: Function, value: RvError) -> Self {
        let mut detail = Detail::new(String::new());
        detail.call = Some(Call { function, value });
        detail.unknown = may_have_executed(function, value);
        match family(value) {
            Ok(outage) => Fault::Outage(outage, detail),
            Err(refusal) => Fault::Refusal(refusal, detail),
        }
    }

    fn detail(&self) -> &Detail {
        match self {
            Fault::Outage(_, detail) | Fault::Refusal(_, detail) => detail,
        }
    }

    fn detail_mut(&mut self) -> &mut Detail {
        match self {
            Fault::Outage(_, detail) | Fault::Refusal(_, detail) => detail,
        }
    }

    /// Names the token (escaped here), unless one is named already.
    pub(in crate::hsm) fn at(mut self, token: &str) -> Self {
        self.detail_mut().token.get_or_insert_with(|| shown(token));
        self
    }

    /// Marks a call that was sent and whose effect is not known.
    pub(in crate::hsm) fn unknown(mut self) -> Self {
        self.detail_mut().unknown = true;
        self
    }

    /// A call whose effect was looked for afterwards and is surely absent.
    pub(in crate::hsm) fn settled(mut self) -> Self {
        self.detail_mut().unknown = false;
        self
    }

    /// The call was sent and its effect (a signature, a key, a destruction) may exist.
    pub fn is_unknown(&self) -> bool {
        self.detail().unknown
    }

    /// Another token, or a later try, may do.
    pub fn is_outage(&self) -> bool {
        matches!(self, Fault::Outage(..))
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Outage(kind, _) => kind.code(),
            Fault::Refusal(kind, _) => kind.code(),
        }
    }

    /// The PKCS#11 function that failed, such as `C_Sign`.
    pub fn function(&self) -> Option<String> {
        self.detail().call.map(|call| function_name(call.function))
    }

    /// The name of the return value, such as `CKR_DEVICE_ERROR`.
    pub fn return_value(&self) -> Option<String> {
        self.detail().call.map(|call| ckr_name(call.value))
    }

    pub(in crate::hsm) fn value(&self) -> Option<RvError> {
        self.detail().call.map(|call| call.value)
    }

    /// The session or its handles are dead: opening anew may help, once, if the call did not execute.
    pub(in crate::hsm) fn lost_session(&self) -> bool {
        use RvError::*;
        let dead = [
            SessionHandleInvalid,
            SessionClosed,
            DeviceRemoved,
            TokenNotPresent,
            UserNotLoggedIn,
            KeyHandleInvalid,
            ObjectHandleInvalid,
            SlotIdInvalid,
        ];
        self.value().is_some_and(|value| dead.contains(&value))
    }

    /// An authentication failed: nothing may be tried with this PIN again.
    pub(in crate::hsm) fn pin_failed(&self) -> bool {
        matches!(self, Fault::Refusal(Refusal::WrongPin | Refusal::PinLocked | Refusal::LastPinTry, _))
    }

    fn kind(&self) -> Kind {
        match self {
            Fault::Outage(..) => Kind::Unavailable,
            Fault::Refusal(
                Refusal::Forbidden | Refusal::ModuleChanged | Refusal::WrongToken | Refusal::Untrusted,
                _,
            ) => Kind::Blocked,
            Fault::Refusal(..) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            _ if self.is_unknown() => "keyctl recover",
            Fault::Outage(Outage::Gone | Outage::TimedOut | Outage::Device, _) => "keyctl doctor",
            Fault::Outage(Outage::Sessions, _) => "close other programs that use the token, or lower `sessions`",
            Fault::Refusal(Refusal::WrongPin, _) => "check the pin source in keyctl.toml; the PIN is not tried again",
            Fault::Refusal(Refusal::PinLocked, _) => "the token's security officer can set a new PIN",
            Fault::Refusal(Refusal::LastPinTry, _) => "log in once with the vendor's own tool to reset the counter",
            Fault::Refusal(Refusal::TokenNotFound, _) => {
                "set `token` and `serial` in keyctl.toml; keyctl doctor lists them"
            }
            Fault::Refusal(Refusal::KeyAmbiguous | Refusal::IdTaken, _) => "keyctl audit keys",
            Fault::Refusal(Refusal::ModuleChanged, _) => "keyctl adopt, if the new module is wanted",
            Fault::Refusal(Refusal::WrongToken, _) => "keyctl adopt, if the token was replaced on purpose",
            _ => return None,
        })
    }
}

impl Detail {
    fn new(message: String) -> Box<Self> {
        Box::new(Detail { message, token: None, call: None, unknown: false })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail();
        if let Some(token) = &detail.token {
            write!(f, "token {token}: ")?;
        }
        match detail.call {
            Some(call) if detail.message.is_empty() => {
                write!(f, "{} returned {}", function_name(call.function), ckr_name(call.value))?;
            }
            Some(call) => {
                let (function, value) = (function_name(call.function), ckr_name(call.value));
                write!(f, "{} ({function} returned {value})", detail.message)?;
            }
            None => f.write_str(&detail.message)?,
        }
        if detail.unknown {
            f.write_str("; the call was sent, so its effect is unknown")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let error = Error::new(fault.kind(), fault.code(), fault.to_string());
        match fault.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<cryptoki::error::Error> for Fault {
    fn from(error: cryptoki::error::Error) -> Fault {
        use cryptoki::error::Error::*;
        match error {
            Pkcs11(value, function) => Fault::returned(function, value),
            LibraryLoading(error) => Fault::outage(Outage::Gone, format!("the module cannot be loaded: {error}")),
            MissingSymbol(name) => Fault::outage(Outage::Gone, format!("the module has no {name}")),
            NullFunctionPointer => Fault::refusal(Refusal::Mechanism, "the module lacks this function"),
            other => Fault::refusal(Refusal::ModuleAnswer, shown(&other.to_string())),
        }
    }
}

/// Turns a return value into a result.
pub(in crate::hsm) fn check(function: Function, value: CK_RV) -> Result<(), Fault> {
    match Rv::from(value) {
        Rv::Ok => Ok(()),
        Rv::Error(error) => Err(Fault::returned(function, error)),
    }
}

/// `C_Sign`, from the enum that cryptoki keeps.
fn function_name(function: Function) -> String {
    format!("C_{function:?}")
}

/// `CKR_PIN_INCORRECT`, from the variant's name; unnamed values in hex.
fn ckr_name(value: RvError) -> String {
    if let RvError::VendorDefined(code) | RvError::UnknownErrorCode(code) = value {
        return format!("CKR 0x{code:08x}");
    }
    let mut name = String::from("CKR");
    for c in format!("{value:?}").chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Which family a return value belongs to (domain §4).
fn family(value: RvError) -> Result<Outage, Refusal> {
    use RvError::*;
    match value {
        DeviceRemoved
        | TokenNotPresent
        | SlotIdInvalid
        | TokenNotRecognized
        | CryptokiNotInitialized
        | LibraryLoadFailed => Ok(Outage::Gone),
        SessionHandleInvalid | SessionClosed | UserNotLoggedIn => Ok(Outage::SessionLost),
        SessionCount => Ok(Outage::Sessions),
        DeviceError | DeviceMemory | HostMemory | GeneralError | FunctionFailed | FunctionCanceled | Cancel
        | OperationActive | FipsSelfTestFailed => Ok(Outage::Device),
        PinIncorrect | PinInvalid | PinLenRange | PinExpired => Err(Refusal::WrongPin),
        PinLocked => Err(Refusal::PinLocked),
        UserPinNotInitialized => Err(Refusal::Uninitialized),
        KeyHandleInvalid | ObjectHandleInvalid => Err(Refusal::KeyMissing),
        MechanismInvalid
        | MechanismParamInvalid
        | KeyTypeInconsistent
        | KeySizeRange
        | CurveNotSupported
        | DomainParamsInvalid
        | FunctionNotSupported => Err(Refusal::Mechanism),
        AttributeReadOnly
        | AttributeSensitive
        | AttributeTypeInvalid
        | AttributeValueInvalid
        | TemplateIncomplete
        | TemplateInconsistent => Err(Refusal::Attribute),
        KeyUnextractable
        | KeyFunctionNotPermitted
        | ActionProhibited
        | KeyNotWrappable
        | FunctionRejected
        | TokenWriteProtected => Err(Refusal::Forbidden),
        _ => Err(Refusal::Refused),
    }
}

/// Calls with an effect outside whose failure leaves open whether the effect happened.
fn may_have_executed(function: Function, value: RvError) -> bool {
    use RvError::*;
    matches!(function, Function::Sign | Function::GenerateKeyPair | Function::DestroyObject)
        && matches!(
            value,
            DeviceRemoved
                | DeviceError
                | DeviceMemory
                | HostMemory
                | SessionClosed
                | TokenNotPresent
                | GeneralError
                | FunctionFailed
                | FunctionCanceled
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_family() {
        let kind = |value| Error::from(Fault::returned(Function::SignInit, value)).kind();
        assert_eq!(kind(RvError::DeviceError), Kind::Unavailable);
        assert_eq!(kind(RvError::SessionCount), Kind::Unavailable);
        assert_eq!(kind(RvError::PinIncorrect), Kind::Failed);
        assert_eq!(kind(RvError::MechanismInvalid), Kind::Failed);
        for policy in [RvError::KeyUnextractable, RvError::KeyFunctionNotPermitted, RvError::ActionProhibited] {
            assert_eq!(kind(policy), Kind::Blocked, "{policy:?}");
        }
    }

    #[test]
    fn a_fault_names_function_value_and_escaped_token() {
        let fault = Fault::returned(Function::Sign, RvError::DeviceRemoved).at("hsm\u{1b}[2J");
        assert_eq!(fault.function().as_deref(), Some("C_Sign"));
        assert_eq!(fault.return_value().as_deref(), Some("CKR_DEVICE_REMOVED"));
        let text = fault.to_string();
        assert!(text.starts_with("token hsm\\u{1b}[2J: C_Sign returned CKR_DEVICE_REMOVED"), "{text}");
        assert!(fault.is_unknown() && fault.is_outage());
        assert!(!Fault::returned(Function::SignInit, RvError::DeviceRemoved).is_unknown());
        assert_eq!(ckr_name(RvError::VendorDefined(0x8000_0001)), "CKR 0x80000001");
    }
}
