use keyctl::signing::artifact::{Placed, Prepared};
use keyctl::gate::Failure;
use keyctl::signing::kept::Folder;
use keyctl::hsm::store::SigningKey;
pub fn all(prepared: Prepared, key: &SigningKey<'_>, folder: &Folder<'_>) -> Result<Placed, Failure> {
    Ok(prepared.sign(key)?.place(folder)?)
}
