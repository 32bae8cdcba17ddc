//! What a standing approval allows, and what may become one.

use super::{asks, open, stops};
use crate::clock::Time;
use crate::config::Settings;
use crate::ledger::query::Grant;
use crate::model::{Email, Environment, GenerationId, Hash256, Purpose};
use crate::people::Roster;
use crate::people::roster::testing::{email, four};
use crate::policy::grants::{MAX_DAYS, MAX_GENERATIONS, Use, gates};
use crate::policy::testing::{facts, issued, request, settings, windows};
use crate::policy::{Decide, Decision};
use crate::request::{GiveGrant, Kind};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};

fn id(text: &str) -> GenerationId {
    text.parse().unwrap()
}

/// Two generations of `windows`, from the second on.
fn given() -> GiveGrant {
    GiveGrant {
        generation: id("windows/2"),
        grant_id: "g".into(),
        settings_sha256: Hash256::of(b"settings"),
        purpose: Purpose::Authenticode,
        subject: "CN=x".into(),
        tokens: BTreeMap::new(),
        generations: 2,
        interval_days: 30,
        not_after: issued() + TimeDelta::days(100),
    }
}

/// Alice and Bob gave it; the third generation is to be made, thirty days after the second.
struct Case {
    grant: Grant,
    now: Time,
    settings_sha256: Hash256,
    roster: Option<Roster>,
    suspended: BTreeSet<Email>,
    operation: Kind,
    generation: GenerationId,
    newest: Option<Time>,
}

impl Case {
    fn new() -> Self {
        Case {
            grant: Grant {
                seq: 5,
                params: given(),
                people: vec![email("alice@example.com"), email("bob@example.com")],
                ended: None,
                used: Vec::new(),
            },
            now: issued() + TimeDelta::days(30),
            settings_sha256: Hash256::of(b"settings"),
            roster: Some(four().0),
            suspended: BTreeSet::new(),
            operation: Kind::GenerateKey,
            generation: id("windows/3"),
            newest: Some(issued()),
        }
    }

    fn decide(&self) -> Decision {
        let usage = Use {
            now: self.now,
            settings_sha256: self.settings_sha256,
            roster: self.roster.as_ref(),
            suspended: &self.suspended,
            operation: self.operation,
            generation: &self.generation,
            newest: self.newest,
        };
        Decision::from_gates(gates(Some(&self.grant), &usage))
    }
}

type Change = fn(&mut Case);

#[test]
fn each_condition_of_a_grant_stops_its_use_by_itself() {
    super::allows(&Case::new().decide());
    let refused: [(Change, &str); 20] = [
        (|case| case.grant.ended = Some(9), "Grant"),
        (|case| case.grant.params.not_after = case.now, "Grant"),
        (|case| case.grant.params.not_after = case.now - TimeDelta::seconds(1), "Grant"),
        (|case| case.settings_sha256 = Hash256::of(b"others"), "GrantSettings"),
        (|case| case.suspended = [email("alice@example.com")].into(), "GrantPeople"),
        (|case| case.suspended = [email("bob@example.com")].into(), "GrantPeople"),
        (|case| drop(case.roster.as_mut().unwrap().people.remove(&email("bob@example.com"))), "GrantPeople"),
        (|case| case.roster = None, "GrantPeople"),
        (|case| case.grant.people.clear(), "GrantPeople"),
        (|case| case.generation = id("windows/1"), "GrantScope"),
        (|case| case.generation = id("windows/4"), "GrantScope"),
        (|case| case.generation = id("windows-ca/3"), "GrantScope"),
        (|case| case.grant.params.generations = 1, "GrantScope"),
        (|case| case.operation = Kind::DestroyKey, "GrantScope"),
        (|case| (case.operation, case.generation) = (Kind::ChangeState, id("windows/4")), "GrantScope"),
        (|case| (case.operation, case.generation) = (Kind::ChangeState, id("windows-ca/1")), "GrantScope"),
        (|case| (case.operation, case.generation) = (Kind::DestroyKey, id("windows/1")), "GrantScope"),
        (|case| case.newest = Some(issued() + TimeDelta::seconds(1)), "GrantInterval"),
        (|case| case.newest = Some(case.now + TimeDelta::days(60)), "GrantInterval"),
        (|case| case.grant.params.interval_days = 31, "GrantInterval"),
    ];
    for (number, (change, gate)) in refused.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(open(&case.decide()), [gate], "change {number}");
    }
    let taken: [Change; 7] = [
        |case| case.now = case.grant.params.not_after - TimeDelta::seconds(1),
        |case| case.generation = id("windows/2"),
        |case| case.newest = None,
        |case| case.suspended = [email("carol@example.com")].into(),
        |case| drop(case.roster.as_mut().unwrap().people.remove(&email("carol@example.com"))),
        // The one before the first is moved along, but not made; and only making waits.
        |case| (case.operation, case.generation) = (Kind::ChangeState, id("windows/1")),
        |case| (case.operation, case.newest) = (Kind::ActivateKey, Some(case.now)),
    ];
    for (number, change) in taken.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(open(&case.decide()), Vec::<String>::new(), "change {number}");
    }
}

#[test]
fn a_grant_says_who_is_gone_and_when_it_ended() {
    let mut case = Case::new();
    assert_eq!(super::words(&case.decide(), "Grant").0, "stands");
    assert_eq!(super::words(&case.decide(), "GrantPeople").0, "all there");
    case.grant.ended = Some(9);
    case.suspended = [email("bob@example.com")].into();
    assert_eq!(super::words(&case.decide(), "Grant").0, "ended by entry 9");
    assert_eq!(super::words(&case.decide(), "GrantPeople").0, "gone: bob@example.com");
}

#[test]
fn a_grant_that_the_ledger_does_not_know_allows_nothing() {
    let (generation, suspended) = (id("windows/3"), BTreeSet::new());
    let usage = Use {
        now: issued(),
        settings_sha256: Hash256::of(b"settings"),
        roster: None,
        suspended: &suspended,
        operation: Kind::GenerateKey,
        generation: &generation,
        newest: None,
    };
    assert_eq!(open(&Decision::from_gates(gates(None, &usage))), ["Grant"]);
}

#[test]
fn a_grant_is_for_what_a_rotation_does_and_for_nothing_else() {
    let rotation = [
        Kind::GenerateKey,
        Kind::IssueCertificate,
        Kind::CertifyOpenPgp,
        Kind::MakeCsr,
        Kind::TestKey,
        Kind::ActivateKey,
        Kind::ChangeState,
        Kind::PublishKeyring,
        Kind::PublishMetadata,
        Kind::RevokeKey,
        Kind::IssueCrl,
    ];
    for &operation in Kind::ALL {
        let found = open(&Case { operation, ..Case::new() }.decide());
        let expected: &[&str] = if rotation.contains(&operation) { &[] } else { &["GrantScope"] };
        assert_eq!(found, expected, "{operation}");
    }
}

#[test]
fn each_condition_of_giving_a_grant_by_itself() {
    let settings: Settings = settings();
    let (production, now) = (Environment::Production, issued());
    let decide = |change: &dyn Fn(&mut GiveGrant)| {
        let in_force = settings.sha256().unwrap();
        let mut params = GiveGrant { settings_sha256: in_force, not_after: now + TimeDelta::days(30), ..given() };
        change(&mut params);
        GiveGrant::decide(&request(params), &facts(&settings, production, windows(production), now))
    };
    asks(&decide(&|_| {}));
    stops(&decide(&|grant| grant.settings_sha256 = Hash256::of(b"others")), "GrantSettings");
    stops(&decide(&|grant| grant.purpose = Purpose::Apt), "GrantPurpose");
    stops(&decide(&|grant| grant.generation = id("unknown/2")), "GrantPurpose");
    for (key, purpose) in
        [("root", Purpose::RootCa), ("apt-root", Purpose::OpenpgpPrimary), ("ledger", Purpose::Ledger)]
    {
        let root = move |grant: &mut GiveGrant| {
            (grant.generation, grant.purpose) = (id(&format!("{key}/2")), purpose);
        };
        stops(&decide(&root), "GrantPurpose");
    }
    asks(&decide(&|grant| (grant.generation, grant.purpose) = (id("windows-ca/2"), Purpose::IntermediateCa)));
    stops(&decide(&|grant| grant.generations = 0), "GrantGenerations");
    stops(&decide(&|grant| grant.generations = MAX_GENERATIONS + 1), "GrantGenerations");
    asks(&decide(&|grant| grant.generations = 1));
    asks(&decide(&|grant| grant.generations = MAX_GENERATIONS));
    stops(&decide(&|grant| grant.interval_days = 0), "GrantInterval");
    asks(&decide(&|grant| grant.interval_days = 1));
    stops(&decide(&|grant| grant.not_after = now), "GrantEnd");
    stops(&decide(&|grant| grant.not_after = now + TimeDelta::days(MAX_DAYS)), "GrantEnd");
    asks(&decide(&|grant| grant.not_after = now + TimeDelta::days(MAX_DAYS) - TimeDelta::seconds(1)));
    asks(&decide(&|grant| grant.not_after = now + TimeDelta::seconds(1)));
}
