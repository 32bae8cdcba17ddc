//! Where published files and pipelines' values go: `[publication]` and `[pipelines.NAME]`.
//!
//! Both are part of the adopted settings. An activation waits until its certificate is published, so whoever could turn
//! publication off could make it wait for nothing; and a pipeline's entry says which file of somebody else's is changed.

use super::check::Check;
use super::text::bad_text;
use super::types::Key;
use crate::error::Error;
use crate::model::{KeyName, PipelineName, Purpose, words};
use crate::pipeline::{FieldPath, Format};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use toml::Spanned;

words! {
    /// What is done with a folder that is a git work tree.
    GitUse: "use of git" {
        /// Committed, and pushed where the repository has the remote.
        Auto = "auto",
        /// Not touched.
        Off = "off",
        /// Committed.
        Commit = "commit",
        /// Committed and pushed; it has to be a work tree with the remote.
        Push = "push",
    }
}

/// A git work tree: what is done with it, and where it is pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// What is done.
    pub git: GitUse,
    /// The remote's name in the repository's own configuration.
    pub remote: String,
    /// The branch, here and there; the one that is checked out if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
}

impl Publication {
    /// With git used like this, and nothing else said.
    pub fn of(git: GitUse) -> Self {
        Publication { git, remote: "origin".to_owned(), branch: None }
    }

    /// Whether it says what holds without it.
    pub(super) fn is_default(&self) -> bool {
        *self == Publication::default()
    }
}

impl Default for Publication {
    fn default() -> Self {
        Publication::of(GitUse::Auto)
    }
}

words! {
    /// What a pipeline's field holds about a generation.
    PipelineValue: "pipeline value" {
        /// SHA-1 of the certificate, 40 upper-case hex digits, as Windows tools take it.
        Thumbprint = "thumbprint",
        /// SHA-256 of the certificate, or the OpenPGP fingerprint; lower-case hex.
        Fingerprint = "fingerprint",
        /// The published file, relative to `published/`: `certs/windows-3.pem`, `apt/apt.pgp`.
        Certificate = "certificate",
        /// `windows/3`, or 3 where the field holds a number.
        Generation = "generation",
    }
}

/// A `[pipelines.NAME]` entry: one value in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// TOML or JSON, absolute; earlier settings may have it relative to the workspace.
    pub file: PathBuf,
    /// Where in it.
    pub field: FieldPath,
    /// Whose value.
    pub key: KeyName,
    /// Which.
    pub value: PipelineValue,
    /// The work tree that the file lies in, if that is to be committed.
    #[serde(default = "no_git", skip_serializing_if = "is_no_git")]
    pub repository: Publication,
}

fn no_git() -> Publication {
    Publication::of(GitUse::Off)
}

fn is_no_git(publication: &Publication) -> bool {
    *publication == no_git()
}

/// `git`, `remote` and `branch` as they are written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPublication {
    pub git: Option<RawGit>,
    pub remote: Option<Spanned<String>>,
    pub branch: Option<Spanned<String>>,
}

/// `true`, `false`, `"commit"` or `"push"`.
pub(super) struct RawGit(GitUse);

impl<'de> Deserialize<'de> for RawGit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = RawGit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"commit\" or \"push\"")
            }
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> std::result::Result<RawGit, E> {
                Ok(RawGit(if on { GitUse::Auto } else { GitUse::Off }))
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> std::result::Result<RawGit, E> {
                match word {
                    "commit" => Ok(RawGit(GitUse::Commit)),
                    "push" => Ok(RawGit(GitUse::Push)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        d.deserialize_any(Form)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPipeline {
    pub file: Spanned<String>,
    pub field: Spanned<String>,
    pub key: Spanned<KeyName>,
    pub value: Spanned<PipelineValue>,
    pub git: Option<RawGit>,
    pub remote: Option<Spanned<String>>,
    pub branch: Option<Spanned<String>>,
}

/// Checks `[publication]`.
pub(super) fn publication(check: &mut Check<'_>, raw: RawPublication) -> Publication {
    repository(check, "publication", raw, GitUse::Auto)
}

fn repository(check: &mut Check<'_>, field: &str, raw: RawPublication, default: GitUse) -> Publication {
    let mut publication = Publication::of(raw.git.map_or(default, |git| git.0));
    if let Some(remote) = raw.remote {
        check.bad_if(remote.span(), &format!("{field}.remote"), bad_remote(remote.get_ref()));
        publication.remote = remote.into_inner();
    }
    if let Some(branch) = raw.branch {
        check.bad_if(branch.span(), &format!("{field}.branch"), bad_branch(branch.get_ref()));
        publication.branch = Some(branch.into_inner());
    }
    publication
}

/// Checks `[pipelines]`.
pub(super) fn pipelines(
    check: &mut Check<'_>,
    raw: BTreeMap<PipelineName, Spanned<RawPipeline>>,
    keys: &BTreeMap<KeyName, Key>,
) -> BTreeMap<PipelineName, Pipeline> {
    let mut pipelines = BTreeMap::new();
    let mut places: BTreeMap<(PathBuf, String), PipelineName> = BTreeMap::new();
    for (name, raw) in raw {
        let entry = raw.span();
        let Some(pipeline) = pipeline(check, &name, raw.into_inner(), keys) else { continue };
        let place = (pipeline.file.clone(), pipeline.field.to_string());
        if let Some(other) = places.insert(place, name.clone()) {
            check.bad(entry, &format!("pipelines.{name}"), format!("pipelines.{other} has the same field"));
        }
        pipelines.insert(name, pipeline);
    }
    pipelines
}

fn pipeline(
    check: &mut Check<'_>,
    name: &PipelineName,
    raw: RawPipeline,
    keys: &BTreeMap<KeyName, Key>,
) -> Option<Pipeline> {
    let at = |part: &str| format!("pipelines.{name}.{part}");
    let file = PathBuf::from(raw.file.get_ref());
    check.bad_if(raw.file.span(), &at("file"), bad_file(&file));
    let field = raw.field.get_ref().parse::<FieldPath>().map_err(|error| {
        check.bad(raw.field.span(), &at("field"), Error::message(&error));
    });
    let (key, value) = (raw.key.get_ref(), *raw.value.get_ref());
    match keys.get(key) {
        None => check.bad(raw.key.span(), &at("key"), format!("there is no [keys.{key}]")),
        Some(found) => check.bad_if(raw.value.span(), &at("value"), misfit(found.purpose, value)),
    }
    let tree = RawPublication { git: raw.git, remote: raw.remote, branch: raw.branch };
    let repository = repository(check, &format!("pipelines.{name}"), tree, GitUse::Off);
    Some(Pipeline { file, field: field.ok()?, key: raw.key.into_inner(), value, repository })
}

/// Why a key for this has no such value.
fn misfit(purpose: Purpose, value: PipelineValue) -> Option<String> {
    let open_pgp = matches!(purpose, Purpose::Apt | Purpose::OpenpgpPrimary);
    match (purpose, value) {
        (Purpose::Ledger, _) => Some("a ledger key has no certificate".to_owned()),
        (_, PipelineValue::Thumbprint) if open_pgp => {
            Some("an OpenPGP key has no thumbprint; its fingerprint is what clients know".to_owned())
        }
        (Purpose::OpenpgpPrimary, PipelineValue::Certificate) => {
            Some("a primary key is published in the keyrings of its subkeys".to_owned())
        }
        _ => None,
    }
}

fn bad_file(file: &Path) -> Option<String> {
    let text = file.to_string_lossy();
    if let Some(why) = bad_text(&text, 1024) {
        return Some(why);
    }
    if file.components().any(|part| part == Component::ParentDir) || file.file_name().is_none() {
        return Some("a path without \"..\"".to_owned());
    }
    if Format::of(file).is_none() {
        return Some("the file's name ends in .toml or .json".to_owned());
    }
    file.is_relative().then(|| "an absolute path: a relative one leads into the workspace itself".to_owned())
}

/// A name of letters, digits, `-`, `_` and `.`, as `git remote add` gives it. A URL is not taken: it could hold a password,
/// and what its settings say belongs into the repository's own configuration.
fn bad_remote(name: &str) -> Option<String> {
    let good = (1..=64).contains(&name.len())
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !name.contains("..");
    (!good).then(|| "the name of a remote, as `git remote` lists it".to_owned())
}

/// What git-check-ref-format(1) takes, and less.
fn bad_branch(name: &str) -> Option<String> {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    let good = name.len() <= 128
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !name.contains("..")
        && name.split('/').all(part)
        && name != "HEAD";
    (!good).then(|| "the name of a branch".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn parse(more: &str) -> crate::error::Result<Config> {
        let text = Config::render_default("Example Corp", "example.invalid/keyctl") + more;
        Config::parse(&text, Path::new("/x/keyctl.toml"), &|_| unreachable!("no trust files"))
    }

    fn refused(more: &str, words: &str) {
        let error = parse(more).expect_err(more);
        assert!(error.code() == "bad_config" && error.message().contains(words), "{more}: {error}");
    }

    const WINDOWS: &str =
        "[pipelines.build]\nfile = \"/srv/a.toml\"\nfield = \"signing.thumbprint\"\nkey = \"windows\"\n";

    #[test]
    fn where_files_go_is_part_of_the_adopted_settings_and_defaults_are_not_written() {
        let plain = parse("").unwrap();
        assert_eq!((plain.publication.git, plain.publication.remote.as_str()), (GitUse::Auto, "origin"));
        let json = plain.adopted().to_json().unwrap();
        assert!(!json.contains("publication\"") && !json.contains("pipelines"), "{json}");

        let more = format!(
            "[publication]\ngit = \"push\"\nremote = \"mirror.1\"\nbranch = \"release/a\"\n{WINDOWS}value = \"thumbprint\"\n\
             [pipelines.other]\nfile = \"/p/b.json\"\nfield = \"a[0].\\\"x.y\\\"\"\nkey = \"apt\"\nvalue = \"certificate\"\ngit = true\n"
        );
        let config = parse(&more).unwrap();
        let adopted = config.adopted();
        assert_eq!(Settings::from_json(&adopted.to_json().unwrap()).unwrap(), adopted);
        assert_eq!((config.publication.git, config.publication.branch.as_deref()), (GitUse::Push, Some("release/a")));
        let other = &config.pipelines[&"other".parse().unwrap()];
        assert_eq!((other.repository.git, other.value), (GitUse::Auto, PipelineValue::Certificate));
        assert_eq!(config.pipelines[&"build".parse().unwrap()].repository.git, GitUse::Off);
        let changes = Settings::diff(&plain.adopted(), &adopted).unwrap();
        assert!(changes.iter().any(|change| change.path == "publication.git"), "{changes:?}");
        for (word, git) in [("false", GitUse::Off), ("true", GitUse::Auto), ("\"commit\"", GitUse::Commit)] {
            assert_eq!(parse(&format!("[publication]\ngit = {word}\n")).unwrap().publication.git, git);
        }
    }

    #[test]
    fn what_git_or_the_file_system_could_take_otherwise_is_refused() {
        for word in ["\"yes\"", "1", "\"auto\""] {
            refused(&format!("[publication]\ngit = {word}\n"), "commit");
        }
        for remote in ["", "-x", "https://a:b@c/d", "a b", "..", "a..b", "ext::sh"] {
            refused(&format!("[publication]\nremote = \"{remote}\"\n"), "publication.remote");
        }
        for branch in
            ["", "-x", "a..b", "a//b", "/a", "a/", "a.lock", "a b", "HEAD", "a~1", "@{u}", "a:b", ".a", "a/.b"]
        {
            refused(&format!("[publication]\nbranch = \"{branch}\"\n"), "publication.branch");
        }
        let pipeline = |file: &str, field: &str, key: &str, value: &str| {
            format!("[pipelines.p]\nfile = \"{file}\"\nfield = \"{field}\"\nkey = \"{key}\"\nvalue = \"{value}\"\n")
        };
        for file in [
            "",
            "a.yaml",
            "a",
            "../a.toml",
            "/x/../a.toml",
            "keyctl.toml",
            "roster.toml",
            "./published/keys.json",
            "p/b.json",
            "evidence/x.json",
            "a\\u0000.toml",
        ] {
            refused(&pipeline(file, "a", "windows", "thumbprint"), "pipelines.p.file");
        }
        refused(&pipeline("/a.toml", "a..b", "windows", "thumbprint"), "pipelines.p.field");
        refused(&pipeline("/a.toml", "a", "macos", "thumbprint"), "there is no [keys.macos]");
        refused(&pipeline("/a.toml", "a", "windows", "serial"), "unknown pipeline value");
        refused(&pipeline("/a.toml", "a", "apt", "thumbprint"), "has no thumbprint");
        refused(&pipeline("/a.toml", "a", "apt-root", "certificate"), "in the keyrings of its subkeys");
        refused(&pipeline("/a.toml", "a", "ledger", "generation"), "no certificate");
        let twice = format!(
            "{WINDOWS}value = \"thumbprint\"\n{}",
            WINDOWS.replace("build", "again") + "value = \"fingerprint\"\n"
        );
        refused(&twice, "has the same field");
    }
}
