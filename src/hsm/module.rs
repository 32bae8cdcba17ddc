//! PKCS#11 modules: which file, whether it may be trusted, and one `C_Initialize` per process.
//!
//! A module is named by its absolute path, or is the builtin one. Before it is loaded, its file must be
//! regular, closed to writing by others with every folder above it, and match the pinned SHA-256 if there is one; once
//! it is loaded, the file must still be the one that was hashed. The libraries that it brings are hashed where it is
//! recorded, and in production each time. Modules stay
//! loaded and initialised until the process ends: several of them crash when they are finalised while
//! other threads live, and C_Finalize would end the sessions of every other token in the module.
//!
//! Some modules are steered by environment variables; those are recorded as names and value hashes.

use super::builtin::library;
use super::deadline::within;
use super::fault::{Fault, Refusal};
use super::raw::{Functions, LibraryInfo};
use super::software;
use crate::error::shown;
use crate::files::{environment, shown_path};
use crate::keys::{Library, ModuleFacts, SteeringVariable};
use crate::model::Hash256;
use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;
use cryptoki_sys::CK_SLOT_ID;
use file::{Examined, examine};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

mod file;
mod mapped;

/// Where a token's module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSpec {
    /// The token inside the binary, whose database is in this folder.
    Builtin {
        /// The token's folder.
        folder: PathBuf,
    },
    /// A shared library.
    File {
        /// Absolute path.
        path: PathBuf,
        /// The only content that may be loaded.
        sha256: Option<Hash256>,
        /// The reserved string of `C_Initialize`, for modules like NSS that are configured by it. It holds for
        /// the process: the first token of a module decides.
        init_args: Option<String>,
    },
}

impl ModuleSpec {
    /// A library without pin or arguments.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        ModuleSpec::File { path: path.into(), sha256: None, init_args: None }
    }
}

/// What is known of a module's file and library. Strings are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    /// Canonical path; `None` for the builtin module.
    pub path: Option<PathBuf>,
    /// SHA-256 of the file; `None` for the builtin module.
    pub sha256: Option<Hash256>,
    /// `CK_INFO.manufacturerID`.
    pub manufacturer: String,
    /// `CK_INFO.libraryDescription`.
    pub description: String,
    /// `CK_INFO.libraryVersion`.
    pub version: String,
    /// `CK_INFO.cryptokiVersion`.
    pub interface: String,
    /// Variables that may steer it, sorted by name.
    pub environment: Vec<SteeringVariable>,
    /// Libraries that were mapped beside it, where they were hashed.
    pub libraries: Vec<Library>,
}

impl ModuleInfo {
    /// What the ledger keeps of it.
    pub fn facts(&self) -> ModuleFacts {
        ModuleFacts {
            path: self.path.as_deref().map(shown_path),
            sha256: self.sha256,
            manufacturer: self.manufacturer.clone(),
            description: self.description.clone(),
            version: self.version.clone(),
            environment: self.environment.clone(),
            libraries: self.libraries.clone(),
        }
    }
}

/// A loaded and (unless builtin) initialised module.
pub(super) struct Module {
    pub context: Pkcs11,
    pub functions: Functions,
    pub info: ModuleInfo,
    /// What was mapped when it was up, but for itself and this program's own.
    mapped: Vec<PathBuf>,
    libraries: OnceLock<Result<Vec<Library>, Fault>>,
}

/// One entry per canonical path, each behind its own lock, so that a module that hangs while it starts
/// holds up its own users only.
type Place = Arc<Mutex<Option<Arc<Module>>>>;
static MODULES: Mutex<BTreeMap<Option<PathBuf>, Place>> = Mutex::new(BTreeMap::new());

impl Module {
    /// The module a token needs, and the token's slot if the module alone decides it. A module that is not the
    /// recorded one is not loaded.
    pub fn open(spec: &ModuleSpec, recorded: Option<&ModuleFacts>) -> Result<(Arc<Module>, Option<CK_SLOT_ID>), Fault> {
        match spec {
            ModuleSpec::Builtin { folder } => {
                compare(recorded, None, None)?;
                let module = Module::builtin()?;
                let slot = library::attach(&module.context, &module.functions, folder)?;
                Ok((module, Some(slot)))
            }
            ModuleSpec::File { path, sha256, init_args } => {
                let file = examine(path)?;
                compare(recorded, Some(&file.path), Some(file.sha256))?;
                Ok((Module::library(file, *sha256, init_args.as_deref())?, None))
            }
        }
    }

    /// [`Module::open`] with a deadline, since loading and `C_Initialize` may hang as well.
    pub fn open_within(
        timeout: Duration,
        spec: &ModuleSpec,
        recorded: Option<&ModuleFacts>,
    ) -> Result<(Arc<Module>, Option<CK_SLOT_ID>), Fault> {
        let (spec, recorded) = (spec.clone(), recorded.cloned());
        within(timeout, "C_Initialize", move || Module::open(&spec, recorded.as_ref()))
    }

    /// The module inside this program; its databases are added one by one.
    pub fn builtin() -> Result<Arc<Module>, Fault> {
        once(None, || {
            let (context, functions) = library::load()?;
            let said = LibraryInfo {
                manufacturer: "kryoptic".into(),
                description: "builtin software token".into(),
                version: (1, 5),
                interface: (3, 2),
            };
            Ok(Module::new(context, functions, info(None, None, &said), Vec::new()))
        })
    }

    fn new(context: Pkcs11, functions: Functions, info: ModuleInfo, mapped: Vec<PathBuf>) -> Self {
        Module { context, functions, info, mapped, libraries: OnceLock::new() }
    }

    fn library(file: Examined, pinned: Option<Hash256>, init_args: Option<&str>) -> Result<Arc<Module>, Fault> {
        let (path, actual) = (&file.path, file.sha256);
        if let Some(pinned) = pinned.filter(|pinned| *pinned != actual) {
            let message = format!("the module {} has SHA-256 {actual}, not the pinned {pinned}", shown_path(path));
            return Err(Fault::refusal(Refusal::ModuleChanged, message));
        }
        let module = once(Some(path.clone()), || {
            mapped::own();
            let functions = Functions::of_file(path)?;
            let context = Pkcs11::new(path)?;
            match functions.initialize(&context, init_args) {
                Ok(()) => {}
                // Another part of the process uses the library; its sessions and ours do not meet.
                Err(fault) if fault.value() == Some(RvError::CryptokiAlreadyInitialized) => {}
                Err(fault) => return Err(fault),
            }
            let library = functions.library()?;
            file.unchanged()?;
            let mapped = mapped::added()?.into_iter().filter(|other| other != path).collect();
            Ok(Module::new(context, functions, info(Some(path.clone()), Some(actual), &library), mapped))
        })?;
        if module.info.sha256 != Some(actual) {
            let message = format!("the module {} changed on disk after it was loaded", shown_path(path));
            return Err(Fault::refusal(Refusal::ModuleChanged, message));
        }
        Ok(module)
    }

    /// The libraries that were mapped beside it, hashed once in a process.
    ///
    /// # Errors
    /// `module_untrusted`, `module_changed`: one of them can be written by others, or was replaced.
    pub fn libraries(&self) -> Result<Vec<Library>, Fault> {
        let hashed = self.libraries.get_or_init(|| {
            let hash = |path: &PathBuf| {
                let file = examine(path)?;
                Ok(Library { path: shown_path(&file.path), sha256: file.sha256 })
            };
            self.mapped.iter().map(hash).collect()
        });
        hashed.clone()
    }

    /// What software token it is, or brings with it, if that is known by its files.
    pub fn software(&self) -> Option<&'static str> {
        let libraries = self.libraries().unwrap_or_default();
        let beside = self.mapped.iter().zip(libraries).map(|(path, library)| (path.clone(), library.sha256));
        let own = self.info.path.clone().zip(self.info.sha256);
        own.into_iter().chain(beside).find_map(|(path, sha256)| software::by_file(&path, sha256))
    }
}

/// Holds a module's file against what was recorded; nothing is compared where nothing was.
fn compare(recorded: Option<&ModuleFacts>, path: Option<&Path>, sha256: Option<Hash256>) -> Result<(), Fault> {
    let Some(recorded) = recorded else { return Ok(()) };
    let called = |path: Option<&str>| path.map_or("the builtin module".to_owned(), |path| format!("the module {path}"));
    let found = path.map(shown_path);
    let message = if recorded.path != found {
        format!("{} is configured, recorded is {}", called(found.as_deref()), called(recorded.path.as_deref()))
    } else if recorded.sha256 != sha256 {
        let hash = |hash: Option<Hash256>| hash.map(|hash| hash.to_string()).unwrap_or_default();
        let (now, then) = (hash(sha256), hash(recorded.sha256));
        format!("{} has SHA-256 {now}, recorded is {then}", called(found.as_deref()))
    } else {
        return Ok(());
    };
    Err(Fault::refusal(Refusal::ModuleChanged, message))
}

/// Loads a module once per process.
fn once(key: Option<PathBuf>, load: impl FnOnce() -> Result<Module, Fault>) -> Result<Arc<Module>, Fault> {
    let place = {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(modules.entry(key).or_default())
    };
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = place.as_ref() {
        return Ok(Arc::clone(module));
    }
    let module = Arc::new(load()?);
    *place = Some(Arc::clone(&module));
    Ok(module)
}

fn info(path: Option<PathBuf>, sha256: Option<Hash256>, library: &LibraryInfo) -> ModuleInfo {
    let version = |(major, minor): (u8, u8)| format!("{major}.{minor}");
    ModuleInfo {
        path,
        sha256,
        libraries: Vec::new(),
        manufacturer: shown(&library.manufacturer),
        description: shown(&library.description),
        version: version(library.version),
        interface: version(library.interface),
        environment: steering_variables(std::env::vars_os()),
    }
}

/// The variables that are known to steer modules or the loader.
fn steering_variables(all: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Vec<SteeringVariable> {
    let steers = |name: &str| {
        environment::is_loader(name)
            || matches!(name, "OPENSSL_CONF" | "OPENSSL_MODULES" | "OPENSSL_ENGINES" | "ChrystokiConfigurationPath")
            || ["KRYOPTIC_", "NFAST_", "CKNFAST_", "NSS_"].iter().any(|prefix| name.starts_with(prefix))
            || name.contains("PKCS11")
            || (name.contains("HSM") && name.contains("CONF"))
    };
    let mut found: Vec<_> = all
        .filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| steers(name))?;
            let value_sha256 = Hash256::of(std::os::unix::ffi::OsStrExt::as_bytes(value.as_os_str()));
            Some(SteeringVariable { name: shown(name), value_sha256 })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_module_is_compared_before_it_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.so");
        std::fs::write(&path, b"not a library").unwrap();
        let spec =
            |pin: &[u8]| ModuleSpec::File { path: path.clone(), sha256: Some(Hash256::of(pin)), init_args: None };
        let error = |spec| crate::error::Error::from(Module::open(&spec, None).err().unwrap());
        let changed = error(spec(b"another library"));
        assert_eq!((changed.code(), changed.kind()), ("module_changed", crate::error::Kind::Blocked));
        assert_eq!(error(spec(b"not a library")).code(), "token_gone");
    }

    #[test]
    fn a_module_that_is_not_the_recorded_one_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("module.so");
        std::fs::write(&path, b"not a library").unwrap();
        let recorded = |path: Option<&Path>, content: &[u8]| ModuleFacts {
            path: path.map(shown_path),
            sha256: path.map(|_| Hash256::of(content)),
            manufacturer: String::new(),
            description: String::new(),
            version: String::new(),
            environment: Vec::new(),
            libraries: Vec::new(),
        };
        let code =
            |recorded: &ModuleFacts| Module::open(&ModuleSpec::file(&path), Some(recorded)).err().unwrap().code();
        assert_eq!(code(&recorded(Some(&path), b"not a library")), "token_gone", "it came as far as being loaded");
        for other in [
            recorded(Some(&path), b"another"),
            recorded(Some(Path::new("/other.so")), b"not a library"),
            recorded(None, b""),
        ] {
            assert_eq!(code(&other), "module_changed");
        }
        let builtin = ModuleSpec::Builtin { folder: dir.path().into() };
        let error = Module::open(&builtin, Some(&recorded(Some(&path), b"x"))).err().unwrap();
        assert_eq!(error.code(), "module_changed");
    }

    #[test]
    fn steering_variables_are_recorded_without_their_values() {
        let all = [("SOFTHSM2_CONF", "a"), ("HOME", "b"), ("PKCS11_PROXY_SOCKET", "c"), ("YUBIHSM_PKCS11_CONF", "d")];
        let found = steering_variables(all.into_iter().map(|(name, value)| (name.into(), value.into())));
        let names: Vec<_> = found.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["PKCS11_PROXY_SOCKET", "SOFTHSM2_CONF", "YUBIHSM_PKCS11_CONF"]);
        assert_eq!(found.first().unwrap().value_sha256, Hash256::of(b"c"));
    }
}
