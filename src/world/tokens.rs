//! The tokens that the configuration names, as the token stage knows them.

use crate::config::{self, Config};
use crate::error::Result;
use crate::files::environment::{self, Wanted};
use crate::hsm::store::{Patience, Store};
use crate::hsm::{ModuleSpec, PinSource, Production, TokenSpec};
use crate::model::Environment;
use crate::retry::{Sleeper, Waiter};
use crate::ui::Ui;
use std::path::Path;

/// A store over the tokens that the configuration names; one that cannot be used just now is asked again as it says.
pub fn store(config: &Config, dir: &Path, sessions: usize, ui: &Ui) -> Store {
    let ui = ui.clone();
    let pauses = || Ok(Box::new(Sleeper::new(super::interrupts()?)) as Box<dyn Waiter>);
    let patience = Patience::new(config.retry, pauses, move |words| ui.say(words));
    Store::new(token_specs(config, dir, sessions)).patient(patience)
}

/// The tokens that the configuration names; relative files are the workspace's.
pub fn token_specs(config: &Config, dir: &Path, sessions: usize) -> Vec<TokenSpec> {
    let spec = |(name, hsm): (&crate::model::HsmName, &config::Hsm)| TokenSpec {
        name: name.clone(),
        module: match &hsm.token.module {
            config::Module::Builtin => ModuleSpec::Builtin { folder: dir.join("tokens").join(name.as_str()) },
            config::Module::Path { path, sha256, init_args } => {
                ModuleSpec::File { path: path.clone(), sha256: *sha256, init_args: init_args.clone() }
            }
        },
        label: hsm.token.label.clone(),
        serial: hsm.token.serial.clone(),
        pin: pin_source(&hsm.pins, dir),
        timeout: hsm.timeout,
        sessions: sessions.clamp(1, 64),
        recorded: None,
        production: (config.environment == Environment::Production).then(|| Production {
            wanted: hsm.token.clone(),
            dir: dir.to_path_buf(),
            libraries: None,
        }),
    };
    config.hsm.iter().map(spec).collect()
}

/// Gives modules the variables that the configuration names. In production, and where it names any, they get no others;
/// production also refuses to run where the loader was told to take code from elsewhere.
///
/// # Errors
/// `loader_steered`, `environment_changed`, `untrusted_path`.
pub fn settle_environment(config: &Config) -> Result<()> {
    let production = config.environment == Environment::Production;
    if production {
        environment::refuse_loader()?;
    }
    let strict = production || config.hsm.values().any(|hsm| hsm.token.environment.is_some());
    if !strict {
        return Ok(());
    }
    let named = config.hsm.values().flat_map(|hsm| hsm.token.environment.iter().flatten());
    let wanted =
        named.map(|(name, variable)| (name.clone(), Wanted { value: variable.value.clone(), sha256: variable.sha256 }));
    let pins = config.hsm.values().flat_map(|hsm| &hsm.pins).filter_map(|pin| match pin {
        config::PinSource::Env(name) => Some(name.clone()),
        _ => None,
    });
    environment::settle(&wanted.collect(), &pins.collect())
}

fn pin_source(pins: &[config::PinSource], dir: &Path) -> PinSource {
    let one = |pin: &config::PinSource| match pin {
        config::PinSource::Env(name) => PinSource::Env(name.clone()),
        config::PinSource::File(path) => PinSource::File(dir.join(path)),
        config::PinSource::Fd(number) => PinSource::Fd(u32::try_from(*number).unwrap_or(u32::MAX)),
        config::PinSource::Command(line) => PinSource::Command(line.clone()),
        config::PinSource::Prompt => PinSource::Prompt,
        config::PinSource::None => PinSource::None,
    };
    match pins {
        [] => PinSource::Prompt,
        [only] => one(only),
        several => PinSource::FirstOf(several.iter().map(one).collect()),
    }
}
