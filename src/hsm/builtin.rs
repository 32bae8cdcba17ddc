//! The token inside the binary: kryoptic behind the same PKCS#11 interface as any module.
//!
//! The three exported functions let `dlsym` on the program itself find a PKCS#11 module, so that the
//! builtin token takes the same road as a vendor's library.
//!
//! A builtin token is a folder (mode 0700, ours) with one SQLite database, [`DATABASE`]. kryoptic learns
//! of databases through the reserved string of `C_Initialize`, which may be called again to add one more.
//! Two of its habits have to be worked around:
//!
//! - A missing file silently becomes an empty token, and an unreadable one makes this and every later
//!   `C_Initialize` fail, because all databases are opened anew each time. So each is probed first.
//! - The path is remembered for ever. A folder that is gone later (a sandbox thrown away), or a database that
//!   kryoptic refuses, would stop every further token. So the path given to kryoptic goes through a
//!   descriptor of the folder, `/proc/self/fd/N`, and before the next token is added, the descriptors of all
//!   earlier ones are pointed at its folder: kryoptic opens that instead, finds that it has these slots
//!   already, and drops what it opened. Open slots keep the files they have.
//!
//! It is a software token: whoever can read the folder and knows the PIN has the keys, the PIN is
//! stretched by only 1000 rounds, and the public attributes in the database are not authenticated.

#![allow(unsafe_code)]

use super::fault::{Fault, Outage, Refusal};
use super::module::Module;
use super::pin::Pin;
use crate::error::shown;
use crate::files::shown_path;
use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki_sys::{CK_FLAGS, CK_RV, CK_SLOT_ID, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED};
use kryoptic_lib::fns::general::{fn_get_function_list, fn_get_interface, fn_get_interface_list};
use kryoptic_lib::pkcs11::{
    CK_FUNCTION_LIST_PTR_PTR, CK_INTERFACE_PTR, CK_INTERFACE_PTR_PTR, CK_ULONG_PTR, CK_UTF8CHAR_PTR, CK_VERSION_PTR,
};
use rusqlite::{Connection, OpenFlags};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::DupFlags;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The database's name in the token's folder.
pub const DATABASE: &str = "token.sql";
/// Shortest PIN of a builtin token, in bytes: its key is derived from the PIN with little stretching.
pub const MIN_PIN: usize = 8;

/// PKCS#11 entry point of the builtin token.
/// As PKCS#11 §5.2 says, `list` points to a place for one pointer.
#[unsafe(no_mangle)]
pub extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    fn_get_function_list(list)
}

/// PKCS#11 3.0 entry point of the builtin token.
/// As PKCS#11 §5.2 says, `count` is valid, and `list` null or as long as `count`.
#[unsafe(no_mangle)]
pub extern "C" fn C_GetInterfaceList(list: CK_INTERFACE_PTR, count: CK_ULONG_PTR) -> CK_RV {
    fn_get_interface_list(list, count)
}

/// PKCS#11 3.0 entry point of the builtin token.
/// As PKCS#11 §5.2 says, `interface` points to a place for one pointer; the rest is null or valid.
#[unsafe(no_mangle)]
pub extern "C" fn C_GetInterface(
    name: CK_UTF8CHAR_PTR,
    version: CK_VERSION_PTR,
    interface: CK_INTERFACE_PTR_PTR,
    flags: CK_FLAGS,
) -> CK_RV {
    fn_get_interface(name, version, interface, flags)
}

/// cryptoki's context and our function table, both of the module inside this program.
pub(super) fn load() -> Result<(Pkcs11, super::raw::Functions), Fault> {
    // Named here so that the linker keeps the exports of a library crate in every program that opens tokens.
    std::hint::black_box((
        C_GetFunctionList as *const () as usize,
        C_GetInterfaceList as *const () as usize,
        C_GetInterface as *const () as usize,
    ));
    let context = Pkcs11::new_from_self()?;
    let mut list = std::ptr::null_mut();
    super::fault::check(cryptoki::context::Function::GetFunctionList, fn_get_function_list(&raw mut list))?;
    // SAFETY: the pointer comes from kryoptic's C_GetFunctionList, which is part of this program; its
    // table has the layout that PKCS#11 fixes, under another crate's name.
    Ok((context, unsafe { super::raw::Functions::of_pointer(list.cast())? }))
}

/// A database that kryoptic knows.
struct Known {
    /// The descriptor that kryoptic's path goes through.
    route: OwnedFd,
    /// Keeps the folder's inode number from being given to another folder.
    _held: OwnedFd,
    identity: Identity,
    /// `None` if kryoptic refused it.
    slot: Option<CK_SLOT_ID>,
}

/// Device and inode of the folder, then of the database.
type Identity = [u64; 4];

/// All databases that were handed to kryoptic in this process.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Makes a token: folder, database, label, security officer's PIN and user PIN.
///
/// An interrupted creation is completed by the same call; a finished token is never touched.
///
/// # Errors
/// `token_exists` as a refusal when it is complete, `no_pin` for PINs under [`MIN_PIN`] bytes, and what the library says.
pub fn create(folder: &Path, label: &str, so_pin: &Pin, user_pin: &Pin) -> Result<(), Fault> {
    if label.is_empty() || label.len() > 32 || label != shown(label) || label.trim() != label {
        return Err(Fault::refusal(Refusal::Refused, "a token label has 1 to 32 bytes of visible text"));
    }
    if so_pin.expose().len() < MIN_PIN || user_pin.expose().len() < MIN_PIN {
        return Err(Fault::refusal(Refusal::NoPin, format!("the PIN of a builtin token has at least {MIN_PIN} bytes")));
    }
    make_files(folder)?;
    let module = Module::builtin()?;
    let slot = attach(&module, folder)?;
    let flags = module.functions.token(slot)?.flags;
    if flags & CKF_TOKEN_INITIALIZED != 0 && flags & CKF_USER_PIN_INITIALIZED != 0 {
        return Err(Fault::refusal(
            Refusal::TokenExists,
            format!("there is a token in {} already", shown_path(folder)),
        ));
    }
    let place = Slot::try_from(slot)?;
    if flags & CKF_TOKEN_INITIALIZED == 0 {
        module.context.init_token(place, so_pin.secret(), label)?;
    }
    let session = module.context.open_rw_session(place)?;
    session.login(UserType::So, Some(so_pin.secret()))?;
    session.init_pin(user_pin.secret())?;
    session.logout()?;
    Ok(session.close()?)
}

/// Makes the folder and an empty database with narrow modes; a wider umask would give 0644.
fn make_files(folder: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let failed = |what: &str, error: std::io::Error| {
        Fault::refusal(Refusal::Untrusted, format!("{what} {} cannot be made: {error}", shown_path(folder)))
    };
    if !folder.exists() {
        let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder);
        made.map_err(|error| failed("the token folder", error))?;
    }
    let database = folder.join(DATABASE);
    if database.symlink_metadata().is_ok() {
        return Ok(());
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&database);
    made.map(drop).map_err(|error| failed("the token database in", error))
}

/// Gives the database in `folder` to kryoptic, once, and returns its slot.
pub(super) fn attach(module: &Module, folder: &Path) -> Result<CK_SLOT_ID, Fault> {
    let (held, place) = open_folder(folder)?;
    let database = probe(&held, folder)?;
    let identity = [place.0, place.1, database.0, database.1];
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = known.iter().find(|entry| entry.identity == identity).and_then(|entry| entry.slot) {
        return Ok(slot);
    }
    let scarce = |error: std::io::Error| Fault::outage(Outage::Gone, format!("descriptors ran out: {error}"));
    for entry in known.iter_mut() {
        rustix::io::dup3(&held, &mut entry.route, DupFlags::CLOEXEC).map_err(|error| scarce(error.into()))?;
    }
    let route = held.try_clone().map_err(scarce)?;
    let path = format!("/proc/self/fd/{}/{DATABASE}", route.as_raw_fd());
    // From here on the path may be in kryoptic's list for ever, so the descriptor must stay.
    known.push(Known { route, _held: held, identity, slot: None });
    match module.functions.initialize(&module.context, Some(&path)) {
        Ok(()) => {}
        Err(fault) if fault.value() == Some(RvError::CryptokiAlreadyInitialized) => {}
        Err(fault) => return Err(fault),
    }
    // kryoptic numbers paths in the order it learns of them, so the newest has the largest number. One that
    // was refused earlier may have come up only now, by the new route; it is never used.
    let newest = module.functions.slots()?.into_iter().max();
    let taken = |slot: &CK_SLOT_ID| known.iter().any(|entry| entry.slot == Some(*slot));
    let slot = newest.filter(|slot| !taken(slot));
    let slot = slot.ok_or_else(|| Fault::outage(Outage::Gone, "the builtin token has no slot"))?;
    if let Some(entry) = known.last_mut() {
        entry.slot = Some(slot);
    }
    Ok(slot)
}

fn open_folder(folder: &Path) -> Result<(OwnedFd, (u64, u64)), Fault> {
    let untrusted =
        |why: &str| Fault::refusal(Refusal::Untrusted, format!("the token folder {} {why}", shown_path(folder)));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::open(folder, flags, Mode::empty()).map_err(|error| {
        Fault::outage(Outage::Gone, format!("the token folder {} cannot be opened: {error}", shown_path(folder)))
    })?;
    let facts = rustix::fs::fstat(&handle).map_err(|_| untrusted("cannot be examined"))?;
    if facts.st_uid != rustix::process::geteuid().as_raw() {
        return Err(untrusted("belongs to somebody else"));
    }
    if facts.st_mode & 0o077 != 0 {
        return Err(untrusted("must have mode 0700"));
    }
    Ok((handle, (facts.st_dev, facts.st_ino)))
}

/// Refuses what kryoptic must not be given: a missing, foreign, shared or damaged database.
/// Gives its device and inode.
fn probe(handle: &OwnedFd, folder: &Path) -> Result<(u64, u64), Fault> {
    let name = shown_path(folder);
    let facts: Stat = rustix::fs::statat(handle, DATABASE, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|_| Fault::refusal(Refusal::Uninitialized, format!("there is no {DATABASE} in {name}")))?;
    let ours = facts.st_uid == rustix::process::geteuid().as_raw() && facts.st_mode & 0o077 == 0;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile || !ours {
        let message = format!("{DATABASE} in {name} must be a regular file of this user with mode 0600");
        return Err(Fault::refusal(Refusal::Untrusted, message));
    }
    let damaged = |error: &dyn std::fmt::Display| {
        Fault::outage(Outage::Device, format!("{DATABASE} in {name} is damaged: {}", shown(&error.to_string())))
    };
    let connection = connection(handle).map_err(|error| damaged(&error))?;
    let verdict: Result<String, _> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match verdict.map_err(|error| damaged(&error))?.as_str() {
        "ok" => Ok((facts.st_dev, facts.st_ino)),
        other => Err(damaged(&other)),
    }
}

/// Opens the database and reads its schema. It is opened for writing, though nothing is written, since SQLite must be
/// able to roll back what a killed process left half done.
///
/// Only ever through SQLite: opening and closing the file by other means would drop SQLite's locks on it.
fn connection(folder: &OwnedFd) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("/proc/self/fd/{}/{DATABASE}", folder.as_raw_fd()), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}
