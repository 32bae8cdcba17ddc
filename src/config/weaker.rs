//! Which changes of the settings make the workspace easier to misuse: fewer people, older keys, another module that sees
//! PINs, a gate that is gone. Whoever approves reads those first. What is not known to be harmless counts among them.

use super::policy::Role;
use super::settings::Change;
use super::{Issuer, Module, Operation, ResignAfter, RevokeRetired, Settings};
use crate::error::Result;
use crate::model::{Custody, HsmName, KeyAlgorithm, KeyName};
use std::collections::BTreeSet;

/// One change, and why it needs a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// What changes.
    pub change: Change,
    /// Why it weakens, if it does or may.
    pub weakens: Option<&'static str>,
}

impl Settings {
    /// What changes from `old` to `new`, what weakens first.
    ///
    /// # Errors
    /// Only a bug.
    pub fn alterations(old: &Settings, new: &Settings) -> Result<Vec<Alteration>> {
        let judge = |change: Change| Alteration { weakens: weakens(&change, old, new), change };
        let mut all: Vec<_> = Settings::diff(old, new)?.into_iter().map(judge).collect();
        all.sort_by_key(|alteration| alteration.weakens.is_none());
        Ok(all)
    }

    /// What these rules allow that the strict defaults of this program do not.
    ///
    /// # Errors
    /// Only a bug.
    pub fn lenient_rules(&self) -> Result<Vec<Alteration>> {
        let strict = Settings { policy: Default::default(), ..self.clone() };
        Settings::alterations(&strict, self)
    }
}

const UNKNOWN: Option<&str> = Some("not known to be harmless");

fn weakens(change: &Change, old: &Settings, new: &Settings) -> Option<&'static str> {
    let mut parts = change.path.split('.');
    let (section, name, field) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    match (section, name) {
        ("policy", Some(operation)) => {
            let Ok(operation) = operation.parse() else { return UNKNOWN };
            rule(operation, field.unwrap_or_default(), old, new)
        }
        ("hsm", Some(name)) => match name.parse() {
            Ok(name) => token(&name, field.unwrap_or_default(), old, new),
            Err(_) => UNKNOWN,
        },
        ("keys", Some(name)) => match name.parse() {
            Ok(name) => key(&name, field.unwrap_or_default(), old, new),
            Err(_) => UNKNOWN,
        },
        ("timestamp", Some(part)) if part.starts_with("trust") => Some("other roots are trusted for the time"),
        // Whom they ask does not matter as long as the roots are the same.
        ("timestamp", Some(part)) if part.starts_with("authorities") => None,
        ("rotation", Some(part)) => rotation(part, old, new),
        ("publication", _) => Some("activation waits for what is published"),
        ("pipelines", Some(name)) => {
            let stays = change.new.is_some() || new.pipelines.keys().any(|known| known.as_str() == name);
            stays.then_some("writes into a file of somebody else")
        }
        ("organization", Some("name")) => None,
        _ => UNKNOWN,
    }
}

fn rule(operation: Operation, field: &str, old: &Settings, new: &Settings) -> Option<&'static str> {
    let (was, is) = (old.policy.rule(operation), new.policy.rule(operation));
    let adds = |is: &BTreeSet<Role>, was: &BTreeSet<Role>| is.difference(was).next().is_some();
    match field {
        "threshold" => (is.threshold < was.threshold).then_some("fewer people"),
        "roles" => adds(&is.roles, &was.roles).then_some("further roles may take part"),
        "must_include" => adds(&was.must_include, &is.must_include).then_some("a role is not needed"),
        "max_age_hours" => (is.max_age_hours > was.max_age_hours).then_some("approvals live longer"),
        "asserted" => (is.asserted && !was.asserted).then_some("nobody has to prove who they are"),
        _ => UNKNOWN,
    }
}

fn token(name: &HsmName, field: &str, old: &Settings, new: &Settings) -> Option<&'static str> {
    let (was, is) = match (old.hsm.get(name), new.hsm.get(name)) {
        (Some(was), Some(is)) => (was, is),
        (None, Some(is)) if is.module == Module::Builtin => return Some("a new token"),
        (None, Some(_)) => return Some("a new token, and a module that will see its PIN"),
        (_, None) => return None,
    };
    match field {
        "module" => (was.module != is.module).then_some("another module will see the PIN"),
        "label" | "serial" => Some("another token"),
        "fips" => {
            let level = |fips: &Option<super::Fips>| fips.as_ref().map_or(0, |fips| fips.level);
            let same = was.fips.as_ref().map(|it| it.standard) == is.fips.as_ref().map(|it| it.standard);
            (level(&is.fips) < level(&was.fips) || !same).then_some("another certification")
        }
        _ => UNKNOWN,
    }
}

fn key(name: &KeyName, field: &str, old: &Settings, new: &Settings) -> Option<&'static str> {
    let (was, is) = match (old.keys.get(name), new.keys.get(name)) {
        (Some(was), Some(is)) => (was, is),
        // What a new key may do, its own rules say.
        (None, Some(_)) | (_, None) => return None,
    };
    match field {
        "rotation_days" => (is.rotation_days > was.rotation_days).then_some("keys live longer"),
        "algorithm" => (strength(is.algorithm) < strength(was.algorithm)).then_some("a weaker algorithm"),
        "custody" => (openness(is.custody) > openness(was.custody)).then_some("the key may leave its token"),
        "hsm" => is.hsm.iter().any(|hsm| !was.hsm.contains(hsm)).then_some("another token holds it"),
        "issuer" => (is.issuer != was.issuer && is.issuer != Issuer::Itself).then_some("somebody else certifies it"),
        "owner" => Some("others answer for it"),
        "crl_url" | "aia_url" | "archive" => Some("verifiers and clients look elsewhere"),
        "rotation" | "rotate_lead_days" | "subject" => None,
        _ => UNKNOWN,
    }
}

/// In bits, by NIST SP 800-57 part 1, table 2.
fn strength(algorithm: KeyAlgorithm) -> u32 {
    match algorithm {
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Ed25519 => 128,
        KeyAlgorithm::Rsa4096 => 152,
        KeyAlgorithm::EcdsaP384 => 192,
    }
}

fn openness(custody: Custody) -> u32 {
    match custody {
        Custody::Bound => 0,
        Custody::Cloned => 1,
        Custody::SealedExport => 2,
    }
}

fn rotation(field: &str, old: &Settings, new: &Settings) -> Option<&'static str> {
    let (was, is) = (&old.rotation, &new.rotation);
    let marks = |resign: ResignAfter| match resign {
        ResignAfter::None => 0,
        ResignAfter::Untimestamped => 1,
        ResignAfter::All => 2,
    };
    match field {
        "revoke_retired" => {
            let never = is.revoke_retired == RevokeRetired::Never && was.revoke_retired != RevokeRetired::Never;
            never.then_some("retired keys are not revoked")
        }
        "resign_after" => (marks(is.resign_after) < marks(was.resign_after)).then_some("less is signed again"),
        "publish_safety_days" => {
            (is.publish_safety_days < was.publish_safety_days).then_some("clients have less time to get a new key")
        }
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::publication::GitUse;
    use crate::config::{Config, Publication, TrustFile};
    use crate::model::{Environment, Hash256};
    use std::path::Path;

    fn settings() -> Settings {
        let text = Config::render_default("Example Corp", "example.corp/keyctl");
        Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files")).unwrap().adopted()
    }

    fn altered(change: impl FnOnce(&mut Settings)) -> Vec<Alteration> {
        let mut new = settings();
        change(&mut new);
        Settings::alterations(&settings(), &new).unwrap()
    }

    #[track_caller]
    fn weaker(path: &str, change: impl FnOnce(&mut Settings)) {
        let found = altered(change);
        let at = found.iter().find(|it| it.change.path.starts_with(path));
        let at = at.unwrap_or_else(|| panic!("{path} is not in {found:?}"));
        assert!(at.weakens.is_some(), "{at:?}");
    }

    #[track_caller]
    fn harmless(change: impl FnOnce(&mut Settings)) {
        let found = altered(change);
        assert!(!found.is_empty() && found.iter().all(|it| it.weakens.is_none()), "{found:?}");
    }

    fn with_rule(settings: &mut Settings, operation: Operation, change: impl FnOnce(&mut super::super::Rule)) {
        let mut rule = settings.policy.rule(operation);
        change(&mut rule);
        settings.policy.set(operation, rule);
    }

    fn windows(settings: &mut Settings) -> &mut super::super::Key {
        settings.keys.get_mut(&"windows".parse().unwrap()).unwrap()
    }

    #[test]
    fn fewer_people_longer_ages_and_further_roles_weaken() {
        use Operation::{Adopt, Keygen, Sign};
        weaker("policy.keygen.threshold", |s| with_rule(s, Keygen, |rule| rule.threshold = 1));
        weaker("policy.sign.roles", |s| with_rule(s, Sign, |rule| assert!(rule.roles.insert(Role::Publisher))));
        weaker("policy.adopt.must_include", |s| with_rule(s, Adopt, |rule| rule.must_include.clear()));
        weaker("policy.keygen.asserted", |s| {
            with_rule(s, Keygen, |rule| (rule.threshold, rule.asserted) = (1, true));
        });
        weaker("keys.windows.rotation_days", |s| windows(s).rotation_days += 1);
        harmless(|s| with_rule(s, Keygen, |rule| rule.threshold = 3));
        harmless(|s| with_rule(s, Keygen, |rule| rule.max_age_hours = 1));
        harmless(|s| with_rule(s, Sign, |rule| assert!(rule.roles.pop_first().is_some())));
        harmless(|s| windows(s).rotation_days -= 1);
        let mut short = settings();
        with_rule(&mut short, Keygen, |rule| rule.max_age_hours = 1);
        let longer = Settings::alterations(&short, &settings()).unwrap();
        assert_eq!(longer[0].weakens, Some("approvals live longer"));
    }

    #[test]
    fn what_sees_pins_and_what_ends_a_gate_weakens() {
        let hsm = || "primary".parse().unwrap();
        let other = Module::parse("/opt/x.so".into(), None, None).unwrap();
        weaker("hsm.primary.module", |s| s.hsm.get_mut(&hsm()).unwrap().module = other.clone());
        weaker("hsm.primary.serial", |s| s.hsm.get_mut(&hsm()).unwrap().serial = Some("1".into()));
        weaker("hsm.new", |s| drop(s.hsm.insert("new".parse().unwrap(), s.hsm[&hsm()].clone())));
        weaker("keys.windows.custody", |s| windows(s).custody = Custody::SealedExport);
        weaker("keys.windows.hsm", |s| windows(s).hsm.push("secondary2".parse().unwrap()));
        weaker("keys.windows.issuer", |s| windows(s).issuer = Issuer::External);
        weaker("keys.windows.crl_url", |s| windows(s).crl_url = Some("http://x.example/x.crl".into()));
        weaker("publication.git", |s| s.publication = Publication::of(GitUse::Off));
        weaker("rotation.publish_safety_days", |s| s.rotation.publish_safety_days = 7);
        weaker("rotation.revoke_retired", |s| s.rotation.revoke_retired = RevokeRetired::Never);
        weaker("rotation.resign_after", |s| s.rotation.resign_after = ResignAfter::None);
        weaker("timestamp.trust", |s| {
            s.timestamp.trust.push(TrustFile { path: "x.pem".into(), sha256: Hash256([1; 32]) });
        });
        weaker("environment", |s| s.environment = Environment::Staging);
        weaker("organization.origin", |s| s.organization.origin = "other.example/x".into());
        harmless(|s| s.organization.name = "Other".into());
        harmless(|s| s.timestamp.authorities.push("http://t.example".into()));
        harmless(|s| drop(s.keys.remove(&"apt".parse().unwrap())));
    }

    #[test]
    fn what_weakens_stands_first() {
        let found = altered(|s| {
            s.organization.name = "Other".into();
            windows(s).rotation_days = 400;
            with_rule(s, Operation::Adopt, |rule| rule.threshold = 5);
        });
        let weak: Vec<_> = found.iter().map(|it| it.weakens.is_some()).collect();
        assert_eq!(weak, [true, false, false]);
        assert_eq!(found[0].change.path, "keys.windows.rotation_days");
    }
}
