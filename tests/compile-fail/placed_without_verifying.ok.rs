use keyctl::signing::artifact::{Placed, Prepared};
use keyctl::gate::Failure;
use keyctl::hsm::store::SigningKey;
pub fn all(prepared: Prepared, key: &SigningKey<'_>) -> Result<Placed, Failure> {
    Ok(prepared.sign(key)?.place()?)
}
