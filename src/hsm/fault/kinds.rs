//! The two families of faults, and a stable word for each member.

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
    /// The operator interrupted the waiting for it.
    Interrupted,
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
    /// Production takes hardware that was adopted, and this is not known to be that.
    NotAdopted,
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
            Outage::Interrupted => "interrupted",
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
            Refusal::NotAdopted => "hardware_not_adopted",
            Refusal::Untrusted => "module_untrusted",
            Refusal::Refused => "token_refused",
        }
    }
}
