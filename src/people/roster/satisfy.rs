//! Whether people can do what a policy asks of them.

use super::Roster;
use crate::clock::Time;
use crate::config::policy::{Operation, Policy, Role, Rule};
use crate::model::Email;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An operation that the people could not get together for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// Which.
    pub operation: Operation,
    /// People whom it takes, and how many there are.
    pub threshold: u32,
    /// How many people have one of its roles.
    pub eligible: usize,
    /// Roles it must include that nobody is left to fill.
    pub roles: BTreeSet<Role>,
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.reason(false))
    }
}

impl Unsatisfied {
    fn reason(&self, plural: bool) -> String {
        if !self.roles.is_empty() {
            let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
            return format!("must include a {}, and nobody is left for that", roles.join(" and a "));
        }
        let people = if self.threshold == 1 { "1 person".to_owned() } else { format!("{} people", self.threshold) };
        let (take, its) = if plural { ("take", "their") } else { ("takes", "its") };
        format!("{take} {people} with {its} roles, and {} could sign", self.eligible)
    }

    /// All of them in one line, those together that lack the same.
    pub fn in_words(all: &[Unsatisfied]) -> String {
        let mut groups: Vec<(String, Vec<&Unsatisfied>)> = Vec::new();
        for one in all {
            let reason = one.reason(true);
            match groups.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, group)) => group.push(one),
                None => groups.push((reason, vec![one])),
            }
        }
        let line = |(reason, group): (String, Vec<&Unsatisfied>)| match group.as_slice() {
            [only] => only.to_string(),
            group => {
                let names: Vec<_> = group.iter().map(|one| one.operation.as_str()).collect();
                format!("{} {reason}", names.join(", "))
            }
        };
        groups.into_iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

impl Roster {
    /// The operations of `policy` that these people, without the suspended ones, cannot satisfy at `now`.
    ///
    /// It does not matter who asks: someone with a fitting role counts as one of those people, and someone without
    /// asks in addition to them. So it takes as many people with fitting roles as the threshold says, and for each
    /// role that must be there somebody of their own.
    pub fn unsatisfied(&self, policy: &Policy, suspended: &BTreeSet<Email>, now: Time) -> Vec<Unsatisfied> {
        let all = Operation::ALL.iter();
        all.filter_map(|operation| self.objects_to(*operation, &policy.rule(*operation), suspended, now)).collect()
    }

    pub(super) fn objects_to(
        &self,
        operation: Operation,
        rule: &Rule,
        suspended: &BTreeSet<Email>,
        now: Time,
    ) -> Option<Unsatisfied> {
        let people = self.people.iter().filter(|(email, _)| !suspended.contains(*email));
        let eligible: BTreeMap<_, _> = people
            .filter(|(_, person)| person.can_sign(now) && person.has_any(&rule.roles))
            .map(|(email, person)| (email, &person.roles))
            .collect();
        let (_, roles) = assign(&rule.must_include, &eligible);
        let enough = u32::try_from(eligible.len()).unwrap_or(u32::MAX) >= rule.threshold;
        (!enough || !roles.is_empty()).then_some(Unsatisfied {
            operation,
            threshold: rule.threshold,
            eligible: eligible.len(),
            roles,
        })
    }
}

/// Gives each of `roles` to a person of their own who has it, as many as can be; and the roles that are left.
///
/// One person with two roles fills one of them: break-glass takes two people, not one with two hats (B16).
pub fn assign<'p>(
    roles: &BTreeSet<Role>,
    people: &BTreeMap<&'p Email, &BTreeSet<Role>>,
) -> (BTreeMap<&'p Email, Role>, BTreeSet<Role>) {
    // Augmenting paths (Kuhn): there are nine roles at most.
    let mut filled: BTreeMap<&Email, Role> = BTreeMap::new();
    let mut left = BTreeSet::new();
    for role in roles {
        if !place(*role, people, &mut filled, &mut BTreeSet::new()) {
            left.insert(*role);
        }
    }
    (filled, left)
}

fn place<'p>(
    role: Role,
    people: &BTreeMap<&'p Email, &BTreeSet<Role>>,
    filled: &mut BTreeMap<&'p Email, Role>,
    tried: &mut BTreeSet<&'p Email>,
) -> bool {
    for (email, _) in people.iter().filter(|(_, has)| has.contains(&role)) {
        if !tried.insert(email) {
            continue;
        }
        let free = match filled.get(email).copied() {
            None => true,
            Some(other) => place(other, people, filled, tried),
        };
        if free {
            filled.insert(email, role);
            return true;
        }
    }
    false
}
