//! `verify`: artifacts and evidence fragments, each checked for what it is.

use super::{openpgp, repository};
use crate::clock::{self, Time};
use crate::crypto::note::VerifierKey;
use crate::error::{Error, Kind, Result};
use crate::evidence::fragment;
use crate::files::source::{Source, SourcePolicy};
use crate::files::{safe, shown_path};
use crate::formats::artifact::{self, Verdict};
use crate::ledger::query;
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::pem;
use crate::ui::{Row, Worst, error_value};
use crate::world::{Globals, World};
use std::path::{Path, PathBuf};

/// Check signed files and evidence fragments
///
/// A file's digest is computed again, its signature checked with the certificate in it, and the certificate's
/// chain built to a trusted root: those of --roots, else the workspace's own. A fragment (NAME.json) is checked
/// with the ledger keys alone: those of --ledger-key, else the workspace's. Of an APT repository (a folder) it is
/// said whether apt would accept it with the keyring of --keyring, else with those published here: signatures,
/// dates, and each listed file. Exit 6 if anything does not verify.
///
/// Examples:
///   keyctl verify app.exe
///   keyctl verify app.exe --roots root.pem
///   keyctl verify dists/stable --keyring archive.pgp --at 2026-11-23T12:00:00Z
///   keyctl verify evidence.json --ledger-key ledger.pub
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct VerifyArgs {
    /// The files, and folders of APT repositories
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Trusted root certificates (PEM), instead of the workspace's
    #[arg(long, value_name = "PEM")]
    roots: Vec<PathBuf>,
    /// Trusted ledger keys (verifier key lines), instead of the workspace's
    #[arg(long, value_name = "FILE")]
    ledger_key: Vec<PathBuf>,
    /// Trusted OpenPGP keyring for repositories, binary or armoured, instead of the workspace's
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// As of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// What the files are held against.
struct Trust {
    roots: Vec<Vec<u8>>,
    ledger_keys: Vec<VerifierKey>,
    at: Time,
    keyring: Vec<Certificate>,
    world: Option<World>,
}

/// Runs `verify`.
///
/// # Errors
/// Nothing could be tried at all. What each file is stands in the result.
pub fn run(args: &VerifyArgs, globals: Globals) -> Result<Worst> {
    let ui = globals.ui.clone();
    let trust = trust(args, globals)?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for file in &args.files {
        if file.is_dir() {
            let found = repository::verify_folder(file, &trust.keyring, trust.at, trust.world.as_ref(), &mut worst);
            rows.extend(found);
            continue;
        }
        let row = match verify_one(file, &trust) {
            Ok(row) => row,
            Err(error) => {
                worst.add(error.kind());
                let row = Row::new().with("file", file.to_string_lossy().into_owned());
                row.with("verdict", error.code()).with("detail", error.full()).with("error", error_value(&error))
            }
        };
        rows.push(row);
    }
    ui.rows(&["file", "verdict", "detail"], &rows);
    Ok(worst)
}

fn trust(args: &VerifyArgs, globals: Globals) -> Result<Trust> {
    let at = match &args.at {
        Some(text) => {
            clock::parse(text).ok_or_else(|| Error::usage("bad_time", format!("--at {text:?} is not RFC 3339")))?
        }
        None => globals.clock.now(),
    };
    let mut roots = Vec::new();
    for path in &args.roots {
        let pem = safe::read_bounded(path, 4 << 20)?;
        roots.extend(pem::decode(pem::label::CERTIFICATE, &pem, 256)?);
    }
    let mut ledger_keys = Vec::new();
    for path in &args.ledger_key {
        for line in safe::read_text(path, 64 << 10)?.lines().filter(|line| !line.trim().is_empty()) {
            ledger_keys.push(line.trim().parse()?);
        }
    }
    let mut keyring = repository::read_keyrings(&args.keyring)?;
    let self_contained = !roots.is_empty() || !ledger_keys.is_empty() || !keyring.is_empty();
    let world = match (World::open(globals), self_contained) {
        (Ok(world), _) => Some(world),
        (Err(_), true) => None,
        (Err(error), false) => {
            return Err(error
                .maybe_hint(Some("--roots PEM, --keyring FILE or --ledger-key FILE to verify without a workspace")));
        }
    };
    if let Some(world) = &world {
        if roots.is_empty() {
            roots = workspace_roots(world)?;
        }
        if keyring.is_empty() {
            keyring = openpgp::published_keyrings(world)?;
        }
        if ledger_keys.is_empty() {
            let lines = world.genesis.ledger_keys.iter().map(|key| key.verifier.parse());
            ledger_keys = lines.collect::<Result<_>>()?;
        }
    }
    Ok(Trust { roots, ledger_keys, at, keyring, world })
}

fn workspace_roots(world: &World) -> Result<Vec<Vec<u8>>> {
    let generations = query::generations(world.ledger.connection())?;
    let roots = generations.iter().filter(|generation| generation.purpose == crate::model::Purpose::RootCa);
    Ok(roots.filter_map(|root| root.identities.first()?.x509().map(<[u8]>::to_vec)).collect())
}

fn verify_one(path: &Path, trust: &Trust) -> Result<Row> {
    let source = Source::open(path, SourcePolicy::READ)?;
    if artifact::looks_like_json(&source)? {
        return verify_fragment(path, trust);
    }
    let report = artifact::verify(&source, &trust.roots, trust.at)?;
    let file = path.to_string_lossy().into_owned();
    let mut row = Row::new()
        .with("file", file.as_str())
        .with("verdict", report.verdict.as_str())
        .with("detail", report.detail.as_str())
        .with("sha256", report.sha256.to_string())
        .with("signatures", report.signatures);
    if let Some(world) = &trust.world {
        let entry = query::signed_into(world.ledger.connection(), &report.sha256)?;
        row = row.with("ledger_entry", entry);
    }
    match report.verdict {
        Verdict::Valid => Ok(row),
        verdict => Err(Error::new(Kind::Findings, verdict.code(), format!("{}: {}", shown_path(path), report.detail))),
    }
}

fn verify_fragment(path: &Path, trust: &Trust) -> Result<Row> {
    if trust.ledger_keys.is_empty() {
        return Err(Error::usage("no_ledger_key", "a fragment is checked with the ledger's key")
            .hint("--ledger-key published/ledger.pub"));
    }
    let bytes = safe::read_bounded(path, fragment::MAX_LEN as u64)?;
    let checked = fragment::check(&bytes, &trust.ledger_keys).map_err(|error| error.about(shown_path(path)))?;
    let text = |name: &str| checked.value.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let detail =
        format!("{} at {}, in a tree of {} entries", text("event_type"), text("created_at"), checked.checkpoint.size);
    Ok(Row::new()
        .with("file", path.to_string_lossy().into_owned())
        .with("verdict", "valid")
        .with("detail", detail)
        .with("fragment_id", text("fragment_id")))
}
