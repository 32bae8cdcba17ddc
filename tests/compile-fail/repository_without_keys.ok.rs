use keyctl::signing::release::{Placed, Prepared};
use keyctl::gate::Failure;
use keyctl::signing::kept::Folder;
use keyctl::hsm::store::SigningKey;
use keyctl::model::SpkiHash;
pub fn all(prepared: Prepared, keys: &[(SpkiHash, SigningKey<'_>)], folder: &Folder<'_>) -> Result<Placed, Failure> {
    Ok(prepared.sign(keys)?.place(folder)?)
}
