// error: E0308
use keyctl::error::Result;
use keyctl::gate::{Permit, Refusal, admit};
use keyctl::ledger::Ledger;
use keyctl::request::{ChangeState, Request};
pub fn ask(
    ledger: &mut Ledger,
    process: &str,
    request: Request<ChangeState>,
) -> Result<Vec<Result<Permit<ChangeState>, Refusal>>> {
    admit(ledger, process, None, vec![request])
}
