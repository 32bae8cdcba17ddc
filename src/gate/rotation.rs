//! The facts about rotations, read in the transaction that will hold the intent.

use crate::error::Result;
use crate::keys::rotation::{Link, certificate_file, link_file};
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::ledger::query::rotation as recorded;
use crate::model::{KeyName, Purpose};
use crate::policy::Decide;
use crate::policy::facts::{OpenFailure, RotationFacts};
use crate::request::Request;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// What the decision on `request` needs to know.
pub(super) fn facts<O: Decide>(
    conn: &Connection,
    request: &Request<O>,
    generation: Option<&Generation>,
) -> Result<RotationFacts> {
    let id = request.params.generation();
    let failure = rotation_failure(conn, &id.key)?;
    let review = recorded::review(conn, request.params.issuer().unwrap_or(id))?;
    let mut facts = RotationFacts { failure, review, ..RotationFacts::default() };
    let (true, Some(generation)) = (O::TAKES_OVER, generation) else { return Ok(facts) };
    facts.active = query::active(conn, &id.key)?;
    if let Some(credential) = generation.credential() {
        facts.tested = recorded::tested(conn, id, &credential.fingerprint())?;
    }
    facts.links = links(conn, generation, facts.active.as_ref())?;
    facts.is_published = is_published(conn, generation, facts.active.as_ref())?;
    Ok(facts)
}

/// The failed rotation of a key that counts: one that nothing was validated after, if there is such a one.
///
/// # Errors
/// The register cannot be read.
pub fn rotation_failure(conn: &Connection, key: &KeyName) -> Result<Option<OpenFailure>> {
    let failures = recorded::open_failures(conn, key)?;
    let failure = failures.iter().find(|failure| !failure.is_validated).or(failures.first());
    Ok(failure.map(|failure| OpenFailure {
        seq: failure.seq,
        deadline: failure.alert.deadline,
        is_validated: failure.is_validated,
    }))
}

/// The links between a root and the active one.
fn links(conn: &Connection, generation: &Generation, active: Option<&Generation>) -> Result<BTreeSet<Link>> {
    let Some(active) = active else { return Ok(BTreeSet::new()) };
    let found = recorded::root_links(conn, &generation.id.key)?;
    let link = |link: &recorded::RootLink| match (&link.subject, &link.issuer) {
        (subject, issuer) if *subject == generation.id && *issuer == active.id => Some(Link::NewWithOld),
        (subject, issuer) if *subject == active.id && *issuer == generation.id => Some(Link::OldWithNew),
        _ => None,
    };
    Ok(found.iter().filter_map(link).collect())
}

/// Whether the certificate is recorded as published, and for a root the links with the active one.
fn is_published(conn: &Connection, generation: &Generation, active: Option<&Generation>) -> Result<bool> {
    let Some(Credential::X509 { .. }) = generation.credential() else { return Ok(false) };
    let files = recorded::published_files(conn, &generation.id)?;
    let mut wanted = vec![certificate_file(&generation.id)];
    if let (Purpose::RootCa, Some(active)) = (generation.purpose, active) {
        wanted.push(link_file(&generation.id, &active.id));
        wanted.push(link_file(&active.id, &generation.id));
    }
    Ok(wanted.iter().all(|name| files.contains_key(name)))
}
