//! `adopt`: takes over a changed `keyctl.toml`, and tokens or modules that are not as they were recorded.

use super::keygen;
use crate::config::{Change, Settings};
use crate::error::{Error, Result};
use crate::gate::SettingsAdopted;
use crate::hsm::store::{Store, record};
use crate::hsm::{Token, TokenSpec};
use crate::keys::TokenRecord;
use crate::ledger::query;
use crate::model::HsmName;
use crate::request::AdoptSettings;
use crate::ui::{Row, Worst};
use crate::world::{World, token_specs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Adopt the changes of keyctl.toml that bear on security, and changed tokens
///
/// Gates read the copy of the settings that was adopted into the ledger. A file that says something else stops
/// every command that would change anything, until it is adopted or put back. In the same way the ledger keeps what
/// each token and its PKCS#11 module said of themselves, and the module's hash: another token or module is not
/// logged in to before it is adopted here. A token that is away keeps its record.
///
/// Examples:
///   keyctl adopt --dry-run
///   keyctl adopt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AdoptArgs {}

/// Runs `adopt`.
///
/// # Errors
/// A new token is not there, or the gate says no.
pub fn run(_args: &AdoptArgs, world: &mut World) -> Result<Worst> {
    let adopted = query::settings(world.ledger.connection())?;
    let wanted = world.config.adopted();
    let changes = Settings::diff(&adopted.settings, &wanted)?;
    let (tokens, token_rows) = changed_tokens(world, &changes)?;
    let mut rows: Vec<_> = changes.iter().map(|change| row(&change.path, &change.old, &change.new)).collect();
    rows.extend(token_rows);
    if rows.is_empty() {
        world.ui().say("keyctl.toml and the tokens are as they were adopted");
        return Ok(Worst::default());
    }
    world.ui().rows(&["setting", "from", "to"], &rows);
    if world.globals.dry_run {
        return Ok(Worst::default());
    }
    let ledger_key = world.genesis.ledger_keys.first().map(|key| key.generation.clone());
    let generation = ledger_key.ok_or_else(|| Error::bug("the genesis names no ledger key"))?;
    let params = AdoptSettings {
        generation,
        from_sha256: adopted.settings.sha256()?,
        to_sha256: wanted.sha256()?,
        settings: keygen::to_value(&wanted)?,
        tokens,
    };
    let request = world.request(params.to_sha256.to_string(), params);
    let permit = keygen::admit_one(world, request)?;
    keygen::close_one(world, permit, Ok(SettingsAdopted::new()))?;
    let mut store = Store::new(token_specs(&world.config, &world.dir, 1));
    store.pin(query::tokens(world.ledger.connection())?);
    world.store = Arc::new(store);
    world.checkpoint()?;
    world.ui().say("adopted");
    Ok(Worst::default())
}

fn row(setting: &str, from: &Option<String>, to: &Option<String>) -> Row {
    let words = |value: &Option<String>| value.clone().unwrap_or_default();
    Row::new().with("setting", setting).with("from", words(from)).with("to", words(to))
}

/// Looks at every token without a login. Gives the records that are new or different, and the differences in words.
fn changed_tokens(world: &World, changes: &[Change]) -> Result<(BTreeMap<HsmName, TokenRecord>, Vec<Row>)> {
    let recorded = query::tokens(world.ledger.connection())?;
    let edited: BTreeSet<_> =
        changes.iter().filter_map(|change| change.path.strip_prefix("hsm.")?.split('.').next()).collect();
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
