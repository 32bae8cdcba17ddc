//! What the gate looks up when a file is to be signed: the people, the approval it rests on, what it takes the place of.

use super::Ground;
use crate::error::Result;
use crate::ledger::projection::cab::RECORDED;
use crate::ledger::{Entry, Ledger, NewEntry, Writer, query};
use crate::model::{Actor, CorrelationId, Email, Hash256};
use crate::people::Roster;
use crate::people::cab::{Here, Paper};
use crate::policy::facts::SigningFacts;
use crate::request::SignArtifact;
use rusqlite::Connection;
use serde_json::json;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What is the same for every file of a transaction, read when the first one asks.
#[derive(Default)]
pub(super) struct Known {
    people: OnceCell<(Option<Roster>, BTreeSet<Email>)>,
    papers: RefCell<BTreeMap<Hash256, Rc<Paper>>>,
}

/// An approval of the change advisory board as it was handed in, good or not.
#[derive(Clone, Debug)]
pub struct HandedIn {
    /// The approval.
    pub paper: Paper,
    /// By whom.
    pub actor: Actor,
    /// Ties it to a deployment.
    pub correlation_id: CorrelationId,
}

impl HandedIn {
    /// Has the ledger keep it, before anything is decided on it. Gives the entry, if it was not known before.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn keep(&self, ledger: &mut Ledger) -> Result<Option<Entry>> {
        let mut writer = ledger.writer()?;
        let entry = self.take(&mut writer)?;
        if entry.is_some() {
            writer.commit()?;
        }
        Ok(entry)
    }

    pub(super) fn take(&self, writer: &mut Writer<'_>) -> Result<Option<Entry>> {
        let sha256 = self.paper.sha256()?;
        if query::cab_paper(writer.connection(), &sha256)?.is_some() {
            return Ok(None);
        }
        let entry = writer.append(NewEntry {
            entry_type: RECORDED.parse()?,
            actor: self.actor.clone(),
            correlation_id: self.correlation_id.clone(),
            body: json!({ "paper": super::to_value(&self.paper)?, "sha256": sha256 }),
        })?;
        Ok(Some(entry))
    }
}

impl Ground {
    pub(super) fn signing(&self, conn: &Connection, params: &SignArtifact) -> Result<SigningFacts<'_>> {
        let (roster, suspended) = self.people(conn)?;
        let here = Here {
            now: self.now,
            workspace_id: &self.genesis.workspace_id,
            origin: &self.genesis.origin,
            environment: self.genesis.environment,
            roster: roster.as_ref(),
            suspended,
        };
        let (mut paper, mut uses, mut is_withdrawn) = (None, 0, false);
        if let Some(reference) = &params.cab {
            paper = reference.paper_sha256.map(|sha256| self.paper(conn, &sha256)).transpose()?.flatten();
            uses = query::cab_uses(conn, &reference.approval_id)?;
            is_withdrawn = query::cab_withdrawn(conn, &reference.approval_id)?.is_some();
        }
        let resigned = params.resigns.as_ref().map(|old| query::artifact(conn, old.entry)).transpose()?.flatten();
        Ok(SigningFacts {
            here,
            paper,
            uses,
            is_withdrawn,
            resigned,
            marked: query::marked(conn, &params.hash_before)?,
        })
    }

    fn people(&self, conn: &Connection) -> Result<&(Option<Roster>, BTreeSet<Email>)> {
        let people = &self.known.people;
        if let Some(people) = people.get() {
            return Ok(people);
        }
        let read = (query::roster(conn)?, query::suspended(conn)?);
        Ok(people.get_or_init(|| read))
    }

    fn paper(&self, conn: &Connection, sha256: &Hash256) -> Result<Option<Rc<Paper>>> {
        let mut papers = self.known.papers.borrow_mut();
        if let Some(paper) = papers.get(sha256) {
            return Ok(Some(paper.clone()));
        }
        let paper = query::cab_paper(conn, sha256)?.map(Rc::new);
        papers.extend(paper.iter().map(|paper| (*sha256, paper.clone())));
        Ok(paper)
    }
}
