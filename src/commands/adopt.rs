//! `adopt`: takes over a changed `keyctl.toml` or `roster.toml`, and tokens or modules that are not as they were recorded.

mod roster;

use crate::commands::preview::{self, Leading};
use crate::config::policy::Operation;
use crate::config::{Alteration, Amendment, Settings};
use crate::crypto::jcs;
use crate::error::Result;
use crate::gate::{Plan, SettingsAdopted, step};
use crate::hsm::store::record;
use crate::hsm::{Token, TokenSpec};
use crate::keys::TokenRecord;
use crate::ledger::query;
use crate::model::HsmName;
use crate::request::AdoptSettings;
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{self, World, act, token_specs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Adopt the changes of keyctl.toml that bear on security, changed tokens, and a changed roster.toml
///
/// Gates read the copy of the settings that was adopted into the ledger, and signatures count by the roster in it. A
/// file that says something else stops every command that would change anything, until it is adopted or put back.
/// In the same way the ledger keeps what each token and its PKCS#11 module said of themselves, and the module's
/// hash: another token or module is not logged in to before it is adopted here. A token that is away keeps its
/// record.
///
/// A roster has the next version. It takes the quorum of the roster in force and of the new one; and for each new
/// key, its owner's approval with that key, which shows that they have it. What leaves an operation without people
/// enough is not adopted.
///
/// Examples:
///   keyctl adopt --dry-run
///   keyctl adopt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AdoptArgs {
    /// Only the roster
    #[arg(long)]
    roster: bool,
    /// Only the settings and tokens
    #[arg(long, conflicts_with = "roster")]
    settings: bool,
}

/// Runs `adopt`.
///
/// # Errors
/// A new token is not there, or the gate says no.
pub fn run(args: &AdoptArgs, world: &mut World, mandate: Mandate) -> Result<Worst> {
    let roster = if args.settings { None } else { roster::change(world)? };
    let settings = if args.roster { None } else { SettingsChange::look(world)? };
    let (roster, settings) = match (roster, settings) {
        (None, None) => {
            world.ui().say("keyctl.toml, roster.toml and the tokens are as they were adopted");
            return Ok(Worst::default());
        }
        changes => changes,
    };
    let dry_run = world.globals.dry_run;
    if let Some(change) = &roster {
        show(world, dry_run, &["roster"], &change.rows());
    }
    if let Some(change) = &settings {
        show(world, dry_run, &["setting", "from", "to", "weaker"], &change.rows);
    }
    match (roster, settings) {
        (Some(roster), None) => roster.adopt(world, mandate),
        (None, Some(settings)) => settings.adopt(world, mandate),
        (Some(roster), Some(settings)) => both(world, roster, settings),
        (None, None) => Ok(Worst::default()),
    }
}

/// The changes are the result, but for a dry run, whose result is the plan; then they are told beside it.
fn show(world: &World, dry_run: bool, columns: &[&'static str], rows: &[Row]) {
    match dry_run {
        true => rows.iter().for_each(|row| world.ui().say(&row.words(columns))),
        false => world.ui().rows(columns, rows),
    }
}

/// One after the other, in the order in which the people can satisfy the policy at each moment. Where people are asked,
/// each is a request of its own, and a dry run shows the first.
fn both(world: &mut World, roster: roster::Change, settings: SettingsChange) -> Result<Worst> {
    let one_by_one = world.asks_people() || world.globals.dry_run;
    let suspended = query::suspended(world.ledger.connection())?;
    let in_force = query::settings(world.ledger.connection())?.settings.policy;
    let now = world.globals.clock.now();
    let later = |world: &World, file: &str| world.ui().say(&format!("{file} differs too; then: keyctl adopt"));
    let roster_first = roster.to.unsatisfied(&in_force, &suspended, now).is_empty()
        || !roster.from.unsatisfied(&settings.wanted.policy, &suspended, now).is_empty();
    match (roster_first, one_by_one) {
        (true, true) => {
            later(world, "keyctl.toml");
            roster.adopt(world, Mandate::Typed)
        }
        (false, true) => {
            later(world, "roster.toml");
            settings.adopt(world, Mandate::Typed)
        }
        (true, false) => {
            roster.adopt(world, Mandate::Typed)?;
            settings.adopt(world, Mandate::Typed)
        }
        (false, false) => {
            settings.adopt(world, Mandate::Typed)?;
            roster.adopt(world, Mandate::Typed)
        }
    }
}

/// What `keyctl.toml` and the tokens say otherwise than was adopted.
struct SettingsChange {
    from: Settings,
    wanted: Settings,
    tokens: BTreeMap<HsmName, TokenRecord>,
    rows: Vec<Row>,
}

impl SettingsChange {
    fn look(world: &World) -> Result<Option<Self>> {
        let from = query::settings(world.ledger.connection())?.settings;
        let wanted = world.config.adopted();
        let changes = Settings::alterations(&from, &wanted)?;
        let (tokens, token_rows) = changed_tokens(world, &changes)?;
        let marked = |it: &Alteration| {
            let row = row(&it.change.path, &it.change.old, &it.change.new);
            row.with("weaker", it.weakens.unwrap_or_default())
        };
        let mut rows: Vec<_> = changes.iter().map(marked).collect();
        rows.extend(token_rows);
        Ok((!rows.is_empty()).then_some(SettingsChange { from, wanted, tokens, rows }))
    }

    fn adopt(self, world: &mut World, mandate: Mandate) -> Result<Worst> {
        let params = AdoptSettings {
            generation: world.ledger_key()?,
            from_sha256: self.from.sha256()?,
            to_sha256: self.wanted.sha256()?,
            settings: jcs::to_value(&self.wanted)?,
            changes: Amendment::between(&self.from, &self.wanted)?,
            tokens: self.tokens,
        };
        let object = params.to_sha256.to_string();
        let plan = |_: &mut World| {
            Ok(Plan {
                rule: Operation::Adopt,
                object: "settings".to_owned(),
                command: vec!["adopt".to_owned(), "--settings".to_owned()],
                steps: vec![step(object.clone(), &params)?],
                break_glass: None,
            })
        };
        let consent = match preview::consent(world, mandate, plan)? {
            Leading::On(consent) => consent,
            Leading::Shown(worst) => return Ok(worst),
        };
        let request = world.request(object, params);
        let permit = act::admit(world, &consent, request)?;
        act::close(world, permit, Ok(SettingsAdopted::new()))?;
        let mut store = world::store(&world.config, &world.dir, 1, world.ui());
        let conn = world.ledger.connection();
        store.pin(query::tokens(conn)?, query::settings(conn)?.settings.hsm);
        world.store = Arc::new(store);
        world.checkpoint()?;
        world.ui().say("adopted");
        Ok(Worst::default())
    }
}

fn row(setting: &str, from: &Option<String>, to: &Option<String>) -> Row {
    let words = |value: &Option<String>| value.clone().unwrap_or_default();
    Row::new().with("setting", setting).with("from", words(from)).with("to", words(to))
}

/// Looks at every token without a login. Gives the records that are new or different, and the differences in words.
fn changed_tokens(world: &World, changes: &[Alteration]) -> Result<(BTreeMap<HsmName, TokenRecord>, Vec<Row>)> {
    let recorded = query::tokens(world.ledger.connection())?;
    let edited: BTreeSet<_> =
        changes.iter().filter_map(|it| it.change.path.strip_prefix("hsm.")?.split('.').next()).collect();
    let (mut records, mut rows) = (BTreeMap::new(), Vec::new());
    for spec in token_specs(&world.config, &world.dir, 1) {
        let name = spec.name.clone();
        let before = recorded.get(&name);
        let now = match look(spec) {
            Ok(now) => now,
            Err(error) if before.is_some() && !edited.contains(name.as_str()) => {
                world.ui().warn(&format!("hsm.{name} was not examined, its record stays: {}", error.full()));
                continue;
            }
            Err(error) => return Err(error.about(format!("hsm.{name}"))),
        };
        let different = differences(world, &name, before, &now);
        if !different.is_empty() {
            rows.extend(different);
            records.insert(name, now);
        }
    }
    Ok((records, rows))
}

fn look(spec: TokenSpec) -> Result<TokenRecord> {
    Ok(record(Token::open_without_login(spec)?.info()))
}

fn differences(world: &World, name: &HsmName, before: Option<&TokenRecord>, now: &TokenRecord) -> Vec<Row> {
    let Some(before) = before else {
        let module = now.module.path.as_deref().unwrap_or("builtin");
        let whole =
            format!("{} {}, serial {}, module {module}", now.token.manufacturer, now.token.model, now.token.serial);
        return vec![row(&format!("token {name}"), &None, &Some(whole))];
    };
    let differences = before.differences(now);
    if before.token.serial != now.token.serial {
        world.ui().warn(&format!(
            "hsm.{name} is another token: keys made on the one with serial {} cannot be used while it is away",
            before.token.serial
        ));
    }
    if before.module.sha256 != now.module.sha256 {
        world.ui().warn(&format!("hsm.{name}: another module will see its PIN and make its signatures"));
    }
    differences.iter().map(|it| row(&format!("token {name}: {}", it.what), &it.recorded, &it.found)).collect()
}
