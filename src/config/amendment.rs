//! The exact way from one settings to others, and back. Whoever has the new settings, this, and the hash of the old ones
//! can tell for themselves what changes, without having the old ones.

use super::Settings;
use crate::crypto::jcs;
use crate::error::Result;
use crate::model::Hash256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What changes, by its place as an RFC 6901 pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amendment(BTreeMap<String, Altered>);

/// A value that changes; where it was not there, or is there no more, nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    to: Option<Value>,
}

impl Amendment {
    /// From `old` to `new`.
    ///
    /// # Errors
    /// Only a bug.
    pub fn between(old: &Settings, new: &Settings) -> Result<Self> {
        let mut amendment = Amendment::default();
        amendment.compare(String::new(), Some(&jcs::to_value(old)?), Some(&jcs::to_value(new)?));
        Ok(amendment)
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings from which this leads to `new`, if they have this hash. Nothing is left out of it, and nothing in it
    /// changes nothing.
    ///
    /// # Errors
    /// Only a bug.
    pub fn undo(&self, new: &Settings, old_sha256: Hash256) -> Result<Option<Settings>> {
        let mut value = jcs::to_value(new)?;
        for (pointer, altered) in &self.0 {
            if replace(&mut value, pointer, altered.from.clone()).is_none() {
                return Ok(None);
            }
        }
        let bytes = jcs::to_vec(&value)?;
        if Hash256::of(&bytes) != old_sha256 {
            return Ok(None);
        }
        let old = String::from_utf8(bytes).ok().and_then(|text| Settings::from_json(&text).ok());
        Ok(match old {
            Some(old) if Amendment::between(&old, new)? == *self => Some(old),
            _ => None,
        })
    }

    fn compare(&mut self, pointer: String, from: Option<&Value>, to: Option<&Value>) {
        match (from, to) {
            (from, to) if from == to => {}
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                for name in from.keys().chain(to.keys()).collect::<BTreeSet<_>>() {
                    let escaped = name.replace('~', "~0").replace('/', "~1");
                    self.compare(format!("{pointer}/{escaped}"), from.get(name), to.get(name));
                }
            }
            (from, to) => {
                self.0.insert(pointer, Altered { from: from.cloned(), to: to.cloned() });
            }
        }
    }
}

/// Puts a value in its place, or takes out what is there. `None` if there is no such place.
fn replace(whole: &mut Value, pointer: &str, value: Option<Value>) -> Option<()> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let members: &mut Map<String, Value> = whole.pointer_mut(parent)?.as_object_mut()?;
    let name = name.replace("~1", "/").replace("~0", "~");
    match value {
        Some(value) => members.insert(name, value),
        None => members.remove(&name),
    };
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Operation};
    use serde_json::json;
    use std::path::Path;

    fn settings() -> Settings {
        let text = Config::render_default("Example Corp", "example.corp/keyctl");
        Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
    }

    fn changed() -> Settings {
        let mut new = settings();
        new.keys.remove(&"apt".parse().unwrap());
        new.organization.name = "Other".into();
        let mut rule = new.policy.rule(Operation::Adopt);
        rule.threshold += 1;
        new.policy.set(Operation::Adopt, rule);
        new
    }

    #[test]
    fn it_leads_back_to_exactly_what_was_there() {
        let (old, new) = (settings(), changed());
        let amendment = Amendment::between(&old, &new).unwrap();
        let places: Vec<_> = amendment.0.keys().map(String::as_str).collect();
        assert_eq!(places, ["/keys/apt", "/organization/name", "/policy/adopt/threshold"]);
        assert_eq!(amendment.undo(&new, old.sha256().unwrap()).unwrap(), Some(old.clone()));
        assert_eq!(Amendment::between(&old, &old).unwrap(), Amendment::default());
        assert_eq!(Amendment::default().undo(&old, old.sha256().unwrap()).unwrap(), Some(old));
    }

    #[test]
    fn one_that_hides_or_invents_a_change_is_none() {
        let (old, new) = (settings(), changed());
        let good = Amendment::between(&old, &new).unwrap();
        let hash = old.sha256().unwrap();
        for place in good.0.keys() {
            let mut less = good.clone();
            less.0.remove(place);
            assert_eq!(less.undo(&new, hash).unwrap(), None, "without {place}");
            let mut other = good.clone();
            other.0.insert(place.clone(), Altered { from: Some(json!("x")), to: None });
            assert_eq!(other.undo(&new, hash).unwrap(), None, "another {place}");
        }
        let same = json!(old.environment);
        for (place, from, to) in [
            // What it would be now is no part of the way back, and yet has to be true.
            ("/organization/name", Some(json!("Example Corp")), Some(json!("Third"))),
            ("/environment", Some(same.clone()), Some(same)),
            ("/no/such/place", None, None),
            ("", None, None),
            ("environment", None, None),
        ] {
            let mut more = good.clone();
            more.0.insert(place.into(), Altered { from, to });
            assert_eq!(more.undo(&new, hash).unwrap(), None, "with {place}");
        }
        assert_eq!(good.undo(&new, new.sha256().unwrap()).unwrap(), None);
        assert_eq!(good.undo(&old, hash).unwrap(), None);
    }
}
