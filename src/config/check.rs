//! From what is written to what is meant, with the line of whatever is wrong.

use super::policy::{Policy, Rule};
use super::raw::{
    RawConfig, RawFips, RawHsm, RawLimits, RawOrganization, RawPin, RawPins, RawRetry, RawRule, RawTimestamp,
};
use super::text::{bad_origin, bad_text, bad_url};
use super::types::{
    Fips, FipsStandard, Hsm, Module, Organization, PinSource, ResignAfter, Retry, RevokeRetired, Rotation, Timestamp,
    Token, TrustFile,
};
use super::{Config, Operation, keys, publication};
use crate::error::{Error, Result, shown};
use crate::model::{Environment, Hash256, HsmName};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Gathers what is wrong in one text.
pub(crate) struct Check<'a> {
    text: &'a str,
    path: &'a Path,
    code: &'static str,
    problems: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl<'a> Check<'a> {
    /// For the text of the file at `path`; `code` is that of the errors.
    pub(crate) fn new(text: &'a str, path: &'a Path, code: &'static str) -> Self {
        Check { text, path, code, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Notes that the value at `span`, called `field`, is wrong.
    pub(crate) fn bad(&mut self, span: Range<usize>, field: &str, why: impl AsRef<str>) {
        let line = self.line(span.start);
        self.problems.push((line, format!("{field}: {}", why.as_ref())));
    }

    /// Notes that it is wrong if `why` says so.
    pub(crate) fn bad_if(&mut self, span: Range<usize>, field: &str, why: Option<String>) {
        if let Some(why) = why {
            self.bad(span, field, why);
        }
    }

    pub(super) fn warn(&mut self, span: Range<usize>, field: &str, why: &str) {
        let line = self.line(span.start);
        self.warnings.push((line, format!("{field}: {why}")));
    }

    /// The value if it lies in `range`; a problem and the least value if not.
    pub(crate) fn number(&mut self, value: &Spanned<u64>, field: &str, range: std::ops::RangeInclusive<u32>) -> u32 {
        match u32::try_from(*value.get_ref()) {
            Ok(n) if range.contains(&n) => n,
            _ => {
                let why = format!("{} to {}, not {}", range.start(), range.end(), value.get_ref());
                self.bad(value.span(), field, why);
                *range.start()
            }
        }
    }

    /// The error for text that is not TOML, or not this TOML. Only the library's message is used: its long form quotes
    /// the line, which may hold a secret.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> Error {
        let line = self.line(error.span().map_or(0, |span| span.start));
        self.error(line, &error.message().replace('\n', " "))
    }

    /// The first problem, if there is one.
    pub(crate) fn verdict(&mut self) -> Result<()> {
        self.problems.sort();
        match self.problems.first() {
            Some((line, message)) => Err(self.error(*line, message)),
            None => Ok(()),
        }
    }

    pub(super) fn into_warnings(mut self) -> Vec<String> {
        self.warnings.sort();
        self.warnings.iter().map(|(line, message)| format!("{}:{line}: {message}", self.file())).collect()
    }

    fn error(&self, line: usize, message: &str) -> Error {
        Error::usage(self.code, format!("{}:{line}: {}", self.file(), shown(message)))
    }

    fn file(&self) -> String {
        self.path.file_name().map_or_else(|| "keyctl.toml".to_owned(), |name| shown(&name.to_string_lossy()))
    }

    /// The line, from 1, of a byte offset.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Checks everything. `None` only together with a problem.
    pub(super) fn config(&mut self, raw: RawConfig, hash_of: &dyn Fn(&Path) -> Result<Hash256>) -> Option<Config> {
        let environment = *raw.environment.get_ref();
        if raw.keys.is_empty() {
            self.bad(raw.environment.span(), "keys", "no key is configured");
        }
        let organization = self.organization(raw.organization);
        let hsm: BTreeMap<_, _> = raw
            .hsm
            .into_iter()
            .filter_map(|(name, hsm)| Some((name.clone(), self.hsm(&name, hsm, environment)?)))
            .collect();
        let keys = keys::check(self, raw.keys, environment, &hsm);
        let timestamp = self.timestamp(raw.timestamp, environment, raw.environment.span(), hash_of);
        let policy = self.policy(raw.policy, environment);
        let rotation = Rotation {
            revoke_retired: raw.rotation.revoke_retired.unwrap_or(RevokeRetired::Superseded),
            resign_after: raw.rotation.resign_after.unwrap_or(ResignAfter::Untimestamped),
            // The slowest mirror lags a week (domain §6).
            publish_safety_days: raw
                .rotation
                .publish_safety_days
                .map_or_else(super::types::publish_safety_days, |days| {
                    self.number(&days, "rotation.publish_safety_days", 7..=365)
                }),
        };
        let publication = publication::publication(self, raw.publication);
        let pipelines = publication::pipelines(self, raw.pipelines, &keys);
        let retry = self.retry(raw.retry);
        let max_artifact = self.max_artifact(raw.limits);
        let path = self.path.to_path_buf();
        self.problems.is_empty().then(|| Config {
            path,
            environment,
            organization,
            hsm: hsm.into_iter().map(|(name, placed)| (name, placed.hsm)).collect(),
            keys,
            timestamp,
            policy,
            rotation,
            publication,
            pipelines,
            retry,
            max_artifact,
            warnings: Vec::new(),
        })
    }

    fn organization(&mut self, raw: RawOrganization) -> Organization {
        self.bad_if(raw.name.span(), "organization.name", bad_text(raw.name.get_ref(), 64));
        self.bad_if(raw.origin.span(), "organization.origin", bad_origin(raw.origin.get_ref()));
        Organization { name: raw.name.into_inner(), origin: raw.origin.into_inner() }
    }

    fn hsm(&mut self, name: &HsmName, raw: Spanned<RawHsm>, environment: Environment) -> Option<PlacedHsm> {
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
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let sources: Vec<_> = list.into_iter().map(|pin| pin_source(pin, &folder)).collect();
        sources.into_iter().filter_map(|source| source.map_err(|why| self.bad(span.clone(), field, why)).ok()).collect()
    }

    fn timestamp(
        &mut self,
        raw: RawTimestamp,
        environment: Environment,
        file: Range<usize>,
        hash_of: &dyn Fn(&Path) -> Result<Hash256>,
    ) -> Timestamp {
        let production = environment == Environment::Production;
        let mut timestamp = Timestamp::default();
        let authorities = raw.authorities.as_ref().map_or(file.clone(), Spanned::span);
        for url in raw.authorities.map(Spanned::into_inner).unwrap_or_default() {
            self.bad_if(url.span(), "timestamp.authorities", bad_url(url.get_ref()));
            timestamp.authorities.push(url.into_inner());
        }
        if production && timestamp.authorities.is_empty() {
            self.bad(authorities, "timestamp.authorities", "production takes at least one timestamp authority");
        }
        let trust = raw.trust.as_ref().map_or(file, Spanned::span);
        for path in raw.trust.map(Spanned::into_inner).unwrap_or_default() {
            let (span, path) = (path.span(), PathBuf::from(path.into_inner()));
            match hash_of(&path) {
                Ok(sha256) => timestamp.trust.push(TrustFile { path, sha256 }),
                Err(error) => self.bad(span, "timestamp.trust", error.full()),
            }
        }
        if production && timestamp.trust.is_empty() {
            self.bad(trust, "timestamp.trust", "production takes at least one file of trusted roots");
        }
        timestamp
    }

    fn policy(&mut self, raw: BTreeMap<Operation, Spanned<RawRule>>, environment: Environment) -> Policy {
        let mut policy = Policy::default();
        for (operation, rule) in raw {
            let table = rule.span();
            let raw = rule.into_inner();
            let field = |part: &str| format!("policy.{operation}.{part}");
            let spans = [
                ("threshold", raw.threshold.as_ref().map(Spanned::span)),
                ("roles", raw.roles.as_ref().map(Spanned::span)),
                ("must_include", raw.must_include.as_ref().map(Spanned::span)),
                ("max_age_hours", raw.max_age_hours.as_ref().map(Spanned::span)),
                ("asserted", raw.asserted.as_ref().map(Spanned::span)),
            ];
            let default = operation.default_rule();
            let small = |value: Option<Spanned<u64>>, default: u32| {
                value.map_or(default, |value| u32::try_from(value.into_inner()).unwrap_or(u32::MAX))
            };
            let threshold = small(raw.threshold, default.threshold);
            let asserted = raw.asserted.map(Spanned::into_inner);
            let rule = Rule {
                threshold,
                roles: raw.roles.map_or(default.roles, |roles| roles.into_inner().into_iter().collect()),
                must_include: raw.must_include.map_or(default.must_include, |r| r.into_inner().into_iter().collect()),
                max_age_hours: small(raw.max_age_hours, default.max_age_hours),
                asserted: asserted.unwrap_or(operation.is_asserted_by_default(threshold)),
            };
            if let Some((part, why)) = operation.objection(&rule, environment == Environment::Sandbox) {
                let span = spans.into_iter().find(|(name, _)| *name == part).and_then(|(_, span)| span);
                self.bad(span.unwrap_or(table), &field(part), why);
            }
            policy.set(operation, rule);
        }
        policy
    }

    fn retry(&mut self, raw: RawRetry) -> Retry {
        let default = Retry::default();
        let mut number = |value: Option<Spanned<u64>>, name: &str, range| {
            value.map(|value| (value.span(), self.number(&value, &format!("retry.{name}"), range)))
        };
        let seconds = |n: u32| Duration::from_secs(u64::from(n));
        let attempts = number(raw.max_attempts, "max_attempts", 1..=20);
        let base = number(raw.base_seconds, "base_seconds", 1..=600);
        let most = number(raw.max_backoff_seconds, "max_backoff_seconds", 1..=3600);
        let threshold = number(raw.circuit_breaker_threshold, "circuit_breaker_threshold", 1..=100);
        let pause = number(raw.circuit_breaker_pause_minutes, "circuit_breaker_pause_minutes", 1..=1440);
        let timeout = number(raw.timeout_seconds, "timeout_seconds", 1..=600);
        let retry = Retry {
            max_attempts: attempts.map_or(default.max_attempts, |(_, n)| n),
            base: base.as_ref().map_or(default.base, |(_, n)| seconds(*n)),
            max_backoff: most.as_ref().map_or(default.max_backoff, |(_, n)| seconds(*n)),
            circuit_breaker_threshold: threshold.map_or(default.circuit_breaker_threshold, |(_, n)| n),
            circuit_breaker_pause: pause.map_or(default.circuit_breaker_pause, |(_, n)| seconds(n) * 60),
            timeout: timeout.map_or(default.timeout, |(_, n)| seconds(n)),
        };
        if let (true, Some((span, _))) = (retry.base > retry.max_backoff, base.or(most)) {
            self.bad(span, "retry.base_seconds", "longer than max_backoff_seconds");
        }
        retry
    }

    fn max_artifact(&mut self, raw: RawLimits) -> u64 {
        let gib = raw.artifact_gib.map_or(16, |gib| self.number(&gib, "limits.artifact_gib", 1..=1024));
        u64::from(gib) << 30
    }
}

/// An hsm entry and where it stands.
pub(super) struct PlacedHsm {
    pub(super) span: Range<usize>,
    pub(super) hsm: Hsm,
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
