use keyctl::ledger::Entry;
use keyctl::outcome::Receipt;
pub fn look(receipt: &Receipt) -> (&Entry, &Entry) {
    (receipt.intent(), receipt.outcome())
}
