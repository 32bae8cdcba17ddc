//! What `verify` says about APT repositories: whether apt would accept them with a given keyring on a given day.

use crate::clock::{Time, rfc3339};
use crate::error::{Error, Kind, Result};
use crate::files::{safe, shown_path};
use crate::formats::apt::folder::{Survey, hash_of, survey};
use crate::formats::apt::index;
use crate::formats::apt::verify::{self, Report};
use crate::ledger::query;
use crate::pki::openpgp::certificate::{Certificate, MAX_KEYRING};
use crate::pki::openpgp::document::{Judged, Verdict};
use crate::ui::{Row, Worst, error_value};
use crate::world::World;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Reads keyring files.
///
/// # Errors
/// One cannot be read or is no keyring.
pub(super) fn read_keyrings(paths: &[PathBuf]) -> Result<Vec<Certificate>> {
    let mut all = Vec::new();
    for path in paths {
        let bytes = safe::read_bounded(path, MAX_KEYRING as u64)?;
        if bytes.get(8..12) == Some(b"KBXf") {
            let message = format!("{}: a keybox of GnuPG, which no apt reads", shown_path(path));
            return Err(Error::failed("bad_keyring", message).hint("gpg --export KEY > archive.pgp"));
        }
        all.extend(Certificate::parse_all(&bytes).map_err(|error| error.about(shown_path(path)))?);
    }
    Ok(all)
}

/// Verifies every repository in a folder. What is found stands in the rows; what is worst, in `worst`.
pub(super) fn verify_folder(
    dir: &Path,
    keyring: &[Certificate],
    at: Time,
    world: Option<&World>,
    worst: &mut Worst,
) -> Vec<Row> {
    let failed = |dir: &Path, error: &Error, worst: &mut Worst| {
        worst.add(error.kind());
        let row = Row::new().with("file", dir.to_string_lossy().into_owned());
        row.with("verdict", error.code()).with("detail", error.full()).with("error", error_value(error))
    };
    if keyring.is_empty() {
        let error = Error::usage("no_keyring", "a repository is checked with a keyring, and none is published here")
            .hint("--keyring FILE");
        return vec![failed(dir, &error, worst)];
    }
    let repositories = match survey(dir) {
        // Clients follow symlinks wherever they lead.
        Ok(Survey { suites, elsewhere }) => [suites, elsewhere].concat(),
        Err(error) => return vec![failed(dir, &error, worst)],
    };
    let one = |dir: &PathBuf| match verify::verify(dir, keyring, at) {
        Ok(report) => {
            if !report.is_accepted() {
                worst.add(Kind::Findings);
            }
            row(dir, &report, world)
        }
        Err(error) => failed(dir, &error, worst),
    };
    repositories.iter().map(one).collect()
}

fn row(dir: &Path, report: &Report, world: Option<&World>) -> Row {
    let refused = report.findings.iter().find(|finding| report.refusals.contains(&finding.message));
    let verdict = match (report.is_accepted(), refused) {
        (true, _) => "valid",
        (false, Some(finding)) => finding.code,
        (false, None) => "not_accepted",
    };
    let sha256 = hash_of(&dir.join("InRelease")).ok().flatten();
    let entry = world.zip(sha256).and_then(|(world, hash)| query::signed_into(world.ledger.connection(), &hash).ok());
    let dates =
        report.dates.map(|(date, until)| json!({ "date": date.map(rfc3339), "valid_until": until.map(rfc3339) }));
    Row::new()
        .with("file", dir.to_string_lossy().into_owned())
        .with("verdict", verdict)
        .with("detail", detail(report))
        .with("sha256", sha256.map(|hash| hash.to_string()))
        .with("accepted", report.is_accepted())
        .with("clean", report.is_clean())
        .with("in_release", report.in_release.as_deref().map(signatures))
        .with("release_gpg", report.release_gpg.as_deref().map(signatures))
        .with("indexes", report.indexes.as_ref().map(indexes))
        .with("release", dates)
        .with(
            "findings",
            report.findings.iter().map(|f| json!({ "code": f.code, "message": f.message })).collect::<Vec<_>>(),
        )
        .with("refusals", report.refusals.clone())
        .with("ledger_entry", entry.flatten())
}

fn detail(report: &Report) -> String {
    if !report.is_accepted() {
        return report.refusals.join("; ");
    }
    let good = |list: &Option<Vec<Judged>>| {
        let list = list.as_deref().unwrap_or_default();
        format!("{} of {}", list.iter().filter(|one| one.verdict == Verdict::Good).count(), list.len())
    };
    let matched = report.indexes.as_ref().map_or(0, |checked| checked.matched);
    let mut text = format!(
        "good signatures: {} in InRelease, {} in Release.gpg; {matched} listed files match",
        good(&report.in_release),
        good(&report.release_gpg)
    );
    for finding in &report.findings {
        text.push_str("; ");
        text.push_str(&finding.message);
    }
    text
}

fn signatures(list: &[Judged]) -> Value {
    let one = |judged: &Judged| {
        json!({
            "verdict": judged.verdict,
            "detail": judged.detail,
            "issuer": judged.issuer,
            "signer": judged.signer,
            "certificate": judged.certificate,
            "created": judged.created.map(rfc3339),
            "hash": judged.hash,
        })
    };
    list.iter().map(one).collect()
}

fn indexes(checked: &index::Checked) -> Value {
    json!({
        "matched": checked.matched,
        "only_compressed": checked.only_compressed,
        "problems": checked.problems.iter().map(|problem| {
            json!({ "path": problem.path, "code": problem.code, "message": problem.message })
        }).collect::<Vec<_>>(),
    })
}
