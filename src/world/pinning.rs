//! Trusting a workspace on purpose: what is known of it, what it would run, and the pin that has it used from then on.
//! Nothing of the workspace is run here: no module is loaded, no PIN asked for, and git is not called.

use super::trust::{agree, elsewhere, pin_of};
use crate::clock::Clock;
use crate::config::workspace::Workspace;
use crate::config::{Config, GitUse, Hsm, Module, PinSource};
use crate::error::{Error, Result, shown};
use crate::files::shown_path;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::genesis::Genesis;
use crate::ledger::heads::{self, Effort};
use crate::ledger::place::Place;
use crate::ledger::trust::{self, HostTrust};
use crate::ledger::{self, Ledger, query, verify};
use crate::model::Hash256;
use std::path::{Path, PathBuf};

/// A workspace that somebody is about to trust.
pub struct Candidate {
    /// Its folder.
    pub dir: PathBuf,
    /// Entry 0, and its leaf hash.
    pub genesis: Genesis,
    /// See [`Candidate::genesis`].
    pub genesis_sha256: Hash256,
    /// How many entries its ledger has.
    pub entries: u64,
    /// `keyctl.toml` as it stands.
    pub config: Config,
    /// Where it was before, if that is not here.
    pub was: Option<Place>,
    /// The workspace that this user knows in that folder, if it is another one.
    pub replaces: Option<String>,
    /// What is wrong with what lies beside the ledger and does no harm.
    pub odd: Vec<String>,
    pin: Option<Pin>,
    host: Option<HostTrust>,
}

impl Candidate {
    /// Reads the workspace in `dir`, and verifies its whole ledger by its own genesis and every head at hand.
    ///
    /// # Errors
    /// Those of [`Workspace::open`]; `trust_contradicts`, `workspace_replaced`; `ledger_unsound` with the first thing that
    /// does not hold.
    pub fn look(dir: &Path, clock: &Clock) -> Result<Self> {
        let Workspace { dir, config } = Workspace::open(dir)?;
        let ledger = Ledger::open_read_only(&dir.join(ledger::FILE), clock.clone())?;
        let genesis = query::genesis(ledger.connection())?;
        let genesis_sha256 = ledger.entry(0)?.leaf_hash()?;
        let state = state_dir()?;
        let host = HostTrust::for_folder(&trust::folder(), &dir, &genesis.workspace_id)?;
        let pin = Pin::load(&state, &genesis.workspace_id)?;
        let own = pin_of(&genesis, genesis_sha256, &dir)?;
        if let Some(host) = &host {
            agree(pin.as_ref().unwrap_or(&own), &host.to_pin())?;
        }
        let odd = sound(&dir, &ledger, &own, pin.as_ref())?;
        let replaces = Pin::bound_to(&state, &dir)?.filter(|known| *known != genesis.workspace_id);
        let is_bound = replaces.is_none() && Pin::bound_to(&state, &dir)?.is_some();
        let placed = pin.as_ref().filter(|pin| pin.place.is_some() || !is_bound);
        // What cannot be read says nothing; with --moved it is written anew.
        let unreadable = || Place { folder: "a place that it does not say".into(), machine: None };
        let was = elsewhere(&dir, &genesis.workspace_id, placed, host.as_ref()).unwrap_or_else(|_| Some(unreadable()));
        let (entries, config) = (ledger.head()?.size, Config::load(&config)?);
        Ok(Candidate { dir, genesis, genesis_sha256, entries, config, was, replaces, odd, pin, host })
    }

    /// Whether this user's pin says so already.
    pub fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }

    /// Whether root's word on this host vouches for it.
    pub fn is_vouched_for(&self) -> bool {
        self.host.is_some()
    }

    /// What keyctl would load, run and change for this workspace, one thing a line.
    pub fn runs(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.config.hsm.iter().flat_map(|(name, hsm)| of_token(name.as_str(), hsm)).collect();
        let tree = self.dir.join("published/.git");
        if self.config.publication.git != GitUse::Off && tree.symlink_metadata().is_ok() {
            lines.push(format!("git, in {}, for the remote {}", shown_path(&tree), self.config.publication.remote));
        }
        for (name, pipeline) in &self.config.pipelines {
            let git = if pipeline.repository.git == GitUse::Off { "" } else { ", and git in its work tree" };
            let file = self.dir.join(&pipeline.file);
            lines.push(format!("pipelines.{name} changes {}{git}", shown_path(&file)));
        }
        lines
    }

    /// Pins it, here.
    ///
    /// # Errors
    /// `workspace_moved` or `workspace_replaced` unless it is said to be `moved`; file errors.
    pub fn pin(self, moved: bool) -> Result<()> {
        let (state, here) = (state_dir()?, Place::here(&self.dir));
        if let Some(place) = self.was.as_ref().filter(|_| !moved) {
            return Err(super::trust::moved(&self.dir, place));
        }
        if !moved {
            super::trust::not_replaced(&state, &self.dir, &self.genesis.workspace_id)?;
        }
        if let Some(host) = self.host.filter(|host| Path::new(&host.folder) != self.dir) {
            if !rustix::process::geteuid().is_root() {
                let message = format!("root trusts this workspace in {}", shown_path(Path::new(&host.folder)));
                let hint = format!("as root: keyctl trust --moved {}", shown_path(&self.dir));
                return Err(Error::blocked("workspace_moved", message).hint(hint));
            }
            host.moved(&trust::folder(), &self.dir)?;
        }
        let mut pin = match self.pin {
            Some(pin) => pin,
            None => {
                let pin = pin_of(&self.genesis, self.genesis_sha256, &self.dir)?;
                pin.create(&state)?;
                pin
            }
        };
        // The workspace belongs to whoever writes it; others pin it for themselves.
        let stated = Place::read(&self.dir, &pin.workspace_id).ok().flatten();
        if stated.is_none_or(|stated| !stated.is(&here)) {
            here.write(&self.dir, &pin.workspace_id)?;
        }
        pin.settle(&state, &here)?;
        pin.bind_folder(&state, &self.dir)
    }
}

/// Verifies the ledger against its own genesis, this user's pin, and every head beside it.
fn sound(dir: &Path, ledger: &Ledger, own: &Pin, pin: Option<&Pin>) -> Result<Vec<String>> {
    pin.map_or(Ok(()), |pin| pin.check(ledger))?;
    let beside = heads::find(dir, &own.trust(), Effort::Thorough);
    let anchors: Vec<_> = beside.anchors.into_iter().map(|(_, note)| note).collect();
    match verify::verify(ledger, &own.trust(), &anchors)?.findings.first() {
        None => Ok(beside.odd),
        Some(finding) => {
            let what = format!("{} of {}: {}", finding.rule, shown(&finding.object), finding.message);
            Err(Error::finding("ledger_unsound", format!("{}: its ledger does not verify: {what}", shown_path(dir))))
        }
    }
}

fn of_token(name: &str, hsm: &Hsm) -> Vec<String> {
    let mut lines = Vec::new();
    if let Module::Path { path, sha256, .. } = &hsm.token.module {
        let hash = sha256.map_or_else(|| "whatever its hash".to_owned(), |sha256| format!("SHA-256 {sha256}"));
        lines.push(format!("hsm.{name} loads {} ({hash})", shown_path(path)));
    }
    for pin in &hsm.pins {
        if let PinSource::Command(words) = pin {
            lines.push(format!("hsm.{name} runs for its PIN: {}", shown(&words.join(" "))));
        }
    }
    lines
}
