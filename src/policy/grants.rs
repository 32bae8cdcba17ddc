//! What a standing approval allows (design §4), and how it comes about and ends.

use super::facts::{Decide, Facts};
use super::gates::{self, Decision, Gate};
use super::people::with_people;
use crate::clock::{Time, rfc3339};
use crate::ledger::query::Grant;
use crate::model::{Email, GenerationId, Hash256};
use crate::people::Roster;
use crate::people::approval::Participant;
use crate::request::{CloseFollowUp, EndGrant, GiveGrant, Kind, Request};
use chrono::TimeDelta;
use std::collections::BTreeSet;

/// The most generations that one grant allows.
pub const MAX_GENERATIONS: u32 = 4;

/// The longest life of a grant, in days.
pub const MAX_DAYS: i64 = 400;

/// What is known when a grant is used.
#[derive(Debug)]
pub struct Use<'a> {
    /// The ledger's time.
    pub now: Time,
    /// The settings in force.
    pub settings_sha256: Hash256,
    /// The roster in force.
    pub roster: Option<&'a Roster>,
    /// Who of it is suspended.
    pub suspended: &'a BTreeSet<Email>,
    /// Which operation.
    pub operation: Kind,
    /// Which generation.
    pub generation: &'a GenerationId,
    /// When the key's newest other generation was made.
    pub newest: Option<Time>,
}

/// The gates between a grant and an act.
pub fn gates(grant: Option<&Grant>, usage: &Use<'_>) -> Vec<Gate> {
    let Some(grant) = grant else { return vec![gates::holds("Grant", "unknown", "in the ledger", false)] };
    let params = &grant.params;
    let stands = grant.ended.is_none() && usage.now < params.not_after;
    let input = grant.ended.map_or_else(|| "stands".to_owned(), |seq| format!("ended by entry {seq}"));
    let settings = usage.settings_sha256 == params.settings_sha256;
    let mut found = vec![
        gates::holds("Grant", input, format!("until {}", rfc3339(params.not_after)), stands),
        gates::holds("GrantSettings", usage.settings_sha256.to_string(), params.settings_sha256.to_string(), settings),
        people(grant, usage),
        scope(params, usage),
    ];
    if usage.operation == Kind::GenerateKey {
        let days = usage.newest.map(|newest| gates::age_days(newest, usage.now));
        let input = days.map_or_else(|| "none before".to_owned(), |days| format!("{days} days"));
        let holds = days.is_none_or(|days| days >= i64::from(params.interval_days));
        found.push(gates::holds("GrantInterval", input, format!(">= {} days", params.interval_days), holds));
    }
    found
}

/// `GrantPeople`: everybody who gave it is still there.
fn people(grant: &Grant, usage: &Use<'_>) -> Gate {
    let stays = |email: &Email| {
        usage.roster.is_some_and(|roster| roster.person(email).is_some()) && !usage.suspended.contains(email)
    };
    let gone: Vec<_> = grant.people.iter().filter(|email| !stays(email)).map(ToString::to_string).collect();
    let input = if gone.is_empty() { "all there".to_owned() } else { format!("gone: {}", gone.join(", ")) };
    gates::holds("GrantPeople", input, "those who gave it", gone.is_empty() && !grant.people.is_empty())
}

/// `GrantRoles`: everybody who gave it has the roles still as which their signature counted.
pub fn roles(given_by: &[Participant], roster: Option<&Roster>) -> Gate {
    let lost = |giver: &Participant| {
        let now = roster.and_then(|roster| roster.person(&giver.email)).map(|(_, person)| &person.roles);
        let lost: Vec<_> =
            giver.roles.iter().filter(|role| now.is_none_or(|now| !now.contains(role))).map(|it| it.as_str()).collect();
        (!lost.is_empty()).then(|| format!("{} is no longer {}", giver.email, lost.join(", ")))
    };
    let lost: Vec<_> = given_by.iter().filter_map(lost).collect();
    let holds = lost.is_empty() && given_by.iter().any(|giver| !giver.roles.is_empty());
    let input = if lost.is_empty() { "as they were".to_owned() } else { lost.join("; ") };
    gates::holds("GrantRoles", input, "those that counted when it was given", holds)
}

/// `GrantScope`: this act on this generation. The predecessor of the first is moved along too: it retires.
fn scope(params: &GiveGrant, usage: &Use<'_>) -> Gate {
    let (first, number) = (params.generation.number, usage.generation.number);
    let last = first.saturating_add(params.generations.saturating_sub(1));
    let moved_along = usage.operation != Kind::GenerateKey && number < first;
    let holds = usage.generation.key == params.generation.key
        && is_granted(usage.operation)
        && (moved_along || (first..=last).contains(&number));
    let limit = format!("{}/{first} to {}/{last}", params.generation.key, params.generation.key);
    gates::holds("GrantScope", format!("{} of {}", usage.operation, usage.generation), limit, holds)
}

/// What automation may do under a grant: make the next generation, certify it, and move it and its predecessor along.
fn is_granted(kind: Kind) -> bool {
    match kind {
        Kind::GenerateKey
        | Kind::IssueCertificate
        | Kind::CertifyOpenPgp
        | Kind::MakeCsr
        | Kind::TestKey
        | Kind::ActivateKey
        | Kind::ChangeState
        | Kind::PublishKeyring
        | Kind::PublishMetadata
        | Kind::RevokeKey
        | Kind::IssueCrl => true,
        Kind::ImportCertificate
        | Kind::SignArtifact
        | Kind::AdoptSettings
        | Kind::GiveGrant
        | Kind::EndGrant
        | Kind::CloseFollowUp
        | Kind::AdoptRoster
        | Kind::SuspendPerson
        | Kind::RestorePerson
        | Kind::SuspendKey
        | Kind::ReinstateKey
        | Kind::UpdatePipeline
        | Kind::DestroyKey
        | Kind::ConfirmCrl
        | Kind::MarkArtifacts
        | Kind::LinkRoots
        | Kind::SetTime
        | Kind::ReviewKey => false,
    }
}

impl Decide for GiveGrant {
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        let params = &request.params;
        let settings = facts.settings.sha256().ok();
        let end = facts.now + TimeDelta::days(MAX_DAYS);
        let no_root = !params.purpose.is_trust_anchor();
        let key = facts.settings.keys.get(&params.generation.key);
        let count = (1..=MAX_GENERATIONS).contains(&params.generations);
        let in_force = settings.map(|hash| hash.to_string()).unwrap_or_default();
        let found = vec![
            gates::holds(
                "GrantSettings",
                params.settings_sha256.to_string(),
                in_force,
                Some(params.settings_sha256) == settings,
            ),
            gates::holds(
                "GrantPurpose",
                params.purpose.as_str(),
                "as the key's, and no root",
                no_root && key.is_some_and(|key| key.purpose == params.purpose),
            ),
            gates::holds("GrantGenerations", params.generations.to_string(), format!("1 to {MAX_GENERATIONS}"), count),
            gates::holds("GrantInterval", params.interval_days.to_string(), ">= 1 days", params.interval_days >= 1),
            gates::holds(
                "GrantEnd",
                rfc3339(params.not_after),
                format!("before {}", rfc3339(end)),
                params.not_after > facts.now && params.not_after < end,
            ),
        ];
        with_people(found, facts)
    }
}

impl Decide for EndGrant {
    fn decide(_request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        with_people(Vec::new(), facts)
    }
}

impl Decide for CloseFollowUp {
    fn decide(_request: &Request<Self>, facts: &Facts<'_>) -> Decision {
        with_people(Vec::new(), facts)
    }
}
