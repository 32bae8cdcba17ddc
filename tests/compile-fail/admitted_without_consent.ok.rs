use keyctl::error::Result;
use keyctl::gate::{Consent, Permit, Refusal, admit};
use keyctl::ledger::Ledger;
use keyctl::request::{ChangeState, Request};
pub fn ask(
    ledger: &mut Ledger,
    process: &str,
    consent: &Consent,
    request: Request<ChangeState>,
) -> Result<Vec<Result<Permit<ChangeState>, Refusal>>> {
    admit(ledger, process, consent, vec![request])
}
