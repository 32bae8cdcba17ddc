//! The rules of a rotation's own acts, and the gates that rotations put before others.

use super::facts::{Decide, Facts, OpenFailure, RotationFacts, unknown_generation};
use super::gates::Decision;
use super::gates::{self, Gate};
use super::people::with_people;
use crate::clock::{Time, rfc3339};
use crate::config::RotationMode;
use crate::crypto::subject::subject_of;
use crate::keys::rotation::{Link, may_sign};
use crate::keys::{Credential, Generation, State};
use crate::model::{Environment, GenerationId, Purpose};
use crate::request::{ActivateKey, LinkRoots, PublishMetadata, Request, ReviewDecision, ReviewKey, TestKey};
use chrono::TimeDelta;

/// `SigningKeyRotationComplete`: in production, a key whose rotation failed signs nothing until the new certificate
/// was validated (B24).
pub fn rotation_complete(failure: Option<OpenFailure>, environment: Environment) -> Gate {
    const NAME: &str = "SigningKeyRotationComplete";
    let limit = "no failed rotation without a validated certificate";
    let Some(failure) = failure else { return gates::holds(NAME, "no failed rotation", limit, true) };
    let OpenFailure { seq, deadline, is_validated } = failure;
    let mut input = format!("entry {seq}: a rotation failed, to be put right by {}", rfc3339(deadline));
    if is_validated {
        input.push_str("; the new certificate was validated");
    } else if environment != Environment::Production {
        input.push_str(&format!(" (stops nothing in a {environment} workspace)"));
    }
    gates::holds(NAME, input, limit, is_validated || environment != Environment::Production)
}

/// `CertificateAgeDays` of an issuer: as for a signing key, but that a review may let it go on, and that a successor
/// of a key that is in use is certified whatever the issuer's age: the gate stops no rotation.
pub fn issuer_age(issuer: &Generation, days: Option<u32>, facts: &Facts<'_>, is_successor: bool) -> Gate {
    let mut gate = gates::certificate_age(issuer, days, facts.now);
    let keep_until = facts.rotation.review.and_then(|review| review.keep_until);
    let valid =
        issuer.credential().map(Credential::validity).is_some_and(|(from, to)| from <= facts.now && facts.now <= to);
    if gate.verdict != gates::Verdict::Fail || !valid {
        return gate;
    }
    match keep_until {
        Some(until) if facts.now < until => {
            gate.input.push_str(&format!(" (kept until {} by a review)", rfc3339(until)));
            gate.verdict = gates::Verdict::Pass;
        }
        _ if is_successor => {
            gate.input.push_str(" (exempt: a successor is certified)");
            gate.verdict = gates::Verdict::Pass;
        }
        _ => {}
    }
    gate
}

impl Decide for TestKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let certificate = generation.credential().map(Credential::fingerprint).unwrap_or_default();
        let gates = vec![
            gates::status(generation, &[State::Certified, State::Staged]),
            gates::export_lock(generation),
            gates::environment(generation, facts.environment),
            gates::holds(
                "Certificate",
                request.params.certificate.as_str(),
                certificate.as_str(),
                request.params.certificate == certificate && !certificate.is_empty(),
            ),
        ];
        with_people(gates, facts)
    }
}

impl Decide for LinkRoots {
    fn issuer(&self) -> Option<&GenerationId> {
        Some(&self.issuer)
    }

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let (Some(subject), Some(issuer)) = (&facts.generation, &facts.issuer) else {
            return unknown_generation(request);
        };
        // One of them is in use, the other is about to be.
        let (new, old) = if subject.id.number > issuer.id.number { (subject, issuer) } else { (issuer, subject) };
        let gates = vec![
            gates::status(new, &[State::Certified, State::Staged]),
            gates::status(old, &[State::Active]),
            gates::purpose(new, Purpose::RootCa),
            gates::purpose(old, Purpose::RootCa),
            gates::holds(
                "SameKey",
                format!("{} and {}", new.id, old.id),
                "two generations of one key",
                new.id.key == old.id.key && new.id != old.id,
            ),
            gates::export_lock(issuer),
            gates::environment(issuer, facts.environment),
        ];
        with_people(gates, facts)
    }
}

impl Decide for PublishMetadata {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let unfit = [State::Planned, State::Generated];
        let fit: Vec<_> = State::ALL.iter().copied().filter(|state| !unfit.contains(state)).collect();
        Decision::from_gates(vec![gates::status(generation, &fit), gates::environment(generation, facts.environment)])
    }
}

impl Decide for ActivateKey {
    const TAKES_OVER: bool = true;

    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let (params, rotation) = (&request.params, &facts.rotation);
        let name = |id: Option<&GenerationId>| id.map_or("nobody".to_owned(), ToString::to_string);
        let active = rotation.active.as_ref().map(|active| &active.id);
        let mut found = vec![
            gates::status(generation, &[State::Staged]),
            gates::holds(
                "OneActive",
                name(active),
                name(params.predecessor.as_ref()),
                active == params.predecessor.as_ref(),
            ),
            gates::certificate_age(generation, facts.rotation_days(), facts.now),
            gates::export_lock(generation),
            gates::environment(generation, facts.environment),
            gates::holds(
                "KeyTested",
                rotation.tested.map_or("never with this certificate".to_owned(), |seq| format!("entry {seq}")),
                "a test signature that held",
                rotation.tested.is_some(),
            ),
        ];
        found.extend(published(generation, rotation));
        found.extend(continuity(params, generation, rotation));
        found.extend(links(generation, rotation));
        found.extend(keyring(params, generation, facts));
        with_people(found, facts)
    }
}

/// `MetadataPublished`: verifiers can have its certificates. What clients need of an OpenPGP key is its keyring, which
/// has a gate of its own.
fn published(generation: &Generation, rotation: &RotationFacts) -> Option<Gate> {
    let is_x509 = matches!(generation.credential(), Some(Credential::X509 { .. }));
    let input = if rotation.is_published { "recorded" } else { "not recorded" };
    is_x509.then(|| gates::holds("MetadataPublished", input, "its certificates are published", rotation.is_published))
}

/// `SubjectContinuity`: Windows knows a publisher by the subject of its certificate, byte for byte; another one makes
/// other packages (governance R2).
fn continuity(params: &ActivateKey, generation: &Generation, rotation: &RotationFacts) -> Option<Gate> {
    let old = rotation.active.as_ref().filter(|_| generation.purpose == Purpose::Authenticode)?;
    let subject = |generation: &Generation| match generation.credential() {
        Some(Credential::X509 { subject, certificate, .. }) => (subject.clone(), subject_of(certificate).ok()),
        _ => ("no certificate".to_owned(), None),
    };
    let ((old_name, old_der), (mut input, new_der)) = (subject(old), subject(generation));
    let same = old_der.is_some() && old_der == new_der;
    if params.publisher_change && !same {
        input.push_str(" (another publisher, as approved)");
    }
    Some(gates::holds("SubjectContinuity", input, old_name, same || params.publisher_change))
}

/// `RootsLinked`: who trusts only one of two roots gets to the other.
fn links(generation: &Generation, rotation: &RotationFacts) -> Option<Gate> {
    rotation.active.as_ref().filter(|_| generation.purpose == Purpose::RootCa)?;
    let found: Vec<_> = rotation.links.iter().map(|link| link.as_str()).collect();
    let wanted: Vec<_> = Link::ALL.iter().map(|link| link.as_str()).collect();
    Some(gates::holds("RootsLinked", found.join(", "), wanted.join(", "), rotation.links.len() == Link::ALL.len()))
}

fn keyring(params: &ActivateKey, generation: &Generation, facts: &Facts<'_>) -> Option<Gate> {
    if generation.purpose != Purpose::Apt {
        return None;
    }
    let file = params.keyring_sha256.map(|hash| hash.to_string());
    let days = facts.settings.rotation.publish_safety_days;
    let (key, active) = (facts.settings.keys.get(&generation.id.key), facts.rotation.active.as_ref());
    let is_alone = !active.zip(key).is_some_and(|(active, key)| may_sign(active, key, facts.now));
    Some(gates::keyring_published(generation, facts.keyring.as_ref(), file.as_deref(), days, facts.now, is_alone))
}

impl Decide for ReviewKey {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let Some(generation) = &facts.generation else { return unknown_generation(request) };
        let params = &request.params;
        let key = facts.settings.keys.get(&generation.id.key);
        let mode = key.map(|key| key.rotation);
        let mut gates = vec![
            gates::status(generation, &[State::Active]),
            gates::environment(generation, facts.environment),
            gates::holds(
                "RotationMode",
                mode.map_or("not in the adopted settings", |mode| mode.as_str()),
                "review",
                mode == Some(RotationMode::Review),
            ),
            gates::holds(
                "ReviewText",
                format!("{} characters", params.text.chars().count()),
                "10 to 2000",
                (10..=2000).contains(&params.text.chars().count()),
            ),
        ];
        gates.push(kept_for(params, generation, key.map_or(0, |key| key.rotation_days), facts.now));
        with_people(gates, facts)
    }
}

/// `KeepUntil`: at most one more interval from now, and no longer than the certificate lasts.
fn kept_for(params: &ReviewKey, generation: &Generation, rotation_days: u32, now: Time) -> Gate {
    const NAME: &str = "KeepUntil";
    let Some(until) = params.keep_until else {
        return gates::holds(NAME, "no day", "no day for a roll", params.decision == ReviewDecision::Roll);
    };
    let ends = generation.credential().map_or(now, |credential| credential.validity().1);
    let interval = now.checked_add_signed(TimeDelta::days(rotation_days.into())).unwrap_or(ends);
    let latest = ends.min(interval);
    let limit = format!("after now, until {} at the latest", rfc3339(latest));
    let holds = params.decision == ReviewDecision::Keep && now < until && until <= latest;
    gates::holds(NAME, rfc3339(until), limit, holds)
}

#[cfg(test)]
mod tests;
