//! Changed rules and foundings, on one screen: what a person has to read before they sign, what weakens first. All of it
//! is worked out from the bytes of the request; who wants to see those whole asks for it.

use crate::config::{Alteration, Issuer, Settings};
use crate::keys::TokenRecord;
use crate::model::HsmName;
use crate::people::ApprovalRequest;
use crate::people::Roster;
use crate::people::founding::Beginning;
use crate::request::{AdoptRoster, AdoptSettings, Kind};
use std::collections::BTreeMap;

/// What stands before a change that makes something easier to misuse.
const WEAKER: &str = "WEAKER";

type Lines = Vec<(&'static str, String)>;

/// The lines with their labels; nothing for a request whose steps are shown one by one.
pub(super) fn of(request: &ApprovalRequest) -> Option<Lines> {
    if request.is_founding() {
        return founding(request, &Beginning::of(request).ok()?);
    }
    let [only] = request.steps.as_slice() else { return None };
    match Kind::of_name(&only.operation)? {
        Kind::AdoptSettings => settings(&serde_json::from_value(only.params.clone()).ok()?),
        Kind::AdoptRoster => Some(roster(&serde_json::from_value(only.params.clone()).ok()?)),
        _ => None,
    }
}

fn settings(params: &AdoptSettings) -> Option<Lines> {
    let (from, to) = params.read().ok()?;
    let mut lines = alterations(&Settings::alterations(&from, &to).ok()?);
    for (name, record) in &params.tokens {
        lines.push((WEAKER, format!("another token or module will see the PIN of {name}, as it says of itself:")));
        lines.extend(token(name, record));
    }
    Some(first(lines))
}

/// What weakens first, the rest in its order.
fn first(lines: Lines) -> Lines {
    let is_marked = |(label, _): &(&str, String)| *label == WEAKER || label.is_empty();
    let (marked, rest): (Lines, Lines) = lines.into_iter().partition(is_marked);
    marked.into_iter().chain(rest).collect()
}

fn alterations(found: &[Alteration]) -> Lines {
    let line = |it: &Alteration| match it.weakens {
        Some(why) => (WEAKER, format!("{} ({why})", it.change)),
        None => ("change", it.change.to_string()),
    };
    found.iter().map(line).collect()
}

fn roster(params: &AdoptRoster) -> Lines {
    let changes = Roster::changes(&params.from, &params.to);
    changes.into_iter().map(|it| (if it.empowers { WEAKER } else { "change" }, it.words)).collect()
}

/// A token in one line, as it introduced itself.
fn token(name: &HsmName, record: &TokenRecord) -> Lines {
    let it = record.summary();
    let module = it.module_sha256.map_or_else(|| "software inside keyctl".to_owned(), |hash| format!("module {hash}"));
    let path = record.module.path.as_deref().unwrap_or_default();
    let mut lines =
        vec![("", format!("  {name}: {} {}, serial {}, {}", it.manufacturer, it.model, it.serial, it.label))];
    lines.push(("", format!("    {}", [path, &module].join(" ").trim())));
    lines
}

fn founding(request: &ApprovalRequest, beginning: &Beginning) -> Option<Lines> {
    let settings: Settings = serde_json::from_value(beginning.settings.clone()).ok()?;
    let mut lines = alterations(&settings.lenient_rules().ok()?);
    let rules =
        if lines.is_empty() { "the strict ones of this program" } else { "those of this program but for these" };
    lines.push(("rules", rules.to_owned()));
    if let Some(earlier) = &beginning.earlier {
        let words = format!("its tokens were those of workspace {} of {}", earlier.workspace_id, earlier.origin);
        lines.push((WEAKER, words));
    }
    let mut lines = first(lines);
    let said = format!("{}, {}", settings.organization.name, settings.environment);
    lines.push(("for", said));
    let people = beginning.roster.description();
    lines.extend(labelled("people", people));
    lines.extend(labelled("keys", keys(&settings)));
    lines.extend(labelled("tokens", tokens(&beginning.tokens)));
    let checkpoints =
        beginning.ledger_keys.iter().map(|key| format!("{} {} on {}", key.generation, key.algorithm, key.hsm));
    lines.extend(labelled("ledger keys", checkpoints.collect()));
    let trust = settings.timestamp.trust.iter().map(|file| format!("{} {}", file.path.display(), file.sha256));
    lines.extend(labelled("time roots", trust.collect()));
    let pipelines = settings.pipelines.iter().map(|(name, it)| format!("{name} writes into {}", it.file.display()));
    lines.extend(labelled("pipelines", pipelines.collect()));
    lines.push(("settings", request.settings_sha256.to_string()));
    Some(lines)
}

fn labelled(label: &'static str, texts: Vec<String>) -> Lines {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(texts).collect()
}

fn keys(settings: &Settings) -> Vec<String> {
    let names = settings.by_issuer();
    let one = |name| {
        let key = settings.key(name).ok()?;
        let tokens: Vec<_> = key.hsm.iter().map(HsmName::as_str).collect();
        let issuer = match &key.issuer {
            Issuer::Itself => String::new(),
            other => format!(", by {other}"),
        };
        let (purpose, algorithm, days) = (key.purpose, key.algorithm, key.rotation_days);
        Some(format!(
            "{name}: {purpose}, {algorithm}, {} on {}, {days} days{issuer}",
            key.custody,
            tokens.join(" and ")
        ))
    };
    names.iter().filter_map(one).collect()
}

/// Whoever founds with them trusts what they say of themselves.
fn tokens(tokens: &BTreeMap<HsmName, TokenRecord>) -> Vec<String> {
    tokens.iter().flat_map(|(name, record)| token(name, record)).map(|(_, text)| text.trim_start().to_owned()).collect()
}
