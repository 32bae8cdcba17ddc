//! `init`: founds a workspace: entry 0, its tokens, its people, its keys.

use super::{keygen, openpgp, publication, publish};
use crate::config::workspace::Workspace;
use crate::config::{Config, Issuer, Key, MAX_CONFIG, MAX_TRUST};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::gate;
use crate::ledger::anchor::{Pin, state_dir};
use crate::model::{Environment, Hash256, KeyName, Purpose};
use crate::ui::Worst;
use crate::world::{Globals, World, grouped, pin_of};
use std::path::{Path, PathBuf};

mod earlier;
mod genesis;
mod people;
mod request;
mod tokens;

/// Found a workspace
///
/// --sandbox makes software tokens inside the workspace and a whole hierarchy of keys on them, through the same
/// road as in production, so that everything can be tried on a machine without an HSM; its people and their SSH
/// keys are made too. --from takes a configuration that names tokens of your own, and a roster of your people. The
/// workspace's first ledger entry fixes its environment, ledger keys, tokens and first roster for ever; its hash is
/// printed, to be read aloud and pinned.
///
/// Outside a sandbox everyone in the roster has to agree: the first run writes a request, each person signs it with
/// every key the roster has for them, and init, repeated, founds the workspace. If root does, the hash is kept for
/// every user of the host in /etc/keyctl/trust.
///
/// The folder is --workspace, or .keyctl-sandbox here. Repeating an interrupted init continues it.
///
/// Examples:
///   keyctl init --sandbox
///   keyctl --workspace trial init --from keyctl.toml
///   keyctl --workspace prod --identity id_ed25519 init --from keyctl.toml --roster roster.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct InitArgs {
    /// Make a sandbox: software tokens, P-256 keys, no network
    #[arg(long)]
    sandbox: bool,
    /// Found a workspace with this keyctl.toml (and the roster.toml beside it)
    #[arg(long, value_name = "FILE", conflicts_with = "sandbox")]
    from: Option<PathBuf>,
    /// Its people
    #[arg(long, value_name = "FILE", conflicts_with = "sandbox")]
    roster: Option<PathBuf>,
    /// The workspace that had the tokens before, and whose people agree that this one takes them over
    #[arg(long, value_name = "DIR", conflicts_with = "sandbox")]
    earlier: Option<PathBuf>,
}

/// Shows the keys that would be made; writes nothing and asks no token.
fn dry_run(dir: &Path, from: Option<&Path>, globals: &Globals) -> Result<Worst> {
    let text = match from {
        Some(from) => safe::read_text(from, MAX_CONFIG)?,
        None => template(),
    };
    let hash_of = |file: &Path| Ok(Hash256::of(&safe::read_bounded(&dir.join(file), MAX_TRUST)?));
    let config = Config::parse(&text, &dir.join(crate::config::workspace::CONFIG), &hash_of)?;
    let row = |(name, key): (&KeyName, &Key)| {
        crate::ui::Row::new()
            .with("key", name.as_str())
            .with("purpose", key.purpose.as_str())
            .with("algorithm", key.algorithm.as_str())
            .with("issuer", key.issuer.to_string())
            .with("hsm", key.hsm.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let rows: Vec<_> = config.keys.iter().map(row).collect();
    globals.ui.rows(&["key", "purpose", "algorithm", "issuer", "hsm"], &rows);
    Ok(Worst::default())
}

/// The configuration of a sandbox.
fn template() -> String {
    Config::render_default("Example Corp", "sandbox.invalid/keyctl")
}

/// The sandbox's folder where none is named.
pub const SANDBOX: &str = ".keyctl-sandbox";

/// Runs `init`.
///
/// # Errors
/// The folder is a workspace already, the configuration is not accepted, or a token refuses.
pub fn run(args: &InitArgs, globals: &Globals) -> Result<Worst> {
    let dir = match &globals.workspace {
        Some(dir) => dir.clone(),
        None => PathBuf::from(SANDBOX),
    };
    if globals.dry_run {
        return dry_run(&dir, args.from.as_deref(), globals);
    }
    if !args.sandbox && args.from.is_none() && !dir.join(crate::config::workspace::CONFIG).exists() {
        return Err(Error::usage(
            "nothing_to_found",
            format!("{} holds no keyctl.toml to go on with", shown_path(&dir)),
        )
        .hint("keyctl init --sandbox, or keyctl --workspace DIR init --from keyctl.toml --roster roster.toml"));
    }
    let sources =
        Sources { from: args.from.as_deref(), roster: args.roster.as_deref(), earlier: args.earlier.as_deref() };
    let world = found(&dir, &sources, globals)?;
    if args.sandbox && world.genesis.environment != Environment::Sandbox {
        let message = format!("{} is a {} workspace", shown_path(&dir), world.genesis.environment);
        return Err(Error::usage("workspace_exists", message));
    }
    let worst = publication::after(&world, Ok(Worst::default()))?;
    let rows: Vec<_> =
        crate::ledger::query::generations(world.ledger.connection())?.iter().map(super::status::row).collect();
    globals.ui.rows(super::status::COLUMNS, &rows);
    let hash = world.ledger.entry(0)?.leaf_hash()?.to_string();
    globals.ui.say(&format!("\ngenesis {}", grouped(&hash)));
    globals.ui.say(&format!("{} workspace ready in {}", world.genesis.environment, shown_path(&dir)));
    match world.genesis.environment {
        Environment::Sandbox => globals.ui.say("its keys are in software and prove nothing about who signed"),
        _ => next_commands(&world, &dir)?,
    }
    Ok(worst)
}

/// Outside a sandbox each key is asked for, and approved, by itself.
fn next_commands(world: &World, dir: &Path) -> Result<()> {
    let settings = world.settings()?;
    let missing = by_issuer(&settings).into_iter().filter(|name| world.active(name).is_err());
    for name in missing.filter(|name| settings.keys.get(name).is_some_and(|key| key.purpose != Purpose::Ledger)) {
        let line = format!("next: keyctl --workspace {} --identity SSHKEY keygen {name}", shown_path(dir));
        world.ui().say(&line);
    }
    Ok(())
}

/// The files that a workspace is founded with, where they are not in it already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sources<'a> {
    pub from: Option<&'a Path>,
    pub roster: Option<&'a Path>,
    pub earlier: Option<&'a Path>,
}

/// Founds the workspace, or continues an interrupted founding; in a sandbox also makes its keys.
pub(super) fn found(dir: &Path, sources: &Sources<'_>, globals: &Globals) -> Result<World> {
    safe::create_private_dir(dir)?;
    let dir = dir.canonicalize()?;
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
    config.keys.iter().try_for_each(|(name, key)| keygen::check_custody(name, key))?;
    crate::world::tidy(&dir);
    let (store, knew) = if gate::is_founded(&dir)? {
        (None, Pin::bound_to(&state_dir()?, &dir)?.is_some())
    } else {
        let roster = people::settle_roster(&dir, &config, sources)?;
        people::check_roster(&roster, &config, globals.clock.now())?;
        tokens::make_builtin_tokens(&dir, &config)?;
        (Some(genesis::genesis(&dir, &config, &roster, sources.earlier, globals)?), false)
    };
    let mut world = World::open_with(Workspace::open(&dir)?, globals.clone(), store)?;
    if knew {
        // An interruption may have come before this; on first sight it is not for this user to vouch for it.
        let pin = pin_of(&world.genesis, world.ledger.entry(0)?.leaf_hash()?)?;
        genesis::trust_on_host(&pin, &dir, world.genesis.environment, globals)?;
    }
    if is_sandbox {
        make_keys(&mut world)?;
    }
    openpgp::publish(&mut world)?;
    publish::register(&world)?;
    world.checkpoint()?;
    Ok(world)
}

fn make_keys(world: &mut World) -> Result<()> {
    let settings = world.settings()?;
    for name in by_issuer(&settings) {
        let key = keygen::setting(&settings, &name)?;
        let made = crate::ledger::query::next_number(world.ledger.connection(), &name)? > 1;
        if key.purpose == Purpose::Ledger || key.issuer == Issuer::External || (made && world.active(&name).is_ok()) {
            continue;
        }
        keygen::advance(world, &name, &key)?;
    }
    Ok(())
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

/// Issuers before those they issue.
pub(super) fn by_issuer(settings: &crate::config::Settings) -> Vec<KeyName> {
    let depth = |name: &KeyName| {
        let mut at = Some(name.clone());
        let mut depth = 0;
        while let Some(name) = at {
            at = match settings.keys.get(&name).map(|key| &key.issuer) {
                Some(Issuer::Key(issuer)) if depth < settings.keys.len() => Some(issuer.clone()),
                _ => None,
            };
            depth += 1;
        }
        depth
    };
    let mut names: Vec<_> = settings.keys.keys().cloned().collect();
    names.sort_by_key(depth);
    names
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
