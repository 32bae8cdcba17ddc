//! `adopt`: takes over a changed `keyctl.toml`.

use super::keygen;
use crate::config::Settings;
use crate::error::Result;
use crate::gate::SettingsAdopted;
use crate::ledger::query;
use crate::request::AdoptSettings;
use crate::ui::{Row, Worst};
use crate::world::World;

/// Adopt the changes of keyctl.toml that bear on security
///
/// Gates read the copy of the settings that was adopted into the ledger. A file that says something else stops
/// every command that would change anything, until it is adopted or put back.
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
/// The gate says no.
pub fn run(_args: &AdoptArgs, world: &mut World) -> Result<Worst> {
    let adopted = query::settings(world.ledger.connection())?;
    let wanted = world.config.adopted();
    let changes = Settings::diff(&adopted.settings, &wanted)?;
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            Row::new()
                .with("setting", change.path.as_str())
                .with("from", change.old.clone().unwrap_or_default())
                .with("to", change.new.clone().unwrap_or_default())
        })
        .collect();
    if rows.is_empty() {
        world.ui().say("keyctl.toml says what was adopted");
        return Ok(Worst::default());
    }
    world.ui().rows(&["setting", "from", "to"], &rows);
    if world.globals.dry_run {
        return Ok(Worst::default());
    }
    let ledger_key = world.genesis.ledger_keys.first().map(|key| key.generation.clone());
    let generation = ledger_key.ok_or_else(|| crate::error::Error::bug("the genesis names no ledger key"))?;
    let params = AdoptSettings {
        generation,
        from_sha256: adopted.settings.sha256()?,
        to_sha256: wanted.sha256()?,
        settings: keygen::to_value(&wanted)?,
    };
    let request = world.request(params.to_sha256.to_string(), params);
    let permit = keygen::admit_one(world, request)?;
    keygen::close_one(world, permit, Ok(SettingsAdopted::new()))?;
    world.checkpoint()?;
    world.ui().say("adopted");
    Ok(Worst::default())
}
