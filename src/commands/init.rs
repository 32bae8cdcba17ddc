//! `init`: founds a workspace: entry 0, its tokens, its keys.

use super::{keygen, openpgp, publish};
use crate::config::workspace::Workspace;
use crate::config::{Config, Issuer, Key, MAX_CONFIG, MAX_TRUST, Module};
use crate::crypto::note::VerifierKey;
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::gate;
use crate::hsm::store::{PUBLIC_HALF, Store, record};
use crate::hsm::{Pin as TokenPin, builtin};
use crate::ledger::anchor::state_dir;
use crate::ledger::genesis::{Genesis, GenesisIntent, LedgerKey};
use crate::model::{CkaId, Custody, Environment, GenerationId, Hash256, KeyName, Purpose, hex};
use crate::request::{GenerateKey, Operation, Request};
use crate::ui::Worst;
use crate::world::{Globals, World, grouped, pin_of, token_specs, tool};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Found a workspace
///
/// --sandbox makes software tokens inside the workspace and a whole hierarchy of keys on them, through the same
/// road as in production, so that everything can be tried on a machine without an HSM. --from takes a
/// configuration that names tokens of your own. The workspace's first ledger entry fixes its environment,
/// ledger keys and tokens for ever; its hash is printed, to be read aloud and pinned.
///
/// The folder is --workspace, or .keyctl-sandbox here. Repeating an interrupted init continues it.
///
/// Examples:
///   keyctl init --sandbox
///   keyctl --workspace trial init --from keyctl.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct InitArgs {
    /// Make a sandbox: software tokens, P-256 keys, no network
    #[arg(long, required_unless_present = "from")]
    sandbox: bool,
    /// Found a workspace with this keyctl.toml
    #[arg(long, value_name = "FILE", conflicts_with = "sandbox")]
    from: Option<PathBuf>,
}

/// Shows the keys that would be made; writes nothing and asks no token.
fn dry_run(dir: &Path, from: Option<&Path>, globals: &Globals) -> Result<Worst> {
    let text = match from {
        Some(from) => safe::read_text(from, MAX_CONFIG)?,
        None => Config::render_default("Example Corp", "sandbox.invalid/keyctl"),
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
    let world = found(&dir, args.from.as_deref(), globals)?;
    let rows: Vec<_> =
        crate::ledger::query::generations(world.ledger.connection())?.iter().map(super::status::row).collect();
    globals.ui.rows(super::status::COLUMNS, &rows);
    let hash = world.ledger.entry(0)?.leaf_hash()?.to_string();
    globals.ui.say(&format!("\ngenesis {}", grouped(&hash)));
    globals.ui.say(&format!(
        "{} workspace ready in {}",
        world.genesis.environment,
        crate::error::shown(&dir.display().to_string())
    ));
    if world.genesis.environment == Environment::Sandbox {
        globals.ui.say("its keys are in software and prove nothing about who signed");
    }
    Ok(Worst::default())
}

/// Founds the workspace, or continues an interrupted founding, and makes its keys.
pub(super) fn found(dir: &Path, from: Option<&Path>, globals: &Globals) -> Result<World> {
    safe::create_private_dir(dir)?;
    let dir = dir.canonicalize()?;
    for folder in ["tokens", "evidence", "requests", "locks", "revocations"] {
        safe::create_private_dir(&dir.join(folder))?;
    }
    for folder in ["published", "published/certs", "published/crl", "published/apt"] {
        create_public_dir(&dir.join(folder))?;
    }
    let config = settle_config(&dir, from)?;
    if config.environment != Environment::Sandbox {
        return Err(Error::new(
            Kind::ApprovalNeeded,
            "approval_needed",
            format!("founding a {} workspace needs other people's signatures", config.environment),
        )
        .hint("only a sandbox can be founded alone; try environment = \"sandbox\" on the same tokens first"));
    }
    config.keys.iter().try_for_each(|(name, key)| keygen::check_custody(name, key))?;
    crate::world::tidy(&dir);
    make_builtin_tokens(&dir, &config)?;
    let store = if gate::is_founded(&dir)? { None } else { Some(genesis(&dir, &config, globals)?) };
    let mut world = World::open_with(Workspace::open(&dir)?, globals.clone(), store)?;
    let settings = world.settings()?;
    for name in by_issuer(&settings) {
        let key = keygen::setting(&settings, &name)?;
        let made = crate::ledger::query::next_number(world.ledger.connection(), &name)? > 1;
        if key.purpose == Purpose::Ledger || key.issuer == Issuer::External || (made && world.active(&name).is_ok()) {
            continue;
        }
        keygen::advance(&mut world, &name, &key)?;
    }
    openpgp::publish(&mut world)?;
    publish::register(&world)?;
    world.checkpoint()?;
    Ok(world)
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
        None => Some(Config::render_default("Example Corp", "sandbox.invalid/keyctl")),
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

/// Software tokens live in the workspace, with long random PINs in files beside them. A half-made one cannot be told
/// from a whole one, nor completed, so a mark stands beside it while it is made; a token without the mark is never
/// touched. The mark is gone, durably, before the first key is made.
fn make_builtin_tokens(dir: &Path, config: &Config) -> Result<()> {
    for (name, hsm) in &config.hsm {
        let folder = dir.join("tokens").join(name.as_str());
        let mark = folder.join("unfinished");
        let is_there = folder.join(builtin::DATABASE).exists() && !mark.exists();
        if hsm.token.module != Module::Builtin || is_there {
            continue;
        }
        safe::create_private_dir(&folder)?;
        if mark.exists() {
            clear(&folder, &mark)?;
        }
        safe::write_atomic(&mark, b"", 0o600)?;
        let secret = |file: &str| -> Result<TokenPin> {
            let path = folder.join(file);
            if !path.exists() {
                safe::write_new(&path, hex(&keygen::random::<16>()?).as_bytes(), 0o600)?;
            }
            Ok(TokenPin::new(String::from_utf8_lossy(&safe::read_bounded(&path, 256)?).into_owned())?)
        };
        let (so_pin, pin) = (secret("so-pin")?, secret("pin")?);
        let label = hsm.token.label.clone().unwrap_or_else(|| name.to_string());
        builtin::create(&folder, &label, &so_pin, &pin)?;
        safe::remove(&mark)?;
    }
    Ok(())
}

/// Removes what an interrupted creation left, all but the mark.
fn clear(folder: &Path, mark: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path != mark {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes entry 0; gives the tokens it opened.
fn genesis(dir: &Path, config: &Config, globals: &Globals) -> Result<Store> {
    let store = Store::new(token_specs(config, dir, 1));
    // All of them before anything is made: a wrong PIN or a missing token is found out now.
    let tokens = config
        .hsm
        .keys()
        .map(|name| Ok((name.clone(), record(store.token(name)?.info()))))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let settings = config.adopted();
    let ledger_keys = config
        .keys
        .iter()
        .filter(|(_, key)| key.purpose == Purpose::Ledger)
        .map(|(name, key)| ledger_request(&store, globals, config, (name, key), false))
        .collect::<Result<Vec<_>>>()?;
    if ledger_keys.is_empty() {
        return Err(Error::usage("no_ledger_key", "keyctl.toml has no key with purpose = \"ledger\""));
    }
    let mut founding = gate::found(
        dir,
        GenesisIntent {
            workspace_id: uuid::Uuid::new_v4().to_string(),
            actor: globals.actor(),
            correlation_id: globals.correlation_id.clone(),
            ledger_keys,
        },
    )?;
    let mut made: Vec<LedgerKey> = Vec::new();
    while let Some(permit) = founding.permits().get(made.len()) {
        let generation = permit.request().params.generation.clone();
        let key = match store.generate_or_take_over(permit) {
            Err(failure) if failure.error.code() == PUBLIC_HALF => {
                let unknown = || Error::usage("unknown_key", format!("keyctl.toml has no [keys.{}]", generation.key));
                let key = config.keys.get_key_value(&generation.key).ok_or_else(unknown)?;
                let request = ledger_request(&store, globals, config, key, true)?;
                founding = founding.replan(dir, made.len(), request)?;
                continue;
            }
            key => key.map_err(|failure| failure.error)?,
        };
        let identity = key.identity().clone();
        if let Some(wrong) = identity.mismatches() {
            let message = format!("the token reports other values for {wrong} of the ledger key");
            return Err(Error::blocked("quarantined", message).hint("put the ledger key on another token"));
        }
        let verifier = VerifierKey::new(&config.organization.origin, identity.public_key()?)?.to_string();
        made.push(LedgerKey { generation, identity, verifier });
    }
    let genesis = Genesis {
        workspace_id: founding.intent().workspace_id.clone(),
        environment: config.environment,
        origin: config.organization.origin.clone(),
        ledger_keys: made,
        tokens,
        settings_sha256: settings.sha256()?,
        settings: keygen::to_value(&settings)?,
        roster: None,
        roster_sha256: None,
        intent: founding.intent().clone(),
        tool: tool().clone(),
    };
    let (_ledger, hash) = founding.finish(dir, &genesis, globals.clock.clone())?;
    let (pin, state) = (pin_of(&genesis, hash)?, state_dir()?);
    pin.create(&state)?;
    pin.bind_folder(&state, dir)?;
    Ok(store)
}

fn ledger_request(
    store: &Store,
    globals: &Globals,
    config: &Config,
    (name, key): (&KeyName, &Key),
    again: bool,
) -> Result<Request<GenerateKey>> {
    let hsm = keygen::first_hsm(key)?;
    let token = store.token(hsm)?;
    let now = globals.clock.now();
    let generation = GenerationId { key: name.clone(), number: 1 };
    let cka_id = CkaId::new(keygen::random::<16>()?)?;
    let params = GenerateKey {
        label: keygen::label(&generation, now, again.then_some(&cka_id)),
        generation,
        purpose: Purpose::Ledger,
        environment: config.environment,
        custody: Custody::Bound,
        algorithm: key.algorithm,
        hsm: hsm.clone(),
        token_serial: token.info().serial.clone(),
        cka_id,
        created: Some(now),
        destroyable: true,
        nonce: hex(&keygen::random::<32>()?),
    };
    Ok(Request {
        request_id: uuid::Uuid::new_v4().to_string(),
        correlation_id: globals.correlation_id.clone(),
        operation: GenerateKey::NAME.into(),
        object: params.generation.to_string(),
        actor: globals.actor(),
        signatures: vec![keygen::proof_covered(&params)],
        params,
        approvals: Vec::new(),
        authority: None,
    })
}
