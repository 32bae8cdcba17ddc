//! Rotation as a pure state machine: from what the register and the settings say to the one next step (governance R1).
//!
//! Nothing about a rotation is remembered elsewhere. A command asks [`next`], does that step under its own intent, reads
//! the register again, and asks again; so whoever repeats it continues where it stopped, whatever stopped it.
//!
//! ```text
//! (none) ─generate─> generated ─certify | request, import─> certified ─link─publish─test─> staged
//!        ─pipelines─(wait for clients)─activate─> active, and the predecessor retiring
//!        ─(overlap)─retire─> retired | crl-only ─revoke─> revoked
//! ```
//!
//! A successor is begun `rotate_lead_days` before its predecessor may sign no more, so that the strict age gate (B12)
//! stops nobody. An APT key is begun earlier still, since clients have to fetch its keyring before it may sign (R3). A
//! CA whose rotation waits for a review gets a successor when the review says so, and goes on as long as it says.

use super::{Credential, Generation, State};
use crate::clock::Time;
use crate::config::{Issuer, Key, Rotation, RotationMode};
use crate::error::{Error, Result};
use crate::model::{Environment, GenerationId, KeyName, Purpose};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many days a key outlives its interval, and a predecessor its successor's taking over.
pub const OVERLAP_DAYS: u32 = 30;

crate::model::words! {
    /// The two certificates between an old root and a new one (RFC 9810 §4.4), for those who trust only one of them.
    Link: "root link" {
        /// The new public key, certified by the old root.
        NewWithOld = "new-with-old",
        /// The old public key, certified by the new root.
        OldWithNew = "old-with-new",
    }
}

crate::model::words! {
    /// What a review of a CA's key decides.
    ReviewDecision: "review decision" {
        /// It goes on until a day that the review names.
        Keep = "keep",
        /// It gets a successor.
        Roll = "roll",
    }
}

/// What a review of a generation decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    /// The decision.
    pub decision: ReviewDecision,
    /// Until when it goes on, exclusively.
    pub keep_until: Option<Time>,
}

/// How far the successor has come beyond its state. All of it is false or empty where there is no successor yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// A certificate was requested of the external issuer.
    pub requested: bool,
    /// Links between the roots that exist.
    pub linked: BTreeSet<Link>,
    /// What verifiers need is recorded as published and is in place as it was recorded.
    pub published: bool,
    /// A test signature held, under the certificate it has now.
    pub tested: bool,
    /// Since when its key has been in the published keyring.
    pub in_keyring_since: Option<Time>,
    /// A pipeline still names its predecessor.
    pub pipelines_pending: bool,
}

/// What the machine decides on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The time.
    pub now: Time,
    /// The workspace's environment.
    pub environment: Environment,
    /// The key's name.
    pub name: &'a KeyName,
    /// Its settings.
    pub key: &'a Key,
    /// The settings of all rotations.
    pub rotation: &'a Rotation,
    /// All its generations, by number.
    pub generations: &'a [Generation],
    /// Begin although it is not due.
    pub early: bool,
    /// The last review of the active generation.
    pub review: Option<Review>,
    /// How far the successor has come.
    pub progress: &'a Progress,
    /// Since when generations have been retiring.
    pub retiring_since: &'a BTreeMap<GenerationId, Time>,
    /// Retired generations that are still to be revoked as superseded, and can be.
    pub superseded: &'a [GenerationId],
}

/// One edge. Each has its own intent and outcome in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Make the successor's key pair.
    Generate,
    /// Have our issuer certify it.
    Certify(GenerationId),
    /// Make a certificate signing request for the external issuer.
    Request(GenerationId),
    /// Connect the new root with the old one.
    Link(GenerationId, Link),
    /// Publish what verifiers need.
    Publish(GenerationId),
    /// Have it sign a test, and check that against what is published.
    Test(GenerationId),
    /// It is ready to take over.
    Stage(GenerationId),
    /// Name it in the pipelines' configuration.
    UpdatePipelines(GenerationId),
    /// It takes over.
    Activate(GenerationId),
    /// The overlap is over.
    Retire(GenerationId, State),
    /// Revoke a retired generation as superseded.
    Revoke(GenerationId),
    /// Give up a successor that grew too old to be of use.
    Discard(GenerationId),
}

impl Edge {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Edge::Generate => "generate",
            Edge::Certify(_) => "certify",
            Edge::Request(_) => "request",
            Edge::Link(..) => "link",
            Edge::Publish(_) => "publish",
            Edge::Test(_) => "test",
            Edge::Stage(_) => "stage",
            Edge::UpdatePipelines(_) => "update-pipelines",
            Edge::Activate(_) => "activate",
            Edge::Retire(..) => "retire",
            Edge::Revoke(_) => "revoke",
            Edge::Discard(_) => "discard",
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edge::Generate => f.write_str("generate the next generation"),
            Edge::Certify(id) => write!(f, "certify {id}"),
            Edge::Request(id) => write!(f, "request a certificate for {id}"),
            Edge::Link(id, link) => write!(f, "link {id} with its predecessor ({link})"),
            Edge::Publish(id) => write!(f, "publish {id}"),
            Edge::Test(id) => write!(f, "test {id}"),
            Edge::Stage(id) => write!(f, "stage {id}"),
            Edge::UpdatePipelines(id) => write!(f, "name {id} in the pipelines"),
            Edge::Activate(id) => write!(f, "activate {id}"),
            Edge::Retire(id, to) => write!(f, "move {id} to {to}"),
            Edge::Revoke(id) => write!(f, "revoke {id} as superseded"),
            Edge::Discard(id) => write!(f, "discard {id}, which is too old to take over"),
        }
    }
}

/// What the rotation waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Somebody outside issues the certificate, and `import` takes it in.
    Certificate(GenerationId),
    /// A review of the CA's key decides whether it goes on.
    Review(GenerationId),
    /// Clients fetch the keyring with the new key in it.
    Clients(GenerationId, Time),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(Edge),
    /// Nothing that can be done here and now.
    Wait(Wait),
    /// Nothing, before this time.
    Idle(Time),
}

/// Whether keys for this purpose are rotated here at all.
///
/// # Errors
/// `rotation_unavailable`, and what to do instead.
pub fn is_available(name: &KeyName, purpose: Purpose) -> Result<()> {
    let why = match purpose {
        Purpose::Ledger => "a ledger key signs nothing but checkpoints and has no certificate that ages",
        Purpose::Connector => "a connector's certificate is switched together with the service that asks for it",
        _ => return Ok(()),
    };
    Err(Error::usage("rotation_unavailable", format!("{name} is for {purpose}: {why}")))
}

/// The next step, or what it waits for.
///
/// # Errors
/// `rotation_unavailable`; `no_generation` for a key that was never made; `quarantined` for a successor that must not
/// be used.
pub fn next(facts: &Facts<'_>) -> Result<Next> {
    is_available(facts.name, facts.key.purpose)?;
    match forward(facts)? {
        Next::Do(step) => Ok(Next::Do(step)),
        // What the last rotation left to do does not hold the next one up.
        idle => Ok(aftercare(facts).map_or(idle, Next::Do)),
    }
}

/// The active generation.
pub fn active(generations: &[Generation]) -> Option<&Generation> {
    generations.iter().find(|generation| generation.state == State::Active)
}

/// The generation that is on its way to take over.
pub fn successor(generations: &[Generation]) -> Option<&Generation> {
    let unfinished =
        |g: &&Generation| matches!(g.state, State::Planned | State::Generated | State::Certified | State::Staged);
    generations.iter().max_by_key(|generation| generation.id.number).filter(unfinished)
}

fn forward(facts: &Facts<'_>) -> Result<Next> {
    let Some(successor) = successor(facts.generations) else { return begin(facts) };
    if let Some(reason) = &successor.quarantined {
        let message = format!("{} is quarantined: {reason}", successor.id);
        return Err(Error::blocked("quarantined", message).hint(format!("keyctl destroy {}", successor.id)));
    }
    let id = || successor.id.clone();
    Ok(match successor.state {
        State::Planned => Next::Do(Edge::Generate),
        State::Generated => match facts.key.issuer {
            Issuer::External if facts.progress.requested => Next::Wait(Wait::Certificate(id())),
            Issuer::External => Next::Do(Edge::Request(id())),
            _ => Next::Do(Edge::Certify(id())),
        },
        _ if is_stale(facts, successor) => Next::Do(Edge::Discard(id())),
        _ => take_over(facts, successor),
    })
}

/// From certified to active.
fn take_over(facts: &Facts<'_>, successor: &Generation) -> Next {
    let (id, progress) = (successor.id.clone(), facts.progress);
    let missing = Link::ALL.iter().find(|link| is_linked(facts) && !progress.linked.contains(link));
    if let Some(link) = missing {
        return Next::Do(Edge::Link(id, *link));
    }
    let step = match (progress.published, progress.tested, successor.state) {
        (false, _, _) => Edge::Publish(id),
        (_, false, _) => Edge::Test(id),
        (_, _, State::Certified) => Edge::Stage(id),
        _ if progress.pipelines_pending => Edge::UpdatePipelines(id),
        _ => {
            let ready = clients_ready(facts, successor);
            return match ready {
                Some(ready) if facts.now < ready => Next::Wait(Wait::Clients(id, ready)),
                _ => Next::Do(Edge::Activate(id)),
            };
        }
    };
    Next::Do(step)
}

/// A root that has a predecessor is linked with it.
fn is_linked(facts: &Facts<'_>) -> bool {
    facts.key.purpose == Purpose::RootCa && active(facts.generations).is_some()
}

/// From when on clients know an APT key; in a sandbox nobody waits. Where no generation may sign, waiting protects nobody:
/// clients would get no updates at all, those with the new keyring neither.
fn clients_ready(facts: &Facts<'_>, successor: &Generation) -> Option<Time> {
    let alone = !active(facts.generations).is_some_and(|active| may_sign(active, facts.key, facts.now));
    if successor.purpose != Purpose::Apt || facts.environment == Environment::Sandbox || alone {
        return None;
    }
    facts.progress.in_keyring_since.and_then(|since| later(since, facts.rotation.publish_safety_days))
}

/// A successor that could not sign for a moment, because it waited too long.
fn is_stale(facts: &Facts<'_>, successor: &Generation) -> bool {
    let Some((from, to)) = successor.credential().map(Credential::validity) else { return false };
    let stops = later(from, facts.key.rotation_days).unwrap_or(to);
    facts.now >= stops || facts.now > to
}

/// No successor yet.
fn begin(facts: &Facts<'_>) -> Result<Next> {
    if facts.generations.iter().all(|generation| generation.identities.is_empty()) {
        let message = format!("{} was never made, so there is nothing to rotate", facts.name);
        return Err(Error::usage("no_generation", message).hint(format!("keyctl keygen {}", facts.name)));
    }
    // Nobody signs: there is nothing to wait for.
    let Some(active) = active(facts.generations) else { return Ok(Next::Do(Edge::Generate)) };
    let rolls = facts.review.is_some_and(|review| review.decision == ReviewDecision::Roll);
    let due = due(active, facts.key, facts.rotation, facts.review);
    Ok(match facts.key.rotation {
        RotationMode::Review if rolls => Next::Do(Edge::Generate),
        _ if !facts.early && facts.now < due => Next::Idle(due),
        RotationMode::Review => Next::Wait(Wait::Review(active.id.clone())),
        RotationMode::Roll => Next::Do(Edge::Generate),
    })
}

/// When the successor of the active generation is to be begun, at the latest.
pub fn due(active: &Generation, key: &Key, rotation: &Rotation, review: Option<Review>) -> Time {
    let stops = stops(active, key, review);
    stops.checked_sub_signed(TimeDelta::days(lead_days(key, rotation).into())).unwrap_or(stops)
}

/// From when on the age gate stops a generation (B12); a generation without a certificate is stopped already.
pub fn stops(generation: &Generation, key: &Key, review: Option<Review>) -> Time {
    let Some((from, to)) = generation.credential().map(Credential::validity) else { return Time::default() };
    let by_age = later(from, key.rotation_days).unwrap_or(to);
    let kept = review.and_then(|review| review.keep_until);
    kept.map_or(by_age, |kept| kept.max(by_age)).min(to)
}

/// Whether a generation is one that goes on signing: it is active, nothing is wrong with it, and it is not too old. What
/// one person suspended for the time being counts, since it may go on.
pub fn may_sign(generation: &Generation, key: &Key, now: Time) -> bool {
    generation.state == State::Active && generation.quarantined.is_none() && now < stops(generation, key, None)
}

/// How many days before that its successor is begun: its lead, and for an APT key the time that clients take besides.
pub fn lead_days(key: &Key, rotation: &Rotation) -> u32 {
    let waits = if key.purpose == Purpose::Apt { rotation.publish_safety_days } else { 0 };
    key.rotate_lead_days.saturating_add(waits).min(key.rotation_days.saturating_sub(1))
}

/// What is left of rotations that are done.
fn aftercare(facts: &Facts<'_>) -> Option<Edge> {
    active(facts.generations)?;
    let retiring = facts.generations.iter().filter(|generation| generation.state == State::Retiring);
    let over =
        |generation: &&Generation| facts.now >= retires(generation, facts.retiring_since.get(&generation.id).copied());
    match retiring.clone().find(over) {
        Some(generation) => Some(Edge::Retire(generation.id.clone(), resting_state(generation.purpose))),
        None => facts.superseded.first().cloned().map(Edge::Revoke),
    }
}

/// When a retiring generation retires: after the overlap, and not later than its certificate ends.
pub fn retires(generation: &Generation, since: Option<Time>) -> Time {
    let to = generation.credential().map_or(Time::default(), |credential| credential.validity().1);
    since.and_then(|since| later(since, OVERLAP_DAYS)).map_or(to, |over| over.min(to))
}

/// Where a generation rests after it has retired. A CA goes on signing the lists of what it issued, and an OpenPGP
/// primary key the revocations of the subkeys it bound.
pub fn resting_state(purpose: Purpose) -> State {
    match purpose {
        Purpose::RootCa | Purpose::IntermediateCa | Purpose::OpenpgpPrimary => State::CrlOnly,
        _ => State::Retired,
    }
}

/// The name of a generation's certificate file within `published/`.
pub fn certificate_file(id: &GenerationId) -> String {
    format!("certs/{}-{}.pem", id.key, id.number)
}

/// The name of the file with the certificate for `subject`'s public key by `issuer`.
pub fn link_file(subject: &GenerationId, issuer: &GenerationId) -> String {
    format!("certs/{}-{}-with-{}-{}.pem", subject.key, subject.number, issuer.key, issuer.number)
}

fn later(time: Time, days: u32) -> Option<Time> {
    time.checked_add_signed(TimeDelta::days(days.into()))
}

#[cfg(test)]
mod tests;
