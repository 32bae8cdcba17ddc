//! What a roster must not be, whoever wrote it.

use super::encryption::bad_encryption_key;
use super::{MAX_ROSTER, Roster, SCHEMA, SigningKey};
use crate::config::policy::Role;
use crate::config::text::bad_text;
use crate::crypto::ssh::PublicKey;
use crate::model::{Email, Environment, SpkiHash};
use crate::people::text::bad_for_people;
use std::collections::BTreeMap;
use std::fmt;

/// The fewest people outside the sandbox: requester, approver, and one who can take either's place (D1).
const FEWEST: usize = 3;
/// The most people.
const MOST: usize = 100;
/// The most keys of one person.
const MOST_KEYS: usize = 16;

/// Where in a roster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whose entry; of the roster as a whole if absent.
    pub email: Option<Email>,
    /// Which of their keys, from 0.
    pub key: Option<usize>,
    /// Which field; empty for the whole entry.
    pub field: &'static str,
}

/// Something that is wrong with a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// Where.
    pub place: Place,
    /// What, in words.
    pub why: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.email, self.key) {
            (None, _) => f.write_str(self.field),
            (Some(email), None) if self.field.is_empty() => write!(f, "people.\"{email}\""),
            (Some(email), None) => write!(f, "people.\"{email}\".{}", self.field),
            (Some(email), Some(key)) => write!(f, "people.\"{email}\".keys[{key}].{}", self.field),
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl Roster {
    /// Everything that is wrong with it.
    pub fn objections(&self, environment: Environment) -> Vec<Objection> {
        let mut found = Found { list: Vec::new(), keys: BTreeMap::new() };
        let whole = |field| Place { email: None, key: None, field };
        if self.schema != SCHEMA {
            found.add(whole("schema"), format!("is {SCHEMA:?}, not {:?}", self.schema));
        }
        if self.version == 0 {
            found.add(whole("version"), "counts from 1");
        }
        let fewest = if environment == Environment::Sandbox { 1 } else { FEWEST };
        if self.people.len() < fewest || self.people.len() > MOST {
            found.add(whole("people"), format!("{fewest} to {MOST} people, not {}", self.people.len()));
        }
        self.people.keys().for_each(|email| found.person(self, email));
        found.separate_encryption_keys(self);
        if self.to_json().map_or(usize::MAX, |json| json.len()) > MAX_ROSTER {
            found.add(whole("people"), format!("more than {MAX_ROSTER} bytes in all"));
        }
        found.list
    }
}

struct Found {
    list: Vec<Objection>,
    /// Whose each signing key is.
    keys: BTreeMap<SpkiHash, Email>,
}

impl Found {
    fn add(&mut self, place: Place, why: impl Into<String>) {
        self.list.push(Objection { place, why: why.into() });
    }

    fn person(&mut self, roster: &Roster, email: &Email) {
        let Some(person) = roster.people.get(email) else { return };
        let place = |field| Place { email: Some(email.clone()), key: None, field };
        if email.folded() != *email {
            self.add(place(""), "e-mail addresses are written in lower case here");
        }
        if email.as_str().contains(['*', '?', '!', '#']) {
            self.add(place(""), "an address that OpenSSH would take for a pattern");
        }
        if let Some(why) = bad_text(&person.name, 64).or_else(|| bad_for_people(&person.name)) {
            self.add(place("name"), why);
        }
        if person.roles.is_empty() {
            self.add(place("roles"), "at least one role");
        }
        if person.roles.contains(&Role::Auditor) && person.roles.len() > 1 {
            self.add(place("roles"), "an auditor only reads, and so has no other role");
        }
        if person.keys.is_empty() || person.keys.len() > MOST_KEYS {
            self.add(place("keys"), format!("1 to {MOST_KEYS} keys, not {}", person.keys.len()));
        }
        for (index, key) in person.keys.iter().enumerate() {
            self.key(email, index, key);
        }
    }

    fn key(&mut self, email: &Email, index: usize, key: &SigningKey) {
        let place = |field| Place { email: Some(email.clone()), key: Some(index), field };
        if let (Some(from), Some(to)) = (key.valid_from, key.valid_to)
            && from >= to
        {
            self.add(place("valid_to"), "is not after valid_from");
        }
        let parsed = match key.key() {
            Ok(parsed) => parsed,
            Err(error) => return self.add(place("public_key"), error.message()),
        };
        if parsed.to_string() != key.public_key {
            self.add(place("public_key"), "is not written as TYPE BASE64, without a comment");
        }
        match self.keys.insert(parsed.material(), email.clone()) {
            Some(other) if other == *email => self.add(place("public_key"), "the same key twice"),
            Some(other) => self.add(place("public_key"), format!("is {other}'s key too; a key is one person's")),
            None => {}
        }
    }

    /// Who signs with the key that secrets are encrypted to cannot give up one without the other.
    fn separate_encryption_keys(&mut self, roster: &Roster) {
        let mut seen = BTreeMap::new();
        for (email, person) in &roster.people {
            let Some(text) = &person.encryption_key else { continue };
            let place = Place { email: Some(email.clone()), key: None, field: "encryption_key" };
            let signs_too = text.parse::<PublicKey>().is_ok_and(|key| self.keys.contains_key(&key.material()));
            if let Some(why) = bad_encryption_key(text) {
                self.add(place, why);
            } else if signs_too {
                self.add(place, "is a signing key too; it takes a separate one");
            } else if let Some(other) = seen.insert(text.clone(), email.clone()) {
                self.add(place, format!("is {other}'s too"));
            }
        }
    }
}
