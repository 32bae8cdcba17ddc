//! What a command finds open: the workspace, its ledger, its tokens, the clock, the terminal. Each part is
//! opened when it is first needed.

use crate::clock::Clock;
use crate::config::workspace::Workspace;
use crate::config::{self, Config, Settings};
use crate::crypto::note::{SignedNote, VerifierKey};
use crate::error::{Error, Result};
use crate::evidence::fragment::Fragment;
use crate::files::lock::ProcessLock;
use crate::files::pace::Pace;
use crate::files::{safe, shown_path, sweep};
use crate::gate::Warrant;
use crate::hsm::store::Store;
use crate::hsm::{ModuleSpec, PinSource, TokenSpec};
use crate::keys::Generation;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::genesis::{Genesis, Tool};
use crate::ledger::trust::{self, HostTrust};
use crate::ledger::{self, Ledger, query};
use crate::model::{Actor, Assurance, CorrelationId, Email, GenerationId, KeyName};
use crate::outcome::Receipt;
use crate::people::Roster;
use crate::people::request::BreakGlass;
use crate::people::roster;
use crate::request::Request;
use crate::ui::Ui;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod act;
pub mod authority;
pub mod orphans;
pub mod requests;
pub mod small;

/// The global flags, and what stands in for the outside.
#[derive(Clone, Debug)]
pub struct Globals {
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--actor`.
    pub actor: Option<Email>,
    /// `--correlation-id`, or a fresh one.
    pub correlation_id: CorrelationId,
    /// `--identity`: the SSH key by which the actor proves who they are.
    pub identity: Option<PathBuf>,
    /// `--because`: why something is asked for.
    pub because: Option<String>,
    /// `--ticket`.
    pub ticket: Option<String>,
    /// A declared incident, from the command that breaks the glass.
    pub break_glass: Option<BreakGlass>,
    /// `--yes`: nobody is asked whether they mean it.
    pub yes: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// How many sessions a token gets.
    pub sessions: usize,
    /// The one clock.
    pub clock: Clock,
    /// The terminal.
    pub ui: Ui,
}

impl Globals {
    /// Who asks: the named person, else the operating system's user at this host. Asserted, not proven.
    pub fn actor(&self) -> Actor {
        let fallback = || {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
            let slug = |text: &str| {
                text.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect::<String>()
            };
            let user = slug(&user);
            let user = if user.is_empty() { format!("uid{}", rustix::process::getuid().as_raw()) } else { user };
            let host = rustix::system::uname();
            format!("{user}@{}", slug(&host.nodename().to_string_lossy())).parse().ok()
        };
        let unknown = || "unknown@localhost".parse().ok();
        let email = self.actor.clone().or_else(fallback).or_else(unknown);
        Actor {
            email: email.unwrap_or_else(|| unreachable!("a constant address parses")),
            role: None,
            assurance: Assurance::Asserted,
        }
    }
}

/// An opened workspace.
pub struct World {
    /// Flags, clock, terminal.
    pub globals: Globals,
    /// The folder.
    pub dir: PathBuf,
    /// `keyctl.toml` as it stands.
    pub config: Config,
    /// The ledger.
    pub ledger: Ledger,
    /// Entry 0.
    pub genesis: Genesis,
    /// The tokens.
    pub store: Arc<Store>,
    /// What other people agreed to, under `run`.
    pub warrant: Option<Warrant>,
    pin: Pin,
    process: Option<ProcessLock>,
}

impl World {
    /// Finds and opens the workspace that the flags name.
    ///
    /// # Errors
    /// There is none, it is not to be trusted, or its ledger is behind what this user has seen of it.
    pub fn open(globals: Globals) -> Result<Self> {
        let state = state_dir()?;
        let pinned = |dir: &Path| {
            Ledger::open_read_only(&dir.join(ledger::FILE), globals.clock.clone())
                .and_then(|ledger| query::genesis(ledger.connection()))
                .is_ok_and(|genesis| Pin::load(&state, &genesis.workspace_id).is_ok_and(|pin| pin.is_some()))
        };
        let current = std::env::current_dir()?;
        let workspace = Workspace::find(globals.workspace.as_deref(), &current, &pinned).map_err(|error| {
            let beside = globals.workspace.is_none() && current.join(".keyctl-sandbox/keyctl.toml").exists();
            if beside { error.hint("export KEYCTL_WORKSPACE=.keyctl-sandbox") } else { error }
        })?;
        Self::open_at(workspace, globals)
    }

    /// Opens the workspace in this folder.
    ///
    /// # Errors
    /// As [`World::open`].
    pub fn open_at(workspace: Workspace, globals: Globals) -> Result<Self> {
        Self::open_with(workspace, globals, None)
    }

    /// [`World::open_at`] with the tokens that the founding has open: a PIN from a descriptor can be read only once.
    ///
    /// # Errors
    /// As [`World::open`].
    pub fn open_with(workspace: Workspace, globals: Globals, store: Option<Store>) -> Result<Self> {
        let Workspace { dir, config } = workspace;
        let config = Config::load(&config)?;
        let mut ledger = Ledger::open(&dir.join(ledger::FILE), globals.clock.clone())?;
        let genesis = query::genesis(ledger.connection())?;
        if config.environment != genesis.environment {
            let message = format!("keyctl.toml says {}, the workspace is {}", config.environment, genesis.environment);
            return Err(Error::blocked("environment_changed", message)
                .hint("an environment never changes; make another workspace"));
        }
        let pin = trusted_pin(&globals, &dir, &ledger, &genesis)?;
        ledger.trusting(pin.trust());
        let odd = ledger::heads::check(&state_dir()?, &dir, &ledger, &pin.trust())?;
        odd.iter().for_each(|odd| globals.ui.warn(odd));
        let mut store = store.unwrap_or_else(|| Store::new(token_specs(&config, &dir, globals.sessions)));
        store.pin(query::tokens(ledger.connection())?);
        let store = Arc::new(store);
        Ok(World { globals, dir, config, ledger, genesis, store, warrant: None, pin, process: None })
    }

    /// The terminal.
    pub fn ui(&self) -> &Ui {
        &self.globals.ui
    }

    /// The adopted settings. Refuses if `keyctl.toml` says something else by now: gates read the adopted copy,
    /// and nobody should be left believing that an edit took effect.
    ///
    /// # Errors
    /// `settings_changed`.
    pub fn settings(&self) -> Result<Settings> {
        let adopted = query::settings(self.ledger.connection())?;
        let changes = Settings::diff(&adopted.settings, &self.config.adopted())?;
        if let Some(first) = changes.first() {
            let more = if changes.len() > 1 { format!(" and {} more", changes.len() - 1) } else { String::new() };
            let message = format!("keyctl.toml differs from the adopted settings: {first}{more}");
            return Err(Error::blocked("settings_changed", message).hint("keyctl adopt"));
        }
        self.check_roster()?;
        Ok(adopted.settings)
    }

    /// The roster as its file says it; `None` where the workspace has no people.
    ///
    /// # Errors
    /// `roster_missing`, `bad_roster`, or the file cannot be read.
    pub fn roster_file(&self) -> Result<Option<Roster>> {
        if query::roster(self.ledger.connection())?.is_none() {
            return Ok(None);
        }
        let path = self.dir.join(roster::FILE);
        if !path.exists() {
            let message = format!("{} is not there", shown_path(&path));
            return Err(
                Error::blocked("roster_missing", message).hint(format!("keyctl roster show > {}", shown_path(&path)))
            );
        }
        Roster::from_toml(&safe::read_text(&path, roster::MAX_FILE)?, &path, self.genesis.environment).map(Some)
    }

    /// Refuses if `roster.toml` says something else than the roster in force.
    fn check_roster(&self) -> Result<()> {
        let changes = match (query::roster(self.ledger.connection())?, self.roster_file()?) {
            (Some(adopted), Some(file)) => Roster::difference(&adopted, &file),
            _ => return Ok(()),
        };
        // That it has another version says the least.
        let telling = changes.iter().find(|line| !line.starts_with("version ")).or(changes.first());
        let Some(telling) = telling else { return Ok(()) };
        let more = if changes.len() > 1 { format!(" and {} more", changes.len() - 1) } else { String::new() };
        let message = format!("{} differs from the roster in force: {telling}{more}", roster::FILE);
        Err(Error::blocked("roster_changed", message).hint("keyctl adopt"))
    }

    /// This process's lock, by which others see that its intents are not orphans.
    pub fn process(&mut self) -> Result<String> {
        if self.process.is_none() {
            tidy(&self.dir);
            self.process = Some(ProcessLock::acquire(&self.dir.join("locks"))?);
        }
        let lock = self.process.as_ref().ok_or_else(|| Error::bug("a lock that was just taken is gone"))?;
        Ok(lock.id().to_string())
    }

    /// A request by this run's actor.
    pub fn request<O: crate::request::Operation>(&self, object: String, params: O) -> Request<O> {
        Request {
            request_id: uuid::Uuid::new_v4().to_string(),
            correlation_id: self.globals.correlation_id.clone(),
            operation: O::KIND,
            object,
            actor: self.globals.actor(),
            params,
            signatures: Vec::new(),
            approvals: Vec::new(),
            authority: None,
        }
    }

    /// The workspace's own key, which stands for the workspace where a request is about no key.
    ///
    /// # Errors
    /// The genesis names none.
    pub fn ledger_key(&self) -> Result<GenerationId> {
        let first = self.genesis.ledger_keys.first().map(|key| key.generation.clone());
        first.ok_or_else(|| Error::failed("no_ledger_key", "the genesis names no ledger key"))
    }

    /// Why it is done, as the operator says it.
    pub fn reason(&self) -> String {
        self.globals.because.clone().unwrap_or_else(|| "none given".to_owned())
    }

    /// One generation of a key.
    ///
    /// # Errors
    /// It is not in the register.
    pub fn generation(&self, id: &GenerationId) -> Result<Generation> {
        let missing =
            || Error::usage("unknown_generation", format!("{id} is not in the register")).hint("keyctl status");
        query::generation(self.ledger.connection(), id)?.ok_or_else(missing)
    }

    /// The active generation of a key.
    ///
    /// # Errors
    /// It has none.
    pub fn active(&self, key: &KeyName) -> Result<Generation> {
        let none =
            || Error::blocked("no_active_generation", format!("{key} has no active generation")).hint("keyctl status");
        query::active(self.ledger.connection(), key)?.ok_or_else(none)
    }

    /// Signs a checkpoint of the whole ledger, unless there is one already, and remembers it outside the workspace.
    ///
    /// # Errors
    /// The ledger key's token cannot be reached: entries stay durable, the tail stays unanchored.
    pub fn checkpoint(&mut self) -> Result<SignedNote> {
        let (ledger, store, genesis) = (&mut self.ledger, &self.store, &self.genesis);
        let note = ledger.checkpoint(&genesis.origin, |text| {
            let key = genesis
                .ledger_keys
                .first()
                .ok_or_else(|| Error::failed("no_ledger_key", "the genesis names no ledger key"))?;
            let verifier: VerifierKey = key.verifier.parse()?;
            store.checkpoint_key(&key.identity, &verifier)?.sign(text)
        })?;
        self.pin.advance(&state_dir()?, &self.ledger, &note)?;
        ledger::heads::publish(&self.dir, &self.ledger, &self.pin.trust(), &note)?;
        Ok(note)
    }

    /// Where the fragment of a receipt is.
    ///
    /// # Errors
    /// The receipt is of an entry without one.
    pub fn fragment_path(&self, receipt: &Receipt) -> Result<PathBuf> {
        let id = receipt.outcome().body.get("fragment_id").and_then(|id| id.as_str());
        let id = id.filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
        let id = id.ok_or_else(|| Error::failed("no_fragment", "the entry has no fragment"))?;
        Ok(self.dir.join("evidence").join(format!("{id}.json")))
    }

    /// Writes the fragments of receipts to `evidence/`, under one checkpoint. They can be made again from the
    /// ledger at any time, so they are not synced one by one.
    ///
    /// # Errors
    /// No checkpoint can be had, or the folder cannot be written.
    pub fn fragments(&mut self, receipts: &[Receipt]) -> Result<Vec<PathBuf>> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let note = self.checkpoint()?;
        let mut paths = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let fragment = Fragment::new(receipt, &self.ledger, &note)?;
            let path = self.fragment_path(receipt)?;
            // Its name is its own random identifier, so it is free.
            safe::write_new_unsynced(&path, fragment.bytes(), 0o600)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// The pin of this workspace in the user's state folder, made on first sight, checked against the ledger. What root
/// wrote about the workspace comes first; where there is that, a first sight is no leap of faith.
fn trusted_pin(globals: &Globals, dir: &Path, ledger: &Ledger, genesis: &Genesis) -> Result<Pin> {
    let state = state_dir()?;
    not_replaced(&state, dir, &genesis.workspace_id)?;
    let hash = ledger.entry(0)?.leaf_hash()?;
    let host = HostTrust::for_folder(&trust::folder(), dir, &genesis.workspace_id)?.map(|host| host.to_pin());
    host.as_ref().map_or(Ok(()), |host| host.check(ledger))?;
    let pin = match (Pin::load(&state, &genesis.workspace_id)?, host) {
        (Some(pin), Some(host)) if pin.trust() != host.trust() => {
            let message = format!("you and root pinned different workspaces with the id {}", genesis.workspace_id);
            return Err(
                Error::blocked("trust_contradicts", message).hint("find out which is right before anything else")
            );
        }
        (Some(pin), _) => pin,
        (None, Some(host)) => {
            host.create(&state)?;
            host.bind_folder(&state, dir)?;
            host
        }
        (None, None) => {
            globals.ui.warn(&format!(
                "first use of workspace {} by this user; genesis {}",
                genesis.workspace_id,
                grouped(&hash.to_string())
            ));
            let pin = pin_of(genesis, hash)?;
            pin.create(&state)?;
            pin.bind_folder(&state, dir)?;
            pin
        }
    };
    pin.check(ledger)?;
    Ok(pin)
}

/// Where this user knows another workspace, a new one would be trusted on first use: that is how a whole ledger
/// would be exchanged.
///
/// # Errors
/// `workspace_replaced`.
pub fn not_replaced(state: &Path, dir: &Path, workspace_id: &str) -> Result<()> {
    match Pin::bound_to(state, dir)? {
        Some(known) if known != workspace_id => {
            let message = format!("{} held workspace {known}, now it holds {workspace_id}", dir.display());
            Err(Error::blocked("workspace_replaced", message)
                .hint("put the ledger back; a workspace that was moved here is opened from a folder of its own"))
        }
        _ => Ok(()),
    }
}

/// The first pin of a workspace.
///
/// # Errors
/// The genesis names a ledger key that cannot be read.
pub fn pin_of(genesis: &Genesis, genesis_leaf_hash: crate::model::Hash256) -> Result<Pin> {
    Ok(Pin {
        workspace_id: genesis.workspace_id.clone(),
        origin: genesis.origin.clone(),
        ledger_keys: genesis.ledger_keys.iter().map(|key| key.verifier.parse()).collect::<Result<_>>()?,
        genesis_leaf_hash,
        head: None,
    })
}

/// Removes what killed processes left in a workspace: locks, and files in the making. Only a courtesy, so what cannot
/// be removed stays.
pub fn tidy(dir: &Path) {
    let _ = ProcessLock::sweep(&dir.join("locks"));
    let _ = Pace::sweep(&dir.join("locks"));
    for folder in ["", "evidence", "published", "published/certs", "published/crl"] {
        let _ = sweep(&dir.join(folder));
    }
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
    };
    config.hsm.iter().map(spec).collect()
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

/// A flag that becomes true when the operator interrupts; a second interruption ends the process at once.
///
/// # Errors
/// The operating system refuses.
pub fn interrupts() -> Result<std::sync::Arc<std::sync::atomic::AtomicBool>> {
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

/// A hash in groups of four, for reading aloud.
pub fn grouped(hash: &str) -> String {
    let groups: Vec<_> = hash.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(" ")
}

/// This program's version and the hash of its file.
pub fn tool() -> &'static Tool {
    // Hashed once, and only by what writes to the ledger: reading commands start without it.
    static TOOL: std::sync::OnceLock<Tool> = std::sync::OnceLock::new();
    TOOL.get_or_init(|| Tool { version: env!("CARGO_PKG_VERSION").into(), sha256: own_hash().ok() })
}

/// Has [`tool`] found out by a thread of its own, by a command that will need it and has other things to do before.
pub fn prepare_tool() {
    // Without a thread it is found out when it is needed.
    drop(std::thread::Builder::new().name("tool".into()).spawn(tool));
}

fn own_hash() -> std::io::Result<crate::model::Hash256> {
    use sha2::Digest;
    use std::io::Read;
    let mut file = std::fs::File::open("/proc/self/exe")?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crate::model::Hash256(hasher.finalize().into())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// No core dumps: a PIN must not land in one. Files are private unless said otherwise.
///
/// # Errors
/// The operating system refuses.
pub fn harden() -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit, umask};
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|error| {
        Error::failed("cannot_harden", "core dumps cannot be switched off").because(std::io::Error::from(error))
    })
}
