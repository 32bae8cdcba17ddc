//! `status`: one screen.

mod re_sign;
mod revocation;

use crate::commands::{follow_up, grant, run, values};
use crate::crypto::note::Checkpoint;
use crate::error::{Error, Kind, Result};
use crate::gate;
use crate::keys::{Credential, Generation};
use crate::ledger::query;
use crate::lifecycle::pipelines;
use crate::lifecycle::rotation::{failure, words};
use crate::model::{KeyName, Purpose};
use crate::policy::rotation::rotation_complete;
use crate::policy::{Decision, gates, hardware, rules};
use crate::published::{keyring_files, worktree};
use crate::ui::{Row, Ui, Worst};
use crate::world::{World, orphans, requests};

/// Show keys, ages, gates, and what is open
///
/// --check KEY asks whether KEY may sign now, looks for it on its token, prints each gate, and exits 4 if it may not.
///
/// Examples:
///   keyctl status
///   keyctl status --check windows
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Exit 4 if this key may not sign now
    #[arg(long, value_name = "KEY")]
    check: Option<KeyName>,
}

/// The columns of the table of keys.
pub const COLUMNS: &[&str] = &["generation", "purpose", "state", "algorithm", "issued", "expires", "token"];

/// Runs `status`.
///
/// # Errors
/// The workspace cannot be read; or with `--check`, the key may not sign now.
pub fn run(args: &StatusArgs, world: &mut World) -> Result<Worst> {
    match &args.check {
        Some(key) => check(world, key),
        None => overview(world),
    }
}

fn overview(world: &mut World) -> Result<Worst> {
    let generations = query::generations(world.ledger.connection())?;
    let suspended = query::suspended_keys(world.ledger.connection())?;
    let row = |generation: &Generation| row_of(generation, suspended.contains_key(&generation.id.key));
    let rows = generations.iter().map(|generation| revocation::extend(world, generation, row(generation)));
    world.ui().rows(COLUMNS, &rows.collect::<Result<Vec<_>>>()?);
    revocation::resign_required(world)?;
    let head = world.ledger.head()?;
    let newest = world.ledger.latest_checkpoint()?;
    let newest = newest.map(|note| note.text().parse::<Checkpoint>()).transpose()?;
    let covered = newest.map_or(0, |checkpoint| checkpoint.size);
    let ui = world.ui().clone();
    ui.say(&format!("\n{} workspace {}", world.genesis.environment, world.genesis.workspace_id));
    ui.say(&format!("ledger: {} entries, {} after the last checkpoint", head.size, head.size.saturating_sub(covered)));
    for (generation, count) in query::signed_counts(world.ledger.connection())? {
        let what = if count == 1 { "artifact" } else { "artifacts" };
        ui.say(&format!("{generation} signed {count} {what}"));
    }
    revocation::warn(world, &generations)?;
    people(world)?;
    if let Err(error) = world.settings() {
        ui.warn(&error.to_string());
    }
    rotations(world)?;
    worktree::show(world);
    pipelines::show(world)?;
    for orphan in orphans::orphans(world)? {
        ui.warn(&format!(
            "interrupted: {} of {} (entry {}); keyctl recover",
            orphan.kind.entry(),
            orphan.object,
            orphan.seq
        ));
    }
    Ok(Worst::default())
}

/// Failed rotations, with the time left to put them right, and what is due.
fn rotations(world: &World) -> Result<()> {
    let settings = query::settings(world.ledger.connection())?.settings;
    let now = world.globals.clock.now();
    for failure in failure::open(world, &settings)? {
        world.ui().warn(&failure::deadline_words(&failure, now));
    }
    for name in words::rotating(&settings) {
        if let Some(words) = words::due_words(world, &settings, &name) {
            world.ui().say(&words);
        }
    }
    Ok(())
}

/// What people gave, what they are asked, and what they still have to do; nothing where there is none of it.
fn people(world: &World) -> Result<()> {
    for (key, suspension) in query::suspended_keys(world.ledger.connection())? {
        let since = format!("{key} is suspended since entry {}: {}", suspension.seq, suspension.reason);
        world.ui().warn(&format!("{since}; keyctl suspend {key} --lift"));
    }
    for email in query::suspended(world.ledger.connection())? {
        world.ui().warn(&format!("the signatures of {email} count for nothing; keyctl roster restore {email}"));
    }
    let now = world.globals.clock.now();
    let grants: Vec<_> = query::grants(world.ledger.connection(), None)?.iter().map(grant::row).collect();
    let waiting: Vec<_> = requests::waiting(world)?.iter().map(values::request).collect();
    let duties: Vec<_> =
        query::follow_ups(world.ledger.connection())?.iter().map(|duty| follow_up::row(duty, now)).collect();
    for (title, columns, rows) in [
        ("standing approvals", grant::COLUMNS, grants),
        ("requests that wait for people", run::COLUMNS, waiting),
        ("duties with a deadline", follow_up::COLUMNS, duties),
    ] {
        if !rows.is_empty() {
            world.ui().say(&format!("\n{title}:"));
            world.ui().rows(columns, &rows);
        }
    }
    Ok(())
}

fn check(world: &mut World, key: &KeyName) -> Result<Worst> {
    let adopted = query::settings(world.ledger.connection())?.settings;
    let generation = world.active(key)?;
    let mut found = sign_gates(&generation, &adopted, world);
    let records = query::tokens(world.ledger.connection())?;
    found.extend(hardware::of_key(&generation, &adopted, &records, || crate::world::tool().clone()));
    found.push(rotation_complete(gate::rotation_failure(world.ledger.connection(), key)?, world.genesis.environment));
    found.push(gates::suspended(key, &query::suspended_keys(world.ledger.connection())?));
    if generation.purpose == Purpose::Apt {
        found.push(keyring_files::keyring_gate(world, &generation, &adopted)?);
    }
    found.push(on_token(world, &generation)?);
    print_gates(world.ui(), &found);
    orphans::refuse_orphans(world, [&generation.copy()?.hsm])?;
    match Decision::from_gates(found) {
        Decision::Allow(_) => Ok(Worst::default()),
        _ => Err(Error::blocked("gate_failed", format!("{} may not sign now", generation.id)).hint("keyctl status")),
    }
}

/// `KeyOnToken`: its token has the key, as it was recorded. What is not there is not signed with.
fn on_token(world: &World, generation: &Generation) -> Result<gates::Gate> {
    const NAME: &str = "KeyOnToken";
    let limit = format!("both halves of the pair under CKA_ID {}", generation.copy()?.cka_id);
    match world.store.look(generation.identity()?) {
        Ok(()) => Ok(gates::holds(NAME, "there", limit, true)),
        Err(error) if [Kind::Unavailable, Kind::Interrupted].contains(&error.kind()) => Err(error),
        Err(error) => Ok(gates::holds(NAME, error.full(), limit, false)),
    }
}

fn sign_gates(generation: &Generation, settings: &crate::config::Settings, world: &World) -> Vec<gates::Gate> {
    rules::signing_gates(generation, settings, world.genesis.environment, world.globals.clock.now())
}

fn print_gates(ui: &Ui, gates: &[gates::Gate]) {
    let rows = gates.iter().map(|gate| {
        Row::new()
            .with("gate", gate.name.as_str())
            .with("verdict", gate.verdict.as_str())
            .with("input", gate.input.as_str())
            .with("limit", gate.limit.as_str())
            .with("pass", gate.lets_pass())
    });
    ui.rows(&["gate", "verdict", "input", "limit"], &rows.collect::<Vec<_>>());
}

/// One generation as a row.
pub fn row(generation: &Generation) -> Row {
    row_of(generation, false)
}

fn row_of(generation: &Generation, suspended: bool) -> Row {
    let mut state = generation.state.to_string();
    if generation.quarantined.is_some() {
        state.push_str(", quarantined");
    }
    if suspended {
        state.push_str(", suspended");
    }
    let mut row = Row::new()
        .with("generation", generation.id.to_string())
        .with("purpose", generation.purpose.as_str())
        .with("state", state)
        .with("custody", generation.custody.as_str());
    if let Some(identity) = generation.identities.first() {
        row = row.with("algorithm", identity.algorithm.as_str()).with("spki_sha256", identity.spki_sha256.to_string());
        if let Some(copy) = identity.copies.first() {
            row = row.with("token", copy.token.label.as_str()).with("software", copy.token.software);
        }
    }
    if let Some(credential) = generation.credential() {
        let (from, to) = credential.validity();
        row = row.with("issued", crate::clock::rfc3339(from)).with("expires", crate::clock::rfc3339(to));
        row = match credential {
            Credential::X509 { fingerprint, subject, .. } => {
                row.with("fingerprint", fingerprint.to_string()).with("subject", subject.as_str())
            }
            Credential::OpenPgp { fingerprint, .. } => row.with("fingerprint", fingerprint.as_str()),
        };
    }
    row.with("signs_artifacts", generation.purpose.signs_artifacts())
}
