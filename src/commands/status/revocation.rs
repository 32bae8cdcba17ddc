//! What `status` says of lists, of revocations that verifiers cannot know of, and of artifacts to be signed again.

use crate::clock::{Time, rfc3339};
use crate::commands::status::re_sign;
use crate::error::Result;
use crate::keys::{Generation, PublishedCrl, Revocation};
use crate::ledger::query;
use crate::lifecycle::lists::issue;
use crate::policy::revocation::{list_life, refresh_after};
use crate::ui::Row;
use crate::world::World;
use serde_json::{Value, json};

/// Adds to a generation's row what its lists and its revocation are.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn extend(world: &World, generation: &Generation, row: Row) -> Result<Row> {
    let conn = world.ledger.connection();
    let now = world.globals.clock.now();
    let mut row = row;
    if let Some(revocation) = query::revocation(conn, &generation.id)? {
        row = row.with("revocation", revocation_value(&revocation, now));
    }
    if generation.purpose.is_ca() {
        let list = query::published_crl(conn, &generation.id)?;
        row = row.with("crl", list.map_or(Value::Null, |list| list_value(generation, &list, now)));
    }
    Ok(row)
}

fn revocation_value(revocation: &Revocation, now: Time) -> Value {
    let mut value = json!({
        "reason": revocation.terms.reason,
        "revocation_date": rfc3339(revocation.terms.revocation_date),
        "decided_at": rfc3339(revocation.decided),
        "published": revocation.told.is_some(),
    });
    if let Some(date) = revocation.terms.invalidity_date {
        value["invalidity_date"] = rfc3339(date).into();
    }
    if revocation.told.is_none() {
        value["unpublished_minutes"] = (now - revocation.decided).num_minutes().into();
    }
    value
}

fn list_value(ca: &Generation, list: &PublishedCrl, now: Time) -> Value {
    json!({
        "number": list.number,
        "entries": list.entries,
        "sha256": list.sha256,
        "this_update": rfc3339(list.this_update),
        "next_update": rfc3339(list.next_update),
        "served": list.served.is_some(),
        "state": list_state(ca, list, now),
    })
}

fn list_state(ca: &Generation, list: &PublishedCrl, now: Time) -> &'static str {
    let refresh = refresh_after(list_life(ca.purpose));
    match now - list.this_update {
        _ if now >= list.next_update => "expired",
        age if age >= refresh && issue::can_list(ca, now) => "due",
        _ => "good",
    }
}

/// Says what needs somebody: revocations nobody was told of, and lists that are old.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn warn(world: &World, generations: &[Generation]) -> Result<()> {
    let conn = world.ledger.connection();
    let (ui, now) = (world.ui(), world.globals.clock.now());
    for revocation in query::revocations(conn)?.iter().filter(|revocation| revocation.told.is_none()) {
        let Revocation { generation, terms, decided, .. } = revocation;
        ui.warn(&format!(
            "{generation} is revoked, and verifiers cannot know it for {}; keyctl revoke {generation} --reason {}",
            age(*decided, now),
            terms.reason
        ));
    }
    for ca in generations {
        let Some(list) = query::published_crl(conn, &ca.id)? else { continue };
        let state = list_state(ca, &list, now);
        ui.say(&format!(
            "list {} of {}: {} revoked, good until {}{}",
            list.number,
            ca.id,
            list.entries,
            rfc3339(list.next_update),
            if state == "good" { String::new() } else { format!(" ({state}; keyctl crl {})", ca.id.key) }
        ));
    }
    Ok(())
}

fn age(since: Time, now: Time) -> String {
    let minutes = (now - since).num_minutes().max(0);
    match (minutes / 1440, minutes / 60, minutes) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, _, _) => format!("{days} d"),
    }
}

/// The artifacts that have to be signed again, as rows of their own.
///
/// # Errors
/// The register cannot be read.
pub(crate) fn resign_required(world: &World) -> Result<()> {
    let marks = query::resign_required(world.ledger.connection())?;
    if !marks.is_empty() {
        world.ui().say("");
        world.ui().rows(re_sign::COLUMNS, &marks.iter().map(re_sign::row).collect::<Vec<_>>());
        let has =
            if marks.len() == 1 { "1 artifact has".to_owned() } else { format!("{} artifacts have", marks.len()) };
        world.ui().warn(&format!("{has} to be signed again"));
    }
    Ok(())
}
