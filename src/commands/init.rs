//! `init`: founds a workspace: entry 0, its tokens, its people, its keys.

use crate::clock::rfc3339;
use crate::commands::status;
use crate::config::{Config, Key, MAX_CONFIG, MAX_TRUST};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::founding::found::{SANDBOX, found, template};
use crate::founding::people::Sources;
use crate::founding::request::Awaited;
use crate::model::{Environment, Hash256, KeyName, Purpose};
use crate::published::worktree;
use crate::ui::{Row, Worst};
use crate::world::{Globals, World, grouped};
use std::path::{Path, PathBuf};

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
/// The folder is --workspace; without --from it may be left out, and is .keyctl-sandbox here then. Repeating an interrupted init continues it.
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

/// Runs `init`.
///
/// # Errors
/// The folder is a workspace already, the configuration is not accepted, or a token refuses.
pub fn run(args: &InitArgs, globals: &Globals) -> Result<Worst> {
    let dir = match &globals.workspace {
        Some(dir) => dir.clone(),
        None => PathBuf::from(SANDBOX),
    };
    if args.from.is_some() && globals.workspace.is_none() {
        let message =
            "a workspace from a file of one's own belongs into a folder that is named, not into the sandbox's";
        return Err(Error::usage("workspace_needed", message)
            .hint("keyctl --workspace DIR init --from keyctl.toml --roster roster.toml"));
    }
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
    let world = found(&dir, &sources, globals).map_err(|unfounded| {
        unfounded.awaited.iter().for_each(|awaited| globals.ui.object(&row(awaited)));
        unfounded.error
    })?;
    if args.sandbox && world.genesis.environment != Environment::Sandbox {
        let message = format!("{} is a {} workspace", shown_path(&dir), world.genesis.environment);
        return Err(Error::usage("workspace_exists", message));
    }
    let worst = worktree::after(&world, Ok(Worst::default()))?;
    let rows: Vec<_> = crate::ledger::query::generations(world.ledger.connection())?.iter().map(status::row).collect();
    globals.ui.rows(status::COLUMNS, &rows);
    let hash = world.ledger.entry(0)?.leaf_hash()?.to_string();
    globals.ui.say(&format!("\ngenesis {}", grouped(&hash)));
    globals.ui.say(&format!("{} workspace ready in {}", world.genesis.environment, shown_path(&dir)));
    match world.genesis.environment {
        Environment::Sandbox => globals.ui.say("its keys are in software and prove nothing about who signed"),
        _ => next_commands(&world, &dir)?,
    }
    Ok(worst)
}

/// A founding that waits for everyone's signature.
fn row(awaited: &Awaited) -> Row {
    let sha256 = awaited.sha256.to_string();
    Row::new()
        .with("request", shown_path(&awaited.path))
        .with("request_id", awaited.document.request_id.as_str())
        .with("sha256", sha256.as_str())
        .with("aloud", grouped(&sha256))
        .with("waits_for", awaited.waits_for.clone())
        .with("until", rfc3339(awaited.document.not_after))
}

/// Outside a sandbox each key is asked for, and approved, by itself.
fn next_commands(world: &World, dir: &Path) -> Result<()> {
    let settings = world.settings()?;
    let missing = settings.by_issuer().into_iter().filter(|name| world.active(name).is_err());
    for name in missing.filter(|name| settings.keys.get(name).is_some_and(|key| key.purpose != Purpose::Ledger)) {
        let line = format!("next: keyctl --workspace {} --identity SSHKEY keygen {name}", shown_path(dir));
        world.ui().say(&line);
    }
    Ok(())
}
