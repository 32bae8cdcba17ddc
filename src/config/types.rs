//! What the configuration says, checked. Everything that is part of [`super::Settings`] has one JSON form, and reading
//! it back is as strict as reading the file.

use crate::config::hardware::{Hardware, TrustFile, Variable};
use crate::config::policy::Role;
use crate::error::{Error, Result};
use crate::model::{Custody, GenerationId, Hash256, HsmName, KeyAlgorithm, KeyName, Purpose, serde_by_text, words};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Whose workspace it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// For people.
    pub name: String,
    /// The origin line of checkpoints (C2SP tlog-checkpoint) and part of SSH signature namespaces.
    pub origin: String,
}

/// An `[hsm.NAME]` entry: the token, how to reach it, and where its PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsm {
    /// Which token; part of the adopted settings.
    pub token: Token,
    /// Where the PIN comes from: the first that is present is used, and a wrong PIN ends the search.
    pub pins: Vec<PinSource>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// A token, pinned by what PKCS#11 says about it; never by slot number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The PKCS#11 module.
    pub module: Module,
    /// `CK_TOKEN_INFO.label`, without padding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// `CK_TOKEN_INFO.serialNumber`, without padding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// What it is certified as.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fips: Option<Fips>,
    /// What it has to be in production.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardware: Option<Hardware>,
    /// The variables that steer its module; where nobody says, they are whatever is in the environment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<BTreeMap<String, Variable>>,
}

/// A PKCS#11 module. In JSON: `{"path": "builtin"}` or `{"path": "/…", "sha256"?, "init_args"?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ModuleForm", into = "ModuleForm")]
pub enum Module {
    /// The software token inside this binary.
    Builtin,
    /// A shared library.
    Path {
        /// Absolute.
        path: PathBuf,
        /// If given, the file has to have this hash.
        sha256: Option<Hash256>,
        /// `CK_C_INITIALIZE_ARGS.pReserved`, for modules that want it.
        init_args: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleForm {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256: Option<Hash256>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    init_args: Option<String>,
}

impl From<Module> for ModuleForm {
    fn from(module: Module) -> Self {
        match module {
            Module::Builtin => ModuleForm { path: "builtin".to_owned(), sha256: None, init_args: None },
            Module::Path { path, sha256, init_args } => {
                ModuleForm { path: path.to_string_lossy().into_owned(), sha256, init_args }
            }
        }
    }
}

impl TryFrom<ModuleForm> for Module {
    type Error = &'static str;
    fn try_from(form: ModuleForm) -> std::result::Result<Self, Self::Error> {
        Module::parse(form.path, form.sha256, form.init_args)
    }
}

impl Module {
    /// `builtin`, or an absolute path without `..`.
    ///
    /// # Errors
    /// In words, what is wrong.
    pub(super) fn parse(
        path: String,
        sha256: Option<Hash256>,
        init_args: Option<String>,
    ) -> std::result::Result<Self, &'static str> {
        if path == "builtin" {
            return match (sha256, init_args) {
                (None, None) => Ok(Module::Builtin),
                _ => Err("the builtin module takes neither sha256 nor init_args"),
            };
        }
        let path = PathBuf::from(path);
        if !path.is_absolute() || path.components().any(|c| c == std::path::Component::ParentDir) {
            return Err("a module is \"builtin\" or an absolute path without \"..\"");
        }
        if init_args.as_ref().is_some_and(|args| args.len() > 1024 || args.contains('\0')) {
            return Err("init_args has at most 1024 bytes and no NUL");
        }
        Ok(Module::Path { path, sha256, init_args })
    }
}

/// A FIPS 140 certificate, as its owner states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fips {
    /// The edition.
    pub standard: FipsStandard,
    /// Overall level, 1 to 4.
    pub level: u8,
    /// CMVP certificate number.
    pub certificate: String,
    /// The day on which somebody looked the certificate up, as `2026-11-01`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checked: Option<String>,
}

words! {
    /// Edition of FIPS 140.
    FipsStandard: "FIPS standard" { Fips1402 = "140-2", Fips1403 = "140-3" }
}

/// Where a PIN comes from. Reading it is not done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// An environment variable.
    Env(String),
    /// A file; a relative one is relative to the workspace and made absolute here.
    File(PathBuf),
    /// An open file descriptor.
    Fd(i32),
    /// What a command prints: program and arguments.
    Command(Vec<String>),
    /// The person at the terminal.
    Prompt,
    /// No PIN: the token has a PIN pad of its own (`CKF_PROTECTED_AUTHENTICATION_PATH`).
    None,
}

/// A `[keys.NAME]` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is for.
    pub purpose: Purpose,
    /// Who certifies it.
    pub issuer: Issuer,
    /// What it is made with.
    pub algorithm: KeyAlgorithm,
    /// The role that answers for it (B14).
    pub owner: Role,
    /// Whether its successor is made by `due` or after a review.
    pub rotation: RotationMode,
    /// B9 to B12: at this age, in days, it may no longer sign.
    pub rotation_days: u32,
    /// How many days before that its successor is made; less than `rotation_days`.
    pub rotate_lead_days: u32,
    /// Where its private part may be.
    pub custody: Custody,
    /// The tokens it lives on, the preferred one first; never empty.
    pub hsm: Vec<HsmName>,
    /// Where the CRL that covers its certificate can be had; [`ISSUER`] in it stands for the issuing generation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub crl_url: Option<String>,
    /// Where clients find the archive that it signs; for their `sources` entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<Archive>,
    /// Where its issuer's certificate can be had (caIssuers, RFC 5280 §4.2.2.1), with [`ISSUER`] as there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aia_url: Option<String>,
    /// What its certificates say about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Subject>,
}

/// What stands for `KEY-GENERATION` of the issuer in URLs of lists and certificates, as published files are named: each
/// generation of a CA has a list of its own.
pub const ISSUER: &str = "{issuer}";

impl Key {
    /// The token that its first copy is on.
    ///
    /// # Errors
    /// Only a bug: a key without a token passes no check.
    pub fn first_hsm(&self) -> Result<&HsmName> {
        self.hsm.first().ok_or_else(|| Error::bug("a key without a token passed the configuration"))
    }

    /// The URL of the list by this generation of its issuer.
    pub fn crl_url_by(&self, issuer: &GenerationId) -> Option<String> {
        self.crl_url.as_deref().map(|url| by(url, issuer))
    }

    /// The URL of this generation's certificate.
    pub fn aia_url_by(&self, issuer: &GenerationId) -> Option<String> {
        self.aia_url.as_deref().map(|url| by(url, issuer))
    }
}

fn by(url: &str, issuer: &GenerationId) -> String {
    url.replace(ISSUER, &format!("{}-{}", issuer.key, issuer.number))
}

/// An APT archive as clients name it: `URI SUITE [COMPONENT…]`; a suite that ends in `/` is a path and has no
/// components (sources.list(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where it is.
    pub uri: String,
    /// Suite or path.
    pub suite: String,
    /// Components.
    pub components: Vec<String>,
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.uri, self.suite)?;
        self.components.iter().try_for_each(|component| write!(f, " {component}"))
    }
}

impl FromStr for Archive {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: String| Error::usage("bad_archive", why);
        let mut words = text.split(' ');
        let uri = words.next().unwrap_or_default();
        if let Some(why) = super::text::bad_url(uri) {
            return Err(bad(why));
        }
        let is_plain = |word: &str| {
            (1..=128).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._~/:".contains(&b))
        };
        let suite = words.next().unwrap_or_default();
        let components: Vec<_> = words.map(str::to_owned).collect();
        if !is_plain(suite) || components.len() > 64 || !components.iter().all(|component| is_plain(component)) {
            return Err(bad("an archive is \"URI SUITE [COMPONENT…]\", with single blanks between".to_owned()));
        }
        if suite.ends_with('/') != components.is_empty() {
            return Err(bad("a suite has components; a path that ends in / has none".to_owned()));
        }
        Ok(Archive { uri: uri.to_owned(), suite: suite.to_owned(), components })
    }
}

serde_by_text!(Archive);

/// Who certifies a key: `self`, `external` or the name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Nobody else: a root, an OpenPGP primary key, a ledger key.
    Itself,
    /// Somebody outside: CSR out, certificate in.
    External,
    /// One of our keys.
    Key(KeyName),
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Issuer::Itself => f.pad("self"),
            Issuer::External => f.pad("external"),
            Issuer::Key(name) => name.fmt(f),
        }
    }
}

impl FromStr for Issuer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "self" => Ok(Issuer::Itself),
            "external" => Ok(Issuer::External),
            name => Ok(Issuer::Key(name.parse()?)),
        }
    }
}

serde_by_text!(Issuer);

words! {
    /// How a key's next generation comes about.
    RotationMode: "rotation" {
        /// Made when it is due.
        Roll = "roll",
        /// A CA's owner is asked at that age, and the key goes on unless they say otherwise.
        Review = "review",
    }
}

/// A distinguished name's parts (RFC 5280 §4.1.2.6), or a user id's for OpenPGP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Two upper-case letters (ISO 3166-1).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub country: Option<String>,
    /// State or province.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    /// Town.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locality: Option<String>,
    /// Legal name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organization: Option<String>,
    /// Part of it; for Developer ID, the team.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organizational_unit: Option<String>,
    /// The name people see.
    pub common_name: String,
    /// Only in OpenPGP user ids.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

/// Timestamp authorities (RFC 3161) and whom to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// Asked in this order.
    pub authorities: Vec<String>,
    /// Files with trusted roots.
    pub trust: Vec<TrustFile>,
}

/// What follows from rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Whether certificates of retired generations are revoked (B13).
    pub revoke_retired: RevokeRetired,
    /// Which artifacts then become `re-sign required`.
    pub resign_after: ResignAfter,
    /// How many days a new APT key has to be in the published keyring before it signs (governance R3).
    #[serde(default = "publish_safety_days", skip_serializing_if = "is_usual_safety")]
    pub publish_safety_days: u32,
}

/// [`Rotation::publish_safety_days`] where nothing is said.
pub(super) fn publish_safety_days() -> u32 {
    30
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_usual_safety(days: &u32) -> bool {
    *days == publish_safety_days()
}

words! {
    /// Whether certificates of retired generations are revoked.
    RevokeRetired: "revoke_retired" {
        /// With reason `superseded`, at the time of retirement.
        Superseded = "superseded",
        /// Never: verifiers such as OpenSSL ignore revocation dates.
        Never = "never",
    }
}

words! {
    /// Which artifacts become `re-sign required` after a routine rotation.
    ResignAfter: "resign_after" {
        /// Those without a timestamp.
        Untimestamped = "untimestamped",
        All = "all",
        None = "none",
    }
}

/// How outside services are tried again (domain §4). Not part of the adopted settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all.
    pub max_attempts: u32,
    /// The first pause.
    pub base: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Failures in a row that open the circuit breaker.
    pub circuit_breaker_threshold: u32,
    /// How long it stays open.
    pub circuit_breaker_pause: Duration,
    /// How long one try may take.
    pub timeout: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            max_attempts: 5,
            base: Duration::from_secs(4),
            max_backoff: Duration::from_secs(60),
            circuit_breaker_threshold: 5,
            circuit_breaker_pause: Duration::from_secs(300),
            timeout: Duration::from_secs(30),
        }
    }
}
