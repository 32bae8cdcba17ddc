//! `keyctl.toml`: what keys there are, on which tokens, and under which rules (design §5).
//!
//! Here lives everything that turns the text of that file into checked values, and the [`Settings`] among them: what bears on
//! security, is adopted into the ledger and read from there by the gates, never from the file. PIN sources, time limits and
//! retries are not part of those. Nothing here opens a token, reads the ledger or decides whether something may be done.
//!
//! The file is read in two steps. `raw.rs` takes the text apart and refuses every field it does not know; `whole.rs`,
//! `keys.rs`, `tokens.rs` and [`publication`] then judge what the fields say together. Both know the place of every value, so
//! each error begins with `keyctl.toml:LINE:` (`check.rs`). When several things are wrong, the first line is named.

pub mod amendment;
pub(crate) mod check;
mod hardware;
mod keys;
pub mod policy;
pub mod publication;
mod raw;
mod render;
pub mod settings;
pub(crate) mod text;
mod tokens;
pub mod types;
pub mod weaker;
mod whole;
pub mod workspace;

pub use amendment::Amendment;
pub use hardware::{Attestation, Hardware, Releases, TrustFile, Variable, Version};
pub use policy::{Operation, Policy, Role, Rule};
pub use publication::{GitUse, Pipeline, PipelineValue, Publication};
pub use settings::{Change, Settings};
pub use types::{
    Archive, Fips, FipsStandard, Hsm, Issuer, Key, Module, Organization, PinSource, ResignAfter, Retry, RevokeRetired,
    Rotation, RotationMode, Subject, Timestamp, Token,
};
pub use weaker::Alteration;

use crate::error::{Error, Result};
use crate::files::safe::{read_bounded, read_text};
use crate::model::{Environment, Hash256, HsmName, KeyName, PipelineName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest `keyctl.toml`, in bytes.
pub const MAX_CONFIG: u64 = 256 << 10;
/// The largest file of trusted roots, in bytes.
pub const MAX_TRUST: u64 = 1 << 20;

/// The configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// What kind of work this is for.
    pub environment: Environment,
    /// Whose it is.
    pub organization: Organization,
    /// Tokens.
    pub hsm: BTreeMap<HsmName, Hsm>,
    /// Keys.
    pub keys: BTreeMap<KeyName, Key>,
    /// Timestamp authorities.
    pub timestamp: Timestamp,
    /// Rules.
    pub policy: Policy,
    /// What follows from rotation.
    pub rotation: Rotation,
    /// Whether `published/` is committed and pushed.
    pub publication: Publication,
    /// Values in other people's files.
    pub pipelines: BTreeMap<PipelineName, Pipeline>,
    /// The releases of this program that may be used.
    pub tool: Releases,
    /// How outside services are tried again.
    pub retry: Retry,
    /// The largest artifact, in bytes.
    pub max_artifact: u64,
    /// What is allowed but not good, each with file and line.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and checks a `keyctl.toml`.
    ///
    /// # Errors
    /// `bad_config` with `keyctl.toml:LINE:`; read errors. Whether its folder can be trusted is [`workspace`]'s matter.
    pub fn load(path: &Path) -> Result<Config> {
        let text = read_text(path, MAX_CONFIG)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Config::parse(&text, path, &|file| Ok(Hash256::of(&read_bounded(&folder.join(file), MAX_TRUST)?)))
    }

    /// Checks the text of a `keyctl.toml` that is or will be at `path`; `hash_of` gives the hash of a file it names,
    /// relative to its folder.
    ///
    /// # Errors
    /// `bad_config` with `keyctl.toml:LINE:`.
    pub fn parse(text: &str, path: &Path, hash_of: &dyn Fn(&Path) -> Result<Hash256>) -> Result<Config> {
        if u64::try_from(text.len()).map_or(true, |n| n > MAX_CONFIG) {
            return Err(Error::usage("bad_config", format!("keyctl.toml: more than {MAX_CONFIG} bytes")));
        }
        let mut check = check::Check::new(text, path, "bad_config");
        let raw = toml::from_str::<raw::RawConfig>(text).map_err(|e| check.syntax(&e))?;
        let config = check.config(raw, hash_of);
        check.verdict()?;
        let mut config = config.ok_or_else(|| Error::bug("a configuration was refused without a reason"))?;
        config.warnings = check.into_warnings();
        Ok(config)
    }

    /// Everything that bears on security.
    pub fn adopted(&self) -> Settings {
        Settings {
            schema: settings::SCHEMA.to_owned(),
            environment: self.environment,
            organization: self.organization.clone(),
            hsm: self.hsm.iter().map(|(name, hsm)| (name.clone(), hsm.token.clone())).collect(),
            keys: self.keys.clone(),
            timestamp: self.timestamp.clone(),
            policy: self.policy.clone(),
            rotation: self.rotation,
            publication: self.publication.clone(),
            pipelines: self.pipelines.clone(),
            tool: self.tool.clone(),
        }
    }

    /// The text of a commented `keyctl.toml` for a sandbox; it loads as it is.
    pub fn render_default(organization: &str, origin: &str) -> String {
        render::sandbox(organization, origin)
    }
}

#[cfg(test)]
mod tests;
