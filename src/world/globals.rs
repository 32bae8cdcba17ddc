//! The global flags, and what stands in for the outside.

use crate::clock::Clock;
use crate::model::{Actor, Assurance, CorrelationId, Email};
use crate::ui::Ui;
use std::path::PathBuf;

/// The global flags, and what stands in for the outside.
#[derive(Clone, Debug)]
pub struct Globals {
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--actor`.
    pub actor: Option<Email>,
    /// `--correlation-id`, or a fresh one.
    pub correlation_id: CorrelationId,
    /// `--identity`: the SSH key by which the actor proves who they are.
    pub identity: Option<PathBuf>,
    /// `--because`: why something is asked for.
    pub because: Option<String>,
    /// `--ticket`.
    pub ticket: Option<String>,
    /// `--yes`: nobody is asked whether they mean it.
    pub yes: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// How many sessions a token gets.
    pub sessions: usize,
    /// The one clock.
    pub clock: Clock,
    /// The terminal.
    pub ui: Ui,
}

impl Globals {
    /// Who asks: the named person, else the operating system's user at this host. Asserted, not proven.
    pub fn actor(&self) -> Actor {
        let fallback = || {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
            let slug = |text: &str| {
                text.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect::<String>()
            };
            let user = slug(&user);
            let user = if user.is_empty() { format!("uid{}", rustix::process::getuid().as_raw()) } else { user };
            let host = rustix::system::uname();
            format!("{user}@{}", slug(&host.nodename().to_string_lossy())).parse().ok()
        };
        let unknown = || "unknown@localhost".parse().ok();
        let email = self.actor.clone().or_else(fallback).or_else(unknown);
        Actor {
            email: email.unwrap_or_else(|| unreachable!("a constant address parses")),
            role: None,
            assurance: Assurance::Asserted,
        }
    }
}
