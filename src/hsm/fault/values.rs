//! The return values of PKCS#11: their names, the family each belongs to, and what they leave open.

use super::kinds::{Outage, Refusal};
use cryptoki::context::Function;
use cryptoki::error::RvError;

/// `C_Sign`, from the enum that cryptoki keeps.
pub(super) fn function_name(function: Function) -> String {
    format!("C_{function:?}")
}

/// `CKR_PIN_INCORRECT`, from the variant's name; unnamed values in hex.
pub(super) fn ckr_name(value: RvError) -> String {
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
pub(super) fn family(value: RvError) -> Result<Outage, Refusal> {
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
pub(super) fn may_have_executed(function: Function, value: RvError) -> bool {
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
