//! This process: its hardening, its interruption, and what killed ones left.

use crate::error::{Error, Result};
use crate::files::lock::ProcessLock;
use crate::files::pace::Pace;
use crate::files::sweep;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Removes what killed processes left in a workspace: locks, and files in the making. Only a courtesy, so what cannot
/// be removed stays.
pub fn tidy(dir: &Path) {
    let _ = ProcessLock::sweep(&dir.join("locks"));
    let _ = Pace::sweep(&dir.join("locks"));
    for folder in ["", "evidence", "published", "published/certs", "published/crl"] {
        let _ = sweep(&dir.join(folder));
    }
}

/// The one flag that becomes true when the operator interrupts; a second interruption ends the process at once.
///
/// # Errors
/// The operating system refuses.
pub fn interrupts() -> Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = Arc::new(AtomicBool::new(false));
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(FLAG.get_or_init(|| flag).clone())
}

/// A hash in groups of four, for reading aloud.
pub fn grouped(hash: &str) -> String {
    let groups: Vec<_> = hash.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(" ")
}

/// No core dumps, and no other process of this user looks into this one: a PIN must not get out that way. Files are private
/// unless said otherwise. Children that are other programs can be looked into again.
///
/// # Errors
/// The operating system refuses.
pub fn harden() -> Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let no_cores = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let hidden = no_cores.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    hidden.map_err(|error| {
        Error::failed("cannot_harden", "core dumps cannot be switched off").because(std::io::Error::from(error))
    })
}
