//! The command line of a request: the words that do its steps, and options that those steps explain.

use super::act::Act;
use super::derived_object;
use crate::clock;
use crate::config::policy::Operation as Rule;
use crate::error::shown;
use crate::people::ApprovalRequest;
use crate::request::{Format, GiveGrant, Kind};
use serde_json::Value;
use std::path::Path;

/// Options that take a value, and those that take none.
struct Options {
    valued: &'static [&'static str],
    flags: &'static [&'static str],
}

const NONE: Options = Options { valued: &[], flags: &[] };
const MAKING: Options = Options { valued: &["--csr"], flags: &[] };
const ROTATING: Options =
    Options { valued: &["--review", "--keep-until", "--csr"], flags: &["--now", "--publisher-change"] };
const IMPORTING: Options = Options { valued: &["--roots", "--chain"], flags: &["--publisher-change"] };
const REVOKING: Options =
    Options { valued: &["--compromised-since", "--reference", "--certificate"], flags: &["--no-fetch"] };
const COMPROMISING: Options = Options { valued: &["--incident", "--since", "--reference"], flags: &[] };
const LISTING: Options = Options { valued: &[], flags: &["--now", "--no-fetch"] };
const SIGNING: Options = Options {
    valued: &[
        "--key",
        "--to",
        "--hash",
        "--program-name",
        "--program-url",
        "--for-pack",
        "--for-packs",
        "--cab",
        "--cab-id",
        "--acknowledge",
        "--timestamp",
        "--timestamp-roots",
    ],
    flags: &["--append", "--replace", "--re-sign", "--page-hashes", "--follow-symlinks", "--no-timestamp"],
};

/// The beginning of a command line that the steps fix, how many free words follow, and the options after them.
struct Form {
    fixed: Vec<String>,
    free: usize,
    options: Options,
}

fn form(words: &[&str], options: Options) -> Form {
    Form { fixed: words.iter().map(|word| (*word).to_owned()).collect(), free: 0, options }
}

/// What is wrong with the command line.
pub(super) fn objection(request: &ApprovalRequest, acts: &[Act<'_>]) -> Option<String> {
    let first = acts.first()?;
    let Some(form) = expected(request, first, acts) else {
        return Some(format!("no command asks for {} under {}", first.kind, request.operation));
    };
    let command = &request.command;
    let wrong =
        || format!("its command is {:?}, and its steps are done by {:?}", command.join(" "), form.fixed.join(" "));
    let Some(rest) = command.strip_prefix(form.fixed.as_slice()) else { return Some(wrong()) };
    let Some((free, options)) = rest.split_at_checked(form.free) else { return Some(wrong()) };
    if free.iter().any(|word| word.starts_with('-')) {
        return Some(wrong());
    }
    let (options, files) = match options.iter().position(|word| word == "--") {
        Some(at) if is_signing(request.operation) => (options.get(..at)?, options.get(at + 1..)),
        _ => (options, None),
    };
    let given = match read(options, &form.options) {
        Ok(given) => given,
        Err(word) => return Some(format!("its command has {word:?}, which its steps do not explain")),
    };
    values(&given, request, acts).or_else(|| free_words(free, files, request, acts))
}

fn is_signing(rule: Rule) -> bool {
    matches!(rule, Rule::Sign | Rule::ReSign)
}

fn expected(request: &ApprovalRequest, first: &Act<'_>, acts: &[Act<'_>]) -> Option<Form> {
    let (key, object) = (first.generation.key.as_str(), first.step.object.as_str());
    let about = derived_object(request.operation, acts)?;
    Some(match (request.operation, first.kind) {
        (Rule::Keygen | Rule::KeygenCa, _) => form(&["keygen", key], MAKING),
        (Rule::Rotate | Rule::RotateCa, _) => form(&["rotate", key], ROTATING),
        (Rule::Import, _) => Form { free: 1, ..form(&["import"], IMPORTING) },
        // Whoever continues a compromise that was decided tells it under the rule for lists.
        (Rule::Revoke | Rule::Crl, Kind::RevokeKey) if request.command.first().is_some_and(|verb| verb == "revoke") => {
            form(&["revoke", object, "--reason", &first.text("reason")], REVOKING)
        }
        (Rule::Compromise, _) if about.contains('/') => form(&["compromise", &about], COMPROMISING),
        (Rule::Compromise, _) => {
            // Without a revocation among the steps, it is one of this key's generations.
            let word = request.command.get(1)?;
            let of_key = word.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'));
            form(&["compromise", of_key.then_some(word)?], COMPROMISING)
        }
        (Rule::Crl, Kind::RevokeKey) => form(&["compromise", object], COMPROMISING),
        (Rule::Crl, _) => match request.command.get(1).is_some_and(|word| *word == about) {
            true => form(&["crl", &about], LISTING),
            false => form(&["crl"], LISTING),
        },
        (Rule::Suspend, Kind::SuspendKey) => form(&["suspend", key], NONE),
        (Rule::Reinstate, _) => form(&["suspend", key, "--lift"], NONE),
        (Rule::Suspend, Kind::SuspendPerson) => form(&["roster", "suspend", object], NONE),
        (Rule::Roster, Kind::RestorePerson) => form(&["roster", "restore", object], NONE),
        (Rule::Roster, _) => form(&["adopt", "--roster"], NONE),
        (Rule::Adopt, Kind::SetTime) => form(&["set-time"], NONE),
        (Rule::Adopt, _) => form(&["adopt", "--settings"], NONE),
        (Rule::Destroy, _) => form(&["destroy", object], NONE),
        (_, Kind::EndGrant) => form(&["grant", key, "--end", &first.text("grant_id")], NONE),
        (Rule::Grant, _) => grant(first)?,
        (Rule::FollowUp, _) => Form { free: 1, ..form(&["follow-up", object, "--evidence"], NONE) },
        (rule, _) if is_signing(rule) => form(&["sign"], SIGNING),
        _ => return None,
    })
}

fn grant(act: &Act<'_>) -> Option<Form> {
    let params: GiveGrant = serde_json::from_value(act.step.params.clone()).ok()?;
    let (generations, interval) = (params.generations.to_string(), params.interval_days.to_string());
    let until = clock::rfc3339(params.not_after);
    let words = ["--generations", &generations, "--interval", &interval, "--until", &until];
    Some(form(&[&["grant", params.generation.key.as_str()], &words[..]].concat(), NONE))
}

/// Options in the order in which they stand, each with its value; or the word that is none.
fn read<'a>(words: &'a [String], options: &Options) -> Result<Vec<(&'a str, &'a str)>, &'a str> {
    let mut given = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let value = match (options.valued.contains(&name), options.flags.contains(&name), value) {
            (true, _, Some(value)) => value,
            (true, _, None) => words.next().ok_or(word.as_str())?,
            (_, true, None) => "",
            _ => return Err(word),
        };
        given.push((name, value));
    }
    Ok(given)
}

/// Values that stand in the steps too are the same there.
fn values(given: &[(&str, &str)], request: &ApprovalRequest, acts: &[Act<'_>]) -> Option<String> {
    let value = |name: &str| given.iter().find(|(option, _)| *option == name).map(|(_, value)| *value);
    let of = |kind: Kind| acts.iter().find(|act| act.kind == kind);
    let disagrees = |option: &str, said: Option<&str>, meant: Option<&str>| {
        (said != meant).then(|| format!("its command says {option} {said:?}, and its steps {meant:?}"))
    };
    let known = |act: &Act<'_>, name: &str| act.step.params.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(review) = of(Kind::ReviewKey) {
        let text = review.text("text");
        if let Some(why) = disagrees("--review", value("--review"), Some(&text)) {
            return Some(why);
        }
    }
    if let Some(revoked) = of(Kind::RevokeKey) {
        let reference = known(revoked, "reference");
        let since = value("--compromised-since").or(value("--since"));
        let (said, meant) = (since.and_then(clock::parse), known(revoked, "invalidity_date"));
        if since.is_some() && said.map(clock::rfc3339) != meant {
            return Some(format!("its command says since {since:?}, and its steps {meant:?}"));
        }
        // The incident stands for the reference where a compromise has none.
        if request.operation == Rule::Revoke {
            return disagrees("--reference", value("--reference"), reference.as_deref());
        }
    }
    if !is_signing(request.operation) {
        return None;
    }
    let again = value("--re-sign").is_some();
    let keys_fit = value("--key").is_none_or(|key| acts.iter().all(|act| act.generation.key.as_str() == key));
    match (again == (request.operation == Rule::ReSign), keys_fit) {
        (true, true) => None,
        (false, _) => Some("its command and its operation differ about signing again".to_owned()),
        (_, false) => Some("its command names another key than its steps".to_owned()),
    }
}

/// The files of the command are those of the steps, by name and number.
fn free_words(
    free: &[String],
    files: Option<&[String]>,
    request: &ApprovalRequest,
    acts: &[Act<'_>],
) -> Option<String> {
    let name = |path: &str| Path::new(path).file_name().map(|name| shown(&name.to_string_lossy())).unwrap_or_default();
    if let [evidence] = free
        && request.operation == Rule::FollowUp
        && acts.iter().any(|act| act.text("evidence_name") != name(evidence))
    {
        return Some(format!("its command takes {evidence:?} as evidence, and its steps another file"));
    }
    if !is_signing(request.operation) {
        return None;
    }
    let files = files.unwrap_or_default();
    // A name that leads elsewhere says nothing about the name there.
    let leads_on = request.command.iter().any(|word| word == "--follow-symlinks");
    let is_of = |(file, act): (&String, &Act<'_>)| {
        let is_folder = act.text("format").parse::<Format>().is_ok_and(Format::is_repository);
        let named = if is_folder { format!("{}/InRelease", name(file)) } else { name(file) };
        act.text("name") == named || (leads_on && !is_folder)
    };
    let same = files.len() == acts.len() && files.iter().zip(acts).all(is_of);
    (!same).then(|| "the files of its command are not those of its steps".to_owned())
}
