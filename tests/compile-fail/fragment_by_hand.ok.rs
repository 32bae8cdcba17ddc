use keyctl::error::Result;
use keyctl::crypto::note::SignedNote;
use keyctl::evidence::fragment::Fragment;
use keyctl::ledger::Ledger;
use keyctl::outcome::Receipt;
pub fn make(receipt: &Receipt, ledger: &Ledger, checkpoint: &SignedNote) -> Result<Fragment> {
    Fragment::new(receipt, ledger, checkpoint)
}
