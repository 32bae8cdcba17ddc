//! `roster.toml`, strictly: unknown fields are refused, and each error names the line.

use super::{MAX_FILE, Person, Place, Roster, SCHEMA, SigningKey};
use crate::clock::{self, Time};
use crate::config::check::Check;
use crate::config::policy::Role;
use crate::crypto::ssh::PublicKey;
use crate::error::{Error, Result};
use crate::model::{Email, Environment};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::value::Datetime;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoster {
    version: Spanned<u64>,
    #[serde(default)]
    people: BTreeMap<Email, Spanned<RawPerson>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPerson {
    name: Spanned<String>,
    roles: Spanned<Vec<Spanned<Role>>>,
    encryption_key: Option<Spanned<String>>,
    #[serde(default)]
    keys: Vec<Spanned<RawKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    public_key: Spanned<String>,
    valid_from: Option<Spanned<Datetime>>,
    valid_to: Option<Spanned<Datetime>>,
}

impl Roster {
    /// Reads the text of the `roster.toml` that is or will be at `path`. Addresses are taken in any case and kept in
    /// lower case; comments of keys are dropped.
    ///
    /// # Errors
    /// `bad_roster` with `roster.toml:LINE:`.
    pub fn from_toml(text: &str, path: &Path, environment: Environment) -> Result<Roster> {
        if u64::try_from(text.len()).map_or(true, |n| n > MAX_FILE) {
            return Err(Error::usage("bad_roster", format!("roster.toml: more than {MAX_FILE} bytes")));
        }
        let check = Check::new(text, path, "bad_roster");
        let raw = toml::from_str::<RawRoster>(text).map_err(|error| check.syntax(&error))?;
        let mut reader = Reader { check, spans: BTreeMap::new() };
        let roster = reader.roster(raw);
        reader.check.verdict()?;
        for objection in roster.objections(environment) {
            let span = reader.span(&objection.place);
            reader.check.bad(span, &objection.place.to_string(), objection.why);
        }
        reader.check.verdict()?;
        Ok(roster)
    }
}

struct Reader<'a> {
    check: Check<'a>,
    spans: BTreeMap<Place, Range<usize>>,
}

impl Reader<'_> {
    fn roster(&mut self, raw: RawRoster) -> Roster {
        let place = Place { email: None, key: None, field: "version" };
        let version = self.check.number(&raw.version, "version", 1..=u32::MAX);
        self.spans.insert(place, raw.version.span());
        let mut people = BTreeMap::new();
        for (written, person) in raw.people {
            let email = written.folded();
            let span = person.span();
            let person = self.person(&email, person);
            if people.insert(email.clone(), person).is_some() {
                self.check.bad(span, &format!("people.\"{written}\""), format!("{email} is there already"));
            }
        }
        Roster { schema: SCHEMA.to_owned(), version, people }
    }

    fn person(&mut self, email: &Email, raw: Spanned<RawPerson>) -> Person {
        let place = |field| Place { email: Some(email.clone()), key: None, field };
        self.spans.insert(place(""), raw.span());
        let raw = raw.into_inner();
        self.spans.insert(place("name"), raw.name.span());
        self.spans.insert(place("roles"), raw.roles.span());
        let mut roles = BTreeSet::new();
        for role in raw.roles.into_inner() {
            if !roles.insert(*role.get_ref()) {
                self.check.bad(role.span(), &place("roles").to_string(), format!("{} twice", role.get_ref()));
            }
        }
        let encryption_key = raw.encryption_key.map(|text| {
            self.spans.insert(place("encryption_key"), text.span());
            without_comment(text.into_inner())
        });
        let keys = raw.keys.into_iter().enumerate().map(|(index, key)| self.key(email, index, key)).collect();
        Person { name: raw.name.into_inner(), roles, keys, encryption_key }
    }

    fn key(&mut self, email: &Email, index: usize, raw: Spanned<RawKey>) -> SigningKey {
        let place = |field| Place { email: Some(email.clone()), key: Some(index), field };
        let raw = raw.into_inner();
        self.spans.insert(place("public_key"), raw.public_key.span());
        let valid_from = self.time(place("valid_from"), raw.valid_from);
        let valid_to = self.time(place("valid_to"), raw.valid_to);
        SigningKey { public_key: without_comment(raw.public_key.into_inner()), valid_from, valid_to }
    }

    fn time(&mut self, place: Place, raw: Option<Spanned<Datetime>>) -> Option<Time> {
        let raw = raw?;
        let time = clock::parse(&raw.get_ref().to_string());
        if time.is_none() {
            let why = "a date with time and offset, such as 2026-01-31T00:00:00Z";
            self.check.bad(raw.span(), &place.to_string(), why);
        }
        self.spans.insert(place, raw.span());
        time
    }

    /// Where it stands, or else whose entry it is in.
    fn span(&self, place: &Place) -> Range<usize> {
        let entry = Place { email: place.email.clone(), key: None, field: "" };
        self.spans.get(place).or_else(|| self.spans.get(&entry)).cloned().unwrap_or(0..0)
    }
}

/// The one spelling of a key's line; what is no key stays as it is, to be objected to.
fn without_comment(text: String) -> String {
    text.parse().map_or(text, |key: PublicKey| key.to_string())
}
