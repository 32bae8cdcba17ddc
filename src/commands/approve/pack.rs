//! `approve --pack`: on the requester's side, a request and what belongs to it as one block of text.

use super::ApproveArgs;
use super::document::Document;
use super::input::{self, Input};
use crate::crypto::jcs;
use crate::error::{Error, Result};
use crate::files::safe;
use crate::ledger::{self, Ledger, query};
use crate::people::ApprovalRequest;
use crate::people::bundle::Bundle;
use crate::people::sidecar::{self, ConsistencyProof, Proofs};
use crate::ui::{Output, Row, Worst};
use crate::world::Globals;

/// Runs `approve --pack`.
///
/// # Errors
/// The request cannot be read or is not signed by its requester; a proof cannot be had.
pub(super) fn run(args: &ApproveArgs, globals: &Globals) -> Result<Worst> {
    let mut input = Input::read(&args.file)?;
    let document = Document::read(&input.bytes)?;
    document.check_requester(&input.bytes, input.requester.as_deref())?;
    if let Some(from) = args.prove_from {
        prove(&mut input, &document, from, globals)?;
    }
    let text = String::from_utf8_lossy(&input.bytes).into_owned();
    let block = Bundle::new(text, input.requester, input.proofs).to_armour()?;
    match globals.ui.output {
        Output::Table => globals.ui.raw(&block),
        _ => globals.ui.object(&Row::new().with("id", document.id()).with("bundle", block)),
    }
    Ok(Worst::default())
}

/// Adds the proof that the request's ledger continues the first `from` entries, in the file beside it as well.
fn prove(input: &mut Input, document: &Document, from: u64, globals: &Globals) -> Result<()> {
    let Document::Request(request) = document else {
        return Err(Error::usage("no_ledger_head", format!("a {} says nothing about a ledger", document.kind())));
    };
    let workspace = input::workspace_of(input.path.as_deref())?;
    let ledger = Ledger::open_read_only(&workspace.join(ledger::FILE), globals.clock.clone())?;
    let hashes = proof(&ledger, request, from)?;
    let fresh = || Proofs { schema: sidecar::SCHEMA.to_owned(), proofs: Vec::new() };
    let proofs = input.proofs.get_or_insert_with(fresh);
    proofs.proofs.retain(|proof| proof.from != from);
    proofs.proofs.push(ConsistencyProof { from, hashes });
    let path = input.path.as_ref().map(|path| path.with_extension("proofs.json"));
    path.map_or(Ok(()), |path| safe::write_atomic(&path, &jcs::to_vec(proofs)?, 0o644).map(drop))
}

fn proof(ledger: &Ledger, request: &ApprovalRequest, from: u64) -> Result<Vec<crate::model::Hash256>> {
    let head = &request.log_head;
    let here = query::genesis(ledger.connection())?.workspace_id == request.workspace_id;
    if !here || ledger.head()?.size < head.size || ledger.root_at(head.size)? != head.root {
        return Err(Error::blocked("ledger_forked", "the request's ledger is not the one of this workspace")
            .hint("keyctl audit log"));
    }
    if !(1..=head.size).contains(&from) {
        let message = format!("the request's ledger has {} entries; it cannot continue {from}", head.size);
        return Err(Error::usage("bad_range", message));
    }
    ledger.consistency_proof(from, head.size)
}
