//! What goes wrong at a token, in two families that call for opposite reactions.
//!
//! An [`Outage`] says the token could not be used just now: another token may do, and so may a later
//! try. A [`Refusal`] says it answered no, or answered something that must not be believed: trying again
//! will not help and, where a PIN is concerned, may lock the token. Failover moves on for the first and
//! stops for the second.
//!
//! Every fault keeps the PKCS#11 function and the return value's name, and the token's label (escaped).
//! A call that was sent and never came back is [`Fault::is_unknown`]: its effect may exist.

mod kinds;
mod values;

pub use kinds::{Outage, Refusal};

use crate::error::{Error, Kind, shown};
use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki_sys::CK_RV;
use std::fmt;
use values::{ckr_name, family, function_name, may_have_executed};

/// What happened, at which call, at which token.
#[derive(Clone, Debug)]
pub struct Detail {
    message: String,
    token: Option<String>,
    call: Option<Call>,
    unknown: bool,
    opening: bool,
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

    /// The same may be asked again in a while (domain §4): it surely had no effect, and was not refused.
    pub(in crate::hsm) fn is_transient(&self) -> bool {
        use RvError::*;
        let passing = [
            DeviceError,
            DeviceMemory,
            DeviceRemoved,
            HostMemory,
            SessionClosed,
            SessionCount,
            SessionHandleInvalid,
            TokenNotPresent,
        ];
        self.is_outage() && !self.is_unknown() && self.value().is_some_and(|value| passing.contains(&value))
    }

    /// Marks what kept a session from being opened.
    pub(in crate::hsm) fn opening(mut self) -> Self {
        self.detail_mut().opening = true;
        self
    }

    /// No session could be opened; nothing was asked of the token but that.
    pub(in crate::hsm) fn is_opening(&self) -> bool {
        self.detail().opening
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
            Fault::Outage(Outage::Interrupted, _) => Kind::Interrupted,
            Fault::Outage(..) => Kind::Unavailable,
            Fault::Refusal(
                Refusal::Forbidden
                | Refusal::ModuleChanged
                | Refusal::WrongToken
                | Refusal::NotAdopted
                | Refusal::Untrusted,
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
            Fault::Refusal(Refusal::NotAdopted, _) => "keyctl doctor",
            Fault::Refusal(Refusal::ModuleChanged, _) => "keyctl adopt, if the new module is wanted",
            Fault::Refusal(Refusal::WrongToken, _) => "keyctl adopt, if the token was replaced on purpose",
            _ => return None,
        })
    }
}

impl Detail {
    fn new(message: String) -> Box<Self> {
        Box::new(Detail { message, token: None, call: None, unknown: false, opening: false })
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
