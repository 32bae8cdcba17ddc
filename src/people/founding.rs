//! The founding of a workspace: what everyone in its first roster signs, each with every one of their keys (design §4).
//!
//! It is an approval request like others, but for a workspace that has no entry 0 yet: its one step says everything
//! that entry 0 will. The signatures are in the roster's namespace, so each is also the proof that its key is in
//! somebody's hands; entry 0 keeps the request and the signatures, and whoever reads it can count them again.

use super::quorum::proofs_of_possession;
use super::request::{LogHead, Step};
use super::{ApprovalRequest, Roster};
use crate::config::policy::Operation;
use crate::crypto::ssh::PublicKey;
use crate::error::{Context, Error, Result};
use crate::keys::TokenRecord;
use crate::model::{Email, GenerationId, Hash256, HsmName, KeyAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The operation of the one step.
pub const FOUND: &str = "found";

/// The hash of no entries (RFC 6962 §2.1).
const NOTHING: &[u8] = b"";

/// What a workspace begins with: the parameters of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The settings, in the form of [`crate::config::Settings`].
    pub settings: Value,
    /// The first roster.
    pub roster: Roster,
    /// The tokens and their modules, as they introduced themselves.
    pub tokens: BTreeMap<HsmName, TokenRecord>,
    /// The keys that will sign checkpoints.
    pub ledger_keys: Vec<LedgerKeyPlan>,
    /// The workspace that had the tokens before, if one had; its people agree too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub earlier: Option<Earlier>,
}

/// A ledger key that will be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerKeyPlan {
    /// Its place in the register.
    pub generation: GenerationId,
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// The token it is made on, by its name in the settings.
    pub hsm: HsmName,
    /// That token's serial number.
    pub token_serial: String,
}

/// A workspace whose keys are on a token that a new one wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Its identifier.
    pub workspace_id: String,
    /// Its origin, of which its people's signatures speak.
    pub origin: String,
    /// Leaf hash of its entry 0.
    pub genesis_sha256: Hash256,
    /// SHA-256 of its roster in force.
    pub roster_sha256: Hash256,
}

/// A founding that was signed, as entry 0 keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founded {
    /// The exact text of the request.
    pub request: String,
    /// One armoured signature by each key in the roster.
    pub signatures: Vec<String>,
    /// Those of the earlier workspace's people who agreed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub earlier: Vec<super::approval::Participant>,
}

/// A key whose signature is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Whose.
    pub email: Email,
    /// As `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

impl ApprovalRequest {
    /// Whether it asks for the founding of a workspace.
    pub fn is_founding(&self) -> bool {
        self.genesis_sha256.is_none()
    }
}

impl Beginning {
    /// The step that says it.
    ///
    /// # Errors
    /// Only a bug.
    pub fn step(&self, workspace_id: &str) -> Result<Step> {
        let params = crate::crypto::jcs::to_value(self)?;
        Ok(Step { operation: FOUND.to_owned(), object: workspace_id.to_owned(), params })
    }

    /// Reads it from a founding request, and sees that the rest of the request speaks of the same.
    ///
    /// # Errors
    /// `bad_founding`.
    pub fn of(request: &ApprovalRequest) -> Result<Beginning> {
        let bad = |why: &str| Error::failed("bad_founding", format!("the founding request {why}"));
        let [step] = request.steps.as_slice() else { return Err(bad("has not the one step")) };
        if step.operation != FOUND || step.object != request.workspace_id {
            return Err(bad("does not found its workspace"));
        }
        let beginning: Beginning =
            Beginning::deserialize(&step.params).or_failed("bad_founding", || "a founding cannot be read".into())?;
        let settings = crate::crypto::jcs::to_vec(&beginning.settings)?;
        let consistent = request.is_founding()
            && request.operation == Operation::Roster
            && request.subjects.is_empty()
            && request.log_head == (LogHead { size: 0, root: Hash256::of(NOTHING) })
            && request.roster == beginning.roster.reference()?
            && request.settings_sha256 == Hash256::of(&settings);
        match consistent {
            true => Ok(beginning),
            false => Err(bad("contradicts itself")),
        }
    }
}

/// Of the signatures over the founding request, the one of each key in the roster, and the keys that have none.
///
/// # Errors
/// A key of the roster cannot be read.
pub fn signatures(
    bytes: &[u8],
    origin: &str,
    roster: &Roster,
    armours: &[String],
) -> Result<(Vec<String>, Vec<Unsigned>)> {
    let mut keys = Vec::new();
    for person in roster.people.values() {
        for key in &person.keys {
            keys.push(key.key()?);
        }
    }
    let (left, proofs) = proofs_of_possession(bytes, origin, &keys, armours);
    let unsigned = |key: &PublicKey| {
        let (email, ..) = roster.holder(key)?;
        Some(Unsigned { email: email.clone(), fingerprint: key.openssh_fingerprint() })
    };
    let missing: Vec<_> = left.iter().filter_map(unsigned).collect();
    match missing.len() == left.len() {
        true => Ok((proofs, missing)),
        false => Err(Error::failed("bad_roster", "a key is that of two people")),
    }
}

impl Founded {
    /// Reads the request, and sees that every key in its roster signed it.
    ///
    /// # Errors
    /// `bad_request`, `bad_founding`.
    pub fn verify(&self) -> Result<(ApprovalRequest, Beginning)> {
        let bytes = self.request.as_bytes();
        let request = ApprovalRequest::parse(bytes)?;
        let beginning = Beginning::of(&request)?;
        let (_, missing) = signatures(bytes, &request.origin, &beginning.roster, &self.signatures)?;
        match missing.first() {
            None => Ok((request, beginning)),
            Some(key) => {
                let message = format!("the founding is not signed by {} with {}", key.email, key.fingerprint);
                Err(Error::failed("bad_founding", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::jcs;
    use crate::people::Namespace;
    use crate::people::request::tests::example;
    use crate::people::roster::testing::{Hand, email, four};
    use serde_json::json;

    fn founding() -> (ApprovalRequest, Roster, [Hand; 4]) {
        let (roster, hands) = four();
        let settings = json!({ "schema": "keyctl.settings/v1" });
        let mut request = example();
        request.genesis_sha256 = None;
        request.operation = Operation::Roster;
        request.subjects.clear();
        request.log_head = LogHead { size: 0, root: Hash256::of(b"") };
        request.roster = roster.reference().unwrap();
        request.settings_sha256 = Hash256::of(&jcs::to_vec(&settings).unwrap());
        let beginning = Beginning {
            settings,
            roster: roster.clone(),
            tokens: BTreeMap::new(),
            ledger_keys: vec![LedgerKeyPlan {
                generation: "ledger/1".parse().unwrap(),
                algorithm: KeyAlgorithm::Ed25519,
                hsm: "root".parse().unwrap(),
                token_serial: "01".to_owned(),
            }],
            earlier: None,
        };
        request.steps = vec![beginning.step(&request.workspace_id).unwrap()];
        (request, roster, hands)
    }

    fn signed(request: &ApprovalRequest, hands: &[Hand], namespace: Namespace) -> Founded {
        let bytes = request.to_bytes().unwrap();
        let sign = |hand: &Hand| hand.sign(&namespace.of(&request.origin), &bytes);
        Founded {
            request: String::from_utf8(bytes.clone()).unwrap(),
            signatures: hands.iter().map(sign).collect(),
            earlier: Vec::new(),
        }
    }

    #[test]
    fn everyone_signs_with_every_key() {
        let (request, roster, hands) = founding();
        let founded = signed(&request, &hands, Namespace::Roster);
        let (read, beginning) = founded.verify().unwrap();
        assert_eq!((read, beginning.roster), (request.clone(), roster));
        for missing in 0..hands.len() {
            let mut some = hands.to_vec();
            some.remove(missing);
            assert_eq!(signed(&request, &some, Namespace::Roster).verify().unwrap_err().code(), "bad_founding");
            // Another's signature in its place is no substitute, nor is the same one twice.
            some.push(Hand::new(99));
            some.push(some[0].clone());
            assert!(signed(&request, &some, Namespace::Roster).verify().is_err());
        }
        for other in [Namespace::Approval, Namespace::Request, Namespace::Cab] {
            assert!(signed(&request, &hands, other).verify().is_err(), "{other}");
        }
        let mut changed = founded.clone();
        changed.request = changed.request.replace("\"due\"", "\"dues\"");
        assert!(changed.verify().is_err());
    }

    #[test]
    fn a_second_key_of_a_person_signs_too() {
        let (mut request, mut roster, hands) = founding();
        let second = Hand::new(77);
        let alice = roster.people.get_mut(&email("alice@example.com")).unwrap();
        let key = alice.keys[0].clone();
        alice.keys.push(crate::people::roster::SigningKey { public_key: second.line(), ..key });
        let mut beginning = Beginning::of(&request).unwrap();
        beginning.roster = roster.clone();
        request.roster = roster.reference().unwrap();
        request.steps = vec![beginning.step(&request.workspace_id).unwrap()];
        let error = signed(&request, &hands, Namespace::Roster).verify().unwrap_err();
        assert!(error.message().contains("alice@example.com with SHA256:"), "{error}");
        let all = [&hands[..], &[second]].concat();
        signed(&request, &all, Namespace::Roster).verify().unwrap();
    }

    #[test]
    fn a_founding_that_contradicts_itself_is_none() {
        type Change = fn(&mut ApprovalRequest);
        let changes: [Change; 9] = [
            |r| r.genesis_sha256 = Some(Hash256([1; 32])),
            |r| r.operation = Operation::Adopt,
            |r| r.roster.version = 2,
            |r| r.settings_sha256 = Hash256([1; 32]),
            |r| r.log_head.size = 1,
            |r| r.subjects.extend([("x".to_owned(), 1)]),
            |r| r.steps.push(r.steps[0].clone()),
            |r| r.steps[0].object = "another".to_owned(),
            |r| r.steps[0].params["more"] = json!(1),
        ];
        let (good, _, _) = founding();
        Beginning::of(&good).unwrap();
        for (number, change) in changes.into_iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(Beginning::of(&bad).unwrap_err().code(), "bad_founding", "{number}");
        }
    }
}
