//! Making fragments, and checking them with nothing but `ledger.pub`.

use crate::clock::rfc3339;
use crate::crypto::note::{Checkpoint, SignedNote, VerifierKey};
use crate::crypto::{jcs, merkle};
use crate::error::{Error, Result};
use crate::ledger::{Entry, Ledger};
use crate::model::{Hash256, hex};
use crate::outcome::Receipt;
use serde_json::{Map, Value, json};

/// Name and version of the form.
pub const SCHEMA_NAME: &str = "keyctl.evidence/v1";

/// No fragment is larger, in bytes.
pub const MAX_LEN: usize = 4 << 20;

/// One evidence object in its canonical bytes: JCS with a final newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    id: String,
    bytes: Vec<u8>,
}

impl Fragment {
    /// Makes the fragment of a receipt. The checkpoint must cover it.
    ///
    /// # Errors
    /// The checkpoint is older than the receipt, or the ledger cannot be read.
    pub fn new(receipt: &Receipt, ledger: &Ledger, checkpoint: &SignedNote) -> Result<Self> {
        let head = checkpoint.text().parse::<Checkpoint>()?;
        let seq = receipt.outcome().seq;
        if seq >= head.size {
            return Err(Error::bug(format!("the checkpoint of size {} does not cover entry {seq}", head.size)));
        }
        let proof = ledger.inclusion_proof(seq, head.size)?;
        let (intent, outcome) = (receipt.intent(), receipt.outcome());
        let [intent_leaf, leaf] = [leaf_text(intent)?, leaf_text(outcome)?];
        let value = render([(intent, &intent_leaf), (outcome, &leaf)], &checkpoint.to_string(), &proof)?;
        let id = text(&value, "fragment_id")?.to_owned();
        Ok(Fragment { id, bytes: canonical(&value)? })
    }

    /// The fragment's own identifier; also its file name in `evidence/`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A fragment that proved itself.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Everything it says.
    pub value: Value,
    /// Tree size and root that it proves to be part of.
    pub checkpoint: Checkpoint,
}

/// Checks the bytes of a fragment with the given ledger keys and nothing else.
///
/// # Errors
/// [`crate::error::Kind::Findings`] with a code that says which part does not hold.
pub fn check(bytes: &[u8], keys: &[VerifierKey]) -> Result<Checked> {
    let bad = |code: &'static str, message: &str| Error::finding(code, message);
    let value = jcs::parse_strict(bytes.strip_suffix(b"\n").unwrap_or(bytes), MAX_LEN)
        .map_err(|error| bad("fragment_malformed", "the fragment is no JSON of ours").because(error))?;
    let malformed = || bad("fragment_malformed", "the fragment has no whole ledger part");
    let ledger = value.get("ledger").and_then(Value::as_object).ok_or_else(malformed)?;
    let part = |name: &str| ledger.get(name).and_then(Value::as_str).ok_or_else(malformed);
    let outcome = Entry::from_bytes(part("leaf")?.as_bytes()).map_err(|_| malformed())?;
    let intent = Entry::from_bytes(part("intent_leaf")?.as_bytes()).map_err(|_| malformed())?;

    let note = part("checkpoint")?
        .parse::<SignedNote>()
        .map_err(|error| bad("checkpoint_malformed", "the checkpoint is no signed note").because(error))?;
    let not_signed =
        || bad("checkpoint_not_signed", "the checkpoint is not signed by the given ledger keys, and by them only");
    let signed_by = note.verify(keys).map_err(|error| not_signed().because(error))?;
    if signed_by.len() != note.signatures().len() {
        return Err(not_signed());
    }
    let checkpoint = note
        .text()
        .parse::<Checkpoint>()
        .map_err(|error| bad("checkpoint_malformed", "the signed note is no checkpoint").because(error))?;

    let proof = proof_of(ledger).ok_or_else(malformed)?;
    // Both were read from their only bytes.
    let [leaf, intent_leaf] = [part("leaf")?, part("intent_leaf")?];
    let leaf_hash = merkle::leaf_hash(leaf.as_bytes());
    merkle::verify_inclusion(&leaf_hash, outcome.seq, checkpoint.size, &proof, &checkpoint.root)
        .map_err(|error| bad("not_in_ledger", "the entry is not part of the checkpoint's tree").because(error))?;
    if text(&outcome.body, "intent_hash").ok() != Some(merkle::leaf_hash(intent_leaf.as_bytes()).to_string().as_str()) {
        return Err(bad("intent_mismatch", "the intent is not the one that the outcome closes"));
    }
    let again = canonical(
        &render([(&intent, intent_leaf), (&outcome, leaf)], &note.to_string(), &proof).map_err(|_| malformed())?,
    )?;
    if again != bytes {
        return Err(bad("fragment_changed", "the fragment says something else than the ledger's entries"));
    }
    Ok(Checked { value, checkpoint })
}

fn proof_of(ledger: &Map<String, Value>) -> Option<Vec<Hash256>> {
    let list = ledger.get("inclusion_proof")?.as_array()?;
    if list.len() > 64 {
        return None;
    }
    list.iter().map(|hash| hash.as_str()?.parse().ok()).collect()
}

fn canonical(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = jcs::value_to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Every field of a fragment, from the two entries with the text of their leaves, the checkpoint and the proof. Pure.
fn render(entries: [(&Entry, &str); 2], checkpoint: &str, proof: &[Hash256]) -> Result<Value> {
    let [(intent, intent_leaf), (outcome, leaf)] = entries;
    let body = &outcome.body;
    let request = get(&intent.body, "request")?;
    let (params, done) = (get(request, "params")?, get(body, "done")?);
    let mut fragment = json!({
        "schema": SCHEMA_NAME,
        "fragment_id": get(body, "fragment_id")?,
        "correlation_id": outcome.correlation_id,
        "event_type": outcome.entry_type,
        "workspace_id": get(body, "workspace_id")?,
        "environment": get(body, "environment")?,
        "enforcement": get(body, "enforcement")?,
        "actor": outcome.actor,
        "created_at": rfc3339(outcome.time),
        "gates": get(&intent.body, "gates")?,
        "approvals": get(request, "approvals")?,
        "ledger": {
            "seq": outcome.seq,
            "leaf": leaf,
            "leaf_hash": merkle::leaf_hash(leaf.as_bytes()).to_string(),
            "intent_leaf": intent_leaf,
            "checkpoint": checkpoint,
            "inclusion_proof": proof.iter().map(|hash| hex(&hash.0)).collect::<Vec<_>>(),
        },
        "tool": get(body, "tool")?,
    });
    if let Some(key) = body.get("key").filter(|key| !key.is_null()) {
        fragment["key"] = key_part(key, get(&intent.body, "gates")?)?;
        if done.get("hash_after").is_some() {
            fragment["signing"] = signing_part(outcome, key)?;
        }
    }
    if done.get("hash_after").is_some() {
        fragment["artifact"] = artifact_part(params, done)?;
    }
    if let Some(revision) = pack_revision(body, params) {
        fragment["pack_revision"] = revision.into();
    }
    if let Some((name, event)) = super::event::part(outcome, params, done)? {
        fragment[name] = event;
    }
    let resigns = params.get("resigns");
    for (name, value) in [
        ("timestamp", done.get("timestamp")),
        ("provenance", params.get("provenance")),
        ("pack", params.get("pack")),
        ("authority", request.get("authority")),
        ("break_glass", body.get("break_glass")),
        ("destruction_event", done.get("destruction_event")),
        ("rotation_event", done.get("rotation_event")),
        ("cab", params.get("cab")),
        ("supersedes_evidence_pack_id", resigns.and_then(|old| old.get("evidence_pack_id"))),
    ] {
        if let Some(value) = value {
            fragment[name] = value.clone();
        }
    }
    Ok(fragment)
}

fn leaf_text(entry: &Entry) -> Result<String> {
    String::from_utf8(entry.to_bytes()?).map_err(|_| Error::bug("a leaf is not UTF-8"))
}

fn artifact_part(params: &Value, done: &Value) -> Result<Value> {
    let mut part = json!({
        "artifact_id": get(params, "artifact_id")?,
        "name": get(params, "name")?,
        "format": get(params, "format")?,
        "platform": get(done, "platform")?,
        "hash": { "algorithm": "sha256", "value": get(done, "hash_after")? },
        "hash_before": { "algorithm": "sha256", "value": get(params, "hash_before")? },
        "size_bytes": get(done, "size_after")?,
        "content_digest": get(params, "content_digest")?,
    });
    if let Some(old) = params.get("resigns") {
        part["supersedes"] = json!({
            "artifact_id": get(old, "artifact_id")?,
            "hash": { "algorithm": "sha256", "value": get(old, "hash")? },
            "entry": get(old, "entry")?,
            "generation": get(old, "generation")?,
        });
    }
    Ok(part)
}

/// Which revision of its evidence pack an act asks for: the greater one, after break-glass and after signing again.
fn pack_revision(body: &Value, params: &Value) -> Option<u64> {
    let again = params.get("resigns").and_then(|old| old.get("pack_revision"));
    [body.get("pack_revision"), again].into_iter().flatten().filter_map(Value::as_u64).max()
}

/// Both name sets: the evidence-pack schema's and the brief's (domain §2).
fn signing_part(outcome: &Entry, key: &Value) -> Result<Value> {
    let credential = first_identity(key)?.get("credential").cloned().unwrap_or_default();
    let field = |name: &str| credential.get(name).cloned().unwrap_or_default();
    let mut signing = json!({
        "signed": true,
        "signing_time": rfc3339(outcome.time),
        "fingerprint": field("fingerprint"),
    });
    if credential.get("kind").and_then(Value::as_str) == Some("x509") {
        signing["certificate_thumbprint"] = field("thumbprint");
        signing["certificate_subject"] = field("subject");
        signing["certificate_issuer"] = field("issuer");
        signing["certificate_issued"] = field("not_before");
        signing["certificate_expiry"] = field("not_after");
    } else {
        signing["certificate_thumbprint"] = field("fingerprint");
        signing["certificate_issued"] = field("created");
        signing["certificate_expiry"] = field("expires");
    }
    Ok(signing)
}

fn key_part(key: &Value, gates: &Value) -> Result<Value> {
    let id = text(key, "id")?;
    let (name, generation) = id.split_once('/').ok_or_else(|| Error::bug("a generation without a number"))?;
    let generation: u32 = generation.parse().map_err(|_| Error::bug("a generation without a number"))?;
    let mut part = json!({
        "name": name,
        "generation": generation,
        "purpose": get(key, "purpose")?,
        "custody": get(key, "custody")?,
        "state": get(key, "state")?,
    });
    if let Ok(identity) = first_identity(key) {
        part["algorithm"] = get(identity, "algorithm")?.clone();
        part["spki_sha256"] = get(identity, "spki_sha256")?.clone();
        if let Some(copy) = identity.get("copies").and_then(|copies| copies.get(0)) {
            let token = get(copy, "token")?;
            part["token"] = token.clone();
            part["cka_id"] = get(copy, "cka_id")?.clone();
            part["attributes"] = get(copy, "attributes")?.clone();
            // Attributes are the module's word; a software token's word is not even that of a device.
            let plain = match token.get("software") {
                Some(Value::Bool(true)) => "software token, not attested",
                _ => "not attested",
            };
            part["attestation"] = attestation(gates).unwrap_or_else(|| plain.to_owned()).into();
        }
    }
    Ok(part)
}

/// What the gates said of the hardware, where they were asked: what attests it, or who answers for it.
fn attestation(gates: &Value) -> Option<String> {
    let about = gates.as_array()?.iter().filter(|gate| gate.get("name").and_then(Value::as_str) == Some("Hardware"));
    let words = about.filter_map(|gate| {
        let (verdict, input) = (gate.get("verdict")?.as_str()?, gate.get("input")?.as_str()?);
        let verdict = if verdict == "pass" { "attested" } else { verdict };
        Some(format!("{verdict}: {input}"))
    });
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn first_identity(key: &Value) -> Result<&Value> {
    let first = key.get("identities").and_then(|list| list.get(0));
    first.ok_or_else(|| Error::bug("a key record without an identity"))
}

fn get<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| Error::failed("bad_entry", format!("an entry's body has no {name}")))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    get(value, name)?.as_str().ok_or_else(|| Error::failed("bad_entry", format!("{name} is not text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_says_of_hardware_what_the_gates_said() {
        let gate = |name: &str, verdict: &str, input: &str| json!({ "name": name, "verdict": verdict, "input": input, "limit": "x" });
        let said = |gates: &[Value]| attestation(&Value::from(gates.to_vec()));
        assert_eq!(said(&[gate("Status", "pass", "active")]), None, "where nobody asked, the record's own words stand");
        let word = said(&[gate("Status", "pass", "active"), gate("Hardware", "asserted", "a: the word of alice")]);
        assert_eq!(word.as_deref(), Some("asserted: a: the word of alice"));
        let both = [gate("Hardware", "pass", "a: by a statement"), gate("Hardware", "asserted", "b: the word of bob")];
        assert_eq!(said(&both).as_deref(), Some("attested: a: by a statement; asserted: b: the word of bob"));
    }
}
