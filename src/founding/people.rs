//! The people of a workspace that is being founded: its `roster.toml`, and in a sandbox the keys of those in it.

use crate::config::policy::Role;
use crate::config::{Config, MAX_CONFIG};
use crate::crypto::ssh::{PrivateFile, PrivateKey, generate_ed25519};
use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::gate;
use crate::model::{Email, Environment};
use crate::people::Roster;
use crate::people::roster::{FILE, MAX_FILE, Person, SCHEMA, SigningKey, Unsatisfied};
use std::path::{Path, PathBuf};

/// The files that a workspace is founded with, where they are not in it already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources<'a> {
    pub from: Option<&'a Path>,
    pub roster: Option<&'a Path>,
    pub earlier: Option<&'a Path>,
}

/// The folder of a sandbox's people's SSH keys.
pub const PEOPLE: &str = "people";

/// Who is in a sandbox, so that one person can try every flow: the name before `@sandbox.invalid`, and the role.
const SANDBOX: &[(&str, &str, Role)] = &[
    ("reviewer", "Security Reviewer", Role::SecurityReviewer),
    ("admin", "Platform Admin", Role::PlatformAdmin),
    ("engineer", "Packaging Engineer", Role::PackagingEngineer),
    ("linux", "Linux Packaging Owner", Role::LinuxPackagingOwner),
    ("cab", "CAB Approver", Role::CabApprover),
    ("auditor", "Auditor", Role::Auditor),
];

/// Who founds a sandbox.
pub(crate) const SANDBOX_FOUNDER: &str = "reviewer@sandbox.invalid";

/// Puts the roster in its place, and reads it. As long as nothing was made under it, another one may replace it.
pub(crate) fn settle_roster(dir: &Path, config: &Config, sources: &Sources<'_>) -> Result<Roster> {
    let path = dir.join(FILE);
    let beside = sources.from.map(|from| from.with_file_name(FILE)).filter(|file| file.is_file());
    let text = match sources.roster.or(beside.as_deref()) {
        Some(file) => Some(safe::read_text(file, MAX_FILE)?),
        None if path.exists() => None,
        None if config.environment == Environment::Sandbox => Some(sandbox_roster(dir)?.to_toml()),
        None => {
            let message = format!("{} has no {FILE}, so nobody could approve anything", shown_path(dir));
            return Err(Error::usage("no_roster", message)
                .hint(format!("keyctl --workspace {} init --from keyctl.toml --roster roster.toml", shown_path(dir))));
        }
    };
    let begun = || dir.join(crate::ledger::FILE).exists() || dir.join(gate::GENESIS_INTENT).exists();
    if let Some(text) = text {
        if path.exists() && begun() && safe::read_text(&path, MAX_FILE)? != text {
            let message = format!("{} was begun with another {FILE}", shown_path(dir));
            return Err(Error::usage("workspace_exists", message)
                .hint("the same file continues it; after that, edit the workspace's own and run keyctl adopt"));
        }
        Roster::from_toml(&text, &path, config.environment)?;
        safe::write_atomic(&path, text.as_bytes(), 0o600)?;
    }
    Roster::from_toml(&safe::read_text(&path, MAX_FILE)?, &path, config.environment)
}

/// Refuses a first roster that is not the first, or with which the policy could not be satisfied.
pub(crate) fn check_roster(roster: &Roster, config: &Config, now: crate::clock::Time) -> Result<()> {
    if roster.version != 1 {
        let message = format!("{FILE} has version {}; a workspace begins with version 1", roster.version);
        return Err(Error::usage("roster_version", message));
    }
    let unsatisfied = roster.unsatisfied(&config.policy, &Default::default(), now);
    if unsatisfied.is_empty() {
        return Ok(());
    }
    let lacking = Unsatisfied::in_words(&unsatisfied);
    Err(Error::usage("policy_unsatisfiable", format!("the people in {FILE} cannot do what the policy asks: {lacking}"))
        .hint(format!("more people or roles in {FILE}, or another [policy] in keyctl.toml")))
}

fn sandbox_roster(dir: &Path) -> Result<Roster> {
    let people = SANDBOX.iter().map(|(user, name, role)| {
        let email: Email = format!("{user}@sandbox.invalid").parse()?;
        let key = sandbox_key(dir, &email)?.public().to_string();
        let keys = vec![SigningKey { public_key: key, valid_from: None, valid_to: None }];
        Ok((email, Person { name: (*name).to_owned(), roles: [*role].into(), keys, encryption_key: None }))
    });
    Ok(Roster { schema: SCHEMA.to_owned(), version: 1, people: people.collect::<Result<_>>()? })
}

fn key_file(dir: &Path, email: &Email) -> PathBuf {
    dir.join(PEOPLE).join(email.as_str())
}

/// The SSH key of one of a sandbox's people, made if it is not there yet.
fn sandbox_key(dir: &Path, email: &Email) -> Result<PrivateKey> {
    let path = key_file(dir, email);
    if !path.exists() {
        let (private, _) = generate_ed25519(email.as_str())?;
        safe::write_new(&path, private.as_bytes(), 0o600)?;
    }
    let key = read_key(&path)?;
    // An interruption may have left the private part alone.
    let line = format!("{} {email}\n", key.public());
    safe::write_atomic(&path.with_added_extension("pub"), line.as_bytes(), 0o644)?;
    Ok(key)
}

/// The keys of everyone in a sandbox whose private part is in it.
pub(crate) fn sandbox_keys(dir: &Path, roster: &Roster) -> Result<Vec<PrivateKey>> {
    let files = roster.people.keys().map(|email| key_file(dir, email)).filter(|file| file.is_file());
    files.map(|file| read_key(&file)).collect()
}

fn read_key(path: &Path) -> Result<PrivateKey> {
    PrivateFile::parse(&safe::read_bounded(path, MAX_CONFIG)?)?.open(None)
}
