//! kryoptic as a PKCS#11 module: the three exported names, and the databases that it is given.

#![allow(unsafe_code)]

use crate::error::shown;
use crate::files::shown_path;
use crate::hsm::fault::{Fault, Outage, Refusal, check};
use crate::hsm::raw::Functions;
use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;
use cryptoki_sys::{CK_FLAGS, CK_RV, CK_SLOT_ID};
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
pub(in crate::hsm) fn load() -> Result<(Pkcs11, Functions), Fault> {
    // Named here so that the linker keeps the exports of a library crate in every program that opens tokens.
    std::hint::black_box((
        C_GetFunctionList as *const () as usize,
        C_GetInterfaceList as *const () as usize,
        C_GetInterface as *const () as usize,
    ));
    let context = Pkcs11::new_from_self()?;
    let mut list = std::ptr::null_mut();
    check(cryptoki::context::Function::GetFunctionList, fn_get_function_list(&raw mut list))?;
    // SAFETY: the pointer comes from kryoptic's C_GetFunctionList, which is part of this program; its
    // table has the layout that PKCS#11 fixes, under another crate's name.
    Ok((context, unsafe { Functions::of_pointer(list.cast())? }))
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

/// Gives the database in `folder` to kryoptic, once, and returns its slot.
pub(in crate::hsm) fn attach(context: &Pkcs11, functions: &Functions, folder: &Path) -> Result<CK_SLOT_ID, Fault> {
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
    match functions.initialize(context, Some(&path)) {
        Ok(()) => {}
        Err(fault) if fault.value() == Some(RvError::CryptokiAlreadyInitialized) => {}
        Err(fault) => return Err(fault),
    }
    // kryoptic numbers paths in the order it learns of them, so the newest has the largest number. One that
    // was refused earlier may have come up only now, by the new route; it is never used.
    let newest = functions.slots()?.into_iter().max();
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
