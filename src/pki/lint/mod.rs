//! Lint: does a certificate or a CRL look as its profile says, and as RFC 5280 and the code-signing baseline
//! requirements (CSBR, as of 2026) demand? Here live the rules and nothing else: they read and never change what they
//! judge. What follows from a finding is for the caller.
//!
//! Each rule is one row of a table with a stable name and a function that says what is wrong, or nothing. A rule whose
//! subject cannot be read keeps silent: the rule about encoding speaks for it, so that one fault gives one finding.
//! Certificates that others issued are judged by fewer rules, marked `both`: how a public CA writes its names and
//! policies is its own affair.

mod crl;
mod extensions;
mod fields;

use super::certificate::Certificate;
use super::crl::Crl;
use super::profile::{Profile, SandboxRelaxation};
use crate::error::{Error, Result};
use std::fmt;

/// Whether a finding stops issuing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It is shown.
    Warning,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's stable name, such as `leaf_validity_460_days`.
    pub rule: &'static str,
    /// The field it is about, as ASN.1 names it.
    pub field: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.message, self.rule)
    }
}

/// Who made the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We did: every rule counts.
    Issued,
    /// Another CA did, for a key of ours.
    Imported,
}

/// What a certificate is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What it should look like.
    pub profile: &'a Profile,
    /// The issuer's certificate; `None` if self-signed.
    pub issuer: Option<&'a Certificate>,
    /// What a sandbox may do without.
    pub relaxation: SandboxRelaxation,
    /// Who made it.
    pub origin: Origin,
}

/// A rule about certificates.
struct Rule {
    id: &'static str,
    field: &'static str,
    severity: Severity,
    /// Also for certificates that others issued.
    both: bool,
    broken: fn(&Certificate, &Context<'_>) -> Option<String>,
}

impl Rule {
    /// An error, for every certificate.
    const fn both(
        id: &'static str,
        field: &'static str,
        broken: fn(&Certificate, &Context<'_>) -> Option<String>,
    ) -> Self {
        Rule { id, field, severity: Severity::Error, both: true, broken }
    }

    /// An error, for certificates of ours.
    const fn ours(
        id: &'static str,
        field: &'static str,
        broken: fn(&Certificate, &Context<'_>) -> Option<String>,
    ) -> Self {
        Rule { id, field, severity: Severity::Error, both: false, broken }
    }

    /// A warning, for certificates of ours.
    const fn warning(
        id: &'static str,
        field: &'static str,
        broken: fn(&Certificate, &Context<'_>) -> Option<String>,
    ) -> Self {
        Rule { id, field, severity: Severity::Warning, both: false, broken }
    }
}

/// Judges a certificate. The signature itself is not lint's business.
pub fn certificate(certificate: &Certificate, context: &Context<'_>) -> Vec<Finding> {
    let rules = fields::RULES.iter().chain(extensions::RULES);
    let applies = |rule: &&Rule| rule.both || context.origin == Origin::Issued;
    let judge = |rule: &Rule| {
        let message = (rule.broken)(certificate, context)?;
        Some(Finding { rule: rule.id, field: rule.field, severity: rule.severity, message })
    };
    rules.filter(applies).filter_map(judge).collect()
}

/// Judges a CRL against its issuer's certificate.
pub fn crl(crl: &Crl, issuer: &Certificate, relaxation: SandboxRelaxation) -> Vec<Finding> {
    crl::judge(crl, issuer, relaxation)
}

/// Gives the warnings if there are no errors.
///
/// # Errors
/// `Blocked` `lint`, listing every error.
pub fn passed(findings: Vec<Finding>) -> Result<Vec<Finding>> {
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).map(Finding::to_string).collect();
    if errors.is_empty() { Ok(findings) } else { Err(Error::blocked("lint", errors.join("; "))) }
}

#[cfg(test)]
mod tests;
