//! A workspace that had the tokens before: a new one takes them over only with the consent of its people.

use crate::clock::{Clock, Time};
use crate::config::policy::{Operation, Rule};
use crate::error::{Error, Result};
use crate::files::shown_path;
use crate::founding::tokens::Foreign;
use crate::ledger::anchor::{Pin, state_dir};
use crate::ledger::trust::{self, HostTrust};
use crate::ledger::verify::verify;
use crate::ledger::{self, Ledger, query};
use crate::model::Email;
use crate::people::Roster;
use crate::people::founding::Earlier;
use crate::people::quorum::{Counted, Electorate, consent};
use std::collections::BTreeSet;
use std::path::Path;

/// What the new workspace's founders show of the earlier one.
pub(crate) struct EarlierWorkspace {
    pub named: Earlier,
    roster: Roster,
    suspended: BTreeSet<Email>,
    rule: Rule,
}

impl EarlierWorkspace {
    /// Counts who of its people signed the founding request.
    pub fn consent(&self, bytes: &[u8], armours: &[String], now: Time) -> Counted {
        let people = Electorate { roster: &self.roster, suspended: &self.suspended, now };
        consent(bytes, &self.named.origin, armours, &self.rule, &people)
    }
}

/// The workspace in `dir` that made the keys which are on the tokens. `None` if there are no such keys.
///
/// Its ledger is believed as far as this user or root pinned it, and only if nothing is wrong with it: who could make
/// a ledger up could also make up people who agree.
///
/// # Errors
/// `token_in_use` if no workspace is named, or it did not make those keys; `unknown_workspace` if nobody pinned it.
pub(crate) fn look(foreign: &[Foreign], dir: Option<&Path>, clock: &Clock) -> Result<Option<EarlierWorkspace>> {
    let Some(first) = foreign.first() else { return Ok(None) };
    let dir = dir.ok_or_else(|| first.refusal("which another keyctl workspace made"))?;
    let ledger = Ledger::open_read_only(&dir.join(ledger::FILE), clock.clone())?;
    let conn = ledger.connection();
    let genesis = query::genesis(conn)?;
    let pin = match HostTrust::load(&trust::folder(), &genesis.workspace_id)? {
        Some(trust) => trust.to_pin(),
        None => Pin::load(&state_dir()?, &genesis.workspace_id)?.ok_or_else(|| {
            Error::blocked("unknown_workspace", format!("{}: nobody here pinned this workspace", shown_path(dir)))
                .hint("a user who knows it, or root, founds the new one")
        })?,
    };
    pin.check(&ledger)?;
    let anchors: Vec<_> = pin.anchor()?.into_iter().collect();
    if let Some(finding) = verify(&ledger, &pin.trust(), &anchors)?.findings.first() {
        let message = format!("{}: its ledger does not verify: {finding:?}", shown_path(dir));
        return Err(Error::blocked("earlier_workspace_broken", message));
    }
    for key in foreign {
        let known = key.spki.map(|spki| query::generation_by_spki(conn, &spki)).transpose()?.flatten();
        if known.is_none() {
            return Err(key.refusal(&format!("which the workspace in {} did not make", shown_path(dir))));
        }
    }
    let roster = query::roster(conn)?;
    let roster = roster.ok_or_else(|| first.refusal("and the earlier workspace has no people who could agree"))?;
    let named = Earlier {
        workspace_id: genesis.workspace_id,
        origin: genesis.origin,
        genesis_sha256: pin.genesis_leaf_hash,
        roster_sha256: roster.sha256()?,
    };
    let rule = query::settings(conn)?.settings.policy.rule(Operation::Roster);
    Ok(Some(EarlierWorkspace { named, roster, suspended: query::suspended(conn)?, rule }))
}
