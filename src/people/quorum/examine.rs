//! One signature at a time: is it one, over these bytes, for this meaning, and by whom.

use super::Ignored;
use crate::clock::Time;
use crate::config::policy::Rule;
use crate::crypto::ssh::{PublicKey, Signature, Verified};
use crate::error::Result;
use crate::model::{Email, Hash256, SpkiHash};
use crate::people::approval::{Part, Participant};
use crate::people::roster::{Person, SigningKey};
use crate::people::{Namespace, Roster};
use std::collections::{BTreeMap, BTreeSet};

/// What signatures are held against.
pub(in crate::people) struct Examiner<'a> {
    pub(in crate::people) bytes: &'a [u8],
    pub(in crate::people) origin: &'a str,
    pub(in crate::people) roster: &'a Roster,
    pub(in crate::people) suspended: &'a BTreeSet<Email>,
    pub(in crate::people) now: Time,
}

/// A good signature by somebody in the roster.
pub(in crate::people) struct Signer<'a> {
    pub(in crate::people) email: &'a Email,
    pub(in crate::people) person: &'a Person,
    pub(in crate::people) verified: Verified,
}

impl<'a> Examiner<'a> {
    /// Who made a signature, if it can count at all.
    pub(in crate::people) fn examine(&self, armour: &str, namespaces: &[Namespace]) -> Result<Signer<'a>, Ignored> {
        let verified = verify(self.bytes, self.origin, armour, namespaces)?;
        let no = |rule, why: String, email: Option<&Email>| ignored(rule, why, email, Some(&verified.key));
        let Some((email, person, key)) = self.roster.holder(&verified.key) else {
            return Err(no("D1", "by a key that is nobody's in the roster".to_owned(), None));
        };
        if let Some(why) = not_valid(key, self.now) {
            return Err(no("D1", why, Some(email)));
        }
        if self.suspended.contains(email) {
            return Err(no("D1", "is suspended".to_owned(), Some(email)));
        }
        Ok(Signer { email, person, verified })
    }
}

impl Signer<'_> {
    pub(in crate::people) fn ignored(&self, rule: &str, why: impl Into<String>) -> Ignored {
        ignored(rule, why.into(), Some(self.email), Some(&self.verified.key))
    }

    pub(in crate::people) fn takes_part(&self, part: Part, rule: &Rule, armour: &str, bytes: &[u8]) -> Participant {
        Participant {
            email: self.email.clone(),
            part,
            roles: self.person.roles.intersection(&rule.roles).copied().collect(),
            public_key: self.verified.key.to_string(),
            key_sha256: self.verified.key.fingerprint(),
            security_key: self.verified.key.is_security_key(),
            user_present: self.verified.user_present,
            user_verified: self.verified.user_verified,
            request_sha256: Hash256::of(bytes),
            signature: armour.to_owned(),
        }
    }
}

/// Whether a signature is good, whoever made it.
fn verify(bytes: &[u8], origin: &str, armour: &str, namespaces: &[Namespace]) -> Result<Verified, Ignored> {
    let signature: Signature = match armour.parse() {
        Ok(signature) => signature,
        Err(error) => return Err(ignored("D4", error.full(), None, None)),
    };
    let no = |why: String| ignored("D4", why, None, Some(signature.key()));
    let meant = namespaces.iter().map(|namespace| namespace.of(origin)).find(|known| known == signature.namespace());
    let Some(namespace) = meant else {
        let wanted: Vec<_> = namespaces.iter().map(|namespace| namespace.of(origin)).collect();
        return Err(no(format!("is for {:?}, not for {}", signature.namespace(), wanted.join(" or "))));
    };
    let verified = match signature.verify(&namespace, bytes) {
        Ok(verified) => verified,
        Err(_) => return Err(no("is not over these bytes".to_owned())),
    };
    match verified.is_by_a_person() {
        true => Ok(verified),
        false => Err(no("the security key was not touched".to_owned())),
    }
}

fn not_valid(key: &SigningKey, now: Time) -> Option<String> {
    let time = crate::clock::rfc3339;
    match (key.valid_from, key.valid_to) {
        _ if key.is_valid(now) => None,
        (Some(from), _) if now < from => Some(format!("the key counts only from {} on", time(from))),
        (_, to) => Some(format!("the key counted until {}", to.map(time).unwrap_or_default())),
    }
}

fn ignored(rule: &str, why: String, email: Option<&Email>, key: Option<&PublicKey>) -> Ignored {
    Ignored { rule: rule.to_owned(), why, email: email.cloned(), key_sha256: key.map(PublicKey::fingerprint) }
}

/// Of the given keys, those that no signature in the roster's namespace shows to be in somebody's hands; and the
/// proofs of the others, as they came. The bytes are the request that holds the roster (D1).
pub fn proofs_of_possession(
    bytes: &[u8],
    origin: &str,
    keys: &[PublicKey],
    armours: &[String],
) -> (Vec<PublicKey>, Vec<String>) {
    let mut left: BTreeMap<SpkiHash, &PublicKey> = keys.iter().map(|key| (key.material(), key)).collect();
    let mut proofs = Vec::new();
    for armour in armours {
        let Ok(verified) = verify(bytes, origin, armour, &[Namespace::Roster]) else { continue };
        let material = verified.key.material();
        if left.get(&material).is_some_and(|key| **key == verified.key) {
            left.remove(&material);
            proofs.push(armour.clone());
        }
    }
    (left.into_values().cloned().collect(), proofs)
}
