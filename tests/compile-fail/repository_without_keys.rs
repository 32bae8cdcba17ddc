// error: E0599
use keyctl::formats::apt::road::{Placed, Prepared};
use keyctl::gate::Failure;
pub fn skip(prepared: Prepared) -> Result<Placed, Failure> {
    Ok(prepared.place()?)
}
