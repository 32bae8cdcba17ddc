//! The calls that cryptoki cannot make, or makes trusting what the module says.
//!
//! cryptoki 0.12.1 sizes buffers by counts that the module returns, slices attribute lists by lengths
//! the module wrote, fails whole on a token's odd clock, and calls `C_Sign` twice with nothing in
//! between. Here every count, length and pointer from the module is checked before it is used: at most
//! [`MAX_OBJECTS`] handles, attributes of at most [`MAX_ATTRIBUTE`] bytes, no
//! `CK_UNAVAILABLE_INFORMATION` as a value, strings of fixed fields only.
//!
//! All memory handed to a module is owned by the calling function for the length of the call, is
//! declared with its true size or less, and is initialised. A module that writes beyond what it was
//! given is undefined behaviour that no caller can prevent; signatures get some slack against it.

#![allow(unsafe_code)]

mod values;

pub(super) use values::{Handle, LibraryInfo, SignCall, SignMechanism, Term, TokenFacts};

use super::fault::{Fault, Outage, Refusal, check};
use super::pin::Pin;
use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki_sys::*;
use std::ffi::CString;
use std::mem::size_of;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

/// Most objects, slots or mechanisms that are believed (governance X2).
pub const MAX_OBJECTS: usize = 10_000;
/// Largest attribute that is believed, in bytes (governance X2).
pub const MAX_ATTRIBUTE: usize = 64 * 1024;
/// Bytes behind a signature buffer that are ours but not declared.
const SLACK: usize = 4096;

/// A module's function table, copied; the library behind it stays loaded for ever.
#[derive(Clone)]
pub(super) struct Functions {
    list: CK_FUNCTION_LIST,
}

macro_rules! function {
    ($self:ident, $name:ident) => {
        $self
            .list
            .$name
            .ok_or_else(|| Fault::refusal(Refusal::Mechanism, concat!("the module lacks ", stringify!($name))))?
    };
}

impl Functions {
    /// Loads the library and takes its function table. The library is never unloaded.
    pub fn of_file(path: &Path) -> Result<Self, Fault> {
        // SAFETY: loading runs the library's constructors; the caller has checked that the operator
        // configured exactly this file and that strangers cannot write it.
        let library = unsafe { Pkcs11::new(path) }
            .map_err(|error| Fault::outage(Outage::Gone, format!("the module cannot be loaded: {error}")))?;
        // Leaked on purpose: function pointers are copied out, so the library must never be unloaded.
        let library: &'static Pkcs11 = Box::leak(Box::new(library));
        let Ok(get) = &library.C_GetFunctionList else {
            return Err(Fault::outage(Outage::Gone, "the module has no C_GetFunctionList"));
        };
        let mut list: *mut CK_FUNCTION_LIST = null_mut();
        // SAFETY: `list` is a valid place for one pointer during the call.
        check(Function::GetFunctionList, unsafe { get(&mut list) })?;
        // SAFETY: the pointer comes from that function, and the library is never unloaded.
        unsafe { Self::of_pointer(list) }
    }

    /// Takes the table behind a pointer.
    ///
    /// # Safety
    /// `C_GetFunctionList` gave the pointer, and its library stays loaded until the process ends.
    pub unsafe fn of_pointer(list: *mut CK_FUNCTION_LIST) -> Result<Self, Fault> {
        let bad = |what: &str| Err(Fault::answer(Function::GetFunctionList, what));
        let Some(list) = NonNull::new(list).filter(|list| list.is_aligned()) else {
            return bad("no function table");
        };
        // SAFETY: not null and aligned; PKCS#11 §5.2 has it point to a table that starts with a version.
        let version = unsafe { list.cast::<CK_VERSION>().read() };
        if !(2..=3).contains(&version.major) {
            return bad("neither PKCS#11 2 nor 3");
        }
        // SAFETY: as above; tables of versions 2 and 3 both begin with all members of CK_FUNCTION_LIST.
        Ok(Functions { list: unsafe { list.read() } })
    }

    /// `C_Initialize` with native locking and an optional reserved string.
    pub fn initialize(&self, context: &cryptoki::context::Pkcs11, reserved: Option<&str>) -> Result<(), Fault> {
        use cryptoki::context::{CInitializeArgs, CInitializeFlags};
        let flags = CInitializeFlags::OS_LOCKING_OK;
        let Some(text) = reserved else {
            return Ok(context.initialize(CInitializeArgs::new(flags))?);
        };
        let text = CString::new(text).map_err(|_| Fault::refusal(Refusal::Refused, "init_args holds a NUL byte"))?;
        // Leaked on purpose: some modules keep the pointer. Once per module and builtin token.
        let pointer = NonNull::from(Box::leak(text.into_boxed_c_str())).cast();
        // SAFETY: a NUL-terminated string that lives for ever, which is what the modules that read the
        // reserved pointer (NSS, kryoptic) expect.
        let arguments = unsafe { CInitializeArgs::new_with_reserved(flags, pointer) };
        Ok(context.initialize(arguments)?)
    }

    /// `C_GetInfo`.
    pub fn library(&self) -> Result<LibraryInfo, Fault> {
        let mut info = CK_INFO::default();
        let call = function!(self, C_GetInfo);
        // SAFETY: `info` is a valid CK_INFO during the call.
        check(Function::GetInfo, unsafe { call(&mut info) })?;
        Ok(LibraryInfo {
            manufacturer: field(&info.manufacturerID),
            description: field(&info.libraryDescription),
            version: (info.libraryVersion.major, info.libraryVersion.minor),
            interface: (info.cryptokiVersion.major, info.cryptokiVersion.minor),
        })
    }

    /// Slots with a token in them. Must come before any other slot function (YKCS11).
    pub fn slots(&self) -> Result<Vec<CK_SLOT_ID>, Fault> {
        let call = function!(self, C_GetSlotList);
        // SAFETY: either no buffer, or one that holds `count` slots during the call.
        counted(Function::GetSlotList, |buffer, count| unsafe { call(CK_TRUE, buffer, count) })
    }

    /// `C_GetTokenInfo`.
    pub fn token(&self, slot: CK_SLOT_ID) -> Result<TokenFacts, Fault> {
        let mut info = CK_TOKEN_INFO::default();
        let call = function!(self, C_GetTokenInfo);
        // SAFETY: `info` is a valid CK_TOKEN_INFO during the call.
        check(Function::GetTokenInfo, unsafe { call(slot, &mut info) })?;
        Ok(TokenFacts {
            label: field(&info.label),
            manufacturer: field(&info.manufacturerID),
            model: field(&info.model),
            serial: field(&info.serialNumber),
            flags: info.flags,
            firmware: (info.firmwareVersion.major, info.firmwareVersion.minor),
            hardware: (info.hardwareVersion.major, info.hardwareVersion.minor),
            pin_length: (info.ulMinPinLen, info.ulMaxPinLen),
            utc_time: field(&info.utcTime),
        })
    }

    /// All mechanism numbers, also those without a name.
    pub fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>, Fault> {
        let call = function!(self, C_GetMechanismList);
        // SAFETY: either no buffer, or one that holds `count` numbers during the call.
        counted(Function::GetMechanismList, |buffer, count| unsafe { call(slot, buffer, count) })
    }

    /// Smallest and largest key size, and flags, of a mechanism.
    pub fn mechanism(
        &self,
        slot: CK_SLOT_ID,
        mechanism: CK_MECHANISM_TYPE,
    ) -> Result<(CK_ULONG, CK_ULONG, CK_FLAGS), Fault> {
        let mut info = CK_MECHANISM_INFO::default();
        let call = function!(self, C_GetMechanismInfo);
        // SAFETY: `info` is a valid CK_MECHANISM_INFO during the call.
        check(Function::GetMechanismInfo, unsafe { call(slot, mechanism, &mut info) })?;
        Ok((info.ulMinKeySize, info.ulMaxKeySize, info.flags))
    }

    /// All objects that match, in the order the module gives them.
    ///
    /// # Errors
    /// `module_answer` for more than [`MAX_OBJECTS`], an impossible count, or a null handle.
    pub fn find(&self, session: CK_SESSION_HANDLE, terms: &[Term]) -> Result<Vec<Handle>, Fault> {
        let mut values: Vec<_> = terms.iter().map(Term::encoded).collect();
        let mut template: Vec<CK_ATTRIBUTE> = values
            .iter_mut()
            .map(|(kind, value)| CK_ATTRIBUTE {
                type_: *kind,
                pValue: value.as_mut_ptr().cast(),
                ulValueLen: value.len() as CK_ULONG,
            })
            .collect();
        let (init, last) = (function!(self, C_FindObjectsInit), function!(self, C_FindObjectsFinal));
        // SAFETY: the template points into `values`, which outlives the search and is as long as declared.
        check(Function::FindObjectsInit, unsafe { init(session, template.as_mut_ptr(), template.len() as CK_ULONG) })?;
        let found = self.find_all(session);
        // SAFETY: no pointers are passed.
        let ended = check(Function::FindObjectsFinal, unsafe { last(session) });
        let found = found?;
        ended?;
        Ok(found)
    }

    fn find_all(&self, session: CK_SESSION_HANDLE) -> Result<Vec<Handle>, Fault> {
        let next = function!(self, C_FindObjects);
        let mut found = Vec::new();
        let mut batch: [CK_OBJECT_HANDLE; 64] = [0; 64];
        loop {
            let mut count: CK_ULONG = 0;
            // SAFETY: `batch` holds as many handles as declared, during the call.
            check(Function::FindObjects, unsafe {
                next(session, batch.as_mut_ptr(), batch.len() as CK_ULONG, &mut count)
            })?;
            let handles = usize::try_from(count).ok().and_then(|count| batch.get(..count));
            let handles = handles.ok_or_else(|| {
                Fault::answer(Function::FindObjects, format_args!("{count} objects in room for {}", batch.len()))
            })?;
            if handles.is_empty() {
                return Ok(found);
            }
            for handle in handles {
                found.push(Handle::new(*handle).ok_or_else(|| Fault::answer(Function::FindObjects, "a null handle"))?);
            }
            if found.len() > MAX_OBJECTS {
                return Err(Fault::answer(Function::FindObjects, format_args!("more than {MAX_OBJECTS} objects")));
            }
        }
    }

    /// One attribute's value; `None` if the object has none or the token does not tell it.
    ///
    /// # Errors
    /// `module_answer` for a length beyond what was offered.
    pub fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: Handle,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Fault> {
        // NSS answers CKR_BUFFER_TOO_SMALL to a generous buffer, so the length is asked for first.
        let Some(room) = self.attribute_into(session, object, kind, None)? else { return Ok(None) };
        let mut value = vec![0_u8; room];
        let answer = self.attribute_into(session, object, kind, Some(&mut value));
        if answer.as_ref().is_err_and(|fault| fault.value() == Some(RvError::BufferTooSmall)) {
            return Err(Fault::answer(
                Function::GetAttributeValue,
                format_args!("attribute 0x{kind:x} changes its length"),
            ));
        }
        let Some(length) = answer? else { return Ok(None) };
        if length > room {
            return Err(Fault::answer(Function::GetAttributeValue, format_args!("{length} bytes in room for {room}")));
        }
        value.truncate(length);
        Ok(Some(value))
    }

    /// Asks for an attribute's length, or its value; gives the length, at most [`MAX_ATTRIBUTE`].
    fn attribute_into(
        &self,
        session: CK_SESSION_HANDLE,
        object: Handle,
        kind: CK_ATTRIBUTE_TYPE,
        buffer: Option<&mut [u8]>,
    ) -> Result<Option<usize>, Fault> {
        let (pointer, room) = match buffer {
            Some(buffer) => (buffer.as_mut_ptr().cast(), buffer.len()),
            None => (null_mut(), 0),
        };
        let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: pointer, ulValueLen: room as CK_ULONG };
        let call = function!(self, C_GetAttributeValue);
        // SAFETY: one attribute without a buffer, or with one as long as declared that lives during the call.
        let answer = check(Function::GetAttributeValue, unsafe { call(session, object.0, &mut attribute, 1) });
        if let Err(fault) = answer {
            let absent = [RvError::AttributeTypeInvalid, RvError::AttributeSensitive];
            return if fault.value().is_some_and(|value| absent.contains(&value)) { Ok(None) } else { Err(fault) };
        }
        if attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION {
            return Ok(None);
        }
        let length = usize::try_from(attribute.ulValueLen).ok().filter(|length| *length <= MAX_ATTRIBUTE);
        length.map(Some).ok_or_else(|| {
            let message = format!("attribute 0x{kind:x} of {} bytes", attribute.ulValueLen);
            Fault::answer(Function::GetAttributeValue, message)
        })
    }

    /// `C_CopyObject` into a session object.
    pub fn copy_to_session(&self, session: CK_SESSION_HANDLE, object: Handle) -> Result<Handle, Fault> {
        let mut no = CK_FALSE;
        let mut template = CK_ATTRIBUTE {
            type_: CKA_TOKEN,
            pValue: (&raw mut no).cast(),
            ulValueLen: size_of::<CK_BBOOL>() as CK_ULONG,
        };
        let mut copy: CK_OBJECT_HANDLE = 0;
        let call = function!(self, C_CopyObject);
        // SAFETY: one attribute pointing to one byte, and a place for one handle, all alive during the call.
        check(Function::CopyObject, unsafe { call(session, object.0, &mut template, 1, &mut copy) })?;
        Handle::new(copy).ok_or_else(|| Fault::answer(Function::CopyObject, "a null handle"))
    }

    /// `C_DestroyObject`.
    pub fn destroy(&self, session: CK_SESSION_HANDLE, object: Handle) -> Result<(), Fault> {
        let call = function!(self, C_DestroyObject);
        // SAFETY: no pointers are passed.
        check(Function::DestroyObject, unsafe { call(session, object.0) })
    }

    /// One signature: `C_SignInit`, the login if one is due, then `sending` and exactly one `C_Sign`,
    /// with a buffer sized from the key and no question for the length.
    ///
    /// `sending` is asked last, when nothing has had an effect yet; its error stops the call.
    ///
    /// # Errors
    /// Those of the calls; `module_answer` when the signature does not have its length. After an error
    /// from anything but `C_SignInit` the session has an operation pending and must be given up.
    pub fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        call: &SignCall<'_>,
        sending: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<Vec<u8>, Fault> {
        self.sign_init(session, call)?;
        if let Some(pin) = call.login {
            self.login_for_key(session, pin)?;
        }
        let sign = function!(self, C_Sign);
        let mut data = call.data.to_vec();
        let mut signature = vec![0_u8; call.size.saturating_add(SLACK)];
        let mut length = call.size as CK_ULONG;
        sending()?;
        // SAFETY: `data` and `signature` are at least as long as declared and live during the call.
        let answer =
            unsafe { sign(session, data.as_mut_ptr(), data.len() as CK_ULONG, signature.as_mut_ptr(), &mut length) };
        let answer = check(Function::Sign, answer);
        let answered = match &answer {
            Ok(()) => true,
            Err(fault) => fault.value() == Some(RvError::BufferTooSmall),
        };
        if answered && length != call.size as CK_ULONG {
            let message = format!("a signature of {length} bytes where the key makes {}", call.size);
            return Err(Fault::answer(Function::Sign, message));
        }
        answer?;
        signature.truncate(call.size);
        Ok(signature)
    }

    fn sign_init(&self, session: CK_SESSION_HANDLE, call: &SignCall<'_>) -> Result<(), Fault> {
        let mut pss = match call.mechanism {
            SignMechanism::RsaPss { hash, mgf, salt } => CK_RSA_PKCS_PSS_PARAMS { hashAlg: hash, mgf, sLen: salt },
            _ => CK_RSA_PKCS_PSS_PARAMS { hashAlg: 0, mgf: 0, sLen: 0 },
        };
        let bare = |mechanism| CK_MECHANISM { mechanism, pParameter: null_mut(), ulParameterLen: 0 };
        let mut mechanism = match call.mechanism {
            SignMechanism::RsaPkcs => bare(CKM_RSA_PKCS),
            SignMechanism::Ecdsa => bare(CKM_ECDSA),
            SignMechanism::Eddsa => bare(CKM_EDDSA),
            SignMechanism::RsaPss { .. } => CK_MECHANISM {
                mechanism: CKM_RSA_PKCS_PSS,
                pParameter: (&raw mut pss).cast(),
                ulParameterLen: size_of::<CK_RSA_PKCS_PSS_PARAMS>() as CK_ULONG,
            },
        };
        let init = function!(self, C_SignInit);
        // SAFETY: the mechanism and its parameter live during the call and have their declared sizes.
        check(Function::SignInit, unsafe { init(session, &mut mechanism, call.key.0) })
    }

    fn login_for_key(&self, session: CK_SESSION_HANDLE, pin: Option<&Pin>) -> Result<(), Fault> {
        let login = function!(self, C_Login);
        let (pointer, length) = match pin {
            Some(pin) => (pin.expose().as_ptr().cast_mut(), pin.expose().len()),
            None => (null_mut(), 0),
        };
        // SAFETY: the PIN lives during the call and has its declared length; modules only read it
        // (PKCS#11 declares input buffers without const).
        let answer = unsafe { login(session, CKU_CONTEXT_SPECIFIC, pointer, length as CK_ULONG) };
        match check(Function::Login, answer) {
            // NSS knows no such login and signs all the same; a token that means it refuses the C_Sign.
            Err(fault) if fault.value() == Some(RvError::UserAlreadyLoggedIn) => Ok(()),
            answer => answer,
        }
    }
}

/// A list that is asked for twice: its count, then its items; bounded, tried again when it grew meanwhile.
fn counted(function: Function, call: impl Fn(*mut CK_ULONG, *mut CK_ULONG) -> CK_RV) -> Result<Vec<CK_ULONG>, Fault> {
    for _ in 0..8 {
        let mut count: CK_ULONG = 0;
        check(function, call(null_mut(), &mut count))?;
        let room = bounded(function, count)?;
        let mut items: Vec<CK_ULONG> = vec![0; room];
        match check(function, call(items.as_mut_ptr(), &mut count)) {
            Err(fault) if fault.value() == Some(RvError::BufferTooSmall) => continue,
            answer => answer?,
        }
        if bounded(function, count)? > room {
            return Err(Fault::answer(function, format_args!("{count} items in room for {room}")));
        }
        items.truncate(bounded(function, count)?);
        return Ok(items);
    }
    Err(Fault::answer(function, "a list that keeps growing"))
}

fn bounded(function: Function, count: CK_ULONG) -> Result<usize, Fault> {
    let number = usize::try_from(count).ok().filter(|number| *number <= MAX_OBJECTS);
    number.ok_or_else(|| Fault::answer(function, format_args!("{count} items, more than {MAX_OBJECTS}")))
}

/// A blank-padded fixed field; some modules end it with NUL instead.
fn field(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim_end_matches(' ').to_owned()
}
