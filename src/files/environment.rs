//! The process's environment: which variables modules and other programs get to see.
//!
//! Variables steer what is not in any file: the loader takes code from where they say, a PKCS#11 module its tokens. So
//! production refuses those of the loader ([`refuse_loader`]), and there a module sees of the others only what its
//! settings name ([`settle`]). What programs that are started see stands in [`crate::child`].

#![allow(unsafe_code)]

use crate::child::is_kept;
use crate::error::{Error, Result, shown};
use crate::model::Hash256;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

/// Where a pipeline says what it builds; evidence names it.
const PIPELINES: &[&str] = &["CI_", "GITHUB_", "GITLAB_CI"];

/// The largest file of a module's settings that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A variable that the loader of programs and libraries obeys (ld.so(8)).
pub fn is_loader(name: &str) -> bool {
    name.starts_with("LD_") || name == "GLIBC_TUNABLES"
}

/// The loader's variables of this process, by name. Code that was loaded by one may have removed it since, so what the
/// process was started with counts too.
pub fn loader_variables() -> &'static [String] {
    static FOUND: OnceLock<Vec<String>> = OnceLock::new();
    FOUND.get_or_init(find_loader_variables)
}

fn find_loader_variables() -> Vec<String> {
    let now = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let began = std::fs::read("/proc/self/environ").unwrap_or_default();
    let began = began.split(|byte| *byte == 0).filter_map(|entry| entry.split(|byte| *byte == b'=').next());
    let began = began.map(|name| String::from_utf8_lossy(name).into_owned());
    let names: BTreeSet<_> = now.chain(began).filter(|name| is_loader(name)).collect();
    names.into_iter().map(|name| shown(&name)).collect()
}

/// Refuses to go on where the loader was told to load other code.
///
/// # Errors
/// `loader_steered`.
pub fn refuse_loader() -> Result<()> {
    let Some(first) = loader_variables().first() else { return Ok(()) };
    let message = format!("{first} is set, and can put other code into this program; production takes none of it");
    Err(Error::blocked("loader_steered", message).hint(format!("unset {first}")))
}

/// A variable that a module is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is set to.
    pub value: String,
    /// What the file that it names has to hold, if it names one.
    pub sha256: Option<Hash256>,
}

/// Gives the modules that will be loaded the variables that their settings name, and no others.
/// `also` are names that this program itself reads later. To be called before any module is loaded.
///
/// # Errors
/// `untrusted_path`, or `environment_changed`: a file that a variable names is not the one that was adopted.
pub fn settle(wanted: &BTreeMap<String, Wanted>, also: &BTreeSet<String>) -> Result<()> {
    for (name, variable) in wanted {
        let Some(adopted) = variable.sha256 else { continue };
        let path = super::safe::trusted_path(Path::new(&variable.value))?;
        let found = Hash256::of(&super::safe::read_bounded(&path, MAX_FILE)?);
        if found != adopted {
            let message = format!("{name} names a file with SHA-256 {found}, adopted is {adopted}");
            return Err(Error::blocked("environment_changed", message).hint("keyctl adopt"));
        }
    }
    let ours = |name: &str| {
        is_kept(name)
            || is_loader(name)
            || name.starts_with("KEYCTL_")
            || also.contains(name)
            || PIPELINES.iter().any(|prefix| name.starts_with(prefix))
    };
    let strange = |name: &OsStr| name.to_str().is_none_or(|name| !ours(name) && !wanted.contains_key(name));
    for name in std::env::vars_os().map(|(name, _)| name).filter(|name| strange(name)) {
        // SAFETY: as below.
        unsafe { std::env::remove_var(name) };
    }
    for (name, variable) in wanted {
        if std::env::var_os(name).is_none_or(|value| value != *variable.value) {
            // SAFETY: no module is loaded yet and no session's thread runs. The one other thread that there can be hashes
            // this program's file, which reads no variable; what else reads them does so under the library's own lock.
            unsafe { std::env::set_var(name, &variable.value) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_the_loader_or_a_module_is_not_kept() {
        for name in ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GLIBC_TUNABLES"] {
            assert!(is_loader(name) && !is_kept(name), "{name}");
        }
        for name in ["SOFTHSM2_CONF", "OPENSSL_CONF", "OPENSSL_MODULES", "ChrystokiConfigurationPath", "GCONV_PATH"] {
            assert!(!is_loader(name) && !is_kept(name), "{name}");
        }
    }
}
