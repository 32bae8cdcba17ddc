//! What a client would say about a repository: with this keyring, on that day.
//!
//! apt asks for `InRelease`; only where there is none does it take `Release` and `Release.gpg`. It accepts a
//! file when at least one signature is good and none is bad; signatures by unknown, expired or revoked keys
//! do not count but do no harm. Then it looks at `Date` and `Valid-Until`, and later at each index.

use super::cleartext::{require_armor, same_text, split};
use super::index::{self, read_bounded};
use super::release::{MAX_CLIENT, MAX_RELEASE, Release};
use crate::clock::{Time, rfc3339};
use crate::error::{Error, Result};
use crate::pki::openpgp::certificate::Certificate;
use crate::pki::openpgp::document::{Document, Judged, MAX_SIGNATURES_LENGTH, Verdict, judge};
use std::path::Path;

/// How far a `Date` may lie ahead of the client's clock, in seconds (apt's `Acquire::Max-FutureTime`).
const MAX_AHEAD: i64 = 10;

/// A repository as it stands, judged.
#[derive(Clone, Debug)]
pub struct Report {
    /// The signatures of `InRelease`; `None` when there is no such file.
    pub in_release: Option<Vec<Judged>>,
    /// The signatures of `Release.gpg`; `None` when there is no such file.
    pub release_gpg: Option<Vec<Judged>>,
    /// What the lists say against the disk; `None` when `Release` cannot be read.
    pub indexes: Option<index::Checked>,
    /// `Date` and `Valid-Until`, when `Release` can be read.
    pub dates: Option<(Option<Time>, Option<Time>)>,
    /// Everything that is wrong, whether or not it would stop a client.
    pub findings: Vec<Finding>,
    /// Why a client would refuse; empty when it would accept.
    pub refusals: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable word for programs.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl Report {
    /// Whether a client with this keyring would accept the repository on that day.
    pub fn is_accepted(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Whether nothing at all is wrong: both files there, all signatures good, all indexes as listed.
    pub fn is_clean(&self) -> bool {
        self.is_accepted() && self.findings.is_empty()
    }
}

/// Judges the repository in `dir`.
///
/// # Errors
/// Only when a file is there but cannot be read at all; everything else is in the report.
pub fn verify(dir: &Path, keyring: &[Certificate], at: Time) -> Result<Report> {
    let read = |name: &str, limit: usize| read_bounded(&dir.join(name), limit).map_err(|e| e.about(name));
    let release = read("Release", MAX_RELEASE)?;
    let in_release = read("InRelease", MAX_RELEASE + MAX_SIGNATURES_LENGTH)?;
    let release_gpg = read("Release.gpg", MAX_SIGNATURES_LENGTH)?;
    let mut report = Report {
        in_release: None,
        release_gpg: None,
        indexes: None,
        dates: None,
        findings: Vec::new(),
        refusals: Vec::new(),
    };
    let mut client_text = None;
    match &in_release {
        None => report.find("no_in_release", "there is no InRelease"),
        Some(bytes) => client_text = report.in_release(bytes, release.as_deref(), keyring, at)?,
    }
    match (&release, &release_gpg) {
        (Some(release), Some(signatures)) => {
            report.release_gpg(release, signatures, keyring, at)?;
            report.form(signatures, in_release.is_none());
        }
        (None, _) => report.find("no_release", "there is no Release"),
        (_, None) => report.find("no_release_gpg", "there is no Release.gpg"),
    }
    let without_in_release = in_release.is_none();
    if without_in_release {
        report.refusals.extend(refusals("Release.gpg", report.release_gpg.as_deref()));
        report.some_refuse(report.release_gpg.clone().unwrap_or_default().as_slice());
        client_text = release;
    }
    let read_first =
        in_release.as_deref().map_or(("Release", client_text.as_deref()), |bytes| ("InRelease", Some(bytes)));
    if let (name, Some(bytes)) = read_first
        && bytes.len() > MAX_CLIENT
    {
        let message = format!("{name} has {} bytes, and apt takes no more than {MAX_CLIENT}", bytes.len());
        report.refuse("release_too_large", message);
    }
    if let Some(text) = client_text {
        report.content(dir, &text, at)?;
    }
    Ok(report)
}

impl Report {
    fn find(&mut self, code: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { code, message: message.into() });
    }

    /// Something that stops clients too.
    fn refuse(&mut self, code: &'static str, message: impl Into<String>) {
        let message = message.into();
        self.refusals.push(message.clone());
        self.find(code, message);
    }

    fn refuse_error(&mut self, what: &str, error: &Error) {
        self.refuse(error.code(), format!("{what}: {}", error.full()));
    }

    /// Judges `InRelease` and gives the text a client would go on with.
    fn in_release(
        &mut self,
        bytes: &[u8],
        release: Option<&[u8]>,
        keyring: &[Certificate],
        at: Time,
    ) -> Result<Option<Vec<u8>>> {
        let split = match split(bytes) {
            Ok(split) => split,
            Err(error) => {
                self.refuse_error("InRelease", &error);
                return Ok(None);
            }
        };
        if release.is_some_and(|release| !same_text(&split.text, release)) {
            self.find("text_differs", "InRelease holds another text than Release");
        }
        match judge(Document::Cleartext(&split.text), &split.signature, keyring, at) {
            Ok(judged) => {
                self.find_bad("InRelease", &judged);
                self.refusals.extend(refusals("InRelease", Some(&judged)));
                self.some_refuse(&judged);
                self.in_release = Some(judged);
            }
            Err(error) => self.refuse_error("InRelease", &error),
        }
        Ok(Some(split.text))
    }

    fn release_gpg(&mut self, release: &[u8], signatures: &[u8], keyring: &[Certificate], at: Time) -> Result<()> {
        match judge(Document::File(release), signatures, keyring, at) {
            Ok(judged) => {
                self.find_bad("Release.gpg", &judged);
                self.release_gpg = Some(judged);
            }
            Err(error) => self.find(error.code(), format!("Release.gpg: {}", error.full())),
        }
        Ok(())
    }

    /// The form of `Release.gpg`; only clients that find no `InRelease` look at it.
    fn form(&mut self, signatures: &[u8], counts: bool) {
        let Err(error) = require_armor(signatures) else { return };
        match counts {
            true => self.refuse_error("Release.gpg", &error),
            false => self.find(error.code(), format!("Release.gpg: {}", error.full())),
        }
    }

    /// What good signatures are to some clients but not to others.
    fn some_refuse(&mut self, judged: &[Judged]) {
        let good = || judged.iter().filter(|one| one.verdict == Verdict::Good);
        if !good().any(|one| one.weak.is_none()) {
            for why in good().filter_map(|one| one.weak.clone()) {
                self.refuse("refused_by_some", format!("apt 3, which asks sqv, refuses {why}; older apt accepts it"));
            }
        }
        for one in judged.iter().filter(|one| one.has_unknown_critical) {
            let message = format!(
                "apt 2, which asks gpgv, refuses all of it for {} has a critical part that gpgv does not know; apt 3 does not",
                key_of(one)
            );
            self.refuse("refused_by_some", message);
        }
    }

    fn find_bad(&mut self, file: &str, judged: &[Judged]) {
        for one in judged.iter().filter(|one| one.verdict != Verdict::Good) {
            let code = match one.verdict {
                Verdict::Good | Verdict::Refused => "signature_refused",
                Verdict::Bad => "bad_signature",
                Verdict::UnknownKey => "unknown_key",
                Verdict::ExpiredSignature => "signature_expired",
                Verdict::ExpiredKey => "key_expired",
                Verdict::RevokedKey => "key_revoked",
            };
            self.find(code, format!("{file}: {}", in_words(one)));
        }
    }

    fn content(&mut self, dir: &Path, text: &[u8], at: Time) -> Result<()> {
        let release = match Release::parse(text) {
            Ok(release) => release,
            Err(error) => {
                self.refuse_error("Release", &error);
                return Ok(());
            }
        };
        self.dates = Some((release.date, release.valid_until));
        match release.date {
            Some(date) if (date - at).num_seconds() > MAX_AHEAD => {
                self.refuse("release_in_future", format!("Release is dated {}", rfc3339(date)));
            }
            Some(_) => {}
            None => self.find("no_date", "Release has no Date, which apt warns of"),
        }
        if let Some(until) = release.valid_until.filter(|until| *until <= at) {
            self.refuse("release_expired", format!("Release was valid until {}", rfc3339(until)));
        }
        let checked = index::check(dir, &release)?;
        for problem in &checked.problems {
            let message = format!("{}: {}", problem.path, problem.message);
            match problem.is_optional() {
                true => self.find(problem.code, format!("{message}; apt goes on without it")),
                false => self.refuse(problem.code, message),
            }
        }
        if checked.matched == 0 && checked.problems.is_empty() {
            self.refuse("no_index", "not a single listed index is there");
        }
        self.indexes = Some(checked);
        Ok(())
    }
}

fn refusals(file: &str, judged: Option<&[Judged]>) -> Vec<String> {
    let Some(judged) = judged else { return vec![format!("{file} has no readable signature")] };
    let bad: Vec<_> = judged.iter().filter(|one| one.verdict == Verdict::Bad).collect();
    let has_good = judged.iter().any(|one| one.verdict == Verdict::Good);
    match (bad.is_empty(), has_good) {
        (true, true) => Vec::new(),
        (false, _) => bad.into_iter().map(|one| format!("{file}: {}", in_words(one))).collect(),
        (true, false) => judged.iter().map(|one| format!("{file}: {}", in_words(one))).collect(),
    }
}

fn key_of(one: &Judged) -> &str {
    one.signer.as_deref().or(one.issuer.as_deref()).unwrap_or("an unnamed key")
}

fn in_words(one: &Judged) -> String {
    let key = key_of(one);
    format!("signature by {key}: {}{}{}", one.verdict, if one.detail.is_empty() { "" } else { ", " }, one.detail)
}
