// error: E0599
use keyctl::signing::artifact::{Placed, Prepared};
use keyctl::gate::Failure;
pub fn skip(prepared: Prepared) -> Result<Placed, Failure> {
    Ok(prepared.place()?)
}
