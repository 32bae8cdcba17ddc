//! Certificate chains: from a leaf, over untrusted candidates, to a root that the caller trusts (RFC 5280 §6, in the
//! part that code signing uses). Here lives the search for such a path and the judgement of it. Nothing is fetched here,
//! no root is trusted that the caller did not give, and the moment that counts is the caller's too.
//!
//! The search goes from the leaf upwards and links by name, key identifiers and signature; each path that reaches
//! a root is then judged as a whole ([`check`]): dates, purposes, CA rights, critical extensions, revocation. Another
//! path is tried when one fails, so a cross certificate that expired does no harm; if none holds, the error of the path
//! that came furthest is given. Candidates are hostile: their number, their size, the depth, the steps of the search
//! and the signature checks are all bounded, so crafted cycles end in [`ChainError::TooComplex`].
//!
//! Not done, and therefore refused where it is critical: name constraints, policy constraints and mappings.

mod check;
mod search;

use super::certificate::Certificate;
use super::crl::{Crl, Reason};
use super::name;
pub use super::profile::Eku;
use crate::clock::{Time, rfc3339};
use crate::error::Error;
use std::collections::HashSet;
use std::fmt;

/// The most certificates in a chain, leaf and root included.
pub const MAX_DEPTH: usize = 8;

/// The most candidates besides leaf and roots.
pub const MAX_CANDIDATES: usize = 64;

/// The most roots that bear a name which a certificate here was issued under.
pub const MAX_ROOTS: usize = 1024;

/// What is known about revocation.
#[derive(Clone, Copy, Debug)]
pub enum Revocation<'a> {
    /// It is not asked.
    Unchecked,
    /// Lists that cover a certificate of the chain are used; certificates without one pass.
    IfKnown(&'a [Crl]),
    /// Every certificate below the root must be covered by a list that is valid at the time asked about.
    Required(&'a [Crl]),
}

/// A chain that holds.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Certificate>,
    revocation_checked: bool,
}

impl Chain {
    /// Leaf first, the trusted root last. A leaf that is itself trusted is a chain of one.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate directly above the leaf.
    pub fn issuer(&self) -> Option<&Certificate> {
        self.certificates.get(1)
    }

    /// The root.
    pub fn root(&self) -> Option<&Certificate> {
        self.certificates.last()
    }

    /// Every certificate below the root was looked up in a list.
    pub fn revocation_checked(&self) -> bool {
        self.revocation_checked
    }
}

/// A certificate of the chain is revoked as of the time asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whose, as RFC 4514.
    pub subject: String,
    /// Its serial number, hex.
    pub serial: String,
    /// revocationDate.
    pub date: Time,
    /// reasonCode.
    pub reason: Option<Reason>,
    /// invalidityDate.
    pub invalidity_date: Option<Time>,
}

/// Why there is no chain. Subjects and issuers are RFC 4514 and safe to print.
#[derive(Debug)]
pub enum ChainError {
    /// The leaf cannot be read.
    Unreadable(Error),
    /// Too many candidates or roots, or a knot of certificates that would take too long to follow.
    TooComplex,
    /// Nobody trusted issued this.
    UnknownIssuer {
        /// Where the search ended.
        subject: String,
        /// Who is not known.
        issuer: String,
    },
    /// The signature is wrong, or of an algorithm that is not accepted.
    BadSignature {
        /// On whose certificate.
        subject: String,
        /// What exactly.
        detail: String,
    },
    /// Past its notAfter.
    Expired {
        /// Whose.
        subject: String,
        /// Since when.
        not_after: Time,
    },
    /// Before its notBefore.
    NotYetValid {
        /// Whose.
        subject: String,
        /// Until when.
        not_before: Time,
    },
    /// Not made for this purpose.
    WrongPurpose {
        /// Whose.
        subject: String,
        /// What is missing.
        detail: String,
    },
    /// An issuer that is no CA, or may have no such certificate below it.
    NotAnIssuer {
        /// Whose.
        subject: String,
        /// What is missing.
        detail: String,
    },
    /// Something critical that is not known or not done here.
    Unsupported {
        /// Whose.
        subject: String,
        /// What.
        detail: String,
    },
    /// Revoked.
    Revoked(Box<Revoked>),
    /// The list that covers the certificate is older than the time asked about.
    CrlExpired {
        /// Whose list.
        issuer: String,
        /// Its nextUpdate.
        next_update: Option<Time>,
    },
    /// No list covers the certificate.
    CrlMissing {
        /// Whose.
        subject: String,
    },
    /// The list that covers the certificate cannot be used.
    CrlInvalid {
        /// Whose list.
        issuer: String,
        /// Why.
        detail: String,
    },
}

impl ChainError {
    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ChainError::Unreadable(_) => "chain_unreadable",
            ChainError::TooComplex => "chain_too_complex",
            ChainError::UnknownIssuer { .. } => "unknown_issuer",
            ChainError::BadSignature { .. } => "chain_bad_signature",
            ChainError::Expired { .. } => "certificate_expired",
            ChainError::NotYetValid { .. } => "certificate_not_yet_valid",
            ChainError::WrongPurpose { .. } => "wrong_purpose",
            ChainError::NotAnIssuer { .. } => "not_an_issuer",
            ChainError::Unsupported { .. } => "unsupported_extension",
            ChainError::Revoked(_) => "certificate_revoked",
            ChainError::CrlExpired { .. } => "crl_expired",
            ChainError::CrlMissing { .. } => "crl_missing",
            ChainError::CrlInvalid { .. } => "crl_invalid",
        }
    }

    /// How far the search had come: the furthest error is the one worth telling.
    fn progress(&self) -> u8 {
        match self {
            ChainError::Unreadable(_) | ChainError::UnknownIssuer { .. } => 0,
            ChainError::BadSignature { .. } => 1,
            ChainError::TooComplex => 2,
            ChainError::CrlMissing { .. } | ChainError::CrlExpired { .. } | ChainError::CrlInvalid { .. } => 4,
            ChainError::Revoked(_) => 5,
            _ => 3,
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::Unreadable(error) => write!(f, "{error}"),
            ChainError::TooComplex => f.write_str("too many certificates to find a chain among them"),
            ChainError::UnknownIssuer { subject, issuer } => {
                write!(f, "{subject}: no trusted certificate of its issuer {issuer}")
            }
            ChainError::Expired { subject, not_after } => write!(f, "{subject}: expired at {}", rfc3339(*not_after)),
            ChainError::NotYetValid { subject, not_before } => {
                write!(f, "{subject}: not valid before {}", rfc3339(*not_before))
            }
            ChainError::BadSignature { subject, detail }
            | ChainError::WrongPurpose { subject, detail }
            | ChainError::NotAnIssuer { subject, detail }
            | ChainError::Unsupported { subject, detail } => write!(f, "{subject}: {detail}"),
            ChainError::Revoked(revoked) => {
                write!(f, "{}: revoked as of {}", revoked.subject, rfc3339(revoked.date))?;
                revoked.reason.map_or(Ok(()), |reason| write!(f, ", {reason}"))?;
                revoked.invalidity_date.map_or(Ok(()), |date| write!(f, ", invalid since {}", rfc3339(date)))
            }
            ChainError::CrlExpired { issuer, next_update: Some(next) } => {
                write!(f, "CRL of {issuer}: expired at {}", rfc3339(*next))
            }
            ChainError::CrlExpired { issuer, next_update: None } => write!(f, "CRL of {issuer}: says no nextUpdate"),
            ChainError::CrlMissing { subject } => write!(f, "{subject}: no CRL covers it"),
            ChainError::CrlInvalid { issuer, detail } => write!(f, "CRL of {issuer}: {detail}"),
        }
    }
}

impl std::error::Error for ChainError {}

impl From<ChainError> for Error {
    fn from(error: ChainError) -> Self {
        Error::finding(error.code(), error.to_string())
    }
}

/// Finds a chain from `leaf` to one of `roots` that holds at `at` for `purpose`; all certificates are DER.
///
/// Candidates and roots that cannot be read are passed over. A root is trusted as such: its signature is not checked,
/// everything else about it is. A revoked certificate still passes for times before its revocation (and invalidity)
/// date, as a timestamped signature wants it.
///
/// # Errors
/// [`ChainError`], from the path that came furthest.
pub fn build(
    leaf: &[u8],
    candidates: &[impl AsRef<[u8]>],
    roots: &[impl AsRef<[u8]>],
    at: Time,
    purpose: Eku,
    revocation: Revocation<'_>,
) -> Result<Chain, ChainError> {
    search(leaf, candidates, roots, check::Demand { at, of: check::Asked::Signs(purpose), revocation })
}

/// As [`build`] for a certificate that issues others, with no regard to what it issues them for.
///
/// # Errors
/// As [`build`].
pub fn build_issuer(
    issuer: &[u8],
    candidates: &[impl AsRef<[u8]>],
    roots: &[impl AsRef<[u8]>],
    at: Time,
    revocation: Revocation<'_>,
) -> Result<Chain, ChainError> {
    search(issuer, candidates, roots, check::Demand { at, of: check::Asked::Issues, revocation })
}

fn search(
    leaf: &[u8],
    candidates: &[impl AsRef<[u8]>],
    roots: &[impl AsRef<[u8]>],
    demand: check::Demand<'_>,
) -> Result<Chain, ChainError> {
    if candidates.len() > MAX_CANDIDATES {
        return Err(ChainError::TooComplex);
    }
    let leaf = Certificate::parse(leaf).map_err(ChainError::Unreadable)?;
    let read = |der: &[u8]| Certificate::parse(der).ok();
    let candidates: Vec<_> = candidates.iter().filter_map(|der| read(der.as_ref())).collect();
    // A store may be of any length; what bears none of these names has no part in the search.
    let below: Vec<_> = std::iter::once(&leaf).chain(&candidates).collect();
    let names: HashSet<_> = below.iter().map(|certificate| name::normal(&certificate.fields().issuer)).collect();
    let fits = |root: &Certificate| names.contains(&name::normal(&root.fields().subject)) || below.contains(&root);
    let roots: Vec<_> = roots.iter().filter_map(|der| read(der.as_ref())).filter(fits).take(MAX_ROOTS + 1).collect();
    if roots.len() > MAX_ROOTS {
        return Err(ChainError::TooComplex);
    }
    search::Search::new(leaf, roots, candidates, demand).run()
}

#[cfg(test)]
mod tests;
