// error: E0451
use keyctl::ledger::Entry;
use keyctl::outcome::Receipt;
pub fn forge(intent: Entry, outcome: Entry) -> Receipt {
    Receipt { intent, outcome }
}
