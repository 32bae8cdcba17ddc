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

pub(super) mod library;

use super::fault::{Fault, Refusal};
use super::module::Module;
use super::pin::Pin;
use crate::error::shown;
use crate::files::shown_path;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki_sys::{CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED};
use library::attach;
use std::path::Path;

pub use library::DATABASE;

/// Shortest PIN of a builtin token, in bytes: its key is derived from the PIN with little stretching.
pub const MIN_PIN: usize = 8;

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
    let slot = attach(&module.context, &module.functions, folder)?;
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
