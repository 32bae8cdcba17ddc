//! `adopt`, the people's part: a changed `roster.toml`.

use crate::commands::preview::{self, Leading};
use crate::config::policy::Operation;
use crate::error::Result;
use crate::gate::{Plan, Recorded, step};
use crate::ledger::query;
use crate::people::Roster;
use crate::request::AdoptRoster;
use crate::ui::{Row, Worst};
use crate::world::authority::Mandate;
use crate::world::{World, act};

/// A roster file that is not the roster in force.
pub(crate) struct Change {
    pub from: Roster,
    pub to: Roster,
}

/// The change that the workspace's file asks for, if it does.
pub(crate) fn change(world: &World) -> Result<Option<Change>> {
    let from = query::roster(world.ledger.connection())?;
    let (Some(from), Some(to)) = (from, world.roster_file()?) else { return Ok(None) };
    Ok((from != to).then_some(Change { from, to }))
}

impl Change {
    /// In plain words, one row for each.
    pub fn rows(&self) -> Vec<Row> {
        let lines = Roster::difference(&self.from, &self.to);
        lines.into_iter().map(|line| Row::new().with("roster", line)).collect()
    }

    /// Puts it in force, by the quorum of both rosters, with a proof for each new key.
    pub fn adopt(self, world: &mut World, mandate: Mandate) -> Result<Worst> {
        let object = format!("roster/{}", self.to.version);
        let params = AdoptRoster { generation: world.ledger_key()?, from: self.from, to: self.to };
        let plan = |_: &mut World| {
            Ok(Plan {
                rule: Operation::Roster,
                object: object.clone(),
                command: vec!["adopt".to_owned(), "--roster".to_owned()],
                steps: vec![step(object.clone(), &params)?],
                break_glass: None,
            })
        };
        let consent = match preview::consent(world, mandate, plan)? {
            Leading::On(consent) => consent,
            Leading::Shown(worst) => return Ok(worst),
        };
        // What the file says now: the gate holds it against what was agreed to.
        let request = world.request(object.clone(), params);
        let permit = act::admit(world, &consent, request)?;
        act::close(world, permit, Ok(Recorded::new()))?;
        world.checkpoint()?;
        world.ui().say(&format!("{object} is in force"));
        Ok(Worst::default())
    }
}
