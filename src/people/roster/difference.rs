//! What changes from one roster to the next, in words for those who are asked to sign it.

use super::{Person, Roster, SigningKey};
use crate::clock::{Time, rfc3339};
use crate::config::policy::Role;
use crate::model::Email;
use std::collections::{BTreeMap, BTreeSet};

/// What changes, and whether it gives somebody power that they did not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    /// In words.
    pub words: String,
    /// A new person, role or key, or one that counts for longer.
    pub empowers: bool,
}

#[derive(Default)]
struct Lines(Vec<RosterChange>);

impl Lines {
    fn push(&mut self, words: String) {
        self.0.push(RosterChange { words, empowers: false });
    }

    fn empowers(&mut self, words: String) {
        self.0.push(RosterChange { words, empowers: true });
    }

    fn words(self) -> Vec<String> {
        self.0.into_iter().map(|change| change.words).collect()
    }
}

impl Roster {
    /// One line for each change, people in the order of their addresses.
    pub fn difference(old: &Roster, new: &Roster) -> Vec<String> {
        changes_between(old, new).words()
    }

    /// Each change, what gives somebody power first.
    pub fn changes(old: &Roster, new: &Roster) -> Vec<RosterChange> {
        let mut changes = changes_between(old, new).0;
        changes.sort_by_key(|change| !change.empowers);
        changes
    }

    /// Everyone in it, in the words in which they would join.
    pub fn description(&self) -> Vec<String> {
        let mut lines = Lines::default();
        self.people.iter().for_each(|(email, person)| joins(email, person, &mut lines));
        lines.words()
    }
}

fn changes_between(old: &Roster, new: &Roster) -> Lines {
    let mut lines = Lines::default();
    if old.version != new.version {
        lines.push(format!("version {} becomes {}", old.version, new.version));
    }
    let everyone: BTreeSet<_> = old.people.keys().chain(new.people.keys()).collect();
    for email in everyone {
        match (old.people.get(email), new.people.get(email)) {
            (None, Some(person)) => joins(email, person, &mut lines),
            (Some(person), None) => {
                lines.push(format!("{email} leaves: {}, {}", person.name, list(&person.roles)));
            }
            (Some(was), Some(is)) => changes(email, was, is, &mut lines),
            (None, None) => {}
        }
    }
    if lines.0.is_empty() && old != new {
        lines.push("only the order of somebody's keys changes".to_owned());
    }
    lines
}

fn joins(email: &Email, person: &Person, lines: &mut Lines) {
    lines.empowers(format!("{email} joins: {}, {}", person.name, list(&person.roles)));
    for key in &person.keys {
        lines.empowers(format!("{email} signs with {}", key_words(key)));
    }
    if let Some(key) = &person.encryption_key {
        lines.empowers(format!("secrets for {email} are encrypted to {key}"));
    }
}

fn changes(email: &Email, was: &Person, is: &Person, lines: &mut Lines) {
    if was.name != is.name {
        lines.push(format!("{email} is called {}, no longer {}", is.name, was.name));
    }
    for role in is.roles.difference(&was.roles) {
        lines.empowers(format!("{email} becomes {role}"));
    }
    for role in was.roles.difference(&is.roles) {
        lines.push(format!("{email} is no longer {role}"));
    }
    let by_key = |person: &'_ Person| -> BTreeMap<String, SigningKey> {
        person.keys.iter().map(|key| (key.public_key.clone(), key.clone())).collect()
    };
    let (old_keys, new_keys) = (by_key(was), by_key(is));
    for (line, key) in &new_keys {
        match old_keys.get(line) {
            None => lines.empowers(format!("{email} signs with {}", key_words(key))),
            Some(old) if old != key => {
                lines.empowers(format!("{email}'s key changes: {}, no longer{}", key_words(key), validity(old)));
            }
            Some(_) => {}
        }
    }
    for (_, key) in old_keys.iter().filter(|(line, _)| !new_keys.contains_key(*line)) {
        lines.push(format!("{email} no longer signs with {}", key_words(key)));
    }
    match (&was.encryption_key, &is.encryption_key) {
        (old, new) if old == new => {}
        (_, Some(key)) => lines.empowers(format!("secrets for {email} are encrypted to {key}")),
        (_, None) => lines.push(format!("secrets are no longer encrypted to {email}")),
    }
}

/// Type, fingerprint as `ssh-keygen -l` shows it, and how long it counts.
fn key_words(key: &SigningKey) -> String {
    let words = match key.key() {
        Ok(parsed) => format!("{} {}", parsed.kind(), parsed.openssh_fingerprint()),
        Err(_) => key.public_key.clone(),
    };
    format!("{words}{}", validity(key))
}

fn validity(key: &SigningKey) -> String {
    let time = |time: Time| rfc3339(time);
    match (key.valid_from.map(time), key.valid_to.map(time)) {
        (None, None) => " for ever".to_owned(),
        (Some(from), None) => format!(" from {from}"),
        (None, Some(to)) => format!(" until {to}"),
        (Some(from), Some(to)) => format!(" from {from} until {to}"),
    }
}

fn list(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}
