//! What shows that a generation may take over: `rotation_event` (B19), from proofs that are checked here once more.

use super::proof::{Standing, test_message};
use crate::error::{Error, Result};
use crate::gate::{Completes, sealed};
use crate::hsm::store::proof_of_possession;
use crate::keys::{Credential, Generation};
use crate::model::{CorrelationId, Hash256, Signature};
use crate::people::approval::Participant;
use crate::request::{ActivateKey, GenerateKey, TestKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A proof that stands in the ledger: what was asked for, what was signed, and in which entry.
#[derive(Debug)]
pub struct Proof<P> {
    /// The outcome's entry.
    pub seq: u64,
    /// The parameters of its request.
    pub params: P,
    /// The signature.
    pub signature: Signature,
}

/// Everything about a takeover.
#[derive(Debug)]
pub struct Takeover<'a> {
    /// Who steps back.
    pub old: Option<&'a Generation>,
    /// Who takes over.
    pub new: &'a Generation,
    /// How verifiers see the new key now.
    pub standing: Standing,
    /// That the private key is there, from when it was made.
    pub possession: Proof<GenerateKey>,
    /// That it signs, under the certificate it has.
    pub test: Proof<TestKey>,
    /// The files that were published of it.
    pub published: BTreeMap<String, Hash256>,
    /// The approvals that it rests on.
    pub approvals: &'a [Participant],
    /// What belongs together.
    pub correlation_id: &'a CorrelationId,
    /// Another publisher was approved.
    pub publisher_change: bool,
}

/// A takeover whose proofs hold.
#[derive(Debug)]
pub struct TakenOver {
    event: Value,
}

impl Takeover<'_> {
    /// Checks both proofs with the public key in the published certificate.
    ///
    /// # Errors
    /// `bad_signature`; `proof_of_another_key` for a proof that is about something else.
    pub fn check(self) -> Result<TakenOver> {
        let identity = self.new.identity()?;
        let certificate = self.new.credential().map(Credential::fingerprint).unwrap_or_default();
        let fits = self.possession.params.generation == self.new.id
            && self.test.params.generation == self.new.id
            && self.test.params.certificate == certificate
            && self.standing.public_key().spki_hash() == identity.spki_sha256;
        if !fits {
            let message = format!("a proof that is recorded for {} is about something else", self.new.id);
            return Err(Error::failed("proof_of_another_key", message));
        }
        let key = self.standing.public_key();
        key.verify(&proof_of_possession(&self.possession.params), &self.possession.signature)?;
        key.verify(&test_message(&self.test.params, identity.algorithm), &self.test.signature)?;
        let mut verification = self.standing.value();
        verification["proof_of_possession"] = json!({ "verdict": "pass", "entry": self.possession.seq });
        verification["test_signature"] = json!({ "verdict": "pass", "entry": self.test.seq });
        let mut event = json!({
            "key": self.new.id.key,
            "correlation_id": self.correlation_id,
            "new": side(self.new)?,
            "new_spki_sha256": identity.spki_sha256,
            "verification": verification,
            "published": self.published,
            "publisher_change": self.publisher_change,
            "approvals": approvals(self.approvals),
        });
        if let Some(old) = self.old {
            event["old"] = side(old)?;
        }
        Ok(TakenOver { event })
    }
}

/// SHA-256 of each approval's signature, which the fragment has whole.
fn approvals(people: &[Participant]) -> Vec<Hash256> {
    people.iter().map(|person| Hash256::of(person.signature.as_bytes())).collect()
}

/// One of the two generations, with both names for its certificate (domain §2).
fn side(generation: &Generation) -> Result<Value> {
    let none = || Error::blocked("no_certificate", format!("{} has no certificate", generation.id));
    let credential = generation.credential().ok_or_else(none)?;
    let (from, to) = credential.validity();
    let mut side = json!({
        "generation": generation.id,
        "fingerprint": credential.fingerprint(),
        "certificate_issued": crate::clock::rfc3339(from),
        "certificate_expiry": crate::clock::rfc3339(to),
    });
    match credential {
        Credential::X509 { thumbprint, subject, issuer, serial, .. } => {
            side["certificate_thumbprint"] = json!(thumbprint);
            side["certificate_subject"] = json!(subject);
            side["certificate_issuer"] = json!(issuer);
            side["serial"] = json!(serial);
        }
        Credential::OpenPgp { fingerprint, .. } => side["certificate_thumbprint"] = json!(fingerprint),
    }
    Ok(side)
}

impl sealed::Sealed for TakenOver {}

impl Completes<ActivateKey> for TakenOver {
    fn done(&self) -> Value {
        json!({ "rotation_event": self.event })
    }
}
