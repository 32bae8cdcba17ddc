//! `[hsm.NAME]`: which token, how certified, and where its PIN comes from.

use super::check::Check;
use super::hardware::{Attestation, Hardware, TrustFile, Variable, Version};
use super::raw::{RawAttestation, RawFips, RawHardware, RawHsm, RawPin, RawPins};
use super::text::bad_text;
use super::types::{Fips, FipsStandard, Hsm, Module, PinSource, Token};
use crate::child;
use crate::error::Result;
use crate::files::environment;
use crate::model::{Environment, Hash256, HsmName};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// An hsm entry and where it stands.
pub(super) struct PlacedHsm {
    pub(super) span: Range<usize>,
    pub(super) hsm: Hsm,
}

impl Check<'_> {
    /// Checks one entry. `None` only together with a problem.
    pub(super) fn hsm(
        &mut self,
        name: &HsmName,
        raw: Spanned<RawHsm>,
        environment: Environment,
        hash_of: HashOf<'_>,
    ) -> Option<PlacedHsm> {
        let span = raw.span();
        let raw = raw.into_inner();
        let field = |part: &str| format!("hsm.{name}.{part}");
        let module_span = raw.module.span();
        let module = raw.module.into_inner();
        let module = match Module::parse(module.path, module.sha256, module.init_args) {
            Ok(module) => module,
            Err(why) => {
                self.bad(module_span, &field("module"), why);
                return None;
            }
        };
        for (part, value, max) in [("token", &raw.token, 32), ("serial", &raw.serial, 16)] {
            if let Some(value) = value {
                self.bad_if(value.span(), &field(part), bad_text(value.get_ref(), max));
            }
        }
        let (mut label, serial) = (raw.token.map(Spanned::into_inner), raw.serial.map(Spanned::into_inner));
        if module == Module::Builtin {
            if environment == Environment::Production {
                self.bad(module_span, &field("module"), "a software token cannot serve production");
            }
            // The folder `tokens/NAME` already names it.
            label = label.or_else(|| Some(name.to_string()));
        } else if label.is_none() && serial.is_none() {
            self.bad(span.clone(), &field("token"), "name the token by its label (token), its serial, or both");
        }
        let fips = self.fips(raw.fips, span.clone(), &field("fips"), environment);
        let hardware = self.hardware(raw.hardware, &field("hardware"), hash_of);
        let variables = self.variables(raw.environment, &field("environment"), hash_of);
        let pins = self.pins(raw.pin, &field("pin"));
        let timeout = raw.timeout_seconds.map_or(30, |s| self.number(&s, &field("timeout_seconds"), 1..=3600));
        let token = Token { module, label, serial, fips, hardware, environment: variables };
        Some(PlacedHsm { span, hsm: Hsm { token, pins, timeout: Duration::from_secs(u64::from(timeout)) } })
    }

    fn fips(
        &mut self,
        raw: Option<Spanned<RawFips>>,
        entry: Range<usize>,
        field: &str,
        environment: Environment,
    ) -> Option<Fips> {
        let production = environment == Environment::Production;
        let Some(raw) = raw else {
            if production {
                self.bad(entry, field, "production takes only certified hardware: { standard, level, certificate }");
            }
            return None;
        };
        let span = raw.span();
        let RawFips { standard, level, certificate, checked } = raw.into_inner();
        if !(1..=4).contains(&level) {
            self.bad(span.clone(), field, format!("level is 1 to 4, not {level}"));
        } else if production && level < 2 {
            self.bad(span.clone(), field, "production takes level 2 or better");
        }
        if standard == FipsStandard::Fips1402 {
            self.warn(span.clone(), field, "FIPS 140-2 certificates are historical since September 2026");
        }
        let is_day = |day: &String| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok() && day.len() == 10;
        if !checked.as_ref().is_none_or(is_day) {
            self.bad(span.clone(), field, "checked is a day like 2026-11-01");
        }
        self.bad_if(span, field, bad_text(&certificate, 64).map(|why| format!("certificate {why}")));
        Some(Fips { standard, level, certificate, checked })
    }

    fn pins(&mut self, raw: Option<Spanned<RawPins>>, field: &str) -> Vec<PinSource> {
        let Some(raw) = raw else { return vec![PinSource::Prompt] };
        let span = raw.span();
        let list = raw.into_inner().0;
        if list.is_empty() || list.len() > 8 {
            self.bad(span.clone(), field, "one to eight sources");
        }
        let folder = self.path().parent().unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let sources: Vec<_> = list.into_iter().map(|pin| pin_source(pin, &folder)).collect();
        sources.into_iter().filter_map(|source| source.map_err(|why| self.bad(span.clone(), field, why)).ok()).collect()
    }
}

/// Gives the hash of a file that the configuration names.
pub(super) type HashOf<'a> = &'a dyn Fn(&Path) -> Result<Hash256>;

impl Check<'_> {
    pub(super) fn hardware(
        &mut self,
        raw: Option<Spanned<RawHardware>>,
        field: &str,
        hash_of: HashOf<'_>,
    ) -> Option<Hardware> {
        let raw = raw?;
        let span = raw.span();
        let raw = raw.into_inner();
        for (part, text, max) in [("manufacturer", &raw.manufacturer, 32), ("model", &raw.model, 16)] {
            self.bad_if(span.clone(), field, bad_text(text, max).map(|why| format!("{part} {why}")));
        }
        let [first, last] = &raw.firmware.0;
        let firmware = match (first.parse::<Version>(), last.parse::<Version>()) {
            (Ok(first), Ok(last)) if first <= last => [first, last],
            (Err(error), _) | (_, Err(error)) => {
                self.bad(span, field, error.message());
                return None;
            }
            _ => {
                self.bad(span, field, "the first firmware of a range is not behind the last");
                return None;
            }
        };
        let mut file = |path: PathBuf| match hash_of(&path) {
            Ok(sha256) => Some(TrustFile { path, sha256 }),
            Err(error) => {
                self.bad(span.clone(), field, error.full());
                None
            }
        };
        let attestation = match raw.attestation {
            None => None,
            Some(RawAttestation::ValidationObject) => Some(Attestation::ValidationObject),
            Some(RawAttestation::Statement { file: statement, roots }) => {
                let (statement, roots) = (file(statement), file(roots));
                Some(Attestation::Statement { file: statement?, roots: roots? })
            }
        };
        Some(Hardware { manufacturer: raw.manufacturer, model: raw.model, firmware, attestation })
    }

    /// Variables of one module. What else looks like one is not passed on to modules ([`crate::files::environment`]).
    pub(super) fn variables(
        &mut self,
        raw: Option<BTreeMap<String, Spanned<String>>>,
        field: &str,
        hash_of: HashOf<'_>,
    ) -> Option<BTreeMap<String, Variable>> {
        let mut found = BTreeMap::new();
        for (name, value) in raw? {
            let (span, value) = (value.span(), value.into_inner());
            let field = format!("{field}.{name}");
            if let Some(why) = bad_variable(&name) {
                self.bad(span.clone(), &field, why);
            }
            if value.len() > 4096 || value.contains('\0') {
                self.bad(span.clone(), &field, "at most 4096 bytes, and no NUL");
            }
            let sha256 = match Path::new(&value) {
                path if path.is_absolute() => match hash_of(path) {
                    Ok(sha256) => Some(sha256),
                    // A folder or a socket: the value is adopted, and what is behind it is the operating system's to guard.
                    Err(error) if error.code() == "not_a_file" => None,
                    Err(error) => {
                        self.bad(span, &field, error.full());
                        None
                    }
                },
                _ => None,
            };
            found.insert(name, Variable { value, sha256 });
        }
        Some(found)
    }

    /// One process has one environment: two modules that are to be steered differently cannot share it.
    pub(super) fn one_environment(&mut self, hsms: &BTreeMap<HsmName, PlacedHsm>) {
        let mut known: BTreeMap<&str, &Variable> = BTreeMap::new();
        for (name, placed) in hsms {
            for (variable, value) in placed.hsm.token.environment.iter().flatten() {
                if *known.entry(variable).or_insert(value) != value {
                    let field = format!("hsm.{name}.environment.{variable}");
                    self.bad(placed.span.clone(), &field, "another [hsm] entry gives it another value");
                }
            }
        }
    }
}

fn bad_variable(name: &str) -> Option<&'static str> {
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.len() <= 128;
    if !good {
        return Some("a variable has letters, digits and underscores in its name");
    }
    let ours = environment::is_loader(name) || child::is_kept(name) || name.starts_with("KEYCTL_");
    ours.then_some("it steers the loader or this program, not a module")
}

/// The one source in `raw`. No message repeats a value: it may be a PIN in the wrong place.
fn pin_source(raw: RawPin, folder: &Path) -> std::result::Result<PinSource, &'static str> {
    let on = |flag: Option<bool>, source| match flag {
        None => Ok(None),
        Some(true) => Ok(Some(source)),
        Some(false) => Err("prompt and none are true or left out"),
    };
    let found = [
        raw.env.map(pin_variable).transpose()?,
        raw.file.map(|file| pin_file(&file, folder)).transpose()?,
        raw.fd.map(pin_fd).transpose()?,
        raw.command.map(pin_command).transpose()?,
        on(raw.prompt, PinSource::Prompt)?,
        on(raw.none, PinSource::None)?,
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(source), None) => Ok(source),
        _ => Err("exactly one of env, file, fd, command, prompt, none"),
    }
}

fn pin_variable(name: String) -> std::result::Result<PinSource, &'static str> {
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if good { Ok(PinSource::Env(name)) } else { Err("env is the name of an environment variable") }
}

fn pin_file(file: &str, folder: &Path) -> std::result::Result<PinSource, &'static str> {
    let path = Path::new(file);
    let climbs = path.components().any(|c| c == Component::ParentDir);
    match file.is_empty() || file.contains('\0') || climbs {
        true => Err("file is a path without \"..\""),
        false => Ok(PinSource::File(folder.join(path))),
    }
}

fn pin_fd(fd: i32) -> std::result::Result<PinSource, &'static str> {
    match fd {
        1 | 2 => Err("fd 1 and 2 are where output goes"),
        0..=1023 => Ok(PinSource::Fd(fd)),
        _ => Err("fd is 0 or 3 to 1023"),
    }
}

fn pin_command(words: Vec<String>) -> std::result::Result<PinSource, &'static str> {
    let bad = words.first().is_none_or(String::is_empty)
        || words.iter().any(|word| word.contains('\0'))
        || words.last().is_none_or(|word| word.trim().is_empty());
    if bad {
        Err("command is a line for the shell or a list of words, the program first")
    } else {
        Ok(PinSource::Command(words))
    }
}
