//! `verify`: artifacts and evidence fragments, each checked for what it is.

mod fragments;
mod held;
mod people;
mod repository;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::files::shown_path;
use crate::files::source::{Source, SourcePolicy};
use crate::formats::verify::{self, Report, Verdict};
use crate::keys::{Generation, State};
use crate::ledger::query;
use crate::model::GenerationId;
use crate::ui::{Output, Row, Worst, error_value};
use crate::world::{Globals, World};
use held::Held;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Check signed files and evidence fragments
///
/// A file's digest is computed again and each signature, outer or nested, checked with the certificate in it.
/// The certificate's chain must lead to a trusted root (--roots, else the workspace's own) at the time of the
/// timestamp, if its authority is trusted (--timestamp-roots, else the configured roots, else those of --roots),
/// else now or --at. Revocation lists (--crl, and the workspace's) count from their dates on, so what was
/// timestamped before stays good. The worst signature decides; -v shows the parts.
///
/// `-` is standard input, and /dev/fd/N a pipe: what comes is kept in a temporary file without a name. A list or a root
/// that was given and had no part in it is said.
///
/// A fragment (NAME.json) is checked with the ledger keys alone: those of --ledger-key, else the workspace's. With
/// --roster also its approvals are, over the requests of --request or of the workspace; the result says in words what was
/// checked and what was not. Of an
/// APT repository (a folder) it is said whether apt would accept it with the keyring of --keyring, else with those
/// published here: signatures, dates, and each listed file. Exit 6 if anything does not verify.
///
/// Examples:
///   keyctl verify app.exe
///   keyctl verify -v app.exe --roots root.pem --timestamp-roots tsa-root.pem
///   keyctl verify dists/stable --keyring archive.pgp --at 2026-11-23T12:00:00Z
///   keyctl verify evidence.json --ledger-key ledger.pub
///   keyctl verify evidence.json --ledger-key ledger.pub --roster roster.toml --request request.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct VerifyArgs {
    /// The files, and folders of APT repositories; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Trusted root certificates (PEM), instead of the workspace's
    #[arg(long, value_name = "PEM")]
    roots: Vec<PathBuf>,
    /// Trusted root certificates of timestamp authorities (PEM)
    #[arg(long, value_name = "PEM")]
    timestamp_roots: Vec<PathBuf>,
    /// Revocation lists (DER or PEM), besides the workspace's
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// A signature without a good timestamp does not pass
    #[arg(long)]
    require_timestamp: bool,
    /// Trusted ledger keys (verifier key lines), instead of the workspace's
    #[arg(long, value_name = "FILE")]
    ledger_key: Vec<PathBuf>,
    /// Who was in the roster: the approvals in a fragment are checked by it, and must hold
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,
    /// What the approvals of a fragment were given for: a request of requests/, or an approval of the board
    #[arg(long, value_name = "FILE")]
    request: Vec<PathBuf>,
    /// Trusted OpenPGP keyring for repositories, binary or armoured, instead of the workspace's
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Verify what symlinks lead to; otherwise they are refused
    #[arg(long)]
    follow_symlinks: bool,
    /// As of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Runs `verify`.
///
/// # Errors
/// Nothing could be tried at all. What each file is stands in the result.
pub fn run(args: &VerifyArgs, globals: Globals) -> Result<Worst> {
    let ui = globals.ui.clone();
    let mut held = held::gather(args, globals)?;
    let mut worst = Worst::default();
    let mut rows = Vec::new();
    for file in &args.files {
        if file.is_dir() {
            rows.extend(repository::verify_folder(file, &held.keyring, held.at, held.world.as_ref(), &mut worst));
            continue;
        }
        match verify_one(file, &mut held, args.follow_symlinks, &mut worst) {
            Ok(Judged { row, parts }) => {
                rows.push(row);
                if ui.verbose && ui.output == Output::Table {
                    rows.extend(parts);
                }
            }
            Err(error) => {
                worst.add(error.kind());
                let row = Row::new().with("file", file.to_string_lossy().into_owned());
                let row = row.with("verdict", error.code()).with("detail", error.full());
                rows.push(row.with("error", error_value(&error)));
            }
        }
    }
    ui.rows(&["file", "verdict", "detail"], &rows);
    held.unused().iter().for_each(|words| ui.warn(words));
    Ok(worst)
}

/// A file that was judged: its row, and further rows about the parts of its signatures.
struct Judged {
    row: Row,
    parts: Vec<Row>,
}

/// Opens a file, or takes what comes through standard input or a pipe.
fn source(path: &Path, follow: bool) -> Result<Source> {
    if path == Path::new("-") {
        return Source::stream(std::io::stdin().lock(), path);
    }
    let is_pipe = path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") || path == Path::new("/dev/stdin");
    if is_pipe {
        let file = std::fs::File::open(path)?;
        return Source::stream(file, path);
    }
    Source::open(path, SourcePolicy { follow, ..SourcePolicy::READ })
}

fn verify_one(path: &Path, held: &mut Held, follow: bool, worst: &mut Worst) -> Result<Judged> {
    let source = source(path, follow)?;
    // By its name too, so that a fragment with a spoilt beginning is a bad fragment and no unknown format.
    let named = path.extension().is_some_and(|extension| extension == "json");
    if named || verify::looks_like_json(&source)? {
        return Ok(Judged { row: fragments::verify_fragment(path, &source, held)?, parts: Vec::new() });
    }
    let mut report = verify::verify(&source, &held.trust())?;
    held.see(&report.certificates);
    let known = known_keys(&mut report, held.world.as_ref())?;
    let (verdict, detail) = report.verdict();
    let mut signatures = report.signatures_value();
    for (value, known) in signatures.as_array_mut().into_iter().flatten().zip(&known) {
        value["register"] = json!(known);
    }
    let mut row = Row::new()
        .with("file", path.to_string_lossy().into_owned())
        .with("verdict", verdict.as_str())
        .with("detail", detail.as_str())
        .with("sha256", report.sha256.to_string())
        .with("signatures", signatures)
        .with("notes", report.notes_value());
    if let Some(world) = &held.world {
        row = row.with("ledger_entry", query::signed_into(world.ledger.connection(), &report.sha256)?);
    }
    if verdict != Verdict::Valid {
        worst.add(Kind::Findings);
        let error = Error::finding(verdict.code(), format!("{}: {detail}", shown_path(path)));
        row = row.with("error", error_value(&error));
    }
    Ok(Judged { row, parts: part_rows(&report, &known) })
}

/// What the register knows of a signer's key.
#[derive(serde::Serialize)]
struct Known {
    generation: GenerationId,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<String>,
}

/// Looks the signers up. What the register has revoked counts from the same date on as on a list, whether or not there
/// is a list that says so.
fn known_keys(report: &mut Report, world: Option<&World>) -> Result<Vec<Option<Known>>> {
    let mut all = Vec::new();
    for signature in &mut report.signatures {
        let (Some(world), Some(spki)) = (world, signature.spki_sha256()) else {
            all.push(None);
            continue;
        };
        let conn = world.ledger.connection();
        let found = query::generation_by_spki(conn, &spki)?;
        if let Some(generation) = &found
            && let Some(revocation) = query::revocation(conn, &generation.id)?
            && revocation.terms.revocation_date <= signature.judged_at
        {
            let since = clock::rfc3339(revocation.terms.revocation_date);
            let why = format!("{} is revoked as of {since}, {}", generation.id, revocation.terms.reason);
            signature.add((Verdict::Revoked, why));
        }
        all.push(found.map(|Generation { id, state, quarantined, .. }| Known { generation: id, state, quarantined }));
    }
    Ok(all)
}

/// Rows for people: each signature and, indented, its parts.
fn part_rows(report: &Report, known: &[Option<Known>]) -> Vec<Row> {
    let row = |name: String, word: &str, detail: &str| {
        Row::new().with("file", name).with("verdict", word).with("detail", detail)
    };
    let mut rows = Vec::new();
    for (number, (signature, known)) in (1..).zip(report.signatures.iter().zip(known)) {
        let (verdict, detail) = signature.verdict();
        let nested = if signature.level > 1 { ", nested" } else { "" };
        rows.push(row(format!("  signature {number}{nested}"), verdict.as_str(), &detail));
        rows.extend(signature.lines().iter().map(|(name, word, detail)| row(format!("    {name}"), word, detail)));
        if let Some(known) = known {
            rows.push(row("    register".into(), known.state.as_str(), &known.generation.to_string()));
        }
    }
    rows.extend(report.notes.iter().map(|note| row("  note".into(), "", &note.message)));
    rows
}
