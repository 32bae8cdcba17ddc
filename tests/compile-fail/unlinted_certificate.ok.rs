use keyctl::error::Result;
use keyctl::model::Tbs;
use keyctl::pki::issue::{Draft, rehearse};
pub fn steady(draft: Draft) -> Result<Tbs> {
    Ok(rehearse(draft)?.tbs())
}
