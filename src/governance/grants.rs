//! Standing approvals, which automation consumes use by use.

use crate::clock::{Time, rfc3339};
use crate::config::policy::Operation as Rule;
use crate::crypto;
use crate::error::Result;
use crate::gate::{Plan, step};
use crate::ledger::query::{self, Grant};
use crate::model::{GenerationId, HsmName, KeyName, hex};
use crate::policy::grants::MAX_DAYS;
use crate::request::{EndGrant, GiveGrant};
use crate::world::World;
use chrono::TimeDelta;

/// The grant under which automation may make a generation of a key, if one stands that covers it.
///
/// # Errors
/// The ledger cannot be read.
pub fn covering(world: &World, next: &GenerationId) -> Result<Option<Grant>> {
    let now = world.globals.clock.now();
    let grants = query::grants(world.ledger.connection(), Some(&next.key))?;
    let covers = |grant: &Grant| now < grant.params.not_after && (grant.used.contains(next) || grant.left() > 0);
    Ok(grants.into_iter().find(covers))
}

/// What somebody wants of a standing approval.
pub(crate) struct Asked {
    /// How many generations may be made.
    pub generations: u32,
    /// The least number of days between two of them; by default the key's interval less its lead.
    pub interval: Option<u32>,
    /// Until when; by default until the last of the generations is due.
    pub until: Option<Time>,
}

/// What is going to be done: a standing approval is given.
///
/// # Errors
/// The key is not configured; the ledger cannot be read.
pub(crate) fn plan_to_give(world: &World, name: &KeyName, asked: &Asked) -> Result<Plan> {
    let params = resolve(world, name, asked)?;
    let mut command = vec!["grant".to_owned(), name.to_string()];
    let options = [
        ("--generations", params.generations.to_string()),
        ("--interval", params.interval_days.to_string()),
        ("--until", rfc3339(params.not_after)),
    ];
    command.extend(options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    let object = params.generation.to_string();
    Ok(Plan { rule: Rule::Grant, command, steps: vec![step(object.clone(), &params)?], object, break_glass: None })
}

fn resolve(world: &World, name: &KeyName, asked: &Asked) -> Result<GiveGrant> {
    let settings = world.settings()?;
    let key = settings.key(name)?;
    let number = query::next_number(world.ledger.connection(), name)?;
    let recorded = query::tokens(world.ledger.connection())?;
    let interval = asked.interval.unwrap_or_else(|| key.rotation_days.saturating_sub(key.rotate_lead_days).max(1));
    let whole = TimeDelta::days(i64::from(key.rotation_days).saturating_mul(i64::from(asked.generations)));
    let subject = key.subject.as_ref().map(|subject| subject.common_name.clone()).unwrap_or_default();
    let now = world.globals.clock.now();
    let end = now.checked_add_signed(whole).unwrap_or(now);
    let longest = now + TimeDelta::days(MAX_DAYS) - TimeDelta::seconds(1);
    let serial = |hsm: &HsmName| recorded.get(hsm).map(|record| (hsm.clone(), record.token.serial.clone()));
    Ok(GiveGrant {
        generation: GenerationId { key: name.clone(), number },
        grant_id: hex(&crypto::random::<16>()?),
        settings_sha256: settings.sha256()?,
        purpose: key.purpose,
        subject,
        tokens: key.hsm.iter().filter_map(serial).collect(),
        generations: asked.generations,
        interval_days: interval,
        not_after: asked.until.unwrap_or_else(|| end.min(longest)),
    })
}

/// What is going to be done: a standing approval ends before its time. One person is enough for what only takes power away.
///
/// # Errors
/// Only a bug.
pub(crate) fn plan_to_end(grant: &Grant) -> Result<Plan> {
    let GiveGrant { generation, grant_id, .. } = &grant.params;
    let params = EndGrant { generation: generation.clone(), grant_id: grant_id.clone() };
    let object = generation.to_string();
    Ok(Plan {
        rule: Rule::Suspend,
        command: vec!["grant".into(), generation.key.to_string(), "--end".into(), grant_id.clone()],
        steps: vec![step(object.clone(), &params)?],
        object,
        break_glass: None,
    })
}
