//! Founding a workspace, and continuing a founding that was interrupted: each part is made only if it is not there.

use crate::config::workspace::Workspace;
use crate::config::{Config, Issuer, Key, MAX_CONFIG, MAX_TRUST};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::founding::people::Sources;
use crate::founding::request::Unfounded;
use crate::founding::{begun, genesis, people, tokens};
use crate::gate::{self, Consent};
use crate::keys::State;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::begun::Begun;
use crate::ledger::query;
use crate::lifecycle::{advance, generate};
use crate::model::{Environment, Hash256, KeyName, Purpose};
use crate::published::{keyrings, register};
use crate::world::{Globals, World, pin_of, settle_environment};
use std::path::Path;

/// The configuration of a sandbox.
pub(crate) fn template() -> String {
    Config::render_default("Example Corp", "sandbox.invalid/keyctl")
}

/// The sandbox's folder where none is named.
pub const SANDBOX: &str = ".keyctl-sandbox";

/// Founds the workspace, or continues an interrupted founding; in a sandbox also makes its keys.
pub(crate) fn found(dir: &Path, sources: &Sources<'_>, globals: &Globals) -> Result<World, Unfounded> {
    // Where there is no place for a pin, nothing is begun.
    state_dir()?;
    safe::create_private_dir(dir)?;
    let dir = dir.canonicalize().map_err(Error::from)?;
    begun::begin(&dir, sources.from.is_some())?;
    for folder in ["tokens", "evidence", "requests", "locks", "revocations"] {
        safe::create_private_dir(&dir.join(folder))?;
    }
    for folder in ["published", "published/certs", "published/crl", "published/apt"] {
        create_public_dir(&dir.join(folder))?;
    }
    let config = settle_config(&dir, sources.from)?;
    let is_sandbox = config.environment == Environment::Sandbox;
    if is_sandbox {
        safe::create_private_dir(&dir.join(people::PEOPLE))?;
    }
    settle_environment(&config)?;
    config.keys.iter().try_for_each(|(name, key)| generate::check_custody(name, key))?;
    crate::world::tidy(&dir);
    let (store, knew) = if gate::is_founded(&dir)? {
        let state = state_dir()?;
        (None, Begun::of(&state, &dir).is_open() || Pin::bound_to(&state, &dir)?.is_some())
    } else {
        let roster = people::settle_roster(&dir, &config, sources)?;
        people::check_roster(&roster, &config, globals.clock.now())?;
        tokens::make_builtin_tokens(&dir, &config)?;
        (Some(genesis::genesis(&dir, &config, &roster, sources.earlier, globals)?), false)
    };
    let mut world = World::open_with(Workspace::open(&dir)?, globals.clone(), store)?;
    if knew {
        // An interruption may have come before this; on first sight it is not for this user to vouch for it.
        let pin = pin_of(&world.genesis, world.ledger.entry(0)?.leaf_hash()?, &dir)?;
        genesis::trust_on_host(&pin, &dir, world.genesis.environment, globals)?;
    }
    if is_sandbox {
        make_keys(&mut world)?;
    }
    keyrings::publish(&mut world)?;
    register::register(&world)?;
    world.checkpoint()?;
    Ok(world)
}

fn make_keys(world: &mut World) -> Result<()> {
    let settings = world.settings()?;
    for name in settings.by_issuer() {
        let key = settings.key(&name)?.clone();
        if !is_unmade(world, &name, &key)? {
            continue;
        }
        let command = vec!["keygen".to_owned(), name.to_string()];
        let plan = advance::plan(world, (&name, &key), false, command, None)?;
        let consent = Consent::of_sandbox(plan, &world.ledger)?;
        advance::advance(world, &consent, &name, &key)?;
    }
    Ok(())
}

/// Whether every key of a sandbox has come into use at some time. If not, its founding was interrupted, and goes on.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn is_finished(world: &World) -> Result<bool> {
    let settings = query::settings(world.ledger.connection())?.settings;
    for (name, key) in &settings.keys {
        if is_unmade(world, name, key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A key that is ours to make, and was never in use.
fn is_unmade(world: &World, name: &KeyName, key: &Key) -> Result<bool> {
    if key.purpose == Purpose::Ledger || key.issuer == Issuer::External {
        return Ok(false);
    }
    let before_use = [State::Planned, State::Generated, State::Certified, State::Staged];
    let all = query::generations(world.ledger.connection())?;
    Ok(all.iter().filter(|one| one.id.key == *name).all(|one| before_use.contains(&one.state)))
}

/// `published/` is for others to read.
fn create_public_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match path.symlink_metadata() {
        // An interrupted founding left it; it is open to readers already.
        Ok(_) => drop(safe::trusted_path(path)?),
        Err(_) => safe::create_private_dir(path)?,
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Puts the configuration in its place. As long as nothing was made by it, another one may replace it.
fn settle_config(dir: &Path, from: Option<&Path>) -> Result<Config> {
    let path = dir.join(crate::config::workspace::CONFIG);
    let text = match from {
        Some(from) => Some(safe::read_text(from, MAX_CONFIG)?),
        None if path.exists() => None,
        None => Some(template()),
    };
    let begun = || dir.join(crate::ledger::FILE).exists() || dir.join(gate::GENESIS_INTENT).exists();
    match text {
        Some(text) if path.exists() && begun() && safe::read_text(&path, MAX_CONFIG)? != text => {
            let message = format!("{} was begun with another keyctl.toml", shown_path(dir));
            return Err(Error::usage("workspace_exists", message)
                .hint("the same file continues it; after that, edit the workspace's own and run keyctl adopt"));
        }
        Some(text) => {
            Config::parse(&text, &path, &|file| Ok(Hash256::of(&safe::read_bounded(&dir.join(file), MAX_TRUST)?)))?;
            safe::write_atomic(&path, text.as_bytes(), 0o600)?;
        }
        None => {}
    }
    Config::load(&path)
}
