//! `roster`: shows the people, and stops and restores single ones. Other changes are adopted.

use crate::commands::preview::{self, Leading};
use crate::config::policy::Operation;
use crate::error::{Error, Result};
use crate::gate::{Plan, Recorded, step};
use crate::ledger::query;
use crate::model::Email;
use crate::people::Roster;
use crate::request::{RestorePerson, SuspendPerson};
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{World, act};

/// Show the roster in force, suspend a person, or restore one
///
/// What the roster says is changed in roster.toml and taken over by keyctl adopt. In between, any one person who
/// proves it may suspend another: from then on that person's signatures count for nothing. Restoring them takes the
/// quorum. Nobody is suspended whom some operation could not do without; then the answer says which, and it takes
/// another roster first.
///
/// Examples:
///   keyctl roster
///   keyctl roster show --allowed-signers
///   keyctl roster suspend engineer@sandbox.invalid --identity .keyctl-sandbox/people/linux@sandbox.invalid
///   keyctl roster restore engineer@sandbox.invalid
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RosterArgs {
    #[command(subcommand)]
    command: Option<RosterCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum RosterCommand {
    /// Print the roster in force as a roster.toml
    Show {
        /// As a file of allowed signers for ssh-keygen -Y verify
        #[arg(long)]
        allowed_signers: bool,
    },
    /// Let a person's signatures count for nothing, at once
    Suspend {
        /// Who
        email: Email,
    },
    /// Let them count again; takes the quorum
    Restore {
        /// Who
        email: Email,
    },
}

const COLUMNS: &[&str] = &["person", "name", "roles", "key", "state"];

/// Runs `roster`.
///
/// # Errors
/// The workspace has no people, the person is unknown, or the gate says no.
pub fn run(args: &RosterArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let none = || Error::usage("no_roster", "this workspace was founded without people");
    let roster = query::roster(world.ledger.connection())?.ok_or_else(none)?;
    match &args.command {
        None => list(world, &roster)?,
        Some(RosterCommand::Show { allowed_signers: true }) => {
            world.ui().raw(&roster.to_allowed_signers(&world.genesis.origin));
        }
        Some(RosterCommand::Show { allowed_signers: false }) => world.ui().raw(&roster.to_toml()),
        Some(RosterCommand::Suspend { email }) => return suspend(world, mandate, email),
        Some(RosterCommand::Restore { email }) => return restore(world, mandate, email),
    }
    Ok(Worst::default())
}

fn list(world: &World, roster: &Roster) -> Result<()> {
    let suspended = query::suspended(world.ledger.connection())?;
    let now = world.globals.clock.now();
    let mut rows = Vec::new();
    for (email, person) in &roster.people {
        for key in &person.keys {
            let state = match (suspended.contains(email), key.is_valid(now)) {
                (true, _) => "suspended",
                (false, true) => "counts",
                (false, false) => "does not count now",
            };
            let parsed = key.key().ok();
            let row = Row::new()
                .with("person", email.as_str())
                .with("name", person.name.as_str())
                .with("roles", person.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>())
                .with("key", parsed.as_ref().map(|key| key.openssh_fingerprint()).unwrap_or_default())
                .with("kind", parsed.as_ref().map(|key| key.kind().as_str()).unwrap_or_default())
                .with("state", state);
            rows.push(row);
        }
    }
    world.ui().rows(COLUMNS, &rows);
    world.ui().say(&format!("\nroster version {}, SHA-256 {}", roster.version, roster.sha256()?));
    Ok(())
}

fn suspend(world: &mut World, mandate: Mandate, email: &Email) -> Result<Worst> {
    let email = email.folded();
    let params = SuspendPerson { generation: world.ledger_key()?, email: email.clone(), reason: world.reason() };
    let words = ["roster", "suspend", email.as_str()];
    let said = format!("the signatures of {email} count for nothing from now on");
    record(world, mandate, (Operation::Suspend, &words), (&email, params), &said)
}

fn restore(world: &mut World, mandate: Mandate, email: &Email) -> Result<Worst> {
    let email = email.folded();
    let params = RestorePerson { generation: world.ledger_key()?, email: email.clone(), reason: world.reason() };
    let words = ["roster", "restore", email.as_str()];
    let said = format!("the signatures of {email} count again");
    record(world, mandate, (Operation::Roster, &words), (&email, params), &said)
}

fn record<O>(
    world: &mut World,
    mandate: Mandate,
    (rule, words): (Operation, &[&str]),
    (email, params): (&Email, O),
    said: &str,
) -> Result<Worst>
where
    O: crate::policy::Decide,
    Recorded: crate::gate::Completes<O>,
{
    let object = email.to_string();
    let plan = |_: &mut World| {
        Ok(Plan {
            rule,
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            steps: vec![step(object.clone(), &params)?],
            break_glass: None,
            object: object.clone(),
        })
    };
    let consent = match preview::consent(world, mandate, plan)? {
        Leading::On(consent) => consent,
        Leading::Shown(worst) => return Ok(worst),
    };
    act::record::<O>(world, &consent, &object)?;
    world.checkpoint()?;
    world.ui().say(said);
    Ok(Worst::default())
}
