//! What a command finds open: the workspace, its ledger, its tokens, the clock, the terminal. Each part is
//! opened when it is first needed. Here a plan and what allows it are brought to a consent ([`authority`]), and one act is taken
//! through the gate and closed ([`act`]). What acts there are, and what is printed about them, has no place here.

use crate::config::workspace::Workspace;
use crate::config::{Config, Settings};
use crate::crypto::note::{SignedNote, VerifierKey};
use crate::error::{Error, Result};
use crate::evidence::fragment::Fragment;
use crate::files::lock::{NamedLock, ProcessLock};
use crate::files::{safe, shown_path};
use crate::hsm::store::Store;
use crate::keys::Generation;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::genesis::Genesis;
use crate::ledger::place::Place;
use crate::ledger::{self, Ledger, query};
use crate::model::{Environment, GenerationId, KeyName};
use crate::outcome::Receipt;
use crate::people::{Roster, roster};
use crate::policy::hardware;
use crate::request::Request;
use crate::ui::Ui;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub mod act;
pub mod authority;
mod globals;
pub mod orphans;
pub mod pinning;
mod process;
pub mod remote_clock;
pub mod requests;
mod tokens;
mod trust;

pub use crate::files::program::{prepare_tool, tool};
pub use globals::Globals;
pub use process::{grouped, harden, interrupts, tidy};
pub use tokens::{settle_environment, store, token_specs};
pub use trust::{not_replaced, pin_founded, pin_of};

/// How long a key that another process changes is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let mut ledger = Ledger::open(&dir.join(ledger::FILE), globals.clock.clone())?;
        let genesis = query::genesis(ledger.connection())?;
        let pin = trust::trusted_pin(&dir, &ledger, &genesis)?;
        let config = Config::load(&config)?;
        tokens::settle_environment(&config)?;
        if config.environment != genesis.environment {
            let message = format!("keyctl.toml says {}, the workspace is {}", config.environment, genesis.environment);
            return Err(Error::blocked("environment_changed", message)
                .hint("an environment never changes; make another workspace"));
        }
        ledger.trusting(pin.trust());
        let odd = ledger::heads::check(&state_dir()?, &dir, &ledger, &pin.trust())?;
        odd.iter().for_each(|odd| globals.ui.warn(odd));
        let wanted = match genesis.environment {
            Environment::Production => query::settings(ledger.connection())?.settings.hsm,
            _ => BTreeMap::new(),
        };
        let mut store = store.unwrap_or_else(|| tokens::store(&config, &dir, globals.sessions, &globals.ui));
        store.pin(query::tokens(ledger.connection())?, wanted);
        let store = Arc::new(store);
        Ok(World { globals, dir, config, ledger, genesis, store, pin, process: None })
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
            self.warn_of_tool();
            self.process = Some(ProcessLock::acquire(&self.dir.join("locks"))?);
        }
        let lock = self.process.as_ref().ok_or_else(|| Error::bug("a lock that was just taken is gone"))?;
        Ok(lock.id().to_string())
    }

    /// Where settings name releases, another one is told of; in production the gates decide.
    fn warn_of_tool(&self) {
        let releases = &self.config.tool;
        if !releases.is_empty() && self.genesis.environment != Environment::Production {
            let gate = hardware::judge_tool(releases, tool());
            if !gate.lets_pass() {
                self.ui().warn(&format!("this is {}, which is no release that [tool] sha256 names", gate.input));
            }
        }
    }

    /// The lock of a key, and so of its lists: one process at a time changes either.
    ///
    /// # Errors
    /// Another process holds it, and goes on holding it.
    pub fn lock_key(&self, key: &KeyName) -> Result<NamedLock> {
        NamedLock::acquire(&self.dir.join("locks"), key.as_str(), PATIENCE)
    }

    /// A request by this run's actor.
    pub fn request<O: crate::request::Operation>(&self, object: String, params: O) -> Request<O> {
        Request::new(object, params, self.globals.actor(), self.globals.correlation_id.clone())
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
        if Place::read(&self.dir, &self.pin.workspace_id)?.is_none() {
            Place::here(&self.dir).write(&self.dir, &self.pin.workspace_id)?;
        }
        ledger::heads::publish(&self.dir, &self.ledger, &self.pin.trust(), &note)?;
        Ok(note)
    }

    /// Holds the ledger against heads that were found elsewhere, each with where. What is none is told, and does no harm.
    ///
    /// # Errors
    /// `ledger_rolled_back`, `ledger_forked`.
    pub fn hold_against(&self, notes: &[(String, Vec<u8>)]) -> Result<()> {
        let mut found = ledger::heads::Found::default();
        notes.iter().for_each(|(place, bytes)| found.see(place.clone(), bytes, &self.pin.trust()));
        found.odd.iter().for_each(|odd| self.globals.ui.warn(odd));
        found.hold(&self.ledger)
    }

    /// Whether these bytes are a head of this ledger that a trusted key signed.
    pub fn knows_head(&self, note: &[u8]) -> bool {
        ledger::heads::is_one(note, &self.ledger, &self.pin.trust())
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
