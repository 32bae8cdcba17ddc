//! What `[keys.NAME]` entries say, one by one and together: purpose, algorithm, issuer and token have to fit.

use super::check::Check;
use super::raw::{RawKey, RawSubject};
use super::text::{bad_certificate_url, bad_country, bad_text};
use super::tokens::PlacedHsm;
use super::types::{ISSUER, Issuer, Key, Module, RotationMode, Subject};
use crate::config::policy::Role;
use crate::model::{Custody, Email, Environment, HsmName, KeyAlgorithm, KeyName, Purpose};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;

/// Keys as checks between them need them.
struct Placed {
    key: Key,
    /// Where the entry begins, and where its issuer stands if it says one.
    entry: Range<usize>,
    issuer: Range<usize>,
    tokens: Range<usize>,
}

/// Checks all keys.
pub(super) fn check(
    check: &mut Check<'_>,
    raw: BTreeMap<KeyName, Spanned<RawKey>>,
    environment: Environment,
    hsm: &BTreeMap<HsmName, PlacedHsm>,
) -> BTreeMap<KeyName, Key> {
    let mut placed = BTreeMap::new();
    for (name, raw) in raw {
        let entry = raw.span();
        if matches!(name.as_str(), "self" | "external") {
            check.bad(entry.clone(), &format!("keys.{name}"), "this name has a meaning of its own as an issuer");
        }
        placed.insert(name.clone(), one(check, &name, raw.into_inner(), entry, environment, hsm));
    }
    for (name, this) in &placed {
        issuer(check, name, this, &placed, environment);
    }
    one_purpose_per_issuer(check, &placed);
    one_name_per_token(check, hsm);
    if environment == Environment::Production {
        apart(check, &placed);
    }
    placed.into_iter().map(|(name, placed)| (name, placed.key)).collect()
}

/// One entry, alone.
fn one(
    check: &mut Check<'_>,
    name: &KeyName,
    raw: RawKey,
    entry: Range<usize>,
    environment: Environment,
    hsm: &BTreeMap<HsmName, PlacedHsm>,
) -> Placed {
    let field = |part: &str| format!("keys.{name}.{part}");
    let (purpose, algorithm) = (*raw.purpose.get_ref(), *raw.algorithm.get_ref());
    if let Some(why) = misfit(purpose, algorithm, environment) {
        check.bad(raw.algorithm.span(), &field("algorithm"), why);
    }
    let issuer_span = raw.issuer.as_ref().map_or(entry.clone(), Spanned::span);
    let issuer = raw.issuer.map_or(Ok(Issuer::Itself), |text| text.into_inner().parse()).unwrap_or_else(|error| {
        check.bad(issuer_span.clone(), &field("issuer"), error.message());
        Issuer::Itself
    });
    let (days, lead) = ages(check, name, purpose, raw.rotation_days, raw.rotate_lead_days);
    let rotation = raw.rotation.map_or(RotationMode::Roll, |mode| {
        if *mode.get_ref() == RotationMode::Review && !purpose.is_ca() {
            check.bad(mode.span(), &field("rotation"), "only a CA's rotation can wait for a review");
        }
        mode.into_inner()
    });
    let tokens = raw.hsm.span();
    let certified_here = matches!(issuer, Issuer::Key(_)) && is_x509(purpose);
    for (part, url) in [("crl_url", &raw.crl_url), ("aia_url", &raw.aia_url)] {
        let Some(url) = url else { continue };
        let why = bad_certificate_url(&url.get_ref().replace(ISSUER, "issuer-1"))
            .or_else(|| (!certified_here).then(|| "only for certificates that we issue".to_owned()));
        check.bad_if(url.span(), &field(part), why);
    }
    let archive = raw.archive.and_then(|text| {
        let parsed = text.get_ref().parse();
        let why = match &parsed {
            _ if purpose != Purpose::Apt => Some("only a key for apt signs an archive".to_owned()),
            Err(error) => Some(crate::error::Error::message(error).to_owned()),
            Ok(_) => None,
        };
        check.bad_if(text.span(), &field("archive"), why);
        parsed.ok()
    });
    let key = Key {
        purpose,
        archive,
        algorithm,
        owner: raw.owner.map_or(owner(purpose), Spanned::into_inner),
        rotation,
        rotation_days: days,
        rotate_lead_days: lead,
        custody: raw.custody.map_or(custody(purpose), Spanned::into_inner),
        hsm: tokens_of(check, name, raw.hsm, hsm),
        crl_url: raw.crl_url.map(Spanned::into_inner),
        aia_url: raw.aia_url.map(Spanned::into_inner),
        subject: subject(check, name, raw.subject, purpose, entry.clone()),
        issuer,
    };
    Placed { key, entry, issuer: issuer_span, tokens }
}

/// Why a key for `purpose` cannot be made with `algorithm`.
fn misfit(purpose: Purpose, algorithm: KeyAlgorithm, environment: Environment) -> Option<String> {
    use KeyAlgorithm::{EcdsaP256, Ed25519, Rsa3072};
    let why = match purpose {
        Purpose::Ledger if !matches!(algorithm, Ed25519 | EcdsaP256) => {
            "checkpoints are signed with ed25519 or ecdsa-p256"
        }
        Purpose::Ledger | Purpose::Apt | Purpose::OpenpgpPrimary => return None,
        Purpose::Installer if !algorithm.is_rsa() => "the signature of a macOS package is RSA: rsa-3072 or rsa-4096",
        _ if algorithm == Ed25519 => "the verifiers of its certificates know no ed25519",
        Purpose::RootCa | Purpose::IntermediateCa if algorithm == Rsa3072 && environment != Environment::Sandbox => {
            "an RSA key of a CA has at least 4096 bits outside the sandbox"
        }
        _ => return None,
    };
    Some(format!("{algorithm} does not fit {purpose}: {why}"))
}

fn ages(
    check: &mut Check<'_>,
    name: &KeyName,
    purpose: Purpose,
    days: Option<Spanned<u64>>,
    lead: Option<Spanned<u64>>,
) -> (u32, u32) {
    let field = format!("keys.{name}.rotation_days");
    // B9, B11: 90 days; B10: connectors 60.
    let default = if purpose == Purpose::Connector { 60 } else { 90 };
    let days = days.map_or(default, |days| check.number(&days, &field, 1..=3650));
    let lead_field = format!("keys.{name}.rotate_lead_days");
    let lead = lead.map_or(14.min(days / 2), |lead| {
        let n = check.number(&lead, &lead_field, 0..=3650);
        if n >= days {
            check.bad(lead.span(), &lead_field, format!("less than rotation_days, which is {days}"));
        }
        n
    });
    (days, lead)
}

fn tokens_of(
    check: &mut Check<'_>,
    name: &KeyName,
    raw: Spanned<Vec<Spanned<HsmName>>>,
    hsm: &BTreeMap<HsmName, PlacedHsm>,
) -> Vec<HsmName> {
    let field = format!("keys.{name}.hsm");
    let span = raw.span();
    let list = raw.into_inner();
    match list.as_slice() {
        [] => check.bad(span, &field, "name the token that the key lives on"),
        [_] => {}
        [_, second, ..] => {
            check.bad(
                second.span(),
                &field,
                "one token per key for now; copies on a second token are not available yet",
            );
        }
    }
    for token in &list {
        if !hsm.contains_key(token.get_ref()) {
            check.bad(token.span(), &field, format!("there is no [hsm.{}]", token.get_ref()));
        }
    }
    list.into_iter().map(Spanned::into_inner).collect()
}

fn subject(
    check: &mut Check<'_>,
    name: &KeyName,
    raw: Option<Spanned<RawSubject>>,
    purpose: Purpose,
    entry: Range<usize>,
) -> Option<Subject> {
    let whole = format!("keys.{name}.subject");
    let wanted = is_x509(purpose) || purpose == Purpose::OpenpgpPrimary;
    let Some(raw) = raw else {
        if wanted {
            check.bad(entry, &whole, "what its certificates say: { country, organization, common_name, … }");
        }
        return None;
    };
    if !wanted {
        check.bad(raw.span(), &whole, format!("a key for {purpose} has no name of its own"));
    }
    let raw = raw.into_inner();
    let mut part = |value: Option<Spanned<String>>, field: &str, bad: &dyn Fn(&str) -> Option<String>| {
        value.map(|value| {
            check.bad_if(value.span(), &format!("{whole}.{field}"), bad(value.get_ref()));
            value.into_inner()
        })
    };
    // The upper bounds of RFC 5280 appendix A.1.
    let short = |text: &str| bad_text(text, 64);
    let long = |text: &str| bad_text(text, 128);
    let email = |text: &str| match purpose {
        Purpose::OpenpgpPrimary => text.parse::<Email>().err().map(|error| error.message().to_owned()),
        _ => Some("only OpenPGP user ids carry an e-mail address".to_owned()),
    };
    Some(Subject {
        country: part(raw.country, "country", &bad_country),
        state: part(raw.state, "state", &long),
        locality: part(raw.locality, "locality", &long),
        organization: part(raw.organization, "organization", &short),
        organizational_unit: part(raw.organizational_unit, "organizational_unit", &short),
        common_name: part(Some(raw.common_name), "common_name", &short).unwrap_or_default(),
        email: part(raw.email, "email", &email),
    })
}

/// Whether an entry's issuer can issue it.
fn issuer(
    check: &mut Check<'_>,
    name: &KeyName,
    this: &Placed,
    all: &BTreeMap<KeyName, Placed>,
    environment: Environment,
) {
    let field = format!("keys.{name}.issuer");
    let purpose = this.key.purpose;
    let why = match (&this.key.issuer, issuing(purpose)) {
        (Issuer::Itself, None) => None,
        (Issuer::Itself, Some(by)) => {
            Some(format!("a key for {purpose} is certified by a key for {by}{}", or_external(purpose)))
        }
        (_, None) => Some(format!("a key for {purpose} has no issuer")),
        (Issuer::External, Some(_)) if is_x509(purpose) => None,
        (Issuer::External, Some(by)) => Some(format!("a key for {purpose} is certified by our own key for {by}")),
        (Issuer::Key(issuer), Some(by)) => match all.get(issuer) {
            None => Some(format!("there is no [keys.{issuer}]")),
            Some(_) if let Some(cycle) = cycle(name, all) => Some(format!("issuers go in a circle: {cycle}")),
            Some(other) if other.key.purpose != by => {
                let is = other.key.purpose;
                Some(format!(
                    "{issuer} is for {is}; a key for {purpose} is certified by a key for {by}{}",
                    or_external(purpose)
                ))
            }
            Some(_) => None,
        },
    };
    check.bad_if(this.issuer.clone(), &field, why);
    let issued_here = matches!(this.key.issuer, Issuer::Key(_)) && is_x509(purpose);
    let urls = [
        ("crl_url", &this.key.crl_url, "verifiers need to know where the CRL is"),
        ("aia_url", &this.key.aia_url, "verifiers need to know where the issuer's certificate is"),
    ];
    for (part, url, why) in urls {
        if issued_here && environment != Environment::Sandbox && url.is_none() {
            check.bad(this.entry.clone(), &format!("keys.{name}.{part}"), why);
        }
    }
}

/// The circle that issuers form from `start` back to it.
fn cycle(start: &KeyName, all: &BTreeMap<KeyName, Placed>) -> Option<String> {
    let mut path = vec![start];
    let mut here = start;
    while let Some(Placed { key: Key { issuer: Issuer::Key(next), .. }, .. }) = all.get(here) {
        path.push(next);
        if next == start {
            return Some(path.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" → "));
        }
        if path.len() > all.len() {
            return None;
        }
        here = next;
    }
    None
}

/// An intermediate issues certificates of one kind (CSBR 7.1.2.2).
fn one_purpose_per_issuer(check: &mut Check<'_>, all: &BTreeMap<KeyName, Placed>) {
    let mut serves: BTreeMap<&KeyName, (&KeyName, Purpose)> = BTreeMap::new();
    for (name, this) in all {
        let Issuer::Key(issuer) = &this.key.issuer else { continue };
        // One that cannot issue this anyway has been told so already.
        if all.get(issuer).map(|issuer| issuer.key.purpose) != issuing(this.key.purpose) {
            continue;
        }
        let (first, purpose) = *serves.entry(issuer).or_insert((name, this.key.purpose));
        if purpose != this.key.purpose {
            let why = format!("{issuer} already issues for {first}, a key for {purpose}; an issuer serves one purpose");
            check.bad(this.issuer.clone(), &format!("keys.{name}.issuer"), why);
        }
    }
}

/// Two entries for one token would make two names for one thing.
fn one_name_per_token(check: &mut Check<'_>, hsm: &BTreeMap<HsmName, PlacedHsm>) {
    let mut seen = BTreeMap::new();
    for (name, placed) in hsm {
        let token = &placed.hsm.token;
        let module = match &token.module {
            Module::Builtin => std::path::PathBuf::from("builtin"),
            Module::Path { path, .. } => path.clone(),
        };
        if let Some(first) = seen.insert((module, token.label.clone(), token.serial.clone()), name) {
            check.bad(placed.span.clone(), &format!("hsm.{name}"), format!("the same token as [hsm.{first}]"));
        }
    }
}

/// In production, keys of different power live on different tokens, so that one PIN does not give both.
fn apart(check: &mut Check<'_>, all: &BTreeMap<KeyName, Placed>) {
    let mut power: BTreeMap<&HsmName, (&KeyName, &str)> = BTreeMap::new();
    for (name, this) in all {
        let level = match this.key.purpose {
            Purpose::RootCa => "root",
            Purpose::IntermediateCa => "issuing",
            _ => "signing",
        };
        for token in this.key.hsm.iter().collect::<BTreeSet<_>>() {
            let (first, there) = *power.entry(token).or_insert((name, level));
            if there != level {
                let why = format!(
                    "{token} holds {first} already; in production root, issuing and signing keys live on tokens of their own"
                );
                check.bad(this.tokens.clone(), &format!("keys.{name}.hsm"), why);
            }
        }
    }
}

/// What certifies a key for this purpose; `None` if it needs nobody.
fn issuing(purpose: Purpose) -> Option<Purpose> {
    match purpose {
        Purpose::IntermediateCa => Some(Purpose::RootCa),
        Purpose::Authenticode | Purpose::Installer | Purpose::Connector => Some(Purpose::IntermediateCa),
        Purpose::Apt => Some(Purpose::OpenpgpPrimary),
        Purpose::RootCa | Purpose::OpenpgpPrimary | Purpose::Ledger => None,
    }
}

fn or_external(purpose: Purpose) -> &'static str {
    if is_x509(purpose) { ", or it is \"external\"" } else { "" }
}

fn is_x509(purpose: Purpose) -> bool {
    !matches!(purpose, Purpose::Apt | Purpose::OpenpgpPrimary | Purpose::Ledger)
}

/// B14.
fn owner(purpose: Purpose) -> Role {
    match purpose {
        Purpose::RootCa | Purpose::IntermediateCa | Purpose::Ledger => Role::SecurityReviewer,
        Purpose::Authenticode | Purpose::Installer => Role::PackagingEngineer,
        Purpose::Apt | Purpose::OpenpgpPrimary => Role::LinuxPackagingOwner,
        Purpose::Connector => Role::ConnectorTeamLead,
    }
}

/// Governance §0, decision (c); B11 asks for escrowed copies of APT keys.
fn custody(purpose: Purpose) -> Custody {
    match purpose {
        Purpose::Apt | Purpose::OpenpgpPrimary => Custody::SealedExport,
        _ => Custody::Bound,
    }
}
