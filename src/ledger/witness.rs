//! What an approver's machine remembers about a workspace that it has no access to.
//!
//! Whoever approves a request also sees the ledger's head in it. The machine remembers the head that was signed last,
//! and the next request's must continue it: shorter is a rollback, and without a proof (RFC 6962 §2.1.2) that the
//! tree only grew nothing is signed. So each approver is a witness, and a ledger that is cut or rewritten needs all
//! of them to look away. One file per workspace in the user's state folder, like the [pin](super::anchor).

use super::outside::{Outside, check_id};
use crate::crypto::merkle::verify_consistency;
use crate::error::{Context, Error, Result};
use crate::model::{Environment, Hash256};
use crate::people::ApprovalRequest;
use crate::people::request::{LogHead, RosterReference};
use crate::people::sidecar::Proofs;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the form.
const SCHEMA: &str = "keyctl.witness/v1";

/// The most bytes of a file.
const MAX_WITNESS: usize = 64 * 1024;

/// The most workspaces that are looked through for one of the same origin.
const MAX_KNOWN: usize = 1000;

/// What was seen when this machine signed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// [`SCHEMA`].
    schema: String,
    /// The workspace.
    pub workspace_id: String,
    /// Its origin.
    pub origin: String,
    /// Its environment.
    pub environment: Environment,
    /// Leaf hash of entry 0.
    pub genesis_sha256: Hash256,
    /// The ledger's head.
    pub head: LogHead,
    /// The roster.
    pub roster: RosterReference,
}

/// How a request stands to what was seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This machine has not signed for the workspace yet. Others of the same origin, by id, that it has signed for.
    New(Vec<String>),
    /// The ledger continues the one that was seen last.
    Continues(Box<Witness>),
}

impl Witness {
    /// What a request shows; `None` while its workspace is being founded.
    pub fn of(request: &ApprovalRequest) -> Option<Self> {
        Some(Witness {
            schema: SCHEMA.to_owned(),
            workspace_id: request.workspace_id.clone(),
            origin: request.origin.clone(),
            environment: request.environment,
            genesis_sha256: request.genesis_sha256?,
            head: request.log_head,
            roster: request.roster,
        })
    }

    /// What this machine remembers of a workspace.
    ///
    /// # Errors
    /// `bad_witness` if the file is not ours alone or has another form; `bad_workspace_id`.
    pub fn load(base: &Path, workspace_id: &str) -> Result<Option<Self>> {
        let file = file(base, workspace_id)?;
        let Some(value) = file.read(MAX_WITNESS)? else { return Ok(None) };
        let bad = || format!("{} has another form", file.path.display());
        let witness: Witness = serde_json::from_value(value).or_failed("bad_witness", bad)?;
        if witness.schema != SCHEMA || witness.workspace_id != workspace_id {
            let message = format!("{} is of another version or workspace", file.path.display());
            return Err(Error::failed("bad_witness", message));
        }
        Ok(Some(witness))
    }

    /// Holds a request against what this machine remembers.
    ///
    /// # Errors
    /// As [`Self::load`]; blocked: `genesis_changed`, `ledger_rolled_back`, `ledger_forked`, `no_proof`,
    /// `roster_rolled_back`, `roster_forked`.
    pub fn judge(base: &Path, request: &ApprovalRequest, proofs: Option<&Proofs>) -> Result<Standing> {
        let Some(known) = Witness::load(base, &request.workspace_id)? else {
            return Ok(Standing::New(of_origin(base, &request.origin)?));
        };
        known.continued_by(request, proofs)?;
        Ok(Standing::Continues(Box::new(known)))
    }

    /// Holds what a document says of its workspace, which tells nothing of the ledger, against what this machine
    /// remembers.
    ///
    /// # Errors
    /// As [`Self::load`]; `genesis_changed`.
    pub fn known(base: &Path, workspace_id: &str, origin: &str, environment: Environment) -> Result<Standing> {
        match Witness::load(base, workspace_id)? {
            None => Ok(Standing::New(of_origin(base, origin)?)),
            Some(known) if known.origin == origin && known.environment == environment => {
                Ok(Standing::Continues(Box::new(known)))
            }
            Some(known) => Err(known.otherwise()),
        }
    }

    /// Remembers what a request shows, after holding it against what is remembered by now.
    ///
    /// # Errors
    /// As [`Self::judge`]; `witness_unwritable`.
    pub fn keep(base: &Path, request: &ApprovalRequest, proofs: Option<&Proofs>) -> Result<()> {
        let Some(seen) = Witness::of(request) else { return Witness::judge(base, request, proofs).map(drop) };
        let file = file(base, &request.workspace_id)?;
        let _lock = file.lock()?;
        Witness::judge(base, request, proofs)?;
        file.write(&seen)
    }

    fn continued_by(&self, request: &ApprovalRequest, proofs: Option<&Proofs>) -> Result<()> {
        let same = request.genesis_sha256 == Some(self.genesis_sha256)
            && request.origin == self.origin
            && request.environment == self.environment;
        if !same {
            return Err(self.otherwise());
        }
        let (old, new) = (&self.head, &request.log_head);
        if new.size < old.size {
            let message = format!("the ledger has {} entries, and this machine saw {} before", new.size, old.size);
            return Err(stop("ledger_rolled_back", message));
        }
        self.check_growth(new, proofs)?;
        let (old, new) = (&self.roster, &request.roster);
        if new.version < old.version {
            let message =
                format!("the roster is version {}, and this machine saw version {}", new.version, old.version);
            return Err(stop("roster_rolled_back", message));
        }
        if new.version == old.version && new.sha256 != old.sha256 {
            let message = format!("there are two rosters of version {}", old.version);
            return Err(stop("roster_forked", message));
        }
        Ok(())
    }

    fn otherwise(&self) -> Error {
        let message = format!("the workspace {} began otherwise when this machine signed for it", self.workspace_id);
        stop("genesis_changed", message)
    }

    fn check_growth(&self, new: &LogHead, proofs: Option<&Proofs>) -> Result<()> {
        let old = &self.head;
        let proof = proofs.and_then(|proofs| proofs.proofs.iter().find(|proof| proof.from == old.size));
        let hashes = match proof {
            _ if new.size == old.size => &[],
            Some(proof) => proof.hashes.as_slice(),
            None => {
                let message = format!(
                    "nothing proves that the ledger of {} entries continues the {} that this machine saw",
                    new.size, old.size
                );
                return Err(Error::blocked("no_proof", message).hint(format!(
                    "where the workspace is: keyctl approve requests/ID.json --pack --prove-from {}; approve what it prints",
                    old.size
                )));
            }
        };
        verify_consistency(old.size, &old.root, new.size, &new.root, hashes).map_err(|error| {
            let message = format!("the ledger of {} entries does not continue the {} seen here", new.size, old.size);
            stop("ledger_forked", message).because(error)
        })
    }
}

/// Not something to try again, or to work around.
fn stop(code: &'static str, message: String) -> Error {
    Error::blocked(code, message).hint("do not approve; ask the auditors, with this machine as a witness")
}

fn file(base: &Path, workspace_id: &str) -> Result<Outside> {
    check_id(workspace_id)?;
    let path = base.join("witness").join(format!("{workspace_id}.json"));
    Ok(Outside { path, noun: "the memory", bad: "bad_witness", unwritable: "witness_unwritable" })
}

/// Workspaces of one origin that are remembered: a second one may be the first in new clothes.
fn of_origin(base: &Path, origin: &str) -> Result<Vec<String>> {
    let Ok(entries) = std::fs::read_dir(base.join("witness")) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries.take(MAX_KNOWN) {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        if Witness::load(base, id)?.is_some_and(|witness| witness.origin == origin) {
            found.push(id.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::merkle::{Frontier, leaf_hash};
    use crate::ledger::testing;
    use crate::people::request::tests::example;
    use crate::people::sidecar::{self, ConsistencyProof};
    use std::os::unix::fs::PermissionsExt;

    fn at(size: u64, root: Hash256) -> ApprovalRequest {
        ApprovalRequest { log_head: LogHead { size, root }, ..example() }
    }

    fn proofs(from: u64, hashes: Vec<Hash256>) -> Proofs {
        Proofs { schema: sidecar::SCHEMA.to_owned(), proofs: vec![ConsistencyProof { from, hashes }] }
    }

    #[test]
    fn a_growing_ledger_is_followed_with_proofs_only() {
        let state = tempfile::tempdir().unwrap();
        let mut test = testing::ledger(5);
        let first = at(5, test.ledger.root_at(5).unwrap());
        assert_eq!(Witness::judge(state.path(), &first, None).unwrap(), Standing::New(Vec::new()));
        Witness::keep(state.path(), &first, None).unwrap();
        let Standing::Continues(known) = Witness::judge(state.path(), &first, None).unwrap() else { panic!() };
        assert_eq!(known.head, first.log_head);

        test.grow(7);
        let second = at(12, test.ledger.root_at(12).unwrap());
        let missing = Witness::judge(state.path(), &second, None).unwrap_err();
        assert_eq!(missing.code(), "no_proof");
        assert!(missing.advice().unwrap().contains("--prove-from 5"));
        let proof = test.ledger.consistency_proof(5, 12).unwrap();
        assert_eq!(
            Witness::judge(state.path(), &second, Some(&proofs(4, proof.clone()))).unwrap_err().code(),
            "no_proof"
        );
        let good = proofs(5, proof.clone());
        Witness::keep(state.path(), &second, Some(&good)).unwrap();
        assert_eq!(Witness::keep(state.path(), &first, Some(&good)).unwrap_err().code(), "ledger_rolled_back");
        assert_eq!(Witness::load(state.path(), &second.workspace_id).unwrap().unwrap().head, second.log_head);
    }

    #[test]
    fn a_fork_a_rollback_and_another_beginning_stop() {
        let state = tempfile::tempdir().unwrap();
        let test = testing::ledger(12);
        let root = |size| test.ledger.root_at(size).unwrap();
        Witness::keep(state.path(), &at(9, root(9)), None).unwrap();
        let mut other = Frontier::default();
        (0..12u8).for_each(|leaf| drop(other.push(leaf_hash(&[leaf]))));
        let proof = proofs(9, test.ledger.consistency_proof(9, 12).unwrap());
        let good = at(12, root(12));
        let code = |change: &dyn Fn(&mut ApprovalRequest)| {
            let mut request = good.clone();
            change(&mut request);
            Witness::keep(state.path(), &request, Some(&proof)).unwrap_err().code()
        };
        assert_eq!(code(&|r| r.log_head.root = other.root()), "ledger_forked");
        assert_eq!(code(&|r| r.log_head = LogHead { size: 9, root: other.root() }), "ledger_forked");
        assert_eq!(code(&|r| r.log_head.size = 8), "ledger_rolled_back");
        assert_eq!(code(&|r| r.log_head.size = u64::MAX), "ledger_forked");
        assert_eq!(code(&|r| r.genesis_sha256 = Some(Hash256([8; 32]))), "genesis_changed");
        assert_eq!(code(&|r| r.genesis_sha256 = None), "genesis_changed");
        assert_eq!(code(&|r| r.origin = "other.corp/keyctl".to_owned()), "genesis_changed");
        assert_eq!(code(&|r| r.environment = Environment::Production), "genesis_changed");
        assert_eq!(code(&|r| r.roster.version = 0), "roster_rolled_back");
        assert_eq!(code(&|r| r.roster.sha256 = Hash256([9; 32])), "roster_forked");
        Witness::keep(state.path(), &good, Some(&proof)).unwrap();
    }

    #[test]
    fn a_second_workspace_of_one_origin_is_noticed() {
        let state = tempfile::tempdir().unwrap();
        Witness::keep(state.path(), &example(), None).unwrap();
        let mut twin = example();
        twin.workspace_id = "another".to_owned();
        let known = vec![example().workspace_id];
        assert_eq!(Witness::judge(state.path(), &twin, None).unwrap(), Standing::New(known));
        twin.origin = "other.corp/keyctl".to_owned();
        assert_eq!(Witness::judge(state.path(), &twin, None).unwrap(), Standing::New(Vec::new()));
    }

    #[test]
    fn a_founding_leaves_nothing_behind() {
        let state = tempfile::tempdir().unwrap();
        let founding = ApprovalRequest { genesis_sha256: None, ..example() };
        Witness::keep(state.path(), &founding, None).unwrap();
        assert_eq!(Witness::load(state.path(), &founding.workspace_id).unwrap(), None);
    }

    #[test]
    fn a_memory_that_others_could_have_changed_is_not_used() {
        let state = tempfile::tempdir().unwrap();
        Witness::keep(state.path(), &example(), None).unwrap();
        let path = file(state.path(), &example().workspace_id).unwrap().path;
        let good = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("keyctl.witness/v1", "keyctl.witness/v2"), ("\"head\"", "\"hat\""), ("5f0c", "6f0c")] {
            assert!(good.contains(from));
            std::fs::write(&path, good.replace(from, to)).unwrap();
            assert_eq!(Witness::judge(state.path(), &example(), None).unwrap_err().code(), "bad_witness", "{to}");
        }
        std::fs::write(&path, good).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(Witness::judge(state.path(), &example(), None).unwrap_err().code(), "bad_witness");
        for id in ["", "..", "a/b"] {
            let odd = ApprovalRequest { workspace_id: id.to_owned(), ..example() };
            assert_eq!(Witness::judge(state.path(), &odd, None).unwrap_err().code(), "bad_workspace_id");
        }
    }
}
