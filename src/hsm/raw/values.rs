//! What goes to a module and comes from it, as values that are safe to hold.

use crate::hsm::pin::Pin;
use cryptoki_sys::*;
use std::marker::PhantomData;

/// An object handle. It is neither `Send` nor `Sync`, so it cannot leave the worker whose session it is valid in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hsm) struct Handle(pub(super) CK_OBJECT_HANDLE, PhantomData<*const ()>);

impl Handle {
    /// A handle that the module returned; zero is no handle (PKCS#11 §3.4).
    pub fn new(handle: CK_OBJECT_HANDLE) -> Option<Self> {
        (handle != 0).then_some(Handle(handle, PhantomData))
    }
}

/// One attribute of a search template.
#[derive(Clone, Debug)]
pub(in crate::hsm) enum Term {
    Bool(CK_ATTRIBUTE_TYPE, bool),
    Number(CK_ATTRIBUTE_TYPE, CK_ULONG),
    Bytes(CK_ATTRIBUTE_TYPE, Vec<u8>),
}

impl Term {
    /// The type and the value in the byte form the module reads.
    pub(super) fn encoded(&self) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
        match self {
            Term::Bool(kind, value) => (*kind, vec![u8::from(*value)]),
            Term::Number(kind, value) => (*kind, value.to_ne_bytes().to_vec()),
            Term::Bytes(kind, value) => (*kind, value.clone()),
        }
    }
}

/// What `C_GetInfo` says of the library; strings as they came, cut and decoded but not escaped.
#[derive(Clone, Debug)]
pub(in crate::hsm) struct LibraryInfo {
    pub manufacturer: String,
    pub description: String,
    pub version: (u8, u8),
    pub interface: (u8, u8),
}

/// What `C_GetTokenInfo` says; strings as they came, decoded but not escaped.
#[derive(Clone, Debug)]
pub(in crate::hsm) struct TokenFacts {
    pub label: String,
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    pub flags: CK_FLAGS,
    pub firmware: (u8, u8),
    pub hardware: (u8, u8),
    pub pin_length: (u64, u64),
    /// `utcTime`, whatever the flags say of it.
    pub utc_time: String,
}

/// How a signature is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::hsm) enum SignMechanism {
    RsaPkcs,
    RsaPss { hash: CK_MECHANISM_TYPE, mgf: CK_RSA_PKCS_MGF_TYPE, salt: CK_ULONG },
    Ecdsa,
    Eddsa,
}

/// One signature to make.
pub(in crate::hsm) struct SignCall<'a> {
    pub mechanism: SignMechanism,
    pub key: Handle,
    pub data: &'a [u8],
    /// Length of the signature, known from the key.
    pub size: usize,
    /// For `CKA_ALWAYS_AUTHENTICATE`: log in between; the inner `None` means the token asks by itself.
    pub login: Option<Option<&'a Pin>>,
}
