//! `--cab`: the approval of the change advisory board that the signatures rest on. Whether it holds, the gates say.

use crate::error::{Error, Result};
use crate::files::{safe, shown_path};
use crate::gate::HandedIn;
use crate::people::cab::{self, ApprovalId, Paper, Presented};
use crate::request::{Authentication, CabReference};
use crate::world::World;
use std::path::{Path, PathBuf};

/// What names an approval.
#[derive(Clone, Debug)]
pub struct CabFile {
    /// The file.
    pub file: PathBuf,
    /// Which approval, where an unsigned file has several.
    pub id: Option<ApprovalId>,
    /// Its conditions, word for word.
    pub acknowledged: Vec<String>,
}

/// What was handed in.
#[derive(Debug)]
pub(super) struct Cab {
    /// What requests say of it.
    pub reference: CabReference,
    /// The approval; `None` if the file has none of the name.
    paper: Option<Paper>,
}

/// Reads an approval that is named.
///
/// # Errors
/// The file does not read; several approvals, none named; something was acknowledged that is no condition.
pub(super) fn given(CabFile { file, id, acknowledged }: &CabFile) -> Result<Cab> {
    let paper = read(file).and_then(|presented| presented.choose(id.as_ref()));
    let paper = paper.map_err(|error| error.about(shown_path(file)))?;
    let conditions = paper.as_ref().map(Paper::conditions).unwrap_or_default();
    if let Some(other) = acknowledged.iter().find(|said| !conditions.contains(said)) {
        let known: Vec<_> = conditions.iter().map(|condition| format!("{condition:?}")).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Error::usage("no_such_condition", format!("{other:?} is no condition of the approval; {known}")));
    }
    let mut acknowledged = acknowledged.clone();
    acknowledged.sort();
    acknowledged.dedup();
    Ok(Cab { reference: reference(paper.as_ref(), id.as_ref(), acknowledged, file)?, paper })
}

/// An approval in either form; the signature of a signed one may lie beside it.
///
/// # Errors
/// A file cannot be read, or is no approval.
pub fn read(file: &Path) -> Result<Presented> {
    let bytes = safe::read_bounded(file, cab::MAX_FILE as u64)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".sig");
    let beside = PathBuf::from(beside);
    let detached = match beside.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(safe::read_bounded(&beside, cab::MAX_FILE as u64)?),
    };
    cab::read(&bytes, detached.as_deref())
}

fn reference(
    paper: Option<&Paper>,
    named: Option<&ApprovalId>,
    acknowledged: Vec<String>,
    file: &Path,
) -> Result<CabReference> {
    match (paper, named) {
        (Some(paper), _) => Ok(CabReference {
            approval_id: paper.approval_id().clone(),
            authentication: if paper.is_signed() { Authentication::Signed } else { Authentication::Unauthenticated },
            document_sha256: Some(paper.document_sha256()?),
            paper_sha256: Some(paper.sha256()?),
            acknowledged,
        }),
        (None, Some(id)) => Ok(CabReference {
            approval_id: id.clone(),
            authentication: Authentication::Unauthenticated,
            document_sha256: None,
            paper_sha256: None,
            acknowledged,
        }),
        (None, None) => Err(Error::usage("no_approval", format!("{}: there is no approval in it", shown_path(file)))),
    }
}

impl Cab {
    /// The approval, as this run hands it in.
    pub(super) fn handed_in(&self, world: &World) -> Option<HandedIn> {
        let (actor, correlation_id) = (world.globals.actor(), world.globals.correlation_id.clone());
        self.paper.clone().map(|paper| HandedIn { paper, actor, correlation_id })
    }

    /// Has the ledger keep it, before anything rests on it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub(super) fn keep(&self, world: &mut World) -> Result<()> {
        let handed_in = self.handed_in(world);
        handed_in.map(|handed_in| handed_in.keep(&mut world.ledger)).transpose().map(drop)
    }
}
