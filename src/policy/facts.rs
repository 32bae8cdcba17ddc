//! What a decision is made of: the facts that the gate gathers, in the transaction that will hold the intent, and what every
//! operation answers with them.

use super::gates::{self, Decision, Gate};
use crate::clock::Time;
use crate::config::Settings;
use crate::error::Result;
use crate::keys::rotation::{Link, Review};
use crate::keys::{Generation, PublishedKeyring, Revocation, TokenRecord};
use crate::ledger::query::{self, Artifact, LastFacts, Suspension};
use crate::model::{Email, Environment, HsmName, KeyName, Tool};
use crate::people::Roster;
use crate::people::approval::Participant;
use crate::people::cab::{Here, Paper};
use crate::request::{NewCrl, Operation, Request, SignArtifact};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What people say to an act.
#[derive(Clone, Debug)]
pub enum People {
    /// Nobody is asked: a sandbox, where one person tries everything.
    Waived,
    /// Nobody was asked yet.
    Missing,
    /// They were asked, and these gates tell what came of it.
    Shown(Vec<Gate>),
}

/// What the gate knows when it asks. Everything comes from the ledger, read in the transaction that will
/// hold the intent, and from the one clock.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The time.
    pub now: Time,
    /// The time after which the next entry has to be, if there is an entry.
    pub newest: Option<Time>,
    /// The workspace's environment.
    pub environment: Environment,
    /// The adopted settings.
    pub settings: &'a Settings,
    /// The generation the request names, if the register has it.
    pub generation: Option<Generation>,
    /// The issuing generation, where there is one.
    pub issuer: Option<Generation>,
    /// Older generations that sign too, where the register has them.
    pub cosigners: Vec<Generation>,
    /// The key's keyring as it was last published.
    pub keyring: Option<PublishedKeyring>,
    /// Whether the register already has a generation of the same key that is active.
    pub has_active: bool,
    /// The number the key's next generation must have.
    pub next_number: u32,
    /// What was decided about the generation, if it is revoked.
    pub revocation: Option<Revocation>,
    /// The lists of the CA whose next one is asked for.
    pub list: Option<ListFacts>,
    /// What people say to it.
    pub people: People,
    /// What concerns rotations.
    pub rotation: RotationFacts,
    /// What else is known of a file that is to be signed.
    pub signing: Option<SigningFacts<'a>>,
    /// Keys that neither sign nor issue for the time being.
    pub suspended_keys: BTreeMap<KeyName, Suspension>,
    /// The people, where it is about them; `None` where the workspace has none.
    pub roster: Option<RosterFacts>,
    /// What else has to be known before a key is destroyed; empty for other acts.
    pub destruction: LastFacts,
    /// Tokens and program, which count in production.
    pub equipment: Option<Equipment>,
}

impl Facts<'_> {
    /// The interval of the generation's key, if the settings have the key.
    pub fn rotation_days(&self) -> Option<u32> {
        let id = &self.generation.as_ref()?.id;
        self.settings.keys.get(&id.key).map(|key| key.rotation_days)
    }
}

/// What the ledger knows of a CA's lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFacts {
    /// The greatest number that a list ever had.
    pub last_number: u64,
    /// How many certificates belong on the next one.
    pub entries: u64,
}

/// The people of a workspace.
#[derive(Clone, Debug)]
pub struct RosterFacts {
    /// The roster in force.
    pub roster: Roster,
    /// Who of it is suspended.
    pub suspended: BTreeSet<Email>,
}

impl RosterFacts {
    /// Reads them; `None` if the workspace has no people.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(conn: &Connection) -> Result<Option<Self>> {
        let Some(roster) = query::roster(conn)? else { return Ok(None) };
        Ok(Some(RosterFacts { roster, suspended: query::suspended(conn)? }))
    }
}

/// What the gate knows of the rotation that a request belongs to, or that its key is in.
#[derive(Clone, Debug, Default)]
pub struct RotationFacts {
    /// The key's active generation.
    pub active: Option<Generation>,
    /// The test that the generation passed under the certificate it has: the outcome's entry.
    pub tested: Option<u64>,
    /// The links of this root with the active one.
    pub links: BTreeSet<Link>,
    /// Whether the certificates of the generation are recorded as published.
    pub is_published: bool,
    /// The last review of the issuing generation, or of the generation itself where nobody issues.
    pub review: Option<Review>,
    /// The key's rotation failed: when, until when it is to be put right, and whether the new certificate was found
    /// good since.
    pub failure: Option<OpenFailure>,
}

/// A rotation that failed and was not completed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFailure {
    /// The alert's entry.
    pub seq: u64,
    /// Until when it is to be put right (B24).
    pub deadline: Time,
    /// A test with the new certificate held since.
    pub is_validated: bool,
}

/// What the gate knows besides, when a file is to be signed.
#[derive(Clone, Debug)]
pub struct SigningFacts<'a> {
    /// The workspace and its people.
    pub here: Here<'a>,
    /// The approval that the request names, as it was recorded.
    pub paper: Option<Rc<Paper>>,
    /// How often approvals of that name were used.
    pub uses: u64,
    /// Whether the board withdrew it.
    pub is_withdrawn: bool,
    /// The artifact whose place the new one is to take, as the ledger has it.
    pub resigned: Option<Artifact>,
    /// An artifact that has to be signed again, whose file this is, signed or not.
    pub marked: Option<Artifact>,
}

/// What production needs to know of tokens and of this program.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The tokens that the act is about, or all of them where settings are adopted.
    pub tokens: BTreeMap<HsmName, KnownToken>,
    /// This program.
    pub tool: Tool,
}

/// A token as the ledger has it.
#[derive(Clone, Debug, Default)]
pub struct KnownToken {
    /// What was recorded of it, if anything was.
    pub record: Option<TokenRecord>,
    /// Who adopted the module, in words.
    pub adopted_by: String,
}

/// What a policy says to a request of one operation.
pub trait Decide: Operation {
    /// Whether the decision needs to know who there is.
    const IS_ABOUT_PEOPLE: bool = false;

    /// The issuer whose record the decision needs, if any.
    fn issuer(&self) -> Option<&crate::model::GenerationId> {
        None
    }

    /// Older generations whose records the decision needs.
    fn cosigners(&self) -> &[crate::model::GenerationId] {
        &[]
    }

    /// Whether the decision needs all of [`Facts::rotation`], not only review and failure.
    const TAKES_OVER: bool = false;
    /// The file that is to be signed, if that is what is asked.
    fn artifact(&self) -> Option<&SignArtifact> {
        None
    }

    /// Who has to have agreed, besides those whose signatures a warrant brings. Asked of what is allowed.
    fn approvers(_request: &Request<Self>, _facts: &Facts<'_>) -> Vec<Participant> {
        Vec::new()
    }

    /// The list that would be signed, with its CA.
    fn list(&self) -> Option<(&crate::model::GenerationId, &NewCrl)> {
        None
    }

    /// What the operation's own policy says; the whole decision is [`super::hardware::weigh`]. Pure: the same request and
    /// facts give the same gates.
    fn decide(request: &Request<Self>, facts: &Facts<'_>) -> Decision;
}

pub(super) fn unknown_generation<O: Operation>(request: &Request<O>) -> Decision {
    let name = request.params.generation().to_string();
    Decision::Block(vec![gates::holds("Status", format!("{name} unknown"), "in the register", false)])
}
