//! `doctor`: what the tokens can and cannot do for each key. Read-only.

use crate::clock::{self, Time};
use crate::config::{Hsm, Settings};
use crate::error::{Kind, Result};
use crate::hsm::doctor::{self, FipsClaim, Level};
use crate::hsm::store::record;
use crate::hsm::{Token, TokenInfo, TokenSpec};
use crate::keys::{Generation, State, TokenRecord};
use crate::ledger::query;
use crate::model::{Environment, HsmName};
use crate::policy::{Verdict as Gated, hardware as policy};
use crate::published::worktree;
use crate::ui::{Row, Worst};
use crate::world::remote_clock::{self, Compared};
use crate::world::{World, token_specs};

/// How old the look at a FIPS certificate may be, in days (governance X6).
const FIPS_DAYS: i64 = 90;

/// Examine tokens, PIN flags, mechanisms, clock and settings
///
/// Logs in nowhere, asks for no PIN, changes nothing and signs nothing. The clock is held against the ledger, the clocks of
/// tokens, the newest timestamp, and what services said that were talked to last. Each token and its PKCS#11 module are held
/// against what was adopted; a module that is another one is not loaded. Keys whose public half is gone or another one are
/// told. Exit 6 if something stands in the way of a
/// configured key. With -v also what each token could be used for besides.
///
/// Examples:
///   keyctl doctor
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DoctorArgs {}

/// Runs `doctor`.
///
/// # Errors
/// The workspace cannot be opened. What is wrong with a token stands in the result.
pub fn run(_args: &DoctorArgs, world: &mut World) -> Result<Worst> {
    let mut rows = Rows::default();
    let recorded = query::tokens(world.ledger.connection())?;
    let keys = query::generations(world.ledger.connection())?;
    for spec in token_specs(&world.config, &world.dir, 1) {
        let spec = TokenSpec { recorded: recorded.get(&spec.name).cloned(), ..spec };
        token(world, spec, &keys, &mut rows);
    }
    tool(world, &mut rows);
    clocks(world, &mut rows)?;
    settings(world, &mut rows)?;
    match worktree::examine(world) {
        Ok(detail) => rows.add("published", "nothing private", Verdict::Ok, detail),
        Err(error) => rows.add("published", "nothing private", Verdict::Problem, error.full()),
    }
    world.ui().rows(&["object", "check", "verdict", "detail"], &rows.rows);
    Ok(rows.worst)
}

#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    worst: Worst,
}

impl Rows {
    fn add(&mut self, object: &str, check: &str, verdict: Verdict, detail: String) {
        if verdict == Verdict::Problem {
            self.worst.add(Kind::Findings);
        }
        let row = Row::new().with("object", object).with("check", check).with("verdict", verdict.as_str());
        self.rows.push(row.with("detail", detail));
    }
}

crate::model::words! {
    /// How an examination came out.
    Verdict: "verdict" { Ok = "ok", Cannot = "cannot", Warning = "warning", Problem = "problem" }
}

fn token(world: &World, spec: TokenSpec, keys: &[Generation], rows: &mut Rows) {
    let name = spec.name.clone();
    let object = format!("hsm.{name}");
    let recorded = spec.recorded.clone();
    if !spec.pin.is_present() {
        rows.add(&object, "PIN source", Verdict::Warning, "the configured PIN source is absent".into());
    }
    let token = match Token::open_without_login(spec) {
        Ok(token) => token,
        Err(fault) => return rows.add(&object, "reachable", Verdict::Problem, fault.to_string()),
    };
    let info = token.info();
    let about = format!("{} {} serial {} firmware {}", info.manufacturer, info.model, info.serial, info.firmware);
    rows.add(&object, "reachable", Verdict::Ok, about);
    token_clock(world, &object, info.clock, rows);
    as_adopted(&object, recorded.as_ref(), &record(info), rows);
    keys_are_here(&object, &name, &info.serial, keys, rows);
    public_keys(&object, &token, keys, rows);
    let mechanisms = match token.mechanisms() {
        Ok(mechanisms) => mechanisms,
        Err(fault) => return rows.add(&object, "mechanisms", Verdict::Problem, fault.to_string()),
    };
    let production = world.genesis.environment == Environment::Production;
    if let Some(hsm) = world.config.hsm.get(&name).filter(|_| production) {
        hardware(world, &object, (&name, hsm), info, rows);
    }
    let fips = world.config.hsm.get(&name).and_then(fips_claim);
    let report = doctor::examine(info, &mechanisms, fips.as_ref(), production);
    for finding in &report.findings {
        let verdict = if finding.level == Level::Problem { Verdict::Problem } else { Verdict::Warning };
        rows.add(&object, finding.code, verdict, finding.message.clone());
    }
    for capability in &report.capabilities {
        let wanted = world.config.keys.iter().find(|(_, key)| {
            key.hsm.contains(&name) && key.purpose == capability.purpose && key.algorithm == capability.algorithm
        });
        if wanted.is_none() && !world.ui().verbose {
            continue;
        }
        let verdict = match (capability.is_there(), wanted) {
            (true, _) => Verdict::Ok,
            (false, None) => Verdict::Cannot,
            (false, Some(_)) => Verdict::Problem,
        };
        let check = format!("{} with {}", capability.purpose, capability.algorithm);
        rows.add(&object, &check, verdict, capability.missing.join(", "));
    }
}

/// The token's own clock, if it has one.
fn token_clock(world: &World, object: &str, token: Option<Time>, rows: &mut Rows) {
    let Some(said) = token else { return };
    let compared = Compared { host: "the token".into(), said, here: world.globals.clock.now() };
    rows.add(object, "clock", agreement(&compared), compared.words());
}

fn agreement(compared: &Compared) -> Verdict {
    if compared.agree() { Verdict::Ok } else { Verdict::Problem }
}

/// Holds the token and its module against their record.
fn as_adopted(object: &str, recorded: Option<&TokenRecord>, found: &TokenRecord, rows: &mut Rows) {
    const CHECK: &str = "as adopted";
    let Some(recorded) = recorded else {
        return rows.add(object, CHECK, Verdict::Problem, "it was never adopted; keyctl adopt".into());
    };
    let differences = recorded.differences(found);
    if differences.is_empty() {
        rows.add(object, CHECK, Verdict::Ok, format!("serial {}", found.token.serial));
    }
    for difference in differences {
        let words = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".into());
        let verdict = if difference.decisive { Verdict::Problem } else { Verdict::Warning };
        let (now, then) = (words(&difference.found), words(&difference.recorded));
        rows.add(object, CHECK, verdict, format!("{}: {now}, recorded {then}", difference.what));
    }
}

/// A key lives on the token it was made on; another one with the same name does not have it.
fn keys_are_here(object: &str, name: &HsmName, serial: &str, keys: &[Generation], rows: &mut Rows) {
    for generation in keys.iter().filter(|generation| generation.state == State::Active) {
        let copies = generation.identities.iter().flat_map(|identity| &identity.copies);
        for copy in copies.filter(|copy| copy.hsm == *name && copy.token.serial != serial) {
            let detail = format!("{} is on the token with serial {}", generation.id, copy.token.serial);
            rows.add(object, KEYS, Verdict::Problem, detail);
        }
    }
}

/// Holds the token against the entry in keyctl.toml, and says whose word there is for it.
fn hardware(world: &World, object: &str, (name, hsm): (&HsmName, &Hsm), info: &TokenInfo, rows: &mut Rows) {
    let gate = policy::judge(name, Some(&hsm.token), Some(&record(info)), "those who adopted it");
    let verdict = match gate.verdict {
        Gated::Pass => Verdict::Ok,
        Gated::Asserted => Verdict::Warning,
        Gated::Fail | Gated::NotEvaluated => Verdict::Problem,
    };
    rows.add(object, "hardware", verdict, format!("{}: {}", gate.verdict, gate.input));
    info.warnings.iter().for_each(|warning| rows.add(object, "hardware", Verdict::Warning, warning.clone()));
    let checked = hsm.token.fips.as_ref().and_then(|fips| fips.checked.as_deref());
    let Some(day) = checked.and_then(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()) else { return };
    let age = (world.globals.clock.now().date_naive() - day).num_days();
    if !(0..=FIPS_DAYS).contains(&age) {
        let detail =
            format!("the FIPS certificate was looked up on {day}, {age} days ago; look it up every {FIPS_DAYS}");
        rows.add(object, "fips_checked", Verdict::Warning, detail);
    }
}

/// This program against the releases that settings name.
fn tool(world: &World, rows: &mut Rows) {
    let releases = &world.config.tool;
    let production = world.genesis.environment == Environment::Production;
    if releases.is_empty() && !production {
        return;
    }
    let gate = policy::judge_tool(releases, crate::world::tool());
    let verdict = match (gate.lets_pass(), production) {
        (true, _) => Verdict::Ok,
        (false, true) => Verdict::Problem,
        (false, false) => Verdict::Warning,
    };
    rows.add("keyctl", "tool", verdict, format!("{} (limit {})", gate.input, gate.limit));
}

/// What can be seen of the keys without a login: their public halves. One that is gone or another one was deleted or replaced
/// outside; private halves are looked for by `status --check`, which logs in.
fn public_keys(object: &str, token: &Token, keys: &[Generation], rows: &mut Rows) {
    let unused = [State::Planned, State::Destroyed];
    for generation in keys.iter().filter(|generation| !unused.contains(&generation.state)) {
        for identity in &generation.identities {
            let here =
                |copy: &&crate::keys::Copy| copy.hsm == *token.name() && copy.token.serial == token.info().serial;
            for copy in identity.copies.iter().filter(here) {
                let found = match token.inspect(&copy.cka_id) {
                    Ok(found) => found,
                    Err(fault) => return rows.add(object, KEYS, Verdict::Problem, fault.to_string()),
                };
                let what = match found.key {
                    _ if found.public == 0 => "no public key",
                    Some(key) if key.spki_hash() == identity.spki_sha256 => continue,
                    Some(_) => "another public key",
                    None => "not one public key that can be read",
                };
                let detail = format!("{}: there is {what} under CKA_ID {}", generation.id, copy.cka_id);
                rows.add(object, KEYS, Verdict::Problem, detail);
            }
        }
    }
}

/// The name of what is looked at of keys.
const KEYS: &str = "keys";

fn fips_claim(hsm: &Hsm) -> Option<FipsClaim> {
    let fips = hsm.token.fips.as_ref()?;
    Some(FipsClaim { standard: fips.standard.to_string(), level: fips.level, certificate: fips.certificate.clone() })
}

fn clocks(world: &World, rows: &mut Rows) -> Result<()> {
    let now = world.globals.clock.now();
    let Some(last) = world.ledger.head()?.size.checked_sub(1) else { return Ok(()) };
    let last = world.ledger.entry(last)?.leaves_time();
    let fine = now + chrono::TimeDelta::minutes(5) >= last;
    let detail = format!("now {}, last entry {}", crate::clock::rfc3339(now), crate::clock::rfc3339(last));
    rows.add("clock", "not behind the ledger", if fine { Verdict::Ok } else { Verdict::Problem }, detail);
    if let Some(compared) = remote_clock::last(world) {
        rows.add("clock", "as services say", agreement(&compared), compared.words());
    }
    if let Some(compared) = last_timestamp(world)? {
        let detail = compared.words();
        let fine = compared.agree() && now + remote_clock::TOLERANCE >= compared.said;
        rows.add("clock", "as timestamps say", if fine { Verdict::Ok } else { Verdict::Problem }, detail);
    }
    Ok(())
}

/// What an authority said in the newest timestamp, beside the entry that has it.
fn last_timestamp(world: &World) -> Result<Option<Compared>> {
    let Some(seq) = query::last_timestamped(world.ledger.connection())? else { return Ok(None) };
    let entry = world.ledger.entry(seq)?;
    let said = entry.body.pointer("/done/timestamp/time").and_then(|time| time.as_str()).and_then(clock::parse);
    let who = format!("the timestamp of entry {seq}");
    Ok(said.map(|said| Compared { host: who, said, here: entry.time }))
}

fn settings(world: &World, rows: &mut Rows) -> Result<()> {
    let adopted = query::settings(world.ledger.connection())?.settings;
    let changes = Settings::diff(&adopted, &world.config.adopted())?;
    let verdict = if changes.is_empty() { Verdict::Ok } else { Verdict::Problem };
    let detail = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    rows.add("keyctl.toml", "as adopted", verdict, detail);
    for warning in &world.config.warnings {
        rows.add("keyctl.toml", "advice", Verdict::Warning, warning.clone());
    }
    Ok(())
}
