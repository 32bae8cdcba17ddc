// error: E0061
use keyctl::error::Result;
use keyctl::gate::{Consent, Plan};
use keyctl::ledger::Ledger;
pub fn agree(plan: Plan, _: &Ledger) -> Result<Consent> {
    Consent::of_sandbox(plan)
}
