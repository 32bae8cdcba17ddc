//! PINs and where they come from (governance X5).
//!
//! A [`Pin`] cannot be printed, compared or serialised, and is wiped when dropped. A [`PinSource`] names
//! one place, or a list of which the first that is *present* is used; a wrong PIN never moves on to the
//! next. In `keyctl.toml`:
//!
//! ```toml
//! pin = { env = "KEYCTL_PIN" }            # or
//! pin = { file = "/run/secrets/pin" }     # regular, ours, mode 0600 or 0400
//! pin = { fd = 3 }                        # read once, to its end
//! pin = { command = ["pass", "hsm"] }     # a string goes through `sh -c`
//! pin = { prompt = true }
//! pin = [{ env = "KEYCTL_PIN" }, { prompt = true }]
//! pin = "none"                            # no login, or the token asks by its own keypad
//! ```
//!
//! One trailing newline is cut from files, descriptors and commands. A command is only ever *executed*
//! (spawn, no code of ours in the child) and before this token is logged in, since PKCS#11 sessions
//! must not be carried over a fork.

use super::fault::{Fault, Refusal};
use crate::child;
use crate::error::shown;
use crate::files::shown_path;
use secrecy::{ExposeSecret, SecretString};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Longest PIN, in bytes.
pub const MAX_PIN: usize = 256;

/// A PIN: wiped on drop, never shown.
#[derive(Clone)]
pub struct Pin(Arc<SecretString>);

impl Pin {
    /// Takes a PIN.
    ///
    /// # Errors
    /// `no_pin` when it is empty, longer than [`MAX_PIN`] bytes or holds a NUL or line break.
    pub fn new(text: String) -> Result<Self, Fault> {
        let text = Zeroizing::new(text);
        if text.is_empty() || text.len() > MAX_PIN || text.contains(['\0', '\n', '\r']) {
            return Err(no_pin(format!("a PIN has 1 to {MAX_PIN} bytes in one line")));
        }
        Ok(Pin(Arc::new(SecretString::from(text.as_str()))))
    }

    /// Whether another is the same. It takes as long whatever they are.
    pub(in crate::hsm) fn is_same_as(&self, other: &Pin) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && openssl::memcmp::eq(a, b)
    }

    /// The bytes, for the call to the module only.
    pub(in crate::hsm) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The form cryptoki takes.
    pub(in crate::hsm) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// Where a PIN comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PinSource {
    /// No PIN: tokens without login, or with a keypad of their own.
    #[default]
    None,
    /// An environment variable.
    Env(String),
    /// A regular file of ours with mode 0600 or 0400.
    File(PathBuf),
    /// An inherited file descriptor.
    Fd(u32),
    /// A program and its arguments.
    Command(Vec<String>),
    /// Asked for on the terminal.
    Prompt,
    /// The first that is present.
    FirstOf(Vec<PinSource>),
}

impl PinSource {
    /// Fetches the PIN; `None` only for [`PinSource::None`]. `token` is named in the prompt.
    ///
    /// # Errors
    /// `no_pin` when the source is absent, unreadable, open to others, or no PIN.
    pub fn resolve(&self, token: &str) -> Result<Option<Pin>, Fault> {
        match self {
            PinSource::None => Ok(None),
            PinSource::Env(name) => from_env(name).map(Some),
            PinSource::File(path) => from_file(path).map(Some),
            PinSource::Fd(number) => from_fd(*number).map(Some),
            PinSource::Command(line) => from_command(line).map(Some),
            PinSource::Prompt => from_prompt(token).map(Some),
            PinSource::FirstOf(sources) => match sources.iter().find(|source| source.is_present()) {
                Some(source) => source.resolve(token),
                None => Err(no_pin("none of the configured PIN sources is present")),
            },
        }
    }

    /// Whether the source exists, without reading it.
    pub fn is_present(&self) -> bool {
        match self {
            PinSource::None | PinSource::Command(_) => true,
            PinSource::Env(name) => std::env::var_os(name).is_some(),
            PinSource::File(path) => path.exists(),
            PinSource::Fd(number) => Path::new(&format!("/proc/self/fd/{number}")).exists(),
            PinSource::Prompt => std::io::stdin().is_terminal(),
            PinSource::FirstOf(sources) => sources.iter().any(PinSource::is_present),
        }
    }
}

fn no_pin(message: impl Into<String>) -> Fault {
    Fault::refusal(Refusal::NoPin, message)
}

fn from_env(name: &str) -> Result<Pin, Fault> {
    match std::env::var(name) {
        Ok(value) => Pin::new(value),
        Err(_) => Err(no_pin(format!("the environment variable {} is not set to text", shown(name)))),
    }
}

fn from_file(path: &Path) -> Result<Pin, Fault> {
    let name = shown_path(path);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| no_pin(format!("the PIN file {name} cannot be opened: {error}")))?;
    let facts = file.metadata().map_err(|error| no_pin(format!("the PIN file {name} cannot be examined: {error}")))?;
    let owner_only = facts.mode() & 0o7177 == 0 && facts.uid() == rustix::process::geteuid().as_raw();
    if !facts.is_file() || !owner_only {
        return Err(no_pin(format!("the PIN file {name} must be a regular file of this user with mode 0600 or 0400")));
    }
    read_pin(file, &format!("the PIN file {name}"))
}

/// Descriptors whose PIN was taken; what they gave cannot be read again.
static TAKEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn from_fd(number: u32) -> Result<Pin, Fault> {
    if !TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(number) {
        return Err(no_pin(format!("the PIN at descriptor {number} was read before")));
    }
    let file = File::open(format!("/proc/self/fd/{number}"));
    let file = file.map_err(|error| no_pin(format!("descriptor {number} cannot be read: {error}")))?;
    read_pin(file, &format!("descriptor {number}"))
}

fn from_command(line: &[String]) -> Result<Pin, Fault> {
    let [program, arguments @ ..] = line else { return Err(no_pin("the PIN command is empty")) };
    let name = shown(program);
    let child = child::command(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| no_pin(format!("the PIN command {name} cannot be run: {error}")))?;
    let read = match child.stdout.take() {
        Some(output) => read_pin(output, &format!("the PIN command {name}")),
        None => Err(no_pin(format!("the PIN command {name} has no output"))),
    };
    if read.is_err() {
        // It may still be writing; whatever it says now does not matter.
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) if status.success() || read.is_err() => read,
        Ok(status) => Err(no_pin(format!("the PIN command {name} failed ({status})"))),
        Err(error) => Err(no_pin(format!("the PIN command {name} cannot be awaited: {error}"))),
    }
}

/// Held while somebody is asked: there is one terminal, and tokens are opened side by side.
static ASKING: Mutex<()> = Mutex::new(());

fn from_prompt(token: &str) -> Result<Pin, Fault> {
    if !std::io::stdin().is_terminal() {
        return Err(no_pin("there is no terminal to ask for the PIN"));
    }
    let _one_at_a_time = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    let prompt = dialoguer::Password::new().with_prompt(format!("PIN of token {}", shown(token)));
    let answer = prompt.interact().map_err(|error| no_pin(format!("the PIN prompt failed: {error}")))?;
    Pin::new(answer)
}

fn read_pin(source: impl Read, what: &str) -> Result<Pin, Fault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PIN + 2));
    let limit = (MAX_PIN + 2) as u64;
    source.take(limit).read_to_end(&mut bytes).map_err(|error| no_pin(format!("{what} cannot be read: {error}")))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Pin::new(text.to_owned()).map_err(|fault| no_pin(format!("{what}: {fault}"))),
        Err(_) => Err(no_pin(format!("{what} is not UTF-8"))),
    }
}

/// One source as TOML writes it: exactly one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    env: Option<String>,
    file: Option<PathBuf>,
    fd: Option<u32>,
    command: Option<Line>,
    prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Shell(String),
    Words(Vec<String>),
}

impl TryFrom<Written> for PinSource {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        Ok(match written {
            Written { env: Some(name), file: None, fd: None, command: None, prompt: None } => PinSource::Env(name),
            Written { env: None, file: Some(path), fd: None, command: None, prompt: None } if path.is_absolute() => {
                PinSource::File(path)
            }
            Written { env: None, file: Some(_), fd: None, command: None, prompt: None } => {
                return Err("a PIN file is named by its absolute path");
            }
            Written { env: None, file: None, fd: Some(number), command: None, prompt: None } => PinSource::Fd(number),
            Written { env: None, file: None, fd: None, command: Some(line), prompt: None } => match line {
                Line::Words(words) if words.is_empty() => return Err("the PIN command is empty"),
                Line::Words(words) => PinSource::Command(words),
                Line::Shell(line) => PinSource::Command(vec!["sh".into(), "-c".into(), line]),
            },
            Written { env: None, file: None, fd: None, command: None, prompt: Some(true) } => PinSource::Prompt,
            _ => return Err("a PIN source is exactly one of env, file, fd, command, or prompt = true"),
        })
    }
}

impl<'de> Deserialize<'de> for PinSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = PinSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"none\", one of { env, file, fd, command, prompt }, or a list of these")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<PinSource, E> {
        // The word is not repeated: somebody may have written the PIN itself here.
        if word == "none" {
            Ok(PinSource::None)
        } else {
            Err(E::custom("the PIN itself does not belong here; name its source"))
        }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<PinSource, E> {
        // The number is not repeated either.
        self.visit_str("")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<PinSource, E> {
        self.visit_str("")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PinSource, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        PinSource::try_from(written).map_err(de::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<PinSource, A::Error> {
        let written = Vec::<Written>::deserialize(SeqAccessDeserializer::new(list))?;
        let sources: Result<Vec<_>, _> = written.into_iter().map(PinSource::try_from).collect();
        let sources = sources.map_err(de::Error::custom)?;
        if sources.is_empty() {
            return Err(de::Error::custom("the list of PIN sources is empty"));
        }
        Ok(PinSource::FirstOf(sources))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[derive(Debug, Deserialize)]
    struct Settings {
        pin: PinSource,
    }

    fn parsed(toml: &str) -> Result<PinSource, String> {
        toml::from_str::<Settings>(toml).map(|settings| settings.pin).map_err(|error| error.to_string())
    }

    #[test]
    fn every_written_form_is_read_and_the_rest_is_refused() {
        assert_eq!(parsed("pin = { env = \"X\" }").unwrap(), PinSource::Env("X".into()));
        assert_eq!(parsed("pin = { fd = 3 }").unwrap(), PinSource::Fd(3));
        assert_eq!(parsed("pin = \"none\"").unwrap(), PinSource::None);
        assert_eq!(
            parsed("pin = { command = \"a b\" }").unwrap().clone(),
            PinSource::Command(vec!["sh".into(), "-c".into(), "a b".into()])
        );
        assert_eq!(
            parsed("pin = { command = [\"a\", \"b\"] }").unwrap(),
            PinSource::Command(vec!["a".into(), "b".into()])
        );
        let list = parsed("pin = [{ file = \"/x\" }, { prompt = true }]").unwrap();
        assert_eq!(list, PinSource::FirstOf(vec![PinSource::File("/x".into()), PinSource::Prompt]));
        for bad in
            ["{ env = \"X\", fd = 3 }", "{ }", "{ file = \"x\" }", "[]", "{ prompt = false }", "{ pin = \"1\" }", "12"]
        {
            assert!(parsed(&format!("pin = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pin_is_never_shown() {
        let pin = Pin::new("correct horse".into()).unwrap();
        assert_eq!(format!("{pin:?}"), "Pin(…)");
        // Only the message: toml's Display quotes the whole line.
        for (written, secret) in [("pin = \"hunter22\"", "hunter22"), ("pin = 12345678", "12345678")] {
            let error = toml::from_str::<Settings>(written).unwrap_err();
            assert!(!error.message().contains(secret), "{}", error.message());
        }
    }

    #[test]
    fn equal_pins_are_known_without_being_shown() {
        let pin = |text: &str| Pin::new(text.to_owned()).unwrap();
        assert!(pin("12345678").is_same_as(&pin("12345678")));
        assert!(!pin("12345678").is_same_as(&pin("12345679")));
        assert!(!pin("1234567").is_same_as(&pin("12345678")));
    }

    #[test]
    fn files_must_be_ours_alone_and_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        let write = |bytes: &[u8], mode| {
            let _ = std::fs::remove_file(&path);
            File::create(&path).unwrap().write_all(bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            PinSource::File(path.clone()).resolve("t")
        };
        assert_eq!(write(b"12345678\n", 0o600).unwrap().unwrap().expose(), "12345678");
        assert_eq!(write(b"1234\r5678\n", 0o400).unwrap_err().code(), "no_pin");
        for mode in [0o640, 0o604, 0o700, 0o660] {
            assert_eq!(write(b"12345678\n", mode).unwrap_err().code(), "no_pin", "{mode:o}");
        }
        assert_eq!(write(&[b'1'; 256], 0o600).unwrap().unwrap().expose().len(), 256);
        assert!(write(&[b'1'; 257], 0o600).is_err());
        assert!(write(b"\n", 0o600).is_err());
        assert!(write(b"two\nlines\n", 0o600).is_err());
        let link = dir.path().join("link");
        write(b"12345678", 0o600).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(PinSource::File(link).resolve("t").is_err());
        assert!(PinSource::File(dir.path().into()).resolve("t").is_err());
    }

    #[test]
    fn commands_run_without_a_shell_and_must_succeed() {
        let run = |words: &[&str]| PinSource::Command(words.iter().map(|w| (*w).to_owned()).collect()).resolve("t");
        assert_eq!(run(&["printf", "a b;c\\n"]).unwrap().unwrap().expose(), "a b;c");
        assert!(run(&["sh", "-c", "printf 12345678; exit 3"]).is_err());
        assert!(run(&["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxx; done"]).is_err());
        assert!(run(&["/nonexistent/program"]).is_err());
    }

    #[test]
    fn a_list_takes_the_first_that_is_present() {
        let missing = PinSource::File("/nonexistent/pin".into());
        let here = PinSource::Command(vec!["printf".into(), "12345678".into()]);
        let never = PinSource::Command(vec!["false".into()]);
        let list = PinSource::FirstOf(vec![missing.clone(), here, never]);
        assert_eq!(list.resolve("t").unwrap().unwrap().expose(), "12345678");
        assert!(PinSource::FirstOf(vec![missing]).resolve("t").is_err());
    }

    #[test]
    fn a_descriptor_is_read_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345678\n").unwrap();
        let number = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        // Opening through /proc starts a file at its beginning; a pipe goes on where it is.
        assert_eq!(PinSource::Fd(number).resolve("t").unwrap().unwrap().expose(), "12345678");
        assert_eq!(PinSource::Fd(number).resolve("t").unwrap_err().code(), "no_pin");
    }
}
