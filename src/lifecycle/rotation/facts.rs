//! What the state machine decides on, read from the register, the settings and `published/`.

use crate::clock::Time;
use crate::config::{Issuer, Key, RevokeRetired, Rotation, Settings};
use crate::error::{Error, Result};
use crate::keys::rotation::{self, Edge, Facts, Link, Progress, Review};
use crate::keys::{Credential, Generation, Identity, State};
use crate::ledger::query::{self, rotation as recorded};
use crate::lifecycle::pipelines;
use crate::lifecycle::revocation::revoking;
use crate::lifecycle::rotation::standing;
use crate::model::{Environment, GenerationId, Hash256, KeyName, Purpose};
use crate::outcome::Receipt;
use crate::pki::certificate::Certificate;
use crate::pki::published;
use crate::published::{keyring_files, worktree};
use crate::request::{MakeCsr, Operation, ReviewDecision};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known of a key and its rotation.
#[derive(Debug)]
pub(crate) struct Known {
    pub name: KeyName,
    pub key: Key,
    pub rotation: Rotation,
    pub generations: Vec<Generation>,
    pub review: Option<Review>,
    progress: Progress,
    pub retiring_since: BTreeMap<GenerationId, Time>,
    superseded: Vec<GenerationId>,
    /// While planning: when the key that is yet to be made will have been made, and what its certificate will say.
    pub planned_at: Option<Time>,
    pub specimen: Option<Certificate>,
}

impl Known {
    /// Reads it.
    ///
    /// # Errors
    /// The key is not configured; the register cannot be read.
    pub fn read(world: &World, name: &KeyName) -> Result<Self> {
        let settings = query::settings(world.ledger.connection())?.settings;
        Self::read_with(world, &settings, name)
    }

    /// The same for settings that were read before.
    ///
    /// # Errors
    /// As [`Known::read`].
    pub fn read_with(world: &World, settings: &Settings, name: &KeyName) -> Result<Self> {
        let conn = world.ledger.connection();
        let key = settings.key(name)?.clone();
        let mut generations = query::generations(conn)?;
        generations.retain(|generation| generation.id.key == *name);
        let active = rotation::active(&generations);
        let review = active.map(|active| recorded::review(conn, &active.id)).transpose()?.flatten();
        let progress = match rotation::successor(&generations) {
            Some(successor) => progress(world, successor, active)?,
            None => Progress::default(),
        };
        let takeovers = recorded::takeovers(conn, name)?;
        let retiring_since =
            takeovers.into_iter().filter_map(|takeover| Some((takeover.predecessor?, takeover.time))).collect();
        let superseded = superseded(world, &generations, settings)?;
        let rotation = settings.rotation;
        Ok(Known {
            name: name.clone(),
            key,
            rotation,
            generations,
            review,
            progress,
            retiring_since,
            superseded,
            planned_at: None,
            specimen: None,
        })
    }

    /// For the state machine.
    pub fn facts(&self, world: &World, early: bool) -> Facts<'_> {
        Facts {
            now: world.globals.clock.now(),
            environment: world.genesis.environment,
            name: &self.name,
            key: &self.key,
            rotation: &self.rotation,
            generations: &self.generations,
            early,
            review: self.review,
            progress: &self.progress,
            retiring_since: &self.retiring_since,
            superseded: &self.superseded,
        }
    }

    /// As if a review had decided that the key gets a successor.
    pub fn decide_to_roll(&mut self) {
        self.review = Some(Review { decision: ReviewDecision::Roll, keep_until: None });
    }

    /// As if a generation had been revoked.
    ///
    /// # Errors
    /// It is none of the key's.
    pub fn pretend_revoked(&mut self, id: &GenerationId) -> Result<()> {
        self.move_to(id, State::Revoked)
    }

    /// As if a step had been done: for looking ahead, never for what is.
    ///
    /// # Errors
    /// Only a bug.
    pub fn pretend(&mut self, step: &Edge, now: Time) -> Result<()> {
        match step {
            Edge::Generate => {
                let number = self.generations.last().map_or(1, |last| match last.state {
                    State::Planned => last.id.number,
                    _ => last.id.number.saturating_add(1),
                });
                self.generations.retain(|generation| generation.id.number != number);
                self.generations.push(Generation {
                    id: GenerationId { key: self.name.clone(), number },
                    purpose: self.key.purpose,
                    environment: Environment::Sandbox,
                    custody: self.key.custody,
                    state: State::Generated,
                    quarantined: None,
                    identities: Vec::new(),
                });
                self.progress = Progress::default();
            }
            Edge::Certify(id) => self.move_to(id, State::Certified)?,
            Edge::Request(_) => self.progress.requested = true,
            Edge::Link(_, link) => drop(self.progress.linked.insert(*link)),
            Edge::Publish(_) => {
                self.progress.published = true;
                self.progress.in_keyring_since.get_or_insert(now);
            }
            Edge::Test(_) => self.progress.tested = true,
            Edge::Stage(id) => self.move_to(id, State::Staged)?,
            Edge::UpdatePipelines(_) => self.progress.pipelines_pending = false,
            Edge::Activate(id) => {
                // An active one may be missing: revoked, after a compromise.
                let kin = self.generations.iter().rev().find(|kin| kin.id != *id && kin.credential().is_some());
                let identities = kin.map(|kin| kin.identities.clone()).unwrap_or_default();
                if let Some(old) = self.active().map(|old| old.id.clone()) {
                    self.retiring_since.insert(old.clone(), now);
                    self.move_to(&old, State::Retiring)?;
                }
                self.stand_in(id, identities, now)?;
                self.move_to(id, State::Active)?;
                self.review = None;
            }
            Edge::Retire(id, to) => self.move_to(id, *to)?,
            Edge::Revoke(id) => self.superseded.retain(|known| known != id),
            Edge::Discard(id) => self.move_to(id, State::Retired)?,
        }
        Ok(())
    }

    /// A generation that is yet to be made is as young as can be when it takes over.
    fn stand_in(&mut self, id: &GenerationId, mut identities: Vec<Identity>, now: Time) -> Result<()> {
        let days = chrono::TimeDelta::days(self.key.rotation_days.into());
        for identity in &mut identities {
            identity.credential = Some(Credential::OpenPgp {
                certificate: Vec::new(),
                fingerprint: String::new(),
                created: now,
                expires: now.checked_add_signed(days).unwrap_or(now),
            });
        }
        let missing = || Error::bug(format!("{id} is no generation of the key"));
        let new = self.generations.iter_mut().find(|generation| generation.id == *id).ok_or_else(missing)?;
        if new.credential().is_none() && !identities.is_empty() {
            new.identities = identities;
        }
        Ok(())
    }

    fn move_to(&mut self, id: &GenerationId, state: State) -> Result<()> {
        let missing = || Error::bug(format!("{id} is no generation of the key"));
        self.generations.iter_mut().find(|generation| generation.id == *id).ok_or_else(missing)?.state = state;
        Ok(())
    }

    /// The active generation.
    pub fn active(&self) -> Option<&Generation> {
        rotation::active(&self.generations)
    }

    /// One of its generations.
    ///
    /// # Errors
    /// It is none of them.
    pub fn generation(&self, id: &GenerationId) -> Result<&Generation> {
        let missing = || Error::bug(format!("{id} is no generation of {}", self.name));
        self.generations.iter().find(|generation| generation.id == *id).ok_or_else(missing)
    }
}

fn progress(world: &World, successor: &Generation, active: Option<&Generation>) -> Result<Progress> {
    let conn = world.ledger.connection();
    let id = &successor.id;
    let mut progress = Progress { requested: last_done(world, MakeCsr::ENTRY, id)?.is_some(), ..Progress::default() };
    let Some(credential) = successor.credential() else { return Ok(progress) };
    let fingerprint = credential.fingerprint();
    progress.linked = links(world, successor, active)?;
    progress.tested = recorded::tested(conn, id, &fingerprint)?.is_some();
    progress.pipelines_pending = pipelines_pending(world, successor, active)?;
    match credential {
        Credential::X509 { .. } => {
            let files = standing::files(world, successor, active)?;
            let known = recorded::published_files(conn, id)?;
            let hashes = published::hashes(&files);
            let recorded = hashes.iter().all(|(name, hash)| known.get(name) == Some(hash));
            progress.published = recorded && are_out(world, &hashes)?;
        }
        // Nobody has a use for a primary key before it binds a subkey.
        Credential::OpenPgp { .. } if successor.purpose == Purpose::OpenpgpPrimary => progress.published = true,
        Credential::OpenPgp { .. } => {
            let keyring = query::keyring(conn, &id.key)?;
            let file = keyring_files::keyring_hash(world, &id.key)?;
            let in_place = match keyring.as_ref().filter(|keyring| Some(keyring.sha256) == file) {
                Some(keyring) => are_out(world, &[(keyring_files::keyring_file(&id.key), keyring.sha256)].into())?,
                None => false,
            };
            progress.in_keyring_since = keyring.and_then(|keyring| keyring.since.get(&fingerprint).copied());
            progress.published = in_place && progress.in_keyring_since.is_some();
        }
    }
    Ok(progress)
}

/// Whether these files have got as far as the settings want them.
fn are_out(world: &World, files: &BTreeMap<String, Hash256>) -> Result<bool> {
    let state = worktree::publication_state(world)?;
    Ok(files.iter().all(|(name, sha256)| state.is_published(name, sha256)))
}

/// The links that exist between a root and the active one.
fn links(world: &World, successor: &Generation, active: Option<&Generation>) -> Result<BTreeSet<Link>> {
    let Some(active) = active.filter(|_| successor.purpose == Purpose::RootCa) else { return Ok(BTreeSet::new()) };
    let found = recorded::root_links(world.ledger.connection(), &successor.id.key)?;
    let has = |subject: &GenerationId, issuer: &GenerationId| {
        found.iter().any(|link| link.subject == *subject && link.issuer == *issuer)
    };
    let both = [(Link::NewWithOld, &successor.id, &active.id), (Link::OldWithNew, &active.id, &successor.id)];
    Ok(both.into_iter().filter(|(_, subject, issuer)| has(subject, issuer)).map(|(link, ..)| link).collect())
}

/// The newest act of a type about a generation that went well.
pub(crate) fn last_done(world: &World, entry_type: &str, id: &GenerationId) -> Result<Option<Receipt>> {
    for seq in recorded::outcomes(world.ledger.connection(), entry_type, id)? {
        match Receipt::load(&world.ledger, seq) {
            Ok(receipt) => return Ok(Some(receipt)),
            Err(error) if error.code() == "no_outcome" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether a pipeline's configuration still names the predecessor although it should name the successor.
///
/// # Errors
/// A configuration file cannot be read.
pub(crate) fn pipelines_pending(
    world: &World,
    successor: &Generation,
    predecessor: Option<&Generation>,
) -> Result<bool> {
    // What a pipeline names is a certificate; before there is one, nothing can be named.
    if successor.credential().is_none() {
        return Ok(false);
    }
    pipelines::is_pending(world, successor, predecessor)
}

/// Retired generations whose certificates are still to be revoked as superseded, by `rotation.revoke_retired`: those
/// that a CA of this workspace has a list for.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn superseded(world: &World, generations: &[Generation], settings: &Settings) -> Result<Vec<GenerationId>> {
    let mut found = Vec::new();
    if settings.rotation.revoke_retired == RevokeRetired::Never {
        return Ok(found);
    }
    for generation in generations.iter().filter(|generation| generation.state == State::Retired) {
        let is_ours = settings.keys.get(&generation.id.key).is_some_and(|key| matches!(key.issuer, Issuer::Key(_)));
        if is_ours && revoking::can_be_listed(world, generation)? {
            found.push(generation.id.clone());
        }
    }
    Ok(found)
}
