// error: E0599
use keyctl::model::Tbs;
use keyctl::pki::issue::Draft;
pub fn hurry(draft: &Draft) -> Tbs {
    draft.tbs()
}
