//! Generated people with generated keys, who hand in whatever they can think of; counted once by the code, and once from
//! the plan of the case alone.

use super::*;
use crate::model::hex;
use proptest::prelude::*;

/// Ways to hand in a signature that must not count.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    /// None: a good approval.
    Good,
    /// The requester's kind of signature, offered as an approval.
    AsRequest,
    AsRoster,
    AsCab,
    /// For another workspace's namespace.
    OtherOrigin,
    /// Over the same request with another id.
    OtherRequest,
    /// Over the same request for another token.
    OtherToken,
    OtherBytes,
    /// One byte of the signature changed.
    Bent,
    /// By a key that is nobody's.
    Stranger,
    /// By a stranger, in an armour whose key is replaced by a member's: someone else's name claimed.
    Claimed,
    /// Cut off.
    Cut,
}

const TRICKS: &[Trick] = &[
    Trick::Good,
    Trick::AsRequest,
    Trick::AsRoster,
    Trick::AsCab,
    Trick::OtherOrigin,
    Trick::OtherRequest,
    Trick::OtherToken,
    Trick::OtherBytes,
    Trick::Bent,
    Trick::Stranger,
    Trick::Claimed,
    Trick::Cut,
];

/// A key's validity relative to the moment of counting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Validity {
    Now,
    Expired,
    NotYet,
}

#[derive(Clone, Debug)]
struct Member {
    roles: BTreeSet<Role>,
    keys: Vec<(bool, Validity)>,
    suspended: bool,
}

#[derive(Clone, Debug)]
struct Case {
    members: Vec<Member>,
    requester: (usize, usize),
    requester_signs: bool,
    rule: Rule,
    /// Whose (person, key), and how.
    approvals: Vec<(usize, usize, Trick)>,
}

fn any_roles(most: usize) -> impl Strategy<Value = BTreeSet<Role>> {
    // Few roles, so that people share them; no auditor, which rules never name.
    prop::collection::btree_set(prop::sample::select(&Role::ALL[..4]), 1..=most)
}

fn any_member() -> impl Strategy<Value = Member> {
    let validity = prop_oneof![4 => Just(Validity::Now), 1 => Just(Validity::Expired), 1 => Just(Validity::NotYet)];
    let keys = prop::collection::vec((any::<bool>(), validity), 1..=3);
    (any_roles(2), keys, prop::bool::weighted(0.15)).prop_map(|(roles, keys, suspended)| Member {
        roles,
        keys,
        suspended,
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (1..=3_u32, any_roles(3), any::<bool>(), any::<bool>()).prop_map(|(threshold, roles, first, second)| {
        let picked = roles.iter().zip([first, second]).filter(|(_, pick)| *pick).map(|(role, _)| *role);
        let must_include: BTreeSet<_> = picked.take(threshold as usize).collect();
        Rule { threshold, roles, must_include, max_age_hours: 24, asserted: false }
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let trick = prop_oneof![2 => Just(Trick::Good), 1 => prop::sample::select(TRICKS)];
    let approvals = prop::collection::vec((any::<usize>(), any::<usize>(), trick), 0..8);
    let members = prop::collection::vec(any_member(), 3..6);
    (members, any::<(usize, usize)>(), prop::bool::weighted(0.9), any_rule(), approvals).prop_map(
        |(members, requester, requester_signs, rule, approvals)| {
            let pick = |(person, key): (usize, usize)| {
                let person = person % members.len();
                (person, key % members[person].keys.len())
            };
            let approvals = approvals.into_iter().map(|(person, key, trick)| {
                let (person, key) = pick((person, key));
                (person, key, trick)
            });
            let (requester, approvals) = (pick(requester), approvals.collect());
            Case { members, requester, requester_signs, rule, approvals }
        },
    )
}

/// The case as real people with real keys.
struct Staged {
    scene: Scene,
    hands: Vec<Vec<Hand>>,
    requester: Hand,
}

fn address(person: usize) -> String {
    format!("p{person}@example.com")
}

fn stage(case: &Case) -> Staged {
    let mut people = Vec::new();
    let mut hands = Vec::new();
    let now = example().created_at + TimeDelta::hours(1);
    let addresses: Vec<_> = (0..case.members.len()).map(address).collect();
    for (index, member) in case.members.iter().enumerate() {
        let seed = |key: usize| (index * 10 + key) as u64;
        let mine: Vec<_> = member
            .keys
            .iter()
            .enumerate()
            .map(|(key, (sk, _))| if *sk { Hand::security_key(seed(key)) } else { Hand::new(seed(key)) })
            .collect();
        let roles: Vec<_> = member.roles.iter().copied().collect();
        let mut person = person("P", &roles, &mine.iter().collect::<Vec<_>>());
        for (key, (_, validity)) in person.keys.iter_mut().zip(&member.keys) {
            match validity {
                Validity::Now => key.valid_to = Some(now + TimeDelta::seconds(1)),
                Validity::Expired => key.valid_to = Some(now),
                Validity::NotYet => key.valid_from = Some(now + TimeDelta::seconds(1)),
            }
        }
        people.push((addresses[index].as_str(), person));
        hands.push(mine);
    }
    let (person, key) = case.requester;
    let requester = hands[person][key].clone();
    let mut scene = Scene::of(roster(people), &address(person), &requester, case.rule.clone());
    scene.roster.check(Environment::Staging).unwrap();
    scene.suspended = case
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.suspended)
        .map(|(index, _)| email(&address(index)))
        .collect();
    assert_eq!(scene.now, now);
    Staged { scene, hands, requester }
}

impl Staged {
    fn signature(&self, person: usize, key: usize, trick: Trick) -> String {
        let (scene, hand) = (&self.scene, &self.hands[person][key]);
        let namespace = Namespace::Approval.of(&scene.request.origin);
        let bytes_of = |change: &dyn Fn(&mut ApprovalRequest)| {
            let mut other = scene.request.clone();
            change(&mut other);
            other.to_bytes().unwrap()
        };
        match trick {
            Trick::Good => scene.approval(hand),
            Trick::AsRequest => scene.signed(hand, Namespace::Request),
            Trick::AsRoster => scene.signed(hand, Namespace::Roster),
            Trick::AsCab => scene.signed(hand, Namespace::Cab),
            Trick::OtherOrigin => hand.sign("keyctl-approval-v1@example.corp/other", &scene.bytes()),
            Trick::OtherRequest => hand.sign(&namespace, &bytes_of(&|r| r.request_id = hex(&[9; 16]))),
            Trick::OtherToken => {
                hand.sign(&namespace, &bytes_of(&|r| r.steps[0].params["token_serial"] = "0002".into()))
            }
            Trick::OtherBytes => hand.sign(&namespace, b"anything"),
            Trick::Bent => bend(&scene.approval(hand), -20),
            Trick::Stranger => scene.approval(&Hand::new(9000 + person as u64)),
            // The key stands right after the magic and the version; one of the same kind has the same length.
            Trick::Claimed => {
                let good = armour_bytes(&scene.approval(hand));
                let stranger = if hand.line().starts_with("sk-") { Hand::security_key(9000) } else { Hand::new(9000) };
                let mut forged = armour_bytes(&scene.approval(&stranger));
                let length = 4 + u32::from_be_bytes(good[10..14].try_into().unwrap()) as usize;
                forged[10..10 + length].copy_from_slice(&good[10..10 + length]);
                armour(&forged)
            }
            Trick::Cut => {
                let bytes = armour_bytes(&scene.approval(hand));
                armour(&bytes[..bytes.len() - 5])
            }
        }
    }
}

fn armour_bytes(text: &str) -> Vec<u8> {
    use base64ct::Encoding;
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64ct::Base64::decode_vec(&body).unwrap()
}

fn armour(bytes: &[u8]) -> String {
    let body = crate::model::base64(bytes);
    let lines: Vec<_> = body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

fn bend(text: &str, from_end: isize) -> String {
    let mut bytes = armour_bytes(text);
    let at = bytes.len().checked_add_signed(from_end).unwrap();
    bytes[at] ^= 1;
    armour(&bytes)
}

/// Who should count, told from the case alone, without a signature or a key.
fn expected(case: &Case) -> (bool, BTreeSet<usize>) {
    let valid = |person: usize, key: usize| {
        let member = &case.members[person];
        !member.suspended && member.keys[key].1 == Validity::Now
    };
    let fits = |person: usize| case.members[person].roles.iter().any(|role| case.rule.roles.contains(role));
    let (asker, key) = case.requester;
    let proven = case.requester_signs && valid(asker, key);
    let mut people: BTreeSet<_> = case
        .approvals
        .iter()
        .filter(|(person, key, trick)| {
            *trick == Trick::Good && *person != asker && valid(*person, *key) && fits(*person)
        })
        .map(|(person, ..)| *person)
        .collect();
    if proven && fits(asker) {
        people.insert(asker);
    }
    (proven, people)
}

/// Whether these people can fill the roles, one each, by trying everything.
fn can_fill(roles: &[Role], people: &[&BTreeSet<Role>]) -> bool {
    let Some((role, rest)) = roles.split_first() else { return true };
    people.iter().enumerate().filter(|(_, has)| has.contains(role)).any(|(i, _)| {
        let mut others = people.to_vec();
        others.remove(i);
        can_fill(rest, &others)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn those_count_who_should_and_nobody_else(case in any_case()) {
        let staged = stage(&case);
        let approvals: Vec<_> =
            case.approvals.iter().map(|(person, key, trick)| staged.signature(*person, *key, *trick)).collect();
        let asks = staged.scene.signed(&staged.requester, Namespace::Request);
        let counted = staged.scene.count(case.requester_signs.then_some(asks.as_str()), &approvals).unwrap();

        let (proven, people) = expected(&case);
        let counting: BTreeSet<_> =
            counted.participants.iter().filter(|one| one.counts()).map(|one| one.email.to_string()).collect();
        prop_assert_eq!(counting, people.iter().map(|person| address(*person)).collect::<BTreeSet<_>>());
        prop_assert_eq!(counted.requester().is_some(), proven);

        let roles: Vec<_> = people.iter().map(|person| &case.members[*person].roles).collect();
        let must: Vec<_> = case.rule.must_include.iter().copied().collect();
        let enough = proven && people.len() >= case.rule.threshold as usize && can_fill(&must, &roles);
        prop_assert_eq!(counted.is_enough(), enough, "{:?}", counted.missing);

        // Nothing is dropped without a word: each signature counted or stands in the list with its rule.
        let handed_in = approvals.len() + usize::from(case.requester_signs);
        prop_assert_eq!(counted.participants.len() + counted.ignored.len(), handed_in);
        for ignored in &counted.ignored {
            prop_assert!(["D1", "D2", "D3", "D4"].contains(&ignored.rule.as_str()), "{:?}", ignored);
        }
        // The order in which approvals come changes nothing.
        let mut turned = approvals.clone();
        turned.reverse();
        let again = staged.scene.count(case.requester_signs.then_some(asks.as_str()), &turned).unwrap();
        prop_assert_eq!(again.is_enough(), enough);
        // Nor does handing each in twice.
        turned.extend(approvals);
        let again = staged.scene.count(case.requester_signs.then_some(asks.as_str()), &turned).unwrap();
        prop_assert_eq!(again.is_enough(), enough);
    }
}
