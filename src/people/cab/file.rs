//! What is handed in with `--cab`: an approval with its signature, or a file of unsigned ones.

use super::{ApprovalId, CabApproval, MAX_CAB, UnsignedApproval, bad};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::model::Hash256;
use crate::people::text::bad_document;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// The most bytes a file with its signature may have.
pub const MAX_FILE: usize = MAX_CAB + MAX_ARMOUR;

/// The longest armoured signature.
const MAX_ARMOUR: usize = 24 * 1024;

/// The most entries of an unsigned file.
const MAX_ENTRIES: usize = 1000;

const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----";

/// One approval as it was handed in, good or not. The ledger keeps it whole, so that it can be judged again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Paper {
    /// With a signature, which may be anybody's.
    Signed {
        /// What was signed: its canonical form is the signed message.
        approval: Box<CabApproval>,
        /// The armoured SSH signature.
        signature: String,
    },
    /// Without one.
    Unsigned {
        /// The entry.
        approval: UnsignedApproval,
    },
}

impl Paper {
    /// The board's name for it.
    pub fn approval_id(&self) -> &ApprovalId {
        match self {
            Paper::Signed { approval, .. } => &approval.approval_id,
            Paper::Unsigned { approval } => &approval.approval_id,
        }
    }

    /// Whether it carries a signature, and so can say who approved.
    pub fn is_signed(&self) -> bool {
        matches!(self, Paper::Signed { .. })
    }

    /// What has to be acknowledged.
    pub fn conditions(&self) -> &[String] {
        match self {
            Paper::Signed { approval, .. } => &approval.conditions,
            Paper::Unsigned { approval } => &approval.conditions,
        }
    }

    /// SHA-256 of the approval's canonical form; of a signed one, of the signed message.
    ///
    /// # Errors
    /// Only a bug.
    pub fn document_sha256(&self) -> Result<Hash256> {
        Ok(Hash256::of(&match self {
            Paper::Signed { approval, .. } => jcs::to_vec(approval)?,
            Paper::Unsigned { approval } => jcs::to_vec(approval)?,
        }))
    }

    /// SHA-256 of the whole, signature included: what the ledger knows it by.
    ///
    /// # Errors
    /// Only a bug.
    pub fn sha256(&self) -> Result<Hash256> {
        Ok(Hash256::of(&jcs::to_vec(self)?))
    }

    /// Reads it back from a ledger entry.
    ///
    /// # Errors
    /// `bad_cab` if it is not in a form that could have been handed in.
    pub fn from_value(value: &Value) -> Result<Self> {
        let paper = Paper::deserialize(value).map_err(|error| bad(error.to_string()))?;
        match &paper {
            Paper::Signed { approval, signature } if signature.len() <= MAX_ARMOUR => approval.check()?,
            Paper::Signed { .. } => return Err(bad("its signature is too long".into())),
            Paper::Unsigned { approval } => approval.check()?,
        }
        Ok(paper)
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// One approval and its signature.
    Signed(Paper),
    /// Entries that nobody signed.
    Unsigned(Vec<UnsignedApproval>),
}

/// Reads a file: an unsigned one, or the exact bytes of a [`CabApproval`], whose armoured signature follows after a
/// line end or is handed in besides (`FILE.sig`).
///
/// # Errors
/// `bad_cab`; `cab_not_signed` for an approval without its signature.
pub fn read(file: &[u8], detached: Option<&[u8]>) -> Result<Presented> {
    if file.len() > MAX_FILE {
        return Err(bad(format!("the file has more than {MAX_FILE} bytes")));
    }
    // The canonical form has no line end in it.
    let end = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
    let (document, rest) = file.split_at(end);
    let is_signed_form = jcs::parse_strict(document, MAX_CAB).is_ok_and(|value| value.get("schema").is_some());
    if !is_signed_form {
        return unsigned(file).map(Presented::Unsigned);
    }
    let approval = Box::new(CabApproval::parse(document)?);
    let signature = match (rest, detached) {
        ([] | [b'\n'], Some(detached)) => detached,
        ([] | [b'\n'], None) => {
            return Err(Error::usage("cab_not_signed", format!("nobody signed the approval {}", approval.approval_id))
                .hint("the approver signs it: keyctl approve FILE"));
        }
        // Of two signatures nobody could say which counts.
        (_, Some(_)) => return Err(bad("something follows after the approval, and there is a .sig besides".into())),
        (rest, None) => rest,
    };
    let signature = std::str::from_utf8(signature).ok().map(str::trim).filter(|text| text.starts_with(ARMOUR));
    let signature = signature.ok_or_else(|| bad("what follows is not an armoured SSH signature".into()))?;
    if signature.len() > MAX_ARMOUR {
        return Err(bad("its signature is too long".into()));
    }
    Ok(Presented::Signed(Paper::Signed { approval, signature: format!("{signature}\n") }))
}

/// Reads `{"cab":[…]}`, in any spelling of JSON that two readers understand alike.
fn unsigned(file: &[u8]) -> Result<Vec<UnsignedApproval>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        cab: Vec<UnsignedApproval>,
    }
    let value = jcs::parse_strict(file, MAX_CAB).map_err(|error| bad(error.full()))?;
    if let Some(why) = bad_document(&value) {
        return Err(bad(why));
    }
    let File { cab } = File::deserialize(value).map_err(|error| bad(error.to_string()))?;
    if cab.len() > MAX_ENTRIES {
        return Err(bad(format!("the file has more than {MAX_ENTRIES} approvals")));
    }
    let mut seen = BTreeSet::new();
    for approval in &cab {
        approval.check()?;
        if !seen.insert(&approval.approval_id) {
            return Err(bad(format!("{} stands there twice", approval.approval_id)));
        }
    }
    Ok(cab)
}

impl Presented {
    /// The approval of this name, or the only one; `None` if there is none of the name.
    ///
    /// # Errors
    /// `which_approval` if there are several and none was named.
    pub fn choose(self, id: Option<&ApprovalId>) -> Result<Option<Paper>> {
        let mut papers = match self {
            Presented::Signed(paper) => vec![paper],
            Presented::Unsigned(list) => list.into_iter().map(|approval| Paper::Unsigned { approval }).collect(),
        };
        match id {
            Some(id) => papers.retain(|paper| paper.approval_id() == id),
            None if papers.len() > 1 => {
                let names: Vec<_> = papers.iter().map(|paper| paper.approval_id().to_string()).collect();
                let message = format!("the file has several approvals: {}", names.join(", "));
                return Err(Error::usage("which_approval", message).hint("name one with --cab-id"));
            }
            None => {}
        }
        Ok(papers.pop())
    }
}
