//! `keyctl.toml` as it is written: every field optional that may be left out, every unknown one refused, and each with
//! its place in the text, so that later checks can name the line.
//!
//! Where a field has more than one form (`module`, `pin`, `command`), a visitor takes them apart by hand: an untagged
//! enum would lose both the line and the reason. A PIN that stands in the file itself is refused without repeating it.

use crate::config::policy::{Operation, Role};
use crate::config::publication::{RawPipeline, RawPublication};
use crate::config::types::{FipsStandard, ResignAfter, RevokeRetired, RotationMode};
use crate::model::{Custody, Environment, Hash256, HsmName, KeyAlgorithm, KeyName, PipelineName, Purpose};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub environment: Spanned<Environment>,
    pub organization: RawOrganization,
    #[serde(default)]
    pub hsm: BTreeMap<HsmName, Spanned<RawHsm>>,
    #[serde(default)]
    pub keys: BTreeMap<KeyName, Spanned<RawKey>>,
    #[serde(default)]
    pub timestamp: RawTimestamp,
    #[serde(default)]
    pub policy: BTreeMap<Operation, Spanned<RawRule>>,
    #[serde(default)]
    pub rotation: RawRotation,
    #[serde(default)]
    pub publication: RawPublication,
    #[serde(default)]
    pub pipelines: BTreeMap<PipelineName, Spanned<RawPipeline>>,
    #[serde(default)]
    pub retry: RawRetry,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub tool: RawTool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrganization {
    pub name: Spanned<String>,
    pub origin: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHsm {
    pub module: Spanned<RawModule>,
    pub token: Option<Spanned<String>>,
    pub serial: Option<Spanned<String>>,
    pub pin: Option<Spanned<RawPins>>,
    pub timeout_seconds: Option<Spanned<u64>>,
    pub fips: Option<Spanned<RawFips>>,
    pub hardware: Option<Spanned<RawHardware>>,
    pub environment: Option<BTreeMap<String, Spanned<String>>>,
}

/// `"builtin"`, `"/path"` or `{ path, sha256, init_args }`.
pub(super) struct RawModule {
    pub path: String,
    pub sha256: Option<Hash256>,
    pub init_args: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFips {
    pub standard: FipsStandard,
    pub level: u8,
    pub certificate: String,
    pub checked: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHardware {
    pub manufacturer: String,
    pub model: String,
    pub firmware: RawRange,
    pub attestation: Option<RawAttestation>,
}

/// `"7.3"`, or `["7.3", "7.8"]`.
pub(super) struct RawRange(pub [String; 2]);

/// `"validation-object"`, or `{ file, roots }`.
pub(super) enum RawAttestation {
    ValidationObject,
    Statement { file: PathBuf, roots: PathBuf },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTool {
    pub sha256: Option<Spanned<Vec<Hash256>>>,
}

/// One table or a list of them.
pub(super) struct RawPins(pub Vec<RawPin>);

/// Exactly one of these is set; that is checked later.
#[derive(Default)]
pub(super) struct RawPin {
    pub env: Option<String>,
    pub file: Option<String>,
    pub fd: Option<i32>,
    pub command: Option<Vec<String>>,
    pub prompt: Option<bool>,
    pub none: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKey {
    pub purpose: Spanned<Purpose>,
    pub issuer: Option<Spanned<String>>,
    pub algorithm: Spanned<KeyAlgorithm>,
    pub owner: Option<Spanned<Role>>,
    pub rotation: Option<Spanned<RotationMode>>,
    pub rotation_days: Option<Spanned<u64>>,
    pub rotate_lead_days: Option<Spanned<u64>>,
    pub custody: Option<Spanned<Custody>>,
    pub hsm: Spanned<Vec<Spanned<HsmName>>>,
    pub crl_url: Option<Spanned<String>>,
    pub archive: Option<Spanned<String>>,
    pub aia_url: Option<Spanned<String>>,
    pub subject: Option<Spanned<RawSubject>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubject {
    pub country: Option<Spanned<String>>,
    pub state: Option<Spanned<String>>,
    pub locality: Option<Spanned<String>>,
    pub organization: Option<Spanned<String>>,
    pub organizational_unit: Option<Spanned<String>>,
    pub common_name: Spanned<String>,
    pub email: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimestamp {
    pub authorities: Option<Spanned<Vec<Spanned<String>>>>,
    pub trust: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub threshold: Option<Spanned<u64>>,
    pub roles: Option<Spanned<Vec<Role>>>,
    pub must_include: Option<Spanned<Vec<Role>>>,
    pub max_age_hours: Option<Spanned<u64>>,
    pub asserted: Option<Spanned<bool>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRotation {
    pub revoke_retired: Option<RevokeRetired>,
    pub resign_after: Option<ResignAfter>,
    pub publish_safety_days: Option<Spanned<u64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    pub max_attempts: Option<Spanned<u64>>,
    pub base_seconds: Option<Spanned<u64>>,
    pub max_backoff_seconds: Option<Spanned<u64>>,
    pub circuit_breaker_threshold: Option<Spanned<u64>>,
    pub circuit_breaker_pause_minutes: Option<Spanned<u64>>,
    pub timeout_seconds: Option<Spanned<u64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub artifact_gib: Option<Spanned<u64>>,
}

impl<'de> Deserialize<'de> for RawModule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            path: String,
            sha256: Option<Hash256>,
            init_args: Option<String>,
        }
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawModule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"builtin\", an absolute path, or { path, sha256, init_args }")
            }
            fn visit_str<E: Error>(self, path: &str) -> Result<RawModule, E> {
                Ok(RawModule { path: path.to_owned(), sha256: None, init_args: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawModule, A::Error> {
                let Table { path, sha256, init_args } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawModule { path, sha256, init_args })
            }
        }
        d.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for RawRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawRange;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version like \"7.3\", or the first and the last of a range")
            }
            fn visit_str<E: Error>(self, only: &str) -> Result<RawRange, E> {
                Ok(RawRange([only.to_owned(), only.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawRange, A::Error> {
                match (seq.next_element()?, seq.next_element()?, seq.next_element::<String>()?) {
                    (Some(first), Some(last), None) => Ok(RawRange([first, last])),
                    _ => Err(A::Error::custom("a range has a first and a last version")),
                }
            }
        }
        d.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for RawAttestation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            file: PathBuf,
            roots: PathBuf,
        }
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawAttestation;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"validation-object\", or { file, roots }")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<RawAttestation, E> {
                match word {
                    "validation-object" => Ok(RawAttestation::ValidationObject),
                    _ => Err(E::custom("attestation is \"validation-object\", or { file, roots }")),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawAttestation, A::Error> {
                let Table { file, roots } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawAttestation::Statement { file, roots })
            }
        }
        d.deserialize_any(Form)
    }
}

/// Said when a PIN itself, or what looks like one, stands where its source should; it never repeats the value.
const LITERAL_PIN: &str =
    "a PIN is never written in the file; say where it comes from, as in pin = { env = \"KEYCTL_PIN\" }";

/// Refuses every scalar, so that no message of a library shows it.
macro_rules! refuse_literals {
    ($value:ty) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("where the PIN comes from: { env }, { file }, { fd }, { command }, { prompt } or { none }")
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
        fn visit_i128<E: Error>(self, _: i128) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
        fn visit_u128<E: Error>(self, _: u128) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<$value, E> {
            Err(E::custom(LITERAL_PIN))
        }
    };
}

impl<'de> Deserialize<'de> for RawPins {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawPins;
            refuse_literals!(RawPins);
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPins, A::Error> {
                Ok(RawPins(vec![RawPin::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawPins, A::Error> {
                let mut pins = Vec::new();
                while let Some(pin) = seq.next_element()? {
                    pins.push(pin);
                }
                Ok(RawPins(pins))
            }
        }
        d.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for RawPin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawPin;
            refuse_literals!(RawPin);
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPin, A::Error> {
                let mut pin = RawPin::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "env" => pin.env = Some(map.next_value()?),
                        "file" => pin.file = Some(map.next_value()?),
                        "fd" => pin.fd = Some(map.next_value()?),
                        "command" => pin.command = Some(map.next_value::<RawCommand>()?.0),
                        "prompt" => pin.prompt = Some(map.next_value()?),
                        "none" => pin.none = Some(map.next_value()?),
                        _ => return Err(A::Error::unknown_field(&name, SOURCES)),
                    }
                }
                Ok(pin)
            }
        }
        d.deserialize_any(Form)
    }
}

const SOURCES: &[&str] = &["env", "file", "fd", "command", "prompt", "none"];

/// A list of words, or a line for the shell.
struct RawCommand(Vec<String>);

impl<'de> Deserialize<'de> for RawCommand {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RawCommand;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command as a string for the shell or a list of words")
            }
            fn visit_str<E: Error>(self, line: &str) -> Result<RawCommand, E> {
                Ok(RawCommand(["sh", "-c", line].map(str::to_owned).to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawCommand, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(RawCommand(words))
            }
        }
        d.deserialize_any(Form)
    }
}
