//! What the state machine decides on, read from the register, the settings and `published/`.

use super::standing;
use crate::commands::{keygen, openpgp, seams};
use crate::config::{Key, Rotation, Settings};
use crate::error::Result;
use crate::keys::rotation::{self, Facts, Link, Progress, Review};
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::ledger::query::rotation as recorded;
use crate::model::{GenerationId, KeyName, Purpose};
use crate::pki::published;
use crate::request::{MakeCsr, Operation};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known of a key and its rotation.
#[derive(Debug)]
pub(in crate::commands) struct Known {
    pub name: KeyName,
    pub key: Key,
    pub rotation: Rotation,
    pub generations: Vec<Generation>,
    pub review: Option<Review>,
    progress: Progress,
    pub retiring_since: BTreeMap<GenerationId, crate::clock::Time>,
    superseded: Vec<GenerationId>,
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
        let key = keygen::setting(settings, name)?;
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
        let superseded = seams::superseded(world, &generations, settings)?;
        let rotation = settings.rotation;
        Ok(Known { name: name.clone(), key, rotation, generations, review, progress, retiring_since, superseded })
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

    /// The active generation.
    pub fn active(&self) -> Option<&Generation> {
        rotation::active(&self.generations)
    }

    /// One of its generations.
    ///
    /// # Errors
    /// It is none of them.
    pub fn generation(&self, id: &GenerationId) -> Result<&Generation> {
        let missing = || crate::error::Error::bug(format!("{id} is no generation of {}", self.name));
        self.generations.iter().find(|generation| generation.id == *id).ok_or_else(missing)
    }
}

fn progress(world: &World, successor: &Generation, active: Option<&Generation>) -> Result<Progress> {
    let conn = world.ledger.connection();
    let id = &successor.id;
    let mut progress =
        Progress { requested: super::steps::last_done(world, MakeCsr::ENTRY, id)?.is_some(), ..Progress::default() };
    let Some(credential) = successor.credential() else { return Ok(progress) };
    let fingerprint = credential.fingerprint();
    progress.linked = links(world, successor, active)?;
    progress.tested = recorded::tested(conn, id, &fingerprint)?.is_some();
    progress.pipelines_pending = seams::pipelines_pending(world, successor, active)?;
    match credential {
        Credential::X509 { .. } => {
            let files = standing::files(world, successor, active)?;
            let known = recorded::published_files(conn, id)?;
            let recorded = published::hashes(&files).iter().all(|(name, hash)| known.get(name) == Some(hash));
            progress.published = recorded && published::are_in_place(&world.dir.join("published"), &files);
        }
        // Nobody has a use for a primary key before it binds a subkey.
        Credential::OpenPgp { .. } if successor.purpose == Purpose::OpenpgpPrimary => progress.published = true,
        Credential::OpenPgp { .. } => {
            let keyring = query::keyring(conn, &id.key)?;
            let file = openpgp::keyring_hash(world, &id.key)?;
            let in_place = keyring.as_ref().is_some_and(|keyring| Some(keyring.sha256) == file);
            progress.in_keyring_since = keyring.and_then(|keyring| keyring.since.get(&fingerprint).copied());
            progress.published = in_place && progress.in_keyring_since.is_some();
        }
    }
    Ok(progress)
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
