use keyctl::error::Result;
use keyctl::gate::{Consent, Plan};
use keyctl::ledger::Ledger;
pub fn agree(plan: Plan, ledger: &Ledger) -> Result<Consent> {
    Consent::of_sandbox(plan, ledger)
}
