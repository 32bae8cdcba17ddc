//! A CA's next list: what will be on it, worked out before the gate is asked; then the CA's signature, the file, and the
//! file read back.

use crate::clock::{Laps, Time};
use crate::config::Issuer;
use crate::error::{Error, Result};
use crate::gate::{Failure, Permit};
use crate::hsm::store::Store;
use crate::keys::{Credential, Generation, Terms};
use crate::ledger::query;
use crate::model::{GenerationId, HashAlgorithm, Purpose, hex, unhex};
use crate::pki::certificate::Certificate;
use crate::pki::crl::delivery::{self, Delivered};
use crate::pki::crl::{Crl, CrlDraft, CrlPlan, LintedCrl, Revocation, Scope, rehearse};
use crate::policy::revocation::list_life;
use crate::published::lists::{certificate, path};
use crate::request::{Covered, NewCrl, Operation, Role};
use crate::world::{World, act};
use std::path::{Path, PathBuf};

/// A list that waits for its CA's signature.
pub struct List {
    /// Its parameters.
    pub crl: NewCrl,
    /// The one signature that it needs.
    pub covered: Covered,
    ca: Generation,
    linted: LintedCrl,
    path: PathBuf,
    /// Every serial number on it.
    serials: Vec<Vec<u8>>,
    laps: Laps,
}

/// Plans a CA's next list. With `revoked`, also of what is about to be revoked.
///
/// # Errors
/// `ca_expired`; `crl_rollback` when the published list has what the ledger has not; as the building of lists says.
pub fn plan(world: &World, ca: &Generation, revoked: Option<(&GenerationId, Terms)>) -> Result<List> {
    let mut laps = Laps::default();
    let list = laps.lap("build", || build(world, ca, revoked))?;
    Ok(List { laps, ..list })
}

fn build(world: &World, ca: &Generation, revoked: Option<(&GenerationId, Terms)>) -> Result<List> {
    let conn = world.ledger.connection();
    let issuer = certificate(ca)?;
    let path = path(world, &ca.id);
    let old = published(world, &path, &issuer)?;
    let this_update = old.as_ref().map_or(Time::MIN_UTC, |old| old.this_update().time).max(world.globals.clock.now());
    if this_update >= issuer.not_after() {
        let until = crate::clock::rfc3339(issuer.not_after());
        return Err(Error::blocked("ca_expired", format!("the certificate of {} expired at {until}", ca.id)));
    }
    let life = this_update.checked_add_signed(list_life(ca.purpose)).unwrap_or(Time::MAX_UTC);
    let next_update = life.min(issuer.not_after());
    let entries = entries(world, ca, revoked, this_update)?;
    let published = old.as_ref().map(delivery::number).transpose()?.flatten();
    let number = query::last_crl_number(conn, &ca.id)?.max(published.unwrap_or(0)).saturating_add(1);
    let urls = urls(world, ca)?;
    let serials = entries.iter().map(|entry| entry.serial.clone()).collect();
    let identity = ca.identity()?;
    let linted = rehearse(CrlDraft::new(CrlPlan {
        environment: world.genesis.environment,
        issuer,
        number,
        this_update,
        next_update,
        entries,
        scope: scope(ca),
        urls: urls.clone(),
        mechanism: identity.algorithm.mechanism(HashAlgorithm::Sha256),
    })?)?;
    if let Some(old) = &old {
        let forgettable = |serial: &[u8]| query::is_forgettable(conn, &ca.id, &hex(serial), this_update);
        linted
            .check_follows(old, |serial| forgettable(serial).unwrap_or(false))
            .map_err(|error| error.about(&ca.id).hint("the ledger may be an old copy: keyctl audit log"))?;
    }
    let tbs = linted.tbs();
    Ok(List {
        crl: NewCrl {
            number,
            published,
            this_update,
            next_update,
            entries: u64::try_from(linted.draft().entries()).unwrap_or(u64::MAX),
            urls,
            tbs_sha256: linted.draft().tbs_hash(),
        },
        covered: act::covered(Role::Issuer, identity.spki_sha256, ca.copy()?, &tbs),
        ca: ca.clone(),
        linted,
        path,
        serials,
        laps: Laps::default(),
    })
}

impl List {
    /// Has the CA sign, and publishes.
    ///
    /// # Errors
    /// As the token reports; as [`LintedCrl::publish`].
    pub fn sign<O: Operation>(&mut self, store: &Store, permit: &Permit<O>) -> Result<Delivered, Failure> {
        let key = store.open(permit, Role::Issuer, self.ca.identity()?)?;
        let signature = self.laps.lap("sign", || key.sign(&self.linted.tbs()))?;
        Ok(self.linted.publish(&signature, &self.path, &self.serials, &mut self.laps)?)
    }

    /// How long each stage took.
    pub fn laps(&self) -> &Laps {
        &self.laps
    }
}

/// The published list, if the CA signed it. What others put there is written over, with a word.
fn published(world: &World, path: &Path, issuer: &Certificate) -> Result<Option<Crl>> {
    let found = delivery::read(path).and_then(|found| {
        found.as_ref().map(|crl| crl.verify(issuer)).transpose()?;
        Ok(found)
    });
    found.or_else(|error| match error.code() {
        "malformed_der" | "crl_too_large" | "too_large" | "crl_issuer" | "bad_signature" | "signature_algorithm" => {
            let name = crate::files::shown_path(path);
            world.ui().warn(&format!("{name} is not a list of its CA and is replaced: {error}"));
            Ok(None)
        }
        _ => Err(error),
    })
}

/// A root's list is about CAs, any other about end entities.
fn scope(ca: &Generation) -> Scope {
    if ca.purpose == Purpose::RootCa { Scope::CaCertificates } else { Scope::UserCertificates }
}

fn entries(
    world: &World,
    ca: &Generation,
    revoked: Option<(&GenerationId, Terms)>,
    this_update: Time,
) -> Result<Vec<Revocation>> {
    let conn = world.ledger.connection();
    let mut said: Vec<(String, Terms)> = Vec::new();
    for entry in query::crl_entries(conn, &ca.id, this_update)? {
        let now = revoked.filter(|(id, _)| **id == entry.generation).map_or(entry.terms, |(_, terms)| terms);
        said.push((entry.serial, now));
    }
    if let Some((id, terms)) = revoked {
        let new = query::new_entries(conn, &ca.id, id, this_update)?;
        said.extend(new.into_iter().map(|serial| (serial, terms)));
    }
    let entry = |(serial, terms): (String, Terms)| {
        let broken = || Error::failed("register_broken", format!("serial number {serial:?} is not hex"));
        Ok(Revocation {
            serial: unhex(&serial).ok_or_else(broken)?,
            revocation_date: terms.revocation_date,
            reason: terms.reason.into(),
            invalidity_date: terms.invalidity_date,
        })
    };
    said.into_iter().map(entry).collect()
}

/// The URLs that the CA's certificates name. If one of them names none, the list names none either and is about all.
/// A CA that issued nothing yet goes by the settings.
fn urls(world: &World, ca: &Generation) -> Result<Vec<String>> {
    let mut urls = Vec::new();
    let mut issued = false;
    for generation in query::generations(world.ledger.connection())? {
        for identity in &generation.identities {
            let Some(Credential::X509 { certificate, issued_by: Some(issuer), .. }) = &identity.credential else {
                continue;
            };
            if *issuer != ca.id || generation.id == ca.id {
                continue;
            }
            issued = true;
            let named = Certificate::parse(certificate)?.crl_urls();
            if named.is_empty() {
                return Ok(Vec::new());
            }
            urls.extend(named);
        }
    }
    if !issued {
        let settings = query::settings(world.ledger.connection())?.settings;
        let ours = settings.keys.values().filter(|key| key.issuer == Issuer::Key(ca.id.key.clone()));
        urls.extend(ours.filter_map(|key| key.crl_url_by(&ca.id)));
    }
    urls.sort();
    urls.dedup();
    Ok(urls)
}
