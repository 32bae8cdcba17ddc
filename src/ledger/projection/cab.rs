//! Approvals by the change advisory board: the papers that were handed in, and how often each approval was used.

use super::body::{field, text};
use crate::error::{Error, Result};
use crate::ledger::rows::{canonical, execute, first, parse};
use crate::ledger::{Entry, query, sql_int};
use crate::model::Hash256;
use crate::people::cab::{Here, Paper, withdraws};
use crate::request::{Authentication, CabReference, SignArtifact};
use rusqlite::{Connection, params};

/// The entry that keeps a paper as it was handed in, good or not. Its body: `paper`, and the `sha256` of that.
pub const RECORDED: &str = "CAB_APPROVAL_RECORDED";

/// Takes a paper in. The same one may be handed in many times. Whether it withdraws an approval is for the roster of
/// this moment to say.
pub(super) fn recorded(conn: &Connection, entry: &Entry) -> Result<()> {
    let sha256: Hash256 = text(&entry.body, "sha256")?.parse()?;
    let value = field(&entry.body, "paper")?;
    let broken = |why: String| Error::failed("bad_entry", format!("a CAB approval was recorded that {why}"));
    let paper = Paper::from_value(value).map_err(|error| broken(format!("cannot be read: {}", error.full())))?;
    if paper.sha256()? != sha256 {
        return Err(broken(format!("does not have the hash {sha256}")));
    }
    execute(
        conn,
        "INSERT INTO cab_papers (sha256, seq, approval_id, doc) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![sha256.to_string(), sql_int(entry.seq), paper.approval_id().as_str(), canonical(&paper)?],
    )?;
    let genesis = query::genesis(conn)?;
    let (roster, suspended) = (query::roster(conn)?, query::suspended(conn)?);
    let here = Here {
        now: entry.time,
        workspace_id: &genesis.workspace_id,
        origin: &genesis.origin,
        environment: genesis.environment,
        roster: roster.as_ref(),
        suspended: &suspended,
    };
    if withdraws(&paper, &here) {
        let sql = "INSERT INTO cab_withdrawn (approval_id, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        execute(conn, sql, params![paper.approval_id().as_str(), sql_int(entry.seq)])?;
    }
    Ok(())
}

/// An intent that rests on an approval uses it once. Neither can more intents than it is good for.
pub(super) fn used(conn: &Connection, entry: &Entry, request: &SignArtifact) -> Result<()> {
    let Some(reference) = &request.cab else { return Ok(()) };
    let paper = find(conn, reference)?;
    if let Paper::Signed { approval, .. } = &paper {
        let uses = query::cab_uses(conn, &reference.approval_id)?;
        if uses >= u64::from(approval.count) {
            let message =
                format!("{} is good for {} signatures, which were made", approval.approval_id, approval.count);
            return Err(Error::failed("cab_exhausted", message));
        }
    }
    execute(
        conn,
        "INSERT INTO cab_uses (intent, approval_id, signed) VALUES (?1, ?2, ?3)",
        params![sql_int(entry.seq), reference.approval_id.as_str(), paper.is_signed()],
    )?;
    Ok(())
}

/// What failed has made no signed file, and gives its use back; of what is unknown nobody can say that.
pub(super) fn given_back(conn: &Connection, intent: u64) -> Result<()> {
    execute(conn, "DELETE FROM cab_uses WHERE intent = ?1", [sql_int(intent)])?;
    Ok(())
}

fn find(conn: &Connection, reference: &CabReference) -> Result<Paper> {
    let sha256 = reference.paper_sha256.map(|hash| hash.to_string()).unwrap_or_default();
    let doc: Option<String> = first(conn, "SELECT doc FROM cab_papers WHERE sha256 = ?1", params![sha256])?;
    let broken = |what: &str| Error::failed("bad_entry", format!("the CAB approval {} {what}", reference.approval_id));
    let paper: Paper = parse(&doc.ok_or_else(|| broken("was never recorded"))?)?;
    let same = *paper.approval_id() == reference.approval_id
        && reference.document_sha256 == Some(paper.document_sha256()?)
        && paper.is_signed() == (reference.authentication == Authentication::Signed);
    if same { Ok(paper) } else { Err(broken("is not the paper that its hash names")) }
}
