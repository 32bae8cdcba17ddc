use super::testing::{Hand, email, four, person, roster};
use super::*;
use crate::config::policy::{Operation, Policy, Rule};
use std::path::Path;

const STAGING: Environment = Environment::Staging;

fn read(text: &str) -> Result<Roster> {
    Roster::from_toml(text, Path::new("/w/roster.toml"), STAGING)
}

fn time(text: &str) -> Time {
    crate::clock::parse(text).unwrap()
}

fn now() -> Time {
    time("2026-06-01T00:00:00Z")
}

/// A good file, with the keys of seeds 1 to 4.
fn file() -> String {
    let lines = [1, 2, 3, 4].map(|seed| Hand::new(seed).line());
    format!(
        r#"version = 3

[people."Alice@Example.com"]
name  = "Alice Ångström"
roles = ["security-reviewer"]
encryption_key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

[[people."Alice@Example.com".keys]]
public_key = "{} alice@laptop"
valid_from = 2026-01-01T01:00:00+01:00
valid_to   = 2027-01-01T00:00:00Z

[[people."Alice@Example.com".keys]]
public_key = "{}"

[people."bob@example.com"]
name  = "Bob"
roles = ["platform-admin", "packaging-engineer"]

[[people."bob@example.com".keys]]
public_key = "{}"

[people."carol@example.com"]
name  = "Carol"
roles = ["cab-approver"]
keys  = [{{ public_key = "{}" }}]
"#,
        lines[0], lines[1], lines[2], lines[3]
    )
}

#[test]
fn a_file_is_read_into_one_spelling() {
    let roster = read(&file()).unwrap();
    assert_eq!(roster.version, 3);
    let (known, alice) = roster.person(&email("ALICE@example.COM")).unwrap();
    assert_eq!(known, &email("alice@example.com"));
    assert_eq!(alice.keys[0].public_key, Hand::new(1).line(), "without the comment");
    assert_eq!(alice.keys[0].valid_from, Some(time("2026-01-01T00:00:00Z")));
    let json = roster.to_json().unwrap();
    assert_eq!(Roster::from_json(&json).unwrap(), roster);
    assert_eq!(roster.sha256().unwrap(), Hash256::of(&json));
    assert_eq!(read(&roster.to_toml()).unwrap(), roster, "{}", roster.to_toml());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let file = file();
    let keys = [1, 2, 3].map(|seed| Hand::new(seed).line());
    let [one, two, three] = keys.each_ref().map(String::as_str);
    let cases = [
        ("version = 3", "version = 0", "roster.toml:1: version: 1 to 4294967295"),
        ("version = 3", "version = 3\nx = 1", "roster.toml:2: unknown field"),
        ("name  = \"Bob\"", "name = \"B\\u202eob\"", "roster.toml:17: people.\"bob@example.com\".name"),
        ("name  = \"Bob\"", "name = \"\"", "roster.toml:17: people.\"bob@example.com\".name: has 1 to 64"),
        ("\"cab-approver\"", "\"boss\"", "roster.toml:25: unknown role"),
        ("\"cab-approver\"", "", "roster.toml:25: people.\"carol@example.com\".roles: at least one"),
        ("\"cab-approver\"", "\"auditor\", \"publisher\"", "an auditor only reads"),
        (
            "\"cab-approver\"",
            "\"publisher\", \"publisher\"",
            "roster.toml:25: people.\"carol@example.com\".roles: publisher twice",
        ),
        (two, one, "roster.toml:14: people.\"alice@example.com\".keys[1].public_key: the same key twice"),
        (three, one, "roster.toml:21: people.\"bob@example.com\".keys[0].public_key: is alice@example.com's key too"),
        (
            three,
            "ssh-ed25519 AAAA",
            "roster.toml:21: people.\"bob@example.com\".keys[0].public_key: the SSH public key",
        ),
        (
            "valid_to   = 2027",
            "valid_to   = 2025",
            "roster.toml:11: people.\"alice@example.com\".keys[0].valid_to: is not after",
        ),
        (
            "2027-01-01T00:00:00Z",
            "2027-01-01",
            "roster.toml:11: people.\"alice@example.com\".keys[0].valid_to: a date with time",
        ),
        ("2027-01-01T00:00:00Z", "\"2027-01-01T00:00:00Z\"", "roster.toml:11:"),
        ("aqmcac8p", "aqmcac8q", "roster.toml:6: people.\"alice@example.com\".encryption_key: is not an age"),
        ("bob@example.com", "Alice@example.com", "alice@example.com is there already"),
        ("bob@example.com", "bob", "roster.toml:16: \"bob\" is not an e-mail address"),
        ("public_key", "key", "roster.toml:9: unknown field"),
    ];
    for (from, to, expected) in cases {
        let error = read(&file.replace(from, to)).unwrap_err();
        assert_eq!(error.code(), "bad_roster");
        assert!(error.message().contains(expected), "{from} -> {to}: {}", error.message());
    }
    assert!(read(&"#".repeat(usize::try_from(MAX_FILE).unwrap() + 1)).is_err());
    assert!(read("").unwrap_err().message().contains("version"));
}

#[test]
fn two_people_are_not_enough_outside_a_sandbox() {
    let (mut few, _) = four();
    few.people.retain(|email, _| email.as_str() < "c");
    assert!(few.check(STAGING).unwrap_err().message().contains("3 to 100 people, not 2"));
    few.check(Environment::Sandbox).unwrap();
}

#[test]
fn json_from_elsewhere_is_held_to_the_same_rules() {
    let (good, hands) = four();
    good.check(STAGING).unwrap();
    let spoil = |change: &dyn Fn(&mut Roster)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.check(STAGING).unwrap_err().message().to_owned()
    };
    let alice = |bad: &mut Roster| bad.people.remove(&email("alice@example.com")).unwrap();
    let said = spoil(&|bad| {
        let alice = alice(bad);
        bad.people.insert(email("Alice@example.com"), alice);
    });
    assert!(said.contains("lower case"), "{said}");
    let said = spoil(&|bad| {
        let mut person = alice(bad);
        person.keys[0].public_key.push_str(" comment");
        bad.people.insert(email("alice@example.com"), person);
    });
    assert!(said.contains("without a comment"), "{said}");
    let said = spoil(&|bad| {
        let mut person = alice(bad);
        person.encryption_key = Some(hands[1].line());
        bad.people.insert(email("alice@example.com"), person);
    });
    assert!(said.contains("is a signing key too"), "{said}");
    assert!(spoil(&|bad| bad.schema.push('x')).contains("schema"));
    let json = String::from_utf8(good.to_json().unwrap()).unwrap();
    for (from, to) in [("{", "{ "), ("\"version\"", "\"a\":1,\"version\""), ("\"name\":\"Bob\",", "")] {
        assert!(Roster::from_json(json.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
    }
}

#[test]
fn one_key_of_two_kinds_is_one_key() {
    let (mut roster, hands) = four();
    // The same point as an authenticator's key: another line, another fingerprint, the same private key.
    let other = hands[0].with_flags(1);
    roster.people.get_mut(&email("bob@example.com")).unwrap().keys[0].public_key = other.line();
    assert!(roster.check(STAGING).unwrap_err().message().contains("alice@example.com's key too"));
    assert!(roster.holder(&hands[0].line().parse().unwrap()).is_none(), "claimed by two, so nobody's");
}

#[test]
fn changes_are_said_in_plain_words() {
    let (old, hands) = four();
    let mut new = old.clone();
    new.version = 2;
    let bob = new.people.get_mut(&email("bob@example.com")).unwrap();
    bob.name = "Robert".to_owned();
    bob.roles.insert(Role::Publisher);
    bob.keys[0].public_key = Hand::new(9).line();
    new.people.get_mut(&email("alice@example.com")).unwrap().keys[0].valid_to = Some(now());
    new.people.remove(&email("carol@example.com"));
    new.people.insert(email("eve@example.com"), person("Eve", &[Role::PackagingEngineer], &[&Hand::security_key(5)]));
    let print = |hand: &Hand| hand.line().parse::<PublicKey>().unwrap().openssh_fingerprint();
    let expected = [
        "version 1 becomes 2".to_owned(),
        format!(
            "alice@example.com's key changes: ssh-ed25519 {} until 2026-06-01T00:00:00Z, no longer for ever",
            print(&hands[0])
        ),
        "bob@example.com is called Robert, no longer Bob".to_owned(),
        "bob@example.com becomes publisher".to_owned(),
        format!("bob@example.com signs with ssh-ed25519 {} for ever", print(&Hand::new(9))),
        format!("bob@example.com no longer signs with ssh-ed25519 {} for ever", print(&hands[1])),
        "carol@example.com leaves: Carol, packaging-engineer".to_owned(),
        "eve@example.com joins: Eve, packaging-engineer".to_owned(),
        format!("eve@example.com signs with sk-ssh-ed25519@openssh.com {} for ever", print(&Hand::security_key(5))),
    ];
    assert_eq!(Roster::difference(&old, &new), expected);
    assert_eq!(Roster::difference(&old, &old), Vec::<String>::new());
}

fn unsatisfied(roster: &Roster, suspended: &[&str]) -> Vec<(Operation, String)> {
    let suspended = suspended.iter().map(|text| email(text)).collect();
    let list = roster.unsatisfied(&Policy::default(), &suspended, now());
    list.into_iter().map(|one| (one.operation, one.to_string())).collect()
}

#[test]
fn a_policy_that_people_cannot_satisfy_is_found() {
    let (roster, _) = four();
    assert_eq!(unsatisfied(&roster, &[]), []);
    let found = unsatisfied(&roster, &["dan@example.com"]);
    assert_eq!(found, [(Operation::ReSign, "re-sign must include a cab-approver, and nobody is left for that".into())]);
    let found = unsatisfied(&roster, &["carol@example.com"]);
    let words: Vec<_> = found.iter().map(|(_, words)| words.as_str()).collect();
    let expected = [
        "sign takes 1 person with its roles, and 0 could sign",
        "re-sign takes 2 people with its roles, and 1 could sign",
    ];
    assert_eq!(words, expected);
    assert!(unsatisfied(&roster, &["alice@example.com"]).len() > 10, "nearly everything needs a reviewer");
    let both = [email("carol@example.com"), email("dan@example.com")].into();
    let words = Unsatisfied::in_words(&roster.unsatisfied(&Policy::default(), &both, now()));
    assert!(words.contains("; re-sign must include a cab-approver"), "{words}");
    let alone = [email("alice@example.com")].into();
    let words = Unsatisfied::in_words(&roster.unsatisfied(&Policy::default(), &alone, now()));
    assert!(words.starts_with("keygen-ca, keygen, import, "), "{words}");
    assert_eq!(words.matches("must include a security-reviewer").count(), 1, "{words}");
}

#[test]
fn who_cannot_sign_does_not_count_as_there() {
    let (mut roster, _) = four();
    roster.people.get_mut(&email("dan@example.com")).unwrap().keys[0].valid_to = Some(now());
    assert_eq!(unsatisfied(&roster, &[]).len(), 1);
}

#[test]
fn break_glass_takes_two_people_and_not_one_with_two_hats() {
    let (a, b, c) = (Hand::new(1), Hand::new(2), Hand::new(3));
    let hats = [Role::SecurityReviewer, Role::PlatformAdmin];
    let rest = [Role::PackagingEngineer, Role::CabApprover];
    let one = roster(vec![
        ("a@x", person("A", &hats, &[&a])),
        ("b@x", person("B", &rest, &[&b])),
        ("c@x", person("C", &rest, &[&c])),
    ]);
    assert!(unsatisfied(&one, &[]).iter().any(|(operation, _)| *operation == Operation::BreakGlass));
    // Two hats and one hat are enough, whichever the one hat is.
    for hat in hats {
        let two = roster(vec![
            ("a@x", person("A", &hats, &[&a])),
            ("b@x", person("B", &[hat], &[&b])),
            ("c@x", person("C", &rest, &[&c])),
        ]);
        assert!(!unsatisfied(&two, &[]).iter().any(|(operation, _)| *operation == Operation::BreakGlass), "{hat}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// Against all orders of all people, the slow way.
    #[test]
    fn roles_are_assigned_whenever_they_can_be(
        people in proptest::collection::vec(proptest::collection::btree_set(0..4_usize, 0..4), 0..5),
        wanted in proptest::collection::btree_set(0..4_usize, 0..4),
    ) {
        let role = |index: &usize| Role::ALL[*index];
        let wanted: BTreeSet<_> = wanted.iter().map(role).collect();
        let roles: Vec<BTreeSet<_>> = people.iter().map(|set| set.iter().map(role).collect()).collect();
        let emails: Vec<_> = (0..roles.len()).map(|i| email(&format!("p{i}@x"))).collect();
        let map: BTreeMap<_, _> = emails.iter().zip(&roles).collect();
        let (filled, left) = assign(&wanted, &map);
        for (email, role) in &filled {
            proptest::prop_assert!(map[email].contains(role));
        }
        let given: BTreeSet<_> = filled.values().copied().collect();
        proptest::prop_assert_eq!(given.len(), filled.len(), "each role to one person");
        proptest::prop_assert_eq!(&given | &left, wanted.clone());
        proptest::prop_assert_eq!(filled.len(), most(&wanted.into_iter().collect::<Vec<_>>(), &roles));
    }
}

/// How many of `wanted` people can fill, one each, by trying everything.
fn most(wanted: &[Role], people: &[BTreeSet<Role>]) -> usize {
    let Some((role, rest)) = wanted.split_first() else { return 0 };
    let mut best = most(rest, people);
    for (i, _) in people.iter().enumerate().filter(|(_, person)| person.contains(role)) {
        let mut others = people.to_vec();
        others.remove(i);
        best = best.max(1 + most(rest, &others));
    }
    best
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// A good file with one byte changed is refused or is a good roster; it never makes the reader panic.
    #[test]
    fn no_text_makes_the_reader_panic(at in 0_usize..2000, byte: u8) {
        let mut bytes = file().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(roster) = std::str::from_utf8(&bytes).map_err(drop).and_then(|text| read(text).map_err(drop)) {
            roster.check(STAGING).unwrap();
            proptest::prop_assert_eq!(read(&roster.to_toml()).unwrap(), roster);
        }
    }
}

#[test]
fn a_rule_of_three_needs_three() {
    let (roster, _) = four();
    let rule = Rule {
        threshold: 3,
        roles: [Role::SecurityReviewer, Role::PlatformAdmin].into(),
        must_include: BTreeSet::new(),
        max_age_hours: 24,
        asserted: false,
    };
    let found = roster.objects_to(Operation::Adopt, &rule, &BTreeSet::new(), now()).unwrap();
    assert_eq!(found.to_string(), "adopt takes 3 people with its roles, and 2 could sign");
}
