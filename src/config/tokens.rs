//! `[hsm.NAME]`: which token, how certified, and where its PIN comes from.

use super::check::Check;
use super::raw::{RawFips, RawHsm, RawPin, RawPins};
use super::text::bad_text;
use super::types::{Fips, FipsStandard, Hsm, Module, PinSource, Token};
use crate::model::{Environment, HsmName};
use std::ops::Range;
use std::path::{Component, Path};
use std::time::Duration;
use toml::Spanned;

/// An hsm entry and where it stands.
pub(super) struct PlacedHsm {
    pub(super) span: Range<usize>,
    pub(super) hsm: Hsm,
}

impl Check<'_> {
    /// Checks one entry. `None` only together with a problem.
    pub(super) fn hsm(&mut self, name: &HsmName, raw: Spanned<RawHsm>, environment: Environment) -> Option<PlacedHsm> {
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
        let pins = self.pins(raw.pin, &field("pin"));
        let timeout = raw.timeout_seconds.map_or(30, |s| self.number(&s, &field("timeout_seconds"), 1..=3600));
        let token = Token { module, label, serial, fips };
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
        let RawFips { standard, level, certificate } = raw.into_inner();
        if !(1..=4).contains(&level) {
            self.bad(span.clone(), field, format!("level is 1 to 4, not {level}"));
        } else if production && level < 2 {
            self.bad(span.clone(), field, "production takes level 2 or better");
        }
        if standard == FipsStandard::Fips1402 {
            self.warn(span.clone(), field, "FIPS 140-2 certificates are historical since September 2026");
        }
        self.bad_if(span, field, bad_text(&certificate, 64).map(|why| format!("certificate {why}")));
        Some(Fips { standard, level, certificate })
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
