//! What a roster must not be, whose key is whose, and what people are told of a change.

use crate::clock::{Time, parse};
use crate::config::policy::{Operation, Policy, Role};
use crate::crypto::ssh::PublicKey;
use crate::model::Environment;
use crate::people::Roster;
use crate::people::roster::testing::{Hand, email, four, person};
use crate::people::roster::{MAX_ROSTER, Unsatisfied};
use chrono::TimeDelta;
use std::collections::BTreeSet;

const STAGING: Environment = Environment::Staging;

fn now() -> Time {
    parse("2026-06-01T00:00:00Z").unwrap()
}

/// Everything that is said against the four people after one change.
fn objections(environment: Environment, change: impl FnOnce(&mut Roster)) -> Vec<String> {
    let mut roster = four().0;
    change(&mut roster);
    roster.objections(environment).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn objects(words: &str, change: impl FnOnce(&mut Roster)) {
    let said = objections(STAGING, change);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(words), "{said:?}");
}

fn alice(roster: &mut Roster) -> &mut crate::people::roster::Person {
    roster.people.get_mut(&email("alice@example.com")).unwrap()
}

#[test]
fn each_objection_is_made_by_itself() {
    assert_eq!(objections(STAGING, |_| {}), Vec::<String>::new());
    objects("schema: is", |r| r.schema = "keyctl.roster/v2".into());
    objects("version: counts from 1", |r| r.version = 0);
    objects("people.\"Alice@example.com\": e-mail addresses are written in lower case", |r| {
        let alice = r.people.remove(&email("alice@example.com")).unwrap();
        r.people.insert(email("Alice@example.com"), alice);
    });
    for pattern in ["a*", "a?", "a!", "a#"] {
        objects("would take for a pattern", |r| {
            let alice = r.people.remove(&email("alice@example.com")).unwrap();
            r.people.insert(email(&format!("{pattern}@example.com")), alice);
        });
    }
    objects("people.\"alice@example.com\".name", |r| alice(r).name = "x".repeat(65));
    objects("people.\"alice@example.com\".name", |r| alice(r).name = "A\u{202e}".into());
    objects("at least one role", |r| alice(r).roles.clear());
    objects("an auditor only reads", |r| {
        alice(r).roles.insert(Role::Auditor);
    });
    assert_eq!(objections(STAGING, |r| alice(r).roles = [Role::Auditor].into()), Vec::<String>::new());
    let publishes = |r: &mut Roster| {
        alice(r).roles.insert(Role::Publisher);
    };
    assert_eq!(objections(STAGING, publishes), Vec::<String>::new());
    let keys = |count: u64| {
        let hands: Vec<_> = (0..count).map(|n| Hand::new(100 + n)).collect();
        move |r: &mut Roster| alice(r).keys = person("A", &[], &hands.iter().collect::<Vec<_>>()).keys
    };
    objects("1 to 16 keys, not 0", keys(0));
    objects("1 to 16 keys, not 17", keys(17));
    assert_eq!(objections(STAGING, keys(16)), Vec::<String>::new());
    let valid = |from: i64, to: i64| {
        move |r: &mut Roster| {
            let key = &mut alice(r).keys[0];
            key.valid_from = Some(now() + TimeDelta::seconds(from));
            key.valid_to = Some(now() + TimeDelta::seconds(to));
        }
    };
    assert_eq!(objections(STAGING, valid(0, 1)), Vec::<String>::new());
    objects("keys[0].valid_to: is not after valid_from", valid(0, 0));
    objects("keys[0].valid_to: is not after valid_from", valid(1, 0));
    objects("keys[0].public_key", |r| alice(r).keys[0].public_key = "ssh-ed25519 AAAA".into());
    objects("without a comment", |r| alice(r).keys[0].public_key.push_str(" alice"));
    objects("the same key twice", |r| {
        let key = alice(r).keys[0].clone();
        alice(r).keys.push(key);
    });
    objects("bob@example.com's key too", |r| {
        let line = Hand::new(2).line();
        r.people.get_mut(&email("carol@example.com")).unwrap().keys[0].public_key = line;
    });
}

#[test]
fn a_roster_has_three_to_a_hundred_people_and_a_sandbox_one() {
    let keep = |count: usize| move |r: &mut Roster| r.people = r.people.clone().into_iter().take(count).collect();
    let fill = |count: usize| {
        move |r: &mut Roster| {
            let more = count - r.people.len();
            for n in 0..more {
                let hand = Hand::new(1000 + n as u64);
                r.people.insert(email(&format!("p{n}@x")), person("P", &[Role::Publisher], &[&hand]));
            }
        }
    };
    assert_eq!(objections(STAGING, keep(3)), Vec::<String>::new());
    objects("3 to 100 people, not 2", keep(2));
    let sandbox = Environment::Sandbox;
    assert_eq!(objections(sandbox, keep(1)), Vec::<String>::new());
    assert_eq!(objections(sandbox, keep(0)), ["people: 1 to 100 people, not 0"]);
    let many = objections(STAGING, fill(100));
    assert!(many.iter().all(|why| !why.contains("100 people")), "{many:?}");
    assert!(objections(STAGING, fill(101)).iter().any(|why| why.contains("3 to 100 people, not 101")));
    // Each in its limits, and too much in all.
    let long = |r: &mut Roster| {
        fill(90)(r);
        for person in r.people.values_mut() {
            person.name = "x".repeat(64);
            person.keys[0].valid_from = Some(now());
            person.keys[0].valid_to = Some(now() + TimeDelta::days(1));
        }
    };
    let mut roster = four().0;
    long(&mut roster);
    assert!(roster.to_json().unwrap().len() > MAX_ROSTER);
    objects(&format!("more than {MAX_ROSTER} bytes in all"), long);
}

#[test]
fn secrets_are_encrypted_to_keys_of_their_own() {
    const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let with = |line: String| move |r: &mut Roster| alice(r).encryption_key = Some(line);
    assert_eq!(objections(STAGING, with(AGE.into())), Vec::<String>::new());
    assert_eq!(objections(STAGING, with(Hand::new(70).line())), Vec::<String>::new());
    objects("is a signing key too", with(Hand::new(1).line()));
    objects("is a signing key too", with(Hand::new(2).line()));
    objects("only ssh-ed25519, ssh-rsa and age1", with(Hand::security_key(70).line()));
    objects("without a comment", with(Hand::new(70).line() + " alice"));
    objects("is neither an age recipient nor an OpenSSH key", with("age".into()));
    objects("a letter is wrong or missing", with(AGE[..61].into()));
    objects("is alice@example.com's too", |r| {
        alice(r).encryption_key = Some(AGE.into());
        r.people.get_mut(&email("bob@example.com")).unwrap().encryption_key = Some(AGE.into());
    });
}

#[test]
fn a_key_is_its_holders_in_the_kind_that_the_roster_names() {
    let (mut roster, hands) = four();
    let holder = |roster: &Roster, hand: &Hand| {
        let key: PublicKey = hand.line().parse().unwrap();
        roster.holder(&key).map(|(email, ..)| email.to_string())
    };
    assert_eq!(holder(&roster, &hands[0]).unwrap(), "alice@example.com");
    assert_eq!(holder(&roster, &hands[3]).unwrap(), "dan@example.com");
    assert_eq!(holder(&roster, &Hand::new(99)), None);
    assert_eq!(holder(&roster, &hands[0].with_flags(1)), None, "an authenticator of the same key is another");
    roster.people.get_mut(&email("bob@example.com")).unwrap().keys[0].public_key = hands[0].line();
    assert_eq!(holder(&roster, &hands[0]), None, "claimed by two");
}

#[test]
fn who_can_sign_has_a_key_that_counts_now() {
    let second = TimeDelta::seconds(1);
    let can = |from: Option<TimeDelta>, to: Option<TimeDelta>| {
        let mut person = person("A", &[Role::Publisher], &[&Hand::new(1)]);
        person.keys[0].valid_from = from.map(|delta| now() + delta);
        person.keys[0].valid_to = to.map(|delta| now() + delta);
        person.can_sign(now())
    };
    let zero = TimeDelta::zero();
    assert!(can(None, None) && can(Some(zero), None) && can(None, Some(second)) && can(Some(-second), Some(second)));
    assert!(!can(Some(second), None) && !can(None, Some(zero)) && !can(Some(-second), Some(zero)));
    assert!(!can(Some(second), Some(second + second)));
    assert!(!person("A", &[Role::Publisher], &[]).can_sign(now()));
}

#[test]
fn a_policy_is_satisfied_by_who_is_there_can_sign_and_has_the_roles() {
    let policy = Policy::default();
    let lacking = |change: fn(&mut Roster), suspended: &[&str]| {
        let mut roster = four().0;
        change(&mut roster);
        let suspended: BTreeSet<_> = suspended.iter().map(|address| email(address)).collect();
        let list = roster.unsatisfied(&policy, &suspended, now());
        list.into_iter().map(|one: Unsatisfied| one.operation).collect::<Vec<_>>()
    };
    assert_eq!(lacking(|_| {}, &[]), []);
    assert_eq!(lacking(|_| {}, &["dan@example.com"]), [Operation::ReSign]);
    let dan = |r: &mut Roster| {
        r.people.get_mut(&email("dan@example.com")).unwrap().keys[0].valid_from = Some(now() + TimeDelta::seconds(1));
    };
    assert_eq!(lacking(dan, &[]), [Operation::ReSign]);
    let other = |r: &mut Roster| {
        r.people.get_mut(&email("dan@example.com")).unwrap().roles = [Role::Publisher].into();
    };
    assert_eq!(lacking(other, &[]), [Operation::ReSign]);
}

#[test]
fn a_change_of_order_alone_is_said_to_be_one() {
    let mut old = four().0;
    let more = person("A", &[], &[&Hand::new(80)]).keys;
    alice(&mut old).keys.extend(more);
    let mut new = old.clone();
    alice(&mut new).keys.reverse();
    assert_eq!(Roster::difference(&old, &new), ["only the order of somebody's keys changes"]);
    assert_eq!(Roster::difference(&old, &old), Vec::<String>::new());
    new.version += 1;
    assert_eq!(Roster::difference(&old, &new), ["version 1 becomes 2"]);
}

#[test]
fn a_change_of_an_encryption_key_is_said() {
    let old = four().0;
    let mut new = old.clone();
    let line = Hand::new(70).line();
    alice(&mut new).encryption_key = Some(line.clone());
    let to = format!("secrets for alice@example.com are encrypted to {line}");
    assert_eq!(Roster::difference(&old, &new), [to]);
    assert_eq!(Roster::difference(&new, &old), ["secrets are no longer encrypted to alice@example.com"]);
    assert_eq!(Roster::difference(&new, &new), Vec::<String>::new());
}
