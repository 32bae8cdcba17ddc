use super::*;
use crate::clock::{Time, parse};
use crate::config::Config;
use crate::model::{Assurance, Environment};
use crate::people::Roster;
use crate::people::roster::testing::{Hand, email, four, person};
use crate::policy::Verdict;
use crate::policy::facts::People;
use crate::policy::testing::request;
use crate::request::{AdoptSettings, Operation};

fn now() -> Time {
    parse("2026-06-01T00:00:00Z").unwrap()
}

fn settings() -> Settings {
    let text = Config::render_default("Example Corp", "sandbox.invalid/keyctl");
    let hash_of = |_: &std::path::Path| unreachable!("it names no files");
    Config::parse(&text, std::path::Path::new("/w/keyctl.toml"), &hash_of).unwrap().adopted()
}

fn facts<'a>(settings: &'a Settings, suspended: &[&str], people: People) -> Facts<'a> {
    let suspended = suspended.iter().map(|address| email(address)).collect();
    let generation = crate::policy::testing::windows(Environment::Staging);
    Facts {
        people,
        roster: Some(RosterFacts { roster: four().0, suspended }),
        ..crate::policy::testing::facts(settings, Environment::Staging, generation, now())
    }
}

/// The gates that do not pass.
fn failing<O: Decide>(request: &Request<O>, suspended: &[&str]) -> Vec<String> {
    let settings = settings();
    let decision = O::decide(request, &facts(&settings, suspended, People::Waived));
    let failing = decision.gates().iter().filter(|gate| gate.verdict != Verdict::Pass);
    failing.map(|gate| format!("{}: {}", gate.name, gate.input)).collect()
}

fn adoption(change: impl FnOnce(&mut Roster)) -> Request<AdoptRoster> {
    let (from, _) = four();
    let mut to = from.clone();
    to.version = 2;
    change(&mut to);
    request(AdoptRoster { generation: "ledger/1".parse().unwrap(), from, to })
}

fn suspension(address: &str) -> Request<SuspendPerson> {
    let (generation, reason) = ("ledger/1".parse().unwrap(), "r".to_owned());
    request(SuspendPerson { generation, email: email(address), reason })
}

#[test]
fn the_next_roster_is_the_next_one_and_good_and_enough() {
    assert_eq!(failing(&adoption(|_| {}), &[]), Vec::<String>::new());
    assert_eq!(failing(&adoption(|to| to.version = 3), &[]), ["RosterVersion: 3"]);
    assert_eq!(failing(&adoption(|to| to.version = 1), &[]), ["RosterVersion: 1"]);
    let mut other = adoption(|_| {});
    other.params.from.people.get_mut(&email("bob@example.com")).unwrap().name = "Robert".into();
    assert_eq!(failing(&other, &[]), ["RosterInForce: version 1"]);
    let weak = adoption(|to| to.people.get_mut(&email("bob@example.com")).unwrap().keys.clear());
    assert!(failing(&weak, &[])[0].starts_with("RosterForm: people.\"bob@example.com\".keys: 1 to 16"));
    let few = adoption(|to| drop(to.people.remove(&email("dan@example.com"))));
    assert!(failing(&few, &[])[0].starts_with("PolicySatisfiable: re-sign must include a cab-approver"));
}

#[test]
fn who_is_suspended_does_not_satisfy_the_next_roster_either() {
    let second = Hand::new(60);
    let more = adoption(|to| {
        let eve = person("Eve", &[crate::config::Role::CabApprover], &[&second]);
        to.people.insert(email("eve@example.com"), eve);
    });
    assert_eq!(failing(&more, &["dan@example.com"]), Vec::<String>::new());
    assert!(failing(&more, &["dan@example.com", "eve@example.com"])[0].starts_with("PolicySatisfiable"));
}

#[test]
fn nobody_suspends_themself_or_whom_an_operation_needs() {
    // Dan can be spared as soon as re-signing is impossible anyway.
    assert!(failing(&suspension("dan@example.com"), &[])[0].starts_with("PolicySatisfiable: re-sign must include"));
    assert_eq!(failing(&suspension("dan@example.com"), &["carol@example.com"]), Vec::<String>::new());
    assert_eq!(failing(&suspension("eve@example.com"), &[]), ["Person: eve@example.com is unknown"]);
    let twice = failing(&suspension("dan@example.com"), &["dan@example.com"]);
    assert_eq!(twice, ["Person: dan@example.com is suspended already"]);
    let mut own = suspension("dan@example.com");
    own.actor.email = email("Dan@example.com");
    own.actor.assurance = Assurance::Proven;
    assert_eq!(failing(&own, &["carol@example.com"]), ["AnotherPerson: Dan@example.com"]);
}

#[test]
fn settings_are_held_to_the_people_who_are_there() {
    let mut wanted = serde_json::to_value(settings()).unwrap();
    let adopt = |wanted: &Value| {
        let from = settings();
        let to = serde_json::from_value(wanted.clone()).unwrap_or_else(|_| from.clone());
        let generation = "ledger/1".parse().unwrap();
        request(AdoptSettings {
            generation,
            from_sha256: from.sha256().unwrap(),
            to_sha256: to.sha256().unwrap(),
            settings: wanted.clone(),
            changes: crate::config::Amendment::between(&from, &to).unwrap(),
            tokens: Default::default(),
        })
    };
    assert_eq!(failing(&adopt(&wanted), &[]), Vec::<String>::new());
    wanted["policy"]["adopt"]["threshold"] = 3.into();
    assert_eq!(
        failing(&adopt(&wanted), &[]),
        ["PolicySatisfiable: adopt takes 3 people with its roles, and 2 could sign"]
    );
    wanted["policy"]["adopt"]["threshold"] = 2.into();
    wanted["organization"]["name"] = "Other".into();
    let mut hidden = adopt(&wanted);
    assert_eq!(failing(&hidden, &[]), Vec::<String>::new());
    hidden.params.changes = Default::default();
    assert!(failing(&hidden, &[])[0].starts_with("SettingsChanges: the settings to adopt are refused"));
    wanted["policy"] = "none".into();
    let failed = failing(&adopt(&wanted), &[]);
    assert!(failed.iter().any(|it| it.starts_with("PolicySatisfiable: settings that cannot be read")), "{failed:?}");
}

#[test]
fn people_have_to_agree_to_all_of_it() {
    let settings = settings();
    let needs = |decision: Decision| matches!(decision, Decision::NeedsApproval(_));
    let ask = || facts(&settings, &["dan@example.com"], People::Missing);
    let (generation, reason) = ("ledger/1".parse().unwrap(), "r".to_owned());
    let restore = RestorePerson { generation, email: email("dan@example.com"), reason };
    assert!(needs(RestorePerson::decide(&request(restore), &ask())));
    let carol = facts(&settings, &["carol@example.com"], People::Missing);
    assert!(needs(SuspendPerson::decide(&suspension("dan@example.com"), &carol)));
    assert!(needs(AdoptRoster::decide(&adoption(|_| {}), &facts(&settings, &[], People::Missing))));
    // Without people there is nobody to speak of.
    let nobody = Facts { roster: None, ..ask() };
    assert!(matches!(SuspendPerson::decide(&suspension("dan@example.com"), &nobody), Decision::Block(_)));
    assert_eq!(AdoptRoster::NAME, crate::people::quorum::ADOPT_ROSTER);
}
