//! What the gate looks up when a file is to be signed: the people, the approval it rests on, what it takes the place of.

use super::Ground;
use crate::error::Result;
use crate::ledger::query;
use crate::model::{Email, Hash256};
use crate::people::Roster;
use crate::people::cab::{Here, Paper};
use crate::policy::signing::SigningFacts;
use crate::request::SignArtifact;
use rusqlite::Connection;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What is the same for every file of a transaction, read when the first one asks.
#[derive(Default)]
pub(super) struct Known {
    people: OnceCell<(Option<Roster>, BTreeSet<Email>)>,
    papers: RefCell<BTreeMap<Hash256, Rc<Paper>>>,
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
