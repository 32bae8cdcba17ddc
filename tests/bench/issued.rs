//! Gives a key many certificates of which nobody knows whether they exist: reserved serial numbers whose issuance ended
//! `unknown`. A revocation of the key has to put all of them on its CA's list.
//!
//! `cargo bench --bench issued -- WORKSPACE KEY COUNT`, for a workspace that nobody uses for anything else.

use keyctl::clock::Clock;
use keyctl::ledger::{FILE, Ledger, NewEntry, query};
use keyctl::request::{IssueCertificate, Operation};
use serde_json::json;
use std::path::Path;

/// Entries in one transaction.
const BATCH: u32 = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [workspace, key, count] = args.as_slice() else {
        eprintln!("usage: cargo bench --bench issued -- WORKSPACE KEY COUNT");
        return Ok(());
    };
    let mut ledger = Ledger::open(&Path::new(workspace).canonicalize()?.join(FILE), Clock::system())?;
    let generation = query::active(ledger.connection(), &key.parse()?)?.ok_or("no active generation")?;
    let issued = query::outcomes_about(ledger.connection(), IssueCertificate::ENTRY, &generation.id)?;
    let outcome = ledger.entry(*issued.first().ok_or("it was never issued a certificate")?)?;
    let intent = ledger.entry(outcome.body["intent"].as_u64().ok_or("an outcome without an intent")?)?;
    let count: u32 = count.parse()?;
    let mut number = 0u32;
    while number < count {
        let mut writer = ledger.writer()?;
        for _ in 0..BATCH.min(count - number) {
            number += 1;
            // Spread over the numbers that are there, and never one that this program makes.
            let serial = format!("7f{:08x}{number:030x}", number.wrapping_mul(0x9e37_79b1));
            let mut body = intent.body.clone();
            body["request"]["params"]["serial"] = serial.into();
            let new = |body| NewEntry {
                entry_type: intent.entry_type.clone(),
                actor: intent.actor.clone(),
                correlation_id: intent.correlation_id.clone(),
                body,
            };
            let entry = writer.append(new(body))?;
            let error = json!({ "error_class": "transient", "code": "token_gone", "message": "the token is gone" });
            let hash = entry.leaf_hash()?.to_string();
            writer.append(new(json!({
                "phase": "outcome", "result": "unknown", "intent": entry.seq, "intent_hash": hash, "error": error,
            })))?;
        }
        writer.commit()?;
    }
    println!("{} has {count} more certificates that may exist", generation.id);
    Ok(())
}
