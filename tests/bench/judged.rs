//! Fills a ledger with signatures that the gate would let in, and times what reads it: opening it for a decision, in a
//! process that knows nothing of it yet, and building tree and tables anew.
//!
//! `cargo bench --bench judged -- fill|time WORKSPACE [ENTRIES]`, for a workspace that nobody uses for anything else.

use keyctl::clock::Clock;
use keyctl::ledger::genesis::Genesis;
use keyctl::ledger::{FILE, Ledger, NewEntry, query, verify};
use keyctl::model::Hash256;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Signatures in one transaction.
const BATCH: u64 = 500;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["fill", workspace, entries] => fill(&path(workspace)?, entries.parse()?),
        ["time", workspace] => time(&path(workspace)?),
        _ => {
            eprintln!("usage: cargo bench --bench judged -- fill|time WORKSPACE [ENTRIES]");
            Ok(())
        }
    }
}

fn path(workspace: &str) -> Result<std::path::PathBuf> {
    Ok(Path::new(workspace).canonicalize()?.join(FILE))
}

/// Repeats the one signature that is there, as of other files, until there are so many entries.
fn fill(path: &Path, entries: u64) -> Result<()> {
    let mut ledger = Ledger::open(path, Clock::system())?;
    let signed = query::signed_entries(ledger.connection())?;
    let outcome = ledger.entry(*signed.first().ok_or("nothing was signed yet")?)?;
    let intent = ledger.entry(outcome.body["intent"].as_u64().ok_or("an outcome without an intent")?)?;
    let mut number = 0u64;
    while ledger.head()?.size < entries {
        let mut writer = ledger.writer()?;
        for _ in 0..BATCH {
            number += 1;
            let hash = |what: &str| Hash256::of(format!("{what} {number}").as_bytes()).to_string();
            let mut body = intent.body.clone();
            let request = &mut body["request"];
            request["object"] = hash("before").into();
            request["params"]["hash_before"] = hash("before").into();
            request["params"]["artifact_id"] = format!("00000000-0000-4000-8000-{number:012}").into();
            let new = |body| NewEntry {
                entry_type: intent.entry_type.clone(),
                actor: intent.actor.clone(),
                correlation_id: intent.correlation_id.clone(),
                body,
            };
            let entry = writer.append(new(body))?;
            let mut body = outcome.body.clone();
            body["intent"] = entry.seq.into();
            body["intent_hash"] = entry.leaf_hash()?.to_string().into();
            body["done"]["hash_after"] = json!(hash("after"));
            writer.append(new(body))?;
        }
        writer.commit()?;
    }
    println!("{} entries", ledger.head()?.size);
    Ok(())
}

fn best(rounds: u32, mut work: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        best = best.min(work()?);
    }
    Ok(best)
}

fn time(path: &Path) -> Result<()> {
    let generations = query::generations(Ledger::open(path, Clock::system())?.connection())?.len();
    let opening = best(9, || {
        let mut ledger = Ledger::open(path, Clock::system())?;
        let start = Instant::now();
        drop(ledger.writer()?);
        Ok(start.elapsed())
    })?;
    let ledger = Ledger::open_read_only(path, Clock::system())?;
    let genesis: Genesis = query::genesis(ledger.connection())?;
    let trust = verify::Trust {
        workspace_id: genesis.workspace_id.clone(),
        origin: genesis.origin.clone(),
        ledger_keys: genesis.ledger_keys.iter().filter_map(|key| key.verifier.parse().ok()).collect(),
        genesis_leaf_hash: ledger.entry(0)?.leaf_hash()?,
    };
    let mut sound = true;
    let tables = best(3, || {
        let start = Instant::now();
        sound &= verify::verify_tables(&ledger, &trust, &[])?.is_sound();
        Ok(start.elapsed())
    })?;
    if !sound {
        return Err("the ledger is not sound".into());
    }
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{}", json!({ "generations": generations, "opening_ms": millis(opening), "tables_ms": millis(tables) }));
    Ok(())
}
