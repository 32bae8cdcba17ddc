//! Somebody who is recorded as having taken part, held against a roster and what they signed.

use super::examine::Examiner;
use crate::clock::Time;
use crate::crypto::ssh::PublicKey;
use crate::model::Hash256;
use crate::people::approval::{Part, Participant};
use crate::people::{Namespace, Roster};
use std::collections::BTreeSet;

/// What a record is held against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The roster.
    pub roster: &'a Roster,
    /// The workspace's origin, which stands in each signature.
    pub origin: &'a str,
    /// When it counted.
    pub at: Time,
}

impl Against<'_> {
    /// Whether the key is theirs and counted then, and the roles are theirs.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn knows(&self, record: &Participant) -> Result<(), String> {
        let key: PublicKey = record.public_key.parse().map_err(|_| "the key cannot be read".to_owned())?;
        if key.fingerprint() != record.key_sha256 {
            return Err("the key is not the one that its hash names".into());
        }
        let (email, person, key) = self.roster.holder(&key).ok_or("the key is nobody's in the roster")?;
        if *email != record.email {
            return Err(format!("the key is that of {email} in the roster"));
        }
        if !key.is_valid(self.at) {
            return Err("the key did not count at that time".into());
        }
        match record.roles.difference(&person.roles).next() {
            None => Ok(()),
            Some(role) => Err(format!("is no {role} in the roster")),
        }
    }

    /// Whether their signature is over these bytes, for what it is said to be for.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn signed(&self, record: &Participant, bytes: &[u8]) -> Result<(), String> {
        self.knows(record)?;
        if Hash256::of(bytes) != record.request_sha256 {
            return Err("signed something else".into());
        }
        let suspended = BTreeSet::new();
        let Against { roster, origin, at } = *self;
        let examiner = Examiner { bytes, origin, roster, suspended: &suspended, now: at };
        let meant: &[Namespace] = match record.part {
            Part::Requester => &[Namespace::Request],
            Part::Approver => &[Namespace::Approval, Namespace::Cab],
        };
        let signer = examiner.examine(&record.signature, meant).map_err(|ignored| ignored.why)?;
        match signer.verified.key.fingerprint() == record.key_sha256 {
            true => Ok(()),
            false => Err("the signature is by another key".into()),
        }
    }
}
