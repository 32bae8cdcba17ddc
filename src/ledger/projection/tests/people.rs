//! Foundings that people signed, rosters that follow each other, and suspensions.

use super::*;
use crate::ledger::testing::{ORIGIN, WORKSPACE};
use crate::people::founding::{Beginning, Founded, LedgerKeyPlan};
use crate::people::request::tests::example;
use crate::people::request::{LogHead, Requester};
use crate::people::roster::testing::{Hand, email, four};
use crate::people::{Namespace, Roster};
use crate::request::{AdoptRoster, GiveGrant, ReinstateKey, RestorePerson, SuspendKey, SuspendPerson};

/// A genesis that the four people signed.
fn signed() -> Genesis {
    signed_by(&four().1)
}

fn signed_by(hands: &[Hand]) -> Genesis {
    let mut genesis = acts::genesis(&Signer::fixed());
    let (roster, _) = four();
    let planned = genesis.ledger_keys.iter().map(|key| LedgerKeyPlan {
        generation: key.generation.clone(),
        algorithm: key.identity.algorithm,
        hsm: key.identity.copies[0].hsm.clone(),
        token_serial: key.identity.copies[0].token.serial.clone(),
    });
    let beginning = Beginning {
        settings: genesis.settings.clone(),
        roster: roster.clone(),
        tokens: genesis.tokens.clone(),
        ledger_keys: planned.collect(),
        earlier: None,
    };
    let mut request = example();
    request.workspace_id = WORKSPACE.into();
    request.origin = ORIGIN.into();
    request.environment = genesis.environment;
    request.genesis_sha256 = None;
    request.operation = crate::config::Operation::Roster;
    request.subjects.clear();
    request.log_head = LogHead { size: 0, root: Hash256::of(b"") };
    request.roster = roster.reference().unwrap();
    request.settings_sha256 = genesis.settings_sha256;
    request.requester = Requester { email: email("carol@example.com"), key_sha256: Hash256([4; 32]) };
    request.steps = vec![beginning.step(WORKSPACE).unwrap()];
    let bytes = request.to_bytes().unwrap();
    let sign = |hand: &Hand| hand.sign(&Namespace::Roster.of(ORIGIN), &bytes);
    genesis.roster_sha256 = Some(roster.sha256().unwrap());
    genesis.roster = Some(roster);
    genesis.intent.founding = Some(Founded {
        request: String::from_utf8(bytes.clone()).unwrap(),
        signatures: hands.iter().map(sign).collect(),
        earlier: Vec::new(),
    });
    genesis
}

fn founded() -> Log {
    let mut log = Log::empty();
    log.add(acts::founding(&signed()));
    log
}

#[test]
fn the_first_roster_is_in_force_from_the_beginning() {
    let log = founded();
    assert_eq!(query::roster(&log.tables).unwrap(), Some(four().0));
    assert_eq!(query::suspended(&log.tables).unwrap().len(), 0);
    // Ledgers of sandboxes that were founded before there were people have none.
    assert_eq!(query::roster(&Log::founded().tables).unwrap(), None);
}

#[test]
fn a_genesis_is_what_everyone_signed() {
    type Change = fn(&mut Genesis);
    let changes: [Change; 8] = [
        |genesis| drop(genesis.intent.founding.as_mut().unwrap().signatures.pop()),
        |genesis| genesis.intent.founding.as_mut().unwrap().request.push(' '),
        |genesis| genesis.environment = crate::model::Environment::Staging,
        |genesis| genesis.origin.push('x'),
        |genesis| genesis.tokens.clear(),
        |genesis| genesis.roster = None,
        |genesis| {
            let roster = genesis.roster.as_mut().unwrap();
            roster.people.remove(&email("dan@example.com"));
            genesis.roster_sha256 = Some(roster.sha256().unwrap());
        },
        |genesis| genesis.ledger_keys[0].identity.copies[0].token.serial = "another".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut genesis = signed();
        change(&mut genesis);
        assert_eq!(Log::empty().refuses(acts::founding(&genesis)), "bad_genesis", "{number}");
    }
    // A workspace that is no sandbox cannot do without people at all.
    let mut alone = acts::genesis(&Signer::fixed());
    alone.environment = crate::model::Environment::Staging;
    assert_eq!(Log::empty().refuses(acts::founding(&alone)), "bad_genesis");
    let strangers = [9, 10, 11, 12].map(Hand::new);
    assert_eq!(Log::empty().refuses(acts::founding(&signed_by(&strangers))), "bad_genesis");
}

fn adoption(from: &Roster, to: &Roster) -> Request<AdoptRoster> {
    let params = AdoptRoster { generation: acts::id("ledger/1"), from: from.clone(), to: to.clone() };
    acts::request("roster", params, Vec::new())
}

#[test]
fn a_roster_follows_the_one_in_force_and_no_other() {
    let mut log = founded();
    let (first, _) = four();
    let mut second = first.clone();
    second.version = 2;
    second.people.get_mut(&email("bob@example.com")).unwrap().name = "Robert".into();
    let mut third = second.clone();
    third.version = 3;
    let refused = |log: &mut Log, from: &Roster, to: &Roster| {
        let intent = log.add(acts::intent(&adoption(from, to)));
        log.refuses(acts::done(&intent, json!({})))
    };
    assert_eq!(refused(&mut log, &second, &third), "bad_roster_version", "it is not in force yet");
    assert_eq!(refused(&mut log, &first, &third), "bad_roster_version", "one is left out");
    let adopted = log.act(&adoption(&first, &second), json!({}));
    assert_eq!(query::roster(&log.tables).unwrap(), Some(second.clone()));
    assert_eq!(query::touched(&log.tables, "roster").unwrap(), adopted.seq);
    assert_eq!(refused(&mut log, &first, &second), "bad_roster_version", "once more");
    log.act(&adoption(&second, &third), json!({}));
    assert_eq!(query::roster(&log.tables).unwrap(), Some(third));
}

#[test]
fn people_are_suspended_and_restored() {
    let mut log = founded();
    let bob = email("bob@example.com");
    let generation = acts::id("ledger/1");
    let suspend = SuspendPerson { generation: generation.clone(), email: bob.clone(), reason: "r".into() };
    let restore = RestorePerson { generation, email: bob.clone(), reason: "r".into() };
    let (suspend, restore) = (acts::request("bob", suspend, Vec::new()), acts::request("bob", restore, Vec::new()));
    let intent = log.add(acts::intent(&restore));
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "not_suspended");
    log.act(&suspend, json!({}));
    assert_eq!(query::suspended(&log.tables).unwrap(), [bob].into());
    let intent = log.add(acts::intent(&suspend));
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "suspended_already");
    log.act(&restore, json!({}));
    assert_eq!(query::suspended(&log.tables).unwrap(), [].into());
}

#[test]
fn a_suspended_key_keeps_no_grants() {
    let mut log = founded();
    log.make("windows/1", 1);
    let give = GiveGrant {
        generation: acts::id("windows/2"),
        grant_id: "ab".repeat(16),
        settings_sha256: Hash256([1; 32]),
        purpose: Purpose::Authenticode,
        subject: "CN=x".into(),
        tokens: BTreeMap::new(),
        generations: 1,
        interval_days: 1,
        not_after: clock().now(),
    };
    log.act(&acts::request("windows", give, Vec::new()), json!({}));
    let windows: crate::model::KeyName = "windows".parse().unwrap();
    let suspend = SuspendKey { generation: acts::id("windows/1"), reason: "a doubt".into() };
    let lift = ReinstateKey { generation: acts::id("windows/1"), reason: "none".into() };
    let (suspend, lift) = (acts::request("windows", suspend, Vec::new()), acts::request("windows", lift, Vec::new()));
    let intent = log.add(acts::intent(&lift));
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "not_suspended");
    let suspended = log.act(&suspend, json!({}));
    let found = query::suspended_keys(&log.tables).unwrap().remove(&windows).unwrap();
    assert_eq!((found.seq, found.reason.as_str()), (suspended.seq, "a doubt"));
    assert_eq!(query::grant(&log.tables, &"ab".repeat(16)).unwrap().unwrap().ended, Some(suspended.seq));
    assert_eq!(query::touched(&log.tables, "windows").unwrap(), suspended.seq, "what was asked for it is asked anew");
    let intent = log.add(acts::intent(&suspend));
    assert_eq!(log.refuses(acts::done(&intent, json!({}))), "suspended_already");
    log.act(&lift, json!({}));
    assert_eq!(query::suspended_keys(&log.tables).unwrap().len(), 0);
}
